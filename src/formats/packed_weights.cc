#include "formats/packed_weights.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"
#include "base/limits.h"
#include "formats/json.h"
#include "formats/safetensors.h"

namespace eyeshot {
namespace {

constexpr const char* kIndexName = "index.json";
constexpr const char* kFormatName = "eyeshot packed weights";
constexpr int64_t kVersion = 1;
constexpr uint64_t kLine = 64;
constexpr std::array<std::string_view, 3> kKinds = {"linear", "table", "vector"};
constexpr const char* kMend = "make the file again with `eyeshot quantize`";

uint64_t Padded(uint64_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

std::string IndexText(const std::string& precision, const std::string& layout,
                      const std::vector<PackedEntry>& entries) {
  nlohmann::ordered_json index = {
      {"format", kFormatName}, {"version", kVersion}, {"precision", precision}, {"layout", layout}};
  index["weights"] = nlohmann::ordered_json::array();
  for (const PackedEntry& entry : entries) {
    index["weights"].push_back({{"name", entry.name},
                                {"kind", entry.kind},
                                {"format", entry.format},
                                {"outputs", entry.outputs},
                                {"inputs", entry.inputs},
                                {"gated", entry.gated},
                                {"bytes", entry.bytes.size()}});
  }
  std::string text = index.dump();
  text.append(Padded(text.size()) - text.size(), ' ');
  return text;
}

}  // namespace

Result<PackedWeights> PackedWeights::Open(const std::string& path) {
  EYESHOT_ASSIGN_OR_RETURN(MappedFile map, MappedFile::Open(path));
  EYESHOT_ASSIGN_OR_RETURN(PackedWeights weights, Parse(map.bytes(), path));
  weights.map_ = std::move(map);
  return weights;
}

Result<PackedWeights> PackedWeights::Parse(std::span<const uint8_t> bytes, const std::string& file) {
  EYESHOT_ASSIGN_OR_RETURN(const std::vector<HostTensor> tensors, ParseSafetensors(bytes, file));
  PackedWeights weights;
  weights.file_ = file;
  std::map<std::string, std::span<const uint8_t>> data;
  for (const HostTensor& tensor : tensors) {
    if (tensor.dtype != DType::kU8) {
      return CorruptError(fmt::format("{}: tensor '{}' is stored as {}, packed weights are bytes", file, tensor.name,
                                      DTypeName(tensor.dtype)),
                          kMend);
    }
    data[tensor.name] = {tensor.data, tensor.bytes()};
  }
  const auto index = data.find(kIndexName);
  if (index == data.end()) {
    return CorruptError(fmt::format("{}: there is no tensor '{}'", file, kIndexName), kMend);
  }
  EYESHOT_RETURN_IF_ERROR(weights.ParseIndex(index->second, data));
  return weights;
}

Status PackedWeights::ParseIndex(std::span<const uint8_t> text,
                                 const std::map<std::string, std::span<const uint8_t>>& data) {
  const std::string name = file_ + ": " + kIndexName;
  if (text.size() > limits::kMaxConfigBytes) {
    return LimitError(fmt::format("{} is {} bytes long, the limit is {}", name, text.size(), limits::kMaxConfigBytes),
                      kMend);
  }
  EYESHOT_ASSIGN_OR_RETURN(const Json tree,
                           ParseJsonTree({reinterpret_cast<const char*>(text.data()), text.size()}, name));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject root, JsonObject::Root(tree, name));
  EYESHOT_ASSIGN_OR_RETURN(const std::string format, root.String("format"));
  if (format != kFormatName) return root.Error(StatusCode::kCorrupt, "format", kFormatName, kMend);
  EYESHOT_ASSIGN_OR_RETURN(const int64_t version, root.Integer("version", 0, int64_t{1} << 31));
  if (version != kVersion) {
    return root.Error(StatusCode::kUnsupported, "version", fmt::format("{}", kVersion), kMend);
  }
  EYESHOT_ASSIGN_OR_RETURN(precision_, root.String("precision"));
  EYESHOT_ASSIGN_OR_RETURN(layout_, root.String("layout"));
  const Json* list = root.Find("weights");
  if (list == nullptr || !list->is_array()) return root.Error(StatusCode::kCorrupt, "weights", "an array", kMend);
  for (const Json& item : *list) {
    EYESHOT_ASSIGN_OR_RETURN(const JsonObject object, JsonObject::Root(item, name));
    PackedEntry entry;
    EYESHOT_ASSIGN_OR_RETURN(entry.name, object.String("name"));
    EYESHOT_ASSIGN_OR_RETURN(entry.kind, object.String("kind"));
    EYESHOT_ASSIGN_OR_RETURN(entry.format, object.String("format"));
    constexpr auto kMost = static_cast<int64_t>(limits::kMaxTensorDim);
    EYESHOT_ASSIGN_OR_RETURN(entry.outputs, object.Integer("outputs", 1, kMost));
    EYESHOT_ASSIGN_OR_RETURN(entry.inputs, object.Integer("inputs", 1, kMost));
    EYESHOT_ASSIGN_OR_RETURN(entry.gated, object.BoolOr("gated", false));
    EYESHOT_ASSIGN_OR_RETURN(const int64_t size,
                             object.Integer("bytes", 0, static_cast<int64_t>(limits::kMaxTensorBytes)));
    if (std::find(kKinds.begin(), kKinds.end(), entry.kind) == kKinds.end()) {
      return object.Error(StatusCode::kCorrupt, "kind", "linear, table or vector", kMend);
    }
    const auto found = data.find(entry.name);
    if (found == data.end() || found->second.size() != Padded(static_cast<uint64_t>(size))) {
      return CorruptError(
          fmt::format("{}: weight '{}' has {} bytes, the index says {}", file_, entry.name,
                      found == data.end() ? std::string("no") : fmt::format("{}", found->second.size()), size),
          kMend);
    }
    entry.bytes = found->second.first(static_cast<size_t>(size));
    const std::string key = entry.name;
    if (!entries_.emplace(key, std::move(entry)).second) {
      return CorruptError(fmt::format("{}: weight '{}' is listed twice", name, key), kMend);
    }
  }
  return Status::Ok();
}

uint64_t PackedWeights::bytes() const {
  uint64_t total = 0;
  for (const auto& [name, entry] : entries_) total += entry.bytes.size();
  return total;
}

const PackedEntry* PackedWeights::Find(std::string_view name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : &found->second;
}

Status WritePackedWeights(const std::string& path, const std::string& precision, const std::string& layout,
                          const std::vector<PackedEntry>& entries, const std::function<void(double)>& on_progress) {
  const std::string index = IndexText(precision, layout, entries);
  std::vector<TensorSpec> specs = {{kIndexName, DType::kU8, {static_cast<int64_t>(index.size())}}};
  for (const PackedEntry& entry : entries) {
    specs.push_back({entry.name, DType::kU8, {static_cast<int64_t>(Padded(entry.bytes.size()))}});
  }
  const auto fill = [&](size_t i, std::span<uint8_t> out) {
    const std::span<const uint8_t> bytes =
        i == 0 ? std::span(reinterpret_cast<const uint8_t*>(index.data()), index.size()) : entries[i - 1].bytes;
    std::copy(bytes.begin(), bytes.end(), out.begin());
    std::fill(out.begin() + static_cast<std::ptrdiff_t>(bytes.size()), out.end(), uint8_t{0});
    if (on_progress) on_progress(static_cast<double>(i + 1) / static_cast<double>(specs.size()));
    return Status::Ok();
  };
  return WriteSafetensors(path, specs, fill, kLine);
}

}  // namespace eyeshot
