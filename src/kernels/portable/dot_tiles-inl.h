// Tiles of one kind of dot-product instruction. Included by dot_tiles.cc once for each, inside a namespace in which Ops
// says what the instructions are, under the compiler options that they need. Hence no include guard.

// Few rows split the depth over several sums, to hide the latency of the dot product: a core starts two in a cycle,
// each ends after 4 or 5.
template <class Ops, int kRows>
constexpr int PartsOf() {
  constexpr int kWanted = 8 / (kRows * Ops::kVectors);
  return kWanted >= 4 ? 4 : (kWanted >= 2 ? 2 : 1);
}

// Few rows wait for memory: lines are asked for before the hardware would, which starts anew with each panel's page.
inline constexpr int64_t kAheadBytes = 4096;
inline void PrefetchAhead(const uint8_t* p, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(p + kAheadBytes + i, 0, 3);
}

template <class Ops, int kRows>
void RowsTile(const uint8_t* a, int64_t a_stride, const uint8_t* panel, int64_t groups, typename Ops::Sum* sums) {
  constexpr int kVectors = Ops::kVectors;
  constexpr int kParts = PartsOf<Ops, kRows>();
  constexpr int kLanes = Ops::kBytes / 4;
  static_assert(kAlignedGroups % kParts == 0);
  for (int64_t first = 0; first < kPanelColumns; first += kVectors * kLanes) {
    typename Ops::Acc acc[kParts][kRows][kVectors];
#pragma GCC unroll 4
    for (int p = 0; p < kParts; ++p) {
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) acc[p][r][v] = Ops::Zero();
      }
    }
    const uint8_t* b = panel + first * kGroupBytes;
    const uint8_t* x = a;
    for (int64_t g = 0; g < groups; g += kParts) {
#pragma GCC unroll 4
      for (int p = 0; p < kParts; ++p, b += kGroupRowBytes, x += kGroupBytes) {
        if constexpr (kRows <= 2) PrefetchAhead(b, Ops::kBytes * kVectors);
        typename Ops::Bytes weights[kVectors];
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) weights[v] = Ops::Load(b + v * Ops::kBytes);
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) {
          const auto row = Ops::Broadcast(x + r * a_stride);
#pragma GCC unroll 2
          for (int v = 0; v < kVectors; ++v) acc[p][r][v] = Ops::Dot(acc[p][r][v], weights[v], row);
        }
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
#pragma GCC unroll 4
        for (int p = 1; p < kParts; ++p) acc[0][r][v] = Ops::Add(acc[0][r][v], acc[p][r][v]);
        Ops::Store(acc[0][r][v], sums + r * kPanelColumns + first + v * kLanes);
      }
    }
  }
}

template <class Ops, int kRows>
void BlocksTile(const BlockTileArgs& args) {
  constexpr int kVectors = Ops::kVectors;
  constexpr int kLanes = Ops::kBytes / 4;
  const bool nibbles = args.code_bytes != nullptr;
  const int64_t code_rows = nibbles ? kBlockGroups / 2 : kBlockGroups;
  const int64_t block_bytes = code_rows * kGroupRowBytes + kBlockScaleBytes;
  const auto levels = Ops::LoadTable(nibbles ? args.code_bytes : args.panel);
  for (int64_t first = 0; first < kPanelColumns; first += kVectors * kLanes) {
    typename Ops::Floats total[kRows][kVectors];
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) total[r][v] = Ops::ZeroFloats();
    }
    const uint8_t* block = args.panel;
    for (int64_t b = 0; b < args.blocks; ++b, block += block_bytes) {
      if constexpr (kRows <= 2) {
        if (first == 0) PrefetchAhead(block, block_bytes);
      }
      const uint8_t* codes = block + first * kGroupBytes;
      const auto* x = reinterpret_cast<const uint8_t*>(args.a) + b * kBlockInputs;
      typename Ops::Acc acc[kRows][kVectors];
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) acc[r][v] = Ops::Negative(args.corrections[r * args.blocks + b]);
      }
      if (nibbles) {
#pragma GCC unroll 4
        for (int64_t g = 0; g < kBlockGroups / 2; ++g) {
#pragma GCC unroll 2
          for (int v = 0; v < kVectors; ++v) {
            const auto pair = Ops::Load(codes + g * kGroupRowBytes + v * Ops::kBytes);
            const auto low = Ops::Lookup(levels, Ops::LowHalves(pair));
            const auto high = Ops::Lookup(levels, Ops::HighHalves(pair));
#pragma GCC unroll 4
            for (int r = 0; r < kRows; ++r) {
              const uint8_t* row = x + r * args.a_stride + g * kGroupBytes;
              acc[r][v] = Ops::Dot(acc[r][v], low, Ops::Broadcast(row));
              acc[r][v] = Ops::Dot(acc[r][v], high, Ops::Broadcast(row + kBlockInputs / 2));
            }
          }
        }
      } else {
#pragma GCC unroll 8
        for (int64_t g = 0; g < kBlockGroups; ++g) {
#pragma GCC unroll 2
          for (int v = 0; v < kVectors; ++v) {
            const auto bytes = Ops::Load(codes + g * kGroupRowBytes + v * Ops::kBytes);
#pragma GCC unroll 4
            for (int r = 0; r < kRows; ++r) {
              acc[r][v] = Ops::Dot(acc[r][v], bytes, Ops::Broadcast(x + r * args.a_stride + g * kGroupBytes));
            }
          }
        }
      }
      const uint8_t* scales = block + code_rows * kGroupRowBytes + first * 2;
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        const auto scale = Ops::LoadHalves(scales + v * kLanes * 2);
#pragma GCC unroll 4
        for (int r = 0; r < kRows; ++r) total[r][v] = Ops::MulAdd(Ops::ToFloats(acc[r][v]), scale, total[r][v]);
      }
    }
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        Ops::StoreFloats(total[r][v], args.sums + r * kPanelColumns + first + v * kLanes);
      }
    }
  }
}

template <class Ops, int kRows>
void CallRows(const void* a, int64_t a_stride, const void* panel, int64_t groups, int64_t rows, void* sums) {
  if constexpr (kRows > 0) {
    if (rows == kRows) {
      RowsTile<Ops, kRows>(static_cast<const uint8_t*>(a), a_stride, static_cast<const uint8_t*>(panel), groups,
                           static_cast<typename Ops::Sum*>(sums));
    } else {
      CallRows<Ops, kRows - 1>(a, a_stride, panel, groups, rows, sums);
    }
  }
}

template <class Ops, int kRows>
void CallBlocks(const BlockTileArgs& args) {
  if constexpr (kRows > 0) {
    if (args.rows == kRows) {
      BlocksTile<Ops, kRows>(args);
    } else {
      CallBlocks<Ops, kRows - 1>(args);
    }
  }
}

template <class Ops>
DotKernel RowsKernel(const char* name) {
  DotKernel kernel;
  kernel.name = name;
  kernel.max_rows = Ops::kMaxRows;
  kernel.offset = Ops::kOffset;
  kernel.tile = &CallRows<Ops, Ops::kMaxRows>;
  return kernel;
}

template <class Ops>
DotKernel Int8Kernel(const char* name) {
  DotKernel kernel = RowsKernel<Ops>(name);
  kernel.block_tile = &CallBlocks<Ops, static_cast<int>(kBlockTileRows)>;
  return kernel;
}
