#include "models/quantize.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/file.h"
#include "base/threads.h"
#include "formats/gguf_model.h"
#include "formats/packed_weights.h"
#include "models/model_files.h"
#include "tensor/dtype.h"

namespace eyeshot {
namespace {

// Sums over a row's elements.
struct RowSums {
  double error = 0;
  double source = 0;
  double kept = 0;
  double product = 0;
};

RowSums CompareRow(const std::vector<float>& source, const std::vector<float>& kept) {
  RowSums sums;
  for (size_t i = 0; i < source.size(); ++i) {
    const double s = source[i];
    const double k = kept[i];
    sums.error += (s - k) * (s - k);
    sums.source += s * s;
    sums.kept += k * k;
    sums.product += s * k;
  }
  return sums;
}

// Collects the weights of a model while it's loaded.
class Collector {
 public:
  Collector(const Backend& backend, int threads) : backend_(backend), pool_(threads) {}

  void Add(const PackedWeight& weight, std::span<const HostTensor> sources) {
    const PackedShape shape = backend_.ShapeOf(weight);
    const bool vector = shape.kind == PackedShape::Kind::kVector;
    WeightError error{.name = sources[0].name,
                      .format = vector ? "float32" : std::string(WeightFormatName(shape.format)),
                      .outputs = shape.outputs,
                      .inputs = shape.inputs,
                      .bytes = weight.bytes};
    for (const HostTensor& source : sources) error.source_bytes += source.bytes();
    if (!vector) Compare(weight, shape, sources, error);
    entries_.push_back({.name = error.name,
                        .kind = std::string(PackedKindName(shape.kind)),
                        .format = std::string(WeightFormatName(shape.format)),
                        .outputs = shape.outputs,
                        .inputs = shape.inputs,
                        .gated = shape.gated,
                        .bytes = backend_.PackedBytes(weight)});
    errors_.push_back(std::move(error));
  }

  const std::vector<PackedEntry>& entries() const { return entries_; }
  std::vector<WeightError> TakeErrors() { return std::move(errors_); }

 private:
  void Compare(const PackedWeight& weight, const PackedShape& shape, std::span<const HostTensor> sources,
               WeightError& error) {
    std::vector<RowSums> rows(static_cast<size_t>(shape.outputs));
    int64_t first = 0;
    for (const HostTensor& source : sources) {
      const int64_t count = source.elements() / shape.inputs;
      pool_.Run(static_cast<size_t>(count), [&](size_t i, size_t) {
        std::vector<float> row(static_cast<size_t>(shape.inputs));
        std::vector<float> kept(row.size());
        ConvertToF32(source.dtype, source.data + BytesOf(source.dtype, i * row.size()), row.size(), row.data());
        backend_.ReadRow(weight, first + static_cast<int64_t>(i), kept.data());
        rows[static_cast<size_t>(first) + i] = CompareRow(row, kept);
      });
      first += count;
    }
    EYESHOT_CHECK(first == shape.outputs);
    RowSums all;
    for (const RowSums& row : rows) {
      all.error += row.error;
      all.source += row.source;
      if (row.source == 0) continue;
      const double norms = std::sqrt(row.source * row.kept);
      error.worst_cosine = std::min(error.worst_cosine, norms > 0 ? row.product / norms : 0.0);
    }
    error.relative_error = all.source > 0 ? std::sqrt(all.error / all.source) : 0.0;
  }

  const Backend& backend_;
  ThreadPool pool_;
  std::vector<PackedEntry> entries_;
  std::vector<WeightError> errors_;
};

}  // namespace

Result<std::vector<WeightError>> QuantizeModel(const QuantizeOptions& options, Backend& backend) {
  if (FileExists(JoinPath(options.dir, kPackedWeightsFile))) {
    return InvalidArgumentError(fmt::format("'{}' holds packed weights already", options.dir),
                                "name the Hugging Face folder that they were packed from");
  }
  if (IsGgufModel(options.dir)) {
    return UnsupportedError(
        fmt::format("'{}' is a GGUF model, whose small files a packed folder can't have", options.dir),
        "use it as it is, with --precision, or name the Hugging Face folder");
  }
  if (backend.packed_layout().empty()) {
    return UnsupportedError(fmt::format("the {} backend can't write weights to a file", backend.info().name),
                            "use the portable backend");
  }
  EYESHOT_RETURN_IF_ERROR(MakeModelFolder(options.dir, options.out_dir));
  Collector collector(backend, backend.info().threads);
  Ledger ledger;
  const auto progress = [&](double done) {
    if (options.on_progress) options.on_progress(done);
  };
  // Packing and comparing take most of the time.
  constexpr double kPackingShare = 0.9;
  ModelOptions load;
  load.model.path = options.dir;
  load.precision = options.precision;
  load.on_progress = [&](double done) { progress(done * kPackingShare); };
  load.on_weight = [&](const PackedWeight& weight, std::span<const HostTensor> sources) {
    collector.Add(weight, sources);
  };
  EYESHOT_ASSIGN_OR_RETURN(const std::unique_ptr<VisionLanguageModel> model, LoadModel(load, backend, ledger));
  const std::string precision =
      fmt::format("{},{}", WeightFormatName(options.precision.tower), WeightFormatName(options.precision.decoder));
  EYESHOT_RETURN_IF_ERROR(CopyModelFiles(options.dir, options.out_dir));
  EYESHOT_RETURN_IF_ERROR(WritePackedWeights(
      JoinPath(options.out_dir, kPackedWeightsFile), precision, std::string(backend.packed_layout()),
      collector.entries(), [&](double done) { progress(kPackingShare + done * (1 - kPackingShare)); }));
  return collector.TakeErrors();
}

}  // namespace eyeshot
