// Names of precisions.
#include "base/error.h"
#include "models/model.h"

namespace eyeshot {
namespace {

Result<WeightFormat> ParseFormat(std::string_view name, const Backend& backend) {
  if (name == "exact") return WeightFormat::kExact;
  if (name != "int8") return InvalidArgumentError(fmt::format("the precision is '{}'", name), "use exact or int8");
  if (backend.Supports(WeightFormat::kInt8)) return WeightFormat::kInt8;
  return UnsupportedError(fmt::format("the {} backend has no int8 weights", backend.info().name),
                          "use the portable backend, or the precision exact");
}

}  // namespace

Result<ModelPrecision> ParsePrecision(std::string_view text, const Backend& backend) {
  const size_t comma = text.find(',');
  const std::string_view decoder = comma == std::string_view::npos ? text : text.substr(comma + 1);
  ModelPrecision precision;
  EYESHOT_ASSIGN_OR_RETURN(precision.tower, ParseFormat(text.substr(0, comma), backend));
  EYESHOT_ASSIGN_OR_RETURN(precision.decoder, ParseFormat(decoder, backend));
  return precision;
}

std::string PrecisionName(const ModelPrecision& precision, const Backend& backend) {
  const auto name = [&](WeightFormat format) {
    return format == WeightFormat::kInt8 ? std::string("int8") : backend.info().precision;
  };
  if (precision.tower == precision.decoder) return name(precision.tower);
  return name(precision.tower) + "," + name(precision.decoder);
}

}  // namespace eyeshot
