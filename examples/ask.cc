// Asks a question about a picture:   ask_cc MODEL_DIR PICTURE "question"
#include <cstdio>
#include <memory>

#include "eyeshot/engine.h"

int main(int argc, char** argv) {
  if (argc != 4) return std::fprintf(stderr, "usage: ask_cc MODEL_DIR PICTURE \"question\"\n"), 2;

  // The engine may be shared by threads; a chat belongs to one thread at a time.
  const auto engine = eyeshot::Engine::Load({.model = argv[1]});
  if (!engine.ok()) return std::fprintf(stderr, "%s\n", engine.status().message().c_str()), 1;
  auto picture = eyeshot::LoadImage(argv[2]);
  if (!picture.ok()) return std::fprintf(stderr, "%s\n", picture.status().message().c_str()), 1;
  const auto chat = (*engine)->NewChat();
  if (!chat.ok()) return std::fprintf(stderr, "%s\n", chat.status().message().c_str()), 1;

  eyeshot::AskOptions options;
  options.on_text = [](std::string_view text) {  // streams the answer
    std::fwrite(text.data(), 1, text.size(), stdout);
    return true;
  };
  const auto answer = (*chat)->Ask({std::make_shared<const eyeshot::Image>(*std::move(picture)), argv[3]}, options);
  if (!answer.ok()) return std::fprintf(stderr, "%s\n", answer.status().message().c_str()), 1;
  std::printf("\n%s", answer->ledger.Table().c_str());
  return 0;
}
