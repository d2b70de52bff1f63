#include <utility>

#include "base/error.h"
#include "models/model.h"
#include "models/model_source.h"
#include "models/smolvlm.h"
#include "models/text_model.h"

namespace eyeshot {

const std::vector<ModelFamily>& ModelFamilies() {
  static const std::vector<ModelFamily> families = {
      {"smolvlm", {"smolvlm", "idefics3"}, &LoadSmolVlm, &PlanSmolVlm},
      {"llama", {"llama"}, &LoadTextModel, &PlanTextModel},
  };
  return families;
}

Result<const ModelFamily*> FindModelFamily(std::string_view model_type) {
  std::string known;
  for (const ModelFamily& family : ModelFamilies()) {
    for (std::string_view type : family.model_types) {
      if (type == model_type) return &family;
      known += fmt::format("{}{}", known.empty() ? "" : ", ", type);
    }
  }
  return UnsupportedError(fmt::format("config.json: model_type is '{}'", model_type),
                          "models of these types can be run: " + known);
}

Result<std::unique_ptr<VisionLanguageModel>> LoadModel(const ModelOptions& options, Backend& backend, Ledger& ledger) {
  EYESHOT_ASSIGN_OR_RETURN(ModelSource source, ModelSource::Open(options.model));
  return LoadModel(std::move(source), options, backend, ledger);
}

Result<std::unique_ptr<VisionLanguageModel>> LoadModel(ModelSource source, const ModelOptions& options,
                                                       Backend& backend, Ledger& ledger) {
  EYESHOT_ASSIGN_OR_RETURN(const ModelFamily* family, FindModelFamily(source.config().model_type));
  return family->load(std::move(source), options, backend, ledger);
}

}  // namespace eyeshot
