// AMX, the tile instructions of x86 CPUs (Sapphire Rapids and later): eight registers of 16 rows of 64 bytes, and
// products of two of them added to a third.
//
// The wrappers are assembly because GCC 12's intrinsics are unsafe: _tile_loadconfig says that it reads 8 of the 64
// bytes, the loads and stores don't say that they touch memory at all, and so the compiler drops or moves the stores
// that fill what they read. They need no compiler flag; whoever runs them has asked AmxInt8Available or
// AmxBf16Available (base/amx_permission.h). (Tests run them on any x86-64 CPU, by amx_emulator.h.)
#ifndef EYESHOT_KERNELS_X86_AMX_H_
#define EYESHOT_KERNELS_X86_AMX_H_

#include <cstdint>

namespace eyeshot::x86 {

// The operand of ldtilecfg.
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};  // of tiles 0 to 7: at most 64; those of the others are 0
  uint8_t rows[16] = {};        // of tiles 0 to 7: at most 16
};
static_assert(sizeof(TileConfig) == 64);

// A thread's tiles take these shapes and become zero.
inline void LoadTileConfig(const TileConfig& config) { asm volatile("ldtilecfg %0" : : "m"(config)); }

// The thread has no tiles any more.
inline void TileRelease() { asm volatile("tilerelease"); }

template <int kTile>
inline void TileZero() {
  asm volatile("tilezero %%tmm%c0" : : "i"(kTile));
}

// Row r of the tile is read from (written to) base + r * stride.
template <int kTile>
inline void TileLoad(const void* base, int64_t stride) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(base), "r"(stride), "i"(kTile) : "memory");
}

template <int kTile>
inline void TileStore(void* base, int64_t stride) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(base), "r"(stride), "i"(kTile) : "memory");
}

// C[m][n] += sum over k of A[m][k] . B[k][n], where an element of A or B is 4 bytes: two bfloat16 (C: float32).
template <int kC, int kA, int kB>
inline void TileDpbf16ps() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kC), "i"(kA), "i"(kB));
}

// The same where an element of A is four signed, one of B four unsigned bytes (C: int32).
template <int kC, int kA, int kB>
inline void TileDpbsud() {
  asm volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kC), "i"(kA), "i"(kB));
}

// Around the calls of the two functions below, once for each task of a thread: a configuration takes longer than a
// product. Tiles that are in use make every switch of threads save 8 KiB and keep the core from its deeper sleeps.
void AmxBegin();
void AmxEnd();

// sums[r][j] = sum over the groups g and the elements e of a group of A(r, g, e) * B(g, j, e), for r < rows, j < 32.
// a: rows of `groups` groups of 4 bytes, a_stride bytes from each other. panel: [groups][32][4 bytes].
// sums: [32][32], 4 bytes each.
//
// groups is a multiple of 16, rows is 1 to 32. Rows of a up to the next multiple of 16 are read too; what follows from
// them may be written to the rows of sums that have no row of a.
//
// a: int8, panel: uint8, sums: int32.
void AmxInt8Tile(const void* a, int64_t a_stride, const void* panel, int64_t groups, int64_t rows, void* sums);
// a, panel: bfloat16, sums: float32. Subnormal numbers count as zeros.
void AmxBf16Tile(const void* a, int64_t a_stride, const void* panel, int64_t groups, int64_t rows, void* sums);

}  // namespace eyeshot::x86

#endif  // EYESHOT_KERNELS_X86_AMX_H_
