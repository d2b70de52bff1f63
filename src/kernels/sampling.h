// Choosing a token from logits, on the host.
#ifndef EYESHOT_KERNELS_SAMPLING_H_
#define EYESHOT_KERNELS_SAMPLING_H_

#include <cstdint>
#include <span>

#include "kernels/backend.h"

namespace eyeshot {

// The next token by `params`: the highest logit (the lowest id among equals) when the temperature is 0, else
// a draw from the softmax after, in this order, repetition penalty (Keskar et al., arXiv 1909.05858: seen
// logits divided by it when positive, multiplied when negative), temperature, top-k, top-p (the smallest set
// of most probable tokens whose probabilities reach top_p; Holtzman et al., arXiv 1904.09751) and min-p
// (tokens of at least min_p times the highest probability; arXiv 2407.01082).
// NaN logits are never chosen unless all are NaN (then token 0).
//
// The draw depends on seed and `step` alone, so that runs are repeatable and independent of batching.
// logits: [vocabulary]; seen: [vocabulary] or empty; scratch: [vocabulary]. Does not allocate.
int32_t SampleToken(std::span<const float> logits, const SamplerParams& params, uint32_t step,
                    std::span<const uint8_t> seen, std::span<uint64_t> scratch);

}  // namespace eyeshot

#endif  // EYESHOT_KERNELS_SAMPLING_H_
