#include "kernels/x86/amx.h"

namespace eyeshot::x86 {
namespace {

constexpr int64_t kTileRows = 16;
constexpr int64_t kTileRowBytes = 64;
constexpr int64_t kTileGroups = kTileRowBytes / 4;
constexpr int64_t kPairBytes = 2 * kTileRowBytes;  // a row of two tiles: of a panel, of sums

constexpr TileConfig WholeTiles() {
  TileConfig config;
  for (int tile = 0; tile < 8; ++tile) {
    config.rows[tile] = kTileRows;
    config.row_bytes[tile] = kTileRowBytes;
  }
  return config;
}

constexpr TileConfig kWholeTiles = WholeTiles();

struct Int8 {
  template <int kC, int kA, int kB>
  static void Multiply() {
    TileDpbsud<kC, kA, kB>();
  }
};

struct Bf16 {
  template <int kC, int kA, int kB>
  static void Multiply() {
    TileDpbf16ps<kC, kA, kB>();
  }
};

// Sums are tiles 0 to 3, rows of a tiles 4 and 5, columns of the panel tiles 6 and 7. The unit of products starts one
// in 16 cycles, a load takes 8: each load stands right before the first product that needs it, and the four products
// of a step hide all four loads. Each product waits for the one before it to the same sums, which is 52 cycles long:
// four sums cover that.
template <typename Type>
void ThirtyTwoRows(const uint8_t* a, int64_t a_stride, const uint8_t* panel, int64_t groups, uint8_t* sums) {
  const uint8_t* lower = a + kTileRows * a_stride;
  TileZero<0>();
  TileZero<1>();
  TileZero<2>();
  TileZero<3>();
  for (int64_t g = 0; g < groups; g += kTileGroups) {
    TileLoad<6>(panel, kPairBytes);
    TileLoad<4>(a, a_stride);
    Type::template Multiply<0, 4, 6>();
    TileLoad<7>(panel + kTileRowBytes, kPairBytes);
    Type::template Multiply<1, 4, 7>();
    TileLoad<5>(lower, a_stride);
    Type::template Multiply<2, 5, 6>();
    Type::template Multiply<3, 5, 7>();
    panel += kTileGroups * kPairBytes;
    a += kTileRowBytes;
    lower += kTileRowBytes;
  }
  TileStore<0>(sums, kPairBytes);
  TileStore<1>(sums + kTileRowBytes, kPairBytes);
  TileStore<2>(sums + kTileRows * kPairBytes, kPairBytes);
  TileStore<3>(sums + kTileRows * kPairBytes + kTileRowBytes, kPairBytes);
}

// Two sums do not hide how long a product takes: a step is 52 cycles, not 32. For so few rows that will do: it is a
// panel read at 39 bytes a cycle, more than memory delivers to a core.
template <typename Type>
void SixteenRows(const uint8_t* a, int64_t a_stride, const uint8_t* panel, int64_t groups, uint8_t* sums) {
  TileZero<0>();
  TileZero<1>();
  for (int64_t g = 0; g < groups; g += kTileGroups) {
    TileLoad<6>(panel, kPairBytes);
    TileLoad<4>(a, a_stride);
    Type::template Multiply<0, 4, 6>();
    TileLoad<7>(panel + kTileRowBytes, kPairBytes);
    Type::template Multiply<1, 4, 7>();
    panel += kTileGroups * kPairBytes;
    a += kTileRowBytes;
  }
  TileStore<0>(sums, kPairBytes);
  TileStore<1>(sums + kTileRowBytes, kPairBytes);
}

template <typename Type>
void Tile(const void* a, int64_t a_stride, const void* panel, int64_t groups, int64_t rows, void* sums) {
  const auto kernel = rows > kTileRows ? ThirtyTwoRows<Type> : SixteenRows<Type>;
  kernel(static_cast<const uint8_t*>(a), a_stride, static_cast<const uint8_t*>(panel), groups,
         static_cast<uint8_t*>(sums));
}

}  // namespace

void AmxBegin() { LoadTileConfig(kWholeTiles); }
void AmxEnd() { TileRelease(); }

void AmxInt8Tile(const void* a, int64_t a_stride, const void* panel, int64_t groups, int64_t rows, void* sums) {
  Tile<Int8>(a, a_stride, panel, groups, rows, sums);
}

void AmxBf16Tile(const void* a, int64_t a_stride, const void* panel, int64_t groups, int64_t rows, void* sums) {
  Tile<Bf16>(a, a_stride, panel, groups, rows, sums);
}

}  // namespace eyeshot::x86
