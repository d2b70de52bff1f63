// The input is a file of a batch: each of its lines is read as a request and as an answer. What is accepted stays
// within its limits, and an answer that is written is read again as it was.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/limits.h"
#include "server/batch_lines.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace eyeshot::server;  // NOLINT(google-build-using-namespace)
  std::string_view text(reinterpret_cast<const char*>(data), size);
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(line.size() < text.size() ? line.size() + 1 : text.size());
    (void)ParseBatchAnswer(line, "answers.jsonl:1").ok();
    const auto request = ParseBatchRequest(line, "requests.jsonl:1");
    if (!request.ok()) continue;
    EYESHOT_CHECK(!request->custom_id.empty() && request->custom_id.size() <= eyeshot::limits::kMaxCustomIdBytes);
    EYESHOT_CHECK(request->body.is_object());
    const uint64_t digest = DigestOf(*request, "settings");
    const std::string written = BatchAnswerLine(request->custom_id, digest, 200, request->body.dump());
    EYESHOT_CHECK(written.find('\n') == written.size() - 1);
    const auto answer = ParseBatchAnswer(written, "answers.jsonl:1");
    EYESHOT_CHECK(answer.ok() && answer->custom_id == request->custom_id);
    EYESHOT_CHECK(answer->digest == digest && answer->status == 200);
  }
  return 0;
}
