#include "base/sha256.h"

#include <gtest/gtest.h>

#include <string_view>
#include <vector>

namespace eyeshot {
namespace {

std::string HexOf(std::string_view text) { return Sha256Hex(std::vector<uint8_t>(text.begin(), text.end())); }

// The examples of FIPS 180-4's companion (NIST, "SHA-256 examples") and of RFC 6234.
TEST(Sha256, GivesThePublishedDigests) {
  EXPECT_EQ(HexOf(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(HexOf("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(HexOf("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(HexOf(std::string(1'000'000, 'a')), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, DoesNotDependOnHowTheBytesArrive) {
  std::vector<uint8_t> bytes(300);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 7);
  for (size_t length : {55u, 56u, 63u, 64u, 65u, 119u, 128u, 300u}) {
    const auto whole = std::span(bytes).first(length);
    Sha256 once;
    once.Update(whole);
    const auto digest = once.Finish();
    for (size_t step : {1u, 13u, 64u, 100u}) {
      Sha256 parts;
      for (size_t at = 0; at < length; at += step) parts.Update(whole.subspan(at, std::min(step, length - at)));
      EXPECT_EQ(parts.Finish(), digest) << length << " bytes in steps of " << step;
    }
  }
}

}  // namespace
}  // namespace eyeshot
