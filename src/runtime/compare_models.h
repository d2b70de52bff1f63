// How far one model's arithmetic is from another's, on pictures and a question.
#ifndef EYESHOT_RUNTIME_COMPARE_MODELS_H_
#define EYESHOT_RUNTIME_COMPARE_MODELS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "eyeshot/media.h"
#include "eyeshot/status.h"
#include "models/model.h"

namespace eyeshot {

struct ModelComparison {
  int64_t visual_tokens = 0;
  double visual_cosine = 1;        // of all visual tokens together
  double worst_visual_cosine = 1;  // of one
  int64_t positions = 0;           // of answers, where the next token was compared
  int64_t same_best = 0;           // whose most probable token is the same
  double mean_divergence = 0;      // Kullback-Leibler, of the other model's next token from the reference's, in nats
};

// Asks both the question about each picture, taken as one tile; the answers are the reference's (greedy, up to
// `max_tokens`), and `other` is led along them. The models must be of one folder. on_progress may be empty. Errors:
// those of encoding and decoding.
Result<ModelComparison> CompareModels(VisionLanguageModel& reference, VisionLanguageModel& other,
                                      std::span<const std::shared_ptr<const Image>> pictures,
                                      const std::string& question, int64_t max_tokens,
                                      const std::function<void(double)>& on_progress);

}  // namespace eyeshot

#endif  // EYESHOT_RUNTIME_COMPARE_MODELS_H_
