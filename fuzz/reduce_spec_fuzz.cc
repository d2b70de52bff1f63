// Any text as --reduce takes it: what is understood keeps between nothing and everything, and has a name that says the
// same again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "reduce/reduce_spec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr int64_t kTokens = 64;
  const auto spec = eyeshot::ParseReduceSpec({reinterpret_cast<const char*>(data), size});
  if (!spec.ok()) return 0;
  const auto again = eyeshot::ParseReduceSpec(eyeshot::ReduceSpecName(*spec));
  if (!again.ok() || *again != *spec) std::abort();
  const auto tokens = eyeshot::TokensOfTiles(*spec, 3, false, kTokens);
  if (!tokens.ok()) return 0;
  for (const int64_t kept : *tokens) {
    if (kept < 0 || kept > kTokens) std::abort();
  }
  return 0;
}
