// transformers from 4.55 on computed the buckets of position ids in float32 as i / n * (1 - 1e-6), which shifts every
// patch but the first to its left or upper neighbour (issue 41190, mended for some dtypes in 41374). Ours are integers.
#include <gtest/gtest.h>

#include <numeric>

#include "vision/vision_tower.h"

namespace eyeshot {
namespace {

TEST(Transformers41190, FullTilesHaveTheIdentity) {
  for (int64_t side : {16, 27, 32, 37}) {
    std::vector<int32_t> identity(static_cast<size_t>(side * side));
    std::iota(identity.begin(), identity.end(), 0);
    EXPECT_EQ(PositionBuckets(side, side, side), identity) << side;
  }
}

TEST(Transformers41190, SmallerPicturesSpreadOverTheTable) {
  EXPECT_EQ(PositionBuckets(1, 2, 4), (std::vector<int32_t>{0, 2}));
  EXPECT_EQ(PositionBuckets(2, 3, 4), (std::vector<int32_t>{0, 1, 2, 8, 9, 10}));
}

}  // namespace
}  // namespace eyeshot
