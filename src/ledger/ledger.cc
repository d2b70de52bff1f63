#include "eyeshot/ledger.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/limits.h"
#include "ledger/nvml.h"
#include "ledger/stage.h"

namespace eyeshot {
namespace {

constexpr double kNsPerMs = 1e6;

// 1234567 -> "1.23 M": three significant digits and an SI prefix.
std::string WithPrefix(double value) {
  constexpr const char* kPrefixes[] = {"", " k", " M", " G", " T", " P"};
  size_t prefix = 0;
  while (value >= 999.5 && prefix + 1 < std::size(kPrefixes)) {
    value /= 1000;
    ++prefix;
  }
  const int digits = value >= 99.95 || prefix == 0 ? 0 : value >= 9.995 ? 1 : 2;
  return fmt::format("{:.{}f}{}", value, digits, kPrefixes[prefix]);
}

// Adds energies. A part without a source adds nothing; parts of unlike sources make an estimate.
Joules Sum(const Joules& a, const Joules& b) {
  if (a.source == EnergySource::kNone) return b;
  if (b.source == EnergySource::kNone) return a;
  Joules sum{a.value + b.value, a.low + b.low, a.high + b.high, a.source};
  if (a.source != b.source) sum.source = EnergySource::kModel;
  return sum;
}

// Of stages of one run, whose estimates are shares of what was measured.
Joules WholeOf(const Joules& sum, const Joules& stage) {
  Joules whole = Sum(sum, stage);
  for (const EnergySource source : {sum.source, stage.source}) {
    if (source != EnergySource::kNone && source != EnergySource::kModel) whole.source = source;
  }
  return whole;
}

// With `device`, a column of the device's time, to which rates refer then. An estimate is marked.
std::string Row(std::string_view name, const StageCost& cost, double total_ns, bool device) {
  const uint64_t busy_ns = cost.device_ns > 0 ? cost.device_ns : cost.wall_ns;
  const double seconds = static_cast<double>(busy_ns) * 1e-9;
  const auto rate = [&](uint64_t amount) {
    return amount == 0 || busy_ns == 0 ? std::string("-") : WithPrefix(static_cast<double>(amount) / seconds);
  };
  const auto amount = [](uint64_t value) {
    return value == 0 ? std::string("-") : WithPrefix(static_cast<double>(value));
  };
  const double share = total_ns > 0 ? 100.0 * static_cast<double>(cost.wall_ns) / total_ns : 0.0;
  const std::string joules =
      cost.joules.source == EnergySource::kNone
          ? "-"
          : fmt::format("{}{:.3g}", cost.joules.source == EnergySource::kModel ? "~" : "", cost.joules.value);
  const std::string device_ms =
      cost.device_ns == 0 ? "-" : fmt::format("{:.2f}", static_cast<double>(cost.device_ns) / kNsPerMs);
  return fmt::format("{:<13}{:>11.2f}{}{:>7.1f}{:>9}{:>10}{:>10}{:>10}{:>10}{:>9}\n", name,
                     static_cast<double>(cost.wall_ns) / kNsPerMs, device ? fmt::format("{:>11}", device_ms) : "",
                     share, cost.tokens == 0 ? "-" : fmt::format("{}", cost.tokens), amount(cost.flops),
                     rate(cost.flops), amount(cost.bytes), rate(cost.bytes), joules);
}

std::string PictureLine(size_t number, const PictureCost& picture) {
  std::string line;
  if (picture.frames > 0) {
    line = fmt::format("clip {}: {} frames: {} visual tokens", number, picture.frames, picture.visual_tokens);
  } else {
    const std::string tiles =
        picture.rows == 0 ? "one view" : fmt::format("{} x {} tiles and one view", picture.rows, picture.cols);
    line = fmt::format("picture {}: {} x {}, {}: {} visual tokens", number, picture.width, picture.height, tiles,
                       picture.visual_tokens);
  }
  if (picture.saved() != 0) line += fmt::format(", the reference takes {}", picture.reference_visual_tokens);
  if (!picture.reduction.empty()) line += fmt::format("; reduced by {}", picture.reduction);
  if (picture.shrunk) line += "; made smaller to fit into the context";
  return line + "\n";
}

std::vector<std::string> Quoted(const std::vector<std::string_view>& names) {
  std::vector<std::string> quoted;
  quoted.reserve(names.size());
  for (const std::string_view name : names) quoted.push_back(fmt::format("\"{}\"", name));
  return quoted;
}

// "GPU: 12.3 J (nvml_counter, 11.1 to 13.5), 310 W, SM 1980 MHz, memory 2619 MHz, 45 C, clocks held back by: power cap"
std::string GpuLine(const GpuCost& gpu) {
  std::string line = fmt::format("GPU: {:.0f} MB taken, ", static_cast<double>(gpu.allocated_bytes) * 1e-6);
  const Joules& joules = gpu.joules;
  line += joules.source == EnergySource::kNone
              ? "no energy (too short a run, or no counter)"
              : fmt::format("{:.3g} J of the whole board ({}, {:.3g} to {:.3g})", joules.value,
                            EnergySourceName(joules.source), joules.low, joules.high);
  const GpuReading& now = gpu.after;
  if (now.power_w) line += fmt::format(", {:.0f} W", *now.power_w);
  if (now.sm_clock_mhz) line += fmt::format(", SM {} MHz", *now.sm_clock_mhz);
  if (now.memory_clock_mhz) line += fmt::format(", memory {} MHz", *now.memory_clock_mhz);
  if (now.temperature_c) line += fmt::format(", {} C", *now.temperature_c);
  const uint64_t reasons = gpu.before.throttle_reasons.value_or(0) | now.throttle_reasons.value_or(0);
  const std::vector<std::string_view> names = ThrottleReasonNames(reasons);
  if (!names.empty()) line += fmt::format(", clocks held back by: {}", fmt::join(names, ", "));
  return line + "\n";
}

template <typename T>
std::string OrNull(const std::optional<T>& value) {
  return value ? fmt::format("{}", *value) : "null";
}

std::string ReadingJson(const GpuReading& reading) {
  const std::string reasons =
      reading.throttle_reasons
          ? fmt::format("[{}]", fmt::join(Quoted(ThrottleReasonNames(*reading.throttle_reasons)), ","))
          : "null";
  return fmt::format(R"({{"at_ns":{},"energy_j":{},"power_w":{},"sm_clock_mhz":{},"memory_clock_mhz":{},)"
                     R"("temperature_c":{},"throttled_by":{},"memory_used_bytes":{},"busy_percent":{},)"
                     R"("memory_busy_percent":{}}})",
                     reading.at_ns, OrNull(reading.energy_j), OrNull(reading.power_w), OrNull(reading.sm_clock_mhz),
                     OrNull(reading.memory_clock_mhz), OrNull(reading.temperature_c), reasons,
                     OrNull(reading.memory_used_bytes), OrNull(reading.busy_percent),
                     OrNull(reading.memory_busy_percent));
}

}  // namespace

std::string_view StageName(StageId id) {
  constexpr std::string_view kNames[kStageCount] = {"load",   "decode_image", "preprocess", "encode",    "connect",
                                                    "reduce", "prefill",      "decode",     "detokenize"};
  return kNames[static_cast<size_t>(id)];
}

std::string_view EnergySourceName(EnergySource source) {
  switch (source) {
    case EnergySource::kNone: return "none";
    case EnergySource::kRapl: return "rapl";
    case EnergySource::kNvmlCounter: return "nvml_counter";
    case EnergySource::kNvmlPower: return "nvml_power";
    case EnergySource::kModel: return "model";
  }
  return "unknown";
}

std::string JoulesAsJson(const Joules& joules) {
  if (joules.source == EnergySource::kNone) {
    return R"({"value":null,"low":null,"high":null,"source":"none"})";
  }
  return fmt::format(R"({{"value":{:.6g},"low":{:.6g},"high":{:.6g},"source":"{}"}})", joules.value, joules.low,
                     joules.high, EnergySourceName(joules.source));
}

void ShareWaiting(std::span<KeptStage> stages) {
  if (stages.empty()) return;
  StageCost& last = stages.back().cost;
  uint64_t waited = last.wall_ns > last.device_ns ? last.wall_ns - last.device_ns : 0;
  for (KeptStage& stage : stages.first(stages.size() - 1)) {
    StageCost& cost = stage.cost;
    const uint64_t share = std::min(waited, cost.device_ns > cost.wall_ns ? cost.device_ns - cost.wall_ns : 0);
    cost.wall_ns += share;
    last.wall_ns -= share;
    waited -= share;
  }
}

void Ledger::Add(StageId id, const StageCost& cost) {
  StageCost& sum = costs_[static_cast<size_t>(id)];
  sum.wall_ns += cost.wall_ns;
  sum.device_ns += cost.device_ns;
  sum.bytes += cost.bytes;
  sum.flops += cost.flops;
  sum.tokens += cost.tokens;
  sum.runs += cost.runs;
  sum.joules = Sum(sum.joules, cost.joules);
}

void Ledger::AddStages(const Ledger& other) {
  for (size_t i = 0; i < kStageCount; ++i) Add(static_cast<StageId>(i), other.costs_[i]);
}

void Ledger::Add(const Ledger& other) {
  AddStages(other);
  pictures_.insert(pictures_.end(), other.pictures_.begin(), other.pictures_.end());
  if (other.gpu_) gpu_ = other.gpu_;
  runs_.insert(runs_.end(), other.runs_.begin(), other.runs_.end());
  dropped_runs_ += other.dropped_runs_;
}

void Ledger::KeepRuns(size_t most) { runs_.reserve(std::min(most, limits::kMaxStageRuns)); }

uint64_t Ledger::total_wall_ns() const {
  uint64_t total = 0;
  for (const StageCost& cost : costs_) total += cost.wall_ns;
  return total;
}

Joules Ledger::total_joules() const {
  Joules total;
  for (const StageCost& cost : costs_) total = WholeOf(total, cost.joules);
  return total;
}

std::string Ledger::Table() const {
  const bool device =
      std::any_of(costs_.begin(), costs_.end(), [](const StageCost& cost) { return cost.device_ns > 0; });
  std::string table = fmt::format("{:<13}{:>11}{}{:>7}{:>9}{:>10}{:>10}{:>10}{:>10}{:>9}\n", "stage", "ms",
                                  device ? fmt::format("{:>11}", "GPU ms") : "", "%", "tokens", "FLOP", "FLOP/s",
                                  "bytes", "bytes/s", "joules");
  StageCost sum;
  for (size_t i = 0; i < kStageCount; ++i) {
    const StageCost& cost = costs_[i];
    if (cost.runs == 0) continue;
    table += Row(StageName(static_cast<StageId>(i)), cost, static_cast<double>(total_wall_ns()), device);
    sum.wall_ns += cost.wall_ns;
    sum.device_ns += cost.device_ns;
    sum.flops += cost.flops;
    sum.bytes += cost.bytes;
  }
  sum.joules = total_joules();
  table += Row("total", sum, static_cast<double>(total_wall_ns()), device);
  if (gpu_) table += GpuLine(*gpu_);
  if (sum.joules.source == EnergySource::kNone) {
    table += gpu_ ? "joules of stages: not measured (source: none)\n" : "joules: no meter was read (source: none)\n";
  } else {
    const bool estimates = std::any_of(
        costs_.begin(), costs_.end(), [](const StageCost& cost) { return cost.joules.source == EnergySource::kModel; });
    table += fmt::format("joules: source {}{}\n", EnergySourceName(sum.joules.source),
                         sum.joules.source == EnergySource::kModel ? ", an estimate, not a measurement"
                         : estimates ? "; ~: too short to be measured by itself, an estimate of its share"
                                     : "");
  }
  const bool differs = std::any_of(pictures_.begin(), pictures_.end(), [](const PictureCost& picture) {
    return picture.saved() != 0 || picture.shrunk || !picture.reduction.empty();
  });
  for (size_t i = 0; differs && i < pictures_.size(); ++i) table += PictureLine(i + 1, pictures_[i]);
  return table;
}

std::string Ledger::PicturesJson() const {
  std::string json = "[";
  for (const PictureCost& picture : pictures_) {
    json += fmt::format(R"({}{{"width":{},"height":{},"rows":{},"cols":{},"frames":{},"visual_tokens":{},)"
                        R"("reference_visual_tokens":{},"reduction":{},"shrunk":{}}})",
                        json.size() == 1 ? "" : ",", picture.width, picture.height, picture.rows, picture.cols,
                        picture.frames, picture.visual_tokens, picture.reference_visual_tokens,
                        picture.reduction.empty() ? "null" : fmt::format("\"{}\"", picture.reduction), picture.shrunk);
  }
  return json + "]";
}

std::string Ledger::GpuJson() const {
  if (!gpu_) return "null";
  return fmt::format(R"({{"allocated_bytes":{},"joules":{},"before":{},"after":{}}})", gpu_->allocated_bytes,
                     JoulesAsJson(gpu_->joules), ReadingJson(gpu_->before), ReadingJson(gpu_->after));
}

std::string Ledger::Json() const {
  std::string json = "[";
  for (size_t i = 0; i < kStageCount; ++i) {
    const StageCost& cost = costs_[i];
    json += fmt::format(
        R"({}{{"name":"{}","wall_ms":{:.6f},"device_ms":{},"flops":{},"bytes":{},"tokens":{},"joules":{}}})",
        i == 0 ? "" : ",", StageName(static_cast<StageId>(i)), static_cast<double>(cost.wall_ns) / kNsPerMs,
        cost.device_ns == 0 ? "null" : fmt::format("{:.6f}", static_cast<double>(cost.device_ns) / kNsPerMs),
        cost.flops, cost.bytes, cost.tokens, JoulesAsJson(cost.joules));
  }
  return json + "]";
}

}  // namespace eyeshot
