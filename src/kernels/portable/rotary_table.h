// Cosines and sines of a step's rotary positions: the same for all its layers, so they are computed once.
#ifndef EYESHOT_KERNELS_PORTABLE_ROTARY_TABLE_H_
#define EYESHOT_KERNELS_PORTABLE_ROTARY_TABLE_H_

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/threads.h"
#include "tensor/view.h"

namespace eyeshot::portable {

class RotaryTable {
 public:
  // Makes the rows of these positions, unless the last call asked for the same ones. Allocates only for more
  // tokens than ever before.
  void Prepare(const int32_t* positions, int64_t tokens, DeviceSpan<const float> frequencies, ThreadPool& pool) {
    if (Same(positions_, positions, tokens) && Same(frequencies_, frequencies.data, frequencies.size)) return;
    positions_.assign(positions, positions + tokens);
    frequencies_.assign(frequencies.data, frequencies.data + frequencies.size);
    cosines_.resize(static_cast<size_t>(tokens * frequencies.size));
    sines_.resize(cosines_.size());
    const size_t half = frequencies_.size();
    pool.Run(positions_.size(), [&](size_t token, size_t) {
      for (size_t i = 0; i < half; ++i) {
        // The product is rounded to float32 before cos and sin, as transformers does.
        const float angle = static_cast<float>(positions_[token]) * frequencies_[i];
        cosines_[token * half + i] = std::cos(angle);
        sines_[token * half + i] = std::sin(angle);
      }
    });
  }

  const float* cosines() const { return cosines_.data(); }  // [tokens, head_dim / 2]
  const float* sines() const { return sines_.data(); }

 private:
  template <typename T>
  static bool Same(const std::vector<T>& kept, const T* data, int64_t size) {
    return kept.size() == static_cast<size_t>(size) && std::memcmp(kept.data(), data, kept.size() * sizeof(T)) == 0;
  }

  std::vector<int32_t> positions_;
  std::vector<float> frequencies_;
  std::vector<float> cosines_;
  std::vector<float> sines_;
};

}  // namespace eyeshot::portable

#endif  // EYESHOT_KERNELS_PORTABLE_ROTARY_TABLE_H_
