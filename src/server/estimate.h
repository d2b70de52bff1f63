// What a question would take before it is asked: tiles, tokens, and milliseconds where a cost model knows them.
#ifndef EYESHOT_SERVER_ESTIMATE_H_
#define EYESHOT_SERVER_ESTIMATE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "eyeshot/engine.h"
#include "eyeshot/ledger.h"
#include "eyeshot/media.h"
#include "eyeshot/status.h"
#include "plan/question.h"
#include "server/request_plan.h"

namespace eyeshot::server {

// A video, by the frames that are taken of it.
struct EstimateClip {
  std::vector<double> timestamps_s;  // one a frame
  double duration_s = 0;
  int width = 0;  // of the file; 0: not said, and of no account but to be told again
  int height = 0;
};

// A message of the user, by the sizes of its pictures and the lengths of its videos.
struct EstimateRequest {
  std::vector<std::pair<int, int>> pictures;  // width, height
  std::vector<EstimateClip> clips;
  std::string text;
  AskOptions options;          // detail, reduce, question_first and max_tokens count
  std::optional<plan::QuestionLimit> limit;  // what it may cost
  int64_t earlier_tokens = 0;  // of the conversation before it
};

// What the cost model says of it, alone on this machine.
struct Prediction {
  Ledger ledger;  // of the stages up to the first token
  double token_ms = 0;  // of each further one
  std::string from;  // whose figures these are: "measured on 2026-11-26"
  std::vector<std::string> doubts;  // why they may not hold
};

struct Estimate {
  int64_t tiles = 0;
  int64_t visual_tokens = 0;
  int64_t prompt_tokens = 0;   // the earlier ones included
  int64_t answer_tokens = 0;   // that it may have: of max_tokens, what the context leaves
  int64_t context_tokens = 0;
  Ledger pictures;  // what each becomes
  std::optional<Prediction> prediction;
  std::string not_predicted;  // why there is none
  std::optional<PlannedRequest> planned;  // how it keeps to its budget
};

// Errors: as those of ParseChatRequest(). `defaults` are the options of a request that says nothing, `video` the
// model's (MediaNeeds::video): which frames are taken of a video where the request doesn't say.
Result<EstimateRequest> ParseEstimateRequest(std::string_view body, const AskOptions& defaults, int64_t context_tokens,
                                             const VideoOptions& video);

// {"tiles", "visual_tokens", "prompt_tokens", "answer_tokens", "context_tokens", "pictures", "predicted":
// {"first_token_ms", "token_ms", "stages", "from", "doubts"} or null, "not_predicted": a sentence or null}; with a
// budget that was planned also "budget": PlannedRequest::Json().
std::string EstimateBody(const Estimate& estimate);

}  // namespace eyeshot::server

#endif  // EYESHOT_SERVER_ESTIMATE_H_
