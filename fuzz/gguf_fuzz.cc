// The input is a GGUF file. Whatever it says, every tensor and string that comes out lies inside of it.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/check.h"
#include "base/limits.h"
#include "formats/gguf.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = eyeshot::GgufFile::Parse({data, size}, "fuzz.gguf");
  if (!file.ok()) {
    EYESHOT_CHECK(!file.status().message().empty());
    return 0;
  }
  for (const eyeshot::HostTensor& tensor : file->tensors()) {
    EYESHOT_CHECK(tensor.data >= data && tensor.data <= data + size);
    EYESHOT_CHECK(tensor.bytes() <= static_cast<size_t>(data + size - tensor.data));
    EYESHOT_CHECK(file->FindTensor(tensor.name) == &tensor);
  }
  for (const auto& [key, value] : file->metadata()) {
    EYESHOT_CHECK(!file->Describe(key).empty());
    file->Integer(key, 0, 100);
    file->NumberOr(key, 0, 1, 0);
    file->BoolOr(key, false);
    file->String(key);
    file->Numbers(key, 1 << 16);
    const auto strings = file->Strings(key, 1 << 16, eyeshot::limits::kMaxTokenBytes);
    if (!strings.ok()) continue;
    for (const std::string_view text : *strings) {
      const auto* begin = reinterpret_cast<const uint8_t*>(text.data());
      EYESHOT_CHECK(begin >= data && begin + text.size() <= data + size);
    }
  }
  return 0;
}
