// The input is a tokenizer.json if it begins with '{', else text: two bytes that choose how it is tokenized, and the
// text itself.
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "formats/byte_symbols.h"
#include "formats/tokenizer_json.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace {

using eyeshot::Tokenizer;

void FuzzFile(std::string_view text) {
  eyeshot::Result<eyeshot::TokenizerFile> file = eyeshot::ParseTokenizerJson(text, "tokenizer.json");
  if (!file.ok()) return;
  const Tokenizer tokenizer = Tokenizer::FromFile(std::move(file).value());
  const std::vector<int32_t> ids = tokenizer.Encode("The <image> 12\xC3\xA9\n\n \xFF");
  for (const int32_t id : ids) EYESHOT_CHECK(id >= 0 && id < tokenizer.vocab_size());
  EYESHOT_CHECK(eyeshot::IsValidUtf8(tokenizer.Decode(ids)));
}

// All bytes and a few merges. Added tokens that take no white space, so that no text is lost.
Tokenizer SmallTokenizer(uint8_t options) {
  eyeshot::TokenizerFile file;
  for (int byte = 0; byte < 256; ++byte) file.vocabulary.push_back(eyeshot::ByteSymbol(static_cast<uint8_t>(byte)));
  constexpr std::array<std::array<int32_t, 2>, 5> kMerges = {
      {{'a', 'a'}, {' ', 'a'}, {256, 256}, {0xEF, 0xBF}, {'\n', '\n'}}};
  for (const auto& [left, right] : kMerges) {
    file.merges.push_back({left, right, static_cast<int32_t>(file.vocabulary.size())});
    file.vocabulary.push_back(file.vocabulary[static_cast<size_t>(left)] + file.vocabulary[static_cast<size_t>(right)]);
  }
  const auto first_added = static_cast<int32_t>(file.vocabulary.size());
  file.added_tokens = {{.id = first_added, .content = "<a>", .special = true},
                       {.id = first_added + 1, .content = "<a><a>", .normalized = (options & 1) != 0},
                       {.id = first_added + 2, .content = "aaa", .single_word = true, .normalized = true}};
  file.split_digits = (options & 2) != 0;
  file.individual_digits = (options & 4) != 0;
  file.words = static_cast<eyeshot::WordPattern>(options >> 3 & 3);
  file.ignore_merges = (options & 32) != 0;
  return Tokenizer::FromFile(std::move(file));
}

void FuzzText(uint8_t options, uint8_t step, std::string_view text) {
  const Tokenizer tokenizer = SmallTokenizer(options);
  const std::string repaired = eyeshot::RepairUtf8(text);
  EYESHOT_CHECK(eyeshot::IsValidUtf8(repaired));
  const std::vector<int32_t> ids = tokenizer.Encode(text);
  EYESHOT_CHECK(ids == tokenizer.Encode(repaired));
  EYESHOT_CHECK(tokenizer.Decode(ids) == repaired);

  // However the bytes are cut, a stream gives the same text.
  eyeshot::Utf8Stream stream;
  std::string streamed;
  for (size_t at = 0; at < text.size(); at += step + 1u) stream.Push(text.substr(at, step + 1u), streamed);
  stream.Finish(streamed);
  EYESHOT_CHECK(streamed == repaired);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (text.starts_with('{')) {
    FuzzFile(text);
  } else if (size >= 2) {
    FuzzText(data[0], data[1] % 8, text.substr(2));
  }
  return 0;
}
