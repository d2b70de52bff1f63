// x86: vpdpbusd multiplies unsigned by signed bytes and adds four neighbours to a 32-bit lane, without saturation. With
// 512 bits 12 rows of two vectors are 24 sums on their way and leave registers for two vectors of weights and one of
// activations. Without it (AVX2 before VNNI, SSSE3) bytes are widened to 16 bits for pmaddwd: its products of 255 * 128
// cannot overflow. vdpbf16ps adds products of two neighbours; it treats subnormals as zero.
//
// aarch64: sdot takes signed bytes on both sides, so the weights' 128 is flipped away; usdot takes them as they are.
#include "hwy/base.h"
#include "kernels/portable/dot.h"
#include "tensor/dtype.h"

#if defined(__x86_64__)
#if !defined(__clang__)
// GCC 12 warns of its own intrinsics: they begin with an undefined vector by design (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include "kernels/x86/amx.h"
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include <cstring>
#include <type_traits>

namespace eyeshot::portable {
namespace {

inline int32_t LoadGroup(const uint8_t* a) {
  int32_t group;
  std::memcpy(&group, a, sizeof(group));
  return group;
}

}  // namespace
}  // namespace eyeshot::portable

#if defined(__x86_64__)

// ------------------------------------------------------------------------------------------------------- 512 bits

#define EYESHOT_AVX512 "avx,avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq"

HWY_PUSH_ATTRIBUTES(EYESHOT_AVX512 ",avx512vnni")
namespace eyeshot::portable {
namespace avx512_vnni {

struct Ops {
  using Bytes = __m512i;
  using Acc = __m512i;
  using Floats = __m512;
  using Sum = int32_t;
  static constexpr int kBytes = 64;
  static constexpr int kVectors = 2;
  static constexpr int kMaxRows = 12;
  static constexpr int kOffset = 128;
  static constexpr int kRowGroupBytes = 4;
  static Acc Zero() { return _mm512_setzero_si512(); }
  static Bytes Load(const uint8_t* p) { return _mm512_loadu_si512(p); }
  static Bytes Broadcast(const uint8_t* a) { return _mm512_set1_epi32(LoadGroup(a)); }
  static Acc Dot(Acc acc, Bytes w, Bytes x) { return _mm512_dpbusd_epi32(acc, w, x); }
  static Acc Add(Acc a, Acc b) { return _mm512_add_epi32(a, b); }
  static void Store(Acc acc, int32_t* p) { _mm512_storeu_si512(p, acc); }

  static Acc Negative(int32_t x) { return _mm512_set1_epi32(-x); }
  static Bytes LoadTable(const uint8_t* p) {
    return _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static Bytes Lookup(Bytes table, Bytes codes) { return _mm512_shuffle_epi8(table, codes); }
  static Bytes LowHalves(Bytes x) { return _mm512_and_si512(x, _mm512_set1_epi8(15)); }
  static Bytes HighHalves(Bytes x) { return LowHalves(_mm512_srli_epi16(x, 4)); }
  static Floats ZeroFloats() { return _mm512_setzero_ps(); }
  static Floats LoadHalves(const uint8_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static Floats ToFloats(Acc acc) { return _mm512_cvtepi32_ps(acc); }
  static Floats MulAdd(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
  static void StoreFloats(Floats x, float* p) { _mm512_storeu_ps(p, x); }
};

#include "kernels/portable/dot_tiles.inc"

}  // namespace avx512_vnni
}  // namespace eyeshot::portable
HWY_POP_ATTRIBUTES

HWY_PUSH_ATTRIBUTES(EYESHOT_AVX512 ",avx512bf16")
namespace eyeshot::portable {
namespace avx512_bf16 {

struct Ops {
  using Bytes = __m512i;
  using Acc = __m512;
  using Sum = float;
  static constexpr int kBytes = 64;
  static constexpr int kVectors = 2;
  static constexpr int kMaxRows = 12;
  static constexpr int kOffset = 0;
  static constexpr int kRowGroupBytes = 4;
  static Acc Zero() { return _mm512_setzero_ps(); }
  static Bytes Load(const uint8_t* p) { return _mm512_loadu_si512(p); }
  static Bytes Broadcast(const uint8_t* a) { return _mm512_set1_epi32(LoadGroup(a)); }
  static Acc Dot(Acc acc, Bytes w, Bytes x) { return _mm512_dpbf16_ps(acc, Pairs(w), Pairs(x)); }
  static Acc Add(Acc a, Acc b) { return _mm512_add_ps(a, b); }
  static void Store(Acc acc, float* p) { _mm512_storeu_ps(p, acc); }

 private:
  static __m512bh Pairs(Bytes x) { return reinterpret_cast<__m512bh&>(x); }
};

#include "kernels/portable/dot_tiles.inc"

}  // namespace avx512_bf16
}  // namespace eyeshot::portable
HWY_POP_ATTRIBUTES

// ------------------------------------------------------------------------------------------------------- 256 bits

#define EYESHOT_AVX2 "avx,avx2,fma,f16c"

HWY_PUSH_ATTRIBUTES(EYESHOT_AVX2)
namespace eyeshot::portable {
namespace avx2 {

// Everything but the dot product, which AVX-VNNI has too.
struct BaseOps {
  using Bytes = __m256i;
  using Acc = __m256i;
  using Floats = __m256;
  using Sum = int32_t;
  static constexpr int kBytes = 32;
  static constexpr int kOffset = 128;
  static Acc Zero() { return _mm256_setzero_si256(); }
  static Bytes Load(const uint8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
  static Acc Add(Acc a, Acc b) { return _mm256_add_epi32(a, b); }
  static void Store(Acc acc, int32_t* p) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), acc); }

  static Acc Negative(int32_t x) { return _mm256_set1_epi32(-x); }
  static Bytes LoadTable(const uint8_t* p) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static Bytes Lookup(Bytes table, Bytes codes) { return _mm256_shuffle_epi8(table, codes); }
  static Bytes LowHalves(Bytes x) { return _mm256_and_si256(x, _mm256_set1_epi8(15)); }
  static Bytes HighHalves(Bytes x) { return LowHalves(_mm256_srli_epi16(x, 4)); }
  static Floats ZeroFloats() { return _mm256_setzero_ps(); }
  static Floats LoadHalves(const uint8_t* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static Floats ToFloats(Acc acc) { return _mm256_cvtepi32_ps(acc); }
  static Floats MulAdd(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
  static void StoreFloats(Floats x, float* p) { _mm256_storeu_ps(p, x); }
};

// Bytes (0, 2) and (1, 3) of each group become two vectors of 16-bit pairs. Those of rows were widened when they were
// rounded: here it would take as long as the products.
struct Ops : BaseOps {
  static constexpr int kVectors = 2;
  static constexpr int kMaxRows = 4;
  static constexpr int kRowGroupBytes = 8;
  struct Row {
    __m256i even;
    __m256i odd;
  };
  static Row Broadcast(const uint8_t* a) {
    return {_mm256_set1_epi32(LoadGroup(a)), _mm256_set1_epi32(LoadGroup(a + 4))};
  }
  static Acc Dot(Acc acc, Bytes w, Row x) {
    const __m256i even = _mm256_and_si256(w, _mm256_set1_epi16(0x00ff));
    const __m256i odd = _mm256_srli_epi16(w, 8);
    acc = _mm256_add_epi32(acc, _mm256_madd_epi16(even, x.even));
    return _mm256_add_epi32(acc, _mm256_madd_epi16(odd, x.odd));
  }
};

#include "kernels/portable/dot_tiles.inc"

}  // namespace avx2
}  // namespace eyeshot::portable
HWY_POP_ATTRIBUTES

HWY_PUSH_ATTRIBUTES(EYESHOT_AVX2 ",avxvnni")
namespace eyeshot::portable {
namespace avx_vnni {

struct Ops : avx2::BaseOps {
  static constexpr int kVectors = 2;
  static constexpr int kMaxRows = 6;
  static constexpr int kRowGroupBytes = 4;
  static Bytes Broadcast(const uint8_t* a) { return _mm256_set1_epi32(LoadGroup(a)); }
  static Acc Dot(Acc acc, Bytes w, Bytes x) { return _mm256_dpbusd_avx_epi32(acc, w, x); }
};

#include "kernels/portable/dot_tiles.inc"

}  // namespace avx_vnni
}  // namespace eyeshot::portable
HWY_POP_ATTRIBUTES

// ------------------------------------------------------------------------------------------------------- 128 bits

HWY_PUSH_ATTRIBUTES("sse2,ssse3")
namespace eyeshot::portable {
namespace ssse3 {

struct Ops {
  using Bytes = __m128i;
  using Acc = __m128i;
  using Floats = __m128;
  using Sum = int32_t;
  static constexpr int kBytes = 16;
  static constexpr int kVectors = 1;
  static constexpr int kMaxRows = 8;
  static constexpr int kOffset = 128;
  static constexpr int kRowGroupBytes = 8;  // as in avx2::Ops
  struct Row {
    __m128i even;
    __m128i odd;
  };
  static Acc Zero() { return _mm_setzero_si128(); }
  static Bytes Load(const uint8_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
  static Row Broadcast(const uint8_t* a) { return {_mm_set1_epi32(LoadGroup(a)), _mm_set1_epi32(LoadGroup(a + 4))}; }
  static Acc Dot(Acc acc, Bytes w, Row x) {
    const __m128i even = _mm_and_si128(w, _mm_set1_epi16(0x00ff));
    const __m128i odd = _mm_srli_epi16(w, 8);
    acc = _mm_add_epi32(acc, _mm_madd_epi16(even, x.even));
    return _mm_add_epi32(acc, _mm_madd_epi16(odd, x.odd));
  }
  static Acc Add(Acc a, Acc b) { return _mm_add_epi32(a, b); }
  static void Store(Acc acc, int32_t* p) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), acc); }

  static Acc Negative(int32_t x) { return _mm_set1_epi32(-x); }
  static Bytes LoadTable(const uint8_t* p) { return Load(p); }
  static Bytes Lookup(Bytes table, Bytes codes) { return _mm_shuffle_epi8(table, codes); }
  static Bytes LowHalves(Bytes x) { return _mm_and_si128(x, _mm_set1_epi8(15)); }
  static Bytes HighHalves(Bytes x) { return LowHalves(_mm_srli_epi16(x, 4)); }
  static Floats ZeroFloats() { return _mm_setzero_ps(); }
  static Floats LoadHalves(const uint8_t* p) {
    uint16_t bits[4];
    std::memcpy(bits, p, sizeof(bits));
    return _mm_setr_ps(F32FromF16(bits[0]), F32FromF16(bits[1]), F32FromF16(bits[2]), F32FromF16(bits[3]));
  }
  static Floats ToFloats(Acc acc) { return _mm_cvtepi32_ps(acc); }
  static Floats MulAdd(Floats a, Floats b, Floats c) { return _mm_add_ps(_mm_mul_ps(a, b), c); }
  static void StoreFloats(Floats x, float* p) { _mm_storeu_ps(p, x); }
};

#include "kernels/portable/dot_tiles.inc"

}  // namespace ssse3
}  // namespace eyeshot::portable
HWY_POP_ATTRIBUTES

#elif defined(__aarch64__)

namespace eyeshot::portable {
namespace neon {

// Everything but the dot product, which the extensions have too.
struct BaseOps {
  using Bytes = uint8x16_t;
  using Acc = int32x4_t;
  using Floats = float32x4_t;
  using Sum = int32_t;
  static constexpr int kBytes = 16;
  static constexpr int kRowGroupBytes = 4;
  static Acc Zero() { return vdupq_n_s32(0); }
  static Bytes Load(const uint8_t* p) { return vld1q_u8(p); }
  static int8x16_t Broadcast(const uint8_t* a) { return vreinterpretq_s8_s32(vdupq_n_s32(LoadGroup(a))); }
  static Acc Add(Acc a, Acc b) { return vaddq_s32(a, b); }
  static void Store(Acc acc, int32_t* p) { vst1q_s32(p, acc); }

  static Acc Negative(int32_t x) { return vdupq_n_s32(-x); }
  static Bytes LoadTable(const uint8_t* p) { return vld1q_u8(p); }
  static Bytes Lookup(Bytes table, Bytes codes) { return vqtbl1q_u8(table, codes); }
  static Bytes LowHalves(Bytes x) { return vandq_u8(x, vdupq_n_u8(15)); }
  static Bytes HighHalves(Bytes x) { return vshrq_n_u8(x, 4); }
  static Floats ZeroFloats() { return vdupq_n_f32(0); }
  static Floats LoadHalves(const uint8_t* p) {
    uint16x4_t bits;
    std::memcpy(&bits, p, sizeof(bits));
    return vcvt_f32_f16(vreinterpret_f16_u16(bits));
  }
  static Floats ToFloats(Acc acc) { return vcvtq_f32_s32(acc); }
  static Floats MulAdd(Floats a, Floats b, Floats c) { return vfmaq_f32(c, a, b); }
  static void StoreFloats(Floats x, float* p) { vst1q_f32(p, x); }
};

struct Ops : BaseOps {
  static constexpr int kVectors = 1;
  static constexpr int kMaxRows = 6;
  static constexpr int kOffset = 128;
  static Acc Dot(Acc acc, Bytes w, int8x16_t x) {
    const int16x8_t first = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(w)));    // outputs 0 and 1
    const int16x8_t second = vreinterpretq_s16_u16(vmovl_u8(vget_high_u8(w)));  // outputs 2 and 3
    const int16x4_t group = vget_low_s16(vmovl_s8(vget_low_s8(x)));
    const int32x4_t p0 = vmull_s16(vget_low_s16(first), group);
    const int32x4_t p1 = vmull_s16(vget_high_s16(first), group);
    const int32x4_t p2 = vmull_s16(vget_low_s16(second), group);
    const int32x4_t p3 = vmull_s16(vget_high_s16(second), group);
    return vaddq_s32(acc, vpaddq_s32(vpaddq_s32(p0, p1), vpaddq_s32(p2, p3)));
  }
};

#include "kernels/portable/dot_tiles.inc"

}  // namespace neon
}  // namespace eyeshot::portable

HWY_PUSH_ATTRIBUTES("arch=armv8.2-a+dotprod")
namespace eyeshot::portable {
namespace dotprod {

struct Ops : neon::BaseOps {
  static constexpr int kVectors = 2;
  static constexpr int kMaxRows = 8;
  static constexpr int kOffset = 0;
  static Acc Dot(Acc acc, Bytes w, int8x16_t x) {
    return vdotq_s32(acc, vreinterpretq_s8_u8(veorq_u8(w, vdupq_n_u8(128))), x);
  }
};

#include "kernels/portable/dot_tiles.inc"

}  // namespace dotprod
}  // namespace eyeshot::portable
HWY_POP_ATTRIBUTES

// The matrix instructions take 2 rows x 2 columns at a time, with twice the depth of a group: two groups of
// neighbouring columns are interleaved on the way from memory.
#define EYESHOT_I8MM "arch=armv8.2-a+dotprod+i8mm+bf16"

HWY_PUSH_ATTRIBUTES(EYESHOT_I8MM)
namespace eyeshot::portable {
namespace i8mm {

struct Ops : neon::BaseOps {
  static constexpr int kVectors = 2;
  static constexpr int kMaxRows = 8;
  static constexpr int kOffset = 128;
  static Acc Dot(Acc acc, Bytes w, int8x16_t x) { return vusdotq_s32(acc, w, x); }
};

#include "kernels/portable/dot_tiles.inc"

struct Int8Matrix {
  using Acc = int32x4_t;
  using Sum = int32_t;
  static constexpr int kOffset = 128;
  static Acc Zero() { return vdupq_n_s32(0); }
  // acc[column][row] += the product of two columns and two rows, 8 inputs deep.
  static Acc MulAdd(Acc acc, uint8x16_t columns, uint8x16_t rows) {
    return vusmmlaq_s32(acc, columns, vreinterpretq_s8_u8(rows));
  }
  static void StoreFirst(Acc a, Acc b, int32_t* p) { vst1q_s32(p, vuzp1q_s32(a, b)); }
  static void StoreSecond(Acc a, Acc b, int32_t* p) { vst1q_s32(p, vuzp2q_s32(a, b)); }
};

struct Bf16Matrix {
  using Acc = float32x4_t;
  using Sum = float;
  static constexpr int kOffset = 0;
  static Acc Zero() { return vdupq_n_f32(0); }
  static Acc MulAdd(Acc acc, uint8x16_t columns, uint8x16_t rows) {
    return vbfmmlaq_f32(acc, vreinterpretq_bf16_u8(columns), vreinterpretq_bf16_u8(rows));
  }
  static void StoreFirst(Acc a, Acc b, float* p) { vst1q_f32(p, vuzp1q_f32(a, b)); }
  static void StoreSecond(Acc a, Acc b, float* p) { vst1q_f32(p, vuzp2q_f32(a, b)); }
};

inline constexpr int kMatrixRows = 8;

// Eight columns at a time: 16 sums of 2 x 2, four vectors of columns and one of rows. An odd last row has a companion
// that is read and written, but is no one's.
template <class Matrix, int kPairs>
void MatrixTile(const uint8_t* a, int64_t a_stride, const uint8_t* panel, int64_t groups, typename Matrix::Sum* sums) {
  for (int64_t first = 0; first < kPanelColumns; first += 8) {
    typename Matrix::Acc acc[kPairs][4];
#pragma GCC unroll 4
    for (auto& pair : acc) {
#pragma GCC unroll 4
      for (auto& sum : pair) sum = Matrix::Zero();
    }
    const uint8_t* b = panel + first * kGroupBytes;
    for (int64_t g = 0; g < groups; g += 2, b += 2 * kGroupRowBytes) {
      uint8x16_t columns[4];
#pragma GCC unroll 2
      for (int v = 0; v < 2; ++v) {
        const uint32x4_t even = vreinterpretq_u32_u8(vld1q_u8(b + v * 16));
        const uint32x4_t odd = vreinterpretq_u32_u8(vld1q_u8(b + v * 16 + kGroupRowBytes));
        columns[2 * v] = vreinterpretq_u8_u32(vzip1q_u32(even, odd));
        columns[2 * v + 1] = vreinterpretq_u8_u32(vzip2q_u32(even, odd));
      }
#pragma GCC unroll 4
      for (int p = 0; p < kPairs; ++p) {
        const uint8_t* row = a + 2 * p * a_stride + g * kGroupBytes;
        const uint8x16_t rows = vcombine_u8(vld1_u8(row), vld1_u8(row + a_stride));
#pragma GCC unroll 4
        for (int c = 0; c < 4; ++c) acc[p][c] = Matrix::MulAdd(acc[p][c], columns[c], rows);
      }
    }
#pragma GCC unroll 4
    for (int p = 0; p < kPairs; ++p) {
      typename Matrix::Sum* out = sums + 2 * p * kPanelColumns + first;
      Matrix::StoreFirst(acc[p][0], acc[p][1], out);
      Matrix::StoreFirst(acc[p][2], acc[p][3], out + 4);
      Matrix::StoreSecond(acc[p][0], acc[p][1], out + kPanelColumns);
      Matrix::StoreSecond(acc[p][2], acc[p][3], out + kPanelColumns + 4);
    }
  }
}

template <class Matrix, int kPairs>
void CallPairs(const DotTileArgs& args) {
  if constexpr (kPairs > 0) {
    if ((args.rows + 1) / 2 == kPairs) {
      MatrixTile<Matrix, kPairs>(static_cast<const uint8_t*>(args.a), args.a_stride,
                                 static_cast<const uint8_t*>(args.panel), args.groups,
                                 static_cast<typename Matrix::Sum*>(args.sums));
    } else {
      CallPairs<Matrix, kPairs - 1>(args);
    }
  }
}

template <class Matrix>
DotKernel MatrixKernel(const char* name) {
  DotKernel kernel;
  kernel.name = name;
  kernel.max_rows = kMatrixRows;
  kernel.offset = Matrix::kOffset;
  kernel.tile = &CallPairs<Matrix, kMatrixRows / 2>;
  return kernel;
}

}  // namespace i8mm
}  // namespace eyeshot::portable
HWY_POP_ATTRIBUTES

#endif

namespace eyeshot::portable {

#if defined(__x86_64__)

namespace {

template <auto kTile>
void AmxTile(const DotTileArgs& args) {
  kTile(args.a, args.a_stride, args.panel, args.groups, args.rows, args.sums);
}

DotKernel AmxKernel(DotType type) {
  DotKernel kernel;
  kernel.name = "amx";
  kernel.max_rows = 32;
  kernel.offset = type == DotType::kInt8 ? 128 : 0;
  kernel.tile = type == DotType::kInt8 ? &AmxTile<&x86::AmxInt8Tile> : &AmxTile<&x86::AmxBf16Tile>;
  kernel.begin = &x86::AmxBegin;
  kernel.end = &x86::AmxEnd;
  return kernel;
}

}  // namespace

std::vector<DotKernel> DotKernelsFor(DotType type, Isa isa) {
  std::vector<DotKernel> kernels;
  if (isa >= Isa::kAmx) kernels.push_back(AmxKernel(type));
  if (type == DotType::kBf16) {
    // Intel's cores without AMX do no more of these than of float32 multiply-adds; AMD's do twice as many.
    if (isa >= Isa::kAvx512 && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_is("amd")) {
      kernels.push_back(avx512_bf16::RowsKernel<avx512_bf16::Ops>("avx512-bf16"));
    }
    return kernels;
  }
  if (isa >= Isa::kAvx512 && __builtin_cpu_supports("avx512vnni")) {
    kernels.push_back(avx512_vnni::Int8Kernel<avx512_vnni::Ops>("avx512-vnni"));
    kernels.back().few_rows = 8;
    kernels.back().few_block_rows = 32;
  }
  if (isa >= Isa::kAvx2) {
    if (__builtin_cpu_supports("avxvnni")) {
      kernels.push_back(avx_vnni::Int8Kernel<avx_vnni::Ops>("avx-vnni"));
      kernels.back().few_block_rows = 16;
    }
    kernels.push_back(avx2::Int8Kernel<avx2::Ops>("avx2"));
  }
  kernels.push_back(ssse3::Int8Kernel<ssse3::Ops>("ssse3"));
  return kernels;
}

#elif defined(__aarch64__)

std::vector<DotKernel> DotKernelsFor(DotType type, Isa isa) {
  std::vector<DotKernel> kernels;
  if (type == DotType::kBf16) {
    if (isa >= Isa::kI8mm) kernels.push_back(i8mm::MatrixKernel<i8mm::Bf16Matrix>("bfmmla"));
    return kernels;
  }
  if (isa >= Isa::kI8mm) {
    kernels.push_back(i8mm::MatrixKernel<i8mm::Int8Matrix>("usmmla"));
    kernels.push_back(i8mm::Int8Kernel<i8mm::Ops>("usdot"));
  }
  if (isa >= Isa::kDotprod) kernels.push_back(dotprod::Int8Kernel<dotprod::Ops>("sdot"));
  kernels.push_back(neon::Int8Kernel<neon::Ops>("neon"));
  return kernels;
}

#endif

}  // namespace eyeshot::portable
