#include "cli/energy_solution.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace eyeshot::cli {
namespace {

using Kind = InputPhase::Kind;

// How well a machine repeats itself from phase to phase: clocks and temperature move that much.
constexpr double kDrift = 0.003;
// The power of a board that waits is taken from times in which it waits for longer than in a request; its clocks may
// be others.
constexpr double kWaitingError = 0.1;

// What pictures add beside their tokens.
constexpr StageId kVisionStages[] = {StageId::kDecodeImage, StageId::kPreprocess, StageId::kEncode, StageId::kConnect,
                                     StageId::kReduce};

// One group of meters in one run.
struct RunSolution {
  bool known = false;
  std::string note;
  std::vector<StageShare> stages;  // [kTimes], decode_image included
  StageShare whole;
  double vision_j = 0;  // of decode_image, preprocess, encode, connect and reduce
  double same_length_j = 0;  // of the same request with text instead of the pictures; 0: not known
};

bool IsGpu(EnergySource source) { return source == EnergySource::kNvmlCounter || source == EnergySource::kNvmlPower; }

PhaseRow RowOf(const GroupPower& power, EnergySource source, double more_error = 0) {
  PhaseRow row;
  const std::array<double, kTimes> exposed = power.times.Exposed(source);
  row.seconds.assign(exposed.begin(), exposed.end());
  row.joules = power.watts * power.times.request_s;
  const double error = std::hypot(kDrift, more_error) * row.joules;
  row.sigma_j = std::hypot(power.sigma_w * power.times.request_s, error);
  return row;
}

// Where nothing tells a stage's power, a stage of the GPU is expected to draw what the request does, and one of the
// host to leave the board waiting.
std::vector<double> ExpectedPowers(const GroupPower& request, EnergySource source, const IdlePower* ready) {
  std::vector<double> expected(kTimes, request.watts);
  for (size_t i = 0; i < kTimes; ++i) {
    if (IsGpu(source) && ready != nullptr && ready->watts > 0 && request.times.device_s[i] == 0) {
      expected[i] = ready->watts;
    }
  }
  return expected;
}

class Solver {
 public:
  Solver(const SolveContext& context, size_t group) : context_(context), group_(group) {}

  RunSolution Solve(const InputRun& run, int tokens) const {
    RunSolution solution;
    const GroupPower* request = Power(run, Kind::kAsk, tokens, solution);
    const GroupPower* shortest = Power(run, Kind::kAsk, 1, solution);
    if (request == nullptr || shortest == nullptr) return solution;
    std::vector<PhaseRow> rows = {RowOf(*request, source())};
    if (tokens != 1) rows.push_back(RowOf(*shortest, source()));
    double same_length_j = 0;
    if (run.Find(Kind::kSameLength, 1) != nullptr) {
      const GroupPower* same = Power(run, Kind::kSameLength, 1, solution);
      const GroupPower* preprocess = Power(run, Kind::kPreprocess, 0, solution);
      if (same == nullptr || preprocess == nullptr) return solution;
      rows.push_back(RowOf(*same, source()));
      same_length_j = rows.back().joules;
      rows.push_back(RowOf(*preprocess, source(), kWaitingError));
    }
    AddWaiting(rows);
    const auto powers = SolvePowers(rows, ExpectedPowers(*request, source(), Ready()));
    if (!powers.ok()) {
      solution.note = powers.status().message();
      return solution;
    }
    solution.stages = SharesOf(rows[0], *powers);
    solution.whole = {rows[0].joules, request->sigma_w * request->times.request_s};
    if (same_length_j > 0) {
      solution.same_length_j = rows[0].joules - (RowOf(*shortest, source()).joules - same_length_j);
    }
    if (run.Find(Kind::kDecodeImage, 0) != nullptr && !AddDecodeImage(run, solution)) return solution;
    for (const StageId id : kVisionStages) {
      solution.vision_j += solution.stages[static_cast<size_t>(id)].joules;
    }
    solution.known = true;
    return solution;
  }

 private:
  EnergySource source() const { return context_.groups[group_].source; }
  const IdlePower* Ready() const { return context_.ready[group_].has_value() ? &*context_.ready[group_] : nullptr; }

  const GroupPower* Power(const InputRun& run, Kind kind, int tokens, RunSolution& solution) const {
    const PhaseResult* phase = run.Find(kind, tokens);
    if (phase == nullptr) return nullptr;
    const GroupPower& power = phase->groups[group_];
    if (power.known) return &power;
    solution.note = fmt::format("{}: {}", phase->name, power.note);
    return nullptr;
  }

  void AddWaiting(std::vector<PhaseRow>& rows) const {
    if (!IsGpu(source()) || Ready() == nullptr || Ready()->watts <= 0) return;
    PhaseRow row{.seconds = std::vector<double>(kTimes, 0.0), .joules = Ready()->watts};
    row.seconds[kBetween] = 1;
    row.sigma_j = kWaitingError * row.joules;
    rows.push_back(std::move(row));
  }

  // Files are decoded before the request, and by themselves.
  bool AddDecodeImage(const InputRun& run, RunSolution& solution) const {
    const GroupPower* decoding = Power(run, Kind::kDecodeImage, 0, solution);
    if (decoding == nullptr) return false;
    const PhaseRow row = RowOf(*decoding, source());
    solution.stages[static_cast<size_t>(StageId::kDecodeImage)] = {row.joules, row.sigma_j};
    solution.whole.joules += row.joules;
    solution.whole.sigma_j = std::hypot(solution.whole.sigma_j, row.sigma_j);
    return true;
  }

  const SolveContext& context_;
  size_t group_;
};

Ratio RatioOf(const std::vector<double>& values) {
  Ratio ratio{.low = values[0], .high = values[0]};
  for (const double value : values) {
    ratio.value += value / static_cast<double>(values.size());
    ratio.low = std::min(ratio.low, value);
    ratio.high = std::max(ratio.high, value);
  }
  return ratio;
}

std::optional<InflationFigure> InflationOf(const std::vector<RunSolution>& pictures,
                                           const std::vector<RunSolution>& text) {
  std::vector<double> prompt_only;
  std::vector<double> encode;
  std::vector<double> tokens;
  std::vector<double> iso;
  for (size_t i = 0; i < std::min(pictures.size(), text.size()); ++i) {
    const RunSolution& with = pictures[i];
    const double without = text[i].whole.joules;
    if (!with.known || !text[i].known || without <= 0 || with.same_length_j <= 0) return std::nullopt;
    prompt_only.push_back(with.whole.joules / without - 1);
    encode.push_back(with.vision_j / without);
    tokens.push_back(prompt_only.back() - encode.back());
    iso.push_back(with.whole.joules / with.same_length_j - 1);
  }
  if (iso.empty()) return std::nullopt;
  return InflationFigure{RatioOf(prompt_only), RatioOf(encode), RatioOf(tokens), RatioOf(iso)};
}

constexpr auto kDecoding = static_cast<size_t>(StageId::kDecodeImage);

// The phase that a stage of a request is taken from: files are decoded in one of their own.
const PhaseResult& PhaseWith(const InputRun& run, int tokens, size_t stage) {
  const PhaseResult* decoding = stage == kDecoding ? run.Find(Kind::kDecodeImage, 0) : nullptr;
  const PhaseResult* phase = decoding != nullptr ? decoding : run.Find(Kind::kAsk, tokens);
  EYESHOT_CHECK(phase != nullptr);
  return *phase;
}

// Times and counts of all runs, which need no meter.
void AddTimes(std::span<const InputRun> runs, int tokens, RequestFigure& figure) {
  const auto share = 1 / static_cast<double>(runs.size());
  for (const InputRun& run : runs) {
    const PhaseResult& ask = PhaseWith(run, tokens, kBetween);
    const PhaseResult* decoding = run.Find(Kind::kDecodeImage, 0);
    figure.requests += ask.requests;
    figure.gpu = ask.gpu;
    for (size_t i = 0; i < kTimes; ++i) {
      const PhaseResult& phase = PhaseWith(run, tokens, i);
      figure.stages[i].wall_s += share * phase.times.wall_s[i];
      figure.stages[i].device_s += share * phase.times.device_s[i];
      if (i < kStageCount) figure.stages[i].counts = phase.mean.cost(static_cast<StageId>(i));
    }
    figure.seconds += share * ask.times.request_s;
    if (decoding != nullptr) figure.seconds += share * decoding->times.wall_s[kDecoding];
  }
}

std::vector<RunSolution> SolveRuns(const SolveContext& context, size_t group, std::span<const InputRun> runs,
                                   int tokens) {
  std::vector<RunSolution> solutions;
  for (const InputRun& run : runs) solutions.push_back(Solver(context, group).Solve(run, tokens));
  return solutions;
}

// A stage that can't be told apart has an estimate, and is called so.
Repeated StageOf(const std::vector<RunSolution>& solutions, size_t stage, const MeterGroup& group) {
  std::vector<StageShare> shares;
  shares.reserve(solutions.size());
  for (const RunSolution& solution : solutions) shares.push_back(solution.stages[stage]);
  Repeated repeated = Combine(shares, group.relative_error, group.source);
  if (!repeated.resolved) repeated.joules.source = EnergySource::kModel;
  return repeated;
}

// The times of the requests that a group's joules are of.
double MeanExposed(std::span<const InputRun> runs, int tokens, size_t stage, size_t group, EnergySource source) {
  double sum = 0;
  for (const InputRun& run : runs) {
    sum += PhaseWith(run, tokens, stage).groups[group].times.Exposed(source)[stage];
  }
  return sum / static_cast<double>(runs.size());
}

double MeanMeasured(std::span<const InputRun> runs, int tokens, size_t group) {
  double sum = 0;
  for (const InputRun& run : runs) {
    sum += PhaseWith(run, tokens, kBetween).groups[group].times.request_s;
    const PhaseResult* decoding = run.Find(Kind::kDecodeImage, 0);
    if (decoding != nullptr) sum += decoding->groups[group].times.wall_s[kDecoding];
  }
  return sum / static_cast<double>(runs.size());
}

void AddGroup(const SolveContext& context, size_t group, std::span<const InputRun> runs, int tokens,
              std::span<const InputRun> text, RequestFigure& figure) {
  const std::vector<RunSolution> solutions = SolveRuns(context, group, runs, tokens);
  const auto unknown =
      std::find_if(solutions.begin(), solutions.end(), [](const RunSolution& one) { return !one.known; });
  const IdlePower* idle = context.idle[group].has_value() ? &*context.idle[group] : nullptr;
  const auto active = [&](const Joules& joules, double seconds) {
    return idle == nullptr ? Joules() : WithoutIdle(joules, static_cast<uint64_t>(seconds * 1e9), *idle);
  };
  figure.inflation.emplace_back();
  figure.notes.push_back(unknown == solutions.end() ? "" : unknown->note);
  if (unknown != solutions.end()) {
    figure.joules.emplace_back();
    figure.active.emplace_back();
    figure.measured_s.push_back(0);
    for (StageFigure& stage : figure.stages) {
      stage.joules.emplace_back();
      stage.active.emplace_back();
      stage.exposed_s.emplace_back();
    }
    return;
  }
  const MeterGroup& meters = context.groups[group];
  std::vector<StageShare> wholes;
  wholes.reserve(solutions.size());
  for (const RunSolution& solution : solutions) wholes.push_back(solution.whole);
  figure.joules.push_back(Combine(wholes, meters.relative_error, meters.source));
  figure.measured_s.push_back(MeanMeasured(runs, tokens, group));
  figure.active.push_back(active(figure.joules.back().joules, figure.measured_s.back()));
  for (size_t i = 0; i < kTimes; ++i) {
    StageFigure& stage = figure.stages[i];
    stage.joules.push_back(StageOf(solutions, i, meters));
    stage.exposed_s.push_back(MeanExposed(runs, tokens, i, group, meters.source));
    stage.active.push_back(active(stage.joules.back().joules, stage.exposed_s.back()));
  }
  if (!text.empty()) figure.inflation.back() = InflationOf(solutions, SolveRuns(context, group, text, tokens));
}

}  // namespace

std::string InputPhase::Name() const {
  switch (kind) {
    case Kind::kDecodeImage: return "decode_image";
    case Kind::kPreprocess: return "preprocess";
    case Kind::kSameLength: return "as many tokens of text";
    case Kind::kAsk: break;
  }
  return fmt::format("{} token{}", tokens, tokens == 1 ? "" : "s");
}

const PhaseResult* InputRun::Find(InputPhase::Kind kind, int tokens) const {
  for (const auto& [part, result] : phases) {
    if (part.kind == kind && part.tokens == tokens) return &result;
  }
  return nullptr;
}

void AddModelGroup(std::span<RequestFigure> requests,
                   const std::function<Joules(const StageFigure& stage)>& joules_of) {
  for (RequestFigure& request : requests) {
    Joules whole{.source = EnergySource::kModel};
    for (StageFigure& stage : request.stages) {
      const Joules joules = joules_of(stage);
      AddJoules(whole, joules);
      stage.joules.push_back({.joules = joules, .resolved = true});
      stage.active.emplace_back();
      stage.exposed_s.push_back(stage.busy_s());
    }
    request.joules.push_back({.joules = whole, .resolved = true});
    request.active.emplace_back();
    request.measured_s.push_back(request.seconds);
    request.inflation.emplace_back();
    request.notes.emplace_back();
  }
  for (RequestFigure& request : requests) {
    const auto text = std::find_if(requests.begin(), requests.end(), [&](const RequestFigure& other) {
      return other.pictures == 0 && other.tokens == request.tokens;
    });
    if (request.pictures == 0 || text == requests.end()) continue;
    RunSolution with{.known = true, .whole = {request.joules.back().joules.value, 0}};
    for (const StageId id : kVisionStages) {
      with.vision_j += request.stages[static_cast<size_t>(id)].joules.back().joules.value;
    }
    with.same_length_j = with.whole.joules - with.vision_j;
    RunSolution without{.known = true, .whole = {text->joules.back().joules.value, 0}};
    request.inflation.back() = InflationOf({with}, {without});
  }
}

RequestFigure FigureOf(const SolveContext& context, std::span<const InputRun> runs, int tokens,
                       std::span<const InputRun> text) {
  RequestFigure figure{.tokens = tokens, .stages = std::vector<StageFigure>(kTimes)};
  AddTimes(runs, tokens, figure);
  for (size_t group = 0; group < context.groups.size(); ++group) AddGroup(context, group, runs, tokens, text, figure);
  return figure;
}

}  // namespace eyeshot::cli
