// Left operands of matrix products whose rows lie in memory, or are pictures' patches, or blocks of patches.
#ifndef EYESHOT_KERNELS_PORTABLE_ROW_SOURCES_H_
#define EYESHOT_KERNELS_PORTABLE_ROW_SOURCES_H_

#include <cstring>

#include "kernels/backend.h"
#include "kernels/portable/kernels.h"

namespace eyeshot::portable {

// The rows of a matrix. `x` must outlive the source.
inline RowSource MatrixRows(const ConstMatrixView& x) {
  return {[](const void* context, int64_t row, float*) {
            return static_cast<const ConstMatrixView*>(context)->Row<float>(row);
          },
          &x};
}

// The patches of tiles, normalized: [3, patch, patch].
inline RowSource PatchRows(const PatchEmbedArgs& args) {
  return {[](const void* context, int64_t row, float* temp) {
            const auto& a = *static_cast<const PatchEmbedArgs*>(context);
            const int64_t grid = a.side / a.patch;
            const int64_t tile = row / (grid * grid);
            const int64_t top = row / grid % grid * a.patch;
            const int64_t left = row % grid * a.patch;
            const uint8_t* corner = a.tiles.data + ((tile * a.side + top) * a.side + left) * 3;
            float* out = temp;
            for (int64_t channel = 0; channel < 3; ++channel) {
              const float* table = a.normalization.data + channel * 256;
              for (int64_t y = 0; y < a.patch; ++y) {
                const uint8_t* pixels = corner + y * a.side * 3 + channel;
                for (int64_t x = 0; x < a.patch; ++x) *out++ = table[pixels[x * 3]];
              }
            }
            return static_cast<const float*>(temp);
          },
          &args};
}

// Blocks of scale x scale neighbouring patches, row inside the block slowest.
inline RowSource ShuffledRows(const PixelShuffleLinearArgs& args) {
  return {[](const void* context, int64_t row, float* temp) {
            const auto& a = *static_cast<const PixelShuffleLinearArgs*>(context);
            const int64_t side = a.grid / a.scale;
            const int64_t tile = row / (side * side);
            const int64_t top = row / side % side * a.scale;
            const int64_t left = row % side * a.scale;
            float* out = temp;
            for (int64_t dr = 0; dr < a.scale; ++dr) {
              for (int64_t dc = 0; dc < a.scale; ++dc, out += a.x.cols) {
                const float* patch = a.x.Row<float>((tile * a.grid + top + dr) * a.grid + left + dc);
                std::memcpy(out, patch, static_cast<size_t>(a.x.cols) * sizeof(float));
              }
            }
            return static_cast<const float*>(temp);
          },
          &args};
}

}  // namespace eyeshot::portable

#endif  // EYESHOT_KERNELS_PORTABLE_ROW_SOURCES_H_
