// A decoder alone: SmolLM2 and other Llamas of its kind, which read text and no pictures.
#ifndef EYESHOT_MODELS_TEXT_MODEL_H_
#define EYESHOT_MODELS_TEXT_MODEL_H_

#include <memory>

#include "models/model.h"

namespace eyeshot {

Result<std::unique_ptr<VisionLanguageModel>> LoadTextModel(ModelSource source, const ModelOptions& options,
                                                           Backend& backend, Ledger& ledger);
// The decoder's part of any model.
MemoryPlan PlanTextModel(const ModelConfig& config, const Backend& backend, const ModelPrecision& precision,
                         int64_t context_tokens, int64_t tiles);

}  // namespace eyeshot

#endif  // EYESHOT_MODELS_TEXT_MODEL_H_
