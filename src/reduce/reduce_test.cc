// Reducers, and how they are asked for.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/splitmix64.h"
#include "base/threads.h"
#include "formats/testing.h"
#include "reduce/even_grid.h"
#include "reduce/reduce_spec.h"
#include "reduce/reducer.h"
#include "reduce/reducers.h"
#include "reduce/tome.h"

namespace eyeshot {
namespace {

using nlohmann::json;

// Numbers of [-1, 1) that hang on a seed alone.
std::vector<float> Noise(int64_t count, uint64_t seed) {
  std::vector<float> values;
  values.reserve(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t bits = SplitMix64(seed + static_cast<uint64_t>(i) * kSplitMix64Step);
    values.push_back(static_cast<float>(2 * UnitOfBits(bits) - 1));
  }
  return values;
}

ThreadPool& Pool() {
  static ThreadPool pool(2);
  return pool;
}

TEST(ReduceSpecTest, NamesSayTheSameAgain) {
  for (const std::string text : {"none", "stride:16", "random:0.25,seed=7", "pool:all,global=64",
                                 "stride:200ms,positions=keep", "pool:5J,global=0,positions=renumber"}) {
    const Result<ReduceSpec> spec = ParseReduceSpec(text);
    ASSERT_TRUE(spec.ok()) << spec.status().message();
    EXPECT_EQ(ReduceSpecName(*spec), text);
  }
  EXPECT_EQ(ReduceSpecName(*ParseReduceSpec("auto:25%")), "divprune:0.25");
  EXPECT_EQ(*ParseReduceSpec(""), ReduceSpec{});
}

TEST(ReduceSpecTest, ErrorsNameWhatIsWrongAndWhatThereIs) {
  const auto message = [](const char* text) { return ParseReduceSpec(text).status().message(); };
  EXPECT_NE(message("strid:16").find("'strid:16': use none, or NAME:KEEP as in stride:16; names are stride"),
            std::string::npos)
      << message("strid:16");
  EXPECT_NE(message("stride").find("'' shall stay: give tokens a tile"), std::string::npos) << message("stride");
  for (const char* text : {"stride:-1", "stride:1.5", "stride:101%", "stride:nan", "stride:16,seed=x", "stride:16,a=b",
                           "stride:16,positions=", "none:4", "stride:1e9"}) {
    EXPECT_EQ(ParseReduceSpec(text).status().code(), StatusCode::kInvalidArgument) << text;
  }
}

TEST(ReduceSpecTest, SomethingStaysUnlessNothingWasAskedFor) {
  const auto kept = [](const char* text) { return TokensOfTiles(*ParseReduceSpec(text), 3, false, 64); };
  EXPECT_EQ(*kept("stride:16"), (std::vector<int64_t>{16, 16, 16}));
  EXPECT_EQ(*kept("stride:16,global=all"), (std::vector<int64_t>{16, 16, 64}));
  EXPECT_EQ(*kept("stride:0.1%,global=81"), (std::vector<int64_t>{1, 1, 64}));
  EXPECT_EQ(*kept("stride:0"), (std::vector<int64_t>{0, 0, 0}));
  EXPECT_EQ(*TokensOfTiles(*ParseReduceSpec("stride:25%,global=1"), 2, true, 64), (std::vector<int64_t>{16, 16}));
  EXPECT_EQ(ParseReduceSpec("stride:1.5s")->keep, (Keep{Keep::Kind::kMilliseconds, 1500}));
  EXPECT_EQ(kept("stride:200ms").status().code(), StatusCode::kUnsupported);
}

TEST(ElasticTest, AddsTheRowOfItsNumberOfTokens) {
  const std::vector<float> rows = Noise(2 * 4 * 3, 5);
  const std::vector<int64_t> keep = {1, 4};
  const std::vector<int64_t> tokens = {1};
  const std::vector<float> added = {10, 20, 30};
  ReduceInput input{.tiles = 2, .side = 2, .keep = keep, .width = 3, .rows = rows.data(), .scales = {tokens, added}};
  const Reduced means = PoolTokens(input, Pool());
  const Reduced elastic = kElastic.reduce(input, Pool());
  EXPECT_EQ(elastic.slots, means.slots);
  for (size_t i = 0; i < means.values.size(); ++i) {
    EXPECT_FLOAT_EQ(elastic.values[i], means.values[i] + (i < 3 ? added[i] : 0)) << i;  // all of a tile: as they are
  }
}

TEST(EvenGridTest, TokensStandEvenlyInTheTile) {
  const auto middles = [](int64_t side, int64_t keep) {
    const EvenGrid grid(side, keep);
    std::vector<int64_t> tokens;
    tokens.reserve(static_cast<size_t>(keep));
    for (int64_t i = 0; i < keep; ++i) tokens.push_back(grid.Middle(i));
    return tokens;
  };
  EXPECT_EQ(middles(3, 4), (std::vector<int64_t>{0, 1, 3, 4}));
  EXPECT_EQ(middles(8, 4), (std::vector<int64_t>{1 * 8 + 1, 1 * 8 + 5, 5 * 8 + 1, 5 * 8 + 5}));
  EXPECT_EQ(middles(9, 1), (std::vector<int64_t>{4 * 9 + 4}));
  EXPECT_EQ(middles(9, 9), (std::vector<int64_t>{10, 13, 16, 37, 40, 43, 64, 67, 70}));
  EXPECT_EQ(middles(8, 3), (std::vector<int64_t>{10, 31, 52}));  // no grid: evenly row by row
}

TEST(EvenGridTest, AreasShareOutTheTileAroundTheirMiddles) {
  for (const int64_t side : {8, 9}) {
    for (int64_t keep = 1; keep <= side * side; ++keep) {
      const EvenGrid grid(side, keep);
      std::vector<int> areas(static_cast<size_t>(side * side), 0);
      for (int64_t i = 0; i < keep; ++i) {
        const std::vector<int64_t> area = grid.Area(i);
        for (const int64_t token : area) ++areas[static_cast<size_t>(token)];
        EXPECT_NE(std::find(area.begin(), area.end(), grid.Middle(i)), area.end()) << keep << " of " << side;
        if (i > 0) {
          EXPECT_LT(grid.Middle(i - 1), grid.Middle(i));
        }
      }
      EXPECT_EQ(std::count(areas.begin(), areas.end(), 1), side * side) << keep << " of " << side;
    }
  }
}

// What every reducer promises of a picture or clip of random tokens.
TEST(ReducerTest, KeepsAsManyInOrderAndAlike) {
  constexpr int64_t kTiles = 3;
  constexpr int64_t kSide = 8;
  constexpr int64_t kWidth = 24;
  constexpr int64_t kTokens = kTiles * kSide * kSide;
  const std::vector<float> rows = Noise(kTokens * kWidth, 1);
  const std::vector<float> attention = Noise(kTokens, 2);
  const std::vector<float> keys = Noise(kTokens * 16, 3);
  for (const Reducer* reducer : Reducers()) {
    if (reducer->reduce == nullptr) continue;
    for (const std::vector<int64_t>& keep :
         {std::vector<int64_t>{16, 16, 64}, {0, 7, 36}, {1, 1, 1}, {16, 16, 16}, {64, 64, 64}, {0, 0, 0}}) {
      if (reducer->clips_only && keep[0] != keep[2]) continue;  // frames are asked for alike
      const ReduceInput input{.tiles = kTiles,
                              .side = kSide,
                              .keep = keep,
                              .seed = 3,
                              .width = kWidth,
                              .rows = rows.data(),
                              .attention = attention.data(),
                              .keys = keys.data(),
                              .key_width = 16};
      const Reduced reduced = reducer->reduce(input, Pool());
      std::vector<int64_t> counts(kTiles, 0);
      for (const int32_t slot : reduced.slots) ++counts[static_cast<size_t>(slot / (kSide * kSide))];
      std::vector<int64_t> expected = keep;
      if (reducer->counts != nullptr) expected = reducer->counts(keep, kSide * kSide);
      if (reducer->counts_by_content) {
        EXPECT_EQ(std::ssize(reduced.slots), std::accumulate(expected.begin(), expected.end(), int64_t{0}));
      } else {
        EXPECT_EQ(counts, expected) << reducer->name;
      }
      EXPECT_TRUE(std::is_sorted(reduced.slots.begin(), reduced.slots.end())) << reducer->name;
      EXPECT_EQ(std::adjacent_find(reduced.slots.begin(), reduced.slots.end()), reduced.slots.end()) << reducer->name;
      const Reduced again = reducer->reduce(input, Pool());
      EXPECT_EQ(again.slots, reduced.slots) << reducer->name;
      EXPECT_EQ(again.values, reduced.values) << reducer->name;
      // All tokens, as they were.
      if (keep[0] == 64 && !reduced.values.empty()) {
        EXPECT_EQ(reduced.values, rows) << reducer->name;
      }
    }
  }
}

TEST(RandomTest, SeedsAndTilesDiffer) {
  const std::vector<int64_t> keep = {16, 16};
  ReduceInput input{.tiles = 2, .side = 8, .keep = keep};
  const std::vector<int32_t> slots = kRandom.reduce(input, Pool()).slots;
  input.seed = 1;
  EXPECT_NE(kRandom.reduce(input, Pool()).slots, slots);
  std::vector<int32_t> second(slots.begin() + 16, slots.end());
  for (int32_t& slot : second) slot -= 64;
  EXPECT_NE(second, std::vector<int32_t>(slots.begin(), slots.begin() + 16));
}

TEST(PoolTest, TakesTheMeansOfAreas) {
  std::vector<float> rows;  // token i is (i, -2 i)
  for (int i = 0; i < 16; ++i) rows.insert(rows.end(), {static_cast<float>(i), static_cast<float>(-2 * i)});
  const std::vector<int64_t> keep = {4};
  const Reduced reduced = kPool.reduce({.tiles = 1, .side = 4, .keep = keep, .width = 2, .rows = rows.data()}, Pool());
  EXPECT_EQ(reduced.values, (std::vector<float>{2.5, -5, 4.5, -9, 10.5, -21, 12.5, -25}));
}

// What the authors' published code gives (tests/golden/reducers.py).
const json& Golden(const char* name) {
  static const json golden = json::parse(testing::ReadAll(EYESHOT_SOURCE_DIR "/tests/data/golden/reducers.json"));
  return golden[name];
}

void ExpectNear(std::span<const float> values, const json& expected) {
  ASSERT_EQ(values.size(), expected.size());
  for (size_t i = 0; i < values.size(); ++i) EXPECT_NEAR(values[i], expected[i].get<float>(), 1e-5) << i;
}

TEST(DivPruneTest, ChoosesWhatThePublishedCodeChooses) {
  for (const json& c : Golden("divprune")) {
    const int64_t side = c["side"];
    const int64_t width = c["width"];
    const std::vector<float> rows = Noise(side * side * width, c["seed"]);
    const std::vector<int64_t> keep = {c["keep"]};
    const Reduced reduced =
        kDivPrune.reduce({.tiles = 1, .side = side, .keep = keep, .width = width, .rows = rows.data()}, Pool());
    EXPECT_EQ(json(reduced.slots), c["ids"]) << side << " x " << side;
  }
}

// A blank page: its tokens are all the same, and zeros have no direction.
TEST(DivPruneTest, EqualTokensAreTakenOnceEach) {
  for (const float value : {0.0f, 0.5f}) {
    const std::vector<float> rows(64 * 16, value);
    const std::vector<int64_t> keep = {5};
    const Reduced reduced =
        kDivPrune.reduce({.tiles = 1, .side = 8, .keep = keep, .width = 16, .rows = rows.data()}, Pool());
    EXPECT_EQ(std::set<int32_t>(reduced.slots.begin(), reduced.slots.end()).size(), 5u);
  }
}

TEST(VisionZipTest, KeepsAndMergesAsThePublishedCodeDoes) {
  for (const json& c : Golden("visionzip")) {
    const int64_t side = c["side"];
    const int64_t width = c["width"];
    const int64_t key_width = c["key_width"];
    const uint64_t seed = c["seed"];
    const std::vector<float> rows = Noise(side * side * width, seed);
    const std::vector<float> attention = Noise(side * side, seed + 100);
    const std::vector<float> keys = Noise(side * side * key_width, seed + 200);
    const std::vector<int64_t> keep = {c["keep"]};
    const Reduced reduced = kVisionZip.reduce({.tiles = 1,
                                               .side = side,
                                               .keep = keep,
                                               .width = width,
                                               .rows = rows.data(),
                                               .attention = attention.data(),
                                               .keys = keys.data(),
                                               .key_width = key_width},
                                              Pool());
    std::vector<float> merged;  // values of those that aren't as they were
    std::vector<int32_t> dominant;
    for (size_t i = 0; i < reduced.slots.size(); ++i) {
      const std::span<const float> values(reduced.values.data() + i * static_cast<size_t>(width),
                                          static_cast<size_t>(width));
      const bool same = std::equal(values.begin(), values.end(), rows.begin() + reduced.slots[i] * width);
      if (same) dominant.push_back(reduced.slots[i]);
      if (!same) merged.insert(merged.end(), values.begin(), values.end());
    }
    EXPECT_EQ(json(dominant), c["dominant"]);
    ExpectNear(merged, c["merged"]);
  }
}

TEST(TokenMergingTest, MergesAsThePublishedCodeDoes) {
  for (const json& c : Golden("tome")) {
    const int64_t width = c["width"];
    const int64_t metric_width = c["metric_width"];
    const uint64_t seed = c["seed"];
    int64_t count = c["count"];
    std::vector<float> rows = Noise(count * width, seed);
    std::vector<float> sizes(static_cast<size_t>(count), 1.0f);
    uint64_t layer = 0;
    for (const json& golden : c["layers"]) {
      const std::vector<float> metric = Noise(count * metric_width, seed + 100 * ++layer);
      const MergeMap map = MatchTokens({metric.data(), count, metric_width, metric_width}, golden["merges"]);
      EXPECT_EQ(json(map.to), golden["to"]);
      rows = MergeRows(map, {rows.data(), count, width, width}, sizes);
      ExpectNear(rows, golden["rows"]);
      ExpectNear(sizes, golden["sizes"]);
      count = map.left;
    }
  }
}

TEST(TokenMergingTest, LayersMergeAlikeAndAtMostHalf) {
  const auto left = [](int64_t keep) {
    std::vector<int64_t> counts = {256};
    for (int64_t layer = 0; layer < 8; ++layer) {
      counts.push_back(counts.back() - MergesOfLayer(counts.back(), keep, layer, 8));
    }
    return counts;
  };
  EXPECT_EQ(left(64), (std::vector<int64_t>{256, 232, 208, 184, 160, 136, 112, 88, 64}));
  EXPECT_EQ(left(256).back(), 256);
  EXPECT_EQ(left(1), (std::vector<int64_t>{256, 224, 192, 160, 128, 96, 64, 32, 16}));
}

TEST(EvsTest, ChoosesWhatThePublishedCodeChooses) {
  for (const json& c : Golden("evs")) {
    const int64_t side = c["side"];
    const int64_t width = c["width"];
    const int64_t frames = c["frames"];
    const std::vector<float> rows = Noise(frames * side * side * width, c["seed"]);
    const std::vector<int64_t> keep(static_cast<size_t>(frames), c["keep"].get<int64_t>());
    const Reduced reduced =
        kEvs.reduce({.tiles = frames, .side = side, .keep = keep, .width = width, .rows = rows.data()}, Pool());
    EXPECT_EQ(json(reduced.slots), c["ids"]) << frames << " frames";
  }
}

TEST(FrameMeanTest, AveragesGroupsOfFrames) {
  std::vector<float> rows;  // frames of 4 tokens of width 1, each 10 more than the one before
  for (int i = 0; i < 3 * 4; ++i) rows.push_back(static_cast<float>(i % 4 + 10 * (i / 4)));
  const std::vector<int64_t> keep = {2, 2, 2};
  const Reduced reduced =
      kFrameMean.reduce({.tiles = 3, .side = 2, .keep = keep, .width = 1, .rows = rows.data()}, Pool());
  EXPECT_EQ(reduced.slots, (std::vector<int32_t>{0, 1, 2, 3, 8, 9, 10, 11}));
  EXPECT_EQ(reduced.values, (std::vector<float>{5, 6, 7, 8, 20, 21, 22, 23}));
}

}  // namespace
}  // namespace eyeshot
