// llama.cpp sends each frame of a video through the preprocessing of still pictures (upscaled to 2048 pixels, cut into
// 12 tiles and a global view) at 4 frames a second: 10 s of 16:9 video are 33,000 tokens against a context of 8,192.
// A frame is one view of one tile, and the rate is the model's.
#include <gtest/gtest.h>

#include "eyeshot/media.h"
#include "formats/processor_config.h"
#include "text/prompt.h"
#include "vision/image_processor.h"

namespace eyeshot {
namespace {

TEST(LlamaCpp24269, TwelveSecondsOfVideoAreTwelveTiles) {
  const std::string dir = EYESHOT_UNPACKED_DIR "/tests/data/checkpoints/SmolVLM2-500M-Video-Instruct";
  const auto config = LoadProcessorConfig(dir);
  ASSERT_TRUE(config.ok()) << config.status().message();
  const auto processor = ImageProcessor::Create(*config);
  ASSERT_TRUE(processor.ok()) << processor.status().message();
  const auto frames =
      LoadVideo(EYESHOT_SOURCE_DIR "/tests/data/media/video/synthetic_12s.mp4", processor->VideoDefaults(0));
  ASSERT_TRUE(frames.ok()) << frames.status().message();
  ASSERT_EQ(frames->images.size(), 12u);
  EXPECT_EQ(frames->images[0].width, 512);
  EXPECT_EQ(frames->images[0].height, 512);

  const auto tokenizer = Tokenizer::Load(dir);
  const auto format = PromptFormat::Load(dir, *tokenizer, config->image_seq_len);
  ASSERT_TRUE(format.ok()) << format.status().message();
  const PromptMessage message{Role::kUser, {PromptVideo{frames->timestamps_s, frames->duration_s}, "What happens?"}};
  const auto prompt = format->Render({&message, 1}, true);
  ASSERT_TRUE(prompt.ok()) << prompt.status().message();
  EXPECT_EQ(prompt->visual_tokens, 12 * 64);
  EXPECT_LT(prompt->ids.size(), 1050u);
  // Its own words, with the time of each frame in minutes and seconds.
  EXPECT_NE(prompt->text.find("series of twelve frames from a 0:00:12 [H:MM:SS] video."), std::string::npos);
  EXPECT_NE(prompt->text.find("\nFrame from 00:11:<fake"), std::string::npos);
}

}  // namespace
}  // namespace eyeshot
