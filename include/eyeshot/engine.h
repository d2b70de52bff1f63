// The engine: a loaded model, and conversations with it.
//
//   auto engine = eyeshot::Engine::Load({.model = "models/eyeshot-tiny"});
//   auto picture = eyeshot::LoadImage("receipt.png");
//   auto chat = (*engine)->NewChat();
//   auto answer = chat->Ask({std::make_shared<const eyeshot::Image>(*std::move(picture)), "What is the total?"});
//   std::puts(answer->text.c_str());
#ifndef EYESHOT_ENGINE_H_
#define EYESHOT_ENGINE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "eyeshot/chat.h"
#include "eyeshot/export.h"
#include "eyeshot/ledger.h"
#include "eyeshot/status.h"

namespace eyeshot {

struct EngineOptions {
  std::string model;              // a Hugging Face folder
  std::string name;               // what reports call it; "": the folder's name
  std::string backend = "auto";   // "auto" (= "portable"), "portable", or "reference" (slow float32 oracle)
  // How weights are kept and multiplied: "exact" (the checkpoint's bf16, float32 arithmetic), "bf16" (operands are
  // rounded to it), "int8" (8 bits by output), "q8_0", "int4", "q4_0" (by blocks of 32), "auto" (what we would choose),
  // or two of them for vision tower and decoder: "int8,q8_0". docs/performance.md has the speed and accuracy of each.
  std::string precision;  // "": as packed weights are (`eyeshot quantize`), exact where there are none
  std::string kv_cache = "f16";  // the key/value cache: "f16", or "int8" (half of that)
  bool pillow13_resize = false;  // resize pictures in the order of passes of Pillow 13 (docs/deviations.md)
  int threads = 0;  // 0: the cores that affinity and cgroup allow
  int64_t context_tokens = 0;  // KV cache size; 0: the model's own context length
  // Called while loading with a share in [0, 1]; may be empty.
  std::function<void(double)> on_progress;
};

// How to choose the next token. temperature 0 is greedy. Filters apply in this order: repetition
// penalty, temperature, top-k, top-p, min-p.
struct SamplingOptions {
  float temperature = 0.0f;
  int top_k = 0;  // 0: off
  float top_p = 1.0f;  // 1: off
  float min_p = 0.0f;  // 0: off
  float repetition_penalty = 1.0f;  // 1: off; over prompt and answer, as in transformers
  uint64_t seed = 0;  // same seed, same prompt, same backend: same answer
};

struct AskOptions {
  int max_tokens = 256;
  SamplingOptions sampling;
  bool split_images = true;  // false: one view a picture instead of tiles and a global view
  std::vector<std::string> stop;  // the answer ends before any of these strings
  bool ignore_end = false;  // true: goes on to max_tokens whatever token the model says (benchmarks)
  // Called with each new piece of the answer, whole UTF-8 characters only. Returning false stops.
  std::function<bool(std::string_view)> on_text;
  // Called during encode and prefill with a stage name and a share in [0, 1]; may be empty.
  std::function<void(StageId, double)> on_progress;
  // When it becomes true (from any thread), the run ends with FinishReason::kCancelled after the current step.
  const std::atomic<bool>* cancel = nullptr;
};

enum class FinishReason {
  kStop,  // "stop": an end-of-text token or a stop string
  kLength,  // "length": max_tokens
  kContext,  // "context": the context is full
  kCancelled,  // "cancelled"
};
EYESHOT_EXPORT std::string_view FinishReasonName(FinishReason reason);

struct Answer {
  std::string text;
  FinishReason finish_reason = FinishReason::kStop;
  int64_t prompt_tokens = 0;  // of the whole conversation so far, this question included
  int64_t cached_tokens = 0;  // of those, how many were still in the KV cache
  int64_t visual_tokens = 0;  // in the prompt
  int64_t completion_tokens = 0;  // the end token included if it was generated
  int64_t tiles = 0;  // pictures of the tower's input size that the prompt holds
  Ledger ledger;  // of this question; `load` and `decode_image` are the caller's
};

// What a loaded model is, for reports.
struct ModelInfo {
  std::string name;  // EngineOptions::name, or the folder's
  std::string family;  // "smolvlm", "idefics3"
  std::string device;  // "cpu"
  std::string isa;  // "avx512", ...
  std::string precision;  // "exact", "float32" (reference), "int8", ... or "int8,q8_0": tower and decoder
  int threads = 0;
  int64_t parameters = 0;
  int64_t context_tokens = 0;
  int64_t vocabulary = 0;
};

class Chat;

// A loaded model. Thread-safety: NewChat() and info() may be called from any thread; chats of one engine
// take turns on its thread pool, so that concurrent Ask() calls are safe and run one after the other.
class EYESHOT_EXPORT Engine : public std::enable_shared_from_this<Engine> {
 public:
  static Result<std::shared_ptr<Engine>> Load(const EngineOptions& options);
  virtual ~Engine() = default;

  virtual const ModelInfo& info() const = 0;
  virtual const Ledger& load_ledger() const = 0;
  // Options that let JPEGs be decoded as small as this model can use them, for questions with that
  // AskOptions::split_images; frames of clips are not split. Faster, and not quite the reference's pixels:
  // docs/deviations.md.
  virtual DecodeOptions ScaledDecoding(bool split_images) const = 0;
  // A conversation with its own KV cache. Error: kOutOfMemory. The chat keeps the engine alive.
  virtual Result<std::unique_ptr<Chat>> NewChat(std::string_view system = {}) = 0;
};

// A conversation. Not thread-safe: one thread at a time. After an error the conversation is as it was before
// the failed Ask().
class EYESHOT_EXPORT Chat {
 public:
  virtual ~Chat() = default;

  // Says `parts` as the user and generates the assistant's answer, which joins the conversation. Text, KV
  // cache and encoded pictures of earlier turns are reused.
  // Errors: kContextFull (names the tokens needed and available), kInvalidArgument, kOutOfMemory.
  virtual Result<Answer> Ask(std::vector<ContentPart> parts, const AskOptions& options = {}) = 0;

  virtual const std::vector<Message>& messages() const = 0;
  // Forgets all messages but the system message.
  virtual void Reset() = 0;
};

}  // namespace eyeshot

#endif  // EYESHOT_ENGINE_H_
