// SHA-256 (FIPS 180-4): names the content of tiles and files in goldens, caches and `inspect`.
#ifndef EYESHOT_BASE_SHA256_H_
#define EYESHOT_BASE_SHA256_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace eyeshot {

// Hashes a stream of bytes. Not meant against an attacker who measures time.
class Sha256 {
 public:
  void Update(std::span<const uint8_t> bytes);
  // The digest of all bytes so far. The object may not be used afterwards.
  std::array<uint8_t, 32> Finish();

 private:
  void Compress(const uint8_t* block);

  std::array<uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<uint8_t, 64> pending_ = {};  // the first total_ % 64 bytes wait for a full block
  uint64_t total_ = 0;
};

// The digest as 64 lower-case hexadecimal digits.
std::string Sha256Hex(std::span<const uint8_t> bytes);

}  // namespace eyeshot

#endif  // EYESHOT_BASE_SHA256_H_
