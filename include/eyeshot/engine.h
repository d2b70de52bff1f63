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
  std::string model;  // a Hugging Face folder, a GGUF file, or a folder with one
  std::string mmproj;  // GGUF: the vision tower's file; "": the one beside the text file, if any; "none": text alone
  bool hf_defaults = false;  // GGUF: where the converter guessed a missing number, take that of transformers
  std::string name;  // what reports call it; "": the name of folder or file
  // "auto": a GPU where there is one that this build can use, else the CPU; "cpu"; "cuda", "cuda:1": that GPU.
  std::string device = "auto";
  uint64_t gpu_memory = 0;        // bytes of GPU memory that may be taken; 0: all of it
  std::string backend = "auto";  // of a CPU: "auto" (= "portable"), "portable", or "reference" (slow float32 oracle)
  // How weights are kept and multiplied: "exact" (the checkpoint's bf16, float32 arithmetic), "bf16" (operands are
  // rounded to it), "int8" (8 bits by output), "q8_0", "int4", "q4_0" (by blocks of 32), "fp8" (on a GPU), "auto" (what
  // we would choose), or two of them for vision tower and decoder: "int8,q8_0". docs/performance.md has the speed and
  // accuracy of each.
  std::string precision;  // "": as packed weights (`eyeshot quantize`) and GGUF files are, exact where there are none
  std::string kv_cache = "f16";  // the key/value cache: "f16", or "int8" (half of that)
  int frame_edge =
      0;  // pixels of a frame's longer side before it becomes a tile; 0: the reference's (docs/pictures.md)
  bool pillow13_resize = false;  // resize pictures in the order of passes of Pillow 13 (docs/deviations.md)
  int threads = 0;  // 0: the cores that affinity and cgroup allow
  int decode_threads = 0;  // of them, while tokens are decoded on a CPU, which waits for memory; 0: all
  int64_t context_tokens = 0;  // KV cache size; 0: the model's own context length
  // Whether a GPU's meter is read before and after each question, which takes some milliseconds: Ledger::gpu() of
  // answers then has its readings.
  bool gpu_readings = true;
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
  PictureDetail detail;  // of this question's pictures: how many tiles they may become
  // How visual tokens of this question's pictures and clips are made fewer: "none", or NAME:KEEP, such as "stride:16"
  // (16 tokens a tile) or "divprune:25%,global=all". docs/tokens.md has the names, the settings and what they cost.
  std::string reduce = "none";
  // true: texts of the question come before its pictures and clips, so that its keys and values are reused when the
  // same question is asked about others (after Chat::Reset()). Models are trained on pictures first.
  bool question_first = false;
  std::vector<std::string> stop;  // the answer ends before any of these strings
  // What the answer begins with, put into the model's mouth ("Answer:"). It is part of the conversation, and not of
  // Answer::text. FramesThatFit() does not count it.
  std::string answer_start;
  // true: special tokens but the end token stay in the answer, as DocTags needs (<fcel>, <page_break>). For a single
  // question: the next turn would hold them as text.
  bool special_tokens = false;
  // How many runs of stages the answer's ledger keeps, for meters: about two a token, and some for each picture.
  size_t stage_runs = 0;
  // Is told of the answer's stages while it is made; may be null.
  StageObserver* stage_observer = nullptr;
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
  int64_t visual_tokens = 0;  // in the prompt, those that AskOptions::reduce took away not included
  int64_t completion_tokens = 0;  // the end token included if it was generated
  int64_t tiles = 0;  // pictures of the tower's input size that the prompt holds
  int64_t context_tokens = 0;  // how many tokens the context holds
  Ledger ledger;  // of this question; `load` and `decode_image` are the caller's
};

// What a loaded model is, for reports.
struct ModelInfo {
  std::string name;  // EngineOptions::name, or that of the folder or file
  std::string family;  // "smolvlm", or "llama": a decoder without vision
  std::string device;  // "cpu", "cuda:0 (NVIDIA H100 80GB HBM3)"
  std::string pci_bus_id;  // of a GPU: what its meters know it by
  std::string isa;  // "avx512", ...
  std::string precision;  // "exact", "float32" (reference), "int8", ... or "int8,q8_0": tower and decoder; of GGUF
                          // files as they are, their types: "F16,Q8_0"
  int threads = 0;
  int64_t parameters = 0;
  int64_t context_tokens = 0;
  int64_t vocabulary = 0;
  bool has_vision = true;  // false: no pictures, no clips
  std::vector<std::string> notes;  // what is odd about the files and what was done about it, in words
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
  // AskOptions::detail; frames of clips are one view each. Faster, and not quite the reference's pixels:
  // docs/deviations.md.
  virtual DecodeOptions ScaledDecoding(const PictureDetail& detail) const = 0;
  // Options for LoadVideo: this model's rate and most frames, and a `prepare` that turns each frame into the tile that
  // the model sees as soon as it is decoded, so that a clip takes memory for its tiles alone. May outlive the engine.
  virtual VideoOptions VideoDefaults() const = 0;
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

  // The most frames, up to `most`, that a clip of `duration_s` seconds may have, asked about with `question` in the
  // next Ask(), so that it fits into the context and leaves room for options.max_tokens of answer, or for one if the
  // context is smaller than that. 0: not even one frame fits. Errors: as those of Ask() about the conversation.
  virtual Result<int> FramesThatFit(double duration_s, int most, std::string_view question,
                                    const AskOptions& options = {}) const = 0;

  virtual const std::vector<Message>& messages() const = 0;
  // Forgets all messages but the system message.
  virtual void Reset() = 0;
};

}  // namespace eyeshot

#endif  // EYESHOT_ENGINE_H_
