// Choosing tokens on the GPU, by the definitions of kernels/sampling.h. One block a sequence.
//
// Instead of sorting, what top-k and top-p keep is found by descending the digits of the logits in an order-preserving
// integer form (radix selection; Alabi et al., "Fast k-selection algorithms for graphics processing units", 2012), with
// counts for top-k and with sums of probabilities for top-p. Probabilities are integers, multiples of 2^-40 of the
// highest, so that sums don't depend on their order and every run gives the same.
#ifndef EYESHOT_KERNELS_CUDA_SAMPLING_INL_H_
#define EYESHOT_KERNELS_CUDA_SAMPLING_INL_H_

#include "base/check.h"
#include "base/splitmix64.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/kernels.h"

// Included once in a program; unrolled loops count what registers are indexed by.
// NOLINTBEGIN(misc-definitions-in-headers, modernize-loop-convert)
namespace eyeshot::cuda {

constexpr int kSampleThreads = 1024;  // at most
constexpr int kDigitBits = 4;
constexpr int kDigits = 1 << kDigitBits;

struct SampleScratch {
  uint64_t of_warps[kWarp * kDigits];
  uint64_t totals[kDigits];
  int32_t id;
};

struct SampleTask {
  const float* logits;
  int64_t stride;
  int vocabulary;
  const SamplerParams* params;
  uint32_t* steps;
  uint8_t* seen;
  int32_t* next;
};

// The tokens of one sequence. A warp goes through successive ones, [begin, end).
struct Candidates {
  const float* logits;
  const uint8_t* seen;  // null: nothing is penalized
  float penalty;
  float inverse_temperature;
  int begin;
  int end;
};

// A candidate as an integer: the higher logit first, then the lower id. Bits of floats are put in order by flipping all
// of negative ones and the sign of positive ones. 0: no candidate.
EYESHOT_DEVICE uint32_t OrderedLogit(float logit) {
  const uint32_t bits = BitsOfFloat(logit);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}
EYESHOT_DEVICE float LogitFromOrdered(uint32_t ordered) {
  return FloatFromBits((ordered & 0x80000000u) != 0 ? ordered & 0x7fffffffu : ~ordered);
}
EYESHOT_DEVICE uint64_t CandidateKey(uint32_t ordered, int id) {
  return (uint64_t{ordered} << 32) | (0xffffffffu - static_cast<uint32_t>(id));
}
EYESHOT_DEVICE uint32_t OrderedOf(uint64_t key) { return static_cast<uint32_t>(key >> 32); }
EYESHOT_DEVICE int IdOfKey(uint64_t key) { return static_cast<int>(0xffffffffu - static_cast<uint32_t>(key)); }

EYESHOT_DEVICE uint64_t KeyOfLogit(const Candidates& c, float logit, int id) {
  constexpr uint32_t kLowest = 0x003fffffu;  // below -infinity: a negative NaN, as arithmetic gives on the CPU
  if (!(logit == logit)) return 0;
  if (c.seen != nullptr && c.seen[id] != 0) logit = logit > 0 ? logit / c.penalty : logit * c.penalty;
  logit *= c.inverse_temperature;
  return CandidateKey(logit == logit ? OrderedLogit(logit) : kLowest, id);
}

// Calls visit(key) for the candidates of a thread, several loads at a time.
template <int kAtOnce = 4, typename Visit>
EYESHOT_DEVICE void ForEachKey(const Candidates& c, const Visit& visit) {
  for (int first = c.begin + Lane(); first < c.end; first += kAtOnce * kWarp) {
    float logits[kAtOnce];
    EYESHOT_UNROLL
    for (int i = 0; i < kAtOnce; ++i) {
      const int id = first + i * kWarp;
      logits[i] = id < c.end ? c.logits[id] : FloatFromBits(0x7fffffffu);
    }
    EYESHOT_UNROLL
    for (int i = 0; i < kAtOnce; ++i) visit(KeyOfLogit(c, logits[i], first + i * kWarp));
  }
}

// exp(logit - best) in units of 2^-40. Infinities: those that equal the best one have 1, whatever it is.
EYESHOT_DEVICE uint64_t WeightOf(uint32_t ordered, uint32_t best) {
  constexpr float kOne = 1099511627776.0f;
  constexpr float kNothing = -30.0f;  // exp(-30) < 2^-41
  if (ordered == best) return static_cast<uint64_t>(kOne);
  const float difference = LogitFromOrdered(ordered) - LogitFromOrdered(best);
  return difference > kNothing ? static_cast<uint64_t>(Exp(difference) * kOne) : 0u;
}

EYESHOT_DEVICE int WarpsOfBlock() { return BlockThreads() / kWarp; }

// The highest of all threads' keys, in every thread.
EYESHOT_DEVICE uint64_t BlockHighest(uint64_t key, SampleScratch* scratch) {
  EYESHOT_UNROLL
  for (int mask = kWarp / 2; mask > 0; mask /= 2) {
    const uint64_t other = ShuffleXor(key, mask);
    key = other > key ? other : key;
  }
  SyncThreads();  // of_warps may still be read
  if (Lane() == 0) scratch->of_warps[WarpIndex()] = key;
  SyncThreads();
  for (int warp = 0; warp < WarpsOfBlock(); ++warp) {
    const uint64_t other = scratch->of_warps[warp];
    key = other > key ? other : key;
  }
  return key;
}

// Sums over each warp's threads, in scratch->of_warps[0 .. warps), and their sum.
EYESHOT_DEVICE uint64_t BlockTotal(uint64_t value, SampleScratch* scratch) {
  const uint64_t own[1] = {value};
  const uint64_t sum = ScatteredWarpSum(own);
  SyncThreads();  // of_warps may still be read
  if (Lane() == 0) scratch->of_warps[WarpIndex()] = sum;
  SyncThreads();
  uint64_t total = 0;
  for (int warp = 0; warp < WarpsOfBlock(); ++warp) total += scratch->of_warps[warp];
  return total;
}

// scratch->totals = the sums of each bin over the block.
template <typename T>
EYESHOT_DEVICE void BlockTotals(const T (&bins)[kDigits], SampleScratch* scratch) {
  constexpr int kLanes = kWarp / kDigits;  // that have the same sum
  const uint64_t sum = ScatteredWarpSum(bins);
  SyncThreads();
  if (Lane() % kLanes == 0) scratch->of_warps[WarpIndex() * kDigits + Lane() / kLanes] = sum;
  SyncThreads();
  if (ThreadIndex() < kDigits) {
    uint64_t total = 0;
    for (int warp = 0; warp < WarpsOfBlock(); ++warp) total += scratch->of_warps[warp * kDigits + ThreadIndex()];
    scratch->totals[ThreadIndex()] = total;
  }
  SyncThreads();
}

// Lays candidates in order of their id side by side, each as long as measure(key) says; the id of the one at
// offset(length of all). REQUIRES: that is less than the length.
template <typename Measure, typename Offset>
EYESHOT_DEVICE int Locate(const Candidates& c, const Measure& measure, const Offset& offset, SampleScratch* scratch) {
  uint64_t own = 0;
  ForEachKey(c, [&](uint64_t key) { own += measure(key); });
  uint64_t rest = offset(BlockTotal(own, scratch));
  int warp = 0;
  while (warp + 1 < WarpsOfBlock() && rest >= scratch->of_warps[warp]) rest -= scratch->of_warps[warp++];
  if (WarpIndex() == warp) {
    for (int first = c.begin; first < c.end; first += kWarp) {
      const int id = first + Lane();
      const uint64_t length = id < c.end ? measure(KeyOfLogit(c, c.logits[id], id)) : 0;
      uint64_t until = length;  // the end of this one
      EYESHOT_UNROLL
      for (int step = 1; step < kWarp; step *= 2) {
        const uint64_t before = Shuffle(until, Lane() - step);
        if (Lane() >= step) until += before;
      }
      if (rest < until && rest >= until - length) scratch->id = id;
      const uint64_t all = Shuffle(until, kWarp - 1);
      if (rest < all) break;
      rest -= all;
    }
  }
  SyncThreads();
  return scratch->id;
}

// The candidates from `cut` on whose logits begin with the digits of `found` above `shift`.
struct DigitWindow {
  uint64_t cut;
  uint32_t found;
  int shift;

  // The next digit of a key; kDigits or more: it isn't among them.
  EYESHOT_DEVICE uint32_t Digit(uint64_t key) const {
    return key < cut ? uint32_t{kDigits} : (OrderedOf(key) ^ found) >> shift;
  }
};

// scratch->totals = the sums of measure(ordered logit) by the next digit.
template <typename Measure>
EYESHOT_DEVICE void SumDigits(const Candidates& c, const DigitWindow& window, const Measure& measure,
                              SampleScratch* scratch) {
  using T = decltype(measure(uint32_t{}));
  T bins[kDigits] = {};
  ForEachKey<2>(c, [&](uint64_t key) {  // no more at once: the bins take most registers
    const uint32_t digit = window.Digit(key);
    if (digit >= kDigits) return;
    const T value = measure(OrderedOf(key));
    EYESHOT_UNROLL
    for (uint32_t i = 0; i < kDigits; ++i) bins[i] += digit == i ? value : T{0};
  });
  BlockTotals(bins, scratch);
}

// Of candidates from `cut` on, the lowest key that is needed, going down from the highest, for measures to reach
// `target`. measure(ordered logit) doesn't fall when the logit rises, but for rounding. REQUIRES: 0 < target <= the sum
// of all.
template <typename Measure>
EYESHOT_DEVICE uint64_t Descend(const Candidates& c, uint64_t cut, const Measure& measure, uint64_t target,
                                SampleScratch* scratch) {
  DigitWindow window = {cut, 0, 32};
  uint64_t above = 0;  // the sum of those whose digits are higher than found
  uint64_t equal = 0;  // ... the same
  while (window.shift > 0) {
    window.shift -= kDigitBits;
    SumDigits(c, window, measure, scratch);
    int digit = kDigits - 1;
    while (digit > 0 && above + scratch->totals[digit] < target) above += scratch->totals[digit--];
    equal = scratch->totals[digit];
    window.found |= static_cast<uint32_t>(digit) << window.shift;
    // Less than one and a half of the lowest logit that it may be: it's one.
    if (2 * equal < 3 * uint64_t{measure(window.found)}) {
      uint64_t only = 0;
      ForEachKey(c, [&](uint64_t key) { only = window.Digit(key) == 0 && key > only ? key : only; });
      return BlockHighest(only, scratch);
    }
  }
  // Of equal logits the lowest ids are needed.
  const uint64_t each = measure(window.found);
  if (each == 0) return uint64_t{window.found} << 32;  // not by what is required
  const uint64_t needed = (target - above + each - 1) / each;
  if (needed * each >= equal) return uint64_t{window.found} << 32;
  const auto one_of_them = [&](uint64_t key) { return uint64_t{window.Digit(key) == 0}; };
  const int last = Locate(c, one_of_them, [&](uint64_t) { return needed - 1; }, scratch);
  return CandidateKey(window.found, last);
}

// The lowest key with at least min_p times the probability of the highest.
EYESHOT_DEVICE uint64_t MinPCut(uint32_t best, float min_p) {
  const double lowest = double{LogitFromOrdered(best)} + Log(double{min_p});
  const auto nearest = static_cast<float>(lowest);
  uint32_t ordered = OrderedLogit(nearest);
  if (double{nearest} < lowest) {
    ++ordered;
  } else if (nearest == 0) {
    ordered = OrderedLogit(-0.0f);
  }
  return uint64_t{ordered} << 32;
}

// The lowest key that top-k, top-p and min-p leave.
EYESHOT_DEVICE uint64_t LowestKept(const Candidates& c, const SamplerParams& params, int vocabulary, uint64_t best,
                                   SampleScratch* scratch) {
  uint64_t cut = 1;
  const auto one = [](uint32_t) { return 1u; };
  const auto weight = [best](uint32_t ordered) { return WeightOf(ordered, OrderedOf(best)); };
  if (params.top_k > 0 && params.top_k < vocabulary) {
    uint64_t own = 0;
    ForEachKey(c, [&](uint64_t key) { own += key != 0 ? 1u : 0u; });
    const auto k = static_cast<uint64_t>(params.top_k);
    if (BlockTotal(own, scratch) > k) cut = Descend(c, cut, one, k, scratch);
  }
  if (params.top_p < 1) {
    uint64_t own = 0;
    ForEachKey(c, [&](uint64_t key) { own += key >= cut ? weight(OrderedOf(key)) : 0u; });
    const double share = double{params.top_p} * static_cast<double>(BlockTotal(own, scratch));
    uint64_t target = share > 1 ? static_cast<uint64_t>(share) : 1u;
    if (static_cast<double>(target) < share) ++target;
    const uint64_t top = Descend(c, cut, weight, target, scratch);
    cut = top > cut ? top : cut;
  }
  if (params.min_p > 0) {
    const uint64_t likely = MinPCut(OrderedOf(best), params.min_p);
    cut = likely > cut ? likely : cut;
  }
  return cut < best ? cut : best;
}

// floor(u * total) for a number u of [0, 1) that depends on seed and step alone: the finalizer of splitmix64.
EYESHOT_DEVICE uint64_t DrawOffset(const SamplerParams& params, uint32_t step, uint64_t total) {
  const uint64_t seed = (uint64_t{params.seed_high} << 32) | params.seed_low;
  const double uniform = UnitOfBits(SplitMix64(seed + step * kSplitMix64Step));
  const auto offset = static_cast<uint64_t>(uniform * static_cast<double>(total));
  return offset < total ? offset : total - 1;
}

EYESHOT_DEVICE Candidates CandidatesOf(const SampleTask& task, const SamplerParams& params, int sequence) {
  Candidates c = {};
  c.logits = task.logits + sequence * task.stride;
  if (task.seen != nullptr && params.repetition_penalty != 1) {
    c.seen = task.seen + static_cast<int64_t>(sequence) * task.vocabulary;
  }
  c.penalty = params.repetition_penalty;
  c.inverse_temperature = params.temperature <= 0 ? 1.0f : 1.0f / params.temperature;
  const int share = static_cast<int>(CeilDiv(task.vocabulary, BlockThreads())) * kWarp;
  c.begin = WarpIndex() * share;
  c.end = c.begin + share < task.vocabulary ? c.begin + share : task.vocabulary;
  return c;
}

// Where logits can be read four at a time this goes through them in an order of its own: nothing but it runs meanwhile,
// and it is all that a greedy choice needs.
EYESHOT_DEVICE uint64_t HighestKey(const Candidates& c, SampleScratch* scratch) {
  constexpr int kAtOnce = 6;
  uint64_t highest = 0;
  const auto visit = [&](uint64_t key) { highest = key > highest ? key : highest; };
  Candidates rest = c;
  if (reinterpret_cast<uintptr_t>(c.logits) % sizeof(Vec16) == 0) {
    const int fours = c.end > c.begin ? (c.end - c.begin) / 4 : 0;
    for (int first = Lane(); first < fours; first += kAtOnce * kWarp) {
      Vec16 loaded[kAtOnce];
      EYESHOT_UNROLL
      for (int i = 0; i < kAtOnce; ++i) {
        if (first + i * kWarp < fours) loaded[i] = Load16(c.logits + c.begin + 4 * (first + i * kWarp));
      }
      EYESHOT_UNROLL
      for (int i = 0; i < 4 * kAtOnce; ++i) {
        const int four = first + i / 4 * kWarp;
        if (four >= fours) continue;
        visit(KeyOfLogit(c, FloatFromBits(loaded[i / 4].word[i % 4]), c.begin + 4 * four + i % 4));
      }
    }
    rest.begin += 4 * fours;
  }
  ForEachKey(rest, visit);
  return BlockHighest(highest, scratch);
}

EYESHOT_KERNEL(kSampleThreads)
SampleKernel(SampleTask task) {
  WaitForPrevious();
  auto* scratch = reinterpret_cast<SampleScratch*>(SharedMemory());
  const int sequence = BlockX();
  const SamplerParams& params = task.params[sequence];  // read where it's needed: registers are few
  const Candidates c = CandidatesOf(task, params, sequence);
  const uint64_t best = HighestKey(c, scratch);
  int id = best == 0 ? 0 : IdOfKey(best);
  if (best != 0 && !(params.temperature <= 0)) {
    const uint64_t cut = LowestKept(c, params, task.vocabulary, best, scratch);
    id = Locate(
        c, [&](uint64_t key) { return key >= cut ? WeightOf(OrderedOf(key), OrderedOf(best)) : 0u; },
        [&](uint64_t total) { return DrawOffset(params, task.steps[sequence], total); }, scratch);
  }
  // All threads have met since they read what is written here.
  if (ThreadIndex() == 0) {
    task.next[sequence] = id;
    ++task.steps[sequence];
    if (task.seen != nullptr) task.seen[static_cast<int64_t>(sequence) * task.vocabulary + id] = 1;
  }
}

inline int SampleBlockThreads(int64_t vocabulary) {
  const int64_t threads = CeilDiv(vocabulary, kWarp) * kWarp;
  return static_cast<int>(threads < kSampleThreads ? threads : kSampleThreads);
}

void Sample(StreamHandle stream, const SampleArgs& args) {
  EYESHOT_CHECK(args.logits.dtype == DType::kF32 && args.logits.cols > 0);
  SampleTask task = {};
  task.logits = static_cast<const float*>(args.logits.data);
  task.stride = args.logits.stride;
  task.vocabulary = static_cast<int>(args.logits.cols);
  task.params = args.params.data;
  task.steps = args.steps.data;
  task.seen = args.seen.data;
  task.next = args.next.data;
  Launch(&SampleKernel, {.x = args.logits.rows}, SampleBlockThreads(args.logits.cols), sizeof(SampleScratch), stream,
         task);
}

}  // namespace eyeshot::cuda

// NOLINTEND(misc-definitions-in-headers, modernize-loop-convert)

#endif  // EYESHOT_KERNELS_CUDA_SAMPLING_INL_H_
