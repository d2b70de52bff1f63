// vLLM passed the decoder's message about a broken picture on to who had sent it, and with it an address on the heap;
// JPEG 2000, which nobody needs, then ran code (CVE-2026-22778).
#include <algorithm>
#include <filesystem>

#include "eyeshot/media.h"
#include "small_gguf.h"

namespace eyeshot::testing {
namespace {

TEST(VllmCve202622778, ErrorsNameNoAddressAndRepeatNoBytes) {
  int errors = 0;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(EYESHOT_SOURCE_DIR "/tests/data/media/malformed")) {
    if (!entry.is_regular_file()) continue;
    const std::string bytes = ReadAll(entry.path());
    const auto image = DecodeImage(Span(bytes), "sent");
    if (image.ok()) continue;
    const std::string message = image.status().message();
    // No number of more than 4 hexadecimal digits.
    const size_t hex = message.find("0x");
    EXPECT_TRUE(hex == message.npos || message.find_first_not_of("0123456789abcdefABCDEF", hex + 2) - hex <= 6)
        << message;
    EXPECT_TRUE(std::all_of(message.begin(), message.end(), [](char c) { return c >= ' ' && c <= '~'; })) << message;
    ++errors;
  }
  EXPECT_GE(errors, 20);
}

TEST(VllmCve202622778, Jpeg2000IsNotDecoded) {
  using namespace std::literals;
  for (const std::string_view head : {"\0\0\0\x0cjP  \r\n\x87\n"sv, "\xff\x4f\xff\x51\0\x2f\0\0\0\0\0\0"sv}) {
    std::vector<uint8_t> bytes(4096);
    std::copy(head.begin(), head.end(), bytes.begin());
    ExpectError(DecodeImage(bytes, "sent").status(), StatusCode::kUnsupported, {"sent"});
  }
}

}  // namespace
}  // namespace eyeshot::testing
