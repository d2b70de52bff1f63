#include "formats/gguf.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/limits.h"

namespace eyeshot {
namespace {

constexpr std::string_view kMagic = "GGUF";
constexpr uint32_t kOldestVersion = 2;
constexpr uint32_t kNewestVersion = 3;
constexpr uint64_t kDefaultAlignment = 32;
constexpr uint64_t kMaxAlignment = 1 << 20;
constexpr const char* kMend = "download the file again, or convert the model again";

struct TypeEntry {
  std::string_view name;
  size_t bytes;  // 0: not of a fixed size
};
// By number.
constexpr std::array<TypeEntry, 13> kTypes = {{{"uint8", 1},
                                               {"int8", 1},
                                               {"uint16", 2},
                                               {"int16", 2},
                                               {"uint32", 4},
                                               {"int32", 4},
                                               {"float32", 4},
                                               {"bool", 1},
                                               {"string", 0},
                                               {"array", 0},
                                               {"uint64", 8},
                                               {"int64", 8},
                                               {"float64", 8}}};

std::string_view TypeName(GgufType type) { return kTypes[static_cast<size_t>(type)].name; }
size_t TypeBytes(GgufType type) { return kTypes[static_cast<size_t>(type)].bytes; }
bool IsInteger(GgufType type) {
  return type != GgufType::kFloat32 && type != GgufType::kFloat64 && type != GgufType::kBool && TypeBytes(type) > 0;
}

// Numbers of tensor types in the file. Those without a DType are known by name, so that an error can say it.
struct TensorTypeEntry {
  uint32_t number;
  std::string_view name;
  std::optional<DType> dtype;
};
constexpr std::array<TensorTypeEntry, 37> kTensorTypes = {{
    {0, "F32", DType::kF32},    {1, "F16", DType::kF16},   {2, "Q4_0", DType::kQ4_0},  {3, "Q4_1", DType::kQ4_1},
    {6, "Q5_0", DType::kQ5_0},  {7, "Q5_1", DType::kQ5_1}, {8, "Q8_0", DType::kQ8_0},  {9, "Q8_1", {}},
    {10, "Q2_K", {}},           {11, "Q3_K", {}},          {12, "Q4_K", DType::kQ4_K}, {13, "Q5_K", DType::kQ5_K},
    {14, "Q6_K", DType::kQ6_K}, {15, "Q8_K", {}},          {16, "IQ2_XXS", {}},        {17, "IQ2_XS", {}},
    {18, "IQ3_XXS", {}},        {19, "IQ1_S", {}},         {20, "IQ4_NL", {}},         {21, "IQ3_S", {}},
    {22, "IQ2_S", {}},          {23, "IQ4_XS", {}},        {24, "I8", DType::kI8},     {25, "I16", DType::kI16},
    {26, "I32", DType::kI32},   {27, "I64", DType::kI64},  {28, "F64", DType::kF64},   {29, "IQ1_M", {}},
    {30, "BF16", DType::kBF16}, {34, "TQ1_0", {}},         {35, "TQ2_0", {}},          {39, "MXFP4", {}},
    {40, "NVFP4", {}},          {31, "Q4_0_4_4", {}},      {32, "Q4_0_4_8", {}},       {33, "Q4_0_8_8", {}},
    {36, "IQ4_NL_4_4", {}},
}};

// Little-endian integer of `bytes` bytes.
uint64_t ReadUnsigned(const uint8_t* data, size_t bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes; ++i) value |= static_cast<uint64_t>(data[i]) << (8 * i);
  return value;
}

// The number at `data`. REQUIRES: a type of fixed size.
double ReadNumber(GgufType type, const uint8_t* data) {
  const uint64_t bits = ReadUnsigned(data, TypeBytes(type));
  switch (type) {
    case GgufType::kInt8: return static_cast<int8_t>(bits);
    case GgufType::kInt16: return static_cast<int16_t>(bits);
    case GgufType::kInt32: return static_cast<int32_t>(bits);
    case GgufType::kInt64: return static_cast<double>(static_cast<int64_t>(bits));
    case GgufType::kFloat32: return double{std::bit_cast<float>(static_cast<uint32_t>(bits))};
    case GgufType::kFloat64: return std::bit_cast<double>(bits);
    default: return static_cast<double>(bits);
  }
}

// nullopt: a uint64 beyond int64.
std::optional<int64_t> ReadInteger(GgufType type, const uint8_t* data) {
  const uint64_t bits = ReadUnsigned(data, TypeBytes(type));
  switch (type) {
    case GgufType::kInt8: return static_cast<int8_t>(bits);
    case GgufType::kInt16: return static_cast<int16_t>(bits);
    case GgufType::kInt32: return static_cast<int32_t>(bits);
    case GgufType::kUint64:
      if (bits > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
      return static_cast<int64_t>(bits);
    default: return static_cast<int64_t>(bits);
  }
}

std::string_view Text(std::span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Printable, and short enough for a message.
std::string Excerpt(std::string_view text) {
  constexpr size_t kMost = 60;
  std::string out;
  for (const char c : text.substr(0, kMost)) out += c >= ' ' && c <= '~' ? c : '?';
  return text.size() > kMost ? out + "..." : out;
}

}  // namespace

// Walks over a file from its first byte on; every read is checked against the end.
class GgufParser {
 public:
  GgufParser(std::span<const uint8_t> bytes, GgufFile& file) : bytes_(bytes), file_(file) {}

  Status Run() {
    EYESHOT_RETURN_IF_ERROR(Header());
    for (uint64_t i = 0; i < keys_; ++i) EYESHOT_RETURN_IF_ERROR(Key(i));
    EYESHOT_RETURN_IF_ERROR(CheckMetadata());
    for (uint64_t i = 0; i < tensors_; ++i) EYESHOT_RETURN_IF_ERROR(TensorInfo(i));
    return Data();
  }

 private:
  Status Truncated(std::string_view what) const {
    return CorruptError(fmt::format("{}: ends at byte {} within {}", file_.file_, bytes_.size(), what), kMend);
  }

  // The next `count` bytes.
  Result<std::span<const uint8_t>> Take(uint64_t count, std::string_view what) {
    if (count > bytes_.size() - at_) return Truncated(what);
    const auto taken = bytes_.subspan(at_, static_cast<size_t>(count));
    at_ += static_cast<size_t>(count);
    return taken;
  }

  Result<uint64_t> Unsigned(size_t size, std::string_view what) {
    EYESHOT_ASSIGN_OR_RETURN(const std::span<const uint8_t> taken, Take(size, what));
    return ReadUnsigned(taken.data(), size);
  }

  // A length and so many bytes.
  Result<std::span<const uint8_t>> String(std::string_view what) {
    EYESHOT_ASSIGN_OR_RETURN(const uint64_t length, Unsigned(8, what));
    return Take(length, what);
  }

  Result<GgufType> Type(std::string_view what) {
    EYESHOT_ASSIGN_OR_RETURN(const uint64_t number, Unsigned(4, what));
    if (number < kTypes.size()) return static_cast<GgufType>(number);
    return CorruptError(
        fmt::format("{}: {} has type {}, there are 0 to {}", file_.file_, what, number, kTypes.size() - 1), kMend);
  }

  Status Header() {
    if (bytes_.size() < kMagic.size() || Text(bytes_.first(kMagic.size())) != kMagic) {
      return CorruptError(fmt::format("{}: does not begin with \"GGUF\"", file_.file_), "name a GGUF file");
    }
    at_ = kMagic.size();
    EYESHOT_ASSIGN_OR_RETURN(const uint64_t version, Unsigned(4, "the header"));
    if (version >= 1 << 24 && (version & 0xffff) == 0) {
      return UnsupportedError(fmt::format("{}: is a big-endian GGUF file", file_.file_),
                              "convert the model again without --bigendian");
    }
    if (version < kOldestVersion || version > kNewestVersion) {
      return UnsupportedError(fmt::format("{}: is GGUF version {}, versions {} and {} are read", file_.file_, version,
                                          kOldestVersion, kNewestVersion),
                              "convert the model again with a current llama.cpp");
    }
    file_.version_ = static_cast<uint32_t>(version);
    EYESHOT_ASSIGN_OR_RETURN(tensors_, Unsigned(8, "the header"));
    EYESHOT_ASSIGN_OR_RETURN(keys_, Unsigned(8, "the header"));
    if (tensors_ > limits::kMaxTensors) {
      return LimitError(
          fmt::format("{}: says that it has {} tensors, the limit is {}", file_.file_, tensors_, limits::kMaxTensors),
          kMend);
    }
    if (keys_ <= limits::kMaxGgufKeys) return Status::Ok();
    return LimitError(fmt::format("{}: says that it has {} keys of metadata, the limit is {}", file_.file_, keys_,
                                  limits::kMaxGgufKeys),
                      kMend);
  }

  Status Key(uint64_t index) {
    const std::string what = fmt::format("key {} of {}", index + 1, keys_);
    EYESHOT_ASSIGN_OR_RETURN(const std::span<const uint8_t> name, String(what));
    if (name.empty() || name.size() > limits::kMaxGgufKeyBytes) {
      return LimitError(fmt::format("{}: {} is {} bytes long, allowed are 1 to {}", file_.file_, what, name.size(),
                                    limits::kMaxGgufKeyBytes),
                        kMend);
    }
    const std::string key(Text(name));
    EYESHOT_ASSIGN_OR_RETURN(const GgufType type, Type(Excerpt(key)));
    EYESHOT_ASSIGN_OR_RETURN(const GgufValue value, Value(type, Excerpt(key), 0));
    if (file_.metadata_.emplace(key, value).second) return Status::Ok();
    return CorruptError(fmt::format("{}: the key {} stands twice", file_.file_, Excerpt(key)), kMend);
  }

  Result<GgufValue> Value(GgufType type, std::string_view key, int depth) {
    GgufValue value{.type = type};
    if (type == GgufType::kString) {
      EYESHOT_ASSIGN_OR_RETURN(value.bytes, String(key));
      return value;
    }
    if (type != GgufType::kArray) {
      EYESHOT_ASSIGN_OR_RETURN(value.bytes, Take(TypeBytes(type), key));
      return value;
    }
    if (depth >= limits::kMaxGgufArrayDepth) {
      return LimitError(fmt::format("{}: {} nests arrays deeper than {}", file_.file_, key, limits::kMaxGgufArrayDepth),
                        kMend);
    }
    EYESHOT_ASSIGN_OR_RETURN(value.element, Type(key));
    EYESHOT_ASSIGN_OR_RETURN(value.count, Unsigned(8, key));
    const size_t begin = at_;
    const size_t size = TypeBytes(value.element);
    if (size > 0) {
      if (value.count > (bytes_.size() - at_) / size) return Truncated(key);
      at_ += static_cast<size_t>(value.count) * size;
    } else {
      // Each takes at least its length of 8 bytes, so that the walk is bounded by the file.
      if (value.count > (bytes_.size() - at_) / 8) return Truncated(key);
      for (uint64_t i = 0; i < value.count; ++i) {
        EYESHOT_RETURN_IF_ERROR(Value(value.element, key, depth + 1).status());
      }
    }
    value.bytes = bytes_.subspan(begin, at_ - begin);
    return value;
  }

  Status CheckMetadata() {
    EYESHOT_ASSIGN_OR_RETURN(const int64_t splits, file_.IntegerOr("split.count", 0, 1 << 20, 1));
    if (splits > 1) {
      return UnsupportedError(fmt::format("{}: is one of {} parts (split.count)", file_.file_, splits),
                              "merge them with `llama-gguf-split --merge`");
    }
    EYESHOT_ASSIGN_OR_RETURN(const int64_t alignment,
                             file_.IntegerOr("general.alignment", 1, kMaxAlignment, kDefaultAlignment));
    alignment_ = static_cast<uint64_t>(alignment);
    if (std::has_single_bit(alignment_)) return Status::Ok();
    return file_.Error(StatusCode::kCorrupt, "general.alignment", "a power of two", kMend);
  }

  Status TensorInfo(uint64_t index) {
    const std::string what = fmt::format("tensor {} of {}", index + 1, tensors_);
    EYESHOT_ASSIGN_OR_RETURN(const std::span<const uint8_t> name, String(what));
    if (name.empty() || name.size() > limits::kMaxTensorNameBytes) {
      return LimitError(fmt::format("{}: the name of {} is {} bytes long, allowed are 1 to {}", file_.file_, what,
                                    name.size(), limits::kMaxTensorNameBytes),
                        kMend);
    }
    HostTensor tensor{.name = std::string(Text(name))};
    EYESHOT_RETURN_IF_ERROR(Shape(tensor));
    EYESHOT_RETURN_IF_ERROR(DataType(tensor));
    EYESHOT_ASSIGN_OR_RETURN(const uint64_t offset, Unsigned(8, what));
    offsets_.push_back(offset);
    if (!file_.by_name_.emplace(tensor.name, file_.tensors_.size()).second) {
      return CorruptError(fmt::format("{}: the tensor {} stands twice", file_.file_, Excerpt(tensor.name)), kMend);
    }
    file_.tensors_.push_back(std::move(tensor));
    return Status::Ok();
  }

  Status Shape(HostTensor& tensor) {
    EYESHOT_ASSIGN_OR_RETURN(const uint64_t dims, Unsigned(4, Excerpt(tensor.name)));
    if (dims > limits::kMaxTensorDims) {
      return LimitError(fmt::format("{}: tensor {} has {} dimensions, the limit is {}", file_.file_,
                                    Excerpt(tensor.name), dims, limits::kMaxTensorDims),
                        kMend);
    }
    tensor.shape.resize(static_cast<size_t>(dims));
    for (size_t i = tensor.shape.size(); i-- > 0;) {
      EYESHOT_ASSIGN_OR_RETURN(const uint64_t dim, Unsigned(8, Excerpt(tensor.name)));
      if (dim > limits::kMaxTensorDim) {
        return LimitError(fmt::format("{}: tensor {} has a dimension of {}, the limit is {}", file_.file_,
                                      Excerpt(tensor.name), dim, limits::kMaxTensorDim),
                          kMend);
      }
      tensor.shape[i] = static_cast<int64_t>(dim);
    }
    return Status::Ok();
  }

  Status DataType(HostTensor& tensor) {
    EYESHOT_ASSIGN_OR_RETURN(const uint64_t number, Unsigned(4, Excerpt(tensor.name)));
    for (const TensorTypeEntry& entry : kTensorTypes) {
      if (entry.number != number) continue;
      if (entry.dtype) {
        tensor.dtype = *entry.dtype;
        return CheckSize(tensor);
      }
      return UnsupportedError(
          fmt::format("{}: tensor {} is stored as {}", file_.file_, Excerpt(tensor.name), entry.name),
          "use a file in F32, F16, BF16, Q8_0, Q6_K, Q5_K, Q4_K, Q5_0, Q5_1, Q4_0 or Q4_1");
    }
    return CorruptError(
        fmt::format("{}: tensor {} is of type {}, which is not known", file_.file_, Excerpt(tensor.name), number),
        kMend);
  }

  Status CheckSize(const HostTensor& tensor) const {
    // In elements of at least 4 bits; products are checked before they can overflow.
    uint64_t elements = 1;
    for (const int64_t dim : tensor.shape) {
      if (dim != 0 && elements > 2 * limits::kMaxTensorBytes / static_cast<uint64_t>(dim)) {
        return LimitError(fmt::format("{}: tensor {} has more than {} bytes", file_.file_, Excerpt(tensor.name),
                                      limits::kMaxTensorBytes),
                          kMend);
      }
      elements *= static_cast<uint64_t>(dim);
    }
    const auto block = static_cast<int64_t>(DTypeBlock(tensor.dtype));
    const int64_t row = tensor.shape.empty() ? 1 : tensor.shape.back();
    if (row % block == 0) return Status::Ok();
    return CorruptError(fmt::format("{}: tensor {} has rows of {} elements, {} needs a multiple of {}", file_.file_,
                                    Excerpt(tensor.name), row, DTypeName(tensor.dtype), block),
                        kMend);
  }

  // Finds each tensor's bytes behind the header.
  Status Data() {
    const uint64_t begin = (at_ + alignment_ - 1) / alignment_ * alignment_;
    for (size_t i = 0; i < file_.tensors_.size(); ++i) {
      HostTensor& tensor = file_.tensors_[i];
      const uint64_t available = bytes_.size() > begin ? bytes_.size() - begin : 0;
      if (offsets_[i] % alignment_ != 0) {
        return CorruptError(fmt::format("{}: tensor {} begins at offset {}, expected a multiple of {}", file_.file_,
                                        Excerpt(tensor.name), offsets_[i], alignment_),
                            kMend);
      }
      if (offsets_[i] > available || tensor.bytes() > available - offsets_[i]) {
        return CorruptError(fmt::format("{}: tensor {} needs {} bytes from {} on, the file has {} bytes of data",
                                        file_.file_, Excerpt(tensor.name), tensor.bytes(), offsets_[i], available),
                            "the file is cut off; download it again");
      }
      tensor.data = bytes_.data() + begin + offsets_[i];
    }
    return Status::Ok();
  }

  std::span<const uint8_t> bytes_;
  GgufFile& file_;
  size_t at_ = 0;
  uint64_t tensors_ = 0;
  uint64_t keys_ = 0;
  uint64_t alignment_ = kDefaultAlignment;
  std::vector<uint64_t> offsets_;
};

Result<GgufFile> GgufFile::Open(const std::string& path) {
  EYESHOT_ASSIGN_OR_RETURN(MappedFile map, MappedFile::Open(path));
  EYESHOT_ASSIGN_OR_RETURN(GgufFile file, Parse(map.bytes(), path));
  file.map_ = std::move(map);
  return file;
}

Result<GgufFile> GgufFile::Parse(std::span<const uint8_t> bytes, const std::string& file_name) {
  GgufFile file;
  file.file_ = file_name;
  EYESHOT_RETURN_IF_ERROR(GgufParser(bytes, file).Run());
  return file;
}

const GgufValue* GgufFile::Find(const std::string& key) const {
  const auto found = metadata_.find(key);
  return found == metadata_.end() ? nullptr : &found->second;
}

std::string GgufFile::Describe(const std::string& key) const {
  const GgufValue* const value = Find(key);
  if (value == nullptr) return "absent";
  if (value->type == GgufType::kString) return fmt::format("\"{}\"", Excerpt(Text(value->bytes)));
  if (value->type == GgufType::kArray) {
    return fmt::format("an array of {} {}s", value->count, TypeName(value->element));
  }
  if (value->type == GgufType::kBool) return value->bytes[0] != 0 ? "true" : "false";
  if (IsInteger(value->type)) {
    if (const auto integer = ReadInteger(value->type, value->bytes.data())) return std::to_string(*integer);
  }
  return fmt::format("{}", ReadNumber(value->type, value->bytes.data()));
}

Status GgufFile::Error(StatusCode code, const std::string& key, const std::string& expected,
                       const std::string& mend) const {
  return {code, fmt::format("{}: {} is {}, expected {}", file_, key, Describe(key), expected), mend};
}

Result<int64_t> GgufFile::Integer(const std::string& key, int64_t min, int64_t max) const {
  const GgufValue* const value = Find(key);
  const std::string expected = fmt::format("an integer in [{}, {}]", min, max);
  if (value == nullptr) return Error(StatusCode::kNotFound, key, expected, kMend);
  if (!IsInteger(value->type)) return Error(StatusCode::kCorrupt, key, expected, kMend);
  const std::optional<int64_t> integer = ReadInteger(value->type, value->bytes.data());
  if (!integer || *integer < min || *integer > max) return Error(StatusCode::kLimitExceeded, key, expected, kMend);
  return *integer;
}

Result<int64_t> GgufFile::IntegerOr(const std::string& key, int64_t min, int64_t max, int64_t fallback) const {
  return Has(key) ? Integer(key, min, max) : Result<int64_t>(fallback);
}

Result<double> GgufFile::NumberOr(const std::string& key, double min, double max, double fallback) const {
  const GgufValue* const value = Find(key);
  if (value == nullptr) return fallback;
  const std::string expected = fmt::format("a number in [{}, {}]", min, max);
  if (TypeBytes(value->type) == 0 || value->type == GgufType::kBool) {
    return Error(StatusCode::kCorrupt, key, expected, kMend);
  }
  const double number = ReadNumber(value->type, value->bytes.data());
  if (!(number >= min && number <= max)) return Error(StatusCode::kLimitExceeded, key, expected, kMend);
  return number;
}

Result<bool> GgufFile::BoolOr(const std::string& key, bool fallback) const {
  const GgufValue* const value = Find(key);
  if (value == nullptr) return fallback;
  if (value->type != GgufType::kBool) return Error(StatusCode::kCorrupt, key, "true or false", kMend);
  return value->bytes[0] != 0;
}

Result<std::string> GgufFile::String(const std::string& key) const {
  const GgufValue* const value = Find(key);
  if (value == nullptr) return Error(StatusCode::kNotFound, key, "a string", kMend);
  if (value->type != GgufType::kString) return Error(StatusCode::kCorrupt, key, "a string", kMend);
  return std::string(Text(value->bytes));
}

Result<std::string> GgufFile::StringOr(const std::string& key, const std::string& fallback) const {
  return Has(key) ? String(key) : Result<std::string>(fallback);
}

Result<std::vector<std::string_view>> GgufFile::Strings(const std::string& key, size_t max_count,
                                                        size_t max_bytes) const {
  const GgufValue* const value = Find(key);
  const std::string expected = fmt::format("an array of at most {} strings of at most {} bytes", max_count, max_bytes);
  if (value == nullptr) return Error(StatusCode::kNotFound, key, expected, kMend);
  if (value->type != GgufType::kArray || value->element != GgufType::kString) {
    return Error(StatusCode::kCorrupt, key, expected, kMend);
  }
  if (value->count > max_count) return Error(StatusCode::kLimitExceeded, key, expected, kMend);
  std::vector<std::string_view> strings;
  strings.reserve(static_cast<size_t>(value->count));
  std::span<const uint8_t> rest = value->bytes;
  for (uint64_t i = 0; i < value->count; ++i) {
    const auto length = static_cast<size_t>(ReadUnsigned(rest.data(), 8));
    if (length > max_bytes) {
      return LimitError(
          fmt::format("{}: string {} of {} has {} bytes, the limit is {}", file_, i, key, length, max_bytes), kMend);
    }
    strings.push_back(Text(rest.subspan(8, length)));
    rest = rest.subspan(8 + length);
  }
  return strings;
}

Result<std::vector<double>> GgufFile::Numbers(const std::string& key, size_t max_count) const {
  const GgufValue* const value = Find(key);
  const std::string expected = fmt::format("an array of at most {} numbers", max_count);
  if (value == nullptr) return Error(StatusCode::kNotFound, key, expected, kMend);
  if (value->type != GgufType::kArray || TypeBytes(value->element) == 0) {
    return Error(StatusCode::kCorrupt, key, expected, kMend);
  }
  if (value->count > max_count) return Error(StatusCode::kLimitExceeded, key, expected, kMend);
  const size_t size = TypeBytes(value->element);
  std::vector<double> numbers(static_cast<size_t>(value->count));
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = ReadNumber(value->element, value->bytes.data() + i * size);
  return numbers;
}

const HostTensor* GgufFile::FindTensor(std::string_view name) const {
  const auto found = by_name_.find(std::string(name));
  return found == by_name_.end() ? nullptr : &tensors_[found->second];
}

void GgufFile::Release(const HostTensor& tensor) const {
  const std::span<const uint8_t> bytes = map_.bytes();
  if (bytes.empty()) return;  // not a mapped file
  map_.Release(static_cast<size_t>(tensor.data - bytes.data()), tensor.bytes());
}

int64_t GgufFile::parameters() const {
  int64_t count = 0;
  for (const HostTensor& tensor : tensors_) count += tensor.elements();
  return count;
}

uint64_t GgufFile::bytes() const {
  uint64_t count = 0;
  for (const HostTensor& tensor : tensors_) count += tensor.bytes();
  return count;
}

}  // namespace eyeshot
