// Written by hand: a dozen lines of text need no prometheus-cpp, which brings a web server of its own.
#include "server/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace eyeshot::server {
namespace {

// From a small model on a fast GPU to a large one on two cores, in steps of 2 to 2.5.
constexpr std::array<double, 14> kSeconds = {0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250};
constexpr std::array<double, 12> kTokenSeconds = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
                                                  0.05,   0.1,   0.25,   0.5,   1,    2.5};

void PrintHead(std::string_view name, std::string_view type, std::string_view help, std::string& text) {
  fmt::format_to(std::back_inserter(text), "# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

template <typename T>
void PrintOne(std::string_view name, std::string_view type, std::string_view help, T value, std::string& text) {
  PrintHead(name, type, help, text);
  fmt::format_to(std::back_inserter(text), "{} {}\n", name, value);
}

void PrintScheduler(const SchedulerStats& stats, std::string& text) {
  PrintHead("eyeshot_requests", "gauge", "Requests that wait, are encoded or prefilled, or are decoded.", text);
  for (const auto& [state, count] : {std::pair("waiting", stats.waiting), std::pair("encoding", stats.encoding),
                                     std::pair("decoding", stats.decoding)}) {
    fmt::format_to(std::back_inserter(text), "eyeshot_requests{{state=\"{}\"}} {}\n", state, count);
  }
  PrintHead("eyeshot_answers_total", "counter", "Requests that have ended.", text);
  for (const auto& [how, count] : {std::pair("finished", stats.finished), std::pair("failed", stats.failed),
                                   std::pair("cancelled", stats.cancelled)}) {
    fmt::format_to(std::back_inserter(text), "eyeshot_answers_total{{outcome=\"{}\"}} {}\n", how, count);
  }
  PrintOne("eyeshot_preemptions_total", "counter", "Requests put back for lack of room in the cache.", stats.preempted,
           text);
  PrintOne("eyeshot_cache_blocks", "gauge", "Blocks of the key/value cache.", stats.cache_blocks, text);
  PrintOne("eyeshot_cache_blocks_used", "gauge", "Of them, in use by requests.", stats.cache_blocks_used, text);
  PrintOne("eyeshot_image_cache_bytes", "gauge", "Encoded pictures that are kept.", stats.image_cache_bytes, text);
  PrintOne("eyeshot_image_cache_hits_total", "counter", "Pictures that needed no encoding.", stats.image_cache_hits,
           text);
  PrintOne("eyeshot_image_cache_misses_total", "counter", "Pictures that were encoded.", stats.image_cache_misses,
           text);
  PrintOne("eyeshot_prompt_tokens_total", "counter", "Tokens of prompts.", stats.prompt_tokens, text);
  PrintOne("eyeshot_prompt_tokens_cached_total", "counter", "Of them, those that an earlier request's prefix had.",
           stats.prompt_tokens_cached, text);
  PrintOne("eyeshot_completion_tokens_total", "counter", "Tokens of answers.", stats.completion_tokens, text);
  PrintOne("eyeshot_decode_steps_total", "counter", "Steps of decoding.", stats.steps, text);
  PrintOne("eyeshot_decode_steps_beside_pictures_total", "counter", "Of them, while a GPU encoded pictures beside.",
           stats.steps_beside, text);
  PrintOne("eyeshot_decode_step_tokens_total", "counter", "Tokens in them.", stats.step_tokens, text);
}

void PrintLedger(const Ledger& ledger, std::string& text) {
  PrintHead("eyeshot_stage_seconds_total", "counter", "Time in each stage, of finished requests.", text);
  for (size_t i = 0; i < kStageCount; ++i) {
    const auto id = static_cast<StageId>(i);
    fmt::format_to(std::back_inserter(text), "eyeshot_stage_seconds_total{{stage=\"{}\"}} {}\n", StageName(id),
                   static_cast<double>(ledger.cost(id).wall_ns) * 1e-9);
  }
  PrintHead("eyeshot_stage_tokens_total", "counter", "Tokens, tiles or patches of each stage, of finished requests.",
            text);
  for (size_t i = 0; i < kStageCount; ++i) {
    const auto id = static_cast<StageId>(i);
    fmt::format_to(std::back_inserter(text), "eyeshot_stage_tokens_total{{stage=\"{}\"}} {}\n", StageName(id),
                   ledger.cost(id).tokens);
  }
  // A stage without a source has no line: that nothing was measured is not 0 joules.
  PrintHead("eyeshot_stage_joules_total", "counter",
            "Energy of each stage, of finished requests; source \"model\" is an estimate.", text);
  for (size_t i = 0; i < kStageCount; ++i) {
    const auto id = static_cast<StageId>(i);
    const Joules& joules = ledger.cost(id).joules;
    if (joules.source == EnergySource::kNone) continue;
    fmt::format_to(std::back_inserter(text), "eyeshot_stage_joules_total{{stage=\"{}\",source=\"{}\"}} {}\n",
                   StageName(id), EnergySourceName(joules.source), joules.value);
  }
}

}  // namespace

void Histogram::Observe(double value) {
  const auto bound = std::lower_bound(bounds_.begin(), bounds_.end(), value);
  ++counts_[static_cast<size_t>(bound - bounds_.begin())];
  sum_ += value;
}

void Histogram::Print(std::string_view name, std::string_view help, std::string& text) const {
  PrintHead(name, "histogram", help, text);
  uint64_t count = 0;
  for (size_t i = 0; i < counts_.size(); ++i) {
    count += counts_[i];
    fmt::format_to(std::back_inserter(text), "{}_bucket{{le=\"{}\"}} {}\n", name,
                   i < bounds_.size() ? fmt::format("{}", bounds_[i]) : "+Inf", count);
  }
  fmt::format_to(std::back_inserter(text), "{}_sum {}\n{}_count {}\n", name, sum_, name, count);
}

Metrics::Metrics() : first_token_(kSeconds), per_token_(kTokenSeconds), total_(kSeconds), encode_(kSeconds) {}

void Metrics::CountRequest(std::string_view route, int status) {
  const std::lock_guard<std::mutex> turn(turn_);
  ++requests_[{std::string(route), status}];
}

void Metrics::CountAnswer(const AnswerTimes& times) {
  const std::lock_guard<std::mutex> turn(turn_);
  first_token_.Observe(times.first_token);
  if (times.per_token >= 0) per_token_.Observe(times.per_token);
  total_.Observe(times.total);
  if (times.encode > 0) encode_.Observe(times.encode);
}

void Metrics::AddMedia(const Ledger& ledger) {
  const std::lock_guard<std::mutex> turn(turn_);
  media_.Add(ledger);
}

std::string Metrics::Text(const SchedulerStats& stats, const HttpStats& http, uint64_t media_bytes) const {
  std::string text;
  PrintScheduler(stats, text);
  PrintOne("eyeshot_http_connections", "gauge", "Open connections.", http.connections, text);
  PrintOne("eyeshot_http_accepted_total", "counter", "Connections that were taken.", http.accepted, text);
  PrintOne("eyeshot_http_refused_total", "counter", "Connections that were refused for their number.", http.refused,
           text);
  PrintOne("eyeshot_http_dropped_total", "counter", "Clients that did not send or read in time.", http.dropped, text);
  PrintOne("eyeshot_media_bytes", "gauge", "Decoded pictures and frames that are held.", media_bytes, text);
  const std::lock_guard<std::mutex> turn(turn_);
  Ledger ledger = stats.ledger;
  ledger.Add(media_);
  PrintLedger(ledger, text);
  PrintHead("eyeshot_http_requests_total", "counter", "Requests by route and status; 499: the client went.", text);
  for (const auto& [key, count] : requests_) {
    fmt::format_to(std::back_inserter(text), "eyeshot_http_requests_total{{route=\"{}\",code=\"{}\"}} {}\n", key.first,
                   key.second, count);
  }
  first_token_.Print("eyeshot_time_to_first_token_seconds", "From a request's arrival to its first token.", text);
  per_token_.Print("eyeshot_time_per_output_token_seconds", "Between tokens, the mean of each answer.", text);
  total_.Print("eyeshot_request_seconds", "From a request's arrival to its last token.", text);
  encode_.Print("eyeshot_encode_seconds", "In the vision tower, of answers that needed it.", text);
  return text;
}

}  // namespace eyeshot::server
