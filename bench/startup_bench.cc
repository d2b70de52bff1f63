// What stands between the start of the program and its first question, but for the weights.
//
//   startup_bench [--benchmark_filter=Tokenizer]     EYESHOT_MODEL names the folder; without it SmolVLM-256M's files
//                                                    of tests/data, unpacked by the build
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

#include "formats/generation_config.h"
#include "formats/model_config.h"
#include "formats/processor_config.h"
#include "formats/tokenizer_json.h"
#include "kernels/backend.h"
#include "models/model.h"
#include "text/prompt.h"
#include "text/tokenizer.h"

namespace eyeshot {
namespace {

std::string ModelDir() {
  const char* dir = std::getenv("EYESHOT_MODEL");
  return dir != nullptr ? dir : EYESHOT_UNPACKED_DIR "/tests/data/checkpoints/SmolVLM-256M-Instruct";
}

template <typename T>
T Must(Result<T> result) {
  if (result.ok()) return std::move(result).value();
  std::fprintf(stderr, "%s\n", result.status().message().c_str());
  std::exit(1);
}

void Configurations(benchmark::State& state) {
  while (state.KeepRunning()) {
    Must(LoadModelConfig(ModelDir()));
    Must(LoadProcessorConfig(ModelDir()));
    Must(LoadGenerationConfig(ModelDir()));
  }
}
BENCHMARK(Configurations)->Unit(benchmark::kMillisecond);

// tokenizer.json to a struct.
void TokenizerFile(benchmark::State& state) {
  while (state.KeepRunning()) benchmark::DoNotOptimize(Must(LoadTokenizerFile(ModelDir())));
}
BENCHMARK(TokenizerFile)->Unit(benchmark::kMillisecond);

// The same, and what encodes and decodes made of it.
void TokenizerWhole(benchmark::State& state) {
  while (state.KeepRunning()) benchmark::DoNotOptimize(Must(Tokenizer::Load(ModelDir())));
}
BENCHMARK(TokenizerWhole)->Unit(benchmark::kMillisecond);

void ChatTemplate(benchmark::State& state) {
  const Tokenizer tokenizer = Must(Tokenizer::Load(ModelDir()));
  while (state.KeepRunning()) benchmark::DoNotOptimize(Must(PromptFormat::Load(ModelDir(), tokenizer, 64)));
}
BENCHMARK(ChatTemplate)->Unit(benchmark::kMillisecond);

// Threads included; its end too.
void BackendAndThreads(benchmark::State& state) {
  while (state.KeepRunning()) benchmark::DoNotOptimize(Must(CreateBackend({})));
}
BENCHMARK(BackendAndThreads)->Unit(benchmark::kMillisecond);

// The cache of a full context; its pages are touched by tokens only.
void KeyValueCache(benchmark::State& state) {
  const ModelConfig config = Must(LoadModelConfig(ModelDir()));
  const auto backend = Must(CreateBackend({}));
  const KvCacheShape shape{.layer_group = std::vector<int>(static_cast<size_t>(config.text.num_layers), 0),
                           .blocks = config.text.max_positions / kKvBlockSize,
                           .block_size = kKvBlockSize,
                           .kv_heads = config.text.num_kv_heads,
                           .head_dim = config.text.head_dim};
  while (state.KeepRunning()) benchmark::DoNotOptimize(Must(backend->NewKvCache(shape)));
}
BENCHMARK(KeyValueCache)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace eyeshot

BENCHMARK_MAIN();
