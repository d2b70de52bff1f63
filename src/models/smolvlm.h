// The SmolVLM family: Idefics3, SmolVLM, SmolVLM2, and models of the same architecture under other names.
#ifndef EYESHOT_MODELS_SMOLVLM_H_
#define EYESHOT_MODELS_SMOLVLM_H_

#include <memory>

#include "models/model.h"

namespace eyeshot {

Result<std::unique_ptr<VisionLanguageModel>> LoadSmolVlm(ModelSource source, const ModelOptions& options,
                                                         Backend& backend, Ledger& ledger);
MemoryPlan PlanSmolVlm(const ModelConfig& config, const Backend& backend, const ModelPrecision& precision,
                       int64_t context_tokens, int64_t tiles);

}  // namespace eyeshot

#endif  // EYESHOT_MODELS_SMOLVLM_H_
