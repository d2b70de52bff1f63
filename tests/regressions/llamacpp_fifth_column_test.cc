// llama.cpp takes the grid from ceil(width * (edge / width) / tile) in float32: for the 2.2B model (edge 1536, tile
// 384) 484 widths of 1 to 8192 round up to a fifth column, 168 and 170 among them. The reference computes in double.
#include <gtest/gtest.h>

#include "vision/image_processor.h"

namespace eyeshot {
namespace {

TEST(LlamaCppFifthColumn, SquaresOfAllWidthsHaveFourColumns) {
  ImageProcessorConfig config;
  config.longest_edge = 1536;
  config.max_image_edge = 384;
  const auto processor = ImageProcessor::Create(config);
  ASSERT_TRUE(processor.ok()) << processor.status().message();
  for (int side = 1; side <= 8192; ++side) {
    const TileGrid grid = processor->Plan(side, side, true);
    ASSERT_EQ(grid.rows, 4) << side;
    ASSERT_EQ(grid.cols, 4) << side;
  }
}

}  // namespace
}  // namespace eyeshot
