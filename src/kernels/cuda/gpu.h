// The dialect that the kernels of this folder are written in: CUDA C++ by nvcc, and plain C++ for the emulator, so that
// every kernel, its indices, barriers and tensor core fragments included, runs in tests on machines without a GPU.
//
// Kernels (files *-inl.h) use nothing of CUDA but what is here. Pointers are device memory. Shared memory is dynamic
// alone.
#ifndef EYESHOT_KERNELS_CUDA_GPU_H_
#define EYESHOT_KERNELS_CUDA_GPU_H_

#include <cstddef>
#include <cstdint>

#if defined(EYESHOT_CUDA_EMULATED)
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/cuda/emulator.h"
#include "tensor/dtype.h"
#define EYESHOT_DEVICE inline
#define EYESHOT_KERNEL(threads) static void
#define EYESHOT_RESIDENT_KERNEL(threads, blocks) static void
#define EYESHOT_UNROLL
#else
#include <cuda_runtime.h>

#include <map>
#include <mutex>
#include <utility>

#define EYESHOT_DEVICE __device__ __forceinline__
// A kernel that is launched with at most so many threads a block.
#define EYESHOT_KERNEL(threads) static __global__ void __launch_bounds__(threads)
// The same, with registers so few that `blocks` blocks find room on a multiprocessor.
#define EYESHOT_RESIDENT_KERNEL(threads, blocks) static __global__ void __launch_bounds__(threads, blocks)
#define EYESHOT_UNROLL _Pragma("unroll")
#endif

namespace eyeshot::cuda {

constexpr int kWarp = 32;

// bfloat16, as bits.
struct Bf16 {
  uint16_t bits;
};

struct alignas(16) Vec16 {  // 16 bytes that are loaded and stored as one
  uint32_t word[4];
};

struct Grid {
  int64_t x = 1;
  int64_t y = 1;  // at most 65,535
  int64_t z = 1;  // the same
};

using StreamHandle = void*;  // cudaStream_t

#if defined(EYESHOT_CUDA_EMULATED)

inline int ThreadIndex() { return emulator::Current().thread; }
inline int BlockThreads() { return emulator::Current().threads; }
inline int BlockX() { return emulator::Current().block_x; }
inline int BlockY() { return emulator::Current().block_y; }
inline int BlockZ() { return emulator::Current().block_z; }
inline int GridX() { return emulator::Current().grid_x; }
inline void SyncThreads() { emulator::BlockBarrier(); }
inline void SyncWarp() { emulator::WarpBarrier(); }
inline void WaitForPrevious() { emulator::MarkWaited(); }
inline unsigned char* SharedMemory() { return emulator::SharedMemory(); }

template <typename T>
T Shuffle(T value, int lane) {
  T all[kWarp];
  emulator::Exchange(&value, sizeof(T), all);
  return all[lane & (kWarp - 1)];
}
template <typename T>
T ShuffleXor(T value, int mask) {
  return Shuffle(value, (emulator::Current().thread ^ mask) & (kWarp - 1));
}

inline float FromBf16(Bf16 value) { return std::bit_cast<float>(static_cast<uint32_t>(value.bits) << 16); }
inline Bf16 ToBf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if (std::isnan(value)) return {static_cast<uint16_t>((bits >> 16) | 0x40u)};
  return {static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}
inline uint32_t PackBf16(float low, float high) {
  return static_cast<uint32_t>(ToBf16(low).bits) | static_cast<uint32_t>(ToBf16(high).bits) << 16;
}
inline uint32_t LowHalves(uint32_t a, uint32_t b) { return (a & 0xffffu) | b << 16; }
inline uint32_t HighHalves(uint32_t a, uint32_t b) { return a >> 16 | (b & 0xffff0000u); }
inline uint32_t SpreadLowBytes(uint32_t a) { return (a & 0xffu) << 8 | (a & 0xff00u) << 16; }
inline uint32_t SpreadHighBytes(uint32_t a) { return (a >> 8 & 0xff00u) | (a & 0xff000000u); }
inline uint32_t RoundToInt(float value) { return static_cast<uint32_t>(std::nearbyint(value)); }
inline float FromHalf(uint16_t bits) { return F32FromF16(bits); }
inline float FloatFromBits(uint32_t bits) { return std::bit_cast<float>(bits); }
inline uint32_t BitsOfFloat(float value) { return std::bit_cast<uint32_t>(value); }
inline Vec16 Load16(const void* from) {
  emulator::CheckAligned(from, sizeof(Vec16));
  Vec16 value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}
inline Vec16 LoadOnce16(const void* from) { return Load16(from); }
inline uint32_t LoadOnce4(const void* from) {
  emulator::CheckAligned(from, sizeof(uint32_t));
  uint32_t value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}
inline void Store16(void* to, const Vec16& value) {
  emulator::CheckAligned(to, sizeof(Vec16));
  std::memcpy(to, &value, sizeof(value));
}
inline float LoadFresh4(const float* from) { return *from; }
inline Vec16 LoadFresh16(const void* from) { return Load16(from); }
inline uint32_t AtomicIncrement(uint32_t* counter) { return (*counter)++; }
inline double Log(double x) { return std::log(x); }
inline float FastExp2(float x) { return std::exp2(x); }
inline float Log2(float x) { return std::log2(x); }
inline float Exp(float x) { return std::exp(x); }
inline float Tanh(float x) { return std::tanh(x); }
inline float Erfc(float x) { return std::erfc(x); }
inline float Rsqrt(float x) { return 1.0f / std::sqrt(x); }
inline float Max(float a, float b) { return a > b ? a : b; }
inline void SinCos(float x, float* sine, float* cosine) {
  *sine = std::sin(x);
  *cosine = std::cos(x);
}
// See below.
inline void MmaBf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  struct Fragments {
    uint32_t a[4];
    uint32_t b[2];
  };
  Fragments own;
  for (int i = 0; i < 4; ++i) own.a[i] = a[i];
  for (int i = 0; i < 2; ++i) own.b[i] = b[i];
  Fragments all[kWarp];
  emulator::Exchange(&own, sizeof(own), all);
  const auto half = [](uint32_t word, int k) { return FromBf16({static_cast<uint16_t>(word >> (16 * (k & 1)))}); };
  const auto a_at = [&](int row, int k) { return half(all[row % 8 * 4 + k % 8 / 2].a[row / 8 + k / 8 * 2], k); };
  const auto b_at = [&](int k, int column) { return half(all[column * 4 + k % 8 / 2].b[k / 8], k); };
  const int lane = emulator::Current().thread & (kWarp - 1);
  for (int i = 0; i < 4; ++i) {
    const int row = lane / 4 + i / 2 * 8;
    const int column = lane % 4 * 2 + i % 2;
    float sum = 0;
    for (int k = 0; k < 16; ++k) sum += a_at(row, k) * b_at(k, column);
    d[i] += sum;
  }
}

// See below. Each lane brings its row, as the instruction does.
inline void LoadMatrices(const void* row, uint32_t (&words)[4]) {
  const Vec16 own = Load16(row);
  Vec16 rows[kWarp];
  emulator::Exchange(&own, sizeof(own), rows);
  const int lane = emulator::Current().thread & (kWarp - 1);
  for (int i = 0; i < 4; ++i) words[i] = rows[8 * i + lane / 4].word[lane % 4];
}
inline void LoadMatricesTransposed(const void* row, uint32_t (&words)[4]) {
  const Vec16 own = Load16(row);
  Vec16 rows[kWarp];
  emulator::Exchange(&own, sizeof(own), rows);
  const int lane = emulator::Current().thread & (kWarp - 1);
  const int column = lane / 4;
  const auto at = [&](int r) { return (rows[r].word[column / 2] >> (16 * (column % 2))) & 0xffffu; };
  for (int i = 0; i < 4; ++i) words[i] = at(8 * i + lane % 4 * 2) | at(8 * i + lane % 4 * 2 + 1) << 16;
}

// Copies happen as late as they may, at AsyncWait(), and until then the target is NaN, so that a missing wait shows.
struct AsyncCopy {
  void* to;
  const void* from;  // null: zeros
};
inline thread_local std::vector<AsyncCopy> async_copies[1024];  // of each thread of the block
inline void AsyncCopy16(void* shared, const void* from, bool valid) {
  emulator::CheckAligned(shared, sizeof(Vec16));
  if (valid) emulator::CheckAligned(from, sizeof(Vec16));
  std::memset(shared, 0xff, sizeof(Vec16));
  async_copies[emulator::Current().thread].push_back({shared, valid ? from : nullptr});
}
inline void AsyncWait() {
  std::vector<AsyncCopy>& copies = async_copies[emulator::Current().thread];
  for (const AsyncCopy& copy : copies) Store16(copy.to, copy.from == nullptr ? Vec16{} : Load16(copy.from));
  copies.clear();
}

// Blocks of a kernel that a GPU has at a time.
template <typename... P>
int64_t ResidentBlocks(void (*)(P...), int, size_t) {
  return 2;  // few, so that kernels whose blocks go on to further work do so in tests
}

// Enqueues a kernel, with its arguments as they are now.
template <typename... P, typename... A>
void Launch(void (*kernel)(P...), Grid grid, int threads, size_t shared_bytes, StreamHandle stream, A... args) {
  emulator::Enqueue(static_cast<emulator::Queue*>(stream), [=] {
    emulator::Run(grid.x, grid.y, grid.z, threads, shared_bytes, [&] { kernel(static_cast<P>(args)...); });
  });
}

#else

EYESHOT_DEVICE int ThreadIndex() { return static_cast<int>(threadIdx.x); }
EYESHOT_DEVICE int BlockThreads() { return static_cast<int>(blockDim.x); }
EYESHOT_DEVICE int BlockX() { return static_cast<int>(blockIdx.x); }
EYESHOT_DEVICE int BlockY() { return static_cast<int>(blockIdx.y); }
EYESHOT_DEVICE int BlockZ() { return static_cast<int>(blockIdx.z); }
EYESHOT_DEVICE int GridX() { return static_cast<int>(gridDim.x); }
EYESHOT_DEVICE void SyncThreads() { __syncthreads(); }
EYESHOT_DEVICE void SyncWarp() { __syncwarp(); }
// Every thread of every kernel calls this once, before it reads what another kernel may write and before it writes
// anything: it waits until the kernels before have ended. From Hopper on a kernel's blocks may start while the one
// before ends, so that what is done earlier, such as loads of weights, costs no time (programmatic dependent launch,
// CUDA C++ Programming Guide); the next kernel's may from here on.
EYESHOT_DEVICE void WaitForPrevious() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
EYESHOT_DEVICE unsigned char* SharedMemory() {
  extern __shared__ __align__(128) unsigned char shared[];
  return shared;
}

// The value of lane `lane` (all lanes of the warp call together).
template <typename T>
EYESHOT_DEVICE T Shuffle(T value, int lane) {
  return __shfl_sync(0xffffffffu, value, lane);
}
template <typename T>
EYESHOT_DEVICE T ShuffleXor(T value, int mask) {
  return __shfl_xor_sync(0xffffffffu, value, mask);
}

EYESHOT_DEVICE float FloatFromBits(uint32_t bits) { return __uint_as_float(bits); }
EYESHOT_DEVICE uint32_t BitsOfFloat(float value) { return __float_as_uint(value); }
EYESHOT_DEVICE float FromBf16(Bf16 value) { return __uint_as_float(static_cast<uint32_t>(value.bits) << 16); }
EYESHOT_DEVICE float FromHalf(uint16_t bits) {  // float16
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
}
// Two values as one word, the first in its low half; to the nearest, ties to even.
EYESHOT_DEVICE uint32_t PackBf16(float low, float high) {
  uint32_t packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
}
EYESHOT_DEVICE Bf16 ToBf16(float value) { return {static_cast<uint16_t>(PackBf16(value, 0.0f))}; }

// The low or high halves of two words as one, that of `a` in its low half: one instruction.
EYESHOT_DEVICE uint32_t LowHalves(uint32_t a, uint32_t b) { return __byte_perm(a, b, 0x5410); }
EYESHOT_DEVICE uint32_t HighHalves(uint32_t a, uint32_t b) { return __byte_perm(a, b, 0x7632); }

// The lower or upper two bytes of a word, each in the upper byte of a half.
EYESHOT_DEVICE uint32_t SpreadLowBytes(uint32_t a) { return __byte_perm(a, 0, 0x1404); }
EYESHOT_DEVICE uint32_t SpreadHighBytes(uint32_t a) { return __byte_perm(a, 0, 0x3424); }
EYESHOT_DEVICE uint32_t RoundToInt(float value) { return __float2uint_rn(value); }  // ties to even

EYESHOT_DEVICE Vec16 Load16(const void* from) { return *static_cast<const Vec16*>(from); }
// Of memory that is read once, and that no kernel writes: weights.
EYESHOT_DEVICE Vec16 LoadOnce16(const void* from) {
  Vec16 v;
  asm("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
      : "=r"(v.word[0]), "=r"(v.word[1]), "=r"(v.word[2]), "=r"(v.word[3])
      : "l"(from));
  return v;
}
EYESHOT_DEVICE uint32_t LoadOnce4(const void* from) {
  uint32_t word;
  asm("ld.global.nc.L1::no_allocate.u32 %0, [%1];" : "=r"(word) : "l"(from));
  return word;
}
EYESHOT_DEVICE void Store16(void* to, const Vec16& value) { *static_cast<Vec16*>(to) = value; }

// What another block of this kernel may have written: past the L1 cache, which doesn't hear of it.
EYESHOT_DEVICE float LoadFresh4(const float* from) { return __ldcg(from); }
EYESHOT_DEVICE Vec16 LoadFresh16(const void* from) {
  const uint4 v = __ldcg(static_cast<const uint4*>(from));
  return {{v.x, v.y, v.z, v.w}};
}
// What it was before. What this thread knew to be written is seen by all threads that come to know of the increment.
EYESHOT_DEVICE uint32_t AtomicIncrement(uint32_t* counter) {
  uint32_t before;
  asm volatile("atom.acq_rel.gpu.global.add.u32 %0, [%1], 1;" : "=r"(before) : "l"(counter) : "memory");
  return before;
}

EYESHOT_DEVICE double Log(double x) { return log(x); }
// One instruction: 2 ulp, and 0 for what would be denormal.
EYESHOT_DEVICE float FastExp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
EYESHOT_DEVICE float Log2(float x) { return log2f(x); }
EYESHOT_DEVICE float Exp(float x) { return __expf(x); }
EYESHOT_DEVICE float Tanh(float x) { return tanhf(x); }
EYESHOT_DEVICE float Erfc(float x) { return erfcf(x); }
EYESHOT_DEVICE float Rsqrt(float x) { return rsqrtf(x); }
EYESHOT_DEVICE float Max(float a, float b) { return fmaxf(a, b); }
EYESHOT_DEVICE void SinCos(float x, float* sine, float* cosine) { sincosf(x, sine, cosine); }

// d[16, 8] += a[16, 16] b[16, 8] of a whole warp. With g = lane / 4 and t = lane % 4, a lane holds
//   a: (g, 2t), (g + 8, 2t), (g, 2t + 8), (g + 8, 2t + 8), each with the next column in the word's high half
//   b: rows 2t and 2t + 8 of column g, each with the next row in the high half
//   d: (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1)
// Source: PTX ISA, "Matrix fragments for mma.m16n8k16".
EYESHOT_DEVICE void MmaBf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Four 8x8 matrices of 16-bit elements from shared memory into words that MmaBf16 takes. Lane i gives the address of
// row i % 8 (16 bytes) of matrix i / 8. With g = lane / 4 and t = lane % 4, word m of a lane holds elements (g, 2t) and
// (g, 2t + 1) of matrix m; transposed, (2t, g) and (2t + 1, g). Source: PTX ISA, "ldmatrix".
EYESHOT_DEVICE void LoadMatrices(const void* row, uint32_t (&words)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(row)))
               : "memory");
}
EYESHOT_DEVICE void LoadMatricesTransposed(const void* row, uint32_t (&words)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(row)))
               : "memory");
}

// Begins to copy 16 bytes to shared memory (zeros unless `valid`; `from` isn't read then). This thread has them after
// its AsyncWait(), other threads after a barrier behind that.
EYESHOT_DEVICE void AsyncCopy16(void* shared, const void* from, bool valid) {
  asm volatile(
      "cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(static_cast<uint32_t>(__cvta_generic_to_shared(shared))),
      "l"(from), "r"(valid ? 16 : 0)
      : "memory");
}
EYESHOT_DEVICE void AsyncWait() { asm volatile("cp.async.wait_all;" ::: "memory"); }

// What launches of a kernel need to know of this thread's GPU; found out, and told to the kernel, once.
struct LaunchSettings {
  bool early = false;  // it may start before the one before has ended
};
inline LaunchSettings SettingsOf(const void* kernel) {
  constexpr int kHopper = 9;
  static std::mutex mutex;
  static std::map<std::pair<const void*, int>, LaunchSettings> known;
  int device = 0;
  cudaGetDevice(&device);
  const std::lock_guard lock(mutex);
  const auto [place, fresh] = known.try_emplace({kernel, device});
  if (fresh) {
    int major = 0;
    int shared_bytes = 0;
    cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
    cudaDeviceGetAttribute(&shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    cudaFuncAttributes attributes = {};
    cudaFuncGetAttributes(&attributes, kernel);
    // All that there is: a multiprocessor that shares its memory out anew between two kernels has to run empty.
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                         shared_bytes - static_cast<int>(attributes.sharedSizeBytes));
    cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared);
    place->second.early = major >= kHopper;
  }
  return place->second;
}

template <typename... P>
int64_t ResidentBlocks(void (*kernel)(P...), int threads, size_t shared_bytes) {
  int device = 0;
  int processors = 0;
  int blocks = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
  SettingsOf(reinterpret_cast<const void*>(kernel));
  cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, threads, shared_bytes);  // 0: Synchronize() says why
  return static_cast<int64_t>(processors) * (blocks > 0 ? blocks : 1);
}

template <typename... P, typename... A>
void Launch(void (*kernel)(P...), Grid grid, int threads, size_t shared_bytes, StreamHandle stream, A... args) {
  const LaunchSettings settings = SettingsOf(reinterpret_cast<const void*>(kernel));
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y), static_cast<unsigned>(grid.z));
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = shared_bytes;
  config.stream = static_cast<cudaStream_t>(stream);
  cudaLaunchAttribute early = {};
  early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  early.val.programmaticStreamSerializationAllowed = 1;
  config.attrs = &early;
  config.numAttrs = settings.early ? 1 : 0;
  cudaLaunchKernelEx(&config, kernel, static_cast<P>(args)...);  // Synchronize() has its errors
}

#endif

EYESHOT_DEVICE int Lane() { return ThreadIndex() & (kWarp - 1); }
EYESHOT_DEVICE int WarpIndex() { return ThreadIndex() / kWarp; }

// Of all lanes of a warp, in every lane.
EYESHOT_DEVICE float WarpSum(float value) {
  EYESHOT_UNROLL
  for (int mask = kWarp / 2; mask > 0; mask /= 2) value += ShuffleXor(value, mask);
  return value;
}
EYESHOT_DEVICE float WarpMax(float value) {
  EYESHOT_UNROLL
  for (int mask = kWarp / 2; mask > 0; mask /= 2) value = Max(value, ShuffleXor(value, mask));
  return value;
}

// Sums of kCount values each over the lanes of a warp; lane l returns that of value l / (32 / kCount). At each step a
// lane keeps half of its values and gives the other half away, so that this takes hardly more steps than one sum.
template <typename T, int kCount, int kMask = kWarp / 2>
EYESHOT_DEVICE T ScatteredWarpSum(const T (&values)[kCount]) {
  if constexpr (kMask == 0) {
    return values[0];
  } else if constexpr (kCount == 1) {
    const T both[1] = {values[0] + ShuffleXor(values[0], kMask)};
    return ScatteredWarpSum<T, 1, kMask / 2>(both);
  } else {
    constexpr int kHalf = kCount / 2;
    const bool upper = (Lane() & kMask) != 0;
    T mine[kHalf];
    EYESHOT_UNROLL
    for (int i = 0; i < kHalf; ++i) {
      const T kept = upper ? values[kHalf + i] : values[i];
      const T given = upper ? values[i] : values[kHalf + i];
      mine[i] = kept + ShuffleXor(given, kMask);
    }
    return ScatteredWarpSum<T, kHalf, kMask / 2>(mine);
  }
}

// Of all threads of a block, in every thread. `scratch`: 32 floats of shared memory, free again afterwards.
EYESHOT_DEVICE float BlockSum(float value, float* scratch) {
  value = WarpSum(value);
  if (Lane() == 0) scratch[WarpIndex()] = value;
  SyncThreads();
  float sum = Lane() < BlockThreads() / kWarp ? scratch[Lane()] : 0.0f;
  sum = WarpSum(sum);
  SyncThreads();
  return sum;
}

// The halves of a word.
EYESHOT_DEVICE float LowBf16(uint32_t word) { return FloatFromBits(word << 16); }
EYESHOT_DEVICE float HighBf16(uint32_t word) { return FloatFromBits(word & 0xffff0000u); }

EYESHOT_DEVICE float Silu(float x) { return x / (1.0f + Exp(-x)); }

// Numbers of E4M3 (OCP 8-bit floating point, arXiv 2209.05433): the four bytes of a word, times 2^-8. A sign, 4 bits of
// exponent and 3 of mantissa in a half's places are that, also where the exponent is 0; there are no NaNs among them.
EYESHOT_DEVICE void LoadFourE4M3(uint32_t word, float (&values)[4]) {
  EYESHOT_UNROLL
  for (int pair = 0; pair < 2; ++pair) {
    const uint32_t spread = pair == 0 ? SpreadLowBytes(word) : SpreadHighBytes(word);
    const uint32_t halves = (spread >> 1 & 0x3f803f80u) | (spread & 0x80008000u);
    values[2 * pair] = FromHalf(static_cast<uint16_t>(halves & 0xffffu));
    values[2 * pair + 1] = FromHalf(static_cast<uint16_t>(halves >> 16));
  }
}
// What row `row` of such a weight, of scales float32, is multiplied by behind LoadFourE4M3().
EYESHOT_DEVICE float ScaleOfE4M3(const void* scales, int64_t row) {
  constexpr float kOfHalves = 256;
  return static_cast<const float*>(scales)[row] * kOfHalves;
}
// To the nearest, ties to even. REQUIRES: |value| < 464, whose nearest is 448.
EYESHOT_DEVICE uint32_t ToE4M3(float value) {
  constexpr float kSmallestNormal = 0.015625f;
  constexpr float kSteps = 512;  // below it, of 1
  constexpr uint32_t kRebias = (127u - 7u) << 3;
  const uint32_t bits = BitsOfFloat(value);
  const uint32_t size = bits & 0x7fffffffu;
  const uint32_t normal = ((size + 0x7ffffu + (size >> 20 & 1u)) >> 20) - kRebias;
  const uint32_t small = RoundToInt(FloatFromBits(size) * kSteps);
  return (bits >> 24 & 0x80u) | (FloatFromBits(size) < kSmallestNormal ? small : normal & 0x7fu);
}

EYESHOT_DEVICE float LargestOf(const float (&values)[8]) {
  float largest = 0;
  EYESHOT_UNROLL
  for (const float value : values) largest = Max(largest, Max(value, -value));
  return largest;
}
// How a row is rounded to E4M3: its largest number becomes 448, but for one whose reciprocal would be too large: such a
// row becomes zeros.
struct E4M3Row {
  static constexpr float kLargest = 448;
  static constexpr float kLeast = 1e-30f;
  float largest;

  EYESHOT_DEVICE explicit E4M3Row(float of_row) : largest(of_row > kLeast ? of_row : kLargest) {}
  EYESHOT_DEVICE float divisor() const { return largest / kLargest; }
  EYESHOT_DEVICE void Store(const float (&values)[8], uint8_t* to) const {
    const float factor = kLargest / largest;
    EYESHOT_UNROLL
    for (int half = 0; half < 2; ++half) {
      uint32_t word = 0;
      EYESHOT_UNROLL
      for (int i = 0; i < 4; ++i) word |= ToE4M3(values[4 * half + i] * factor) << (8 * i);
      reinterpret_cast<uint32_t*>(to)[half] = word;
    }
  }
};

// Eight successive values.
EYESHOT_DEVICE void LoadEight(const Bf16* from, float (&values)[8]) {
  const Vec16 eight = Load16(from);
  EYESHOT_UNROLL
  for (int i = 0; i < 4; ++i) {
    values[2 * i] = LowBf16(eight.word[i]);
    values[2 * i + 1] = HighBf16(eight.word[i]);
  }
}
EYESHOT_DEVICE void LoadEight(const float* from, float (&values)[8]) {
  EYESHOT_UNROLL
  for (int half = 0; half < 2; ++half) {
    const Vec16 four = Load16(from + 4 * half);
    EYESHOT_UNROLL
    for (int i = 0; i < 4; ++i) values[4 * half + i] = FloatFromBits(four.word[i]);
  }
}
EYESHOT_DEVICE void StoreEight(Bf16* to, const float (&values)[8]) {
  Vec16 eight;
  EYESHOT_UNROLL
  for (int i = 0; i < 4; ++i) eight.word[i] = PackBf16(values[2 * i], values[2 * i + 1]);
  Store16(to, eight);
}

constexpr int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace eyeshot::cuda

#endif  // EYESHOT_KERNELS_CUDA_GPU_H_
