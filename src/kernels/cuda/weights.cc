#include "kernels/cuda/weights.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <span>

#include "kernels/portable/weights.h"
#include "tensor/dtype.h"

namespace eyeshot::cuda {
namespace {

constexpr int64_t kBlock = portable::kBlockInputs;
constexpr size_t kScaleBytes = sizeof(uint16_t);
constexpr int kZero = 128;  // what codes of 8 bits stand for zero by

size_t ValueBytes(WeightMatrix::Format format, int64_t rows, int64_t padded) {
  const auto elements = static_cast<size_t>(rows * padded);
  switch (format) {
    case WeightMatrix::Format::kBf16: return elements * 2;
    case WeightMatrix::Format::k4Bit: return elements / 2;
    default: return elements;
  }
}

size_t ScalesOffset(WeightMatrix::Format format, int64_t rows, int64_t padded) {
  return (ValueBytes(format, rows, padded) + 15) / 16 * 16;
}

// A block of 32 inputs: codes as portable::QuantizeBlock gives them, and the bits of the scale.
struct Block {
  std::array<uint8_t, kBlock> codes;
  uint16_t scale = 0;
};

Block RoundBlock(WeightFormat format, const float* x) {
  Block block;
  block.scale = F16FromF32(portable::QuantizeBlock(format, std::span<const float, kBlock>(x, kBlock), block.codes));
  return block;
}

// GGUF's Q8_0 and Q4_0 keep their codes and scales. `bytes`: of the block in the file.
Block TakeBlock(DType dtype, const uint8_t* bytes) {
  Block block;
  std::memcpy(&block.scale, bytes, kScaleBytes);
  bytes += kScaleBytes;
  for (size_t i = 0; i < kBlock; ++i) {
    if (dtype == DType::kQ8_0) {
      block.codes[i] = static_cast<uint8_t>(bytes[i] + kZero);
    } else {
      block.codes[i] = static_cast<uint8_t>(i < kBlock / 2 ? bytes[i] & 15 : bytes[i - kBlock / 2] >> 4);
    }
  }
  return block;
}

bool SameBlocks(DType dtype, WeightFormat format) {
  return (dtype == DType::kQ8_0 && format == WeightFormat::kQ8) ||
         (dtype == DType::kQ4_0 && format == WeightFormat::kQ4);
}

// The first `count` inputs of a block to where they lie.
void StoreBlock(WeightMatrix::Format format, const Block& block, int64_t count, uint8_t* values, uint8_t* scale) {
  std::memcpy(scale, &block.scale, kScaleBytes);
  for (int64_t i = 0; i < count; ++i) {
    const uint8_t code = block.codes[static_cast<size_t>(i)];
    if (format == WeightMatrix::Format::kQ8) {
      values[i] = static_cast<uint8_t>(code - kZero);
    } else {
      uint8_t& pair = values[i / 2];
      pair = static_cast<uint8_t>(i % 2 == 0 ? code : pair | code << 4);
    }
  }
}

// A row whose numbers are all too small to be divided by becomes zeros.
void PackE4M3(const float* row, int64_t padded, uint8_t* values, uint8_t* scale) {
  constexpr float kLeast = 1e-30f;
  float largest = 0;
  for (int64_t i = 0; i < padded; ++i) largest = std::max(largest, std::abs(row[i]));
  const float divisor = largest > kLeast ? largest / kLargestF8E4M3 : 1.0f;
  std::memcpy(scale, &divisor, sizeof(divisor));
  for (int64_t i = 0; i < padded; ++i) values[i] = F8E4M3FromF32(row[i] / divisor);
}

void PackRow(WeightFormat format, const float* row, int64_t padded, uint8_t* values, uint8_t* scales) {
  const WeightMatrix::Format kept = MatrixFormat(format);
  if (kept == WeightMatrix::Format::kFp8) return PackE4M3(row, padded, values, scales);
  if (kept == WeightMatrix::Format::kBf16) {
    for (int64_t i = 0; i < padded; ++i) {
      const uint16_t bits = Bf16FromF32(row[i]);
      std::memcpy(values + i * 2, &bits, sizeof(bits));
    }
    return;
  }
  const WeightFormat blocks = format == WeightFormat::kInt8 ? WeightFormat::kQ8 : format;
  for (int64_t begin = 0; begin < padded; begin += kBlock, scales += kScaleBytes) {
    StoreBlock(kept, RoundBlock(blocks, row + begin), std::min(kBlock, padded - begin),
               values + (kept == WeightMatrix::Format::kQ8 ? begin : begin / 2), scales);
  }
}

void TakeRow(DType dtype, WeightMatrix::Format kept, const uint8_t* row, int64_t inputs, uint8_t* values,
             uint8_t* scales) {
  for (int64_t begin = 0; begin < inputs; begin += kBlock, scales += kScaleBytes, row += DTypeBytes(dtype)) {
    StoreBlock(kept, TakeBlock(dtype, row), kBlock, values + (kept == WeightMatrix::Format::kQ8 ? begin : begin / 2),
               scales);
  }
}

}  // namespace

WeightMatrix::Format MatrixFormat(WeightFormat format) {
  switch (format) {
    case WeightFormat::kInt8:
    case WeightFormat::kQ8: return WeightMatrix::Format::kQ8;
    case WeightFormat::kInt4:
    case WeightFormat::kQ4: return WeightMatrix::Format::k4Bit;
    case WeightFormat::kFp8: return WeightMatrix::Format::kFp8;
    default: return WeightMatrix::Format::kBf16;
  }
}

namespace {

// Bytes of the scales of a row.
size_t RowScaleBytes(WeightMatrix::Format kept, int64_t padded) {
  if (kept == WeightMatrix::Format::kFp8) return sizeof(float);
  return static_cast<size_t>((padded + kBlock - 1) / kBlock) * kScaleBytes;
}

}  // namespace

size_t MatrixBytes(WeightFormat format, int64_t rows, int64_t inputs) {
  const WeightMatrix::Format kept = MatrixFormat(format);
  const int64_t padded = PaddedInputs(inputs);
  if (kept == WeightMatrix::Format::kBf16) return ValueBytes(kept, rows, padded);
  return ScalesOffset(kept, rows, padded) + static_cast<size_t>(rows) * RowScaleBytes(kept, padded);
}

HostWeight PackMatrix(const LinearSource& source, int64_t inputs, ThreadPool& pool) {
  const WeightMatrix::Format kept = MatrixFormat(source.format);
  const int64_t padded = PaddedInputs(inputs);
  int64_t rows = 0;
  for (const HostTensor& part : source.parts) rows += part.elements() / inputs;
  HostWeight weight;
  weight.bytes.resize(MatrixBytes(source.format, rows, inputs));
  if (kept != WeightMatrix::Format::kBf16) weight.scales = ScalesOffset(kept, rows, padded);
  const size_t row_bytes = ValueBytes(kept, 1, padded);
  const size_t row_scales = RowScaleBytes(kept, padded);
  const size_t floats = static_cast<size_t>((padded + kBlock - 1) / kBlock * kBlock);
  int64_t first = 0;
  for (const HostTensor& part : source.parts) {
    const int64_t count = part.elements() / inputs;
    const size_t part_bytes = BytesOf(part.dtype, static_cast<size_t>(inputs));
    pool.Run(static_cast<size_t>(count), [&](size_t task, size_t) {
      const size_t index = static_cast<size_t>(first) + task;
      uint8_t* values = weight.bytes.data() + index * row_bytes;
      uint8_t* scales = weight.bytes.data() + weight.scales + index * row_scales;
      if (SameBlocks(part.dtype, source.format)) {
        TakeRow(part.dtype, kept, part.data + task * part_bytes, inputs, values, scales);
        return;
      }
      std::vector<float> row(floats, 0.0f);
      ConvertToF32(part.dtype, part.data + task * part_bytes, static_cast<size_t>(inputs), row.data());
      PackRow(source.format, row.data(), padded, values, scales);
    });
    first += count;
  }
  return weight;
}

}  // namespace eyeshot::cuda
