// What can be said about a model's files without a reference.
#ifndef EYESHOT_DOCTOR_MODEL_CHECK_H_
#define EYESHOT_DOCTOR_MODEL_CHECK_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "doctor/doctor.h"
#include "models/model.h"
#include "models/model_source.h"

namespace eyeshot {

// Those parts of a model that its files give, each on its own.
struct ModelParts {
  std::optional<ModelConfig> config;
  std::optional<ImageProcessorConfig> processing;
  std::optional<Tokenizer> tokenizer;
  std::optional<PromptFormat> format;
  std::unique_ptr<VisionLanguageModel> model;  // null: it can't be loaded
};

// Looks at each file of a model and loads it. `source`: if it could be opened. `pillow13_order`: see
// ImageProcessorConfig.
ModelParts CheckModel(const ModelLocation& location, const Result<ModelSource>& source, const ModelPrecision& precision,
                      bool pillow13_order, Backend& backend, std::vector<Examination>& examinations);

// A picture, a question and a few tokens: whether all logits are finite.
Examination CheckRun(VisionLanguageModel& model);

}  // namespace eyeshot

#endif  // EYESHOT_DOCTOR_MODEL_CHECK_H_
