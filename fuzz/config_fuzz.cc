// The input is a configuration file: config.json, preprocessor_config.json, processor_config.json and
// generation_config.json in turn. What is accepted has sizes by which a program may divide.
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "formats/generation_config.h"
#include "formats/model_config.h"
#include "formats/processor_config.h"

namespace {

void CheckModel(const eyeshot::ModelConfig& config) {
  EYESHOT_CHECK(config.vision.head_dim() * config.vision.num_heads == config.vision.hidden_size);
  EYESHOT_CHECK(config.vision.patches_per_side() % config.scale_factor == 0);
  EYESHOT_CHECK(config.visual_tokens_per_tile() > 0);
  EYESHOT_CHECK(config.text.num_heads % config.text.num_kv_heads == 0);
  EYESHOT_CHECK(config.image_token_id >= 0 && config.image_token_id < config.text.vocab_size);
}

void CheckProcessor(const eyeshot::Result<eyeshot::ImageProcessorConfig>& config) {
  if (!config.ok()) return;
  EYESHOT_CHECK(config->longest_edge > 0 && config->max_image_edge > 0);
  for (const float deviation : config->std) EYESHOT_CHECK(deviation > 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto model = eyeshot::ParseModelConfig(text, "config.json");
  if (model.ok()) CheckModel(*model);
  CheckProcessor(eyeshot::ParseProcessorConfig(text, "", "dir"));
  CheckProcessor(eyeshot::ParseProcessorConfig("", text, "dir"));
  CheckProcessor(eyeshot::ParseProcessorConfig("{}", "", "dir", text));
  const auto generation = eyeshot::ParseGenerationConfig(text, text, "dir");
  if (generation.ok()) {
    for (const int32_t id : generation->eos_token_ids) EYESHOT_CHECK(id >= 0);
  }
  return 0;
}
