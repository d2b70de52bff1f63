// eyeshot bench: what each stage costs on this machine.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/cpu.h"
#include "base/error.h"
#include "base/median.h"
#include "cli/commands.h"
#include "cli/generation_flags.h"
#include "cli/governor_flags.h"
#include "cli/help.h"
#include "cli/interrupt.h"
#include "cli/loaded_model.h"
#include "cli/model_flags.h"
#include "cli/png_writer.h"
#include "cli/progress.h"
#include "cli/question_budget.h"
#include "cli/read_speed.h"
#include "cli/report.h"
#include "cli/synthetic_picture.h"
#include "formats/processor_config.h"
#include "ledger/stage.h"
#include "runtime/model_speed.h"
#include "vision/image_processor.h"

namespace eyeshot::cli {
namespace {

constexpr const char* kQuestion = "Describe the image.";
constexpr int64_t kTemplateTokens = 16;  // more than the template adds to a text

struct BenchFlags {
  ModelFlags model;
  GovernorFlags governor;
  std::vector<int> tiles;                         // empty: every number that one picture can have
  std::vector<int64_t> depths = {64, 512, 1024};  // those that the context holds
  std::vector<int64_t> batches;  // numbers of sequences that are decoded side by side, at each depth
  int tokens = 32;
  int repeat = 5;
  int warmup = 1;
  std::string reduce = "none";
  double watts = 0;  // BudgetFlags
  bool steady = false;  // measure tower and prompts run after run, too
  bool json = false;
};

// Of one stage, run after run.
struct SteadyStage {
  std::string name;
  int64_t size = 0;  // tiles, or tokens
  double ms = 0;
};

// A picture of `width` x `height` that the model cuts into `tiles`.
struct PictureCase {
  int width = 0;
  int height = 0;
  int tiles = 0;
  bool split = true;
};

struct PictureResult {
  PictureCase picture;
  int64_t visual_tokens = 0;
  int64_t prompt_tokens = 0;
  OrderedJson budget;  // what KEEP in milliseconds or joules came to; null: it has none
  Ledger median;

  // From the encoded picture to the first token.
  double TtftMs() const {
    return static_cast<double>(median.total_wall_ns() - median.cost(StageId::kDecode).wall_ns -
                               median.cost(StageId::kDetokenize).wall_ns) /
           1e6;
  }
};

struct DepthResult {
  int64_t depth = 0;  // tokens before the answer
  double ms_per_token = 0;
  double tokens_per_s = 0;
  double prefill_tokens_per_s = 0;
  double bytes_per_token = 0;  // weights, head, scales and cache
  double read_bytes_per_s = 0;  // of a buffer of so many bytes, by all threads; 0: a GPU's
  double joules_per_token = 0;  // of a GPU's whole board, the prompt's included; 0: unknown
  uint64_t allocated_bytes = 0;  // of a GPU

  // Of the tokens a second that reading alone would allow.
  double ReadShare() const { return read_bytes_per_s > 0 ? tokens_per_s * bytes_per_token / read_bytes_per_s : 0; }
};

// The last run's counts with the median time of each stage.
Ledger MedianOf(const std::vector<Ledger>& runs) {
  Ledger median;
  for (size_t i = 0; i < kStageCount; ++i) {
    const auto id = static_cast<StageId>(i);
    std::vector<double> times;
    std::vector<double> device_times;
    for (const Ledger& run : runs) {
      times.push_back(static_cast<double>(run.cost(id).wall_ns));
      device_times.push_back(static_cast<double>(run.cost(id).device_ns));
    }
    StageCost cost = runs.back().cost(id);
    cost.wall_ns = static_cast<uint64_t>(Median(std::move(times)));
    cost.device_ns = static_cast<uint64_t>(Median(std::move(device_times)));
    median.Add(id, cost);
  }
  return median;
}

// One case for each number of tiles that one picture can have.
Result<std::vector<PictureCase>> AllPictureCases(const ModelFlags& flags, const std::string& dir) {
  EYESHOT_ASSIGN_OR_RETURN(const ImageProcessorConfig config, ProcessorOf(flags, dir));
  EYESHOT_ASSIGN_OR_RETURN(const ImageProcessor processor, ImageProcessor::Create(config));
  const int edge = config.longest_edge;
  std::map<int, PictureCase> by_tiles;
  by_tiles[1] = {edge, edge, 1, false};
  for (int height = config.max_image_edge; height <= edge; height += config.max_image_edge) {
    const int tiles = processor.Plan(edge, height, true).tiles();
    by_tiles.try_emplace(tiles, PictureCase{edge, height, tiles, true});
  }
  std::vector<PictureCase> cases;
  cases.reserve(by_tiles.size());
  for (const auto& [tiles, picture] : by_tiles) cases.push_back(picture);
  return cases;
}

Result<std::vector<PictureCase>> PictureCases(const ModelFlags& flags, const std::string& dir,
                                              const std::vector<int>& wanted) {
  EYESHOT_ASSIGN_OR_RETURN(const std::vector<PictureCase> all, AllPictureCases(flags, dir));
  if (wanted.empty()) return all;
  std::vector<PictureCase> cases;
  for (int tiles : wanted) {
    const auto found = std::find_if(all.begin(), all.end(), [&](const PictureCase& c) { return c.tiles == tiles; });
    if (found == all.end()) {
      std::string known;
      for (const PictureCase& c : all) known += fmt::format("{}{}", known.empty() ? "" : ", ", c.tiles);
      return InvalidArgumentError(fmt::format("--tiles {}: no picture is cut into so many by this model", tiles),
                                  fmt::format("use some of {}", known));
    }
    cases.push_back(*found);
  }
  return cases;
}

class Bench {
 public:
  explicit Bench(const BenchFlags& flags) : flags_(flags), progress_(true) {}
  Status Run();
  void Print() const;

 private:
  void PrintDepths() const;
  Result<PictureResult> RunPicture(const PictureCase& picture);
  Result<DepthResult> RunDepth(int64_t depth);
  // Below the engine, whose chats come one after the other and have a host's work in between.
  Status RunBelow();
  Status RunBatches(const LoadedModel& loaded);
  Status RunSteady(const LoadedModel& loaded);
  // Calls `once` for the warm-up and each repetition, which gives the ledgers.
  Result<std::vector<Ledger>> Repeat(const std::string& what, const std::function<Result<Answer>()>& once);
  Result<Answer> Ask(std::vector<ContentPart> parts, bool split);
  std::string TextOfDepth(int64_t tokens) const;

  const BenchFlags& flags_;
  Progress progress_;
  Interrupt interrupt_;
  std::shared_ptr<Engine> engine_;
  std::unique_ptr<Governor> governor_;
  std::unique_ptr<QuestionBudget> budget_;  // null: none
  std::vector<PictureResult> pictures_;
  std::vector<DepthResult> depths_;
  std::vector<BatchSpeed> batches_;
  std::vector<SteadyStage> steady_;
};

Result<Answer> Bench::Ask(std::vector<ContentPart> parts, bool split) {
  EYESHOT_ASSIGN_OR_RETURN(const std::unique_ptr<Chat> chat, engine_->NewChat());
  AskOptions options;
  options.max_tokens = flags_.tokens;
  options.ignore_end = true;
  options.reduce = flags_.reduce;
  if (!split) options.detail = {PictureDetail::Kind::kLow, 0};
  options.cancel = interrupt_.flag();
  options.stage_observer = governor_->observer();
  if (budget_ != nullptr) EYESHOT_RETURN_IF_ERROR(budget_->Plan(parts, engine_->info(), options));
  const uint64_t begin = SteadyNowNs();
  Result<Answer> answer = chat->Ask(std::move(parts), options);
  governor_->RequestDone(static_cast<double>(SteadyNowNs() - begin) * 1e-9);
  if (answer.ok() && answer->finish_reason == FinishReason::kCancelled) return CancelledError("cancelled");
  return answer;
}

Result<std::vector<Ledger>> Bench::Repeat(const std::string& what, const std::function<Result<Answer>()>& once) {
  std::vector<Ledger> runs;
  const int all = flags_.warmup + flags_.repeat;
  for (int i = 0; i < all; ++i) {
    progress_.Show(what, static_cast<double>(i) / all);
    EYESHOT_ASSIGN_OR_RETURN(const Answer answer, once());
    if (i >= flags_.warmup) runs.push_back(answer.ledger);
  }
  progress_.Clear();
  return runs;
}

Result<PictureResult> Bench::RunPicture(const PictureCase& picture) {
  EYESHOT_ASSIGN_OR_RETURN(const std::vector<uint8_t> png, EncodePng(SyntheticPicture(picture.width, picture.height)));
  PictureResult result;
  result.picture = picture;
  EYESHOT_ASSIGN_OR_RETURN(
      const std::vector<Ledger> runs, Repeat(fmt::format("{} tiles", picture.tiles), [&]() -> Result<Answer> {
        Ledger decoding;
        Stage stage(decoding, StageId::kDecodeImage);
        EYESHOT_ASSIGN_OR_RETURN(Image image, DecodeImage(png, "synthetic picture"));
        stage.AddBytes(png.size() + image.rgb.size());
        stage.Finish();
        Result<Answer> answer = Ask({std::make_shared<const Image>(std::move(image)), kQuestion}, picture.split);
        if (!answer.ok()) return answer;
        answer->ledger.Add(decoding);
        result.visual_tokens = answer->visual_tokens;
        result.prompt_tokens = answer->prompt_tokens;
        return answer;
      }));
  result.median = MedianOf(runs);
  if (budget_ != nullptr) result.budget = budget_->ToJson();
  return result;
}

// A word a token; the chat template adds some.
std::string Bench::TextOfDepth(int64_t tokens) const {
  std::string text = "a";
  for (int64_t i = 1; i < tokens; ++i) text += " a";
  return text;
}

Result<DepthResult> Bench::RunDepth(int64_t depth) {
  DepthResult result;
  EYESHOT_ASSIGN_OR_RETURN(const std::vector<Ledger> runs,
                           Repeat(fmt::format("depth {}", depth), [&]() -> Result<Answer> {
                             Result<Answer> answer = Ask({TextOfDepth(depth)}, true);
                             if (answer.ok()) result.depth = answer->prompt_tokens;
                             return answer;
                           }));
  const Ledger median = MedianOf(runs);
  const StageCost& decode = median.cost(StageId::kDecode);
  const StageCost& prefill = median.cost(StageId::kPrefill);
  result.ms_per_token = static_cast<double>(decode.wall_ns) / 1e6 / static_cast<double>(decode.tokens);
  result.tokens_per_s = 1e3 / result.ms_per_token;
  result.prefill_tokens_per_s = static_cast<double>(prefill.tokens) * 1e9 / static_cast<double>(prefill.wall_ns);
  // The last token of an answer is sampled, but not run.
  result.bytes_per_token =
      static_cast<double>(decode.bytes) / static_cast<double>(std::max<uint64_t>(1, decode.tokens - 1));
  std::vector<double> joules;
  for (const Ledger& run : runs) {
    if (!run.gpu()) continue;
    result.allocated_bytes = run.gpu()->allocated_bytes;
    if (run.gpu()->joules.source == EnergySource::kNone) continue;
    joules.push_back(run.gpu()->joules.value / static_cast<double>(decode.tokens));
  }
  if (!joules.empty()) result.joules_per_token = Median(std::move(joules));
  if (engine_->info().device == "cpu") {
    result.read_bytes_per_s = ReadBytesPerSecond(static_cast<size_t>(result.bytes_per_token), engine_->info().threads);
  }
  return result;
}

Status Bench::RunBelow() {
  if (flags_.batches.empty() && !flags_.steady) return Status::Ok();
  EYESHOT_ASSIGN_OR_RETURN(const LoadedModel loaded, LoadBelowEngine(flags_.model, flags_.model.device));
  if (flags_.steady) EYESHOT_RETURN_IF_ERROR(RunSteady(loaded));
  return RunBatches(loaded);
}

Status Bench::RunSteady(const LoadedModel& loaded) {
  for (const PictureResult& result : pictures_) {
    EYESHOT_ASSIGN_OR_RETURN(const double ms, MeasureEncode(*loaded.model, result.picture.tiles, flags_.repeat));
    steady_.push_back({"encode", result.picture.tiles, ms});
  }
  for (const DepthResult& result : depths_) {
    EYESHOT_ASSIGN_OR_RETURN(const double ms, MeasurePrefill(*loaded.model, result.depth, flags_.repeat));
    steady_.push_back({"prefill", result.depth, ms});
  }
  return Status::Ok();
}

Status Bench::RunBatches(const LoadedModel& loaded) {
  const int64_t longest = loaded.model->config().text.max_positions;
  for (const int64_t depth : flags_.depths) {
    for (const int64_t sequences : flags_.batches) {
      if (depth + flags_.tokens + kTemplateTokens > longest) continue;
      const auto progress = [&](double share) {
        progress_.Show(fmt::format("{} x depth {}", sequences, depth), share);
        return !interrupt_.flag()->load();
      };
      EYESHOT_ASSIGN_OR_RETURN(const BatchSpeed speed,
                               MeasureBatch(*loaded.model, sequences, depth, flags_.tokens, progress));
      batches_.push_back(speed);
      progress_.Clear();
    }
  }
  return Status::Ok();
}

Status Bench::Run() {
  EYESHOT_ASSIGN_OR_RETURN(const FoundModel model, FindModel(flags_.model.model));
  EYESHOT_ASSIGN_OR_RETURN(budget_, QuestionBudget::Create({.watts = flags_.watts}, flags_.reduce, flags_.model));
  EYESHOT_ASSIGN_OR_RETURN(GovernedEngine loaded, LoadGoverned(flags_.model, flags_.governor, false));
  engine_ = std::move(loaded.engine);
  governor_ = std::move(loaded.governor);
  std::vector<PictureCase> cases;
  if (engine_->info().has_vision) {
    EYESHOT_ASSIGN_OR_RETURN(cases, PictureCases(flags_.model, model.dir, flags_.tiles));
  }
  for (const PictureCase& picture : cases) {
    EYESHOT_ASSIGN_OR_RETURN(const PictureResult result, RunPicture(picture));
    pictures_.push_back(result);
  }
  for (int64_t depth : flags_.depths) {
    if (depth + kTemplateTokens + flags_.tokens > engine_->info().context_tokens) continue;
    EYESHOT_ASSIGN_OR_RETURN(const DepthResult result, RunDepth(depth));
    depths_.push_back(result);
  }
  EYESHOT_RETURN_IF_ERROR(governor_->Finish());
  return RunBelow();
}

OrderedJson PictureJson(const PictureResult& result) {
  const StageCost& decode = result.median.cost(StageId::kDecode);
  OrderedJson json = {
      {"width", result.picture.width},
      {"height", result.picture.height},
      {"tiles", result.picture.tiles},
      {"visual_tokens", result.visual_tokens},
      {"prompt_tokens", result.prompt_tokens},
      {"ttft_ms", result.TtftMs()},
      {"decode_tokens_per_s", static_cast<double>(decode.tokens) * 1e9 / static_cast<double>(decode.wall_ns)},
      {"stages", StagesJson(result.median)}};
  if (!result.budget.is_null()) json["budget"] = result.budget;
  return json;
}

void Bench::Print() const {
  const ModelInfo& info = engine_->info();
  const double load_ms = static_cast<double>(engine_->load_ledger().total_wall_ns()) / 1e6;
  if (flags_.json) {
    OrderedJson json = {{"model", info.name},
                        {"device", info.device},
                        {"cpu", CpuName()},
                        {"isa", info.isa},
                        {"precision", info.precision},
                        {"threads", info.threads},
                        {"repeat", flags_.repeat},
                        {"warmup", flags_.warmup},
                        {"governor", governor_->Summary()},
                        {"load_ms", load_ms},
                        {"peak_rss_bytes", PeakResidentBytes()}};
    json["pictures"] = OrderedJson::array();
    for (const PictureResult& result : pictures_) json["pictures"].push_back(PictureJson(result));
    json["decode"] = OrderedJson::array();
    for (const DepthResult& result : depths_) {
      json["decode"].push_back({{"depth", result.depth},
                                {"ms_per_token", result.ms_per_token},
                                {"tokens_per_s", result.tokens_per_s},
                                {"prefill_tokens_per_s", result.prefill_tokens_per_s},
                                {"bytes_per_token", result.bytes_per_token},
                                {"read_bytes_per_s", result.read_bytes_per_s},
                                {"read_share", result.ReadShare()},
                                {"joules_per_token", result.joules_per_token},
                                {"allocated_bytes", result.allocated_bytes}});
    }
    json["steady"] = OrderedJson::array();
    for (const SteadyStage& stage : steady_) {
      json["steady"].push_back({{"name", stage.name}, {"size", stage.size}, {"ms", stage.ms}});
    }
    json["batches"] = OrderedJson::array();
    for (const BatchSpeed& speed : batches_) {
      json["batches"].push_back({{"sequences", speed.sequences},
                                 {"depth", speed.depth},
                                 {"ms_per_step", speed.ms_per_step},
                                 {"tokens_per_s", speed.tokens_per_s()}});
    }
    PrintJson(json);
    return;
  }
  fmt::print("{} ({}, {}), {} thread{}, {}\n", info.name, info.precision, info.isa, info.threads,
             info.threads == 1 ? "" : "s", CpuName());
  fmt::print("loaded in {:.0f} ms; medians of {} runs after {} to warm up; peak memory {}\n", load_ms, flags_.repeat,
             flags_.warmup, BytesText(PeakResidentBytes()));
  if (const std::string governor = governor_->Summary(); !governor.empty()) fmt::print("{}\n", governor);
  for (const PictureResult& result : pictures_) {
    fmt::print("\n{} x {} pixels: {} tile{}, {} visual tokens, first token after {:.1f} ms\n{}", result.picture.width,
               result.picture.height, result.picture.tiles, result.picture.tiles == 1 ? "" : "s", result.visual_tokens,
               result.TtftMs(), result.median.Table());
  }
  PrintDepths();
  for (const PictureResult& result : pictures_) {
    if (result.budget.is_null()) continue;
    fmt::print("{}{} tiles: {}\n", &result == pictures_.data() ? "\n" : "", result.picture.tiles,
               result.budget["why"].get<std::string>());
  }
  if (!steady_.empty()) fmt::print("\nrun after run:\n");
  for (const SteadyStage& stage : steady_) {
    fmt::print("{:>14}{:>14}{:>12.3f} ms\n", stage.name,
               fmt::format("{} {}", stage.size, stage.name == "encode" ? "tiles" : "tokens"), stage.ms);
  }
  if (batches_.empty()) return;
  fmt::print("\n{:>14}{:>14}{:>12}{:>13}\n", "side by side", "prompt tokens", "ms a step", "tokens a s");
  for (const BatchSpeed& speed : batches_) {
    fmt::print("{:>14}{:>14}{:>12.3f}{:>13.1f}\n", speed.sequences, speed.depth, speed.ms_per_step,
               speed.tokens_per_s());
  }
}

void Bench::PrintDepths() const {
  if (depths_.empty()) return;
  fmt::print("\n{:>14}{:>13}{:>13}{:>21}{:>15}{:>14}{:>12}\n", "prompt tokens", "ms a token", "tokens a s",
             "prefill tokens a s", "bytes a token", "read at most", "reached");
  for (const DepthResult& result : depths_) {
    fmt::print("{:>14}{:>13.3f}{:>13.1f}{:>21.0f}{:>15}", result.depth, result.ms_per_token, result.tokens_per_s,
               result.prefill_tokens_per_s, BytesText(static_cast<uint64_t>(result.bytes_per_token)));
    if (result.read_bytes_per_s > 0) {
      fmt::print("{:>9.1f} GB/s{:>11.0f}%\n", result.read_bytes_per_s / 1e9, 100 * result.ReadShare());
    } else {
      fmt::print("{:>14}{:>12}\n", "-", "-");
    }
  }
}

int RunBench(const BenchFlags& flags) {
  Bench bench(flags);
  if (const Status status = bench.Run(); !status.ok()) return ReportError(status, flags.json);
  bench.Print();
  return kExitOk;
}

}  // namespace

void AddBenchCommand(CLI::App& program, int& exit_code) {
  auto flags = std::make_shared<BenchFlags>();
  CLI::App* command = program.add_subcommand("bench", "Measure each stage on this machine");
  SetUsage(*command, "eyeshot bench [OPTIONS]");
  AddModelFlags(*command, flags->model);
  AddGovernorFlags(*command, flags->governor);
  AddReduceFlag(*command, flags->reduce);
  AddWattsFlag(*command, flags->watts);
  command->add_option("--tiles", flags->tiles, "Numbers of tiles of the pictures, with commas; all without it")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::Range(1, 1 << 16))
      ->type_name("N,...");
  command->add_option("--depths", flags->depths, "Prompt lengths at which to measure decoding")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str()
      ->type_name("N,...");
  command->add_option("--batch", flags->batches, "Numbers of answers that are decoded side by side, at each depth")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::Range(int64_t{1}, int64_t{1024}))
      ->type_name("N,...");
  command->add_option("-n,--tokens", flags->tokens, "Tokens of each answer")
      ->check(CLI::Range(1, 1 << 16))
      ->capture_default_str()
      ->type_name("N");
  command->add_option("--repeat", flags->repeat, "Runs that the medians are of")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str()
      ->type_name("N");
  command->add_option("--warmup", flags->warmup, "Runs before that")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str()
      ->type_name("N");
  command->add_flag("--steady", flags->steady,
                    "Measure the tower and prompts run after run as well, with nothing in between");
  command->add_flag("--json", flags->json, "Print one JSON object");
  command->footer(R"(Examples:
  eyeshot bench
  eyeshot bench --tiles 1,5 --repeat 9 --threads 1 --json

"read at most" is how fast all threads read a buffer of the bytes that a token reads: weights, scales and cache.

Pictures are synthetic; answers go on to their full length whatever the model says.)");
  command->callback([flags, &exit_code] { exit_code = RunBench(*flags); });
}

}  // namespace eyeshot::cli
