// The input is a safetensors file. Whatever it says, every tensor that comes out lies inside of it.
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/check.h"
#include "formats/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const uint8_t> bytes(data, size);
  const auto tensors = eyeshot::ParseSafetensors(bytes, "fuzz.safetensors");
  if (!tensors.ok()) {
    EYESHOT_CHECK(!tensors.status().message().empty());
    return 0;
  }
  size_t total = 0;
  for (const eyeshot::HostTensor& tensor : *tensors) {
    EYESHOT_CHECK(tensor.data >= data && tensor.bytes() <= static_cast<size_t>(data + size - tensor.data));
    total += tensor.bytes();
  }
  EYESHOT_CHECK(total < size);
  return 0;
}
