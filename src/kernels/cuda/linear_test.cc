// MatrixVector, SkinnyProduct and Dequantize on the emulator, against plain loops over the same weights and the same
// rounded x.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/cuda/linear-inl.h"
#include "kernels/cuda/skinny-inl.h"

namespace eyeshot::cuda {
namespace {

using Format = WeightMatrix::Format;
constexpr Format kFormats[] = {Format::kBf16, Format::kQ8, Format::k4Bit, Format::kFp8};

// Memory that is aligned as that of a device.
class DeviceBytes {
 public:
  explicit DeviceBytes(size_t bytes) : storage_(bytes / sizeof(Vec16) + 1) {}
  void* data() { return storage_.data(); }
  template <typename T>
  T* As() {
    return static_cast<T*>(data());
  }

 private:
  std::vector<Vec16> storage_;
};

struct TestWeight {
  TestWeight(Format format, int64_t outputs, int64_t inputs, bool gated, uint32_t seed);

  WeightMatrix matrix;
  std::vector<float> plain;  // [rows, inputs]

 private:
  DeviceBytes values_;
  DeviceBytes scales_;
  std::vector<float> levels_;
};

TestWeight::TestWeight(Format format, int64_t outputs, int64_t inputs, bool gated, uint32_t seed)
    : values_(static_cast<size_t>(2 * outputs * inputs * 2)),
      scales_(static_cast<size_t>(2 * outputs * (inputs + 32))) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  const int64_t rows = gated ? 2 * outputs : outputs;
  const int64_t blocks = CeilDiv(inputs, 32);
  for (int i = 0; i < 16; ++i) levels_.push_back(uniform(random) * 8);
  if (format == Format::kFp8) {
    for (int64_t i = 0; i < rows; ++i) scales_.As<float>()[i] = 0.002f * uniform(random);
  } else if (format != Format::kBf16) {
    for (int64_t i = 0; i < rows * blocks; ++i) scales_.As<uint16_t>()[i] = F16FromF32(0.05f * uniform(random));
  }
  for (int64_t i = 0; i < rows * inputs; ++i) {
    const int64_t row = i / inputs;
    const int64_t column = i % inputs;
    float value = 0;
    if (format == Format::kBf16) {
      values_.As<uint16_t>()[i] = Bf16FromF32(uniform(random));
      value = F32FromBf16(values_.As<uint16_t>()[i]);
    } else if (format == Format::k4Bit) {
      const auto nibble = static_cast<uint32_t>(random() % 16);
      uint32_t& word = values_.As<uint32_t>()[i / 8];
      word = (column % 8 == 0 ? 0u : word) | nibble << (4 * (column % 8));
      value = levels_[nibble];
    } else if (format == Format::kFp8) {
      const auto code = static_cast<uint8_t>(random() % 2 << 7 | random() % 127);
      values_.As<uint8_t>()[i] = code;
      value = F32FromF8E4M3(code) * scales_.As<float>()[row];
    } else {
      values_.As<int8_t>()[i] = static_cast<int8_t>(static_cast<int>(random() % 256) - 128);
      value = values_.As<int8_t>()[i];
    }
    if (format == Format::kQ8 || format == Format::k4Bit) {
      value *= F32FromF16(scales_.As<uint16_t>()[row * blocks + column / 32]);
    }
    plain.push_back(value);
  }
  matrix = {format, values_.data(), scales_.data(), levels_.data(), outputs, inputs, gated};
}

struct Case {
  int64_t rows = 1;
  int64_t outputs = 1;
  int64_t inputs = 8;
  bool gated = false;
  bool bias = false;
  bool gelu = false;
  bool residual = false;
  bool in_place = false;  // the residual is y
  bool float_y = false;
  int64_t x_padding = 8;  // of rows; x is read by 16 bytes where it's a multiple of 8
  int64_t x_missing = 0;  // columns of x that the weight has more
  bool skinny = false;
  bool norm = false;  // of float32 rows, done along
};

std::string Describe(Format format, const Case& c) {
  return "format " + std::to_string(static_cast<int>(format)) + " rows " + std::to_string(c.rows) + " outputs " +
         std::to_string(c.outputs) + " inputs " + std::to_string(c.inputs) + (c.gated ? " gated" : "") +
         (c.bias ? " bias" : "") + (c.gelu ? " gelu" : "") + (c.residual ? " residual" : "") +
         (c.in_place ? " in place" : "") + (c.float_y ? " float" : "") + (c.skinny ? " skinny" : "") +
         (c.norm ? " norm" : "");
}

// A value, and how far from it a right result may be.
struct Expected {
  double value = 0;
  double bound = 0;
};

constexpr double kUnit = 0x1p-24;  // relative rounding error of float32

// A sum of n products takes a lane n / 32 additions (each rounds, as do products), then its scales, and the warp 5
// more; rows end in pieces of up to 32 values, so that one lane may have that many more than its share.
// x may be off by `rounding` of itself.
Expected Dot(const float* x, const float* w, int64_t n, double rounding) {
  Expected sum;
  double magnitude = 0;
  for (int64_t i = 0; i < n; ++i) {
    sum.value += static_cast<double>(x[i]) * w[i];
    magnitude += std::abs(static_cast<double>(x[i]) * w[i]);
  }
  sum.bound = ((static_cast<double>(n) / 16 + 80) * kUnit + rounding) * magnitude;
  return sum;
}

double Silu(double x) { return x / (1 + std::exp(-x)); }

Expected Gate(const Expected& gate, const Expected& up) {
  const double silu = Silu(gate.value);
  // The slope of silu is at most 1.1.
  const double silu_bound = 1.1 * gate.bound + 8 * kUnit * (1 + std::abs(gate.value));
  return {silu * up.value, silu_bound * (std::abs(up.value) + up.bound) + std::abs(silu) * up.bound};
}

Expected Gelu(const Expected& x) {
  const double value =
      0.5 * x.value * (1 + std::tanh(0.7978845608028654 * (x.value + 0.044715 * std::pow(x.value, 3))));
  // Its slope is at most 1.13; the sum 1 + tanh may cancel.
  return {value, 1.13 * x.bound + 8 * kUnit * (1 + std::abs(x.value))};
}

// What MatrixVector works on, with NaN where it must not look and a mark where it must not write.
class VectorRun {
 public:
  VectorRun(const TestWeight& weight, const Case& c) : weight_(weight), case_(c) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    std::uniform_real_distribution<float> uniform(-1, 1);
    x_stride_ = c.inputs + c.x_padding;
    x_ = DeviceBytes(static_cast<size_t>(c.rows * x_stride_ * 2));
    for (int64_t i = 0; i < c.rows * x_stride_; ++i) {
      const bool inside = i % x_stride_ < c.inputs - c.x_missing;
      x_.As<uint16_t>()[i] = Bf16FromF32(inside ? uniform(random_) : nan);
    }
    y_stride_ = c.outputs + 3;
    y_ = DeviceBytes(static_cast<size_t>(c.rows * y_stride_ * 4));
    for (int64_t i = 0; i < c.rows * y_stride_; ++i) {
      if (c.float_y) {
        y_.As<float>()[i] = kMark;
      } else {
        y_.As<uint16_t>()[i] = Bf16FromF32(c.in_place && i % y_stride_ < c.outputs ? 8 * uniform(random_) : kMark);
      }
    }
    residual_stride_ = c.in_place ? y_stride_ : c.outputs + 5;
    for (int64_t i = 0; i < c.rows * residual_stride_; ++i) {
      residual_.push_back(c.in_place ? y_.As<uint16_t>()[i]
                                     : Bf16FromF32(i % residual_stride_ < c.outputs ? 8 * uniform(random_) : nan));
    }
    for (int64_t i = 0; i < c.outputs; ++i) bias_.push_back(uniform(random_));
    if (c.norm) MakeNormed();
  }

  void Run() {
    LinearArgs args;
    args.x = {x_.data(), DType::kBF16, case_.rows, case_.inputs - case_.x_missing, x_stride_};
    args.activation = case_.gelu ? Activation::kGeluTanh : Activation::kNone;
    args.y = {y_.data(), case_.float_y ? DType::kF32 : DType::kBF16, case_.rows, case_.outputs, y_stride_};
    if (case_.residual) {
      args.residual = {residual_.data(), DType::kBF16, case_.rows, case_.outputs, residual_stride_};
      if (case_.in_place) args.residual = args.y;
    }
    NormArgs norm;
    norm.x = {before_norm_.data(), DType::kF32, case_.rows, case_.inputs, x_stride_};
    norm.epsilon = kEpsilon;
    norm.y = {x_.data(), DType::kBF16, case_.rows, case_.inputs, x_stride_};
    norm.passing = case_.skinny;
    (case_.skinny ? &SkinnyProduct : &MatrixVector)(nullptr, weight_.matrix, case_.bias ? bias_.data() : nullptr, args,
                                                    case_.norm ? &norm : nullptr, gain_.data());
  }

  void Check() {
    for (int64_t row = 0; row < case_.rows; ++row) {
      std::vector<float> x(static_cast<size_t>(case_.inputs));
      for (int64_t i = 0; i < case_.inputs - case_.x_missing; ++i) {
        x[static_cast<size_t>(i)] = case_.norm ? Normed(row, i) : F32FromBf16(x_.As<uint16_t>()[row * x_stride_ + i]);
      }
      for (int64_t i = 0; i < y_stride_; ++i) {
        const int64_t at = row * y_stride_ + i;
        const float y = case_.float_y ? y_.As<float>()[at] : F32FromBf16(y_.As<uint16_t>()[at]);
        if (i >= case_.outputs) {
          ASSERT_EQ(y, kMark) << "row " << row << " column " << i;
          continue;
        }
        const Expected expected = ExpectedAt(x.data(), row, i);
        ASSERT_NEAR(y, expected.value, expected.bound) << "row " << row << " column " << i;
      }
    }
  }

 private:
  static constexpr float kMark = 77;
  static constexpr float kEpsilon = 1e-5f;

  // Rows of unlike sizes, float32, and what a norm has to find; x is for its result.
  void MakeNormed() {
    std::uniform_real_distribution<float> uniform(-1, 1);
    before_norm_ = DeviceBytes(static_cast<size_t>(case_.rows * x_stride_ * 4));
    for (int64_t i = 0; i < case_.rows * x_stride_; ++i) {
      const int64_t row = i / x_stride_;
      before_norm_.As<float>()[i] = uniform(random_) * static_cast<float>(1 + row);
    }
    for (int64_t i = 0; i < case_.inputs; ++i) gain_.push_back(uniform(random_));
    for (int64_t row = 0; row < case_.rows; ++row) {
      double square = 0;
      for (int64_t i = 0; i < case_.inputs; ++i) {
        square += std::pow(before_norm_.As<float>()[row * x_stride_ + i], 2);
      }
      scales_.push_back(1 / std::sqrt(square / static_cast<double>(case_.inputs) + kEpsilon));
    }
  }
  float Normed(int64_t row, int64_t i) {
    return static_cast<float>(before_norm_.As<float>()[row * x_stride_ + i] * scales_[static_cast<size_t>(row)] *
                              gain_[static_cast<size_t>(i)]);
  }

  Expected ExpectedAt(const float* x, int64_t row, int64_t output) const {
    const float* w = weight_.plain.data() + output * case_.inputs;
    const double rounding = case_.norm ? 0x1p-8 : 0;  // of each element of x to bfloat16, and of the norm's factor
    Expected e = Dot(x, w, case_.inputs, rounding);
    if (case_.gated) e = Gate(e, Dot(x, w + case_.outputs * case_.inputs, case_.inputs, rounding));
    if (case_.bias) e.value += bias_[static_cast<size_t>(output)];
    if (case_.gelu) e = Gelu(e);
    if (case_.residual) e.value += F32FromBf16(residual_[static_cast<size_t>(row * residual_stride_ + output)]);
    e.bound += 8 * kUnit * (std::abs(e.value) + 16);  // of the additions: terms are below 8, 8 and |value|
    if (!case_.float_y) e.bound += std::abs(e.value) * 0x1p-8;  // at least its rounding
    return e;
  }

  const TestWeight& weight_;
  Case case_;
  std::mt19937 random_{7};
  int64_t x_stride_ = 0;
  int64_t y_stride_ = 0;
  int64_t residual_stride_ = 0;
  DeviceBytes x_{0};
  DeviceBytes y_{0};
  std::vector<uint16_t> residual_;
  std::vector<float> bias_;
  DeviceBytes before_norm_{0};
  std::vector<float> gain_;
  std::vector<double> scales_;
};

void RunCase(Format format, const Case& c, const TestWeight& weight) {
  SCOPED_TRACE(Describe(format, c));
  VectorRun run(weight, c);
  run.Run();
  run.Check();
}

void RunCase(Format format, const Case& c) { RunCase(format, c, TestWeight(format, c.outputs, c.inputs, c.gated, 3)); }

void RunShapes(Format format) {
  for (int64_t inputs : {8, 72, 576, 4304}) {
    for (int64_t outputs : {1, 5, 33}) {
      for (bool gated : {false, true}) {
        const TestWeight weight(format, outputs, inputs, gated, static_cast<uint32_t>(inputs + outputs));
        for (int64_t rows : {1, 2, 3, 8}) {
          const Case base = {.rows = rows, .outputs = outputs, .inputs = inputs, .gated = gated};
          Case c = base;
          c.float_y = true;
          RunCase(format, c, weight);
          c = base;
          c.bias = c.gelu = true;
          c.x_padding = 3;
          RunCase(format, c, weight);
          c = base;
          c.residual = c.in_place = true;
          RunCase(format, c, weight);
          c = base;
          c.bias = c.gelu = c.residual = c.float_y = true;
          RunCase(format, c, weight);
          if (::testing::Test::HasFailure()) return;
        }
      }
    }
  }
}

TEST(CudaLinearTest, Bf16ProductsAreThoseOfPlainLoops) { RunShapes(Format::kBf16); }
TEST(CudaLinearTest, Q8ProductsAreThoseOfPlainLoops) { RunShapes(Format::kQ8); }
TEST(CudaLinearTest, FourBitProductsAreThoseOfPlainLoops) { RunShapes(Format::k4Bit); }

TEST(CudaLinearTest, Fp8ProductsAreThoseOfPlainLoops) { RunShapes(Format::kFp8); }

TEST(CudaLinearTest, RowsAreRoundedToE4M3) {
  std::mt19937 random(11);
  for (const int64_t cols : {8, 264, 4304}) {
    constexpr int64_t kRows = 7;
    const int64_t stride = cols + 16;
    DeviceBytes x(static_cast<size_t>(kRows * stride * 2));
    for (int64_t i = 0; i < kRows * stride; ++i) {
      const int64_t row = i / stride;  // the first one is zeros
      std::normal_distribution<float> normal(0, static_cast<float>(row));
      x.As<uint16_t>()[i] = Bf16FromF32(i % stride < cols ? normal(random) : 1e9f);
    }
    DeviceBytes codes(static_cast<size_t>(kRows * cols));
    DeviceBytes scales(kRows * sizeof(float));
    RoundRows(nullptr, {x.data(), DType::kBF16, kRows, cols, stride}, codes.As<uint8_t>(), scales.As<float>());
    for (int64_t row = 0; row < kRows; ++row) {
      float largest = 0;
      for (int64_t i = 0; i < cols; ++i) {
        largest = std::max(largest, std::abs(F32FromBf16(x.As<uint16_t>()[row * stride + i])));
      }
      ASSERT_EQ(scales.As<float>()[row], largest > 0 ? largest / 448 : 1);
      const float factor = largest > 0 ? 448 / largest : 1;
      for (int64_t i = 0; i < cols; ++i) {
        ASSERT_EQ(codes.As<uint8_t>()[row * cols + i],
                  F8E4M3FromF32(F32FromBf16(x.As<uint16_t>()[row * stride + i]) * factor))
            << "row " << row << " column " << i;
      }
    }
  }
}

// Its reciprocal would be infinite, and zeros times that no numbers.
TEST(CudaLinearTest, ARowOfNumbersNearZeroBecomesZeros) {
  DeviceBytes x(8 * sizeof(uint16_t));
  for (int i = 0; i < 8; ++i) x.As<uint16_t>()[i] = Bf16FromF32(i == 3 ? 1e-38f : 0.0f);
  DeviceBytes codes(8);
  DeviceBytes scale(sizeof(float));
  RoundRows(nullptr, {x.data(), DType::kBF16, 1, 8, 8}, codes.As<uint8_t>(), scale.As<float>());
  EXPECT_EQ(*scale.As<float>(), 1);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(codes.As<uint8_t>()[i], 0) << i;
}

// Of each number that bfloat16 has below the largest.
TEST(CudaLinearTest, E4M3RoundsToNearestEven) {
  for (uint32_t bits = 0; bits <= 0x43e0u; ++bits) {
    const float value = F32FromBf16(static_cast<uint16_t>(bits));
    ASSERT_EQ(ToE4M3(value), F8E4M3FromF32(value)) << value;
    ASSERT_EQ(ToE4M3(-value), F8E4M3FromF32(-value)) << value;
  }
}

TEST(CudaLinearTest, SkinnyProductsAreThoseOfPlainLoops) {
  for (int64_t inputs : {32, 64, 576, 1568}) {
    for (int64_t outputs : {1, 16, 37}) {
      for (bool gated : {false, true}) {
        const TestWeight weight(Format::kBf16, outputs, inputs, gated, static_cast<uint32_t>(inputs + outputs));
        for (int64_t rows : {1, 7, 9, 17, 64}) {
          Case c = {.rows = rows, .outputs = outputs, .inputs = inputs, .gated = gated, .skinny = true};
          RunCase(Format::kBf16, c, weight);
          c.norm = c.float_y = true;
          RunCase(Format::kBf16, c, weight);
          c.norm = c.float_y = false;
          c.residual = c.in_place = true;
          RunCase(Format::kBf16, c, weight);
          if (::testing::Test::HasFailure()) return;
        }
      }
    }
  }
}

TEST(CudaLinearTest, NormsAreDoneAlong) {
  for (Format format : kFormats) {
    for (int64_t rows : {1, 2, 5, 8}) {
      RunCase(format, {.rows = rows, .outputs = 19, .inputs = 576, .float_y = true, .norm = true});
      RunCase(format, {.rows = rows, .outputs = 19, .inputs = 2048, .gated = true, .float_y = true, .norm = true});
    }
  }
}

// x that doesn't fit in shared memory at once: 16,384 elements of 1 row, 2048 of each of 8.
TEST(CudaLinearTest, LongRowsGoInTiles) {
  for (Format format : kFormats) {
    RunCase(format, {.rows = 1, .outputs = 3, .inputs = 2 * 16384 + 1056, .float_y = true});
    RunCase(format, {.rows = 5, .outputs = 3, .inputs = 4096 + 352, .gated = true, .float_y = true});
  }
}

TEST(CudaLinearTest, ManyOutputsTakeLargerBlocks) {
  RunCase(Format::k4Bit, {.rows = 1, .outputs = 8197, .inputs = 8, .float_y = true});
}

// Weights whose inputs were rounded up to a multiple of 8: what lies behind the columns of x is not read.
TEST(CudaLinearTest, MissingColumnsOfXAreZero) {
  for (Format format : kFormats) {
    RunCase(format, {.rows = 3, .outputs = 5, .inputs = 72, .float_y = true, .x_missing = 5});
    RunCase(format, {.rows = 1, .outputs = 5, .inputs = 64, .float_y = true, .x_missing = 3});
  }
}

TEST(CudaLinearTest, DequantizeRoundsToNearest) {
  for (Format format : kFormats) {
    for (int64_t inputs : {8, 72, 576, 4304}) {
      constexpr int64_t kFirst = 3;
      constexpr int64_t kCount = 4;
      const TestWeight weight(format, 4, inputs, /*gated=*/true, 5);
      DeviceBytes out(static_cast<size_t>(kCount * inputs * 2));
      Dequantize(nullptr, weight.matrix, kFirst, kCount, out.As<uint16_t>());
      for (int64_t i = 0; i < kCount * inputs; ++i) {
        ASSERT_EQ(out.As<uint16_t>()[i], Bf16FromF32(weight.plain[static_cast<size_t>(kFirst * inputs + i)]))
            << "format " << static_cast<int>(format) << " inputs " << inputs << " at " << i;
      }
    }
  }
}

}  // namespace
}  // namespace eyeshot::cuda
