// generation_config.json: where to stop, and how to sample when the caller does not say.
#ifndef EYESHOT_FORMATS_GENERATION_CONFIG_H_
#define EYESHOT_FORMATS_GENERATION_CONFIG_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "eyeshot/status.h"

namespace eyeshot {

struct GenerationConfig {
  std::vector<int32_t> eos_token_ids;  // a token of this list ends the answer; may be empty
  std::optional<int32_t> bos_token_id;
  std::optional<int32_t> pad_token_id;

  // Sampling, where the file has the key.
  std::optional<bool> do_sample;
  std::optional<double> temperature;
  std::optional<double> top_p;
  std::optional<double> min_p;
  std::optional<double> repetition_penalty;
  std::optional<int64_t> top_k;
  std::optional<int64_t> max_new_tokens;
};

// Reads `dir`/generation_config.json. Where the file or its eos and bos ids are absent, those of `dir`/config.json hold
// (its top level, then its text_config); both files may be absent. Errors: kCorrupt (a wrong type), kLimitExceeded.
Result<GenerationConfig> LoadGenerationConfig(const std::string& dir);

// The same for the contents of the two files; an empty text is an absent file.
Result<GenerationConfig> ParseGenerationConfig(const std::string& generation_config, const std::string& model_config,
                                               const std::string& dir);

}  // namespace eyeshot

#endif  // EYESHOT_FORMATS_GENERATION_CONFIG_H_
