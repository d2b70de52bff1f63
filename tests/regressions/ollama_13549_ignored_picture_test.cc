// Ollama 0.13.3 no longer gave pictures to some models, which then made something up (13549): nothing said so. What is
// on the picture must change what the model says.
#include "small_gguf.h"

namespace eyeshot::testing {
namespace {

TEST(Ollama13549, TheAnswerHangsOnThePicture) {
  const auto engine = Engine::Load({.model = TinyModelDir()});
  const auto ask = [&](const std::string& name) {
    const Image image = LoadImage(EYESHOT_SOURCE_DIR "/tests/data/golden/eyeshot-tiny/images/" + name).value();
    return Ask(engine, {std::make_shared<Image>(image), "Read the text."}, {.max_tokens = 12}).text;
  };
  EXPECT_NE(ask("dev_0002_0.png"), ask("dev_0008_0.png"));
}

}  // namespace
}  // namespace eyeshot::testing
