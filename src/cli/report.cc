#include "cli/report.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <fstream>

#include "cli/commands.h"

namespace eyeshot::cli {

std::string JsonLine(const OrderedJson& json) {
  return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

void PrintJson(const OrderedJson& json) {
  fmt::print("{}", JsonLine(json));
  std::fflush(stdout);
}

int ExitCodeOf(const Status& status) {
  switch (status.code()) {
    case StatusCode::kOk: return kExitOk;
    case StatusCode::kCancelled: return kExitCancelled;
    case StatusCode::kContextFull: return kExitContextFull;
    default: return kExitFailed;
  }
}

int ReportError(const Status& status, bool json) {
  fmt::print(stderr, "eyeshot: {}\n", status.message());
  if (json) PrintJson({{"error", {{"code", StatusCodeName(status.code())}, {"message", status.message()}}}});
  return ExitCodeOf(status);
}

uint64_t PeakResidentBytes() {
  // Not getrusage: its figure survives exec, so that a large parent's would be counted as ours.
  std::ifstream status("/proc/self/status");
  std::string key;
  while (status >> key) {
    uint64_t kib = 0;
    if (key == "VmHWM:" && status >> kib) return kib * 1024;
    std::getline(status, key);
  }
  return 0;
}

OrderedJson JoulesJson(const Joules& joules) {
  if (joules.source == EnergySource::kNone) return {};
  return {
      {"value", joules.value}, {"low", joules.low}, {"high", joules.high}, {"source", EnergySourceName(joules.source)}};
}

OrderedJson StagesJson(const Ledger& ledger) { return OrderedJson::parse(ledger.Json()); }

OrderedJson AnswerJson(const Answer& answer, const ModelInfo& info, const Ledger& ledger) {
  return {{"answer", answer.text},
          {"finish_reason", FinishReasonName(answer.finish_reason)},
          {"model", info.name},
          {"device", info.device},
          {"precision", info.precision},
          {"prompt_tokens", answer.prompt_tokens},
          {"visual_tokens", answer.visual_tokens},
          {"completion_tokens", answer.completion_tokens},
          {"tiles", answer.tiles},
          {"pictures", OrderedJson::parse(ledger.PicturesJson())},
          {"peak_rss_bytes", PeakResidentBytes()},
          {"gpu", OrderedJson::parse(ledger.GpuJson())},
          {"stages", StagesJson(ledger)}};
}

std::string AnswerSummary(const Answer& answer, const ModelInfo& info) {
  std::string prompt = fmt::format("{} prompt tokens ({} visual, from {} tiles", answer.prompt_tokens,
                                   answer.visual_tokens, answer.tiles);
  if (answer.cached_tokens > 0) prompt += fmt::format("; {} were cached", answer.cached_tokens);
  return fmt::format("{} on {} ({}, {}, {} thread{}): {}), {} answer tokens, finish: {}, peak memory {}", info.name,
                     info.device, info.precision, info.isa, info.threads, info.threads == 1 ? "" : "s", prompt,
                     answer.completion_tokens, FinishReasonName(answer.finish_reason), BytesText(PeakResidentBytes()));
}

std::string DurationText(double seconds) {
  const int64_t whole = std::llround(seconds);
  return whole >= 3600 ? fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60)
                       : fmt::format("{}:{:02}", whole / 60, whole % 60);
}

std::string BytesText(uint64_t bytes) {
  constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 999.5 && unit + 1 < std::size(kUnits)) {
    value /= 1000;
    ++unit;
  }
  return fmt::format("{:.3g} {}", value, kUnits[unit]);
}

}  // namespace eyeshot::cli
