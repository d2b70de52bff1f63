// What a reducer costs: 1,088 visual tokens of width 960 (17 tiles of SmolVLM-500M) on two threads.
//
// Once tile by tile, as in a prompt (17 tiles of 8 x 8), and once as if all were one tile (33 x 33, 1,089 tokens).
#include <benchmark/benchmark.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/splitmix64.h"
#include "kernels/backend.h"
#include "reduce/reduce_tokens.h"
#include "reduce/reducers.h"

namespace eyeshot {
namespace {

constexpr int64_t kWidth = 960;
constexpr int64_t kKeyWidth = 64;
constexpr int kThreads = 2;

std::vector<float> Noise(int64_t count) {
  std::vector<float> values;
  values.reserve(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    values.push_back(static_cast<float>(UnitOfBits(SplitMix64(static_cast<uint64_t>(i) * kSplitMix64Step))) - 0.5f);
  }
  return values;
}

void Reduce(benchmark::State& state, const Reducer* reducer) {
  const int64_t tiles = state.range(0);
  const int64_t side = state.range(1);
  const int64_t tokens = tiles * side * side;
  Result<std::unique_ptr<Backend>> made = CreateBackend({.name = "portable", .threads = kThreads});
  if (!made.ok()) return state.SkipWithError(made.status().message().c_str());
  Backend& backend = **made;
  const std::unique_ptr<Stream> stream = backend.NewStream();
  ThreadPool pool(kThreads);
  std::vector<float> values = Noise(tokens * kWidth);
  const MatrixView rows(values.data(), DType::kF32, tokens, kWidth, kWidth);
  const std::vector<float> attention = Noise(tokens);
  const std::vector<float> keys = Noise(tokens * kKeyWidth);
  const std::vector<int64_t> keep(static_cast<size_t>(tiles), side * side / 4);
  while (state.KeepRunning()) {
    Result<ReducedTokens> reduced = ReduceTokens(*reducer, backend, *stream, rows,
                                                 {.tiles = tiles,
                                                  .side = side,
                                                  .keep = keep,
                                                  .attention = attention.data(),
                                                  .keys = keys.data(),
                                                  .key_width = kKeyWidth},
                                                 pool);
    if (!reduced.ok()) return state.SkipWithError(reduced.status().message().c_str());
    benchmark::DoNotOptimize(reduced->rows.data);
  }
}

}  // namespace
}  // namespace eyeshot

int main(int argc, char** argv) {
  for (const eyeshot::Reducer* reducer : eyeshot::Reducers()) {
    if (reducer->reduce == nullptr) continue;
    auto* const bench =
        benchmark::RegisterBenchmark(std::string(reducer->name).c_str(), eyeshot::Reduce, reducer)->Args({17, 8});
    if (!reducer->clips_only) bench->Args({1, 33});
    bench->ArgNames({"tiles", "side"})->UseRealTime()->Unit(benchmark::kMillisecond);
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
