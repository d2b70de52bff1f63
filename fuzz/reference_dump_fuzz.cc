// The input is dump.json of a reference dump, beside tensors of the shapes that tests/data/golden/doctor has.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/limits.h"
#include "doctor/reference_dump.h"

namespace {

std::vector<eyeshot::HostTensor> Tensors() {
  static const std::vector<uint8_t> zeros(1 << 16, 0);
  const auto tensor = [](const char* name, eyeshot::DType dtype, int64_t rows, int64_t columns) {
    return eyeshot::HostTensor{name, dtype, {rows, columns}, zeros.data()};
  };
  return {tensor("0.tower", eyeshot::DType::kF32, 4, 8), tensor("0.connector", eyeshot::DType::kF32, 4, 8),
          tensor("0.logits", eyeshot::DType::kF32, 4, 64), tensor("0.tiles", eyeshot::DType::kU8, 5, 256)};
}

void CheckRows(const eyeshot::SampledRows& sampled) {
  EYESHOT_CHECK(sampled.values.size() == sampled.rows.size() * static_cast<size_t>(sampled.columns));
  for (size_t i = 1; i < sampled.rows.size(); ++i) EYESHOT_CHECK(sampled.rows[i - 1] < sampled.rows[i]);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::vector<eyeshot::HostTensor> tensors = Tensors();
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto dump = eyeshot::ParseReferenceDump(text, tensors, "dump.json");
  if (!dump.ok()) return 0;
  for (const eyeshot::ReferenceCase& one : dump->cases) {
    EYESHOT_CHECK(one.picture.find('/') == std::string::npos);
    EYESHOT_CHECK(static_cast<int64_t>(one.ids.size()) <= eyeshot::limits::kMaxContext);
    EYESHOT_CHECK(one.greedy.size() == one.greedy_gaps.size());
    CheckRows(one.tower);
    CheckRows(one.connector);
    CheckRows(one.logits);
  }
  return 0;
}
