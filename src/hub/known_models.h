// Models that are known to run, for people who look for one.
#ifndef EYESHOT_HUB_KNOWN_MODELS_H_
#define EYESHOT_HUB_KNOWN_MODELS_H_

#include <cstdint>
#include <span>
#include <string_view>

namespace eyeshot {

struct KnownModel {
  std::string_view id;
  std::string_view licence;    // as the model's card has it
  int64_t parameters;
  int64_t bytes_a_parameter;   // as published: 2 (bf16) or 4 (float32)
  std::string_view what_for;

  // About what a pull takes; tokenizer and configuration add 4 to 8 MB.
  uint64_t download_bytes() const { return static_cast<uint64_t>(parameters * bytes_a_parameter); }
};

// Smallest first within a kind.
std::span<const KnownModel> KnownModels();

}  // namespace eyeshot

#endif  // EYESHOT_HUB_KNOWN_MODELS_H_
