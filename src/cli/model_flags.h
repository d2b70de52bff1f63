// The flags that name a model and the machine it runs on, and how the model is found and loaded.
#ifndef EYESHOT_CLI_MODEL_FLAGS_H_
#define EYESHOT_CLI_MODEL_FLAGS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "eyeshot/engine.h"
#include "formats/processor_config.h"
#include "models/model.h"

namespace CLI {
class App;
}

namespace eyeshot::cli {

struct ModelFlags {
  std::string model;  // empty: $EYESHOT_MODEL or the built-in model
  std::string mmproj;  // of a GGUF model; empty: the one beside it
  bool hf_defaults = false;
  std::string device = "auto";
  uint64_t gpu_memory = 0;  // bytes; 0: all
  std::string backend = "auto";
  std::string precision;  // empty: as the files are
  std::string kv_cache = "f16";
  bool pillow13 = false;
  int frame_edge = 0;  // 0: the reference's
  int threads = 0;
  int decode_threads = 0;
  int64_t context = 0;
  bool gpu_readings = true;  // no flag: of commands that read meters themselves
};

// --model alone.
void AddModelFlag(CLI::App& command, ModelFlags& flags);
// --model, --mmproj, --hf-defaults, --device, --gpu-memory, --backend, --precision, --threads, --context.
void AddModelFlags(CLI::App& command, ModelFlags& flags);

// Where a found model is, with the flags that say so.
ModelLocation LocationOf(const ModelFlags& flags, const std::string& path);

// How the model there cuts pictures; reads no more than it must. Errors: kUnsupported (a model without vision).
Result<ImageProcessorConfig> ProcessorOf(const ModelFlags& flags, const std::string& path);

// What a model's files say of tokens and prompts; a folder may have processor files alone.
struct PromptParts {
  std::optional<ModelConfig> config;   // where there is one
  std::optional<PromptFormat> format;  // where there is a tokenizer
  int64_t tokens_per_tile = 0;         // 0: no file says
};
Result<PromptParts> ReadPromptParts(const ModelFlags& flags, const std::string& path,
                                    const ImageProcessorConfig& processing);

struct FoundModel {
  std::string dir;
  bool built_in = false;
  std::string name;  // "ORG/NAME" of a model of the hub; empty: the folder's name will do
};

// The folder of the model: `asked`, else $EYESHOT_MODEL, else the built-in model. What is no folder but has the form of
// a hub's name, ORG/NAME or ORG/NAME@REVISION, is looked for in the cache that `eyeshot pull` fills. Errors: kNotFound,
// naming what was looked for.
Result<FoundModel> FindModel(const std::string& asked);

// The built-in model, which is looked for beside the program (PREFIX/share/eyeshot/models for PREFIX/bin) and then in
// the folders above it (a source tree). Error: kNotFound.
Result<FoundModel> FindBuiltIn();

// The known model whose name is nearest to a misspelled one; empty: none is near.
std::string NearestKnownModel(const std::string& id);

// Loads it, with progress. With `chatty`, the built-in model's limits are told on a terminal.
Result<std::shared_ptr<Engine>> LoadEngine(const ModelFlags& flags, bool chatty);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_MODEL_FLAGS_H_
