// SmolVLM-256M at its true shape, with weights from a seed, against transformers 5.17 in float32
// (tests/golden/true_shape.py; fields in tests/golden/README.md), at each precision that the backend under test has.
#include <algorithm>
#include <optional>

#include "parity.h"

namespace eyeshot::testing {
namespace {

// A seeded checkpoint has the name of its golden's folder.
const std::string kGoldens = EYESHOT_SOURCE_DIR "/tests/data/golden/";
constexpr std::string_view kPlain = "smolvlm-256m";
constexpr std::string_view kOutliers = "smolvlm-256m-outliers";

struct Variant {
  std::string_view checkpoint;
  std::string_view precision;
};

std::string GoldenFolder(const Variant& variant) { return kGoldens + std::string(variant.checkpoint) + "/"; }

// Loaded once for the tests of a variant; one at a time, since each takes up to 600 MB.
ModelUnderTest& Model(const Variant& variant) {
  static std::optional<ModelUnderTest> model;
  static std::string loaded;
  const std::string name = std::string(variant.checkpoint) + " " + std::string(variant.precision);
  if (loaded != name) {
    model.reset();
    model.emplace(EYESHOT_SEEDED_CHECKPOINTS "/" + std::string(variant.checkpoint), variant.precision);
    loaded = name;
  }
  return *model;
}

// The question between the template's strings.
std::string Question(const std::string& prompt) {
  const std::string before = "<image>";
  const size_t begin = prompt.find(before) + before.size();
  return prompt.substr(begin, prompt.find("<end_of_utterance>") - begin);
}

ModelUnderTest::Outputs RunCase(const Variant& variant, const nlohmann::json& golden, const std::string& name) {
  const nlohmann::json& test_case = golden.at(name);
  auto image = LoadImage(GoldenFolder(variant) + golden.at("picture").get<std::string>());
  if (!image.ok()) throw std::runtime_error(image.status().message());
  auto outputs = Model(variant).Run(
      {std::make_shared<const Image>(*std::move(image)), Question(test_case.at("prompt").get<std::string>())}, false);
  EXPECT_EQ(outputs.plan.ids, ExpandIds(test_case.at("input_ids")));
  return outputs;
}

// Logits at the positions of a case, restricted to the golden's columns.
void ExpectLogitsAgree(const Variant& variant, const std::vector<std::vector<float>>& logits,
                       const nlohmann::json& columns, const Array& want) {
  std::vector<std::vector<float>> restricted;
  for (const auto& row : logits) {
    restricted.emplace_back();
    for (const auto& column : columns) restricted.back().push_back(row[column.get<size_t>()]);
  }
  ExpectAgrees("logits", EveryNth(restricted, 1), want, variant.precision);
}

std::vector<const float*> RowsAt(const std::vector<std::vector<float>>& rows, const nlohmann::json& positions) {
  std::vector<const float*> picked;
  for (const auto& position : positions) picked.push_back(rows.at(position.get<size_t>()).data());
  return picked;
}

// CTest's name of a case ends with this.
void PrintTo(const Variant& variant, std::ostream* out) { *out << variant.precision; }
std::string PrecisionOf(const ::testing::TestParamInfo<Variant>& test) { return std::string(test.param.precision); }

class TrueShape : public ::testing::TestWithParam<Variant> {};

TEST_P(TrueShape, TowerConnectorAndLogitsOfAShortPrompt) {
  const Variant& variant = GetParam();
  const std::string folder = GoldenFolder(variant);
  const nlohmann::json golden = LoadJson(folder + "true_shape.json");
  const auto outputs = RunCase(variant, golden, "short");
  ExpectAgrees("tower", EveryNth(outputs.tower, golden.at("tower_row_step").get<int64_t>()),
               LoadNpy(folder + "tower.npy"), variant.precision);
  ExpectAgrees("connector", EveryNth(outputs.connector, golden.at("connector_row_step").get<int64_t>()),
               LoadNpy(folder + "connector.npy"), variant.precision);
  const auto logits = Model(variant).Logits(RowsAt(outputs.hidden, golden.at("short").at("positions")));
  ExpectLogitsAgree(variant, logits, golden.at("columns"), LoadNpy(folder + "short_logits.npy"));
}

#if EYESHOT_TEST_IS_FAST

INSTANTIATE_TEST_SUITE_P(Precisions, TrueShape,
                         ::testing::Values(Variant{kPlain, "exact"}, Variant{kPlain, "bf16"}, Variant{kPlain, "int8"},
                                           Variant{kPlain, "auto"}, Variant{kPlain, "int4"}),
                         PrecisionOf);
INSTANTIATE_TEST_SUITE_P(Outliers, TrueShape, ::testing::Values(Variant{kOutliers, "bf16"}, Variant{kOutliers, "int8"}),
                         PrecisionOf);

// The oracle would need minutes for these 530 tokens.
TEST(TrueShapeLong, LogitsAndBestTokens) {
  const Variant variant = {kPlain, "exact"};
  const std::string folder = GoldenFolder(variant);
  const nlohmann::json golden = LoadJson(folder + "true_shape.json");
  const auto outputs = RunCase(variant, golden, "long");
  const auto logits = Model(variant).Logits(RowsAt(outputs.hidden, golden.at("long").at("positions")));
  ExpectLogitsAgree(variant, logits, golden.at("columns"), LoadNpy(folder + "logits.npy"));

  int sure = 0;
  int same = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const auto best = std::max_element(logits[i].begin(), logits[i].end()) - logits[i].begin();
    const bool is_sure = golden.at("sure")[i].get<int>() != 0;
    sure += is_sure ? 1 : 0;
    same += is_sure && best == golden.at("top1")[i].get<int64_t>() ? 1 : 0;
  }
  std::printf("same best token at %d of %d positions whose gap exceeds 4 times the bf16 RMS\n", same, sure);
  EXPECT_GE(sure, 100);
  EXPECT_GE(same, sure * 98 / 100.0);
}

#else

INSTANTIATE_TEST_SUITE_P(Precisions, TrueShape, ::testing::Values(Variant{kPlain, "exact"}), PrecisionOf);

#endif

}  // namespace
}  // namespace eyeshot::testing
