#include <array>

#include "reduce/reducer.h"
#include "reduce/reducers.h"

namespace eyeshot {
namespace {

constexpr std::array<const Reducer*, 9> kReducers = {&kStride, &kRandom, &kPool,      &kDivPrune, &kVisionZip,
                                                     &kTome,   &kEvs,    &kFrameMean, &kElastic};

// By the scores of docs/tokens.md.
constexpr const Reducer* kAuto = &kDivPrune;

}  // namespace

std::span<const Reducer* const> Reducers() { return kReducers; }

const Reducer* FindReducer(std::string_view name) {
  if (name == "auto") return kAuto;
  for (const Reducer* reducer : kReducers) {
    if (reducer->name == name) return reducer;
  }
  return nullptr;
}

}  // namespace eyeshot
