// The inner loops of products whose operands are rounded: 8-bit integers or bfloat16 on both sides, for each kind of
// dot-product instruction.
#ifndef EYESHOT_KERNELS_PORTABLE_DOT_H_
#define EYESHOT_KERNELS_PORTABLE_DOT_H_

#include <cstdint>
#include <vector>

#include "base/cpu.h"
#include "kernels/portable/weights.h"

namespace eyeshot::portable {

enum class DotType {
  kInt8,  // signed 8-bit rows, weights plus 128, sums in int32
  kBf16,  // bfloat16 on both sides, sums in float32
};

// What comes from memory next: a tile asks for it on the way, evenly.
struct Ahead {
  const uint8_t* next = nullptr;
  int64_t bytes = 0;

  // The first `part` of `parts`, which is taken off.
  Ahead Take(int64_t part, int64_t parts) {
    const Ahead share = {next, bytes * part / parts};
    next += share.bytes;
    bytes -= share.bytes;
    return share;
  }
};

// sums[r][j] = the product of row r of `a` and column j of a panel (weights.h), for rows r < `rows` <= max_rows and all
// 32 columns. Rows of a, as DotKernel::row_group_bytes says, are `a_stride` bytes apart, padded with zeros to `groups`
// groups. Memory of a's rows up to the next multiple of 16 may be read; sums has room for max_rows rows of 32, of which
// those from `rows` on may be overwritten.
// Kernels without a block tile, which are for many rows, may leave `ahead` out.
struct DotTileArgs {
  const void* a = nullptr;
  int64_t a_stride = 0;
  const void* panel = nullptr;
  int64_t groups = 0;
  int64_t rows = 0;
  void* sums = nullptr;
  Ahead ahead;
};
using DotTile = void (*)(const DotTileArgs& args);

// The same for a panel of blocks (kQ8, kQ4, kInt4), with its scales applied:
// sums[r][j] = sum over blocks b of scale(b, j) * (product of block b), in float32.
struct BlockTileArgs {
  const void* a = nullptr;
  int64_t a_stride = 0;
  const int32_t* corrections = nullptr;  // [rows][blocks]: kernel.offset times the sum of a's block
  const uint8_t* panel = nullptr;
  int64_t blocks = 0;
  const uint8_t* code_bytes = nullptr;  // [16], or null: the panel holds 8-bit integers (kQ8)
  int64_t rows = 0;  // at most kBlockTileRows
  float* sums = nullptr;  // [rows][32]
  Ahead ahead;
};
using BlockTile = void (*)(const BlockTileArgs& args);
inline constexpr int64_t kBlockTileRows = 4;

struct DotKernel {
  const char* name = nullptr;  // of the instructions: "avx512-vnni"
  int max_rows = 0;
  int offset = 0;  // integer sums are too large by offset times the sum of a's row
  // Of a row's 4 inputs that meet a group of weights: as they are or, 8, as int16 in the order 0, 2, 1, 3.
  int64_t row_group_bytes = kGroupBytes;
  DotTile tile = nullptr;
  BlockTile block_tile = nullptr;  // null: for many rows only
  // With a block tile: rows up to which two digits of each take less time than 8-bit rows whose outliers are sought,
  // and than those and rounding panels of blocks.
  int64_t few_rows = 4;
  int64_t few_block_rows = 4;
  void (*begin)() = nullptr;  // called by a thread before and after it uses `tile`; may be null
  void (*end)() = nullptr;
};

// A tile has at most this many rows.
inline constexpr int64_t kMostDotRows = 32;

// What an instruction set and this CPU have, the fastest for many rows first. Never empty for kInt8, whose last one has
// a block tile; empty for kBf16 where float32 arithmetic is as fast.
std::vector<DotKernel> DotKernelsFor(DotType type, Isa isa);

// Calls begin and end of a kernel around a task.
class DotScope {
 public:
  explicit DotScope(const DotKernel& kernel) : end_(kernel.end) {
    if (kernel.begin != nullptr) kernel.begin();
  }
  ~DotScope() {
    if (end_ != nullptr) end_();
  }
  DotScope(const DotScope&) = delete;
  DotScope& operator=(const DotScope&) = delete;

 private:
  void (*end_)();
};

}  // namespace eyeshot::portable

#endif  // EYESHOT_KERNELS_PORTABLE_DOT_H_
