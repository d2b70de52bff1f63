// DecoderRunner: sequences through the decoder: prompts in chunks, answers token by token, several side by side.
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

// A prompt's last part has at least as many tokens, where it is cut: a few rows are rounded otherwise than many
// (kernels/few_rows.h), so a shorter end would differ from the same tokens in a longer part, and it costs nearly as
// much.
inline constexpr int64_t kShortEnd = 16;

// The memory of steps, taken once: prefill chunks, logits, the sampler's state of each sequence of a batch.
class DecoderRunner {
 public:
  // For answers to up to `sequences` prompts side by side, each with a context of up to `context_tokens`.
  static Result<std::unique_ptr<DecoderRunner>> Create(const VisionLanguageModel& model, int64_t context_tokens,
                                                       int64_t sequences = 1);

  // Runs positions [sequence.size(), plan.ids.size()) and leaves the logits of the last one. on_progress (may be
  // empty) gets the share that is done and returns false to cancel (kCancelled). Pictures must be encoded.
  Status Prefill(Stream& stream, KvCache& cache, KvSequence& sequence, const PromptPlan& plan,
                 std::span<const Visual> visuals, const std::function<bool(double)>& on_progress);

  // The same for at most `most` of these positions. True: the last one has run, and left its logits.
  Result<bool> PrefillSome(Stream& stream, KvCache& cache, KvSequence& sequence, const PromptPlan& plan,
                           std::span<const Visual> visuals, int64_t most);

  // Runs one token of an answer and leaves its logits. Neither waits for a device nor allocates.
  Status Step(Stream& stream, KvCache& cache, KvSequence& sequence, int32_t token);
  // The same for a token of each of several sequences of one cache; row i of the logits is sequence i's.
  Status StepBatch(Stream& stream, KvCache& cache, std::span<KvSequence* const> sequences,
                   std::span<const int32_t> tokens);

  // The same for the tokens that BeginSample() chose last for the first sequences.size() of them, which the host
  // needn't know yet: KvSequence::SetLast() is to tell them.
  Status StepAhead(Stream& stream, KvCache& cache, std::span<KvSequence* const> sequences);

  // Sets the sampler of one sequence of a batch up for an answer that goes on from `tokens`, the last `chosen` of which
  // it chose itself.
  void StartSampling(Stream& stream, const SamplingOptions& options, std::span<const int32_t> tokens,
                     int64_t sequence = 0, uint32_t chosen = 0);
  // Enqueues the choice of the next token of each of `count` sequences from `first` on, by the first rows of the logits
  // that the last step left.
  void BeginSample(Stream& stream, int64_t count, int64_t first = 0);
  // What BeginSample() chose, called for each in their order: waits for that and for nothing enqueued later.
  Status FinishSample(Stream& stream, std::span<int32_t> next, int64_t first = 0);
  // The next token by the logits that Prefill or Step left. Does not allocate.
  Result<int32_t> Sample(Stream& stream);
  // The next token of each of the first next.size() sequences, by the logits that StepBatch left.
  Status SampleBatch(Stream& stream, std::span<int32_t> next);

  // The logits that the last step left: [1, vocabulary] float32 on the device.
  MatrixView logits() const { return workspace_.logits.Rows(0, 1); }
  // Rows of the last step after all layers, before the final norm.
  MatrixView last_rows() const { return last_rows_; }

 private:
  explicit DecoderRunner(const VisionLanguageModel& model) : model_(model) {}
  Status Allocate(int64_t context_tokens, int64_t sequences);
  void Layout(Arena& arena, int64_t context_tokens, int64_t sequences);
  DecoderStep UploadStep(Stream& stream, std::span<KvSequence* const> sequences, std::span<const int32_t> ids);
  Status ReserveBlocks(Stream& stream, KvCache& cache, const KvSequence& sequence);
  // Where one of the workspace's input arrays has its host copy.
  std::span<int32_t> Input(DeviceSpan<int32_t> array);
  Status Run(Stream& stream, KvCache& cache, DecoderStep& step, int64_t logits);
  // A step of one token of each sequence, whose ids the device reads from `ids`.
  Status RunStep(Stream& stream, KvCache& cache, std::span<KvSequence* const> sequences,
                 std::span<const int32_t> tokens, DeviceSpan<const int32_t> ids);

  const VisionLanguageModel& model_;
  Buffer buffer_;
  DecoderWorkspace workspace_;
  MatrixView last_rows_;
  std::vector<uint8_t> inputs_;  // host copy of workspace_.inputs
  std::vector<int32_t> unknown_;  // in place of tokens that the device alone knows

  DeviceSpan<SamplerParams> params_;  // [sequences]
  DeviceSpan<uint32_t> steps_;  // [sequences]
  DeviceSpan<uint8_t> seen_;  // [sequences, vocabulary]
  DeviceSpan<uint64_t> scratch_;  // [sequences, vocabulary]
  DeviceSpan<int32_t> next_;  // [sequences]
  bool use_seen_ = false;  // some answer had a repetition penalty
};

}  // namespace eyeshot

#endif  // EYESHOT_RUNTIME_DECODER_RUNNER_H_
