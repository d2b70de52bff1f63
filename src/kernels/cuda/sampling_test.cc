// Sample on the emulator, against SampleToken and against plain loops over sorted candidates.
#include "kernels/sampling.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "kernels/cuda/sampling-inl.h"

namespace eyeshot::cuda {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// The sequences of a step, in memory as a backend has it.
struct Batch {
  Batch(int64_t sequences, int64_t vocabulary, int64_t padding = 0)
      : rows(sequences),
        cols(vocabulary),
        stride(vocabulary + padding),
        logits(static_cast<size_t>(rows * stride), kInfinity),
        params(static_cast<size_t>(rows)),
        steps(static_cast<size_t>(rows)),
        seen(static_cast<size_t>(rows * cols)),
        next(static_cast<size_t>(rows), -1) {}

  void Set(int64_t row, const std::vector<float>& values) {
    std::copy(values.begin(), values.end(), logits.begin() + row * stride);
  }
  std::vector<float> Logits(int64_t row) const {
    return {logits.begin() + row * stride, logits.begin() + row * stride + cols};
  }
  std::vector<uint8_t> Seen(int64_t row) const { return {seen.begin() + row * cols, seen.begin() + (row + 1) * cols}; }

  SampleArgs Args(bool with_seen) {
    SampleArgs args;
    args.logits = {logits.data(), DType::kF32, rows, cols, stride};
    args.params = DeviceSpan<const SamplerParams>(params.data(), rows);
    args.steps = {steps.data(), rows};
    if (with_seen) args.seen = {seen.data(), rows * cols};
    args.next = {next.data(), rows};
    return args;
  }
  void Run(bool with_seen = true) { Sample(nullptr, Args(with_seen)); }

  int64_t rows, cols, stride;
  std::vector<float> logits;
  std::vector<SamplerParams> params;
  std::vector<uint32_t> steps;
  std::vector<uint8_t> seen;
  std::vector<int32_t> next;
};

int32_t OnCpu(const std::vector<float>& logits, const SamplerParams& params, uint32_t step,
              const std::vector<uint8_t>& seen) {
  std::vector<uint64_t> scratch(logits.size());
  return SampleToken(logits, params, step, seen, scratch);
}

struct Token {
  int32_t id = 0;
  float logit = 0;
  double weight = 0;  // relative to the most probable
};

// What is left to draw from, most probable first.
std::vector<Token> Kept(const std::vector<float>& logits, const SamplerParams& params,
                        const std::vector<uint8_t>& seen) {
  std::vector<Token> tokens;
  for (size_t id = 0; id < logits.size(); ++id) {
    if (std::isnan(logits[id])) continue;
    float logit = logits[id];
    if (!seen.empty() && seen[id] != 0) {
      logit = logit > 0 ? logit / params.repetition_penalty : logit * params.repetition_penalty;
    }
    tokens.push_back({static_cast<int32_t>(id), logit * (1.0f / params.temperature)});
  }
  std::stable_sort(tokens.begin(), tokens.end(), [](const Token& a, const Token& b) {
    if (a.logit == b.logit) return std::signbit(a.logit) < std::signbit(b.logit);  // 0 is above -0
    return a.logit > b.logit;
  });
  if (params.top_k > 0 && static_cast<size_t>(params.top_k) < tokens.size()) {
    tokens.resize(static_cast<size_t>(params.top_k));
  }
  double total = 0;
  for (Token& token : tokens) {
    token.weight = std::exp(static_cast<double>(token.logit) - static_cast<double>(tokens[0].logit));
    total += token.weight;
  }
  double before = 0;
  size_t kept = 0;
  for (const Token& token : tokens) {
    const bool outside = token.weight < static_cast<double>(params.min_p) ||
                         (params.top_p < 1 && before >= static_cast<double>(params.top_p) * total);
    if (kept > 0 && outside) break;
    before += token.weight;
    ++kept;
  }
  tokens.resize(kept);
  return tokens;
}

std::set<int32_t> Ids(const std::vector<Token>& tokens) {
  std::set<int32_t> ids;
  for (const Token& token : tokens) ids.insert(token.id);
  return ids;
}

// The lowest key that is kept, of each sequence.
EYESHOT_KERNEL(kSampleThreads)
CutKernel(SampleTask task, uint64_t* cuts) {
  WaitForPrevious();
  auto* scratch = reinterpret_cast<SampleScratch*>(SharedMemory());
  const SamplerParams& params = task.params[BlockX()];
  const Candidates c = CandidatesOf(task, params, BlockX());
  const uint64_t cut = LowestKept(c, params, task.vocabulary, HighestKey(c, scratch), scratch);
  if (ThreadIndex() == 0) cuts[BlockX()] = cut;
}

std::set<int32_t> KeptOnDevice(const std::vector<float>& logits, const SamplerParams& params,
                               const std::vector<uint8_t>& seen) {
  const SampleTask task = {.logits = logits.data(),
                           .stride = 0,
                           .vocabulary = static_cast<int>(logits.size()),
                           .params = &params,
                           .steps = nullptr,
                           .seen = const_cast<uint8_t*>(seen.empty() ? nullptr : seen.data()),
                           .next = nullptr};
  uint64_t cut = 0;
  Launch(&CutKernel, {}, SampleBlockThreads(task.vocabulary), sizeof(SampleScratch), nullptr, task, &cut);
  const Candidates c = {.logits = logits.data(),
                        .seen = params.repetition_penalty == 1 ? nullptr : task.seen,
                        .penalty = params.repetition_penalty,
                        .inverse_temperature = 1.0f / params.temperature,
                        .begin = 0,
                        .end = task.vocabulary};
  std::set<int32_t> ids;
  for (int id = 0; id < task.vocabulary; ++id) {
    if (KeyOfLogit(c, logits[static_cast<size_t>(id)], id) >= cut) ids.insert(id);
  }
  return ids;
}

// Logits as of a model: some stand out. A grid: with many equal ones.
std::vector<float> RandomLogits(size_t vocabulary, uint32_t seed, bool grid) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 2.5f);
  std::vector<float> logits(vocabulary);
  for (float& logit : logits) logit = grid ? std::round(normal(random)) : normal(random);
  return logits;
}

std::vector<uint8_t> RandomSeen(size_t vocabulary, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<uint8_t> seen(vocabulary);
  for (uint8_t& byte : seen) byte = random() % 3 == 0;
  return seen;
}

TEST(CudaSamplingTest, GreedyChoosesAsSampleToken) {
  constexpr float kSpecial[] = {kNan, -kNan, kInfinity, -kInfinity, 0.0f, -0.0f, 1e-45f, -1e-45f, 3e38f, -3e38f};
  for (int64_t vocabulary : {1, 33, 1000, 5000}) {
    constexpr int64_t kRows = 12;
    Batch batch(kRows, vocabulary, /*padding=*/3);
    std::mt19937 random(static_cast<uint32_t>(vocabulary));
    for (int64_t row = 0; row < kRows; ++row) {
      std::vector<float> logits =
          RandomLogits(static_cast<size_t>(vocabulary), static_cast<uint32_t>(row), row % 2 == 0);
      // From none to nothing but special values.
      for (float& logit : logits) {
        if (static_cast<int64_t>(random() % 11) < row) logit = kSpecial[random() % (row % 3 == 0 ? 10 : 2 + row % 9)];
      }
      batch.Set(row, logits);
      const std::vector<uint8_t> seen = RandomSeen(logits.size(), static_cast<uint32_t>(row));
      std::copy(seen.begin(), seen.end(), batch.seen.begin() + row * vocabulary);
      batch.params[static_cast<size_t>(row)] = {
          .temperature = row % 4 == 3 ? -1.0f : 0.0f,
          .repetition_penalty = row % 3 == 0 ? 1.0f : (row % 3 == 1 ? 1.3f : 0.7f)};
    }
    std::fill_n(batch.logits.begin() + (kRows - 1) * batch.stride, vocabulary, kNan);
    const Batch before = batch;
    batch.Run();
    for (int64_t row = 0; row < kRows; ++row) {
      const auto i = static_cast<size_t>(row);
      EXPECT_EQ(batch.next[i], OnCpu(before.Logits(row), before.params[i], 0, before.Seen(row)))
          << "vocabulary " << vocabulary << " row " << row;
      EXPECT_EQ(batch.steps[i], 1u);
      std::vector<uint8_t> seen = before.Seen(row);
      seen[static_cast<size_t>(batch.next[i])] = 1;
      EXPECT_EQ(batch.Seen(row), seen);
    }
  }
}

struct KeptCase {
  SamplerParams params;
  bool grid = false;
};

std::vector<KeptCase> KeptCases() {
  std::vector<KeptCase> cases;
  for (bool grid : {false, true}) {
    for (int32_t top_k : {0, 1, 7, 20}) {
      for (float top_p : {1.0f, 0.9f, 0.5f, 0.0f}) {
        for (float min_p : {0.0f, 0.1f}) {
          cases.push_back({{.temperature = 0.8f, .top_p = top_p, .min_p = min_p, .top_k = top_k}, grid});
        }
      }
    }
    cases.push_back({{.temperature = 2, .top_p = 0.95f, .repetition_penalty = 1.5f, .top_k = 30}, grid});
    cases.push_back({{.temperature = 1, .min_p = 1}, grid});
    cases.push_back({{.temperature = 1, .min_p = 1.5f}, grid});
    cases.push_back({{.temperature = 1e-3f, .top_p = 0.999f}, grid});
    cases.push_back({{.temperature = 100, .top_p = 0.999f, .top_k = 49}, grid});
  }
  return cases;
}

void ExpectSameKept(size_t vocabulary, const KeptCase& c, uint32_t seed) {
  std::vector<float> logits = RandomLogits(vocabulary, seed, c.grid);
  if (vocabulary > 20) logits[7] = logits[19] = kNan;
  const std::vector<uint8_t> seen = RandomSeen(vocabulary, seed);
  EXPECT_EQ(KeptOnDevice(logits, c.params, seen), Ids(Kept(logits, c.params, seen)))
      << "vocabulary " << vocabulary << " temperature " << c.params.temperature << " top-k " << c.params.top_k
      << " top-p " << c.params.top_p << " min-p " << c.params.min_p << " grid " << c.grid << " seed " << seed;
}

TEST(CudaSamplingTest, KeepsWhatSampleTokenKeeps) {
  for (const KeptCase& c : KeptCases()) {
    for (uint32_t seed : {1u, 2u}) ExpectSameKept(50, c, seed);
    ExpectSameKept(1, c, 3);
    ExpectSameKept(33, c, 4);
  }
  const std::vector<KeptCase> large = {{{.temperature = 1, .top_p = 0.8f, .min_p = 0.01f, .top_k = 100}, false},
                                       {{.temperature = 1, .top_p = 0.8f, .top_k = 700}, true}};
  for (const KeptCase& c : large) {
    ExpectSameKept(1000, c, 5);
    ExpectSameKept(5000, c, 6);
  }
}

// The plain loops that the other tests compare with, themselves compared with SampleToken.
TEST(CudaSamplingTest, PlainLoopsKeepWhatSampleTokenDraws) {
  for (const KeptCase& c : KeptCases()) {
    const std::vector<float> logits = RandomLogits(50, 1, c.grid);
    const std::vector<uint8_t> seen = RandomSeen(50, 1);
    const std::vector<Token> kept = Kept(logits, c.params, seen);
    double total = 0;
    for (const Token& token : kept) total += token.weight;
    std::set<int32_t> drawn;
    constexpr uint32_t kDraws = 3000;
    for (uint32_t step = 0; step < kDraws; ++step) drawn.insert(OnCpu(logits, c.params, step, seen));
    for (const Token& token : kept) {
      if (token.weight / total * kDraws < 15) continue;  // those above are missed with a chance of exp(-15)
      EXPECT_EQ(drawn.count(token.id), 1u) << token.id;
    }
    const std::set<int32_t> ids = Ids(kept);
    for (int32_t id : drawn) EXPECT_EQ(ids.count(id), 1u) << id;
  }
}

// Of equal logits, sums that reach top-p exactly are enough, and those with low ids are kept.
TEST(CudaSamplingTest, TiesAreCutByIdAndExactSumsAreEnough) {
  const std::vector<float> equal(64, 1.25f);
  const auto first = [](int32_t count) {
    std::set<int32_t> ids;
    for (int32_t id = 0; id < count; ++id) ids.insert(id);
    return ids;
  };
  EXPECT_EQ(KeptOnDevice(equal, {.temperature = 1, .top_p = 0.5f}, {}), first(32));
  EXPECT_EQ(KeptOnDevice(equal, {.temperature = 1, .top_p = 0.515625f}, {}), first(33));
  EXPECT_EQ(KeptOnDevice(equal, {.temperature = 1, .top_p = 0.51f}, {}), first(33));
  EXPECT_EQ(KeptOnDevice(equal, {.temperature = 1, .top_k = 40}, {}), first(40));
  EXPECT_EQ(KeptOnDevice(equal, {.temperature = 1, .top_p = 0.25f, .top_k = 40}, {}), first(10));
  EXPECT_EQ(KeptOnDevice(equal, {.temperature = 1, .min_p = 1}, {}), first(64));
}

// Draws of many sequences, as counts of each token.
std::vector<int> CountDraws(const std::vector<float>& logits, const SamplerParams& params,
                            const std::vector<uint8_t>& seen, int steps) {
  constexpr int64_t kRows = 16;
  const auto vocabulary = static_cast<int64_t>(logits.size());
  Batch batch(kRows, vocabulary);
  for (int64_t row = 0; row < kRows; ++row) {
    batch.Set(row, logits);
    batch.params[static_cast<size_t>(row)] = params;
    batch.params[static_cast<size_t>(row)].seed_low = static_cast<uint32_t>(1000 + row);
    batch.params[static_cast<size_t>(row)].seed_high = static_cast<uint32_t>(row % 2);
  }
  std::vector<int> counts(logits.size());
  for (int step = 0; step < steps; ++step) {
    for (int64_t row = 0; row < kRows; ++row)
      std::copy(seen.begin(), seen.end(), batch.seen.begin() + row * vocabulary);
    batch.Run();
    for (int32_t id : batch.next) ++counts[static_cast<size_t>(id)];
  }
  EXPECT_EQ(batch.steps[0], static_cast<uint32_t>(steps));
  return counts;
}

// Pearson's chi-squared of draws from the kept tokens; those that are expected fewer than 5 times go together.
void ExpectFrequencies(const SamplerParams& params, int steps) {
  SCOPED_TRACE("top-k " + std::to_string(params.top_k) + " top-p " + std::to_string(params.top_p) + " min-p " +
               std::to_string(params.min_p));
  const std::vector<float> logits = RandomLogits(50, 11, /*grid=*/false);
  const std::vector<uint8_t> seen = RandomSeen(50, 11);
  const std::vector<Token> kept = Kept(logits, params, seen);
  const std::vector<int> counts = CountDraws(logits, params, seen, steps);
  int draws = 0;
  for (int count : counts) draws += count;
  double total = 0;
  for (const Token& token : kept) total += token.weight;
  double chi_squared = 0;
  double rare = 0;
  int rare_drawn = 0;
  int classes = 0;
  int drawn = 0;
  for (const Token& token : kept) {
    const double expected = token.weight / total * draws;
    const int count = counts[static_cast<size_t>(token.id)];
    drawn += count;
    if (expected < 5) {
      rare += expected;
      rare_drawn += count;
      continue;
    }
    chi_squared += (count - expected) * (count - expected) / expected;
    ++classes;
  }
  if (rare >= 5) {
    chi_squared += (rare_drawn - rare) * (rare_drawn - rare) / rare;
    ++classes;
  }
  EXPECT_EQ(drawn, draws) << "tokens were drawn that aren't kept";
  // Its mean is classes - 1, its variance twice that: 5 deviations.
  EXPECT_LT(chi_squared, classes - 1 + 5 * std::sqrt(2.0 * classes));
}

TEST(CudaSamplingTest, FrequenciesFitTheProbabilities) {
  ExpectFrequencies({.temperature = 1.5f}, 60);
  ExpectFrequencies({.temperature = 1, .repetition_penalty = 1.5f}, 40);
  ExpectFrequencies({.temperature = 1, .min_p = 0.05f}, 40);
  ExpectFrequencies({.temperature = 1.5f, .top_k = 10}, 20);
  ExpectFrequencies({.temperature = 1.5f, .top_p = 0.8f}, 20);
}

// Seed and step as a number of [0, 1): the finalizer of splitmix64.
double Uniform(const SamplerParams& params, uint32_t step) {
  uint64_t x = (uint64_t{params.seed_high} << 32) | params.seed_low;
  x += (uint64_t{step} + 1) * 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  x ^= x >> 31;
  return static_cast<double>(x >> 11) * 0x1p-53;
}

// The draw over kept tokens in order of their id, to the token: a fixed place of a fixed line.
TEST(CudaSamplingTest, DrawsTheTokenAtItsPlace) {
  for (int64_t vocabulary : {1, 33, 1000, 5000}) {
    const int64_t rows = vocabulary < 100 ? 12 : 3;
    Batch batch(rows, vocabulary, /*padding=*/1);
    for (int64_t row = 0; row < rows; ++row) {
      batch.Set(row, RandomLogits(static_cast<size_t>(vocabulary), static_cast<uint32_t>(row + 20), row % 2 == 0));
      batch.params[static_cast<size_t>(row)] = {.temperature = 2,
                                                .top_p = row == 2 ? 0.9f : 1.0f,
                                                .top_k = row == 1 ? 64 : 0,
                                                .seed_low = static_cast<uint32_t>(row * 7919),
                                                .seed_high = static_cast<uint32_t>(row)};
      batch.steps[static_cast<size_t>(row)] = static_cast<uint32_t>(100 * row);
    }
    const Batch before = batch;
    batch.Run(/*with_seen=*/false);
    EXPECT_EQ(batch.seen, before.seen);
    for (int64_t row = 0; row < rows; ++row) {
      const auto i = static_cast<size_t>(row);
      std::vector<Token> kept = Kept(before.Logits(row), before.params[i], {});
      std::sort(kept.begin(), kept.end(), [](const Token& a, const Token& b) { return a.id < b.id; });
      double rest = 0;
      for (const Token& token : kept) rest += token.weight;
      rest *= Uniform(before.params[i], before.steps[i]);
      size_t at = 0;
      while (at + 1 < kept.size() && rest >= kept[at].weight) rest -= kept[at++].weight;
      EXPECT_EQ(batch.next[i], kept[at].id) << "vocabulary " << vocabulary << " row " << row;
      EXPECT_EQ(batch.steps[i], before.steps[i] + 1);
    }
  }
}

TEST(CudaSamplingTest, SequencesAreIndependent) {
  const SamplerParams params[] = {{.temperature = 0, .repetition_penalty = 1.2f},
                                  {.temperature = 1.2f, .top_p = 0.9f, .top_k = 12, .seed_low = 5}};
  Batch both(2, 50, /*padding=*/6);
  for (int64_t row = 0; row < 2; ++row) {
    both.Set(row, RandomLogits(50, static_cast<uint32_t>(row + 40), /*grid=*/false));
    both.params[static_cast<size_t>(row)] = params[row];
  }
  std::vector<Batch> alone;
  for (int64_t row = 0; row < 2; ++row) {
    alone.emplace_back(1, 50);
    alone.back().Set(0, both.Logits(row));
    alone.back().params[0] = params[row];
  }
  for (int step = 0; step < 10; ++step) {
    both.Run();
    for (int64_t row = 0; row < 2; ++row) {
      Batch& one = alone[static_cast<size_t>(row)];
      one.Run();
      EXPECT_EQ(one.next[0], both.next[static_cast<size_t>(row)]) << "step " << step << " row " << row;
      EXPECT_EQ(one.Seen(0), both.Seen(row));
    }
  }
}

// What sums can't take: nothing but infinities, or none that isn't NaN.
TEST(CudaSamplingTest, InfinitiesGiveATokenThatIsThere) {
  const SamplerParams params = {.temperature = 1, .top_p = 0.9f, .min_p = 0.1f, .top_k = 3};
  const std::vector<std::vector<float>> rows = {{kInfinity, 1, kNan, kInfinity},
                                                {-kInfinity, -kInfinity, kNan, kNan},
                                                {kNan, kNan, kNan, kNan},
                                                {kNan, -kInfinity, 2, kNan}};
  const std::vector<std::set<int32_t>> allowed = {{0, 3}, {0, 1}, {0}, {2}};
  for (uint32_t step = 0; step < 8; ++step) {
    Batch batch(4, 4);
    for (int64_t row = 0; row < 4; ++row) {
      batch.Set(row, rows[static_cast<size_t>(row)]);
      batch.params[static_cast<size_t>(row)] = params;
      batch.steps[static_cast<size_t>(row)] = step;
    }
    batch.Run();
    for (size_t row = 0; row < 4; ++row) EXPECT_EQ(allowed[row].count(batch.next[row]), 1u) << row;
  }
}

}  // namespace
}  // namespace eyeshot::cuda
