// A model gives the same numbers from GGUF files as from its Hugging Face folder: the built-in model, written to GGUF
// as llama.cpp's converter does (tests/golden/gguf_model.py does the same with the `gguf` package).
#include "gguf_files.h"
#include "parity.h"

namespace eyeshot::testing {
namespace {

std::shared_ptr<const Image> Receipt() {
  auto image = LoadImage(EYESHOT_SOURCE_DIR "/demo/receipt.png");
  if (!image.ok()) throw std::runtime_error(image.status().message());
  return std::make_shared<const Image>(*std::move(image));
}

void ExpectSameAsFolder(const std::string& gguf) {
  const auto run = [](const std::string& path) {
    return ModelUnderTest(path, "exact").Run({Receipt(), "What is the total?"}, true);
  };
  const ModelUnderTest::Outputs want = run(TinyModelDir());
  const ModelUnderTest::Outputs got = run(gguf);
  EXPECT_EQ(got.plan.ids, want.plan.ids);
  EXPECT_EQ(got.pixels, want.pixels);
  EXPECT_EQ(got.tower, want.tower);
  EXPECT_EQ(got.connector, want.connector);
  EXPECT_EQ(got.hidden, want.hidden);
}

TEST(Gguf, Bf16FilesGiveTheFoldersNumbersToTheBit) {
  const TempDir out;
  ExpectSameAsFolder(GgufFiles(TinyModelDir(), DType::kBF16, MmprojAge::kCurrent, out).text);
}

TEST(Gguf, Float32FilesGiveTheFoldersNumbersToTheBit) {
  const TempDir out;
  const GgufFiles files(TinyModelDir(), DType::kF32, MmprojAge::kCurrent, out);
  ExpectSameAsFolder(out.path());  // found in a folder as well
}

// Swapped ffn tensors, and no word on the pixel shuffle.
TEST(Gguf, OldMmprojFilesGiveTheFoldersNumbersToTheBit) {
  const TempDir out;
  ExpectSameAsFolder(GgufFiles(TinyModelDir(), DType::kBF16, MmprojAge::kOld, out).text);
}

}  // namespace
}  // namespace eyeshot::testing
