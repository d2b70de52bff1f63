// What the cost model says of a request is what the ledger counts when it is run, with the built-in model.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "eyeshot/engine.h"
#include "models/model_source.h"
#include "plan/calibrate.h"
#include "plan/cost.h"

namespace eyeshot::plan {
namespace {

const std::string kModel = EYESHOT_SOURCE_DIR "/models/eyeshot-tiny";

ModelAtHand TinyModel() {
  auto source = ModelSource::Open({.path = kModel});
  if (!source.ok()) throw std::runtime_error(source.status().message());
  ModelAtHand model{.name = "eyeshot-tiny", .path = kModel, .config = source->config()};
  model.processing = *source->Processor();
  const Tokenizer tokenizer = *source->ReadTokenizer();
  model.format = *source->ReadPromptFormat(tokenizer);
  return model;
}

void ExpectNear(uint64_t planned, uint64_t counted, double share, const char* what) {
  EXPECT_NEAR(static_cast<double>(planned) / static_cast<double>(counted), 1, share) << what;
}

// With `reduce`, of which the tower's layers leave `left` patches.
void Compare(const std::string& precision, bool split, const std::string& reduce = "none",
             const std::vector<int64_t>& left = {}) {
  const auto engine = Engine::Load({.model = kModel, .precision = precision, .threads = 1});
  ASSERT_TRUE(engine.ok()) << engine.status().message();
  const auto chat = *(*engine)->NewChat();
  Image image{300, 200, std::vector<uint8_t>(300 * 200 * 3, 90), 0, 0};
  AskOptions options;
  options.max_tokens = 6;
  options.ignore_end = true;
  options.reduce = reduce;
  if (!split) options.detail = {PictureDetail::Kind::kLow, 0};
  const auto answer = chat->Ask({std::make_shared<const Image>(std::move(image)), std::string("a a a a a")}, options);
  ASSERT_TRUE(answer.ok()) << answer.status().message();

  const auto backend = *CreateBackend({.threads = 1});
  const ModelAtHand model = TinyModel();
  const Workload workload{.pictures = {{300, 200}}, .question_tokens = 5, .output_tokens = 6};
  const Variant variant{
      .detail = options.detail, .tower_patches = left, .precision = *ParsePrecision(precision, *backend)};
  const MachineSpeed unknown;
  const auto cost = EstimateCost(model, workload, variant, {.backend = backend.get(), .speed = &unknown});
  ASSERT_TRUE(cost.ok()) << cost.status().message();
  EXPECT_EQ(cost->request.tiles, answer->tiles);
  EXPECT_EQ(cost->request.visual_tokens, answer->visual_tokens);
  EXPECT_EQ(cost->request.prompt_tokens, answer->prompt_tokens);
  for (const StageId id : {StageId::kEncode, StageId::kConnect, StageId::kPrefill, StageId::kDecode}) {
    const StageCost& planned = cost->ledger.cost(id);
    const StageCost& counted = answer->ledger.cost(id);
    const std::string name(StageName(id));
    ExpectNear(planned.flops, counted.flops, 0.005, name.c_str());
    ExpectNear(planned.bytes, counted.bytes, 0.02, name.c_str());
    EXPECT_EQ(planned.tokens, counted.tokens) << name;
  }
}

TEST(LedgerOfPlanTest, ExactAndSplit) { Compare("exact", true); }
TEST(LedgerOfPlanTest, PatchesMergedInTheTower) {
  const VisionConfig vision = TinyModel().config.vision;
  std::vector<int64_t> left;  // as MergesOfLayer() of the room reduce: as many less in each layer
  for (int64_t layer = 0, patches = vision.patches(); layer < vision.num_layers; ++layer) {
    patches -= (patches - 64 + vision.num_layers - layer - 1) / (vision.num_layers - layer);
    left.push_back(patches);
  }
  Compare("exact", false, "tome:64", left);
}
TEST(LedgerOfPlanTest, RoundedAndOneTile) { Compare("int8,int4", false); }

TEST(CalibrationTest, EveryClassThatStagesNeedIsMeasured) {
  const auto backend = *CreateBackend({.threads = 1});
  double last = 0;
  const auto calibration = Calibrate(*backend, {.rounds = 1, .shrink = 16, .on_progress = [&](double share) {
                                                  EXPECT_GE(share, last);
                                                  last = share;
                                                  return true;
                                                }});
  ASSERT_TRUE(calibration.ok()) << calibration.status().message();
  EXPECT_GT(last, 0.95);
  EXPECT_EQ(ParseMachineSpeed(MachineSpeedJson(calibration->speed), "s")->picoseconds, calibration->speed.picoseconds);
  for (const char* precision : {"exact", "bf16", "int8", "q8_0", "int4", "q4_0"}) {
    const ModelPrecision formats = *ParsePrecision(precision, *backend);
    const Request request{.tiles = 2, .visual_tokens = 50, .prompt_tokens = 99, .output_tokens = 3};
    for (const auto& stage : OperationsOf(TinyModel().config, *backend, formats, request)) {
      for (const Operation& op : stage) EXPECT_TRUE(calibration->speed.Knows(ClassOf(op))) << ClassOf(op);
    }
    EXPECT_TRUE(calibration->speed.Knows(StageClassOf(StageId::kPrefill, formats.decoder)));
  }
}

TEST(CalibrationTest, CanBeCancelledAndWantsThePortableBackend) {
  const auto backend = *CreateBackend({.threads = 1});
  EXPECT_EQ(Calibrate(*backend, {.on_progress = [](double) { return false; }}).status().code(), StatusCode::kCancelled);
  const auto reference = *CreateBackend({.name = "reference"});
  EXPECT_EQ(Calibrate(*reference, {}).status().code(), StatusCode::kUnsupported);
}

}  // namespace
}  // namespace eyeshot::plan
