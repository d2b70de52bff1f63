// DecoderRunner: one sequence through the decoder: prompts in chunks, answers token by token.
#ifndef EYESHOT_RUNTIME_DECODER_RUNNER_H_
#define EYESHOT_RUNTIME_DECODER_RUNNER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "eyeshot/engine.h"
#include "models/model.h"
#include "runtime/conversation.h"
#include "runtime/kv_sequence.h"

namespace eyeshot {

// The memory of the steps of one sequence, taken once: prefill chunks, logits, the sampler's state.
class DecoderRunner {
 public:
  static Result<std::unique_ptr<DecoderRunner>> Create(const VisionLanguageModel& model, int64_t context_tokens);

  // Runs positions [sequence.size(), plan.ids.size()) and leaves the logits of the last one. on_progress (may be
  // empty) gets the share that is done and returns false to cancel (kCancelled). Pictures must be encoded.
  Status Prefill(Stream& stream, KvCache& cache, KvSequence& sequence, const PromptPlan& plan,
                 std::span<const Visual> visuals, const std::function<bool(double)>& on_progress);

  // Runs one token of an answer and leaves its logits. Does not allocate.
  Status Step(Stream& stream, KvCache& cache, KvSequence& sequence, int32_t token);

  // Sets the sampler up for an answer to `prompt`.
  void StartSampling(Stream& stream, const SamplingOptions& options, std::span<const int32_t> prompt);
  // The next token by the logits that Prefill or Step left. Does not allocate.
  Result<int32_t> Sample(Stream& stream);

  // The logits that the last step left: [1, vocabulary] float32 on the device.
  MatrixView logits() const { return workspace_.logits.Rows(0, 1); }
  // Rows of the last step after all layers, before the final norm.
  MatrixView last_rows() const { return last_rows_; }

 private:
  explicit DecoderRunner(const VisionLanguageModel& model) : model_(model) {}
  Status Allocate(int64_t context_tokens);
  void Layout(Arena& arena, int64_t context_tokens);
  DecoderStep UploadStep(Stream& stream, const KvSequence& sequence, int64_t first, int64_t count);
  Status Run(Stream& stream, KvCache& cache, DecoderStep& step, bool want_logits);

  const VisionLanguageModel& model_;
  Buffer buffer_;
  DecoderWorkspace workspace_;
  MatrixView last_rows_;
  std::vector<int32_t> positions_;  // host copies of one step's inputs
  std::vector<int32_t> slots_;

  DeviceSpan<SamplerParams> params_;  // [1]
  DeviceSpan<uint32_t> steps_;        // [1]
  DeviceSpan<uint8_t> seen_;          // [vocabulary]
  DeviceSpan<uint64_t> scratch_;      // [vocabulary]
  DeviceSpan<int32_t> next_;          // [1]
  bool use_seen_ = false;
};

}  // namespace eyeshot

#endif  // EYESHOT_RUNTIME_DECODER_RUNNER_H_
