#include "formats/safetensors.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <set>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "base/limits.h"
#include "formats/json.h"

namespace eyeshot {
namespace {

constexpr char kMendDownload[] = "download the file again";
constexpr char kMendExport[] = "save the checkpoint again with safetensors";

// The file begins with the header's length: 8 bytes, little-endian.
constexpr size_t kLengthBytes = 8;
// The member of the header that is no tensor.
constexpr char kMetadataKey[] = "__metadata__";

struct DTypeEntry {
  std::string_view name;
  DType dtype;
};
constexpr std::array<DTypeEntry, 15> kDTypes = {{{"F32", DType::kF32},
                                                 {"F16", DType::kF16},
                                                 {"BF16", DType::kBF16},
                                                 {"F64", DType::kF64},
                                                 {"I8", DType::kI8},
                                                 {"U8", DType::kU8},
                                                 {"I16", DType::kI16},
                                                 {"U16", DType::kU16},
                                                 {"I32", DType::kI32},
                                                 {"U32", DType::kU32},
                                                 {"I64", DType::kI64},
                                                 {"U64", DType::kU64},
                                                 {"BOOL", DType::kBool},
                                                 {"F8_E4M3", DType::kF8E4M3},
                                                 {"F8_E5M2", DType::kF8E5M2}}};

std::string_view SafetensorsName(DType dtype) {
  for (const DTypeEntry& entry : kDTypes) {
    if (entry.dtype == dtype) return entry.name;
  }
  return "";
}

// A tensor as the header describes it. Offsets count from the end of the header.
struct Entry {
  HostTensor tensor;
  uint64_t begin = 0;
  uint64_t end = 0;
  bool has_dtype = false;
  bool has_shape = false;
  size_t offsets = 0;  // how many of begin and end were read
  bool has_offsets = false;
};

// Reads {"name": {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]}, ..., "__metadata__": {"key": "text"}} and
// nothing else, without a tree: the memory that it takes is bounded by the number and names of tensors.
class HeaderHandler : public JsonHandler {
 public:
  std::vector<Entry>& entries() { return entries_; }

  bool null() override { return Unexpected("null"); }
  bool boolean(bool /*value*/) override { return Unexpected("a truth value"); }
  bool number_integer(int64_t value) override { return Unexpected(fmt::format("{}", value)); }
  bool number_float(double /*value*/, const std::string& text) override { return Unexpected(text); }
  bool number_unsigned(uint64_t value) override {
    if (place_ == Place::kShape) return AddDim(value);
    if (place_ == Place::kOffsets) return AddOffset(value);
    return Unexpected(fmt::format("{}", value));
  }

  bool string(std::string& value) override {
    if (place_ == Place::kMetadata) return true;
    if (place_ != Place::kDType) return Unexpected("a string");
    place_ = Place::kTensor;
    return SetDType(value);
  }

  bool start_object(std::size_t /*size*/) override {
    if (place_ == Place::kStart) {
      place_ = Place::kTop;
    } else if (place_ == Place::kMetadataStart) {
      place_ = Place::kMetadata;
    } else if (place_ == Place::kTensorStart) {
      place_ = Place::kTensor;
    } else {
      return Unexpected("an object");
    }
    return true;
  }

  bool end_object() override {
    if (place_ == Place::kTensor && !CheckComplete()) return false;
    place_ = Place::kTop;  // the outermost object's end is the text's end: nothing may follow
    return true;
  }

  bool key(std::string& value) override {
    if (place_ == Place::kMetadata) return true;
    if (place_ == Place::kTensor) return TensorKey(value);
    if (value == kMetadataKey) {
      place_ = Place::kMetadataStart;
      return true;
    }
    return StartTensor(value);
  }

  bool start_array(std::size_t /*size*/) override {
    if (place_ == Place::kShapeStart) {
      place_ = Place::kShape;
    } else if (place_ == Place::kOffsetsStart) {
      place_ = Place::kOffsets;
    } else {
      return Unexpected("an array");
    }
    return true;
  }

  bool end_array() override {
    place_ = Place::kTensor;
    return true;
  }

 private:
  // Where in the header the next value stands.
  enum class Place {
    kStart,
    kTop,
    kMetadataStart,
    kMetadata,
    kTensorStart,
    kTensor,
    kDType,
    kShapeStart,
    kShape,
    kOffsetsStart,
    kOffsets
  };

  bool Corrupt(const std::string& found) { return Fail(CorruptError(found, kMendDownload)); }

  bool Unexpected(const std::string& what) {
    if (entries_.empty()) return Corrupt(fmt::format("the header has {} where a tensor's entry should be", what));
    return Corrupt(fmt::format("the entry of tensor '{}' or what follows it has {} where none may be",
                               entries_.back().tensor.name, what));
  }

  bool StartTensor(std::string& name) {
    if (name.empty()) return Corrupt("a tensor without a name");
    if (name.size() > limits::kMaxTensorNameBytes) {
      return Fail(LimitError(fmt::format("a tensor name of {} bytes ('{}...'), the limit is {}", name.size(),
                                         name.substr(0, 60), limits::kMaxTensorNameBytes),
                             kMendExport));
    }
    if (entries_.size() >= limits::kMaxTensors) {
      return Fail(LimitError(fmt::format("more than {} tensors", limits::kMaxTensors), kMendExport));
    }
    entries_.emplace_back().tensor.name = std::move(name);
    place_ = Place::kTensorStart;
    return true;
  }

  bool TensorKey(const std::string& key) {
    Entry& entry = entries_.back();
    bool* seen = nullptr;
    if (key == "dtype") {
      seen = &entry.has_dtype;
      place_ = Place::kDType;
    } else if (key == "shape") {
      seen = &entry.has_shape;
      place_ = Place::kShapeStart;
    } else if (key == "data_offsets") {
      seen = &entry.has_offsets;
      place_ = Place::kOffsetsStart;
    } else {
      return Corrupt(fmt::format("tensor '{}' has the unknown key '{}'", entry.tensor.name, key.substr(0, 60)));
    }
    if (*seen) return Corrupt(fmt::format("tensor '{}' has the key '{}' twice", entry.tensor.name, key));
    *seen = true;
    return true;
  }

  bool SetDType(const std::string& name) {
    for (const DTypeEntry& entry : kDTypes) {
      if (entry.name != name) continue;
      entries_.back().tensor.dtype = entry.dtype;
      return true;
    }
    return Fail(
        UnsupportedError(fmt::format("tensor '{}' has dtype '{}'", entries_.back().tensor.name, name.substr(0, 60)),
                         "convert the checkpoint to BF16, F16 or F32"));
  }

  bool AddDim(uint64_t dim) {
    HostTensor& tensor = entries_.back().tensor;
    if (tensor.shape.size() >= limits::kMaxTensorDims) {
      return Fail(LimitError(
          fmt::format("tensor '{}' has more than {} dimensions", tensor.name, limits::kMaxTensorDims), kMendExport));
    }
    if (dim > limits::kMaxTensorDim) {
      return Fail(LimitError(
          fmt::format("tensor '{}' has a dimension of {}, the limit is {}", tensor.name, dim, limits::kMaxTensorDim),
          kMendExport));
    }
    tensor.shape.push_back(static_cast<int64_t>(dim));
    return true;
  }

  bool AddOffset(uint64_t offset) {
    Entry& entry = entries_.back();
    if (entry.offsets == 2) return Corrupt(fmt::format("tensor '{}' has more than two offsets", entry.tensor.name));
    (entry.offsets == 0 ? entry.begin : entry.end) = offset;
    ++entry.offsets;
    return true;
  }

  bool CheckComplete() {
    const Entry& entry = entries_.back();
    const char* missing = !entry.has_dtype ? "dtype" : !entry.has_shape ? "shape" : nullptr;
    if (entry.offsets != 2) missing = "data_offsets";
    if (missing == nullptr) return true;
    return Corrupt(fmt::format("tensor '{}' lacks a whole '{}'", entry.tensor.name, missing));
  }

  Place place_ = Place::kStart;
  std::vector<Entry> entries_;
};

// Bytes of a tensor of this shape; the error has no file name yet.
Result<uint64_t> ShapeBytes(const std::string& name, DType dtype, const std::vector<int64_t>& shape) {
  uint64_t bytes = DTypeBytes(dtype);
  // A zero anywhere makes the tensor empty; the other dimensions must not overflow before it is met.
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return uint64_t{0};
  for (const int64_t dim : shape) {
    if (bytes > limits::kMaxTensorBytes / static_cast<uint64_t>(dim)) {
      return LimitError(fmt::format("tensor '{}' of shape [{}] is larger than the limit of {} bytes", name,
                                    fmt::join(shape, ", "), limits::kMaxTensorBytes),
                        kMendExport);
    }
    bytes *= static_cast<uint64_t>(dim);
  }
  return bytes;
}

// Checks one entry's own numbers against each other and against the data that the file has.
Status CheckEntry(const Entry& entry, uint64_t data_bytes) {
  const HostTensor& tensor = entry.tensor;
  EYESHOT_ASSIGN_OR_RETURN(const uint64_t bytes, ShapeBytes(tensor.name, tensor.dtype, tensor.shape));
  if (entry.begin > entry.end) {
    return CorruptError(
        fmt::format("tensor '{}' has data_offsets [{}, {}] that run backwards", tensor.name, entry.begin, entry.end),
        kMendDownload);
  }
  if (entry.end > data_bytes) {
    return CorruptError(fmt::format("tensor '{}' has data_offsets [{}, {}], but the file has only {} bytes of data",
                                    tensor.name, entry.begin, entry.end, data_bytes),
                        "the file is truncated; download it again");
  }
  if (entry.end - entry.begin != bytes) {
    return CorruptError(
        fmt::format("tensor '{}' of shape [{}] and dtype {} takes {} bytes, but its data_offsets [{}, {}] hold {}",
                    tensor.name, fmt::join(tensor.shape, ", "), SafetensorsName(tensor.dtype), bytes, entry.begin,
                    entry.end, entry.end - entry.begin),
        kMendDownload);
  }
  return Status::Ok();
}

// Checks that the entries, sorted by their place, cover the data without hole and overlap, and that no name is twice.
Status CheckLayout(const std::vector<Entry>& entries, uint64_t data_bytes) {
  uint64_t expected = 0;
  std::set<std::string_view> names;
  for (const Entry& entry : entries) {
    if (!names.insert(entry.tensor.name).second) {
      return CorruptError(fmt::format("tensor '{}' stands twice in the header", entry.tensor.name), kMendDownload);
    }
    if (entry.begin != expected) {
      return CorruptError(fmt::format("tensor '{}' begins at byte {} of the data, {} the tensor before it, which ends "
                                      "at {}",
                                      entry.tensor.name, entry.begin,
                                      entry.begin < expected ? "inside" : "with a hole after", expected),
                          kMendDownload);
    }
    expected = entry.end;
  }
  if (expected != data_bytes) {
    return CorruptError(fmt::format("the tensors end at byte {} of the data, the file has {}", expected, data_bytes),
                        kMendDownload);
  }
  return Status::Ok();
}

uint64_t ReadLittleEndian64(std::span<const uint8_t> bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < kLengthBytes; ++i) value |= static_cast<uint64_t>(bytes[i]) << (8 * i);
  return value;
}

// The header's JSON text.
Result<std::string_view> HeaderText(std::span<const uint8_t> bytes) {
  if (bytes.size() < kLengthBytes) {
    return CorruptError(fmt::format("the file has {} bytes, less than the 8 of the header's length", bytes.size()),
                        kMendDownload);
  }
  const uint64_t length = ReadLittleEndian64(bytes);
  if (length > limits::kMaxSafetensorsHeaderBytes) {
    return LimitError(
        fmt::format("the header says to be {} bytes long, the limit is {}", length, limits::kMaxSafetensorsHeaderBytes),
        "check that it is a safetensors file (a Git LFS pointer or an HTML page is not)");
  }
  if (length > bytes.size() - kLengthBytes) {
    return CorruptError(fmt::format("the header says to be {} bytes long, the file ends {} bytes after its start",
                                    length, bytes.size() - kLengthBytes),
                        "the file is truncated; download it again");
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + kLengthBytes, length);
  if (text.empty() || text.front() != '{') {
    return CorruptError("the header doesn't begin with '{'", "check that it is a safetensors file");
  }
  return text;
}

}  // namespace

Result<std::vector<HostTensor>> ParseSafetensors(std::span<const uint8_t> bytes, const std::string& file) {
  const Result<std::string_view> text = HeaderText(bytes);
  if (!text.ok()) return text.status().At(file);
  HeaderHandler handler;
  EYESHOT_RETURN_IF_ERROR(ParseJson(*text, file, handler));

  const std::span<const uint8_t> data = bytes.subspan(kLengthBytes + text->size());
  std::vector<Entry>& entries = handler.entries();
  for (const Entry& entry : entries) {
    const Status status = CheckEntry(entry, data.size());
    if (!status.ok()) return status.At(file);
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.begin, a.end, a.tensor.name) < std::tie(b.begin, b.end, b.tensor.name);
  });
  const Status layout = CheckLayout(entries, data.size());
  if (!layout.ok()) return layout.At(file);

  std::vector<HostTensor> tensors;
  tensors.reserve(entries.size());
  for (Entry& entry : entries) {
    entry.tensor.data = data.data() + entry.begin;
    tensors.push_back(std::move(entry.tensor));
  }
  return tensors;
}

namespace {

constexpr char kSingleFile[] = "model.safetensors";
constexpr char kIndexFile[] = "model.safetensors.index.json";

// The shards' names must be plain: an index must not reach outside of its folder.
bool IsPlainFileName(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\\') == std::string::npos && name.find('\0') == std::string::npos;
}

// "weight_map" of an index: tensor name to shard, by name.
Result<std::vector<std::pair<std::string, std::string>>> ReadIndex(const std::string& path) {
  EYESHOT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, limits::kMaxConfigBytes));
  EYESHOT_ASSIGN_OR_RETURN(const Json tree, ParseJsonTree(text, path));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject root, JsonObject::Root(tree, path));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject map, root.Object("weight_map"));
  if (map.json().size() > limits::kMaxTensors) {
    return LimitError(fmt::format("{}: {} tensors, the limit is {}", path, map.json().size(), limits::kMaxTensors),
                      kMendExport);
  }
  std::vector<std::pair<std::string, std::string>> shards;
  for (const auto& [name, value] : map.json().items()) {
    EYESHOT_ASSIGN_OR_RETURN(std::string shard, map.String(name));
    if (!IsPlainFileName(shard)) {
      return map.Error(StatusCode::kCorrupt, name, "the name of a file in the same folder",
                       "put the shards beside the index");
    }
    shards.emplace_back(name, std::move(shard));
  }
  return shards;
}

}  // namespace

Status Checkpoint::AddFile(const std::string& path) {
  if (files_.size() >= limits::kMaxShards) {
    return LimitError(fmt::format("{}: more than {} shards", name_, limits::kMaxShards), kMendExport);
  }
  EYESHOT_ASSIGN_OR_RETURN(MappedFile map, MappedFile::Open(path));
  EYESHOT_ASSIGN_OR_RETURN(std::vector<HostTensor> tensors, ParseSafetensors(map.bytes(), path));
  if (tensors_.size() + tensors.size() > limits::kMaxTensors) {
    return LimitError(fmt::format("{}: more than {} tensors in all shards", name_, limits::kMaxTensors), kMendExport);
  }
  file_of_tensor_.insert(file_of_tensor_.end(), tensors.size(), files_.size());
  std::move(tensors.begin(), tensors.end(), std::back_inserter(tensors_));
  files_.push_back(path);
  maps_.push_back(std::move(map));
  return Status::Ok();
}

Status Checkpoint::BuildIndex() {
  by_name_.reserve(tensors_.size());
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const auto [other, added] = by_name_.emplace(tensors_[i].name, i);
    if (!added) {
      return CorruptError(fmt::format("tensor '{}' is both in {} and in {}", tensors_[i].name,
                                      files_[file_of_tensor_[other->second]], files_[file_of_tensor_[i]]),
                          kMendDownload);
    }
  }
  return Status::Ok();
}

Status Checkpoint::OpenShards(const std::string& dir) {
  const std::string index = JoinPath(dir, kIndexFile);
  EYESHOT_ASSIGN_OR_RETURN(const auto shard_of_tensor, ReadIndex(index));
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : shard_of_tensor) shards.insert(shard);
  for (const std::string& shard : shards) EYESHOT_RETURN_IF_ERROR(AddFile(JoinPath(dir, shard)));
  EYESHOT_RETURN_IF_ERROR(BuildIndex());
  for (const auto& [tensor, shard] : shard_of_tensor) {
    const auto found = by_name_.find(tensor);
    if (found == by_name_.end() || files_[file_of_tensor_[found->second]] != JoinPath(dir, shard)) {
      return CorruptError(fmt::format("{}: says that tensor '{}' is in {}, which lacks it", index, tensor, shard),
                          "download the index and the shards again");
    }
  }
  return Status::Ok();
}

Result<Checkpoint> Checkpoint::Open(const std::string& dir_or_file) {
  Checkpoint checkpoint;
  checkpoint.name_ = dir_or_file;
  const bool is_folder = IsDirectory(dir_or_file);
  const std::string single = is_folder ? JoinPath(dir_or_file, kSingleFile) : dir_or_file;
  if (is_folder && !FileExists(single)) {
    if (!FileExists(JoinPath(dir_or_file, kIndexFile))) {
      return NotFoundError(fmt::format("{}: has neither {} nor {}", dir_or_file, kSingleFile, kIndexFile),
                           "name the folder of a downloaded model");
    }
    EYESHOT_RETURN_IF_ERROR(checkpoint.OpenShards(dir_or_file));
    return checkpoint;
  }
  EYESHOT_RETURN_IF_ERROR(checkpoint.AddFile(single));
  EYESHOT_RETURN_IF_ERROR(checkpoint.BuildIndex());
  return checkpoint;
}

const HostTensor* Checkpoint::Find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &tensors_[found->second];
}

Result<HostTensor> Checkpoint::Get(std::string_view name) const {
  const HostTensor* const tensor = Find(name);
  if (tensor != nullptr) return *tensor;
  return NotFoundError(
      fmt::format("{}: has no tensor '{}' ({} others)", files_.size() == 1 ? files_[0] : name_, name, tensors_.size()),
      "check that config.json and the weights are of the same model");
}

void Checkpoint::Release(const HostTensor& tensor) const {
  const auto found = by_name_.find(tensor.name);
  if (found == by_name_.end()) return;
  const MappedFile& map = maps_[file_of_tensor_[found->second]];
  const HostTensor& own = tensors_[found->second];
  map.Release(static_cast<size_t>(own.data - map.bytes().data()), own.bytes());
}

int64_t Checkpoint::parameters() const {
  int64_t count = 0;
  for (const HostTensor& tensor : tensors_) count += tensor.elements();
  return count;
}

uint64_t Checkpoint::bytes() const {
  uint64_t count = 0;
  for (const HostTensor& tensor : tensors_) count += tensor.bytes();
  return count;
}

uint64_t TensorSpec::bytes() const {
  uint64_t count = DTypeBytes(dtype);
  for (const int64_t dim : shape) count *= static_cast<uint64_t>(dim);
  return count;
}

namespace {

Status CheckSpec(const TensorSpec& spec) {
  const std::string mend = "name and shape it as a reader of safetensors accepts it";
  if (spec.name.empty() || spec.name.size() > limits::kMaxTensorNameBytes || spec.name == kMetadataKey) {
    return InvalidArgumentError(fmt::format("a tensor named '{}'", spec.name.substr(0, 60)), mend);
  }
  if (spec.shape.size() > limits::kMaxTensorDims) {
    return InvalidArgumentError(fmt::format("tensor '{}' has {} dimensions, the limit is {}", spec.name,
                                            spec.shape.size(), limits::kMaxTensorDims),
                                mend);
  }
  for (const int64_t dim : spec.shape) {
    if (dim < 0 || static_cast<uint64_t>(dim) > limits::kMaxTensorDim) {
      return InvalidArgumentError(fmt::format("tensor '{}' has a dimension of {}", spec.name, dim), mend);
    }
  }
  return ShapeBytes(spec.name, spec.dtype, spec.shape).status();
}

// Length and JSON text, padded with spaces so that the data begins at a multiple of `alignment`.
Result<std::string> MakeHeader(const std::vector<TensorSpec>& specs, size_t alignment) {
  if (specs.size() > limits::kMaxTensors) {
    return InvalidArgumentError(fmt::format("{} tensors, the limit is {}", specs.size(), limits::kMaxTensors),
                                "write several files");
  }
  std::set<std::string_view> names;
  std::string text = "{";
  uint64_t begin = 0;
  for (const TensorSpec& spec : specs) {
    EYESHOT_RETURN_IF_ERROR(CheckSpec(spec));
    if (!names.insert(spec.name).second) {
      return InvalidArgumentError(fmt::format("tensor '{}' is given twice", spec.name), "write it once");
    }
    const uint64_t end = begin + spec.bytes();
    fmt::format_to(std::back_inserter(text), R"({}{}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})",
                   text.size() > 1 ? "," : "",
                   Json(spec.name).dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace),
                   SafetensorsName(spec.dtype), fmt::join(spec.shape, ","), begin, end);
    begin = end;
  }
  text += "}";
  text.append((alignment - (kLengthBytes + text.size()) % alignment) % alignment, ' ');
  std::string header;
  for (size_t i = 0; i < kLengthBytes; ++i) header += static_cast<char>((text.size() >> (8 * i)) & 0xff);
  return header + text;
}

// A file that takes its name only once it is whole.
class PartialFile {
 public:
  explicit PartialFile(std::string path) : path_(std::move(path)), file_(std::fopen(partial().c_str(), "wb")) {}
  ~PartialFile() {
    if (file_ == nullptr) return;
    std::fclose(file_);
    std::remove(partial().c_str());
  }
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  Status Write(std::span<const uint8_t> bytes) {
    if (file_ == nullptr) return Error("can't be written");
    if (std::fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size()) return Error("write failed");
    return Status::Ok();
  }

  Status Finish() {
    std::FILE* const file = std::exchange(file_, nullptr);
    const bool closed = std::fclose(file) == 0;
    if (closed && std::rename(partial().c_str(), path_.c_str()) == 0) return Status::Ok();
    const Status status = Error("can't be completed");
    std::remove(partial().c_str());
    return status;
  }

 private:
  std::string partial() const { return path_ + ".partial"; }
  Status Error(const char* what) const {
    return IoError(fmt::format("{}: {} ({})", path_, what, std::strerror(errno)),
                   "check the folder, its permissions and the free space");
  }

  std::string path_;
  std::FILE* file_;
};

}  // namespace

Status WriteSafetensors(const std::string& path, const std::vector<TensorSpec>& specs,
                        const std::function<Status(size_t index, std::span<uint8_t> out)>& fill, size_t alignment) {
  const Result<std::string> header = MakeHeader(specs, alignment);
  if (!header.ok()) return header.status().At(path);
  PartialFile file(path);
  EYESHOT_RETURN_IF_ERROR(file.Write({reinterpret_cast<const uint8_t*>(header->data()), header->size()}));
  std::vector<uint8_t> buffer;
  for (size_t i = 0; i < specs.size(); ++i) {
    buffer.resize(specs[i].bytes());
    EYESHOT_RETURN_IF_ERROR(fill(i, buffer));
    EYESHOT_RETURN_IF_ERROR(file.Write(buffer));
  }
  return file.Finish();
}

}  // namespace eyeshot
