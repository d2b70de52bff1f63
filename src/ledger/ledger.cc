#include "eyeshot/ledger.h"

#include <fmt/format.h>

#include <algorithm>

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

std::string JoulesJson(const Joules& joules) {
  if (joules.source == EnergySource::kNone) {
    return R"({"value":null,"low":null,"high":null,"source":"none"})";
  }
  return fmt::format(R"({{"value":{:.6g},"low":{:.6g},"high":{:.6g},"source":"{}"}})", joules.value, joules.low,
                     joules.high, EnergySourceName(joules.source));
}

std::string Row(std::string_view name, const StageCost& cost, double total_ns) {
  const double seconds = static_cast<double>(cost.wall_ns) * 1e-9;
  const auto rate = [&](uint64_t amount) {
    return amount == 0 || cost.wall_ns == 0 ? std::string("-") : WithPrefix(static_cast<double>(amount) / seconds);
  };
  const auto amount = [](uint64_t value) {
    return value == 0 ? std::string("-") : WithPrefix(static_cast<double>(value));
  };
  const double share = total_ns > 0 ? 100.0 * static_cast<double>(cost.wall_ns) / total_ns : 0.0;
  return fmt::format("{:<13}{:>11.2f}{:>7.1f}{:>9}{:>10}{:>10}{:>10}{:>10}{:>9}\n", name,
                     static_cast<double>(cost.wall_ns) / kNsPerMs, share,
                     cost.tokens == 0 ? "-" : fmt::format("{}", cost.tokens), amount(cost.flops), rate(cost.flops),
                     amount(cost.bytes), rate(cost.bytes),
                     cost.joules.source == EnergySource::kNone ? "-" : fmt::format("{:.3g}", cost.joules.value));
}

std::string PictureLine(size_t number, const PictureCost& picture) {
  if (picture.frames > 0) {
    return fmt::format(
        "clip {}: {} frames of {} visual tokens, the reference takes {} each; made smaller to fit into "
        "the context\n",
        number, picture.frames, picture.visual_tokens / picture.frames,
        picture.reference_visual_tokens / picture.frames);
  }
  const std::string tiles =
      picture.rows == 0 ? "one view" : fmt::format("{} x {} tiles and one view", picture.rows, picture.cols);
  std::string line = fmt::format("picture {}: {} x {}, {}: {} visual tokens", number, picture.width, picture.height,
                                 tiles, picture.visual_tokens);
  if (picture.saved() != 0) line += fmt::format(", the reference takes {}", picture.reference_visual_tokens);
  if (picture.shrunk) line += "; made smaller to fit into the context";
  return line + "\n";
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

void Ledger::Add(StageId id, const StageCost& cost) {
  StageCost& sum = costs_[static_cast<size_t>(id)];
  sum.wall_ns += cost.wall_ns;
  sum.bytes += cost.bytes;
  sum.flops += cost.flops;
  sum.tokens += cost.tokens;
  sum.runs += cost.runs;
  sum.joules = Sum(sum.joules, cost.joules);
}

void Ledger::Add(const Ledger& other) {
  for (size_t i = 0; i < kStageCount; ++i) Add(static_cast<StageId>(i), other.costs_[i]);
  pictures_.insert(pictures_.end(), other.pictures_.begin(), other.pictures_.end());
}

uint64_t Ledger::total_wall_ns() const {
  uint64_t total = 0;
  for (const StageCost& cost : costs_) total += cost.wall_ns;
  return total;
}

std::string Ledger::Table() const {
  std::string table = fmt::format("{:<13}{:>11}{:>7}{:>9}{:>10}{:>10}{:>10}{:>10}{:>9}\n", "stage", "ms", "%", "tokens",
                                  "FLOP", "FLOP/s", "bytes", "bytes/s", "joules");
  StageCost sum;
  for (size_t i = 0; i < kStageCount; ++i) {
    const StageCost& cost = costs_[i];
    if (cost.runs == 0) continue;
    table += Row(StageName(static_cast<StageId>(i)), cost, static_cast<double>(total_wall_ns()));
    sum.wall_ns += cost.wall_ns;
    sum.flops += cost.flops;
    sum.bytes += cost.bytes;
    sum.joules = Sum(sum.joules, cost.joules);
  }
  table += Row("total", sum, static_cast<double>(total_wall_ns()));
  if (sum.joules.source == EnergySource::kNone) {
    table += "joules: no meter was read (source: none)\n";
  } else {
    table += fmt::format("joules: source {}{}\n", EnergySourceName(sum.joules.source),
                         sum.joules.source == EnergySource::kModel ? ", an estimate, not a measurement" : "");
  }
  const bool differs = std::any_of(pictures_.begin(), pictures_.end(),
                                   [](const PictureCost& picture) { return picture.saved() != 0 || picture.shrunk; });
  for (size_t i = 0; differs && i < pictures_.size(); ++i) table += PictureLine(i + 1, pictures_[i]);
  return table;
}

std::string Ledger::Json() const {
  std::string json = "[";
  for (size_t i = 0; i < kStageCount; ++i) {
    const StageCost& cost = costs_[i];
    json +=
        fmt::format(R"({}{{"name":"{}","wall_ms":{:.6f},"flops":{},"bytes":{},"tokens":{},"joules":{}}})",
                    i == 0 ? "" : ",", StageName(static_cast<StageId>(i)), static_cast<double>(cost.wall_ns) / kNsPerMs,
                    cost.flops, cost.bytes, cost.tokens, JoulesJson(cost.joules));
  }
  return json + "]";
}

}  // namespace eyeshot
