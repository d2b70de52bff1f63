#include "cli/energy_solution.h"

#include <gtest/gtest.h>

#include <cmath>
#include <utility>
#include <vector>

namespace eyeshot::cli {
namespace {

using Kind = InputPhase::Kind;
constexpr double kWaiting = 110;  // watts of a board that waits

// What a stage takes in a phase, and its power.
struct Part {
  size_t stage = 0;
  double seconds = 0;
  double watts = 0;
};
constexpr size_t Index(StageId id) { return static_cast<size_t>(id); }

PhaseResult PhaseOf(const std::vector<Part>& parts, bool gpu, double error = 0) {
  PhaseResult phase{.name = "phase", .requests = 10};
  double joules = 0;
  for (const Part& part : parts) {
    const bool device = gpu && part.watts > kWaiting;
    phase.times.wall_s[part.stage] = part.seconds;
    if (device) phase.times.device_s[part.stage] = part.seconds;
    phase.times.request_s += part.seconds;
    joules += part.seconds * part.watts;
    if (part.stage < kStageCount) {
      phase.mean.Add(static_cast<StageId>(part.stage), {.tokens = 10, .runs = 1});
    }
  }
  const double watts = joules * (1 + error) / phase.times.request_s;
  phase.groups.push_back({.known = true, .watts = watts, .sigma_w = 0.003 * watts, .times = phase.times});
  return phase;
}

const Part kDecodeImage{Index(StageId::kDecodeImage), 0.004, kWaiting};
const Part kPreprocess{Index(StageId::kPreprocess), 0.003, kWaiting};
const Part kEncode{Index(StageId::kEncode), 0.012, 620};
const Part kConnect{Index(StageId::kConnect), 0.0002, 430};
const Part kLongPrefill{Index(StageId::kPrefill), 0.006, 520};
const Part kShortPrefill{Index(StageId::kPrefill), 0.002, 300};
const Part kSampling{Index(StageId::kDecode), 0.0001, 180};
const Part kAnswer{Index(StageId::kDecode), 0.060, 180};
const Part kRest{kBetween, 0.0003, kWaiting};

InputRun PictureRun(bool gpu, double error = 0) {
  InputRun run;
  run.phases = {
      {{Kind::kDecodeImage, 0}, PhaseOf({kDecodeImage}, gpu)},
      {{Kind::kPreprocess, 0}, PhaseOf({kPreprocess}, gpu)},
      {{Kind::kSameLength, 1}, PhaseOf({kLongPrefill, kSampling, kRest}, gpu, -error)},
      {{Kind::kAsk, 1}, PhaseOf({kPreprocess, kEncode, kConnect, kLongPrefill, kSampling, kRest}, gpu, error)},
      {{Kind::kAsk, 64}, PhaseOf({kPreprocess, kEncode, kConnect, kLongPrefill, kAnswer, kRest}, gpu)}};
  return run;
}

InputRun TextRun(bool gpu) {
  InputRun run;
  run.phases = {{{Kind::kAsk, 1}, PhaseOf({kShortPrefill, kSampling, kRest}, gpu)},
                {{Kind::kAsk, 64}, PhaseOf({kShortPrefill, kAnswer, kRest}, gpu)}};
  return run;
}

class EnergySolutionTest : public ::testing::TestWithParam<bool> {
 protected:
  RequestFigure Solve(const std::vector<InputRun>& runs, const std::vector<InputRun>& text) const {
    const MeterGroup group{
        .name = "meter", .source = GetParam() ? EnergySource::kNvmlCounter : EnergySource::kRapl, .meters = {0}};
    const std::optional<IdlePower> idle = IdlePower{70, 69, 71};
    const std::optional<IdlePower> ready = IdlePower{kWaiting, kWaiting - 1, kWaiting + 1};
    return FigureOf({.groups = {&group, 1}, .idle = {&idle, 1}, .ready = {&ready, 1}}, runs, 64, text);
  }
};
INSTANTIATE_TEST_SUITE_P(Meters, EnergySolutionTest, ::testing::Values(false, true));

double Sum(const RequestFigure& figure) {
  double sum = 0;
  for (const StageFigure& stage : figure.stages) sum += stage.joules[0].joules.value;
  return sum;
}

TEST_P(EnergySolutionTest, KnownPowersGiveKnownJoules) {
  const RequestFigure figure = Solve({PictureRun(GetParam())}, {TextRun(GetParam())});
  double whole = 0;
  for (const Part& part : {kDecodeImage, kPreprocess, kEncode, kConnect, kLongPrefill, kAnswer, kRest}) {
    const double joules = part.seconds * part.watts;
    whole += joules;
    const Repeated& stage = figure.stages[part.stage].joules[0];
    if (part.stage == kBetween || part.stage == Index(StageId::kConnect)) {
      EXPECT_NEAR(stage.joules.value, joules, 0.1);
      continue;
    }
    EXPECT_TRUE(stage.resolved) << TimeName(part.stage);
    // A processor's power between stages is not known: of the prefill, which is told from it by nothing, 2 %.
    EXPECT_NEAR(stage.joules.value / joules, 1, GetParam() ? 0.01 : 0.02) << TimeName(part.stage);
    EXPECT_LE(stage.joules.low, joules) << TimeName(part.stage);
    EXPECT_GE(stage.joules.high, joules) << TimeName(part.stage);
  }
  EXPECT_NEAR(figure.joules[0].joules.value, whole, 1e-9);
  EXPECT_NEAR(Sum(figure), whole, 1e-9);
  EXPECT_FALSE(figure.stages[Index(StageId::kConnect)].joules[0].resolved);
  EXPECT_EQ(figure.stages[Index(StageId::kConnect)].joules[0].joules.source, EnergySource::kModel);
  EXPECT_NEAR(figure.active[0].value, whole - 70 * figure.seconds, 1e-6);
}

// A counter that moves seldom is read over some of a phase's requests, which may take longer than the others.
TEST_P(EnergySolutionTest, JoulesHaveTheTimesOfTheirOwnRequests) {
  std::vector<InputRun> runs = {PictureRun(GetParam())};
  const RequestFigure same = Solve(runs, {});
  for (auto& [part, phase] : runs[0].phases) {
    RequestTimes& times = phase.groups[0].times;
    times.request_s *= 1.25;
    for (double& seconds : times.wall_s) seconds *= 1.25;
    for (double& seconds : times.device_s) seconds *= 1.25;
  }
  const RequestFigure figure = Solve(runs, {});
  EXPECT_DOUBLE_EQ(figure.seconds, same.seconds);
  EXPECT_NEAR(figure.measured_s[0], 1.25 * same.seconds, 1e-12);
  EXPECT_NEAR(figure.joules[0].joules.value / figure.measured_s[0], same.joules[0].joules.value / same.seconds, 1e-6);
  const StageFigure& encode = figure.stages[Index(StageId::kEncode)];
  EXPECT_NEAR(encode.exposed_s[0], 1.25 * encode.wall_s, 1e-12);
  EXPECT_NEAR(encode.joules[0].joules.value / encode.exposed_s[0],
              same.stages[Index(StageId::kEncode)].joules[0].joules.value / encode.wall_s, 1e-3 * 620);
}

TEST_P(EnergySolutionTest, InflationIsSplit) {
  const RequestFigure figure = Solve({PictureRun(GetParam())}, {TextRun(GetParam())});
  ASSERT_TRUE(figure.inflation[0].has_value());
  const InflationFigure& inflation = *figure.inflation[0];
  const double text = 0.002 * 300 + 0.060 * 180 + 0.0003 * kWaiting;
  const double vision = 0.007 * kWaiting + 0.012 * 620 + 0.0002 * 430;
  const double longer = 0.006 * 520 - 0.002 * 300;
  EXPECT_NEAR(inflation.prompt_only.value, (vision + longer) / text, 0.001);
  EXPECT_NEAR(inflation.encode_share.value, vision / text, 0.01);
  EXPECT_NEAR(inflation.token_share.value, longer / text, 0.01);
  EXPECT_NEAR(inflation.iso_token.value, vision / (text + longer), 0.001);
}

TEST_P(EnergySolutionTest, SumsAreExactOnEveryRunAndNothingIsNegative) {
  for (const double error : {-0.3, -0.05, 0.02, 0.4}) {
    const RequestFigure figure = Solve({PictureRun(GetParam(), error), PictureRun(GetParam(), -error / 2)}, {});
    EXPECT_NEAR(Sum(figure), figure.joules[0].joules.value, 1e-9) << error;
    for (const StageFigure& stage : figure.stages) {
      EXPECT_GE(stage.joules[0].joules.value, 0) << error;
      EXPECT_GE(stage.joules[0].joules.low, 0) << error;
    }
    EXPECT_FALSE(figure.inflation[0].has_value());
  }
}

TEST_P(EnergySolutionTest, AnUnknownPhaseHasNoFigureButAReason) {
  InputRun run = PictureRun(GetParam());
  run.phases[2].second.groups[0] = {.note = "the counter was reset"};
  const RequestFigure figure = Solve({PictureRun(GetParam()), run}, {TextRun(GetParam())});
  EXPECT_EQ(figure.joules[0].joules.source, EnergySource::kNone);
  EXPECT_EQ(figure.stages[Index(StageId::kEncode)].joules[0].joules.source, EnergySource::kNone);
  EXPECT_EQ(figure.notes[0], "phase: the counter was reset");
  EXPECT_GT(figure.seconds, 0.08);
}

}  // namespace
}  // namespace eyeshot::cli
