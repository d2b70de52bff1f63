// Compiles the kernels once for each instruction set.
#include "kernels/portable/kernels.h"

#include "kernels/portable/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/portable/kernels.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h, which includes this file again for each target.
#include <algorithm>
#include <vector>

#include "hwy/highway.h"
#include "kernels/portable/attention-inl.h"
#include "kernels/portable/attention_dot-inl.h"
#include "kernels/portable/dot-inl.h"
#include "kernels/portable/elementwise-inl.h"
#include "kernels/portable/linear-inl.h"
#include "kernels/portable/paged_attention-inl.h"
#include "kernels/portable/paged_attention_dot-inl.h"

HWY_BEFORE_NAMESPACE();
namespace eyeshot::portable::HWY_NAMESPACE {

inline constexpr Kernels kKernels = {
    .max_rows = kMaxRows,
    .linear = &LinearTask,
    .round_row = &RoundRow,
    .dot_linear = &DotTask,
    .max_magnitudes = &MaxMagnitudes,
    .encode_attention = &EncodeAttentionTask,
    .encode_attention_dot = &EncodeAttentionDotTask,
    .paged_attention = &PagedAttentionTask,
    .paged_attention_dot = &PagedAttentionDotTask,
    .merge_attention = &MergeAttention,
    .rotary_store = &RotaryStoreToken,
    .layer_norm = &LayerNormRow,
    .rms_norm = &RmsNormRow,
};

}  // namespace eyeshot::portable::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace eyeshot::portable {

const Kernels* KernelsFor(Isa isa) {
  switch (isa) {
#if defined(__x86_64__)
    case Isa::kSse2: return __builtin_cpu_supports("ssse3") ? &N_SSSE3::kKernels : nullptr;
    case Isa::kAvx2: return __builtin_cpu_supports("f16c") ? &N_AVX2::kKernels : nullptr;
    case Isa::kAvx512:
    case Isa::kAmx: {  // whose tiles may be emulated, the rest not
      const std::vector<Isa>& isas = SupportedIsas();
      return std::find(isas.begin(), isas.end(), Isa::kAvx512) != isas.end() ? &N_AVX3::kKernels : nullptr;
    }
#elif defined(__aarch64__)
    case Isa::kNeon:
    case Isa::kDotprod:
    case Isa::kI8mm: return &N_NEON::kKernels;
#endif
    default: return nullptr;
  }
}

}  // namespace eyeshot::portable
#endif  // HWY_ONCE
