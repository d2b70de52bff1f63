// AMX: each instruction and both tile products against their definitions. On a CPU without AMX the instructions run in
// software (amx_emulator.h), so that what is tested is their machine code, there as well as where they are native.
#include "kernels/x86/amx.h"

#include <gtest/gtest.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): sigaction is not in <csignal>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/amx_permission.h"
#include "kernels/x86/amx_emulator.h"

namespace eyeshot::x86 {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr int kRowBytes = 64;
constexpr int kTileBytes = 16 * kRowBytes;

// Calls f.operator()<tile>() for each of the eight tiles.
template <typename F>
void ForEachTile(F f) {
  [&]<int... kTiles>(std::integer_sequence<int, kTiles...>) {
    (f.template operator()<kTiles>(), ...);
  }(std::make_integer_sequence<int, 8>());
}

Bytes RandomBytes(std::mt19937& random, size_t count) {
  Bytes bytes(count);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  return bytes;
}

TileConfig WholeTiles() {
  TileConfig config;
  std::fill_n(config.rows, 8, uint8_t{16});
  std::fill_n(config.row_bytes, 8, uint16_t{kRowBytes});
  return config;
}

uint16_t ToBf16(float x) { return static_cast<uint16_t>(std::bit_cast<uint32_t>(x) >> 16); }
float FromBf16(uint16_t x) { return std::bit_cast<float>(uint32_t{x} << 16); }

class AmxTest : public testing::Test {
 protected:
  ~AmxTest() override { TileRelease(); }

  ScopedAmxEmulator emulator_;
  std::mt19937 random_{7};
};

TEST(AmxAvailableTest, OnlyWhereLinuxNamesIt) {
  std::ifstream file("/proc/cpuinfo");
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  EXPECT_TRUE(!AmxInt8Available() || text.find(" amx_int8") != std::string::npos);
  EXPECT_TRUE(!AmxBf16Available() || text.find(" amx_bf16") != std::string::npos);
}

// ---- Configuration, loads and stores ----

TEST_F(AmxTest, TilesHaveTheShapesOfTheConfiguration) {
  TileConfig config;
  for (int t = 0; t < 8; ++t) {
    config.rows[t] = static_cast<uint8_t>(1 + 2 * t);                     // 1 to 15
    config.row_bytes[t] = static_cast<uint16_t>(t == 7 ? 64 : 7 * t + 1);  // 1 to 43, 64
  }
  LoadTileConfig(config);
  constexpr int64_t kStride = 80;
  const Bytes source = RandomBytes(random_, 16 * kStride);
  ForEachTile([&]<int kTile>() {
    SCOPED_TRACE(kTile);
    const auto expect_stored = [&](bool zeros) {
      Bytes want(16 * kStride, 0xcc);
      for (int r = 0; r < config.rows[kTile]; ++r) {
        for (int i = 0; i < config.row_bytes[kTile]; ++i) {
          const auto at = static_cast<size_t>(r * kStride + i);
          want[at] = zeros ? 0 : source[at];
        }
      }
      Bytes got(16 * kStride, 0xcc);
      TileStore<kTile>(got.data(), kStride);
      EXPECT_EQ(got, want);
    };
    expect_stored(true);  // by ldtilecfg
    TileLoad<kTile>(source.data(), kStride);
    expect_stored(false);
    TileZero<kTile>();
    expect_stored(true);
    asm volatile("tileloaddt1 (%0,%1,1), %%tmm%c2" : : "r"(source.data()), "r"(kStride), "i"(kTile) : "memory");
    expect_stored(false);
  });
}

TEST_F(AmxTest, ConfigurationClearsAllTiles) {
  const Bytes source = RandomBytes(random_, kTileBytes);
  AmxBegin();
  TileLoad<3>(source.data(), kRowBytes);
  AmxBegin();
  Bytes got(kTileBytes, 0xcc);
  TileStore<3>(got.data(), kRowBytes);
  EXPECT_EQ(got, Bytes(kTileBytes, 0));
}

TEST_F(AmxTest, RowsMayLieBackwardsOrOnTopOfEachOther) {
  const Bytes source = RandomBytes(random_, kTileBytes);
  AmxBegin();
  Bytes got(kTileBytes);
  TileLoad<2>(source.data() + 15 * kRowBytes, -kRowBytes);
  TileStore<2>(got.data() + 15 * kRowBytes, -kRowBytes);
  EXPECT_EQ(got, source);
  TileLoad<2>(source.data(), 0);
  TileStore<2>(got.data(), kRowBytes);
  for (int r = 0; r < 16; ++r) EXPECT_EQ(std::memcmp(got.data() + r * kRowBytes, source.data(), kRowBytes), 0);
}

TEST_F(AmxTest, EachThreadHasItsOwnTiles) {
  std::vector<std::thread> threads(3);
  std::vector<Bytes> sources(3);
  std::vector<Bytes> stored(3, Bytes(kTileBytes));
  for (Bytes& source : sources) source = RandomBytes(random_, kTileBytes);
  for (size_t i = 0; i < sources.size(); ++i) {
    threads[i] = std::thread([&, i] {
      AmxBegin();
      TileLoad<5>(sources[i].data(), kRowBytes);
      for (int n = 0; n < 20; ++n) {
        std::this_thread::yield();
        TileStore<5>(stored[i].data(), kRowBytes);
        TileLoad<5>(stored[i].data(), kRowBytes);
      }
      AmxEnd();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(stored, sources);
}

// ---- What the compiler knows: it may neither drop nor move what fills, overwrites or reads the memory ----
//
// With weaker wrappers each of these fails in a release build of GCC 12; with Clang none does, which takes assembly
// that is volatile for such as touches all memory.

// Nothing but the instruction reads `rows`.
__attribute__((noinline)) void FillAndLoad(int seed) {
  uint8_t rows[kTileBytes];
  for (int i = 0; i < kTileBytes; ++i) rows[i] = static_cast<uint8_t>(seed + i % 251);
  TileLoad<0>(rows, kRowBytes);
}

TEST_F(AmxTest, LoadsSeeWhatWasWrittenBefore) {
  AmxBegin();
  for (int seed : {1, 90}) {
    FillAndLoad(seed);
    Bytes got(kTileBytes);
    TileStore<0>(got.data(), kRowBytes);
    for (int i = 0; i < kTileBytes; ++i) {
      ASSERT_EQ(got[static_cast<size_t>(i)], static_cast<uint8_t>(seed + i % 251)) << "byte " << i;
    }
  }
}

// Nothing but the instruction reads `rows` as filled first.
__attribute__((noinline)) void FillLoadOverwrite(uint8_t* rows, int first, int second) {
  std::memset(rows, first, kTileBytes);
  TileLoad<0>(rows, kRowBytes);
  std::memset(rows, second, kTileBytes);
}

TEST_F(AmxTest, LoadsDoNotSeeWhatIsWrittenAfterwards) {
  AmxBegin();
  Bytes rows(kTileBytes);
  FillLoadOverwrite(rows.data(), 5, 6);
  EXPECT_EQ(rows, Bytes(kTileBytes, 6));
  TileStore<0>(rows.data(), kRowBytes);
  EXPECT_EQ(rows, Bytes(kTileBytes, 5));
}

// Nothing but the instruction writes what is returned.
__attribute__((noinline)) int ZeroStoreRead() {
  uint8_t rows[kTileBytes];
  std::memset(rows, 0, sizeof(rows));
  TileStore<1>(rows, kRowBytes);
  return rows[0] + rows[kTileBytes - 1];
}

TEST_F(AmxTest, StoresAreSeenByWhatReadsAfterwards) {
  AmxBegin();
  const Bytes source(kTileBytes, 3);
  TileLoad<1>(source.data(), kRowBytes);
  EXPECT_EQ(ZeroStoreRead(), 6);
}

// Nothing but the instruction reads `config`.
__attribute__((noinline)) void FillConfigAndLoad(int rows, int row_bytes) {
  TileConfig config;
  for (int t = 0; t < 8; ++t) {
    config.rows[t] = static_cast<uint8_t>(rows);
    config.row_bytes[t] = static_cast<uint16_t>(row_bytes);
  }
  LoadTileConfig(config);
}

TEST_F(AmxTest, ConfigurationsAreReadWhole) {
  const Bytes source = RandomBytes(random_, kTileBytes);
  for (int rows : {5, 12}) {
    FillConfigAndLoad(rows, 4 * rows);
    ForEachTile([&]<int kTile>() {
      TileLoad<kTile>(source.data(), kRowBytes);
      Bytes got(kTileBytes);
      TileStore<kTile>(got.data(), 4 * rows);
      Bytes want(kTileBytes);
      for (int r = 0; r < rows; ++r) std::memcpy(want.data() + r * 4 * rows, source.data() + r * kRowBytes, 4 * rows);
      EXPECT_EQ(got, want) << "tile " << kTile;
    });
  }
}

// ---- Addresses: the emulator decodes them ----

// Executes `instruction`, whose memory operand is made of the registers `base` and `index`.
#define EXECUTE_AT(instruction, base, index, base_value, index_value)      \
  asm volatile("mov %0, %%" base "\n\tmov %1, %%" index "\n\t" instruction \
               :                                                           \
               : "m"(base_value), "m"(index_value)                         \
               : base, index, "memory")

TEST_F(AmxTest, EveryFormOfAddress) {
  AmxBegin();
  const Bytes memory = RandomBytes(random_, 8192);
  const auto address = std::bit_cast<uint64_t>(memory.data());
  const auto expect_rows = [&](uint64_t first, uint64_t stride) {
    Bytes got(kTileBytes);
    TileStore<6>(got.data(), kRowBytes);
    for (uint64_t r = 0; r < 16; ++r) {
      EXPECT_EQ(std::memcmp(got.data() + r * kRowBytes, memory.data() + first + r * stride, kRowBytes), 0) << r;
    }
    TileZero<6>();
  };
#define EXPECT_ADDRESS(displacement, base, index, scale, index_value)                                               \
  do {                                                                                                              \
    SCOPED_TRACE(#displacement "(" base ", " index ", " #scale ")");                                                \
    const uint64_t base_address = address + 1024 - (displacement);                                                  \
    const uint64_t index_number = (index_value);                                                                    \
    EXECUTE_AT("tileloadd " #displacement "(%%" base ",%%" index "," #scale "), %%tmm6", base, index, base_address, \
               index_number);                                                                                       \
    expect_rows(1024, uint64_t{scale} * index_number);                                                              \
  } while (false)
  EXPECT_ADDRESS(0, "rax", "rcx", 1, 64);
  EXPECT_ADDRESS(0x40, "rdx", "rsi", 1, 96);
  EXPECT_ADDRESS(-0x80, "rdi", "rax", 2, 32);
  EXPECT_ADDRESS(0x12345, "rcx", "rdx", 4, 24);
  EXPECT_ADDRESS(-0x12345, "rsi", "rdi", 8, 10);
  EXPECT_ADDRESS(0, "rbx", "r9", 1, 66);
  EXPECT_ADDRESS(0, "r8", "rbx", 1, 65);
  EXPECT_ADDRESS(0x7f, "r10", "r11", 2, 50);
  EXPECT_ADDRESS(0x80, "r12", "r13", 4, 20);
  EXPECT_ADDRESS(0, "r13", "r12", 8, 12);  // r13 has a displacement of one byte even for 0; r12 is an index, rsp not
  EXPECT_ADDRESS(-1, "r14", "r15", 1, 200);
  EXPECT_ADDRESS(0x7ffffff, "r15", "r14", 1, 64);
  EXPECT_ADDRESS(8, "rax", "r8", 1, 64);
  EXPECT_ADDRESS(8, "r8", "rax", 1, 64);
#undef EXPECT_ADDRESS

  asm volatile("tileloadd 0x20(%0), %%tmm6" : : "r"(memory.data()) : "memory");  // no index: a stride of 0
  expect_rows(0x20, 0);

  // The frame pointer, which cannot be a clobber.
  uint64_t base = address + 1024;
  asm volatile(
      "xchg %0, %%rbp\n\t"
      "tileloadd 0(%%rbp,%1,1), %%tmm6\n\t"
      "xchg %0, %%rbp"
      : "+a"(base)
      : "c"(int64_t{72})
      : "memory");
  expect_rows(1024, 72);

  // The stack pointer, below the 128 bytes that a function may use without moving it.
  Bytes got(kTileBytes);
  asm volatile(
      "lea -128(%%rsp), %%rsp\n\t"
      "push (%0)\n\t"
      "tileloadd (%%rsp), %%tmm6\n\t"
      "lea 136(%%rsp), %%rsp"
      :
      : "r"(memory.data())
      : "memory");
  TileStore<6>(got.data(), kRowBytes);
  EXPECT_EQ(std::memcmp(got.data() + 15 * kRowBytes, memory.data(), 8), 0);
}

TEST_F(AmxTest, AddressWithoutBase) {
  constexpr uint64_t kAddress = 0x20000000;
  void* low = mmap(std::bit_cast<void*>(kAddress), 4096, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (low != std::bit_cast<void*>(kAddress)) GTEST_SKIP() << "no memory at a low address";
  const Bytes source = RandomBytes(random_, kTileBytes);
  std::memcpy(low, source.data(), source.size());
  AmxBegin();
  asm volatile("tileloadd 0x20000000(,%0,2), %%tmm7" : : "r"(int64_t{32}) : "memory");
  Bytes got(kTileBytes);
  TileStore<7>(got.data(), kRowBytes);
  EXPECT_EQ(got, source);
  munmap(low, 4096);
}

TEST_F(AmxTest, ConfigurationsByEveryFormOfAddress) {
  static const TileConfig static_config = WholeTiles();
  const auto expect_configured = [&] {
    const Bytes source = RandomBytes(random_, kTileBytes);
    Bytes got(kTileBytes);
    TileLoad<4>(source.data(), kRowBytes);
    TileStore<4>(got.data(), kRowBytes);
    EXPECT_EQ(got, source);
    TileRelease();
  };
  const auto address = std::bit_cast<uint64_t>(&static_config);
  asm volatile("ldtilecfg %0" : : "m"(static_config));  // relative to the instruction pointer
  expect_configured();
#define EXPECT_CONFIGURED(displacement, operand, base, index, index_value)     \
  do {                                                                         \
    SCOPED_TRACE(operand);                                                     \
    const uint64_t base_address = address - (displacement);                    \
    const uint64_t index_number = (index_value);                               \
    EXECUTE_AT("ldtilecfg " operand, base, index, base_address, index_number); \
    expect_configured();                                                       \
  } while (false)
  EXPECT_CONFIGURED(0, "(%%rax)", "rax", "rcx", 0);
  EXPECT_CONFIGURED(16, "16(%%rdx)", "rdx", "rcx", 0);
  EXPECT_CONFIGURED(0, "(%%r12)", "r12", "rcx", 0);
  EXPECT_CONFIGURED(0, "(%%r13)", "r13", "rcx", 0);
  EXPECT_CONFIGURED(-1000, "-1000(%%r9)", "r9", "rcx", 0);
  EXPECT_CONFIGURED(1032, "1000(%%r8,%%r10,4)", "r8", "r10", 8);
#undef EXPECT_CONFIGURED
}

// ---- Products ----

struct Shape {
  int64_t m, n, k;  // C: [m][n], A: [m][k], B: [k][n] elements of 4 bytes
};

constexpr Shape kShapes[] = {{16, 16, 16}, {1, 1, 1}, {3, 5, 7}, {16, 1, 16}, {9, 16, 2}, {2, 16, 16}};

// C (tile 0) after `product` on A (tile 6) and B (tile 3).
template <typename Product>
Bytes Multiplied(const Shape& shape, const Bytes& c, const Bytes& a, const Bytes& b, Product product) {
  TileConfig config;
  const auto set_shape = [&](int tile, int64_t rows, int64_t elements) {
    config.rows[tile] = static_cast<uint8_t>(rows);
    config.row_bytes[tile] = static_cast<uint16_t>(4 * elements);
  };
  set_shape(0, shape.m, shape.n);
  set_shape(6, shape.m, shape.k);
  set_shape(3, shape.k, shape.n);
  LoadTileConfig(config);
  TileLoad<0>(c.data(), 4 * shape.n);
  TileLoad<6>(a.data(), 4 * shape.k);
  TileLoad<3>(b.data(), 4 * shape.n);
  product();
  Bytes got(c.size());
  TileStore<0>(got.data(), 4 * shape.n);
  return got;
}

template <typename T>
T At(const Bytes& bytes, int64_t i) {
  T value;
  std::memcpy(&value, bytes.data() + static_cast<size_t>(i) * sizeof(T), sizeof(T));
  return value;
}

// Sums modulo 2^32.
template <typename A, typename B>
Bytes IntegerProduct(const Shape& shape, const Bytes& c, const Bytes& a, const Bytes& b) {
  Bytes want(c.size());
  for (int64_t m = 0; m < shape.m; ++m) {
    for (int64_t n = 0; n < shape.n; ++n) {
      int64_t sum = At<int32_t>(c, m * shape.n + n);
      for (int64_t k = 0; k < 4 * shape.k; ++k) {
        sum += int64_t{At<A>(a, 4 * m * shape.k + k)} * At<B>(b, 4 * (k / 4 * shape.n + n) + k % 4);
      }
      const auto wrapped = static_cast<uint32_t>(sum);
      std::memcpy(want.data() + static_cast<size_t>(m * shape.n + n) * 4, &wrapped, 4);
    }
  }
  return want;
}

template <typename A, typename B, typename Product>
void CheckIntegers(std::mt19937& random, Product product) {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(testing::Message() << shape.m << " x " << shape.n << " x " << shape.k);
    const auto elements = [](int64_t rows, int64_t columns) { return static_cast<size_t>(4 * rows * columns); };
    const Bytes c = RandomBytes(random, elements(shape.m, shape.n));  // anywhere in 32 bits: some sums wrap
    const Bytes a = RandomBytes(random, elements(shape.m, shape.k));
    const Bytes b = RandomBytes(random, elements(shape.k, shape.n));
    EXPECT_EQ(Multiplied(shape, c, a, b, product), (IntegerProduct<A, B>(shape, c, a, b)));
    for (uint8_t extreme : {0x7f, 0x80, 0xff}) {
      const Bytes extremes(b.size(), extreme);
      EXPECT_EQ(Multiplied(shape, c, a, extremes, product), (IntegerProduct<A, B>(shape, c, a, extremes)));
    }
  }
}

TEST_F(AmxTest, SignedBySignedBytes) {
  CheckIntegers<int8_t, int8_t>(random_, [] { asm volatile("tdpbssd %tmm3, %tmm6, %tmm0"); });
}
TEST_F(AmxTest, SignedByUnsignedBytes) { CheckIntegers<int8_t, uint8_t>(random_, &TileDpbsud<0, 6, 3>); }
TEST_F(AmxTest, UnsignedBySignedBytes) {
  CheckIntegers<uint8_t, int8_t>(random_, [] { asm volatile("tdpbusd %tmm3, %tmm6, %tmm0"); });
}
TEST_F(AmxTest, UnsignedByUnsignedBytes) {
  CheckIntegers<uint8_t, uint8_t>(random_, [] { asm volatile("tdpbuud %tmm3, %tmm6, %tmm0"); });
}

Bytes RandomBf16(std::mt19937& random, size_t count) {
  std::normal_distribution<float> normal;
  Bytes bytes;
  for (size_t i = 0; i < count; ++i) {
    const uint16_t value = ToBf16(normal(random));
    bytes.push_back(static_cast<uint8_t>(value));
    bytes.push_back(static_cast<uint8_t>(value >> 8));
  }
  return bytes;
}

TEST_F(AmxTest, PairsOfBf16) {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(testing::Message() << shape.m << " x " << shape.n << " x " << shape.k);
    const Bytes a = RandomBf16(random_, static_cast<size_t>(2 * shape.m * shape.k));
    const Bytes b = RandomBf16(random_, static_cast<size_t>(2 * shape.k * shape.n));
    const Bytes c = RandomBf16(random_, static_cast<size_t>(2 * shape.m * shape.n));  // odd float32, but numbers
    const Bytes got = Multiplied(shape, c, a, b, &TileDpbf16ps<0, 6, 3>);
    for (int64_t m = 0; m < shape.m; ++m) {
      for (int64_t n = 0; n < shape.n; ++n) {
        double sum = At<float>(c, m * shape.n + n);
        double magnitudes = std::abs(sum);
        for (int64_t k = 0; k < 2 * shape.k; ++k) {
          const double x = FromBf16(At<uint16_t>(a, 2 * m * shape.k + k));
          const double y = FromBf16(At<uint16_t>(b, 2 * (k / 2 * shape.n + n) + k % 2));
          sum += x * y;
          magnitudes += std::abs(x * y);
        }
        EXPECT_NEAR(At<float>(got, m * shape.n + n), sum, 1e-6 * magnitudes);
      }
    }
  }
}

// c + a0 * b0 + a1 * b1 by one product.
float OnePair(float c, float a0, float b0, float a1, float b1) {
  const auto bytes = [](auto value) {
    Bytes out(4);
    std::memcpy(out.data(), &value, 4);
    return out;
  };
  const auto pair = [](float even, float odd) { return uint32_t{ToBf16(odd)} << 16 | ToBf16(even); };
  const Bytes sum = Multiplied({1, 1, 1}, bytes(c), bytes(pair(a0, a1)), bytes(pair(b0, b1)), &TileDpbf16ps<0, 6, 3>);
  return At<float>(sum, 0);
}

TEST_F(AmxTest, Bf16SubnormalsAreZerosAndSpecialValuesSpread) {
  EXPECT_EQ(OnePair(0.5f, 2, 3, 4, 5), 26.5f);
  EXPECT_EQ(OnePair(0, 0x1p-130f, 0x1p100f, 0, 0), 0.0f);         // a subnormal factor
  EXPECT_EQ(OnePair(0, 0x1p100f, 0x1p-130f, 0, 0), 0.0f);         // the other one
  EXPECT_EQ(OnePair(0, 0, 0, 0x1p100f, 0x1p-130f), 0.0f);         // in the odd pair
  EXPECT_EQ(OnePair(0x1p-130f, 0, 0, 0, 0), 0.0f);                // a subnormal sum before
  EXPECT_EQ(OnePair(0, 0x1p-70f, 0x1p-70f, 0, 0), 0.0f);          // a subnormal product
  EXPECT_EQ(OnePair(0x1.8p-126f, -0x1p-63f, 0x1p-63f, 0, 0), 0);  // a subnormal sum after
  EXPECT_EQ(OnePair(0, 0x1p-63f, 0x1p-63f, 0, 0), 0x1p-126f);     // the smallest that is none
  EXPECT_EQ(OnePair(0, 0x1p100f, 0x1p100f, 0, 0), INFINITY);
  EXPECT_EQ(OnePair(0, -0x1p100f, 0x1p100f, 1, 1), -INFINITY);
  EXPECT_TRUE(std::isnan(OnePair(0, INFINITY, 0, 1, 1)));
  EXPECT_TRUE(std::isnan(OnePair(0, 1, 1, NAN, 1)));
  EXPECT_TRUE(std::isnan(OnePair(NAN, 1, 1, 1, 1)));
}

// ---- What the CPU refuses ----

TEST_F(AmxTest, RefusesWhatTheManualForbids) {
  const Bytes memory(kTileBytes);
  EXPECT_DEATH(TileZero<0>(), "") << "no configuration";
  EXPECT_DEATH(
      {
        AmxBegin();
        AmxEnd();
        TileLoad<0>(memory.data(), kRowBytes);
      },
      "")
      << "a released one";
  AmxBegin();
  // tdpbsud %tmm2, %tmm2, %tmm1, which the assembler refuses too
  EXPECT_DEATH(asm volatile(".byte 0xc4, 0xe2, 0x6a, 0x5e, 0xca"), "") << "a tile twice";
  TileConfig config = WholeTiles();
  config.rows[7] = 0;
  config.row_bytes[7] = 0;
  config.rows[6] = 3;
  LoadTileConfig(config);
  EXPECT_DEATH(TileZero<7>(), "") << "a tile without rows";
  EXPECT_DEATH((TileDpbsud<0, 1, 6>()), "") << "B of too few rows";
  EXPECT_DEATH((TileDpbsud<0, 6, 1>()), "") << "A of too few rows";
  const auto changed = [](auto change) {
    TileConfig wrong = WholeTiles();
    change(wrong);
    LoadTileConfig(wrong);
  };
  EXPECT_DEATH(changed([](TileConfig& wrong) { wrong.rows[2] = 17; }), "");
  EXPECT_DEATH(changed([](TileConfig& wrong) { wrong.row_bytes[2] = 65; }), "");
  EXPECT_DEATH(changed([](TileConfig& wrong) { wrong.rows[2] = 0; }), "");
  EXPECT_DEATH(changed([](TileConfig& wrong) { wrong.palette = 2; }), "");
  EXPECT_DEATH(changed([](TileConfig& wrong) { wrong.reserved[13] = 1; }), "");
  EXPECT_DEATH(changed([](TileConfig& wrong) { wrong.rows[8] = wrong.row_bytes[8] = 1; }), "");
}

int skipped_signals = 0;

void SkipTwoBytes(int, siginfo_t*, void* context) {
  ++skipped_signals;
  static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP] += 2;
}

TEST(AmxEmulatorTest, PassesOtherIllegalInstructionsOn) {
  struct sigaction action = {};
  struct sigaction before;
  action.sa_sigaction = &SkipTwoBytes;
  action.sa_flags = SA_SIGINFO;
  ASSERT_EQ(sigaction(SIGILL, &action, &before), 0);
  {
    ScopedAmxEmulator emulator;
    asm volatile("ud2");
    EXPECT_EQ(skipped_signals, 1);
    AmxBegin();
    AmxEnd();
    EXPECT_EQ(skipped_signals, 1);
  }
  asm volatile("ud2");
  EXPECT_EQ(skipped_signals, 2) << "the handler from before is back";
  ASSERT_EQ(sigaction(SIGILL, &before, nullptr), 0);
}

// ---- The products of whole panels ----

constexpr int64_t kPanelColumns = 32;
constexpr int64_t kSums = 32 * kPanelColumns;
constexpr int64_t kCanaries = 64;
constexpr uint32_t kCanary = 0xdeadbeef;

struct Problem {
  int64_t rows, groups;
  int64_t stride = 0;  // of a, a little more than the groups
  Bytes a, panel;
  std::vector<uint32_t> sums;

  // How many rows of a may be read.
  int64_t padded_rows() const { return (rows + 15) / 16 * 16; }
  // Element e of group g.
  template <typename T>
  T A(int64_t row, int64_t g, int64_t e) const {
    T value;
    std::memcpy(&value, a.data() + row * stride + 4 * g + e * static_cast<int64_t>(sizeof(T)), sizeof(T));
    return value;
  }
  template <typename T>
  T B(int64_t g, int64_t j, int64_t e) const {
    T value;
    std::memcpy(&value, panel.data() + 4 * (g * kPanelColumns + j) + e * static_cast<int64_t>(sizeof(T)), sizeof(T));
    return value;
  }
  template <typename T>
  T Sum(int64_t row, int64_t j) const {
    return std::bit_cast<T>(sums[static_cast<size_t>(row * kPanelColumns + j)]);
  }
};

// The allocation ends with the last byte that may be read, so that sanitizers see what reads more.
Problem NewProblem(int64_t rows, int64_t groups) {
  Problem problem{.rows = rows, .groups = groups, .stride = 4 * groups + 64};
  problem.a.resize(static_cast<size_t>((problem.padded_rows() - 1) * problem.stride + 4 * groups), 0xff);
  problem.panel.resize(static_cast<size_t>(4 * groups * kPanelColumns));
  problem.sums.assign(static_cast<size_t>(kSums + kCanaries), kCanary);
  return problem;
}

void ExpectCanaries(const Problem& problem) {
  const auto written = static_cast<size_t>(problem.padded_rows() * kPanelColumns);
  for (size_t i = written; i < problem.sums.size(); ++i) ASSERT_EQ(problem.sums[i], kCanary) << i;
}

constexpr int64_t kGroupCounts[] = {16, 32, 48, 192};

void ExpectIntegerSums(Problem& problem) {
  SCOPED_TRACE(testing::Message() << problem.rows << " rows, " << problem.groups << " groups");
  AmxBegin();
  AmxInt8Tile(problem.a.data(), problem.stride, problem.panel.data(), problem.groups, problem.rows,
              problem.sums.data());
  AmxEnd();
  for (int64_t r = 0; r < problem.rows; ++r) {
    for (int64_t j = 0; j < kPanelColumns; ++j) {
      int32_t want = 0;
      for (int64_t i = 0; i < 4 * problem.groups; ++i) {
        want += int32_t{problem.A<int8_t>(r, i / 4, i % 4)} * problem.B<uint8_t>(i / 4, j, i % 4);
      }
      ASSERT_EQ(problem.Sum<int32_t>(r, j), want) << "row " << r << " column " << j;
    }
  }
  ExpectCanaries(problem);
}

TEST_F(AmxTest, Int8TileIsExact) {
  for (int64_t groups : kGroupCounts) {
    for (int64_t rows = 1; rows <= 32; ++rows) {
      Problem problem = NewProblem(rows, groups);
      std::generate_n(problem.a.begin(), (rows - 1) * problem.stride + 4 * groups,
                      [&] { return static_cast<uint8_t>(static_cast<int>(random_() % 255) - 127); });
      for (uint8_t& byte : problem.panel) byte = static_cast<uint8_t>(random_());
      ExpectIntegerSums(problem);
    }
  }
}

TEST_F(AmxTest, Int8TileOfExtremes) {
  for (int a : {-127, 127}) {
    for (int b : {0, 255}) {
      Problem problem = NewProblem(17, 192);
      std::fill(problem.a.begin(), problem.a.end(), static_cast<uint8_t>(a));
      std::fill(problem.panel.begin(), problem.panel.end(), static_cast<uint8_t>(b));
      ExpectIntegerSums(problem);
    }
  }
}

// Rows that hold a NaN must be NaN, others near the sum in double.
void ExpectBf16Sums(Problem& problem) {
  SCOPED_TRACE(testing::Message() << problem.rows << " rows, " << problem.groups << " groups");
  AmxBegin();
  AmxBf16Tile(problem.a.data(), problem.stride, problem.panel.data(), problem.groups, problem.rows,
              problem.sums.data());
  AmxEnd();
  for (int64_t r = 0; r < problem.rows; ++r) {
    for (int64_t j = 0; j < kPanelColumns; ++j) {
      double want = 0;
      double magnitudes = 0;
      for (int64_t i = 0; i < 2 * problem.groups; ++i) {
        const double x = FromBf16(problem.A<uint16_t>(r, i / 2, i % 2));
        const double product = x * FromBf16(problem.B<uint16_t>(i / 2, j, i % 2));
        want += product;
        magnitudes += std::abs(product);
      }
      const float got = problem.Sum<float>(r, j);
      if (std::isnan(want)) {
        ASSERT_TRUE(std::isnan(got)) << "row " << r << " column " << j;
      } else {
        ASSERT_NEAR(got, want, 1e-5 * magnitudes) << "row " << r << " column " << j;
      }
    }
  }
  ExpectCanaries(problem);
}

// Rows beyond the last one are NaN (0xffff).
Problem RandomBf16Problem(std::mt19937& random, int64_t rows, int64_t groups) {
  Problem problem = NewProblem(rows, groups);
  for (int64_t r = 0; r < rows; ++r) {
    const Bytes row = RandomBf16(random, static_cast<size_t>(2 * groups));
    std::copy(row.begin(), row.end(), problem.a.begin() + r * problem.stride);
  }
  problem.panel = RandomBf16(random, static_cast<size_t>(2 * groups * kPanelColumns));
  return problem;
}

TEST_F(AmxTest, Bf16TileIsNearTheSumInDouble) {
  for (int64_t groups : kGroupCounts) {
    for (int64_t rows = 1; rows <= 32; ++rows) {
      Problem problem = RandomBf16Problem(random_, rows, groups);
      ExpectBf16Sums(problem);
    }
  }
}

TEST_F(AmxTest, NaNStaysInItsRow) {
  for (int64_t nan_row : {0, 15, 16, 20}) {
    Problem problem = RandomBf16Problem(random_, 21, 48);
    const uint16_t nan = ToBf16(NAN);
    std::memcpy(problem.a.data() + nan_row * problem.stride + 66, &nan, sizeof(nan));
    ExpectBf16Sums(problem);
    EXPECT_TRUE(std::isnan(problem.Sum<float>(nan_row, 31)));
  }
}

TEST_F(AmxTest, ThreadsMultiplyAtOnce) {
  std::vector<std::thread> threads(3);
  for (unsigned seed = 0; seed < threads.size(); ++seed) {
    threads[seed] = std::thread([seed] {
      std::mt19937 random(seed);
      for (int n = 0; n < 5; ++n) {
        Problem problem = RandomBf16Problem(random, 32, 48);
        ExpectBf16Sums(problem);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace eyeshot::x86
