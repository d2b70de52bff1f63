#include "cli/loaded_model.h"

#include <utility>

#include "base/error.h"
#include "models/model_source.h"

namespace eyeshot::cli {

Result<LoadedModel> LoadBelowEngine(const ModelFlags& flags, const std::string& device) {
  EYESHOT_ASSIGN_OR_RETURN(const FoundModel found, FindModel(flags.model));
  LoadedModel loaded;
  EYESHOT_ASSIGN_OR_RETURN(loaded.backend, CreateBackend({.name = flags.backend,
                                                          .device = device,
                                                          .threads = flags.threads,
                                                          .gpu_memory = static_cast<size_t>(flags.gpu_memory)}));
  EYESHOT_ASSIGN_OR_RETURN(ModelSource source, ModelSource::Open(LocationOf(flags, found.dir)));
  ModelOptions options;
  EYESHOT_ASSIGN_OR_RETURN(options.precision, ChoosePrecision(source, flags.precision, *loaded.backend));
  Ledger ledger;
  EYESHOT_ASSIGN_OR_RETURN(loaded.model, LoadModel(std::move(source), options, *loaded.backend, ledger));
  return loaded;
}

}  // namespace eyeshot::cli
