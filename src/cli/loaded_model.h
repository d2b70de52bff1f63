// A model for commands that look below the engine.
#ifndef EYESHOT_CLI_LOADED_MODEL_H_
#define EYESHOT_CLI_LOADED_MODEL_H_

#include <memory>
#include <string>

#include "cli/model_flags.h"
#include "models/model.h"

namespace eyeshot::cli {

struct LoadedModel {
  std::unique_ptr<Backend> backend;
  std::unique_ptr<VisionLanguageModel> model;
};

// The model of the flags on `device` ("auto", "cpu", "cuda:0").
Result<LoadedModel> LoadBelowEngine(const ModelFlags& flags, const std::string& device);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_LOADED_MODEL_H_
