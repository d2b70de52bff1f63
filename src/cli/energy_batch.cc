#include "cli/energy_batch.h"

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <future>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "energy/meters/attribution.h"
#include "runtime/metered_scheduler.h"

namespace eyeshot::cli {
namespace {

// A meter that somebody else owns.
class BorrowedMeter final : public Meter {
 public:
  explicit BorrowedMeter(Meter& meter) : meter_(meter) {}
  const MeterInfo& info() const override { return meter_.info(); }
  Result<EnergySample> Read() override { return meter_.Read(); }

 private:
  Meter& meter_;
};

// What is known of a question that was asked.
struct Asked {
  std::shared_future<Result<Answer>> answer;
  uint64_t begin_ns = 0;
  std::shared_ptr<std::atomic<uint64_t>> first_ns;  // 0: nothing was said
};

double SecondsBetween(uint64_t begin_ns, uint64_t end_ns) { return static_cast<double>(end_ns - begin_ns) * 1e-9; }

class BatchRun {
 public:
  BatchRun(std::span<const std::shared_ptr<const Image>> pictures, const BatchOptions& options)
      : pictures_(pictures), options_(options) {}

  // The figures of one batch are added to those of others. Its number makes its pictures others.
  Status Ask(Scheduler& scheduler, int number, BatchFigure& figure) {
    const uint64_t begin = SteadyNowNs();
    std::vector<Asked> asked;
    for (int i = 0; i < options_.batch; ++i) {
      EYESHOT_ASSIGN_OR_RETURN(Asked one, Submit(scheduler, number * options_.batch + i));
      asked.push_back(std::move(one));
    }
    figure.each.clear();
    for (const Asked& one : asked) EYESHOT_RETURN_IF_ERROR(Take(one, figure));
    figure.seconds += SecondsBetween(begin, SteadyNowNs());
    return Status::Ok();
  }

 private:
  Result<Asked> Submit(Scheduler& scheduler, int number) const {
    GenerateRequest request;
    std::vector<ContentPart> parts;
    for (const std::shared_ptr<const Image>& picture : pictures_) {
      auto other = std::make_shared<Image>(*picture);
      for (size_t byte = 0; byte < 3 && byte < other->rgb.size(); ++byte) {
        other->rgb[byte] = static_cast<uint8_t>(number >> (8 * byte));
      }
      parts.emplace_back(std::shared_ptr<const Image>(std::move(other)));
    }
    parts.emplace_back(options_.question);
    request.messages = {Message::User(std::move(parts))};
    request.options.max_tokens = options_.tokens;
    request.options.ignore_end = true;
    request.options.detail = options_.detail;
    request.options.reduce = options_.reduce;
    Asked asked{.first_ns = std::make_shared<std::atomic<uint64_t>>(0)};
    request.on_text = [first = asked.first_ns](std::string_view) {
      uint64_t none = 0;
      first->compare_exchange_strong(none, SteadyNowNs());
    };
    auto promise = std::make_shared<std::promise<Result<Answer>>>();
    asked.answer = promise->get_future().share();
    request.on_done = [promise](Result<Answer> answer) { promise->set_value(std::move(answer)); };
    asked.begin_ns = SteadyNowNs();
    EYESHOT_RETURN_IF_ERROR(scheduler.Submit(std::move(request)).status());
    return asked;
  }

  Status Take(const Asked& asked, BatchFigure& figure) const {
    while (asked.answer.wait_for(std::chrono::milliseconds(50)) != std::future_status::ready) {
      if (options_.interrupt->happened()) return CancelledError("cancelled");
    }
    const Result<Answer>& answer = asked.answer.get();
    if (!answer.ok()) return answer.status();
    if (answer->completion_tokens < options_.tokens) {
      return ContextFullError(fmt::format("{} prompt tokens and {} of answer don't fit into a context of {}",
                                          answer->prompt_tokens, options_.tokens, answer->context_tokens),
                              "take fewer or smaller pictures, or shorter answers");
    }
    if (const uint64_t first = asked.first_ns->load(); first > 0) {
      figure.first_token_s += SecondsBetween(asked.begin_ns, first);
    }
    const Joules joules = answer->ledger.total_joules();
    figure.each.push_back(joules);
    AddJoules(figure.questions, joules);
    for (size_t i = 0; i < kStageCount; ++i) {
      const auto id = static_cast<StageId>(i);
      if (answer->ledger.cost(id).runs > 0) figure.request.Add(id, answer->ledger.cost(id));
    }
    return Status::Ok();
  }

  std::span<const std::shared_ptr<const Image>> pictures_;
  const BatchOptions& options_;
};

// Sums of all runs to means.
Ledger MeanOf(const Ledger& sum, double questions) {
  Ledger mean;
  for (size_t i = 0; i < kStageCount; ++i) {
    const auto id = static_cast<StageId>(i);
    const StageCost& cost = sum.cost(id);
    if (cost.runs == 0) continue;
    const auto part = [&](uint64_t value) { return static_cast<uint64_t>(static_cast<double>(value) / questions); };
    Joules joules = cost.joules;
    for (double* value : {&joules.value, &joules.low, &joules.high}) *value /= questions;
    mean.Add(id, {.wall_ns = part(cost.wall_ns),
                  .device_ns = part(cost.device_ns),
                  .bytes = part(cost.bytes),
                  .flops = part(cost.flops),
                  .tokens = part(cost.tokens),
                  .runs = 1});
    mean.SetJoules(id, joules);
  }
  return mean;
}

}  // namespace

Result<BatchFigure> MeasureBatch(const std::shared_ptr<Engine>& engine, const std::string& input,
                                 std::span<const std::shared_ptr<const Image>> pictures, const BatchOptions& options) {
  std::vector<std::unique_ptr<Meter>> meters;
  if (options.group != nullptr) {
    for (const size_t index : options.group->meters) {
      meters.push_back(std::make_unique<BorrowedMeter>(*options.meters[index]));
    }
  }
  const SchedulerOptions scheduling{.sequences = options.batch,
                                    .image_cache_bytes = 0,
                                    .phase_s = options.phase_s,
                                    .stage_observer = options.observer};
  BatchRun run(pictures, options);
  BatchFigure figure{.input = input,
                     .batch = options.batch,
                     .tokens = options.tokens,
                     .runs = options.runs,
                     .phase_s = options.phase_s};
  {
    BatchFigure warm_up;
    EYESHOT_ASSIGN_OR_RETURN(const auto scheduler, CreateMeteredScheduler(engine, scheduling, {}));
    EYESHOT_RETURN_IF_ERROR(run.Ask(*scheduler, options.runs, warm_up));
  }
  EYESHOT_ASSIGN_OR_RETURN(const auto scheduler, CreateMeteredScheduler(engine, scheduling, meters));
  for (int i = 0; i < options.runs; ++i) EYESHOT_RETURN_IF_ERROR(run.Ask(*scheduler, i, figure));
  const SchedulerStats stats = scheduler->stats();
  const double questions = static_cast<double>(options.runs) * options.batch;
  figure.seconds /= options.runs;
  figure.first_token_s /= questions;
  figure.switches = static_cast<double>(stats.switches) / options.runs;
  figure.nobody = stats.idle_joules;
  figure.request = MeanOf(figure.request, questions);
  return figure;
}

std::string BatchText(const BatchFigure& figure) {
  std::string text = fmt::format(
      "\n{}: {} side by side, {} tokens of answer each{}: {:.1f} ms a batch, first words after {:.1f} ms, {:.1f} "
      "switches "
      "between decoding and the rest\n{}",
      figure.input, figure.batch, figure.tokens,
      figure.phase_s > 0 ? fmt::format(", phases of {:g} ms", 1e3 * figure.phase_s) : "", figure.seconds * 1e3,
      figure.first_token_s * 1e3, figure.switches, figure.request.Table());
  if (figure.questions.source == EnergySource::kNone) return text;
  return text + fmt::format("{:.3g} J ({}) of {} questions and {:.3g} J while none ran are what was counted\n",
                            figure.questions.value, EnergySourceName(figure.questions.source),
                            figure.runs * figure.batch, figure.nobody.value);
}

OrderedJson BatchJson(const BatchFigure& figure) {
  OrderedJson json = {{"input", figure.input},
                      {"batch", figure.batch},
                      {"tokens", figure.tokens},
                      {"runs", figure.runs},
                      {"phase_ms", 1e3 * figure.phase_s},
                      {"batch_ms", 1e3 * figure.seconds},
                      {"first_token_ms", 1e3 * figure.first_token_s},
                      {"switches", figure.switches},
                      {"stages", StagesJson(figure.request)},
                      {"joules_of_questions", JoulesJson(figure.questions)},
                      {"joules_of_nobody", JoulesJson(figure.nobody)}};
  json["joules_of_each"] = OrderedJson::array();
  for (const Joules& joules : figure.each) json["joules_of_each"].push_back(JoulesJson(joules));
  return json;
}

}  // namespace eyeshot::cli
