// How a model takes plain text: the likelihood of each token, and the most likely continuation. For comparisons with
// other engines and between precisions.
#ifndef EYESHOT_RUNTIME_TEXT_SCORES_H_
#define EYESHOT_RUNTIME_TEXT_SCORES_H_

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "eyeshot/status.h"
#include "models/model.h"

namespace eyeshot {

struct TextScore {
  int64_t tokens = 0;     // that were predicted
  double mean_loss = 0;   // negative log-likelihood of one, in nats
  double perplexity() const;
};

// The ids are cut into windows of `window` tokens, each read from an empty cache; every token but a window's first is
// predicted from those before it. on_progress (may be empty) gets the share that is done. Errors: kInvalidArgument
// (less than 2 ids, a window of less than 2 or more than the context), those of the backend.
Result<TextScore> ScoreText(const VisionLanguageModel& model, std::span<const int32_t> ids, int64_t window,
                            const std::function<void(double)>& on_progress);

struct Continuation {
  std::vector<int32_t> ids;  // the likeliest token, each time; the end token included
  std::vector<float> gaps;   // of each: its logit less the second largest
};

// Up to `max_tokens` tokens behind `prompt`, or to a token of `stops`. Errors: kInvalidArgument (no ids), kContextFull.
Result<Continuation> ContinueGreedily(const VisionLanguageModel& model, std::span<const int32_t> prompt,
                                      int64_t max_tokens, std::span<const int32_t> stops);

}  // namespace eyeshot

#endif  // EYESHOT_RUNTIME_TEXT_SCORES_H_
