// vLLM crashed with SmolVLM and Idefics3 (15057), and in mlx-vlm 81 places for visual tokens met 1,053 rows (1919).
// Plan, tiles and prompt agree for every size.
#include <algorithm>

#include "small_gguf.h"
#include "text/prompt.h"
#include "vision/image_processor.h"

namespace eyeshot::testing {
namespace {

TEST(Vllm15057, PlacesInThePromptAreRowsOfTheTower) {
  for (const char* name : {"SmolVLM-256M-Instruct", "SmolVLM-Instruct"}) {
    const std::string dir = CheckpointDir(name);
    const auto config = LoadProcessorConfig(dir).value();
    const auto processor = ImageProcessor::Create(config).value();
    const auto format = PromptFormat::Load(dir, Tokenizer::Load(dir).value(), config.image_seq_len).value();
    ThreadPool pool(2);
    for (const auto& [width, height] : {std::pair{10, 10}, {100, 30}, {30, 100}, {1000, 10}, {683, 512}, {97, 700}}) {
      for (const bool split : {true, false}) {
        Tiles tiles;
        ASSERT_TRUE(processor.Append(*Plain(width, height), split, pool, tiles).ok());
        const TileGrid grid = processor.Plan(width, height, split);
        const PromptMessage message{Role::kUser, {PromptImage{grid.rows, grid.cols}, "Hi"}};
        const Prompt prompt = format.Render({&message, 1}, true).value();
        const int64_t rows = tiles.count() * config.image_seq_len;
        EXPECT_EQ(prompt.visual_tokens, rows) << name << " " << width << " x " << height;
        EXPECT_EQ(std::count(prompt.ids.begin(), prompt.ids.end(), format.image_token_id()), rows);
      }
    }
  }
}

}  // namespace
}  // namespace eyeshot::testing
