// What an engine is made of, for what else runs its model: the scheduler.
#ifndef EYESHOT_RUNTIME_ENGINE_PARTS_H_
#define EYESHOT_RUNTIME_ENGINE_PARTS_H_

#include <cstdint>
#include <mutex>
#include <vector>

#include "base/threads.h"
#include "eyeshot/engine.h"
#include "models/model.h"

namespace eyeshot {

struct EngineParts {
  VisionLanguageModel* model = nullptr;
  ThreadPool* pool = nullptr;    // for preprocessing, by who has the turn
  std::mutex* turn = nullptr;    // held by who uses the model
  KvFormat kv_format = KvFormat::kHalf;
  int decode_threads = 0;
};
EngineParts PartsOf(Engine& engine);

// Errors: kInvalidArgument, naming the option.
Status CheckOptions(const AskOptions& options);

// The tokens that end an answer.
std::vector<int32_t> StopTokensOf(const VisionLanguageModel& model);

}  // namespace eyeshot

#endif  // EYESHOT_RUNTIME_ENGINE_PARTS_H_
