#include "kernels/few_rows.h"

#include <algorithm>
#include <vector>

#include "base/cpu.h"
#include "kernels/portable/dot.h"
#include "kernels/portable/kernels.h"

namespace eyeshot {

int64_t FewRows(const Backend& backend, WeightFormat format) {
  const bool is_exact = format == WeightFormat::kExact || format == WeightFormat::kFloat32;
  const Result<Isa> isa = ParseIsa(backend.info().isa);
  if (is_exact || backend.info().name != "portable" || !isa.ok()) return portable::kFewRows;
  if (format == WeightFormat::kBf16) {
    const bool has_bf16 = !portable::DotKernelsFor(portable::DotType::kBf16, *isa).empty();
    return has_bf16 ? portable::kFewRowsBesideBf16 : portable::kFewRows;
  }
  const std::vector<portable::DotKernel> kernels = portable::DotKernelsFor(portable::DotType::kInt8, *isa);
  const auto few = std::find_if(kernels.begin(), kernels.end(),
                                [](const portable::DotKernel& kernel) { return kernel.block_tile != nullptr; });
  return format == WeightFormat::kInt8 ? few->few_rows : few->few_block_rows;
}

}  // namespace eyeshot
