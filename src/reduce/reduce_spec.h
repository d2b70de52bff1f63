// ReduceSpec: how visual tokens are made fewer, as --reduce and AskOptions::reduce say it.
//
//   none
//   NAME:KEEP[,global=KEEP][,positions=keep|renumber][,seed=N]
//
// docs/tokens.md explains the names and what they cost.
#ifndef EYESHOT_REDUCE_REDUCE_SPEC_H_
#define EYESHOT_REDUCE_REDUCE_SPEC_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eyeshot/status.h"

namespace eyeshot {

struct Reducer;

// How much of a tile stays.
struct Keep {
  enum class Kind {
    kAll,           // "all"
    kTokens,        // "16": so many tokens of each tile or frame
    kShare,         // "0.25", "25%": of each tile's tokens
    kMilliseconds,  // "200ms", "1.5s": what the question may take
    kJoules,        // "5J"
  };
  Kind kind = Kind::kAll;
  double value = 0;

  bool operator==(const Keep&) const = default;
};

// Which places of the prompt the decoder's rotary positions tell of.
enum class PositionPolicy {
  kAuto,      // kKeep, but kRenumber where the prompt would go beyond the model's last position
  kKeep,      // those of the prompt with all tokens: what was left out leaves gaps
  kRenumber,  // those of the shorter prompt
};

struct ReduceSpec {
  const Reducer* reducer = nullptr;  // null: nothing is reduced
  Keep keep;
  std::optional<Keep> global;  // of the view of a whole picture; as `keep` if it isn't said
  PositionPolicy positions = PositionPolicy::kAuto;
  uint64_t seed = 0;

  bool operator==(const ReduceSpec&) const = default;
};

// "" is "none". Error: kInvalidArgument, with the names that there are.
Result<ReduceSpec> ParseReduceSpec(std::string_view text);
// "none", "stride:16", "stride:25%,global=64": ParseReduceSpec() of it gives the same.
std::string ReduceSpecName(const ReduceSpec& spec);

// How many of a tile's `tokens` stay: at least one, unless none were asked for; all of them where more were asked for.
// Error: kUnsupported: time and joules, for which a cost model has to say first how many tokens they buy.
Result<int64_t> TokensToKeep(const Keep& keep, int64_t tokens);

// That for each tile of a picture, the view of the whole picture being the last one, or for each frame of a clip.
Result<std::vector<int64_t>> TokensOfTiles(const ReduceSpec& spec, int64_t tiles, bool clip, int64_t tokens_per_tile);

}  // namespace eyeshot

#endif  // EYESHOT_REDUCE_REDUCE_SPEC_H_
