// From the phases of `eyeshot energy` to joules of stages.
#ifndef EYESHOT_CLI_ENERGY_SOLUTION_H_
#define EYESHOT_CLI_ENERGY_SOLUTION_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "cli/energy_phases.h"

namespace eyeshot::cli {

// What a phase of an input repeats.
struct InputPhase {
  enum class Kind {
    kDecodeImage,  // decodes the pictures' files
    kPreprocess,   // resizes them and cuts them into tiles
    kSameLength,   // a prompt of as many tokens, without pictures
    kAsk,          // the question
  };
  Kind kind = Kind::kAsk;
  int tokens = 0;  // of the answer

  std::string Name() const;
};

// All phases of one input in one run.
struct InputRun {
  std::vector<std::pair<InputPhase, PhaseResult>> phases;

  const PhaseResult* Find(InputPhase::Kind kind, int tokens) const;
};

// One stage of a request, of all runs together.
struct StageFigure {
  double wall_s = 0;
  double device_s = 0;
  StageCost counts;  // FLOPs, bytes, tokens; times are those above
  std::vector<Repeated> joules;  // by group of meters
  std::vector<Joules> active;    // without what idling takes
  std::vector<double> exposed_s;  // by group: the time that the joules are of (RequestTimes::Exposed)

  double busy_s() const { return device_s > 0 ? device_s : wall_s; }
};

// The energy of a request over its text-only twin, less one. Mean over the runs, with the lowest and highest.
struct Ratio {
  double value = 0;
  double low = 0;
  double high = 0;
};
struct InflationFigure {
  Ratio prompt_only;   // the same question without pictures
  Ratio encode_share;  // of it: decoding, preprocessing, encoding pictures
  Ratio token_share;   // of it: the longer prompt, in prefill and decode
  Ratio iso_token;     // as many tokens, all of them text
};

// A question with pictures or without, and an answer of `tokens`.
struct RequestFigure {
  std::string input;  // "512x512 x 4"; "text": the question alone
  int tokens = 0;
  int pictures = 0;
  int64_t tiles = 0;
  int64_t visual_tokens = 0;
  int64_t prompt_tokens = 0;
  size_t requests = 0;  // that were run, of all runs together
  double seconds = 0;
  std::vector<StageFigure> stages;  // [kTimes]
  std::vector<Repeated> joules;     // the whole request, by group
  std::vector<Joules> active;
  // By group: of the requests that the joules are of, between two moves of the counter, which `seconds` may not all be.
  std::vector<double> measured_s;
  std::vector<std::optional<InflationFigure>> inflation;  // by group; of questions with pictures
  std::optional<GpuReading> gpu;  // at the end of the last phase of these requests
  std::vector<std::string> notes;  // why a group has no figure
};

struct SolveContext {
  std::span<const MeterGroup> groups;
  std::span<const std::optional<IdlePower>> idle;
  std::span<const std::optional<IdlePower>> ready;
};

// Adds a group whose joules of a stage are `joules_of` its time and counts: a model's, of which nothing is measured.
// `requests` are of one model; those without pictures are the twins of the others.
void AddModelGroup(std::span<RequestFigure> requests, const std::function<Joules(const StageFigure& stage)>& joules_of);

// A request with an answer of `tokens`, of an input's runs. `text`: those of the question without pictures; empty where
// the input is that itself.
RequestFigure FigureOf(const SolveContext& context, std::span<const InputRun> runs, int tokens,
                       std::span<const InputRun> text);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_ENERGY_SOLUTION_H_
