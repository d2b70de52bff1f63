// The input is the body of a request for a chat completion. What is accepted stays within its limits, and its data:
// URLs are decoded; as a request for an estimate, as base64 and as a data: URL the input is read too.
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <variant>

#include "base/base64.h"
#include "base/check.h"
#include "base/limits.h"
#include "server/data_url.h"
#include "server/estimate.h"
#include "server/protocol.h"
#include "server/replies.h"

namespace {

constexpr int64_t kContext = 8192;

void CheckRequest(const eyeshot::server::GenerationRequest& request, bool chat) {
  using eyeshot::server::MediaReference;
  EYESHOT_CHECK(request.messages.empty() != chat && request.messages.size() <= eyeshot::limits::kMaxTurns);
  EYESHOT_CHECK(request.prompts.empty() == chat && request.prompts.size() <= eyeshot::server::kMaxPrompts);
  EYESHOT_CHECK(request.options.max_tokens >= 1 && request.options.max_tokens <= kContext);
  EYESHOT_CHECK(request.options.stop.size() <= eyeshot::limits::kMaxStops);
  EYESHOT_CHECK(request.options.sampling.temperature >= 0 && request.options.sampling.top_p > 0);
  for (const auto& message : request.messages) {
    EYESHOT_CHECK(!message.parts.empty());
    for (const auto& part : message.parts) {
      const auto* const media = std::get_if<MediaReference>(&part);
      if (media == nullptr) continue;
      const auto url = eyeshot::server::ParseDataUrl(media->url);
      if (url.ok()) (void)eyeshot::server::DecodeData(*url).ok();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const bool chat : {true, false}) {
    const auto request = chat ? eyeshot::server::ParseChatRequest(text, {}, kContext)
                              : eyeshot::server::ParseCompletionRequest(text, {}, kContext);
    if (request.ok()) CheckRequest(*request, chat);
    if (!request.ok()) (void)eyeshot::server::ErrorReply(request.status(), eyeshot::server::RequestStep::kParse).status;
  }
  (void)eyeshot::server::ParseTokenizeRequest(text).ok();
  const auto estimate = eyeshot::server::ParseEstimateRequest(text, {}, kContext, {});
  if (estimate.ok()) {
    EYESHOT_CHECK(estimate->pictures.size() <= eyeshot::limits::kMaxImagesPerPrompt);
    EYESHOT_CHECK(estimate->options.max_tokens >= 1 && estimate->options.max_tokens <= kContext);
    EYESHOT_CHECK(estimate->earlier_tokens >= 0);
    for (const auto& [width, height] : estimate->pictures) EYESHOT_CHECK(width > 0 && height > 0);
  }
  const auto bytes = eyeshot::DecodeBase64(text);
  if (bytes.ok()) EYESHOT_CHECK(bytes->size() <= size / 4 * 3 + 3);
  const auto url = eyeshot::server::ParseDataUrl(text);
  if (url.ok()) (void)eyeshot::server::DecodeData(*url).ok();
  // Whatever text a model gives, an event is one line.
  const std::string event = eyeshot::server::TextEvent({.id = "chatcmpl-0"}, text);
  EYESHOT_CHECK(event.starts_with("data: {") && event.find('\n') == event.size() - 2 && event.ends_with("\n\n"));
  return 0;
}
