#include "reduce/reduce_spec.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "base/limits.h"
#include "reduce/reducer.h"

namespace eyeshot {
namespace {

constexpr std::string_view kNone = "none";
constexpr char kMendKeep[] = "give tokens a tile (16), a share (0.25 or 25%), all, or a budget (200ms, 1.5s, 5J)";

constexpr size_t kShown = 60;  // bytes of a wrong text that an error repeats

std::string_view Shown(std::string_view text) { return text.substr(0, kShown); }

// The part before `mark`, which is taken off `text` with it.
std::string_view Take(std::string_view& text, char mark) {
  const size_t end = std::min(text.find(mark), text.size());
  const std::string_view part = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return part;
}

template <typename Number>
std::optional<Number> ParseNumber(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// A number followed by `unit`.
std::optional<double> ParseWithUnit(std::string_view text, std::string_view unit) {
  if (!text.ends_with(unit)) return std::nullopt;
  const auto value = ParseNumber<double>(text.substr(0, text.size() - unit.size()));
  return value && std::isfinite(*value) && *value >= 0 ? value : std::nullopt;
}

Result<Keep> ParseKeep(std::string_view text) {
  if (text == "all") return Keep{};
  if (const auto value = ParseWithUnit(text, "ms")) return Keep{Keep::Kind::kMilliseconds, *value};
  if (const auto value = ParseWithUnit(text, "s")) return Keep{Keep::Kind::kMilliseconds, 1e3 * *value};
  if (const auto value = ParseWithUnit(text, "J")) return Keep{Keep::Kind::kJoules, *value};
  if (const auto value = ParseWithUnit(text, "%"); value && *value <= 100)
    return Keep{Keep::Kind::kShare, *value / 100};
  if (const auto tokens = ParseNumber<uint32_t>(text); tokens && *tokens <= limits::kMaxKeptTokens) {
    return Keep{Keep::Kind::kTokens, static_cast<double>(*tokens)};
  }
  // "1" is a token, "1.0" all of them.
  if (const auto value = ParseWithUnit(text, ""); value && *value <= 1 && text.find('.') != std::string_view::npos) {
    return Keep{Keep::Kind::kShare, *value};
  }
  return InvalidArgumentError(fmt::format("of a tile's visual tokens '{}' shall stay", Shown(text)), kMendKeep);
}

std::string KeepName(const Keep& keep) {
  switch (keep.kind) {
    case Keep::Kind::kAll: return "all";
    case Keep::Kind::kTokens: return fmt::format("{}", keep.value);
    case Keep::Kind::kShare: return fmt::format("{:#}", keep.value);
    case Keep::Kind::kMilliseconds: return fmt::format("{}ms", keep.value);
    case Keep::Kind::kJoules: return fmt::format("{}J", keep.value);
  }
  return "";
}

Result<PositionPolicy> ParsePositions(std::string_view text) {
  if (text == "keep") return PositionPolicy::kKeep;
  if (text == "renumber") return PositionPolicy::kRenumber;
  return InvalidArgumentError(fmt::format("the positions of visual tokens are '{}'", Shown(text)),
                              "use keep or renumber");
}

Status ParseSetting(std::string_view key, std::string_view value, ReduceSpec& spec) {
  if (key == "global") {
    EYESHOT_ASSIGN_OR_RETURN(spec.global, ParseKeep(value));
    return Status::Ok();
  }
  if (key == "positions") {
    EYESHOT_ASSIGN_OR_RETURN(spec.positions, ParsePositions(value));
    return Status::Ok();
  }
  if (key == "seed") {
    const auto seed = ParseNumber<uint64_t>(value);
    if (!seed) {
      return InvalidArgumentError(fmt::format("the seed of --reduce is '{}'", Shown(value)), "give a whole number");
    }
    spec.seed = *seed;
    return Status::Ok();
  }
  return InvalidArgumentError(fmt::format("--reduce has no setting '{}'", Shown(key)),
                              "use global=KEEP, positions=keep, positions=renumber or seed=N");
}

std::string Names() {
  std::string names;
  for (const Reducer* reducer : Reducers()) names += fmt::format("{}, ", reducer->name);
  return names;
}

}  // namespace

Result<ReduceSpec> ParseReduceSpec(std::string_view text) {
  if (text.empty() || text == kNone) return ReduceSpec{};
  std::string_view rest = text;
  std::string_view head = Take(rest, ',');
  const std::string_view name = Take(head, ':');
  ReduceSpec spec;
  spec.reducer = FindReducer(name);
  if (spec.reducer == nullptr) {
    return InvalidArgumentError(fmt::format("visual tokens shall be reduced by '{}'", Shown(text)),
                                fmt::format("use none, or NAME:KEEP as in stride:16; names are {}auto", Names()));
  }
  EYESHOT_ASSIGN_OR_RETURN(spec.keep, ParseKeep(head));
  while (!rest.empty()) {
    std::string_view value = Take(rest, ',');
    const std::string_view key = Take(value, '=');
    EYESHOT_RETURN_IF_ERROR(ParseSetting(key, value, spec));
  }
  return spec;
}

std::string ReduceSpecName(const ReduceSpec& spec) {
  if (spec.reducer == nullptr) return std::string(kNone);
  std::string name = fmt::format("{}:{}", spec.reducer->name, KeepName(spec.keep));
  if (spec.global) name += fmt::format(",global={}", KeepName(*spec.global));
  if (spec.positions == PositionPolicy::kKeep) name += ",positions=keep";
  if (spec.positions == PositionPolicy::kRenumber) name += ",positions=renumber";
  if (spec.seed != 0) name += fmt::format(",seed={}", spec.seed);
  return name;
}

Result<int64_t> TokensToKeep(const Keep& keep, int64_t tokens) {
  switch (keep.kind) {
    case Keep::Kind::kAll: return tokens;
    case Keep::Kind::kTokens: return std::min(tokens, static_cast<int64_t>(keep.value));
    case Keep::Kind::kShare:
      if (keep.value == 0) return int64_t{0};
      return std::max<int64_t>(1, std::llround(keep.value * static_cast<double>(tokens)));
    case Keep::Kind::kMilliseconds:
    case Keep::Kind::kJoules: break;
  }
  return UnsupportedError(
      fmt::format("visual tokens for {}, of which nobody has said how many that is", KeepName(keep)),
      "give tokens a tile (16) or a share (25%); `eyeshot ask`, chat, eval, bench and energy plan budgets");
}

Result<std::vector<int64_t>> TokensOfTiles(const ReduceSpec& spec, int64_t tiles, bool clip, int64_t tokens_per_tile) {
  EYESHOT_ASSIGN_OR_RETURN(const int64_t each, TokensToKeep(spec.keep, tokens_per_tile));
  std::vector<int64_t> kept(static_cast<size_t>(tiles), each);
  if (!clip && spec.global) {
    EYESHOT_ASSIGN_OR_RETURN(kept.back(), TokensToKeep(*spec.global, tokens_per_tile));
  }
  return kept;
}

}  // namespace eyeshot
