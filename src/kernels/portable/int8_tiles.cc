// The inner loops of 8-bit products, for each kind of dot-product instruction.
//
// x86: vpdpbusd multiplies unsigned by signed bytes and adds four neighbours to a 32-bit lane, without saturation. A
// core starts two in a cycle, each finishes after 4 or 5; 12 rows of two vectors are 24 sums on their way and leave
// registers for two vectors of weights and one of activations. Without it (AVX2 before VNNI, SSE2) bytes are widened
// to 16 bits for pmaddwd: its products of 255 * 128 cannot overflow.
#include <algorithm>
#include <cstring>

#include "kernels/portable/int8.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace eyeshot::portable {
namespace {

// Calls Tile<kRows> for the number of rows, at most kMaxRows.
template <template <int> class Tile, int kMaxRows>
struct RowSwitch {
  static void Call(const int8_t* a, int64_t a_stride, const uint8_t* panel, int64_t groups, int64_t rows,
                   int32_t* sums) {
    if (rows == kMaxRows) {
      Tile<kMaxRows>::Run(a, a_stride, panel, groups, sums);
    } else {
      RowSwitch<Tile, kMaxRows - 1>::Call(a, a_stride, panel, groups, rows, sums);
    }
  }
};
template <template <int> class Tile>
struct RowSwitch<Tile, 0> {
  static void Call(const int8_t*, int64_t, const uint8_t*, int64_t, int64_t, int32_t*) {}
};

constexpr int64_t kGroupBytes = kPanelColumns * kInt8Group;

inline int32_t LoadGroup(const int8_t* a) {
  int32_t group;
  std::memcpy(&group, a, sizeof(group));
  return group;
}

#if defined(__x86_64__)

template <int kRows>
struct Avx512VnniTile {
  __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))) static void Run(
      const int8_t* a, int64_t a_stride, const uint8_t* panel, int64_t groups, int32_t* sums) {
    // One row alone (decoding) splits the depth over four pairs of sums to hide the latency.
    constexpr int kParts = kRows == 1 ? 4 : (kRows <= 3 ? 2 : 1);
    __m512i acc[kParts][kRows][2];
#pragma GCC unroll 4
    for (int p = 0; p < kParts; ++p) {
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) acc[p][r][0] = acc[p][r][1] = _mm512_setzero_si512();
    }
    int64_t g = 0;
    for (; g + kParts <= groups; g += kParts) {
#pragma GCC unroll 4
      for (int p = 0; p < kParts; ++p) {
        const __m512i low = _mm512_loadu_si512(panel + (g + p) * kGroupBytes);
        const __m512i high = _mm512_loadu_si512(panel + (g + p) * kGroupBytes + 64);
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) {
          const __m512i x = _mm512_set1_epi32(LoadGroup(a + r * a_stride + (g + p) * kInt8Group));
          acc[p][r][0] = _mm512_dpbusd_epi32(acc[p][r][0], low, x);
          acc[p][r][1] = _mm512_dpbusd_epi32(acc[p][r][1], high, x);
        }
      }
    }
    for (; g < groups; ++g) {
      const __m512i low = _mm512_loadu_si512(panel + g * kGroupBytes);
      const __m512i high = _mm512_loadu_si512(panel + g * kGroupBytes + 64);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const __m512i x = _mm512_set1_epi32(LoadGroup(a + r * a_stride + g * kInt8Group));
        acc[0][r][0] = _mm512_dpbusd_epi32(acc[0][r][0], low, x);
        acc[0][r][1] = _mm512_dpbusd_epi32(acc[0][r][1], high, x);
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int p = 1; p < kParts; ++p) {
        acc[0][r][0] = _mm512_add_epi32(acc[0][r][0], acc[p][r][0]);
        acc[0][r][1] = _mm512_add_epi32(acc[0][r][1], acc[p][r][1]);
      }
      _mm512_storeu_si512(sums + r * kPanelColumns, acc[0][r][0]);
      _mm512_storeu_si512(sums + r * kPanelColumns + 16, acc[0][r][1]);
    }
  }
};

// 256-bit vectors with VNNI (AVX-VNNI): half a panel at a time.
template <int kRows>
struct AvxVnniTile {
  __attribute__((target("avx2,fma,avxvnni"))) static void Run(const int8_t* a, int64_t a_stride, const uint8_t* panel,
                                                              int64_t groups, int32_t* sums) {
    for (int half = 0; half < 2; ++half) {
      const uint8_t* b = panel + half * 64;
      __m256i acc[kRows][2];
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) acc[r][0] = acc[r][1] = _mm256_setzero_si256();
      for (int64_t g = 0; g < groups; ++g, b += kGroupBytes) {
        const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b));
        const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b + 32));
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          const __m256i x = _mm256_set1_epi32(LoadGroup(a + r * a_stride + g * kInt8Group));
          acc[r][0] = _mm256_dpbusd_avx_epi32(acc[r][0], low, x);
          acc[r][1] = _mm256_dpbusd_avx_epi32(acc[r][1], high, x);
        }
      }
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        auto* out = reinterpret_cast<__m256i*>(sums + r * kPanelColumns + half * 16);
        _mm256_storeu_si256(out, acc[r][0]);
        _mm256_storeu_si256(out + 1, acc[r][1]);
      }
    }
  }
};

// AVX2: eight outputs at a time; bytes (0, 1) and (2, 3) of each group become two vectors of 16-bit pairs.
template <int kRows>
struct Avx2Tile {
  __attribute__((target("avx2,fma"))) static void Run(const int8_t* a, int64_t a_stride, const uint8_t* panel,
                                                      int64_t groups, int32_t* sums) {
    const __m256i low_bytes = _mm256_set1_epi16(0x00ff);
    for (int64_t part = 0; part < kPanelColumns / 8; ++part) {
      const uint8_t* b = panel + part * 32;
      __m256i acc[kRows];
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) acc[r] = _mm256_setzero_si256();
      for (int64_t g = 0; g < groups; ++g, b += kGroupBytes) {
        const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b));
        const __m256i even = _mm256_and_si256(bytes, low_bytes);  // bytes 0 and 2
        const __m256i odd = _mm256_srli_epi16(bytes, 8);          // bytes 1 and 3
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          const __m256i x = _mm256_set1_epi32(LoadGroup(a + r * a_stride + g * kInt8Group));
          const __m256i x_even = _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8);
          const __m256i x_odd = _mm256_srai_epi16(x, 8);
          acc[r] = _mm256_add_epi32(acc[r], _mm256_madd_epi16(even, x_even));
          acc[r] = _mm256_add_epi32(acc[r], _mm256_madd_epi16(odd, x_odd));
        }
      }
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums + r * kPanelColumns + part * 8), acc[r]);
      }
    }
  }
};

// SSE2, which every x86-64 CPU has: four outputs at a time, as above.
template <int kRows>
struct Sse2Tile {
  static void Run(const int8_t* a, int64_t a_stride, const uint8_t* panel, int64_t groups, int32_t* sums) {
    const __m128i low_bytes = _mm_set1_epi16(0x00ff);
    for (int64_t part = 0; part < kPanelColumns / 4; ++part) {
      const uint8_t* b = panel + part * 16;
      __m128i acc[kRows];
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) acc[r] = _mm_setzero_si128();
      for (int64_t g = 0; g < groups; ++g, b += kGroupBytes) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(b));
        const __m128i even = _mm_and_si128(bytes, low_bytes);
        const __m128i odd = _mm_srli_epi16(bytes, 8);
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          const __m128i x = _mm_set1_epi32(LoadGroup(a + r * a_stride + g * kInt8Group));
          const __m128i x_even = _mm_srai_epi16(_mm_slli_epi16(x, 8), 8);
          const __m128i x_odd = _mm_srai_epi16(x, 8);
          acc[r] = _mm_add_epi32(acc[r], _mm_madd_epi16(even, x_even));
          acc[r] = _mm_add_epi32(acc[r], _mm_madd_epi16(odd, x_odd));
        }
      }
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(sums + r * kPanelColumns + part * 4), acc[r]);
      }
    }
  }
};

#elif defined(__aarch64__)

// NEON without the dot-product extension: four outputs at a time, widened to 16 bits.
template <int kRows>
struct NeonTile {
  static void Run(const int8_t* a, int64_t a_stride, const uint8_t* panel, int64_t groups, int32_t* sums) {
    for (int64_t part = 0; part < kPanelColumns / 4; ++part) {
      const uint8_t* b = panel + part * 16;
      int32x4_t acc[kRows];
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) acc[r] = vdupq_n_s32(0);
      for (int64_t g = 0; g < groups; ++g, b += kGroupBytes) {
        const uint8x16_t bytes = vld1q_u8(b);
        const int16x8_t first = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(bytes)));    // outputs 0 and 1
        const int16x8_t second = vreinterpretq_s16_u16(vmovl_u8(vget_high_u8(bytes)));  // outputs 2 and 3
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          const int8x8_t group = vreinterpret_s8_s32(vdup_n_s32(LoadGroup(a + r * a_stride + g * kInt8Group)));
          const int16x8_t x = vmovl_s8(group);  // the group twice
          const int32x4_t p0 = vmull_s16(vget_low_s16(first), vget_low_s16(x));
          const int32x4_t p1 = vmull_s16(vget_high_s16(first), vget_low_s16(x));
          const int32x4_t p2 = vmull_s16(vget_low_s16(second), vget_low_s16(x));
          const int32x4_t p3 = vmull_s16(vget_high_s16(second), vget_low_s16(x));
          acc[r] = vaddq_s32(acc[r], vpaddq_s32(vpaddq_s32(p0, p1), vpaddq_s32(p2, p3)));
        }
      }
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) vst1q_s32(sums + r * kPanelColumns + part * 4, acc[r]);
    }
  }
};

#endif

}  // namespace

std::vector<Int8Kernels> Int8KernelsFor(Isa isa) {
  std::vector<Int8Kernels> kernels;
#if defined(__x86_64__)
  if (isa == Isa::kAvx512 && __builtin_cpu_supports("avx512vnni")) {
    kernels.push_back({12, &RowSwitch<Avx512VnniTile, 12>::Call, "avx512-vnni"});
  }
  if (isa != Isa::kSse2) {
    if (__builtin_cpu_supports("avxvnni")) kernels.push_back({6, &RowSwitch<AvxVnniTile, 6>::Call, "avx-vnni"});
    kernels.push_back({6, &RowSwitch<Avx2Tile, 6>::Call, "avx2"});
  }
  kernels.push_back({6, &RowSwitch<Sse2Tile, 6>::Call, "sse2"});
#elif defined(__aarch64__)
  static_cast<void>(isa);
  kernels.push_back({6, &RowSwitch<NeonTile, 6>::Call, "neon"});
#endif
  return kernels;
}

}  // namespace eyeshot::portable
