#include "kernels/x86/amx_emulator.h"

#include <signal.h>  // NOLINT(modernize-deprecated-headers): sigaction is not in <csignal>
#include <ucontext.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <optional>

#include "base/amx_permission.h"
#include "base/check.h"
#include "kernels/x86/amx.h"

namespace eyeshot::x86 {
namespace {

// Everything below runs in a signal handler: no allocation, no locks, thread-local data without constructors.

constexpr int kTiles = 8;
constexpr int kTileRows = 16;
constexpr int kTileRowBytes = 64;
constexpr int kLanes = kTileRowBytes / 4;

// Bytes outside `rows` and `row_bytes` are always zero: a configuration clears all, and no instruction writes there.
struct Tile {
  int rows;
  int row_bytes;
  uint8_t data[kTileRows][kTileRowBytes];
};

struct TileFile {
  bool configured;
  Tile tiles[kTiles];
};

thread_local TileFile tile_file;

// ---- Decoding (volume 2, chapter 2: VEX prefix, ModRM and SIB bytes) ----

enum Prefix { kNone = 0, k66 = 1, kF3 = 2, kF2 = 3 };

struct Instruction {
  uint8_t opcode = 0;
  int prefix = kNone;
  bool in_memory = false;  // the ModRM byte names memory
  bool has_sib = false;
  int reg = 0;           // ModRM.reg
  int rm = 0;            // ModRM.rm, if not in memory
  int vvvv = 0;          // the register in the VEX prefix
  uint64_t address = 0;  // base + displacement
  uint64_t stride = 0;   // index * scale: between rows; where there are none, another part of the address
  uint64_t end = 0;      // where the next instruction starts
};

// Reads only the bytes that belong to the instruction: what follows may not be readable.
class Cursor {
 public:
  explicit Cursor(uint64_t address) : address_(address) {}

  template <typename T = uint8_t>
  T Next() {
    T value;
    std::memcpy(&value, std::bit_cast<const void*>(address_), sizeof(T));
    address_ += sizeof(T);
    return value;
  }
  uint64_t address() const { return address_; }

 private:
  uint64_t address_;
};

uint64_t Register(const gregset_t& registers, int number) {
  constexpr int kPlaces[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                               REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  return static_cast<uint64_t>(registers[kPlaces[number]]);
}

// extend_index, extend_base: 8 or 0, from the VEX prefix.
void DecodeMemory(const gregset_t& registers, Cursor& cursor, uint8_t modrm, int extend_index, int extend_base,
                  Instruction& out) {
  constexpr int kNoIndex = 4;
  constexpr int kNoBase = 5;
  const int mod = modrm >> 6;
  int base = modrm & 7;
  out.in_memory = true;
  out.has_sib = base == 4;
  if (out.has_sib) {
    const uint8_t sib = cursor.Next();
    const int index = (sib >> 3 & 7) + extend_index;
    if (index != kNoIndex) out.stride = Register(registers, index) << (sib >> 6);
    base = sib & 7;
  }
  const bool no_base = mod == 0 && base == kNoBase;
  if (!no_base) out.address = Register(registers, base + extend_base);
  if (mod == 1) out.address += static_cast<uint64_t>(int64_t{cursor.Next<int8_t>()});
  if (mod == 2 || no_base) out.address += static_cast<uint64_t>(int64_t{cursor.Next<int32_t>()});
  if (no_base && !out.has_sib) out.address += cursor.address();  // relative to the next instruction
}

// Instructions with a three-byte VEX prefix, of the opcodes 0F 38, 128 bits long, with W = 0: as all those of AMX are.
std::optional<Instruction> Decode(const gregset_t& registers) {
  Cursor cursor(static_cast<uint64_t>(registers[REG_RIP]));
  if (cursor.Next() != 0xc4) return std::nullopt;
  // From high bit to low: R, X, B (inverted), map; W, vvvv (inverted), L, prefix.
  const uint8_t first = cursor.Next() ^ 0xe0;
  const uint8_t second = cursor.Next() ^ 0x78;
  if ((first & 0x1f) != 2 || (second & 0x84) != 0) return std::nullopt;
  const int extend_reg = (first & 0x80) != 0 ? 8 : 0;
  const int extend_index = (first & 0x40) != 0 ? 8 : 0;
  const int extend_base = (first & 0x20) != 0 ? 8 : 0;
  Instruction out{.opcode = cursor.Next(), .prefix = second & 3, .vvvv = second >> 3 & 15};
  const uint8_t modrm = cursor.Next();
  out.reg = (modrm >> 3 & 7) + extend_reg;
  if (modrm >> 6 == 3) {
    out.rm = (modrm & 7) + extend_base;
  } else {
    DecodeMemory(registers, cursor, modrm, extend_index, extend_base, out);
  }
  out.end = cursor.address();
  return out;
}

// ---- Execution. Each returns false for what the CPU would refuse. ----

bool LoadConfig(const Instruction& instruction) {
  TileConfig config;
  std::memcpy(&config, std::bit_cast<const void*>(instruction.address + instruction.stride), sizeof(config));
  TileFile loaded = {};
  if (config.palette > 1) return false;
  loaded.configured = config.palette == 1;
  if (loaded.configured) {
    if (config.start_row != 0) return false;  // for loads that a page fault interrupted; ours start over
    for (uint8_t reserved : config.reserved) {
      if (reserved != 0) return false;
    }
    for (int t = 0; t < 16; ++t) {
      const int rows = config.rows[t];
      const int row_bytes = config.row_bytes[t];
      if ((rows == 0) != (row_bytes == 0) || rows > kTileRows || row_bytes > kTileRowBytes) return false;
      if (t >= kTiles && rows != 0) return false;
      if (t < kTiles) loaded.tiles[t] = {.rows = rows, .row_bytes = row_bytes};
    }
  }
  tile_file = loaded;
  return true;
}

// Null if the thread has no such tile.
Tile* FindTile(int number) {
  if (!tile_file.configured || number >= kTiles || tile_file.tiles[number].rows == 0) return nullptr;
  return &tile_file.tiles[number];
}

bool Zero(const Instruction& instruction) {
  Tile* tile = FindTile(instruction.reg);
  if (tile == nullptr) return false;
  std::memset(tile->data, 0, sizeof(tile->data));
  return true;
}

bool Move(const Instruction& instruction, bool store) {
  Tile* tile = FindTile(instruction.reg);
  if (tile == nullptr || !instruction.has_sib) return false;
  for (int row = 0; row < tile->rows; ++row) {
    void* memory = std::bit_cast<void*>(instruction.address + static_cast<uint64_t>(row) * instruction.stride);
    void* to = store ? memory : tile->data[row];
    const void* from = store ? tile->data[row] : memory;
    std::memcpy(to, from, static_cast<size_t>(tile->row_bytes));
  }
  return true;
}

template <typename T>
T Lane(const uint8_t* row, int lane) {
  T value;
  std::memcpy(&value, row + lane * static_cast<int>(sizeof(T)), sizeof(T));
  return value;
}

// A, B: int8_t or uint8_t.
template <typename A, typename B>
void MultiplyBytes(Tile& c, const Tile& a, const Tile& b) {
  for (int m = 0; m < c.rows; ++m) {
    uint32_t sums[kLanes];
    std::memcpy(sums, c.data[m], sizeof(sums));
    for (int k = 0; k < a.row_bytes / 4; ++k) {
      for (int n = 0; n < c.row_bytes / 4; ++n) {
        for (int e = 0; e < 4; ++e) {
          const int product = int{Lane<A>(a.data[m], 4 * k + e)} * int{Lane<B>(b.data[k], 4 * n + e)};
          sums[n] += static_cast<uint32_t>(product);
        }
      }
    }
    std::memcpy(c.data[m], sums, sizeof(sums));
  }
}

constexpr double kSmallestNormal = 0x1p-126;

// Subnormal inputs are zeros.
double Input(float x) { return std::abs(x) < kSmallestNormal ? std::copysign(0.0, x) : double{x}; }

float InputBf16(uint16_t x) { return static_cast<float>(Input(std::bit_cast<float>(uint32_t{x} << 16))); }

// To the nearest float32. Zero if it would be subnormal even after rounding to 24 bits.
float Output(double x) {
  constexpr double kLimit = kSmallestNormal * (1 - 0x1p-25);
  return std::abs(x) < kLimit ? std::copysign(0.0f, static_cast<float>(x)) : static_cast<float>(x);
}

// In float32 with fused multiply-adds, the even and the odd elements apart until the end. A product of two bfloat16
// has 16 bits and is exact in a double; where its sum with a float32 is not, then the smaller term is far too small to
// decide how the sum rounds to float32.
void MultiplyBf16(Tile& c, const Tile& a, const Tile& b) {
  for (int m = 0; m < c.rows; ++m) {
    float sums[2 * kLanes] = {};
    for (int k = 0; k < a.row_bytes / 4; ++k) {
      for (int n = 0; n < c.row_bytes / 4; ++n) {
        for (int e = 0; e < 2; ++e) {
          const double x = InputBf16(Lane<uint16_t>(a.data[m], 2 * k + e));
          const double y = InputBf16(Lane<uint16_t>(b.data[k], 2 * n + e));
          sums[2 * n + e] = Output(x * y + Input(sums[2 * n + e]));
        }
      }
    }
    for (int n = 0; n < c.row_bytes / 4; ++n) {
      const float both = Output(double{sums[2 * n]} + double{sums[2 * n + 1]});
      const float sum = Output(Input(Lane<float>(c.data[m], n)) + double{both});
      std::memcpy(c.data[m] + 4 * n, &sum, sizeof(sum));
    }
  }
}

bool Multiply(const Instruction& instruction, void (*product)(Tile&, const Tile&, const Tile&)) {
  Tile* c = FindTile(instruction.reg);
  const Tile* a = FindTile(instruction.rm);
  const Tile* b = FindTile(instruction.vvvv);
  if (c == nullptr || a == nullptr || b == nullptr || c == a || c == b || a == b) return false;
  if (c->row_bytes % 4 != 0 || a->row_bytes % 4 != 0) return false;
  if (a->rows != c->rows || a->row_bytes / 4 != b->rows || b->row_bytes != c->row_bytes) return false;
  product(*c, *a, *b);
  return true;
}

bool ExecuteInMemory(const Instruction& instruction) {
  if (instruction.vvvv != 0) return false;
  switch (instruction.opcode << 2 | instruction.prefix) {
    case 0x49 << 2 | kNone: return instruction.reg == 0 && LoadConfig(instruction);
    case 0x4b << 2 | k66:  // tileloaddt1: a hint that the tile is used once, for the caches only
    case 0x4b << 2 | kF2: return Move(instruction, /*store=*/false);
    case 0x4b << 2 | kF3: return Move(instruction, /*store=*/true);
    default: return false;
  }
}

bool ExecuteInRegisters(const Instruction& instruction) {
  switch (instruction.opcode << 2 | instruction.prefix) {
    case 0x49 << 2 | kNone:  // tilerelease
      if (instruction.reg != 0 || instruction.rm != 0 || instruction.vvvv != 0) return false;
      tile_file = {};
      return true;
    case 0x49 << 2 | kF2: return instruction.rm == 0 && instruction.vvvv == 0 && Zero(instruction);
    case 0x5c << 2 | kF3: return Multiply(instruction, &MultiplyBf16);
    case 0x5e << 2 | kF2: return Multiply(instruction, &MultiplyBytes<int8_t, int8_t>);
    case 0x5e << 2 | kF3: return Multiply(instruction, &MultiplyBytes<int8_t, uint8_t>);
    case 0x5e << 2 | k66: return Multiply(instruction, &MultiplyBytes<uint8_t, int8_t>);
    case 0x5e << 2 | kNone: return Multiply(instruction, &MultiplyBytes<uint8_t, uint8_t>);
    default: return false;
  }
}

// ---- The signal ----

struct sigaction previous;
bool installed = false;

void PassOn(int signal, siginfo_t* info, void* context) {
  if ((previous.sa_flags & SA_SIGINFO) != 0) {
    previous.sa_sigaction(signal, info, context);
  } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
    previous.sa_handler(signal);
  } else {
    sigaction(SIGILL, &previous, nullptr);
    raise(SIGILL);  // comes when this handler returns
  }
}

void OnIllegalInstruction(int signal, siginfo_t* info, void* context) {
  gregset_t& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  if (info->si_code > 0) {  // from the CPU, not from kill()
    const std::optional<Instruction> instruction = Decode(registers);
    if (instruction && (instruction->in_memory ? ExecuteInMemory(*instruction) : ExecuteInRegisters(*instruction))) {
      registers[REG_RIP] = static_cast<greg_t>(instruction->end);
      return;
    }
  }
  PassOn(signal, info, context);
}

}  // namespace

ScopedAmxEmulator::ScopedAmxEmulator() {
  // Also asks Linux for permission, without which the instructions raise signals on a CPU that has them.
  if (AmxInt8Available() && AmxBf16Available()) return;
  EYESHOT_CHECK(!installed);
  struct sigaction action = {};
  action.sa_sigaction = &OnIllegalInstruction;
  action.sa_flags = SA_SIGINFO;
  EYESHOT_CHECK(sigaction(SIGILL, &action, &previous) == 0);
  installed_ = installed = true;
}

ScopedAmxEmulator::~ScopedAmxEmulator() {
  if (!installed_) return;
  EYESHOT_CHECK(sigaction(SIGILL, &previous, nullptr) == 0);
  installed = false;
}

}  // namespace eyeshot::x86
