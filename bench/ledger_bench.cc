// What the ledger costs while an answer is decoded, without and with an observer of stages.
#include <benchmark/benchmark.h>

#include "ledger/stage.h"

namespace eyeshot {
namespace {

class LastStage final : public StageObserver {
 public:
  void OnStage(StageId id) noexcept override { benchmark::DoNotOptimize(last_ = id); }

 private:
  StageId last_ = StageId::kLoad;
};

// What the scheduler notes of a token of one answer: a step's ledger, its part that goes to the answer, and the text.
void Token(benchmark::State& state) {
  Ledger answer;
  StageQueue queue;
  LastStage observer;
  while (state.KeepRunning()) {
    Ledger step;
    if (state.range(0) != 0) step.Observe(&observer);
    {
      Stage stage(step, StageId::kDecode, &queue);
      stage.AddTokens(1);
    }
    queue.Collect(step);
    for (size_t i = 0; i < kStageCount; ++i) {
      const auto id = static_cast<StageId>(i);
      if (step.cost(id).runs > 0) answer.Add(id, step.cost(id));
    }
    {
      Stage stage(answer, StageId::kDetokenize);
      stage.AddTokens(1);
    }
    benchmark::DoNotOptimize(answer.cost(StageId::kDetokenize).wall_ns);
  }
}
BENCHMARK(Token)->ArgName("observer")->Arg(0)->Arg(1);

}  // namespace
}  // namespace eyeshot

BENCHMARK_MAIN();
