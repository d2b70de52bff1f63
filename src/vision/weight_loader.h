// WeightLoader: from named tensors of a checkpoint to packed weights, checked, counted, and with the source pages given
// back as it goes; or from a file of packed weights, which are used where they lie.
#ifndef EYESHOT_VISION_WEIGHT_LOADER_H_
#define EYESHOT_VISION_WEIGHT_LOADER_H_

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "formats/packed_weights.h"
#include "formats/tensor_source.h"
#include "kernels/backend.h"

namespace eyeshot {

// Every function takes names of tensors and the shape that the configuration asks for, and fails with an error that
// names tensor, found shape and expected shape: kNotFound, kCorrupt, or the backend's own.
class WeightLoader {
 public:
  // A weight and the tensors that it was packed from. Both live until the observer returns, the weight as long as the
  // model.
  using Observer = std::function<void(const PackedWeight& weight, std::span<const HostTensor> sources)>;

  // `on_progress` (may be empty) is called with the share of the checkpoint's bytes that were packed.
  WeightLoader(const TensorSource& checkpoint, Backend& backend, std::function<void(double)> on_progress,
               Observer on_weight)
      : checkpoint_(&checkpoint),
        backend_(backend),
        on_progress_(std::move(on_progress)),
        on_weight_(std::move(on_weight)) {}
  // The file must outlive the weights.
  WeightLoader(const PackedWeights& packed, Backend& backend) : packed_(&packed), backend_(backend) {}

  // Whether matrices of blocks that the backend has (Q8_0, Q4_0) stay what they are where an exact format is asked for.
  void KeepBlocks(bool keep) { keep_blocks_ = keep; }

  // The format of the matrices that Linear and Gated pack from now on.
  void SetFormat(WeightFormat format) { format_ = format; }
  WeightFormat format() const { return format_; }

  bool Has(std::string_view name) const;

  // Matrices [outputs_i, inputs] stacked along the outputs. A convolution kernel [outputs, c, h, w] counts as
  // [outputs, c * h * w].
  Result<PackedWeightPtr> Linear(const std::vector<std::string>& names, const std::vector<int64_t>& outputs,
                                 int64_t inputs);
  // Gate and up projection, each [outputs, inputs].
  Result<PackedWeightPtr> Gated(const std::string& gate, const std::string& up, int64_t outputs, int64_t inputs);
  Result<PackedWeightPtr> Table(const std::string& name, int64_t rows, int64_t width);
  // A table whose rows are looked up: as Table if the format is a float, else as Linear.
  Result<PackedWeightPtr> Lookup(const std::string& name, int64_t rows, int64_t width);
  // A depth-wise kernel [outputs, 1, h, w] of h * w taps, as a vector, taps fastest.
  Result<PackedWeightPtr> Kernel(const std::string& name, int64_t outputs, int64_t taps);
  // Vectors of sizes[i] elements, one after the other.
  Result<PackedWeightPtr> Vector(const std::vector<std::string>& names, const std::vector<int64_t>& sizes);

  int64_t parameters() const { return parameters_; }
  size_t packed_bytes() const { return packed_bytes_; }
  uint64_t source_bytes() const { return source_bytes_; }

 private:
  WeightFormat FormatOf(const std::vector<HostTensor>& sources) const;
  Result<HostTensor> Get(const std::string& name, int64_t rows, int64_t cols) const;
  Result<PackedWeightPtr> Packed(Result<PackedWeightPtr> weight, const std::vector<HostTensor>& sources);
  Result<PackedWeightPtr> Adopt(const std::string& name, const PackedShape& shape);

  const TensorSource* checkpoint_ = nullptr;  // one of the two
  const PackedWeights* packed_ = nullptr;
  Backend& backend_;
  std::function<void(double)> on_progress_;
  Observer on_weight_;
  WeightFormat format_ = WeightFormat::kExact;
  bool keep_blocks_ = false;
  int64_t parameters_ = 0;
  size_t packed_bytes_ = 0;
  uint64_t source_bytes_ = 0;
};

// How packed files name it: "linear", "table", "vector".
std::string_view PackedKindName(PackedShape::Kind kind);

}  // namespace eyeshot

#endif  // EYESHOT_VISION_WEIGHT_LOADER_H_
