// Names of precisions.
#include <algorithm>
#include <map>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "formats/packed_weights.h"
#include "models/model.h"
#include "models/model_source.h"

namespace eyeshot {
namespace {

constexpr std::string_view kKnown = "exact, bf16, int8, q8_0, int4, q4_0, auto or, on a GPU, fp8";

// What we would choose (docs/performance.md has the figures): 8 bits by output for the tower, whose time is arithmetic;
// by blocks for the decoder, whose time is reading weights and whose answers change less that way.
WeightFormat AutoFormat(bool tower, const Backend& backend) {
  const WeightFormat wanted = tower ? WeightFormat::kInt8 : WeightFormat::kQ8;
  return backend.Supports(wanted) ? wanted : WeightFormat::kExact;
}

Result<WeightFormat> ParseFormat(std::string_view name, bool tower, const Backend& backend) {
  if (name == "auto") return AutoFormat(tower, backend);
  const std::optional<WeightFormat> format = WeightFormatFromName(name);
  if (!format || *format == WeightFormat::kFloat32) {
    return InvalidArgumentError(fmt::format("the precision is '{}'", name), fmt::format("use {}", kKnown));
  }
  if (backend.Supports(*format)) return *format;
  return UnsupportedError(fmt::format("the {} backend has no {} weights", backend.info().name, name),
                          *format == WeightFormat::kFp8 ? "use int8 or q8_0, or a GPU (--device cuda)"
                                                        : "use the portable backend, or the precision exact");
}

}  // namespace

Result<ModelPrecision> ParsePrecision(std::string_view text, const Backend& backend) {
  const size_t comma = text.find(',');
  ModelPrecision precision;
  if (comma == std::string_view::npos) {
    EYESHOT_ASSIGN_OR_RETURN(precision.decoder, ParseFormat(text, false, backend));
    EYESHOT_ASSIGN_OR_RETURN(precision.tower, ParseFormat(text, true, backend));
    // 4 bits save nothing where arithmetic takes the time.
    if (text == "int4" || text == "q4_0") precision.tower = WeightFormat::kInt8;
    return precision;
  }
  EYESHOT_ASSIGN_OR_RETURN(precision.tower, ParseFormat(text.substr(0, comma), true, backend));
  EYESHOT_ASSIGN_OR_RETURN(precision.decoder, ParseFormat(text.substr(comma + 1), false, backend));
  return precision;
}

namespace {

// Types of the matrices of one part of a GGUF model and their bytes.
struct StoredTypes {
  std::map<DType, uint64_t> bytes;

  void Add(const GgufFile& file) {
    for (const HostTensor& tensor : file.tensors()) {
      if (tensor.shape.size() >= 2) bytes[tensor.dtype] += tensor.bytes();
    }
  }
  DType most() const {
    const auto by_bytes = [](const auto& a, const auto& b) { return a.second < b.second; };
    return bytes.empty() ? DType::kF32 : std::max_element(bytes.begin(), bytes.end(), by_bytes)->first;
  }
  // What the backend makes of most of them.
  WeightFormat format(const Backend& backend) const {
    const DType type = most();
    const WeightFormat kept = type == DType::kQ8_0   ? WeightFormat::kQ8
                              : type == DType::kQ4_0 ? WeightFormat::kQ4
                              : type == DType::kBF16 ? WeightFormat::kExact
                                                     : WeightFormat::kFloat32;
    return backend.Supports(kept) ? kept : WeightFormat::kExact;
  }
};

ModelPrecision StoredPrecision(const GgufModel& model, const Backend& backend) {
  StoredTypes decoder;
  decoder.Add(model.text());
  ModelPrecision precision;
  precision.decoder = decoder.format(backend);
  precision.stored = DTypeName(decoder.most());
  if (model.mmproj() == nullptr) return precision;
  StoredTypes tower;
  tower.Add(*model.mmproj());
  precision.tower = tower.format(backend);
  precision.stored = fmt::format("{},{}", DTypeName(tower.most()), precision.stored);
  return precision;
}

}  // namespace

Result<ModelPrecision> ChoosePrecision(const ModelSource& source, std::string_view text, const Backend& backend) {
  if (source.gguf() != nullptr && text.empty()) return StoredPrecision(*source.gguf(), backend);
  const std::string path = JoinPath(source.path(), kPackedWeightsFile);
  if (!FileExists(path)) return ParsePrecision(text.empty() ? "exact" : text, backend);
  EYESHOT_ASSIGN_OR_RETURN(const PackedWeights packed, PackedWeights::Open(path));
  Result<ModelPrecision> precision = ParsePrecision(packed.precision(), backend);
  if (!precision.ok()) return precision.status().At(path);
  if (text.empty()) return precision;
  EYESHOT_ASSIGN_OR_RETURN(const ModelPrecision asked, ParsePrecision(text, backend));
  if (asked.tower != precision->tower || asked.decoder != precision->decoder) {
    return InvalidArgumentError(
        fmt::format("{}: the weights are packed as {}, the precision {} was asked for", path, packed.precision(), text),
        "leave the precision out, or name the folder that was packed");
  }
  return precision;
}

Result<KvFormat> ParseKvFormat(std::string_view text) {
  if (text == "f16") return KvFormat::kHalf;
  if (text == "int8") return KvFormat::kInt8;
  return InvalidArgumentError(fmt::format("the key/value cache's precision is '{}'", text), "use f16 or int8");
}

std::string PrecisionName(const ModelPrecision& precision, const Backend& backend) {
  const auto name = [&](WeightFormat format) {
    return format == WeightFormat::kExact ? backend.info().precision : std::string(WeightFormatName(format));
  };
  if (!precision.stored.empty()) return precision.stored;
  if (precision.tower == precision.decoder) return name(precision.tower);
  return name(precision.tower) + "," + name(precision.decoder);
}

}  // namespace eyeshot
