#include "doctor/reference_dump.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "formats/json.h"
#include "formats/safetensors.h"

namespace eyeshot {
namespace {

constexpr std::string_view kFormat = "eyeshot-reference-dump";
constexpr int64_t kVersion = 1;
constexpr const char* kMend = "make the dump again with reference_dump.py";

// A list of integers in [min, max] with at most `most` elements.
Result<std::vector<int64_t>> Integers(const JsonObject& object, const std::string& key, int64_t min, int64_t max,
                                      size_t most) {
  const Json* list = object.Find(key);
  const auto error = [&](StatusCode code, const std::string& expected) {
    return object.Error(code, key, expected, kMend);
  };
  if (list == nullptr || !list->is_array()) return error(StatusCode::kCorrupt, "a list of integers");
  if (list->size() > most) {
    return LimitError(
        fmt::format("{}: {} has {} elements, the limit is {}", object.file(), object.PathOf(key), list->size(), most),
        kMend);
  }
  std::vector<int64_t> values;
  for (const Json& element : *list) {
    if (!element.is_number_integer() || (element.is_number_unsigned() && element.get<uint64_t>() > INT64_MAX)) {
      return error(StatusCode::kCorrupt, "integers");
    }
    values.push_back(element.get<int64_t>());
    if (values.back() < min || values.back() > max) {
      return error(StatusCode::kLimitExceeded, fmt::format("integers from {} to {}", min, max));
    }
  }
  return values;
}

Result<std::vector<std::string>> Strings(const JsonObject& object, const std::string& key, size_t most) {
  const Json* list = object.Find(key);
  if (list == nullptr || !list->is_array() || list->size() > most ||
      !std::all_of(list->begin(), list->end(), [](const Json& element) { return element.is_string(); })) {
    return object.Error(StatusCode::kCorrupt, key, fmt::format("a list of at most {} strings", most), kMend);
  }
  return list->get<std::vector<std::string>>();
}

Result<std::map<std::string, std::string>> StringMap(const JsonObject& root, const std::string& key) {
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject object, root.Object(key));
  std::map<std::string, std::string> map;
  for (const auto& [name, value] : object.json().items()) {
    if (!value.is_string() || map.size() >= limits::kMaxTensors) {
      return object.Error(StatusCode::kCorrupt, name, fmt::format("one of at most {} strings", limits::kMaxTensors),
                          kMend);
    }
    map[name] = value.get<std::string>();
  }
  return map;
}

// [[id, count], ...] -> ids.
Result<std::vector<int32_t>> ExpandIds(const JsonObject& object, const std::string& key) {
  const Json* runs = object.Find(key);
  const Status error =
      object.Error(StatusCode::kCorrupt, key,
                   fmt::format("a list of [id, count] with at most {} ids in all", limits::kMaxContext), kMend);
  if (runs == nullptr || !runs->is_array()) return error;
  std::vector<int32_t> ids;
  for (const Json& run : *runs) {
    if (!run.is_array() || run.size() != 2 || !run[0].is_number_integer() || !run[1].is_number_unsigned()) return error;
    const auto id = run[0].get<int64_t>();
    const auto count = run[1].get<uint64_t>();
    const auto room = static_cast<uint64_t>(limits::kMaxContext) - ids.size();
    if (id < 0 || id >= static_cast<int64_t>(limits::kMaxVocabulary) || count > room) return error;
    ids.insert(ids.end(), count, static_cast<int32_t>(id));
  }
  return ids;
}

class TensorTable {
 public:
  TensorTable(std::span<const HostTensor> tensors, std::string file) : tensors_(tensors), file_(std::move(file)) {}

  // A matrix of that dtype with so many rows.
  Result<const HostTensor*> Matrix(const std::string& name, DType dtype, size_t rows) const {
    const auto found =
        std::find_if(tensors_.begin(), tensors_.end(), [&](const HostTensor& tensor) { return tensor.name == name; });
    if (found == tensors_.end()) return NotFoundError(fmt::format("{}: no tensor '{}'", file_, name), kMend);
    if (found->dtype != dtype || found->shape.size() != 2 || found->shape[0] != static_cast<int64_t>(rows) ||
        found->shape[1] < 1 || found->bytes() > limits::kMaxDumpTensorBytes) {
      return CorruptError(fmt::format("{}: '{}' is {} [{}], expected {} [{}, n] with at most {} bytes", file_, name,
                                      DTypeName(found->dtype), fmt::join(found->shape, ", "), DTypeName(dtype), rows,
                                      limits::kMaxDumpTensorBytes),
                          kMend);
    }
    return &*found;
  }

  Status Read(const std::string& name, SampledRows& out) const {
    EYESHOT_ASSIGN_OR_RETURN(const HostTensor* tensor, Matrix(name, DType::kF32, out.rows.size()));
    out.columns = tensor->shape[1];
    out.values.resize(static_cast<size_t>(tensor->elements()));
    if (!out.values.empty()) std::memcpy(out.values.data(), tensor->data, tensor->bytes());
    if (std::all_of(out.values.begin(), out.values.end(), [](float value) { return std::isfinite(value); })) {
      return Status::Ok();
    }
    return CorruptError(fmt::format("{}: '{}' has values that are not finite", file_, name), kMend);
  }

 private:
  std::span<const HostTensor> tensors_;
  std::string file_;
};

Status ReadRows(const JsonObject& object, const TensorTable& table, const std::string& name, ReferenceCase& result) {
  constexpr int64_t kMaxRow = limits::kMaxContext * 1024;  // patches of all tiles
  constexpr size_t kMost = limits::kMaxDumpRows;
  EYESHOT_ASSIGN_OR_RETURN(result.tower.rows, Integers(object, "tower_rows", 0, kMaxRow, kMost));
  EYESHOT_ASSIGN_OR_RETURN(result.connector.rows, Integers(object, "connector_rows", 0, kMaxRow, kMost));
  const auto last = static_cast<int64_t>(result.ids.size()) - 1;
  EYESHOT_ASSIGN_OR_RETURN(result.logits.rows, Integers(object, "logit_positions", 0, last, kMost));
  EYESHOT_ASSIGN_OR_RETURN(result.logit_columns, Integers(object, "logit_columns", 0,
                                                          static_cast<int64_t>(limits::kMaxVocabulary) - 1, kMost));
  for (const SampledRows* sampled : {&result.tower, &result.connector, &result.logits}) {
    if (std::is_sorted(sampled->rows.begin(), sampled->rows.end(), std::less_equal<>())) continue;
    return CorruptError(fmt::format("{}: rows of case {} are not in order", object.file(), name), kMend);
  }
  EYESHOT_RETURN_IF_ERROR(table.Read(name + ".tower", result.tower));
  EYESHOT_RETURN_IF_ERROR(table.Read(name + ".connector", result.connector));
  EYESHOT_RETURN_IF_ERROR(table.Read(name + ".logits", result.logits));
  if (result.logits.columns == static_cast<int64_t>(result.logit_columns.size())) return Status::Ok();
  return object.Error(StatusCode::kCorrupt, "logit_columns", fmt::format("{} tokens", result.logits.columns), kMend);
}

Status ReadGreedy(const JsonObject& object, ReferenceCase& result) {
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject greedy, object.Object("greedy"));
  EYESHOT_ASSIGN_OR_RETURN(
      const std::vector<int64_t> ids,
      Integers(greedy, "ids", 0, static_cast<int64_t>(limits::kMaxVocabulary) - 1, limits::kMaxDumpRows));
  result.greedy.assign(ids.begin(), ids.end());
  EYESHOT_ASSIGN_OR_RETURN(result.greedy_text, greedy.StringOr("text", ""));
  const Json* gaps = greedy.Find("gaps");
  if (gaps == nullptr || !gaps->is_array() || gaps->size() != ids.size() ||
      !std::all_of(gaps->begin(), gaps->end(), [](const Json& gap) { return gap.is_number(); })) {
    return greedy.Error(StatusCode::kCorrupt, "gaps", fmt::format("{} numbers", ids.size()), kMend);
  }
  for (const Json& gap : *gaps) result.greedy_gaps.push_back(static_cast<float>(gap.get<double>()));
  return Status::Ok();
}

Result<ReferenceCase> ReadCase(const Json& json, const TensorTable& table, const std::string& name,
                               const std::string& file) {
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject object, JsonObject::Root(json, file));
  ReferenceCase result;
  EYESHOT_ASSIGN_OR_RETURN(result.picture, object.String("picture"));
  if (result.picture.empty() || result.picture.front() == '.' || result.picture.find('/') != std::string::npos) {
    return object.Error(StatusCode::kCorrupt, "picture", "the name of a file in the dump's folder", kMend);
  }
  EYESHOT_ASSIGN_OR_RETURN(const int64_t width, object.Integer("width", 1, limits::kMaxImageSide));
  EYESHOT_ASSIGN_OR_RETURN(const int64_t height, object.Integer("height", 1, limits::kMaxImageSide));
  result.width = static_cast<int>(width);
  result.height = static_cast<int>(height);
  EYESHOT_ASSIGN_OR_RETURN(result.rgb_sha256, object.String("rgb_sha256"));
  EYESHOT_ASSIGN_OR_RETURN(result.question, object.String("question"));
  EYESHOT_ASSIGN_OR_RETURN(result.split, object.BoolOr("split", true));
  EYESHOT_ASSIGN_OR_RETURN(const int64_t side, object.Integer("tile_side", 1, limits::kMaxTileSide));
  result.tile_side = static_cast<int>(side);
  EYESHOT_ASSIGN_OR_RETURN(result.tiles_sha256, Strings(object, "tiles_sha256", limits::kMaxTilesPerImage));
  EYESHOT_ASSIGN_OR_RETURN(const HostTensor* samples,
                           table.Matrix(name + ".tiles", DType::kU8, result.tiles_sha256.size()));
  result.tile_samples.assign(samples->data, samples->data + samples->bytes());
  EYESHOT_ASSIGN_OR_RETURN(result.prompt, object.String("prompt"));
  EYESHOT_ASSIGN_OR_RETURN(result.ids, ExpandIds(object, "ids"));
  EYESHOT_RETURN_IF_ERROR(ReadRows(object, table, name, result));
  EYESHOT_RETURN_IF_ERROR(ReadGreedy(object, result));
  return result;
}

}  // namespace

bool ReferenceDump::pillow13_order() const {
  const auto found = packages.find("pillow");
  if (found == packages.end()) return false;
  int major = 0;
  std::from_chars(found->second.data(), found->second.data() + found->second.size(), major);
  return major >= 13;
}

Result<ReferenceDump> ParseReferenceDump(const std::string& json, std::span<const HostTensor> tensors,
                                         const std::string& file) {
  EYESHOT_ASSIGN_OR_RETURN(const Json tree, ParseJsonTree(json, file));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject root, JsonObject::Root(tree, file));
  EYESHOT_ASSIGN_OR_RETURN(const std::string format, root.StringOr("format", ""));
  EYESHOT_ASSIGN_OR_RETURN(const int64_t version, root.IntegerOr("version", 0, INT64_MAX, 0));
  if (format != kFormat || version != kVersion) {
    return UnsupportedError(fmt::format("{}: format is '{}', version {}; expected '{}', version {}", file, format,
                                        version, kFormat, kVersion),
                            kMend);
  }
  ReferenceDump dump;
  EYESHOT_ASSIGN_OR_RETURN(dump.packages, StringMap(root, "packages"));
  EYESHOT_ASSIGN_OR_RETURN(dump.files, StringMap(root, "files"));
  EYESHOT_ASSIGN_OR_RETURN(dump.tensors, StringMap(root, "tensors"));
  EYESHOT_ASSIGN_OR_RETURN(dump.image_processor, root.StringOr("image_processor", ""));
  EYESHOT_ASSIGN_OR_RETURN(dump.dtype, root.String("dtype"));
  const Json* cases = root.Find("cases");
  if (cases == nullptr || !cases->is_array() || cases->empty() || cases->size() > limits::kMaxDumpCases) {
    return root.Error(StatusCode::kCorrupt, "cases", fmt::format("a list of 1 to {} cases", limits::kMaxDumpCases),
                      kMend);
  }
  const TensorTable table(tensors, "dump.safetensors");
  for (const Json& one : *cases) {
    const std::string name = std::to_string(dump.cases.size());
    EYESHOT_ASSIGN_OR_RETURN(ReferenceCase result, ReadCase(one, table, name, fmt::format("{}: case {}", file, name)));
    dump.cases.push_back(std::move(result));
  }
  return dump;
}

Result<ReferenceDump> LoadReferenceDump(const std::string& dir) {
  const std::string path = JoinPath(dir, "dump.json");
  EYESHOT_ASSIGN_OR_RETURN(const std::string json, ReadTextFile(path, limits::kMaxConfigBytes));
  EYESHOT_ASSIGN_OR_RETURN(const Checkpoint tensors, Checkpoint::Open(JoinPath(dir, "dump.safetensors")));
  return ParseReferenceDump(json, tensors.tensors(), path);
}

}  // namespace eyeshot
