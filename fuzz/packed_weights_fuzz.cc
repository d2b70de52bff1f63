// The input is a file of packed weights. Whatever it says, every weight that comes out lies inside of it.
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/check.h"
#include "formats/packed_weights.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto packed = eyeshot::PackedWeights::Parse({data, size}, "fuzz.eyeshot");
  if (!packed.ok()) {
    EYESHOT_CHECK(!packed.status().message().empty());
    return 0;
  }
  EYESHOT_CHECK(packed->bytes() < size);
  if (const eyeshot::PackedEntry* entry = packed->Find("w")) {
    EYESHOT_CHECK(entry->bytes.empty() || (entry->bytes.data() >= data && entry->bytes.size() < size));
  }
  return 0;
}
