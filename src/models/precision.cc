// Names of precisions.
#include <array>
#include <utility>

#include "base/error.h"
#include "models/model.h"

namespace eyeshot {
namespace {

constexpr std::array<std::pair<std::string_view, WeightFormat>, 6> kNames = {{{"exact", WeightFormat::kExact},
                                                                              {"bf16", WeightFormat::kBf16},
                                                                              {"int8", WeightFormat::kInt8},
                                                                              {"q8_0", WeightFormat::kQ8},
                                                                              {"int4", WeightFormat::kInt4},
                                                                              {"q4_0", WeightFormat::kQ4}}};
constexpr std::string_view kKnown = "exact, bf16, int8, q8_0, int4, q4_0 or auto";

// What we would choose (docs/performance.md has the figures): 8 bits by output for the tower, whose time is arithmetic;
// by blocks for the decoder, whose time is reading weights and whose answers change less that way.
WeightFormat AutoFormat(bool tower, const Backend& backend) {
  const WeightFormat wanted = tower ? WeightFormat::kInt8 : WeightFormat::kQ8;
  return backend.Supports(wanted) ? wanted : WeightFormat::kExact;
}

Result<WeightFormat> ParseFormat(std::string_view name, bool tower, const Backend& backend) {
  if (name == "auto") return AutoFormat(tower, backend);
  for (const auto& [known, format] : kNames) {
    if (name != known) continue;
    if (backend.Supports(format)) return format;
    return UnsupportedError(fmt::format("the {} backend has no {} weights", backend.info().name, name),
                            "use the portable backend, or the precision exact");
  }
  return InvalidArgumentError(fmt::format("the precision is '{}'", name), fmt::format("use {}", kKnown));
}

}  // namespace

std::string_view WeightFormatName(WeightFormat format) {
  for (const auto& [name, known] : kNames) {
    if (format == known) return name;
  }
  return "unknown";
}

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

Result<KvFormat> ParseKvFormat(std::string_view text) {
  if (text == "f16") return KvFormat::kHalf;
  if (text == "int8") return KvFormat::kInt8;
  return InvalidArgumentError(fmt::format("the key/value cache's precision is '{}'", text), "use f16 or int8");
}

std::string PrecisionName(const ModelPrecision& precision, const Backend& backend) {
  const auto name = [&](WeightFormat format) {
    return format == WeightFormat::kExact ? backend.info().precision : std::string(WeightFormatName(format));
  };
  if (precision.tower == precision.decoder) return name(precision.tower);
  return name(precision.tower) + "," + name(precision.decoder);
}

}  // namespace eyeshot
