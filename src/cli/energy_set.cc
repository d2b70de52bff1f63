#include "cli/energy_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "energy/meters/attribution.h"
#include "energy/meters/sampler.h"
#include "eval/ask.h"
#include "eval/scorers.h"

namespace eyeshot::cli {
namespace {

constexpr double kNormal95 = 1.96;

Result<bool> IsRight(Engine& engine, const eval::Question& question, const SetOptions& options) {
  Ledger ledger;
  EYESHOT_ASSIGN_OR_RETURN(const eval::PromptKind* const plain, eval::FindPromptKind("plain"));
  EYESHOT_ASSIGN_OR_RETURN(const eval::Scorer* const exact, eval::FindScorer("exact"));
  EYESHOT_ASSIGN_OR_RETURN(const std::unique_ptr<Chat> chat, engine.NewChat());
  eval::AskSettings settings{.prompt = plain};
  settings.options.detail = options.detail;
  settings.options.reduce = options.reduce;
  settings.options.cancel = options.cancel;
  if (options.budget != nullptr) {
    settings.prepare = [&](const std::vector<ContentPart>& parts, AskOptions& asked) {
      return options.budget->Plan(parts, engine.info(), asked);
    };
  }
  settings.options.stage_observer = options.governor->observer();
  ledger.Observe(options.governor->observer());  // for the decoding of pictures
  const uint64_t begin = SteadyNowNs();
  EYESHOT_ASSIGN_OR_RETURN(const Answer answer, eval::AskQuestion(engine, *chat, question, settings, ledger));
  options.governor->RequestDone(static_cast<double>(SteadyNowNs() - begin) * 1e-9);
  if (answer.finish_reason == FinishReason::kCancelled) return CancelledError("cancelled");
  if (options.budget != nullptr) options.budget->Observe(answer);
  return exact->score(question, answer.text) == 1;
}

// Of all meters of a group, over one pass.
Joules JoulesOf(const MeterGroup& group, std::span<const MeterTrace> traces, uint64_t begin_ns, uint64_t end_ns,
                std::string* note) {
  Joules sum;
  for (const size_t index : group.meters) {
    const MeterTrace& trace = traces[index];
    const Result<EnergyCurve> curve = EnergyCurve::Make(trace.info, trace.samples);
    const Joules joules = curve.ok() && !trace.last_lost ? curve->Between(begin_ns, end_ns) : Joules();
    if (joules.source == EnergySource::kNone) {
      *note = !trace.failure.ok() ? trace.failure.message()
              : curve.ok()        ? "the questions take less than two periods of the counter"
                                  : curve.status().message();
      return {};
    }
    AddJoules(sum, joules);
  }
  return sum;
}

// So long before and after a pass, that the counter's moves around it are seen.
void WaitForMoves(std::span<const std::unique_ptr<Meter>> meters) {
  double seconds = 0;
  for (const std::unique_ptr<Meter>& meter : meters) seconds = std::max(seconds, meter->info().resolution_s);
  std::this_thread::sleep_for(std::chrono::duration<double>(2 * seconds));
}

}  // namespace

Joules SetFigure::PerCorrect(size_t group) const {
  Joules each = joules[group].joules;
  if (exact == 0) return {};
  for (double* value : {&each.value, &each.low, &each.high}) *value /= static_cast<double>(exact);
  return each;
}

Result<SetFigure> MeasureSet(Engine& engine, const std::string& path, std::span<const eval::Question> questions,
                             const SetOptions& options) {
  SetFigure figure{.path = path, .questions = questions.size()};
  std::vector<std::vector<StageShare>> passes(options.groups.size());
  figure.notes.resize(options.groups.size());
  for (int run = 0; run < options.runs; ++run) {
    Sampler sampler(options.meters);
    WaitForMoves(options.meters);
    const uint64_t begin = SteadyNowNs();
    figure.exact = 0;
    for (const eval::Question& question : questions) {
      const Result<bool> right = IsRight(engine, question, options);
      if (!right.ok()) return right.status().At(fmt::format("question {}", question.id));
      figure.exact += *right ? 1 : 0;
    }
    const uint64_t end = SteadyNowNs();
    figure.seconds += static_cast<double>(end - begin) * 1e-9 / options.runs;
    WaitForMoves(options.meters);
    sampler.Stop();
    const std::vector<MeterTrace> traces = sampler.Traces();
    for (size_t group = 0; group < options.groups.size(); ++group) {
      const Joules joules = JoulesOf(options.groups[group], traces, begin, end, &figure.notes[group]);
      if (joules.source == EnergySource::kNone) continue;
      passes[group].push_back({joules.value, (joules.high - joules.low) / 2 / kNormal95});
    }
  }
  for (size_t group = 0; group < options.groups.size(); ++group) {
    const bool all = passes[group].size() == static_cast<size_t>(options.runs);
    const MeterGroup& meters = options.groups[group];
    // The meter's own error is in the bounds of each pass.
    figure.joules.push_back(Combine(passes[group], 0, all ? meters.source : EnergySource::kNone));
  }
  return figure;
}

}  // namespace eyeshot::cli
