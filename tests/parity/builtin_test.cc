// The built-in model against transformers 5.17 (tests/data/golden/eyeshot-tiny/README.md).
#include <algorithm>
#include <map>

#include "eyeshot/engine.h"
#include "parity.h"

namespace eyeshot::testing {
namespace {

const std::string kModel = EYESHOT_SOURCE_DIR "/models/eyeshot-tiny";
const std::string kGolden = EYESHOT_SOURCE_DIR "/tests/data/golden/eyeshot-tiny/";
constexpr std::string_view kPrecision = "exact";

ModelUnderTest& Model() {
  static ModelUnderTest model(kModel, kPrecision);
  return model;
}

nlohmann::json Golden() { return LoadJson(kGolden + "golden.json"); }

std::vector<ContentPart> Parts(const nlohmann::json& golden) {
  std::vector<Image> images;
  for (const auto& name : golden.at("images")) {
    auto image = LoadImage(kGolden + name.get<std::string>());
    if (!image.ok()) throw std::runtime_error(image.status().message());
    images.push_back(*std::move(image));
  }
  std::vector<ContentPart> parts;
  if (golden.at("video").get<bool>()) {
    auto frames = FramesFromImages(std::move(images), 1.0);
    parts.emplace_back(std::make_shared<const Frames>(*std::move(frames)));
  } else {
    for (Image& image : images) parts.emplace_back(std::make_shared<const Image>(std::move(image)));
  }
  parts.emplace_back(golden.at("question").get<std::string>());
  return parts;
}

// The run of golden `index`, made once for all tests.
const ModelUnderTest::Outputs& RunGolden(size_t index) {
  static std::map<size_t, ModelUnderTest::Outputs> runs;
  const auto found = runs.find(index);
  if (found != runs.end()) return found->second;
  return runs.emplace(index, Model().Run(Parts(Golden()[index]), true)).first->second;
}

// transformers rescales to float32 and normalizes; the mean over millions of pixels is compared.
double PixelMean(const std::vector<uint8_t>& pixels) {
  double sum = 0;
  for (uint8_t value : pixels) sum += value / 127.5 - 1.0;
  return sum / static_cast<double>(pixels.size());
}

TEST(BuiltInModel, StagesAgreeWithTransformers) {
  const nlohmann::json golden = Golden();
  const nlohmann::json steps = LoadJson(kGolden + "rows.json").at("row_step");
  for (size_t i = 0; i < 3; ++i) {
    const auto& outputs = RunGolden(i);
    const std::string name = kGolden + "0" + std::to_string(i);
    EXPECT_EQ(outputs.plan.ids, ExpandIds(golden[i].at("input_ids")));
    EXPECT_NEAR(PixelMean(outputs.pixels), golden[i].at("pixel_values_mean").get<double>(), 1e-6);
    ExpectAgrees("tower", EveryNth(outputs.tower, steps.at("vision")), LoadNpy(name + "_vision_rows.npy"), kPrecision);
    ExpectAgrees("connector", EveryNth(outputs.connector, steps.at("connector")), LoadNpy(name + "_connector_rows.npy"),
                 kPrecision);
    ExpectAgrees("hidden", EveryNth(outputs.hidden, steps.at("hidden")), LoadNpy(name + "_hidden_rows.npy"),
                 kPrecision);
  }
}

TEST(BuiltInModel, PromptsAndBestTokensOfAllGoldens) {
  const nlohmann::json goldens = Golden();
  for (size_t i = 0; i < goldens.size(); ++i) {
    const auto& golden = goldens[i];
    const auto& outputs = RunGolden(i);
    ASSERT_EQ(outputs.plan.ids, ExpandIds(golden.at("input_ids"))) << golden.at("question");
    const auto logits = Model().Logits({outputs.hidden.back().data()});
    const auto& want = golden.at("float32");
    const auto best = std::max_element(logits[0].begin(), logits[0].end()) - logits[0].begin();
    EXPECT_EQ(best, want.at("top10_ids")[0].get<int64_t>()) << golden.at("question");
    const double bound = kIsReference ? 2e-4 : 0.1;
    for (size_t k = 0; k < 10; ++k) {
      const auto id = want.at("top10_ids")[k].get<size_t>();
      EXPECT_NEAR(logits[0][id], want.at("top10_logits")[k].get<double>(), bound) << golden.at("question");
    }
  }
}

TEST(BuiltInModel, GreedyAnswersEqualTheGoldens) {
  auto engine = Engine::Load({.model = kModel, .backend = std::string(kBackend), .on_progress = {}});
  ASSERT_TRUE(engine.ok()) << engine.status().message();
  const std::string precision = kIsReference ? "float32" : "bfloat16";
  int equal = 0;
  for (const auto& golden : Golden()) {
    auto chat = (*engine)->NewChat();
    ASSERT_TRUE(chat.ok());
    auto answer = (*chat)->Ask(Parts(golden));
    ASSERT_TRUE(answer.ok()) << answer.status().message();
    const auto want = golden.at(precision).at("greedy").get<std::string>();
    if (answer->text == want) {
      ++equal;
    } else {
      std::printf("%s: '%s', the golden is '%s'\n", golden.at("question").get<std::string>().c_str(),
                  answer->text.c_str(), want.c_str());
    }
  }
  EXPECT_GE(equal, kIsReference ? 12 : 11);
}

}  // namespace
}  // namespace eyeshot::testing
