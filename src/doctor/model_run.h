// One picture and one question through a model, with what lies between the steps kept.
#ifndef EYESHOT_DOCTOR_MODEL_RUN_H_
#define EYESHOT_DOCTOR_MODEL_RUN_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "eyeshot/media.h"
#include "eyeshot/status.h"
#include "models/model.h"

namespace eyeshot {

// Which rows to keep; each list is in ascending order.
struct WantedRows {
  std::vector<int64_t> tower;      // of [patches of all tiles, width]
  std::vector<int64_t> connector;  // of [visual tokens, hidden]
  std::vector<int64_t> logits;     // positions of the prompt
};

struct RunOutputs {
  std::vector<int32_t> ids;                   // of the prompt
  int64_t tower_rows = 0, connector_rows = 0;  // that there were
  std::vector<std::vector<float>> tower, connector, logits;  // those that were wanted and are there
  std::vector<std::vector<float>> answer;  // logits before each of the tokens that were given
};

// Runs the prompt, then is led along `answer`, token by token. Errors: those of encoding and decoding, kContextFull.
Result<RunOutputs> RunModel(VisionLanguageModel& model, std::shared_ptr<const Image> picture,
                            const std::string& question, bool split, const WantedRows& wanted,
                            std::span<const int32_t> answer);

}  // namespace eyeshot

#endif  // EYESHOT_DOCTOR_MODEL_RUN_H_
