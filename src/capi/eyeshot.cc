// The C interface: C structs to C++ values and back. No exception leaves it.
#include "eyeshot/eyeshot.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "eyeshot/engine.h"
#include "ledger/stage.h"

struct eyeshot_engine {
  std::shared_ptr<eyeshot::Engine> engine;
};

struct eyeshot_chat {
  std::shared_ptr<eyeshot::Engine> engine;
  std::unique_ptr<eyeshot::Chat> chat;
};

namespace eyeshot {
namespace {

// An answer that owns what it points to.
struct OwnedAnswer : eyeshot_answer {
  std::string text_storage;
  std::string stages_storage;
};

static_assert(static_cast<int>(StatusCode::kBusy) == EYESHOT_BUSY, "the two enums have the same values");

// A copy that free() gives back; nullptr when there is no memory.
char* CopyText(std::string_view text) {
  auto* copy = static_cast<char*>(std::malloc(text.size() + 1));
  if (copy == nullptr) return nullptr;
  std::memcpy(copy, text.data(), text.size());
  copy[text.size()] = '\0';
  return copy;
}

// Runs `fn`, which returns a Status, and turns it or an exception into a code and a message.
template <typename Fn>
eyeshot_code Guard(char** error, const Fn& fn) noexcept {
  if (error != nullptr) *error = nullptr;
  Status status;
  try {
    status = fn();
    if (!status.ok() && error != nullptr) *error = CopyText(status.message());
    return static_cast<eyeshot_code>(status.code());
  } catch (const std::bad_alloc&) {
    if (error != nullptr) *error = CopyText("out of memory: close other programs or take a smaller model");
    return EYESHOT_OUT_OF_MEMORY;
  } catch (const std::exception& exception) {
    if (error != nullptr) *error = CopyText(exception.what());
    return EYESHOT_INVALID_ARGUMENT;
  }
}

Status NullError(std::string_view what) {
  return InvalidArgumentError(fmt::format("{} is NULL", what), "see eyeshot/eyeshot.h");
}

// The caller's options over the defaults; members that an older caller does not know keep theirs.
template <typename Options>
Status ReadOptions(const Options* given, Options& options) {
  if (given == nullptr) return Status::Ok();
  if (given->size < sizeof(given->size) || given->size > sizeof(Options)) {
    return InvalidArgumentError(
        fmt::format("an options struct says that it has {} bytes; this library knows {}", given->size, sizeof(Options)),
        "call its init function first, and use a library at least as new as the header");
  }
  std::memcpy(&options, given, given->size);
  return Status::Ok();
}

Result<Image> ReadImage(const eyeshot_image& image, size_t index, const DecodeOptions& decoding, Ledger& ledger) {
  Stage stage(ledger, StageId::kDecodeImage);
  if (image.path != nullptr) return LoadImage(image.path, decoding);
  if (image.data == nullptr) return NullError(fmt::format("path and data of picture {}", index));
  stage.AddBytes(image.data_size);
  return DecodeImage({static_cast<const uint8_t*>(image.data), image.data_size},
                     fmt::format("picture {} in memory", index), decoding);
}

Result<std::vector<ContentPart>> ReadParts(const eyeshot_image* images, size_t count, const DecodeOptions& decoding,
                                           double frames_fps, Ledger& ledger) {
  std::vector<Image> decoded;
  for (size_t i = 0; i < count; ++i) {
    EYESHOT_ASSIGN_OR_RETURN(Image image, ReadImage(images[i], i, decoding, ledger));
    decoded.push_back(std::move(image));
  }
  std::vector<ContentPart> parts;
  if (frames_fps > 0) {
    EYESHOT_ASSIGN_OR_RETURN(Frames clip, FramesFromImages(std::move(decoded), frames_fps));
    parts.emplace_back(std::make_shared<const Frames>(std::move(clip)));
  } else {
    for (Image& image : decoded) parts.emplace_back(std::make_shared<const Image>(std::move(image)));
  }
  return parts;
}

Result<AskOptions> ToAskOptions(const eyeshot_ask_options& c) {
  AskOptions options;
  options.max_tokens = c.max_tokens;
  options.sampling = {.temperature = c.temperature,
                      .top_k = c.top_k,
                      .top_p = c.top_p,
                      .min_p = c.min_p,
                      .repetition_penalty = c.repetition_penalty,
                      .seed = c.seed};
  if (c.detail != nullptr) {
    EYESHOT_ASSIGN_OR_RETURN(options.detail, ParsePictureDetail(c.detail));
  }
  if (c.reduce != nullptr) options.reduce = c.reduce;
  options.question_first = c.question_first != 0;
  if (c.stop == nullptr && c.stop_count > 0) return NullError("stop");
  for (size_t i = 0; i < c.stop_count; ++i) {
    if (c.stop[i] == nullptr) return NullError(fmt::format("stop[{}]", i));
    options.stop.emplace_back(c.stop[i]);
  }
  if (c.on_text != nullptr) {
    options.on_text = [c](std::string_view text) { return c.on_text(text.data(), text.size(), c.user) == 0; };
  }
  return options;
}

std::unique_ptr<OwnedAnswer> ToAnswer(Answer answer) {
  auto owned = std::make_unique<OwnedAnswer>();
  owned->text_storage = std::move(answer.text);
  owned->stages_storage = answer.ledger.Json();
  owned->text = owned->text_storage.c_str();
  owned->finish_reason = FinishReasonName(answer.finish_reason).data();  // a literal: ends with a zero byte
  owned->prompt_tokens = answer.prompt_tokens;
  owned->visual_tokens = answer.visual_tokens;
  owned->completion_tokens = answer.completion_tokens;
  owned->tiles = answer.tiles;
  owned->stages_json = owned->stages_storage.c_str();
  return owned;
}

Status AskChat(eyeshot_chat& chat, const eyeshot_image* images, size_t image_count, const char* question,
               const eyeshot_ask_options* given, eyeshot_answer** out) {
  eyeshot_ask_options c;
  eyeshot_ask_options_init(&c);
  EYESHOT_RETURN_IF_ERROR(ReadOptions(given, c));
  EYESHOT_ASSIGN_OR_RETURN(const AskOptions options, ToAskOptions(c));
  Ledger decoding;
  const PictureDetail detail = c.frames_fps > 0 ? PictureDetail{PictureDetail::Kind::kLow, 0} : options.detail;
  const DecodeOptions how = c.jpeg_scaling != 0 ? chat.engine->ScaledDecoding(detail) : DecodeOptions();
  EYESHOT_ASSIGN_OR_RETURN(std::vector<ContentPart> parts, ReadParts(images, image_count, how, c.frames_fps, decoding));
  parts.emplace_back(std::string(question));
  EYESHOT_ASSIGN_OR_RETURN(Answer answer, chat.chat->Ask(std::move(parts), options));
  answer.ledger.Add(decoding);
  *out = ToAnswer(std::move(answer)).release();
  return Status::Ok();
}

}  // namespace
}  // namespace eyeshot

using eyeshot::NullError;
using eyeshot::Status;

const char* eyeshot_version(void) { return EYESHOT_VERSION; }

const char* eyeshot_code_name(eyeshot_code code) {
  if (code < EYESHOT_OK || code > EYESHOT_BUSY) return "unknown";
  return eyeshot::StatusCodeName(static_cast<eyeshot::StatusCode>(code)).data();
}

void eyeshot_engine_options_init(eyeshot_engine_options* options) {
  *options = {};
  options->size = sizeof(*options);
  options->backend = "auto";
}

void eyeshot_ask_options_init(eyeshot_ask_options* options) {
  const eyeshot::AskOptions defaults;
  *options = {};
  options->size = sizeof(*options);
  options->max_tokens = defaults.max_tokens;
  options->top_p = defaults.sampling.top_p;
  options->repetition_penalty = defaults.sampling.repetition_penalty;
}

eyeshot_code eyeshot_load(const char* model, const eyeshot_engine_options* options, eyeshot_engine** engine,
                          char** error) {
  return eyeshot::Guard(error, [&]() -> Status {
    if (engine == nullptr) return NullError("engine");
    *engine = nullptr;
    if (model == nullptr) return NullError("model");
    eyeshot_engine_options c;
    eyeshot_engine_options_init(&c);
    EYESHOT_RETURN_IF_ERROR(eyeshot::ReadOptions(options, c));
    eyeshot::EngineOptions load{.model = model, .threads = c.threads, .context_tokens = c.context_tokens};
    if (c.backend != nullptr) load.backend = c.backend;
    if (c.precision != nullptr) load.precision = c.precision;
    if (c.kv_cache != nullptr) load.kv_cache = c.kv_cache;
    if (c.mmproj != nullptr) load.mmproj = c.mmproj;
    load.hf_defaults = c.hf_defaults != 0;
    if (c.device != nullptr) load.device = c.device;
    load.gpu_memory = c.gpu_memory;
    EYESHOT_ASSIGN_OR_RETURN(std::shared_ptr<eyeshot::Engine> loaded, eyeshot::Engine::Load(load));
    *engine = new eyeshot_engine{std::move(loaded)};
    return Status::Ok();
  });
}

eyeshot_code eyeshot_new_chat(eyeshot_engine* engine, const char* system, eyeshot_chat** chat, char** error) {
  return eyeshot::Guard(error, [&]() -> Status {
    if (chat == nullptr) return NullError("chat");
    *chat = nullptr;
    if (engine == nullptr) return NullError("engine");
    EYESHOT_ASSIGN_OR_RETURN(std::unique_ptr<eyeshot::Chat> begun,
                             engine->engine->NewChat(system == nullptr ? "" : system));
    *chat = new eyeshot_chat{engine->engine, std::move(begun)};
    return Status::Ok();
  });
}

eyeshot_code eyeshot_ask(eyeshot_chat* chat, const eyeshot_image* images, size_t image_count, const char* question,
                         const eyeshot_ask_options* options, eyeshot_answer** answer, char** error) {
  return eyeshot::Guard(error, [&]() -> Status {
    if (answer == nullptr) return NullError("answer");
    *answer = nullptr;
    if (chat == nullptr) return NullError("chat");
    if (question == nullptr) return NullError("question");
    if (images == nullptr && image_count > 0) return NullError("images");
    return eyeshot::AskChat(*chat, images, image_count, question, options, answer);
  });
}

void eyeshot_chat_reset(eyeshot_chat* chat) {
  if (chat != nullptr) chat->chat->Reset();
}

void eyeshot_engine_free(eyeshot_engine* engine) { delete engine; }
void eyeshot_chat_free(eyeshot_chat* chat) { delete chat; }
void eyeshot_answer_free(eyeshot_answer* answer) { delete static_cast<eyeshot::OwnedAnswer*>(answer); }
void eyeshot_string_free(char* text) { std::free(text); }
