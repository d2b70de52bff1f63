// The input is a file of measured stages, as in data/measured. What is accepted has finite joules above zero.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "energy/simulator/measured.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto measured = eyeshot::simulator::ParseMeasured({reinterpret_cast<const char*>(data), size}, "measured.json");
  if (!measured.ok()) return 0;
  for (const auto& row : measured->rows) {
    EYESHOT_CHECK(std::isfinite(row.joules()) && row.joules() > 0);
    EYESHOT_CHECK(measured->Find(row.model, {row.tiles, 0, row.text_tokens, row.output_tokens}) != nullptr);
  }
  return 0;
}
