#include "vision/weight_loader.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "base/error.h"

namespace eyeshot {

// rows x cols must be what the tensor holds: its first dimension, and the product of the others.
Result<HostTensor> WeightLoader::Get(const std::string& name, int64_t rows, int64_t cols) const {
  EYESHOT_ASSIGN_OR_RETURN(HostTensor tensor, checkpoint_->Get(name));
  const int64_t found_rows = tensor.shape.empty() ? 1 : tensor.shape[0];
  if (found_rows != rows || tensor.elements() != rows * cols) {
    const std::string expected = cols == 1 ? fmt::format("[{}]", rows) : fmt::format("[{}, {}]", rows, cols);
    return CorruptError(fmt::format("tensor {} has the shape [{}], config.json asks for {}", name,
                                    fmt::join(tensor.shape, ", "), expected),
                        "config.json and weights are not of the same model; download both again");
  }
  return tensor;
}

std::string_view PackedKindName(PackedShape::Kind kind) {
  switch (kind) {
    case PackedShape::Kind::kLinear: return "linear";
    case PackedShape::Kind::kTable: return "table";
    case PackedShape::Kind::kVector: return "vector";
  }
  return "unknown";
}

bool WeightLoader::Has(std::string_view name) const {
  return packed_ != nullptr ? packed_->Find(name) != nullptr : checkpoint_->Has(name);
}

Result<PackedWeightPtr> WeightLoader::Adopt(const std::string& name, const PackedShape& shape) {
  const std::string mend = "make the file again with `eyeshot quantize`";
  const PackedEntry* entry = packed_->Find(name);
  if (entry == nullptr) return NotFoundError(fmt::format("{}: there is no weight {}", packed_->file(), name), mend);
  PackedShape stored = shape;
  if (shape.format == WeightFormat::kExact && entry->format == WeightFormatName(WeightFormat::kFloat32)) {
    stored.format = WeightFormat::kFloat32;  // values that bfloat16 hasn't
  }
  const std::string_view format = WeightFormatName(stored.format);
  const std::string_view kind = PackedKindName(shape.kind);
  if (entry->kind != kind || entry->format != format || entry->outputs != shape.outputs ||
      entry->inputs != shape.inputs || entry->gated != shape.gated) {
    return CorruptError(
        fmt::format(
            "{}: weight {} is a {}{} of {} x {} in {}, config.json and precision ask for a {}{} of {} x {} in {}",
            packed_->file(), name, entry->gated ? "gated " : "", entry->kind, entry->outputs, entry->inputs,
            entry->format, shape.gated ? "gated " : "", kind, shape.outputs, shape.inputs, format),
        mend);
  }
  Result<PackedWeightPtr> weight = backend_.Adopt(stored, entry->bytes, name);
  if (!weight.ok()) return weight.status().At(packed_->file());
  parameters_ += shape.outputs * shape.inputs;
  packed_bytes_ += entry->bytes.size();
  return weight;
}

Result<PackedWeightPtr> WeightLoader::Packed(Result<PackedWeightPtr> weight, const std::vector<HostTensor>& sources) {
  if (!weight.ok()) return weight;
  if (on_weight_) on_weight_(**weight, sources);
  for (const HostTensor& source : sources) {
    checkpoint_->Release(source);
    parameters_ += source.elements();
    source_bytes_ += source.bytes();
  }
  packed_bytes_ += (*weight)->bytes;
  if (on_progress_) {
    on_progress_(static_cast<double>(source_bytes_) / static_cast<double>(std::max<uint64_t>(checkpoint_->bytes(), 1)));
  }
  return weight;
}

Result<PackedWeightPtr> WeightLoader::Linear(const std::vector<std::string>& names, const std::vector<int64_t>& outputs,
                                             int64_t inputs) {
  EYESHOT_CHECK(names.size() == outputs.size());
  if (packed_ != nullptr) {
    const int64_t all = std::accumulate(outputs.begin(), outputs.end(), int64_t{0});
    return Adopt(names[0], {.format = format_, .outputs = all, .inputs = inputs});
  }
  LinearSource source;
  for (size_t i = 0; i < names.size(); ++i) {
    EYESHOT_ASSIGN_OR_RETURN(HostTensor tensor, Get(names[i], outputs[i], inputs));
    source.parts.push_back(std::move(tensor));
  }
  source.format = FormatOf(source.parts);
  return Packed(backend_.PackLinear(source), source.parts);
}

Result<PackedWeightPtr> WeightLoader::Gated(const std::string& gate, const std::string& up, int64_t outputs,
                                            int64_t inputs) {
  if (packed_ != nullptr) {
    return Adopt(gate, {.format = format_, .outputs = 2 * outputs, .inputs = inputs, .gated = true});
  }
  LinearSource source{.parts = {}, .gated = true};
  for (const std::string& name : {gate, up}) {
    EYESHOT_ASSIGN_OR_RETURN(HostTensor tensor, Get(name, outputs, inputs));
    source.parts.push_back(std::move(tensor));
  }
  source.format = FormatOf(source.parts);
  return Packed(backend_.PackLinear(source), source.parts);
}

WeightFormat WeightLoader::FormatOf(const std::vector<HostTensor>& sources) const {
  if (!keep_blocks_) return format_;
  const auto all = [&](DType dtype) {
    return std::all_of(sources.begin(), sources.end(), [dtype](const HostTensor& t) { return t.dtype == dtype; });
  };
  if (all(DType::kQ8_0) && backend_.Supports(WeightFormat::kQ8)) return WeightFormat::kQ8;
  if (all(DType::kQ4_0) && backend_.Supports(WeightFormat::kQ4)) return WeightFormat::kQ4;
  return WeightFormat::kExact;
}

Result<PackedWeightPtr> WeightLoader::Lookup(const std::string& name, int64_t rows, int64_t width) {
  WeightFormat format = format_;
  if (packed_ == nullptr && keep_blocks_) {
    EYESHOT_ASSIGN_OR_RETURN(const HostTensor tensor, Get(name, rows, width));
    format = FormatOf({tensor});
  }
  const bool floats = format == WeightFormat::kExact || format == WeightFormat::kBf16;
  return floats ? Table(name, rows, width) : Linear({name}, {rows}, width);
}

Result<PackedWeightPtr> WeightLoader::Table(const std::string& name, int64_t rows, int64_t width) {
  if (packed_ != nullptr) return Adopt(name, {.kind = PackedShape::Kind::kTable, .outputs = rows, .inputs = width});
  EYESHOT_ASSIGN_OR_RETURN(const HostTensor tensor, Get(name, rows, width));
  return Packed(backend_.PackTable(tensor), {tensor});
}

Result<PackedWeightPtr> WeightLoader::Kernel(const std::string& name, int64_t outputs, int64_t taps) {
  if (packed_ != nullptr) return Adopt(name, {.kind = PackedShape::Kind::kVector, .outputs = outputs * taps});
  EYESHOT_ASSIGN_OR_RETURN(const HostTensor tensor, Get(name, outputs, taps));
  return Packed(backend_.PackVector(tensor), {tensor});
}

namespace {

Status CheckVector(const HostTensor& tensor) {
  if (IsWeightType(tensor.dtype)) return Status::Ok();
  return UnsupportedError(fmt::format("tensor {} is stored as {}", tensor.name, DTypeName(tensor.dtype)),
                          "weights are read as float32, float16, bfloat16 or the block types of GGUF");
}

}  // namespace

Result<PackedWeightPtr> WeightLoader::Vector(const std::vector<std::string>& names, const std::vector<int64_t>& sizes) {
  EYESHOT_CHECK(names.size() == sizes.size());
  if (packed_ != nullptr) {
    const int64_t all = std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
    return Adopt(names[0], {.kind = PackedShape::Kind::kVector, .outputs = all});
  }
  std::vector<HostTensor> sources;
  std::vector<float> joined;
  for (size_t i = 0; i < names.size(); ++i) {
    EYESHOT_ASSIGN_OR_RETURN(HostTensor tensor, Get(names[i], sizes[i], 1));
    EYESHOT_RETURN_IF_ERROR(CheckVector(tensor));
    joined.resize(joined.size() + static_cast<size_t>(sizes[i]));
    ConvertToF32(tensor.dtype, tensor.data, static_cast<size_t>(sizes[i]),
                 joined.data() + joined.size() - static_cast<size_t>(sizes[i]));
    sources.push_back(std::move(tensor));
  }
  const HostTensor whole{.name = names[0],
                         .dtype = DType::kF32,
                         .shape = {static_cast<int64_t>(joined.size())},
                         .data = reinterpret_cast<const uint8_t*>(joined.data())};
  return Packed(backend_.PackVector(whole), sources);
}

}  // namespace eyeshot
