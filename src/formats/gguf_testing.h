// GgufBuilder: GGUF files for tests, sound ones and others.
#ifndef EYESHOT_FORMATS_GGUF_TESTING_H_
#define EYESHOT_FORMATS_GGUF_TESTING_H_

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "formats/gguf.h"

namespace eyeshot::testing {

class GgufBuilder {
 public:
  explicit GgufBuilder(uint32_t version = 3) : version_(version) {}

  static std::string Number(uint64_t value, size_t bytes) {
    std::string out;
    for (size_t i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i) & 255);
    return out;
  }
  static std::string Text(std::string_view text) { return Number(text.size(), 8).append(text); }

  GgufBuilder& Raw(std::string_view key, GgufType type, const std::string& bytes) {
    keys_ += Text(key) + Number(static_cast<uint32_t>(type), 4) + bytes;
    ++key_count_;
    return *this;
  }
  GgufBuilder& Integer(std::string_view key, uint32_t value) { return Raw(key, GgufType::kUint32, Number(value, 4)); }
  GgufBuilder& Float(std::string_view key, float value) {
    return Raw(key, GgufType::kFloat32, Number(std::bit_cast<uint32_t>(value), 4));
  }
  GgufBuilder& Bool(std::string_view key, bool value) { return Raw(key, GgufType::kBool, Number(value ? 1 : 0, 1)); }
  GgufBuilder& String(std::string_view key, std::string_view value) { return Raw(key, GgufType::kString, Text(value)); }
  GgufBuilder& Strings(std::string_view key, const std::vector<std::string>& values) {
    std::string bytes = Number(static_cast<uint32_t>(GgufType::kString), 4) + Number(values.size(), 8);
    for (const std::string& value : values) bytes += Text(value);
    return Raw(key, GgufType::kArray, bytes);
  }
  GgufBuilder& Integers(std::string_view key, const std::vector<int32_t>& values) {
    std::string bytes = Number(static_cast<uint32_t>(GgufType::kInt32), 4) + Number(values.size(), 8);
    for (const int32_t value : values) bytes += Number(static_cast<uint32_t>(value), 4);
    return Raw(key, GgufType::kArray, bytes);
  }
  // dims: as in the file, the fastest first. offset: where the data is said to lie; by default where it does.
  GgufBuilder& Tensor(std::string_view name, const std::vector<uint64_t>& dims, uint32_t type, const std::string& data,
                      int64_t offset = -1) {
    tensors_ += Text(name) + Number(dims.size(), 4);
    for (const uint64_t dim : dims) tensors_ += Number(dim, 8);
    data_.resize((data_.size() + 31) / 32 * 32);
    tensors_ += Number(type, 4) + Number(offset < 0 ? data_.size() : static_cast<uint64_t>(offset), 8);
    data_ += data;
    ++tensor_count_;
    return *this;
  }

  std::string Bytes() const {
    std::string file =
        "GGUF" + Number(version_, 4) + Number(tensor_count_, 8) + Number(key_count_, 8) + keys_ + tensors_;
    file.resize((file.size() + 31) / 32 * 32);
    return file + data_;
  }

 private:
  uint32_t version_;
  uint64_t key_count_ = 0;
  uint64_t tensor_count_ = 0;
  std::string keys_, tensors_, data_;
};

}  // namespace eyeshot::testing

#endif  // EYESHOT_FORMATS_GGUF_TESTING_H_
