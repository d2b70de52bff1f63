// visionzip: the tokens that receive most attention, and means of the others around evenly chosen ones.
//
// Source: Yang et al., "VisionZip: Longer is Better but Not Necessary in Vision Language Models", arXiv 2412.04467.
// Theirs ranks patches by the attention of the CLS token; a tower without one has the mean attention of all patches
// instead. It works on patches before the projection; here a visual token is a square of patches, with the means of
// their attention and keys, and a projection without bias may as well come before the merge.
#include <algorithm>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "reduce/host_rows.h"
#include "reduce/reducers.h"
#include "reduce/similarity.h"

namespace eyeshot {
namespace {

// 10 of 64, as published for 64, 128 and 192 tokens.
int64_t ContextualOf(int64_t keep) { return (keep * 10 + 32) / 64; }

// Looks at the attention of the last layer but one.
class AttentionProbe final : public LayerHook {
 public:
  explicit AttentionProbe(const HookContext& context)
      : config_(*context.config),
        signals_(*context.signals),
        layer_(std::max<int64_t>(0, config_.vision.num_layers - 2)) {}

  bool WantsColumnMean(int64_t layer) const override { return layer == layer_; }
  bool WantsAttention(int64_t layer) const override { return layer == layer_; }

  Status AfterAttention(Backend& backend, Stream& stream, int64_t, ConstMatrixView keys, TokenRuns& runs) override {
    EYESHOT_ASSIGN_OR_RETURN(const HostRows rows, HostRows::Read(backend, stream, keys));
    std::vector<float> attention(static_cast<size_t>(keys.rows));
    backend.Download(stream, runs.column_mean.data, attention.data(), attention.size() * sizeof(float));
    EYESHOT_RETURN_IF_ERROR(backend.Sync(stream));
    const std::vector<float> means =
        MeanOverHeads({rows.data(), keys.rows, keys.cols, rows.stride()}, config_.vision.num_heads);
    const int64_t width = config_.vision.head_dim();
    signals_.key_width = width;
    Shuffle(attention, 1, signals_.attention);
    Shuffle(means, width, signals_.keys);
    return Status::Ok();
  }

 private:
  // Appends the means over each square of patches that becomes a visual token. values: [patches, width].
  void Shuffle(const std::vector<float>& values, int64_t width, std::vector<float>& means) const {
    const int64_t side = config_.vision.patches_per_side();
    const int64_t scale = config_.scale_factor;
    const float share = 1.0f / static_cast<float>(scale * scale);
    const auto tiles = static_cast<int64_t>(values.size()) / (config_.vision.patches() * width);
    const int64_t begin = static_cast<int64_t>(means.size()) / width;
    const int64_t tokens_per_side = side / scale;
    means.resize(means.size() + static_cast<size_t>(tiles * tokens_per_side * tokens_per_side * width), 0.0f);
    for (int64_t patch = 0; patch < tiles * side * side; ++patch) {
      const int64_t y = patch / side % side / scale;
      const int64_t x = patch % side / scale;
      if (y >= tokens_per_side || x >= tokens_per_side) continue;  // beyond the last whole square
      const int64_t token = begin + (patch / (side * side) * tokens_per_side + y) * tokens_per_side + x;
      for (int64_t c = 0; c < width; ++c) {
        means[static_cast<size_t>(token * width + c)] += values[static_cast<size_t>(patch * width + c)] * share;
      }
    }
  }

  const ModelConfig& config_;
  TowerSignals& signals_;
  int64_t layer_;
};

// A tile's tokens, by their place in it.
struct Tile {
  int64_t count = 0;
  int64_t width = 0;
  const float* rows = nullptr;
  const float* attention = nullptr;
  FloatRows keys;
};

// The tokens by attention, the first of equal ones first, divided behind the first `dominant`; both parts in order.
std::pair<std::vector<int32_t>, std::vector<int32_t>> Rank(const Tile& tile, int64_t dominant) {
  std::vector<int32_t> order(static_cast<size_t>(tile.count));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return tile.attention[a] > tile.attention[b]; });
  std::pair<std::vector<int32_t>, std::vector<int32_t>> parts;
  parts.first.assign(order.begin(), order.begin() + dominant);
  parts.second.assign(order.begin() + dominant, order.end());
  std::sort(parts.first.begin(), parts.first.end());
  std::sort(parts.second.begin(), parts.second.end());
  return parts;
}

// Of `rest` every step-th is a target; each other token goes to the target whose key is most like its own. What stands
// at a target is itself plus the mean of what went there, as in the authors' code. values: [targets, width].
std::vector<int32_t> Merge(const Tile& tile, const std::vector<int32_t>& rest, int64_t contextual,
                           std::vector<float>& values) {
  const int64_t step = std::max<int64_t>(1, static_cast<int64_t>(rest.size()) / contextual);
  std::vector<int32_t> targets;
  std::vector<int32_t> others;
  for (size_t i = 0; i < rest.size(); ++i) {
    const bool target = static_cast<int64_t>(i) % step == 0 && static_cast<int64_t>(targets.size()) < contextual;
    (target ? targets : others).push_back(rest[i]);
  }
  const std::vector<float> keys = UnitRows(tile.keys);
  std::vector<float> sums(targets.size() * static_cast<size_t>(tile.width), 0.0f);
  std::vector<int> counts(targets.size(), 0);
  for (const int32_t token : others) {
    size_t best = 0;
    float most = -2;
    for (size_t t = 0; t < targets.size(); ++t) {
      const float like =
          Dot(keys.data() + token * tile.keys.width, keys.data() + targets[t] * tile.keys.width, tile.keys.width);
      if (like <= most) continue;
      best = t;
      most = like;
    }
    ++counts[best];
    const float* const row = tile.rows + token * tile.width;
    for (int64_t c = 0; c < tile.width; ++c)
      sums[best * static_cast<size_t>(tile.width) + static_cast<size_t>(c)] += row[c];
  }
  for (size_t t = 0; t < targets.size(); ++t) {
    const float share = 1.0f / static_cast<float>(std::max(1, counts[t]));
    const float* const row = tile.rows + targets[t] * tile.width;
    for (int64_t c = 0; c < tile.width; ++c) {
      values.push_back(row[c] + sums[t * static_cast<size_t>(tile.width) + static_cast<size_t>(c)] * share);
    }
  }
  return targets;
}

void ZipTile(const Tile& tile, int64_t keep, int32_t first_slot, Reduced& reduced) {
  const int64_t contextual = ContextualOf(keep);
  const auto [dominant, rest] = Rank(tile, keep - contextual);
  std::vector<float> merged;
  std::vector<int32_t> targets;
  if (contextual > 0) targets = Merge(tile, rest, contextual, merged);
  // Both are in order: the next token is the first of either.
  for (size_t d = 0, t = 0; d + t < static_cast<size_t>(keep);) {
    const bool is_target = d == dominant.size() || (t < targets.size() && targets[t] < dominant[d]);
    const int32_t token = is_target ? targets[t] : dominant[d];
    const float* const values =
        is_target ? merged.data() + t * static_cast<size_t>(tile.width) : tile.rows + token * tile.width;
    reduced.slots.push_back(first_slot + token);
    reduced.values.insert(reduced.values.end(), values, values + tile.width);
    ++(is_target ? t : d);
  }
}

Reduced VisionZip(const ReduceInput& input, ThreadPool&) {
  Reduced reduced;
  const int64_t count = input.per_tile();
  for (int64_t t = 0; t < input.tiles; ++t) {
    const int64_t keep = input.keep[static_cast<size_t>(t)];
    if (keep == 0) continue;
    const Tile tile{.count = count,
                    .width = input.width,
                    .rows = input.rows + t * count * input.width,
                    .attention = input.attention + t * count,
                    .keys = {input.keys + t * count * input.key_width, count, input.key_width, input.key_width}};
    ZipTile(tile, keep, static_cast<int32_t>(t * count), reduced);
  }
  return reduced;
}

std::unique_ptr<LayerHook> Probe(const HookContext& context) { return std::make_unique<AttentionProbe>(context); }

}  // namespace

constinit const Reducer kVisionZip = {.name = "visionzip", .reads_rows = true, .reduce = &VisionZip, .hook = &Probe};

}  // namespace eyeshot
