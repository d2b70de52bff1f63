// A decoder with seeded weights, of no model's shape, that reads prompts as real ones do: how much longer that takes
// than its operations, measured one by one.
#ifndef EYESHOT_PLAN_MINI_DECODER_H_
#define EYESHOT_PLAN_MINI_DECODER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "eyeshot/status.h"
#include "formats/model_config.h"
#include "kernels/backend.h"
#include "models/decoder.h"

namespace eyeshot::plan {

// Not thread-safe.
class MiniDecoder {
 public:
  // Errors: kOutOfMemory.
  static Result<std::unique_ptr<MiniDecoder>> Create(Backend& backend, WeightFormat format, int64_t layers);

  const ModelConfig& config() const { return config_; }
  // A prompt of so many tokens from the beginning, with the logits of its last one. REQUIRES: at most kMostTokens.
  Status Prompt(Stream& stream, int64_t tokens);
  static constexpr int64_t kMostTokens = 512;

 private:
  MiniDecoder(Backend& backend, const ModelConfig& config) : backend_(backend), config_(config) {}
  Status Load(WeightFormat format);
  Status Allocate();

  Backend& backend_;
  ModelConfig config_;
  std::optional<LlamaDecoder> decoder_;
  Buffer memory_;
  DecoderWorkspace workspace_;
  std::unique_ptr<KvCache> cache_;
  std::vector<uint8_t> inputs_;
};

}  // namespace eyeshot::plan

#endif  // EYESHOT_PLAN_MINI_DECODER_H_
