// Checkpoints of true shape with weights from a seed: goldens of large models without a download.
//
// docs/design.md section 8 has the formula; tests/golden/checkpoint.py makes the same bytes.
#ifndef EYESHOT_MODELS_SEEDED_CHECKPOINT_H_
#define EYESHOT_MODELS_SEEDED_CHECKPOINT_H_

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/threads.h"
#include "eyeshot/status.h"
#include "formats/model_config.h"
#include "formats/safetensors.h"

namespace eyeshot {

// The tensors of a SmolVLM or Idefics3 checkpoint of that shape, sorted by name. dtype: kBF16 or kF32.
std::vector<TensorSpec> SeededTensors(const ModelConfig& config, DType dtype);

// The data of one tensor. out: spec.bytes() bytes. The threads do not change the result. With `outliers`, 8 channels of
// what the norms of the tower's layers give are 50 times larger (tests/golden/README.md).
void FillSeededTensor(const TensorSpec& spec, uint64_t seed, bool outliers, ThreadPool& pool, std::span<uint8_t> out);

struct SeededCheckpointOptions {
  std::string config_dir;  // a model's folder; its weights, if it has any, are not read
  uint64_t seed = 0;
  bool outliers = false;  // see FillSeededTensor
  std::string out_dir;  // made if it is not there
  int threads = 0;
  std::function<void(double)> on_progress;  // share of the bytes; may be empty
};

// Writes a model's folder: model.safetensors in the dtype that the configuration names (bf16 when silent), and
// copies of the configuration, tokenizer and processor files. Errors: those of LoadModelConfig, kUnsupported
// (another dtype), kInvalidArgument (out_dir is config_dir), kIo.
Status WriteSeededCheckpoint(const SeededCheckpointOptions& options);

}  // namespace eyeshot

#endif  // EYESHOT_MODELS_SEEDED_CHECKPOINT_H_
