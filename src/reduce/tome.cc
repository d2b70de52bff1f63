#include "reduce/tome.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "reduce/host_rows.h"
#include "reduce/reducers.h"

namespace eyeshot {
namespace {

// A tile on its way through the tower.
struct MergedTile {
  int64_t keep = 0;
  std::vector<float> sizes;    // patches that each token stands for
  std::vector<int32_t> owner;  // of each patch: the token that it is part of
};

// Merges patches in every layer, between attention and MLP; afterwards each patch is given back what the token that it
// became part of is, since the pixel shuffle needs the whole grid.
class TokenMerger final : public LayerHook {
 public:
  explicit TokenMerger(const HookContext& context)
      : vision_(context.config->vision), keep_(context.keep), pool_(*context.pool) {}

  bool WantsColumnMean(int64_t) const override { return false; }
  bool WantsAttention(int64_t) const override { return true; }
  Status AfterAttention(Backend& backend, Stream& stream, int64_t layer, ConstMatrixView keys,
                        TokenRuns& runs) override;
  Status AfterTower(Backend& backend, Stream& stream, TokenRuns& runs) override;

 private:
  void Begin(size_t tiles);
  // One tile's rows after the layer's merge, with its sizes and owners.
  std::vector<float> MergeTile(MergedTile& tile, const FloatRows& keys, const FloatRows& rows, int64_t layer) const;

  VisionConfig vision_;
  std::vector<int64_t> keep_;  // of all tiles
  ThreadPool& pool_;
  size_t next_tile_ = 0;  // of keep_: where the next group of tiles begins
  std::vector<MergedTile> tiles_;  // of the current group
  Buffer whole_;  // holds the tower's output of all patches
};

void TokenMerger::Begin(size_t tiles) {
  tiles_.clear();
  for (size_t i = 0; i < tiles; ++i) {
    MergedTile tile{.keep = keep_[next_tile_++],
                    .sizes = std::vector<float>(static_cast<size_t>(vision_.patches()), 1.0f),
                    .owner = std::vector<int32_t>(static_cast<size_t>(vision_.patches()))};
    std::iota(tile.owner.begin(), tile.owner.end(), 0);
    tiles_.push_back(std::move(tile));
  }
}

std::vector<float> TokenMerger::MergeTile(MergedTile& tile, const FloatRows& keys, const FloatRows& rows,
                                          int64_t layer) const {
  const std::vector<float> metric = MeanOverHeads(keys, vision_.num_heads);
  const int64_t width = vision_.head_dim();
  const MergeMap map = MatchTokens({metric.data(), keys.count, width, width},
                                   MergesOfLayer(keys.count, tile.keep, layer, vision_.num_layers));
  for (int32_t& owner : tile.owner) owner = map.to[static_cast<size_t>(owner)];
  return MergeRows(map, rows, tile.sizes);
}

Status TokenMerger::AfterAttention(Backend& backend, Stream& stream, int64_t layer, ConstMatrixView keys,
                                   TokenRuns& runs) {
  const std::vector<int32_t> begins = runs.cu_tokens;
  if (layer == 0) Begin(begins.size() - 1);
  EYESHOT_ASSIGN_OR_RETURN(const HostRows all_keys, HostRows::Read(backend, stream, keys));
  EYESHOT_ASSIGN_OR_RETURN(const HostRows all_rows, HostRows::Read(backend, stream, runs.x));
  std::vector<std::vector<float>> merged(tiles_.size());
  pool_.Run(tiles_.size(), [&](size_t t, size_t) {
    const int64_t begin = begins[t];
    const int64_t count = begins[t + 1] - begin;
    merged[t] = MergeTile(tiles_[t], {all_keys.data() + begin * all_keys.stride(), count, keys.cols, all_keys.stride()},
                          {all_rows.data() + begin * all_rows.stride(), count, runs.x.cols, all_rows.stride()}, layer);
  });
  std::vector<float> rows;
  std::vector<float> bias;
  for (size_t t = 0; t < tiles_.size(); ++t) {
    rows.insert(rows.end(), merged[t].begin(), merged[t].end());
    for (const float size : tiles_[t].sizes) bias.push_back(std::log(size));
    runs.cu_tokens[t + 1] = static_cast<int32_t>(bias.size());
  }
  runs.x = runs.x.Rows(0, static_cast<int64_t>(bias.size()));
  runs.use_key_bias = true;
  WriteRows(backend, stream, rows.data(), runs.x);
  backend.Upload(stream, bias.data(), runs.key_bias.data, bias.size() * sizeof(float));
  return Status::Ok();
}

Status TokenMerger::AfterTower(Backend& backend, Stream& stream, TokenRuns& runs) {
  std::vector<int32_t> from;  // of each patch
  for (size_t t = 0; t < tiles_.size(); ++t) {
    for (const int32_t owner : tiles_[t].owner) from.push_back(runs.cu_tokens[t] + owner);
  }
  const auto count = static_cast<int64_t>(from.size());
  const size_t row_bytes = static_cast<size_t>(runs.x.cols) * DTypeBytes(runs.x.dtype);
  const size_t index_bytes = from.size() * sizeof(int32_t);
  // Merged tiles of the group before, if any, have been read by now: the stream is in order, and is waited for below.
  EYESHOT_ASSIGN_OR_RETURN(whole_, backend.Allocate(from.size() * row_bytes, "patches"));
  EYESHOT_ASSIGN_OR_RETURN(const Buffer indices, backend.Allocate(index_bytes, "patches"));
  backend.Upload(stream, from.data(), indices.data(), index_bytes);
  const MatrixView whole(whole_.data(), runs.x.dtype, count, runs.x.cols, runs.x.cols);
  backend.CopyRows(
      stream, {.x = runs.x, .from = {static_cast<const int32_t*>(indices.data()), count}, .count = count, .y = whole});
  EYESHOT_RETURN_IF_ERROR(backend.Sync(stream));
  runs.x = whole;
  for (size_t t = 0; t < tiles_.size(); ++t) {
    runs.cu_tokens[t + 1] = static_cast<int32_t>((static_cast<int64_t>(t) + 1) * vision_.patches());
  }
  return Status::Ok();
}

std::unique_ptr<LayerHook> Merger(const HookContext& context) { return std::make_unique<TokenMerger>(context); }

}  // namespace

MergeMap MatchTokens(const FloatRows& metric, int64_t merges) {
  const int64_t even = (metric.count + 1) / 2;
  const int64_t odd = metric.count / 2;
  merges = std::clamp<int64_t>(merges, 0, odd);
  const std::vector<float> units = UnitRows(metric);
  const int64_t width = metric.width;
  std::vector<float> scores(static_cast<size_t>(even * odd));
  Dots({units.data(), even, width, 2 * width}, {units.data() + width, odd, width, 2 * width}, scores.data(), odd);

  std::vector<int32_t> best(static_cast<size_t>(even), 0);  // of the odd ones, for each even one
  std::vector<float> like(static_cast<size_t>(even), 0.0f);
  for (size_t i = 0; i < best.size() && odd > 0; ++i) {
    const auto row = scores.begin() + static_cast<std::ptrdiff_t>(i) * odd;
    const auto most = std::max_element(row, row + odd);
    best[i] = static_cast<int32_t>(most - row);
    like[i] = *most;
  }
  std::vector<int32_t> order(best.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return like[static_cast<size_t>(a)] > like[static_cast<size_t>(b)]; });

  const int64_t alone_count = even - merges;
  MergeMap map{.to = std::vector<int32_t>(static_cast<size_t>(metric.count)), .left = alone_count + odd};
  for (int64_t i = 0; i < odd; ++i) map.to[static_cast<size_t>(2 * i + 1)] = static_cast<int32_t>(alone_count + i);
  for (int64_t rank = 0; rank < even; ++rank) {
    const auto i = static_cast<size_t>(order[static_cast<size_t>(rank)]);
    map.to[2 * i] = static_cast<int32_t>(rank < merges ? alone_count + best[i] : rank - merges);
  }
  return map;
}

std::vector<float> MergeRows(const MergeMap& map, const FloatRows& rows, std::vector<float>& sizes) {
  EYESHOT_CHECK(sizes.size() == map.to.size());
  const auto width = static_cast<size_t>(rows.width);
  std::vector<float> merged(static_cast<size_t>(map.left) * width, 0.0f);
  std::vector<float> sums(static_cast<size_t>(map.left), 0.0f);
  for (size_t i = 0; i < map.to.size(); ++i) {
    const auto to = static_cast<size_t>(map.to[i]);
    const float* const row = rows.Row(static_cast<int64_t>(i));
    for (size_t c = 0; c < width; ++c) merged[to * width + c] += row[c] * sizes[i];
    sums[to] += sizes[i];
  }
  for (size_t to = 0; to < sums.size(); ++to) {
    for (size_t c = 0; c < width; ++c) merged[to * width + c] /= sums[to];
  }
  sizes = std::move(sums);
  return merged;
}

int64_t MergesOfLayer(int64_t count, int64_t keep, int64_t layer, int64_t layers) {
  const int64_t left = layers - layer;  // layers that still merge, this one included
  return std::clamp<int64_t>((count - std::max<int64_t>(keep, 1) + left - 1) / left, 0, count / 2);
}

std::vector<int64_t> PatchesLeft(const VisionConfig& vision, int64_t keep) {
  std::vector<int64_t> left;
  int64_t patches = vision.patches();
  for (int64_t layer = 0; layer < vision.num_layers; ++layer) {
    patches -= MergesOfLayer(patches, keep, layer, vision.num_layers);
    left.push_back(patches);
  }
  return left;
}

constinit const Reducer kTome = {.name = "tome", .in_tower = true, .hook = &Merger};

}  // namespace eyeshot
