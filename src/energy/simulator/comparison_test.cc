#include "energy/simulator/comparison.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>

#include "energy/simulator/inflation.h"
#include "energy/simulator/regret.h"

namespace eyeshot::simulator {
namespace {

constexpr char kMeasured[] = EYESHOT_SOURCE_DIR "/data/measured/h100-transformers.json";

Machine H100() { return LoadMachine("h100-sxm", EYESHOT_SOURCE_DIR "/data/machines").value(); }
Software Engine(const std::string& name) { return FindSoftware(name).value(); }
PictureWork Usual(const std::string& model, double output_tokens) {
  return WorkOfUsualPicture(FindModelShape(model).value(), 128, output_tokens);
}
PictureWork Sized(const std::string& model, double side, int pictures) {
  return WorkOfPictures(FindModelShape(model).value(), side, pictures, 128, 64);
}
Bound ClassOf(const std::string& model, const std::string& software, double output_tokens, double batch) {
  const Machine machine = H100();
  return BoundsOf(SimulatedShares(machine, Engine(software), Usual(model, output_tokens), batch, machine.clock_max_mhz))
      .bound();
}

// As the processors of transformers 5.17 cut square pictures.
TEST(PicturesTest, TilesOfEachFamily) {
  for (const double side : {448.0, 2016.0}) EXPECT_EQ(Sized("SmolVLM-256M", side, 1).request.tiles, 17);
  EXPECT_EQ(Sized("LLaVA-OneVision-7B", 384, 1).request.tiles, 2);
  EXPECT_EQ(Sized("LLaVA-OneVision-7B", 448, 1).request.tiles, 5);
  EXPECT_EQ(Sized("LLaVA-OneVision-7B", 896, 1).request.tiles, 10);
  EXPECT_EQ(Sized("LLaVA-OneVision-7B", 2016, 1).request.tiles, 37);
  EXPECT_EQ(Sized("LLaVA-OneVision-7B", 2016, 1).request.visual_tokens, 10 * 729);
  EXPECT_EQ(Sized("LLaVA-OneVision-7B", 2016, 2).request.tiles, 2);  // several pictures are not cut
  EXPECT_EQ(Sized("InternVL3-8B", 448, 1).request.tiles, 1);
  EXPECT_EQ(Sized("InternVL3-8B", 896, 1).request.tiles, 5);
  EXPECT_EQ(Sized("InternVL3-8B", 1344, 2).request.tiles, 20);
  EXPECT_EQ(Sized("InternVL3-8B", 2016, 1).request.visual_tokens, 2560);
}

TEST(PicturesTest, QwensTokensFollowThePixels) {
  const PictureWork usual = Usual("Qwen2.5-VL-7B", 64);
  const PictureWork sized = Sized("Qwen2.5-VL-7B", 1036, 1);
  EXPECT_EQ(sized.request.visual_tokens, usual.request.visual_tokens);
  EXPECT_EQ(sized.model.vision.patches, usual.model.vision.patches);
  EXPECT_DOUBLE_EQ(sized.model.vision.keys, usual.model.vision.keys);
  EXPECT_EQ(Sized("Qwen2.5-VL-7B", 448, 3).request.visual_tokens, 3 * 256);
}

TEST(PicturesTest, WhatTheContextHolds) {
  EXPECT_TRUE(Sized("LLaVA-1.5-7B", 896, 4).fits);
  EXPECT_FALSE(Sized("LLaVA-1.5-7B", 896, 8).fits);
  EXPECT_FALSE(Sized("SmolVLM-256M", 896, 8).fits);
  EXPECT_TRUE(Sized("SmolVLM-2.2B", 896, 8).fits);
}

TEST(MeasuredTest, RowsAddUpToThePublishedJoules) {
  const MeasuredRows measured = ReadMeasured(kMeasured).value();
  // "J with image" of the table that the rows are from.
  constexpr double kPublished[] = {154, 164, 207, 265, 447, 519, 347, 364};
  ASSERT_EQ(measured.rows.size(), std::size(kPublished));
  for (size_t i = 0; i < measured.rows.size(); ++i) {
    EXPECT_NEAR(measured.rows[i].joules(), kPublished[i], 0.01 * kPublished[i]) << measured.rows[i].model;
    EXPECT_TRUE(FindModelShape(measured.rows[i].model).ok());
  }
  EXPECT_EQ(measured.Measured(1).source, EnergySource::kNvmlCounter);
}

TEST(MeasuredTest, ARowIsOfJustOneRequest) {
  const MeasuredRows measured = ReadMeasured(kMeasured).value();
  EXPECT_NE(measured.Find("InternVL3-8B", Usual("InternVL3-8B", 64).request), nullptr);
  EXPECT_EQ(measured.Find("InternVL3-8B", Usual("InternVL3-8B", 65).request), nullptr);
  EXPECT_EQ(measured.Find("gemma-3-12b", Usual("gemma-3-12b", 64).request), nullptr);
}

TEST(MeasuredTest, ErrorsNameRowAndKey) {
  const std::string head = R"({"label": "l", "machine": "m", "software": "s", "source": "x", "relative_error": 0.1, )";
  const auto message = [&](const std::string& rows) {
    const Result<MeasuredRows> parsed = ParseMeasured(head + rows + "}", "rows.json");
    return parsed.ok() ? "" : parsed.status().message();
  };
  EXPECT_NE(message(R"("rows": 3)").find("rows"), std::string::npos);
  EXPECT_NE(message(R"("rows": [{"model": "a"}])").find("rows[0]"), std::string::npos);
  EXPECT_NE(message(R"("rows": [{"model": "a", "tiles": -1}])").find("tiles"), std::string::npos);
  EXPECT_EQ(message(R"("rows": [])"), "");
}

TEST(ComparisonTest, SharesAreTheSimulatorsStages) {
  const Machine machine = H100();
  const PictureWork work = Usual("Qwen2.5-VL-7B", 64);
  const StageShares shares = SimulatedShares(machine, Engine("graph"), work, 1, machine.clock_max_mhz);
  const auto joules = StageJoules(machine, work.model, Engine("graph"), work.request);
  for (int s = 0; s < kStages; ++s) {
    EXPECT_DOUBLE_EQ(shares[s].joules, joules[s]);
    EXPECT_LE(shares[s].busy_s, shares[s].seconds);
  }
  const auto& bounds = BoundsOf(shares).share;
  EXPECT_NEAR(std::accumulate(bounds.begin(), bounds.end(), 0.0), 1, 1e-12);
}

// Joules go elsewhere in each model, and with the answer's length; eager launches hide it.
TEST(ComparisonTest, ClassesOfUnlikeModels) {
  EXPECT_EQ(ClassOf("SmolVLM-256M", "graph", 16, 1), Bound::kEncoder);
  EXPECT_EQ(ClassOf("LLaVA-OneVision-7B", "graph", 16, 1), Bound::kTokens);
  EXPECT_EQ(ClassOf("LLaVA-1.5-7B", "graph", 16, 1), Bound::kDecode);
  EXPECT_EQ(ClassOf("LLaVA-OneVision-7B", "graph", 256, 1), Bound::kDecode);
  for (const char* model : {"SmolVLM-256M", "LLaVA-OneVision-7B", "LLaVA-1.5-7B"}) {
    EXPECT_EQ(ClassOf(model, "transformers", 64, 1), Bound::kLaunch);
  }
  const MeasuredRows measured = ReadMeasured(kMeasured).value();
  const PictureWork work = Usual("LLaVA-1.5-7B", 64);
  const StageShares shares =
      MeasuredShares(H100(), Engine("transformers"), work, *measured.Find("LLaVA-1.5-7B", work.request));
  EXPECT_NEAR(JoulesOf(shares), 347, 3);
  EXPECT_EQ(BoundsOf(shares).bound(), Bound::kLaunch);
}

TEST(ComparisonTest, LeversFitTheModel) {
  const Machine machine = H100();
  const auto names = [&](const std::string& model, const std::string& software, double batch) {
    std::vector<std::string> found;
    for (const Lever& lever : LeversOf(machine, Engine(software), Usual(model, 16), batch, 0.05)) {
      EXPECT_LT(lever.joules_change, 0) << model << ": " << lever.what;
      found.emplace_back(lever.name);
    }
    return found;
  };
  using Names = std::vector<std::string>;
  EXPECT_EQ(names("SmolVLM-256M", "graph", 1), (Names{"tiles", "batch", "clock", "tokens"}));
  EXPECT_EQ(names("SmolVLM-256M", "transformers", 1).front(), "graph");
  EXPECT_EQ(names("LLaVA-1.5-7B", "graph", 8), (Names{"tokens", "clock"}));  // one tile, and a batch already
}

TEST(RegretTest, OwnProfilesAreTheBestWithinTheBound) {
  const std::vector<PictureWork> works = {Usual("SmolVLM-256M", 64), Usual("LLaVA-OneVision-7B", 64),
                                          Usual("LLaVA-1.5-7B", 64)};
  for (const Layout layout : {Layout::kOneDevice, Layout::kPools}) {
    const RegretSetup setup{.requests = 300, .layout = layout};
    const RegretMatrix matrix = RegretOf(H100(), Engine("graph"), works, setup);
    for (size_t j = 0; j < works.size(); ++j) {
      const TunedModel& model = matrix.models[j];
      const double most_p95_s = (1 + setup.slowdown) * model.untuned.p95_s;
      EXPECT_EQ(matrix.of[j][j].joules, 0);
      EXPECT_EQ(matrix.of[j][j].p95, 0);
      EXPECT_LE(model.tuned.p95_s, most_p95_s);
      EXPECT_LT(model.tuned.joules_per_request, model.untuned.joules_per_request);
      for (size_t i = 0; i < works.size(); ++i) {
        const Regret& regret = matrix.of[i][j];
        const bool within = (1 + regret.p95) * model.tuned.p95_s <= most_p95_s;
        EXPECT_TRUE(!within || regret.joules > -0.01) << i << " on " << j << ": " << regret.joules;
      }
    }
    // A decoder bound by memory takes a clock that makes the prompts of the other wait.
    EXPECT_GT(matrix.of[2][1].p95, kPays);
    EXPECT_TRUE(matrix.of[2][1].pays());
    EXPECT_EQ(Summarize(matrix).pairs, 6);
  }
}

TEST(EnergySinkTest, GetsEveryJoule) {
  const PictureWork work = Usual("SmolVLM-256M", 16);
  const std::vector<double> arrivals = PoissonArrivals(200, 10, 1);
  double joules = 0;
  ServingSetup setup;
  setup.policy = Policy::kOndemand;
  setup.on_energy = [&](double begin_s, double end_s, double piece) {
    EXPECT_LE(begin_s, end_s);
    joules += piece;
  };
  const ServingResult result = Serve(H100(), work.model, Engine("graph"), work.request, arrivals, setup);
  EXPECT_GT(result.switches, 0);
  EXPECT_NEAR(joules / 200, result.joules_per_request, 1e-9 * joules);
}

}  // namespace
}  // namespace eyeshot::simulator
