// Products in rounded arithmetic against their definitions in doubles: weights rounded by output or by block of inputs,
// rows rounded to integers with a scale each or to bfloat16, exact sums, then scales, bias, activation and residual.
#include "kernels/portable/dot.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "kernels/cpu_backend.h"
#include "kernels/few_rows.h"
#include "kernels/portable/weights.h"
#if defined(__x86_64__)
#include "kernels/x86/amx_emulator.h"
#endif
#include "tensor/dtype.h"

namespace eyeshot {
namespace {

using portable::kBlockInputs;

struct Case {
  int64_t rows, outputs, inputs;
  bool gated = false;
  bool bias = false;
  bool gelu = false;
  bool residual = false;
};

constexpr WeightFormat kFormats[] = {WeightFormat::kBf16, WeightFormat::kInt8, WeightFormat::kQ8, WeightFormat::kQ4,
                                     WeightFormat::kInt4};
bool IsInteger(WeightFormat format) { return format != WeightFormat::kBf16; }
bool IsBlocks(WeightFormat format) { return IsInteger(format) && format != WeightFormat::kInt8; }

std::vector<float> Random(std::mt19937& random, int64_t count) {
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(random);
  return values;
}

HostTensor Tensor(const std::vector<float>& values, int64_t rows, int64_t cols) {
  return {.name = "weight",
          .dtype = DType::kF32,
          .shape = {rows, cols},
          .data = reinterpret_cast<const uint8_t*>(values.data())};
}

double Gelu(double x) { return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); }

// Values as integers of at most `largest` times a scale. Ties round to even, in float32 as the kernels compute.
std::vector<double> RoundTo(const float* x, int64_t n, float largest_integer) {
  float largest = 0;
  for (int64_t i = 0; i < n; ++i) largest = std::max(largest, std::abs(x[i]));
  const double scale = largest / largest_integer;
  const float factor = largest > 0 ? largest_integer / largest : 0.0f;
  std::vector<double> out;
  out.reserve(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) out.push_back(static_cast<double>(std::nearbyint(x[i] * factor)) * scale);
  return out;
}

struct Machine {
  int threads;
  Isa isa;
};

// AMX runs in software where the CPU lacks it.
class DotTest : public testing::TestWithParam<Machine> {
 protected:
  void SetUp() override {
    auto backend = NewPortableBackend(GetParam().threads, GetParam().isa);
    if (!backend.ok() && GetParam().isa == Isa::kAmx) GTEST_SKIP() << backend.status().message();
    ASSERT_TRUE(backend.ok()) << backend.status().message();
    backend_ = *std::move(backend);
    stream_ = backend_->NewStream();
    rounds_to_bf16_ = !portable::DotKernelsFor(portable::DotType::kBf16, GetParam().isa).empty();
  }

  std::vector<float> Attend(const std::vector<float>& qkv, const EncodeAttentionArgs& shape, bool reduced) {
    const int64_t width = shape.heads * shape.head_dim;
    const auto tokens = static_cast<int64_t>(qkv.size()) / (3 * width);
    std::vector<float> y(static_cast<size_t>(tokens * width));
    EncodeAttentionArgs args = shape;
    args.qkv = {qkv.data(), DType::kF32, tokens, 3 * width, 3 * width};
    args.reduced = reduced;
    args.y = {y.data(), DType::kF32, tokens, width, width};
    backend_->EncodeAttention(*stream_, args);
    return y;
  }

  PackedWeightPtr Pack(const std::vector<float>& w, int64_t outputs, int64_t inputs, WeightFormat format,
                       bool gated = false) {
    LinearSource source{.parts = {Tensor(w, outputs, inputs)}, .gated = gated, .format = format};
    if (gated) {
      source.parts = {Tensor(w, outputs / 2, inputs), Tensor(w, outputs / 2, inputs)};
      source.parts[1].data += static_cast<size_t>(outputs / 2 * inputs) * sizeof(float);
    }
    auto weight = backend_->PackLinear(source);
    EXPECT_TRUE(weight.ok()) << weight.status().message();
    return *std::move(weight);
  }

  // The weights as the format keeps them.
  std::vector<float> Kept(const std::vector<float>& w, int64_t outputs, int64_t inputs, WeightFormat format) {
    const PackedWeightPtr weight = Pack(w, outputs, inputs, format);
    std::vector<float> kept(w.size());
    std::vector<int32_t> ids(static_cast<size_t>(outputs));
    for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i);
    backend_->Gather(*stream_, {.table = weight.get(),
                                .ids = {ids.data(), outputs},
                                .y = {kept.data(), DType::kF32, outputs, inputs, inputs}});
    return kept;
  }

  // Up to how many rows have two digits.
  int64_t FewRows(WeightFormat format) const { return eyeshot::FewRows(*backend_, format); }

  // What a row of x is in a product of so many rows.
  std::vector<double> RoundRow(const float* x, int64_t n, int64_t rows, WeightFormat format) const {
    if (IsInteger(format)) return RoundTo(x, n, rows <= FewRows(format) ? 127.0f * 128.0f : 127.0f);
    std::vector<double> out;
    out.reserve(static_cast<size_t>(n));
    const bool exact = rows <= FewRows(format) || !rounds_to_bf16_;
    for (int64_t i = 0; i < n; ++i) out.push_back(exact ? x[i] : F32FromBf16(Bf16FromF32(x[i])));
    return out;
  }

  void Check(const Case& c, WeightFormat format) {
    SCOPED_TRACE(testing::Message() << "format " << static_cast<int>(format) << ", " << c.rows << " x " << c.outputs
                                    << " x " << c.inputs << (c.gated ? " gated" : ""));
    const int64_t stored = c.gated ? 2 * c.outputs : c.outputs;
    const std::vector<float> w = Random(random_, stored * c.inputs);
    const std::vector<float> x = Random(random_, c.rows * c.inputs);
    const std::vector<float> bias = Random(random_, c.outputs);
    const std::vector<float> residual = Random(random_, c.rows * c.outputs);
    const PackedWeightPtr weight = Pack(w, stored, c.inputs, format, c.gated);
    EXPECT_EQ(weight->bytes, backend_->PackedLinearBytes(stored, c.inputs, format));
    auto packed_bias = backend_->PackVector(Tensor(bias, 1, c.outputs));
    ASSERT_TRUE(packed_bias.ok());

    std::vector<float> y(static_cast<size_t>(c.rows * c.outputs), -1.0f);
    LinearArgs args{.x = {x.data(), DType::kF32, c.rows, c.inputs, c.inputs},
                    .weight = weight.get(),
                    .bias = c.bias ? packed_bias->get() : nullptr,
                    .activation = c.gelu ? Activation::kGeluTanh : Activation::kNone,
                    .residual = {},
                    .y = {y.data(), DType::kF32, c.rows, c.outputs, c.outputs}};
    if (c.residual) args.residual = {residual.data(), DType::kF32, c.rows, c.outputs, c.outputs};
    backend_->Linear(*stream_, args);

    // Products of many rows take blocks as kInt8; a weight half-way between two integers may go either way.
    const std::vector<float> kept = Kept(w, stored, c.inputs, format);
    const bool rounded_again = IsBlocks(format) && c.rows > FewRows(format);
    std::vector<std::vector<double>> weights;
    std::vector<std::vector<double>> slack(static_cast<size_t>(stored));
    for (int64_t n = 0; n < stored; ++n) {
      const float* row = kept.data() + n * c.inputs;
      weights.emplace_back(row, row + c.inputs);
      if (!rounded_again) continue;
      weights.back() = RoundTo(row, c.inputs, 127.0f);
      double largest = 0;
      for (int64_t i = 0; i < c.inputs; ++i) largest = std::max(largest, std::abs(double{row[i]}));
      for (int64_t i = 0; i < c.inputs; ++i) {
        const double exact = std::abs(row[i] / largest * 127);
        const bool half_way = std::abs(exact - std::floor(exact) - 0.5) < 1e-3;
        slack[static_cast<size_t>(n)].push_back(half_way ? largest / 127 : 0.0);
      }
    }
    for (int64_t m = 0; m < c.rows; ++m) {
      const std::vector<double> row = RoundRow(x.data() + m * c.inputs, c.inputs, c.rows, format);
      const auto either_way = [&](int64_t n) {
        double sum = 0;
        const std::vector<double>& of_output = slack[static_cast<size_t>(n)];
        for (size_t i = 0; i < of_output.size(); ++i) sum += of_output[i] * std::abs(row[i]);
        return sum;
      };
      const auto product = [&](int64_t n) {
        double sum = 0;
        for (size_t i = 0; i < row.size(); ++i) sum += row[i] * weights[static_cast<size_t>(n)][i];
        return sum;
      };
      for (int64_t n = 0; n < c.outputs; ++n) {
        double want = product(n);
        if (c.gated) want = want / (1 + std::exp(-want)) * product(c.outputs + n);
        if (c.bias) want += bias[static_cast<size_t>(n)];
        if (c.gelu) want = Gelu(want);
        if (c.residual) want += residual[static_cast<size_t>(m * c.outputs + n)];
        // Sums of integers are exact, those of bfloat16 and of blocks round as float32 does; scales, epilogue and exp a
        // few times more.
        const double rounding = format == WeightFormat::kInt8 ? 4e-6 : 4e-6 * std::sqrt(static_cast<double>(c.inputs));
        double bound = rounding * (std::abs(want) + 1) + 1.2 * either_way(n);
        // Of a gated output each factor may be off by its own, times the other.
        if (c.gated)
          bound += 1.2 * (either_way(n) * std::abs(product(c.outputs + n)) +
                          either_way(c.outputs + n) * std::abs(product(n)));
        ASSERT_NEAR(y[static_cast<size_t>(m * c.outputs + n)], want, bound) << m << ", " << n;
      }
    }
  }

  // Attention with rounded operands stays near that without: runs of unequal lengths, biases, and column means.
  void CheckReducedAttention() {
    for (int64_t head_dim : {64, 72}) {
      constexpr int64_t kHeads = 3;
      const std::vector<int32_t> cu_tokens = {0, 1, 32, 65, 165};
      constexpr int64_t kTokens = 165;
      const std::vector<float> qkv = Random(random_, kTokens * 3 * kHeads * head_dim);
      std::vector<float> key_bias = Random(random_, kTokens);
      for (bool bias : {false, true}) {
        std::vector<float> means[2] = {std::vector<float>(kTokens), std::vector<float>(kTokens)};
        EncodeAttentionArgs shape{.qkv = {},
                                  .cu_tokens = {cu_tokens.data(), static_cast<int64_t>(cu_tokens.size())},
                                  .max_tokens = 100,
                                  .heads = kHeads,
                                  .head_dim = head_dim,
                                  .scale = 1.0f / std::sqrt(static_cast<float>(head_dim)),
                                  .key_bias = {},
                                  .column_mean = {},
                                  .y = {}};
        if (bias) shape.key_bias = {key_bias.data(), kTokens};
        shape.column_mean = {means[0].data(), kTokens};
        const std::vector<float> exact = Attend(qkv, shape, false);
        shape.column_mean = {means[1].data(), kTokens};
        const std::vector<float> reduced = Attend(qkv, shape, true);
        double square = 0;
        double error = 0;
        for (size_t i = 0; i < exact.size(); ++i) {
          square += double{exact[i]} * exact[i];
          error += std::pow(double{exact[i]} - reduced[i], 2);
        }
        EXPECT_LT(std::sqrt(error / square), 6e-3) << "head_dim " << head_dim;  // operands have 8 bits
        for (size_t i = 0; i < kTokens; ++i) EXPECT_NEAR(means[0][i], means[1][i], 0.01 * means[0][i] + 1e-5);
      }
    }
  }

  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Stream> stream_;
  bool rounds_to_bf16_ = false;
  std::mt19937 random_{7};
};

TEST_P(DotTest, ProductsOfAllKindsOfShapes) {
  for (WeightFormat format : kFormats) {
    for (int64_t rows = 1; rows <= 34; ++rows) Check({rows, 40, 30}, format);
    for (int64_t inputs : {1, 2, 3, 4, 5, 7, 31, 33, 63, 64, 577}) {
      Check({3, 33, inputs}, format);
      Check({6, 33, inputs}, format);
    }
    for (int64_t outputs : {1, 15, 16, 31, 32, 33, 96}) Check({5, outputs, 20}, format);
    Check({129, 70, 3072}, format);
    Check({200, 576, 768}, format);
    Check({1, 70, 4304}, format);
  }
}

TEST_P(DotTest, Epilogues) {
  for (WeightFormat format : kFormats) {
    Check({7, 50, 64, false, true}, format);
    Check({7, 50, 64, false, true, true}, format);
    Check({14, 50, 64, false, false, false, true}, format);
    Check({14, 64, 100, false, true, true, true}, format);
    for (int64_t outputs : {1, 16, 17, 48}) {
      Check({6, outputs, 36, true}, format);
      Check({2, outputs, 36, true}, format);
    }
    Check({13, 40, 36, true, false, false, true}, format);
  }
}

TEST_P(DotTest, ZerosGiveZerosAndNaNStaysInItsRow) {
  for (WeightFormat format : kFormats) {
    for (int64_t rows : {3, 7}) {
      const std::vector<float> w(4 * 8, 0.5f);
      const PackedWeightPtr weight = Pack(w, 4, 8, format);
      std::vector<float> x(static_cast<size_t>(rows * 8), 0.0f);
      x[8] = NAN;
      x[16] = 1.0f;
      std::vector<float> y(static_cast<size_t>(rows * 4));
      backend_->Linear(*stream_, {.x = {x.data(), DType::kF32, rows, 8, 8},
                                  .weight = weight.get(),
                                  .residual = {},
                                  .y = {y.data(), DType::kF32, rows, 4, 4}});
      for (int64_t n = 0; n < 4; ++n) {
        EXPECT_EQ(y[static_cast<size_t>(n)], 0.0f);
        EXPECT_TRUE(std::isnan(y[static_cast<size_t>(4 + n)]));
        EXPECT_NEAR(y[static_cast<size_t>(8 + n)], 0.5f, 2e-3) << static_cast<int>(format);
      }
    }
  }
}

TEST_P(DotTest, GatherReadsWhatTheFormatKeeps) {
  const std::vector<float> w = Random(random_, 40 * 70);
  // Half an ulp, half a step of a row or block whose largest value is about 3, one step of kQ4 (it has no +8), half the
  // gap of the outer levels.
  const double bounds[] = {0.008, 0.016, 0.016, 0.45, 0.35};
  for (size_t f = 0; f < std::size(kFormats); ++f) {
    const std::vector<float> kept = Kept(w, 40, 70, kFormats[f]);
    for (size_t i = 0; i < w.size(); ++i) ASSERT_NEAR(kept[i], w[i], bounds[f]) << static_cast<int>(kFormats[f]);
  }
  const PackedWeightPtr weight = Pack(w, 40, 70, WeightFormat::kInt4);
  const int32_t outside[] = {40, -1};
  std::vector<float> y(2 * 70, 1.0f);
  backend_->Gather(*stream_, {.table = weight.get(), .ids = {outside, 2}, .y = {y.data(), DType::kF32, 2, 70, 70}});
  EXPECT_EQ(std::count(y.begin(), y.end(), 0.0f), 140);
}

// GGUF's own blocks keep their numbers, those that no quantizer would write (a block without its extreme code)
// included; other types are read as what they stand for.
TEST_P(DotTest, BlocksOfASourceAreTakenOver) {
  constexpr int64_t kOutputs = 40;
  constexpr int64_t kInputs = 512;
  const struct {
    DType dtype;
    WeightFormat format;
  } cases[] = {{DType::kQ8_0, WeightFormat::kQ8},    {DType::kQ4_0, WeightFormat::kQ4},
               {DType::kQ8_0, WeightFormat::kExact}, {DType::kQ4_1, WeightFormat::kExact},
               {DType::kQ5_K, WeightFormat::kExact}, {DType::kQ6_K, WeightFormat::kExact}};
  for (const auto& c : cases) {
    const auto count = static_cast<size_t>(kOutputs * kInputs);
    std::vector<uint8_t> bytes(BytesOf(c.dtype, count));
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random_() % 100 + 20);
    for (size_t b = 0; b < bytes.size(); b += DTypeBytes(c.dtype)) {
      bytes[b + 1] = 0x28;  // scales near 2^-5; Q6_K's lies elsewhere and is moderate as well
      bytes[b + 3] = c.dtype == DType::kQ5_K || c.dtype == DType::kQ4_1 ? 0x28 : bytes[b + 3];
    }
    std::vector<float> want(count);
    ConvertToF32(c.dtype, bytes.data(), count, want.data());
    const HostTensor tensor{.name = "w", .dtype = c.dtype, .shape = {kOutputs, kInputs}, .data = bytes.data()};
    auto weight = backend_->PackLinear({.parts = {tensor}, .format = c.format});
    ASSERT_TRUE(weight.ok()) << weight.status().message();
    std::vector<float> row(kInputs);
    for (int64_t n = 0; n < kOutputs; ++n) {
      backend_->ReadRow(**weight, n, row.data());
      for (int64_t i = 0; i < kInputs; ++i) {
        ASSERT_EQ(row[static_cast<size_t>(i)], want[static_cast<size_t>(n * kInputs + i)])
            << DTypeName(c.dtype) << " " << n << ", " << i;
      }
    }
    std::vector<float> x = Random(random_, kInputs);
    std::vector<float> y(kOutputs);
    backend_->Linear(*stream_, {.x = {x.data(), DType::kF32, 1, kInputs, kInputs},
                                .weight = weight->get(),
                                .residual = {},
                                .y = {y.data(), DType::kF32, 1, kOutputs, kOutputs}});
    const std::vector<double> rounded = RoundRow(x.data(), kInputs, 1, c.format);
    for (int64_t n = 0; n < kOutputs; ++n) {
      double sum = 0;
      double magnitude = 0;
      for (size_t i = 0; i < rounded.size(); ++i) {
        const double w = want[static_cast<size_t>(n * kInputs) + i];
        sum += w * (c.format == WeightFormat::kExact ? x[i] : rounded[i]);
        magnitude += std::abs(w * x[i]);
      }
      ASSERT_NEAR(y[static_cast<size_t>(n)], sum, 2e-6 * magnitude) << DTypeName(c.dtype) << " " << n;
    }
  }
}

// Some channels of real models are many times larger than the others. Rounded together with them these would have a few
// levels left.
TEST_P(DotTest, OutlierColumnsKeepTheOthersPrecise) {
  constexpr int64_t kRows = 40;
  constexpr int64_t kInputs = 768;
  constexpr int64_t kOutputs = 64;
  const std::vector<float> w = Random(random_, kOutputs * kInputs);
  std::vector<float> x = Random(random_, kRows * kInputs);
  for (int64_t column : {3, 100, 101, 255, 300, 511, 600, 767}) {
    for (int64_t row = 0; row < kRows; ++row) x[static_cast<size_t>(row * kInputs + column)] *= 50;
  }
  for (WeightFormat format : {WeightFormat::kInt8, WeightFormat::kQ8}) {
    const PackedWeightPtr weight = Pack(w, kOutputs, kInputs, format);
    const std::vector<float> kept = Kept(w, kOutputs, kInputs, format);
    std::vector<float> y(kRows * kOutputs);
    backend_->Linear(*stream_, {.x = {x.data(), DType::kF32, kRows, kInputs, kInputs},
                                .weight = weight.get(),
                                .residual = {},
                                .y = {y.data(), DType::kF32, kRows, kOutputs, kOutputs}});
    double errors = 0;
    for (int64_t m = 0; m < kRows; ++m) {
      for (int64_t n = 0; n < kOutputs; ++n) {
        double want = 0;
        for (int64_t i = 0; i < kInputs; ++i) {
          want += double{x[static_cast<size_t>(m * kInputs + i)]} * kept[static_cast<size_t>(n * kInputs + i)];
        }
        errors += std::pow(y[static_cast<size_t>(m * kOutputs + n)] - want, 2);
      }
    }
    // Rounding to 127 levels of about 3.5 has an error of 0.008 for each of 768 inputs: 0.22. With levels for the
    // outliers (175) it would be 11.
    EXPECT_LT(std::sqrt(errors / (kRows * kOutputs)), 0.45) << static_cast<int>(format);
  }
}

// Weights that have grown small because their inputs are large: of 127 levels shared with the others they would have
// two, and each row an error of 2 %.
TEST_P(DotTest, WeakInputsKeepTheirPrecision) {
  constexpr int64_t kOutputs = 64;
  constexpr int64_t kInputs = 768;
  std::vector<float> w = Random(random_, kOutputs * kInputs);
  const auto is_weak = [](int64_t input) { return input % 96 == 48; };
  for (int64_t n = 0; n < kOutputs; ++n) {
    for (int64_t i = 0; i < kInputs; ++i) {
      if (is_weak(i)) w[static_cast<size_t>(n * kInputs + i)] /= 50;
    }
  }
  const PackedWeightPtr weight = Pack(w, kOutputs, kInputs, WeightFormat::kInt8);
  const std::vector<float> kept = Kept(w, kOutputs, kInputs, WeightFormat::kInt8);
  for (size_t i = 0; i < w.size(); ++i) {
    // Half a step of an output whose largest weight is about 4; 50 lies between 32 and 64.
    ASSERT_NEAR(kept[i], w[i], is_weak(static_cast<int64_t>(i) % kInputs) ? 0.02 / 32 : 0.02);
  }
  for (int64_t rows : {1, 40}) {
    std::vector<float> x = Random(random_, rows * kInputs);
    for (size_t i = 0; i < x.size(); ++i) x[i] *= is_weak(static_cast<int64_t>(i) % kInputs) ? 50.0f : 1.0f;
    std::vector<float> y(static_cast<size_t>(rows * kOutputs));
    backend_->Linear(*stream_, {.x = {x.data(), DType::kF32, rows, kInputs, kInputs},
                                .weight = weight.get(),
                                .residual = {},
                                .y = {y.data(), DType::kF32, rows, kOutputs, kOutputs}});
    double errors = 0;
    double square = 0;
    for (int64_t m = 0; m < rows; ++m) {
      for (int64_t n = 0; n < kOutputs; ++n) {
        double want = 0;
        for (int64_t i = 0; i < kInputs; ++i) {
          want += double{x[static_cast<size_t>(m * kInputs + i)]} * w[static_cast<size_t>(n * kInputs + i)];
        }
        errors += std::pow(y[static_cast<size_t>(m * kOutputs + n)] - want, 2);
        square += want * want;
      }
    }
    EXPECT_LT(std::sqrt(errors / square), 0.013) << rows;  // of weights 0.007, of rows 0.008
  }
}

TEST_P(DotTest, ReducedEncodeAttentionIsNearTheExactOne) { CheckReducedAttention(); }

std::vector<Machine> Machines() {
  const Isa chosen = *ChooseIsa();
  return {{1, chosen}, {2, chosen}, {3, chosen}};
}
std::string MachineName(const testing::TestParamInfo<Machine>& info) {
  return std::string(IsaName(info.param.isa)) + "_" + std::to_string(info.param.threads);
}
INSTANTIATE_TEST_SUITE_P(Machines, DotTest, testing::ValuesIn(Machines()), MachineName);

#if defined(__x86_64__)
class AmxDotTest : public DotTest {
  x86::ScopedAmxEmulator emulator_;
};

TEST_P(AmxDotTest, Products) {
  for (WeightFormat format : kFormats) {
    for (int64_t rows : {1, 4, 5, 16, 17, 32, 33, 70}) Check({rows, 40, 30}, format);
    Check({6, 33, 577}, format);
    Check({14, 64, 100, false, true, true, true}, format);
    Check({40, 48, 36, true, false, false, true}, format);
  }
}

TEST_P(AmxDotTest, Attention) { CheckReducedAttention(); }

INSTANTIATE_TEST_SUITE_P(Machines, AmxDotTest, testing::Values(Machine{1, Isa::kAmx}, Machine{2, Isa::kAmx}),
                         MachineName);
#endif

double BlockError(WeightFormat format, std::span<const float, kBlockInputs> x) {
  std::array<uint8_t, kBlockInputs> codes;
  const float scale = portable::QuantizeBlock(format, x, codes);
  double error = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const int byte = format == WeightFormat::kQ8 ? codes[i] : portable::CodeBytes(format)[codes[i]];
    error += std::pow(double{scale} * (byte - 128) - x[i], 2);
  }
  return error;
}

TEST(QuantizeBlockTest, ErrorsAreThoseOfTheFormats) {
  std::mt19937 random(5);
  double square = 0;
  std::array<double, 3> errors = {};
  constexpr WeightFormat kBlockFormats[] = {WeightFormat::kQ8, WeightFormat::kQ4, WeightFormat::kInt4};
  for (int block = 0; block < 4000; ++block) {
    const std::vector<float> x = Random(random, kBlockInputs);
    const std::span<const float, kBlockInputs> span(x.data(), kBlockInputs);
    for (float value : x) square += double{value} * value;
    for (size_t f = 0; f < 3; ++f) errors[f] += BlockError(kBlockFormats[f], span);
  }
  EXPECT_NEAR(errors[0] / square, 2.8e-5, 0.5e-5);  // (2.2 / 127)^2 / 12
  EXPECT_NEAR(errors[1] / square, 7.4e-3, 0.3e-3);  // one scale, the largest at -8
  EXPECT_LT(errors[2] / square, 6.2e-3);  // the levels are where weights are
}

TEST(QuantizeBlockTest, ZerosAndSingleValues) {
  for (WeightFormat format : {WeightFormat::kQ8, WeightFormat::kQ4, WeightFormat::kInt4}) {
    std::array<float, kBlockInputs> x = {};
    EXPECT_EQ(BlockError(format, x), 0.0);
    x[7] = -3.0f;
    EXPECT_LT(std::sqrt(BlockError(format, x)), 3.0 * 32 * 4 / 127) << static_cast<int>(format);
    x.fill(1e-30f);  // a scale that float16 hasn't: zeros, not rubbish
    EXPECT_LT(BlockError(format, x), 1e-50);
  }
}

// Every kind of dot product that this CPU has gives the same sums.
class TileTest : public testing::Test {
 protected:
  static constexpr int64_t kGroups = 48;
  static constexpr int64_t kStride = kGroups * portable::kGroupBytes;
  static constexpr int64_t kRows = 48;  // more than tiles have, since they may read up to a multiple of 16

  // As the kernel's tiles take them.
  static std::vector<uint8_t> RowsFor(const portable::DotKernel& kernel, const std::vector<int8_t>& a) {
    std::vector<uint8_t> rows(a.size() * static_cast<size_t>(kernel.row_group_bytes) / portable::kGroupBytes);
    if (kernel.row_group_bytes == portable::kGroupBytes) {
      std::memcpy(rows.data(), a.data(), a.size());
      return rows;
    }
    for (size_t i = 0; i < a.size(); i += 4) {
      const std::array<int16_t, 4> group = {a[i], a[i + 2], a[i + 1], a[i + 3]};
      std::memcpy(rows.data() + 2 * i, group.data(), sizeof(group));
    }
    return rows;
  }

  std::mt19937 random_{3};
};

TEST_F(TileTest, Int8) {
  std::vector<int8_t> a(kRows * kStride);
  std::vector<uint8_t> panel(kGroups * portable::kGroupRowBytes);
  for (int8_t& value : a) value = static_cast<int8_t>(static_cast<int>(random_() % 255) - 127);
  for (uint8_t& value : panel) value = static_cast<uint8_t>(random_() % 256);
  std::fill_n(a.begin(), kStride, int8_t{-127});  // the extremes, where 16 bits would overflow
  std::fill_n(panel.begin(), 1024, uint8_t{255});
  for (const portable::DotKernel& kernel : portable::DotKernelsFor(portable::DotType::kInt8, SupportedIsas().back())) {
    ASSERT_LE(kernel.max_rows, portable::kMostDotRows);
    const std::vector<uint8_t> row_bytes = RowsFor(kernel, a);
    const portable::DotScope scope(kernel);
    for (int64_t rows = 1; rows <= kernel.max_rows; ++rows) {
      std::vector<int32_t> sums(static_cast<size_t>(portable::kMostDotRows * portable::kPanelColumns));
      kernel.tile({row_bytes.data(), kGroups * kernel.row_group_bytes, panel.data(), kGroups, rows, sums.data()});
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t j = 0; j < portable::kPanelColumns; ++j) {
          int32_t want = 0;
          for (int64_t i = 0; i < kStride; ++i) {
            const int64_t at = i / 4 * portable::kGroupRowBytes + j * 4 + i % 4;
            const int32_t weight = panel[static_cast<size_t>(at)] - 128 + kernel.offset;
            want += int32_t{a[static_cast<size_t>(r * kStride + i)]} * weight;
          }
          ASSERT_EQ(sums[static_cast<size_t>(r * portable::kPanelColumns + j)], want)
              << kernel.name << " row " << r << " column " << j;
        }
      }
    }
  }
}

TEST_F(TileTest, Bf16) {
  std::vector<uint16_t> a(kRows * kStride / 2);
  std::vector<uint16_t> panel(kGroups * portable::kGroupRowBytes / 2);
  std::normal_distribution<float> normal;
  for (uint16_t& value : a) value = Bf16FromF32(normal(random_));
  for (uint16_t& value : panel) value = Bf16FromF32(normal(random_));
  for (const portable::DotKernel& kernel : portable::DotKernelsFor(portable::DotType::kBf16, SupportedIsas().back())) {
    const portable::DotScope scope(kernel);
    for (int64_t rows = 1; rows <= kernel.max_rows; ++rows) {
      std::vector<float> sums(static_cast<size_t>(portable::kMostDotRows * portable::kPanelColumns));
      kernel.tile({a.data(), kStride, panel.data(), kGroups, rows, sums.data()});
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t j = 0; j < portable::kPanelColumns; ++j) {
          double want = 0;
          for (int64_t i = 0; i < kStride / 2; ++i) {
            const int64_t at = i / 2 * portable::kPanelColumns * 2 + j * 2 + i % 2;
            want += double{F32FromBf16(a[static_cast<size_t>(r * kStride / 2 + i)])} *
                    F32FromBf16(panel[static_cast<size_t>(at)]);
          }
          ASSERT_NEAR(sums[static_cast<size_t>(r * portable::kPanelColumns + j)], want, 3e-5)
              << kernel.name << " row " << r << " column " << j;
        }
      }
    }
  }
}

TEST_F(TileTest, Blocks) {
  constexpr int64_t kBlocks = 5;
  std::vector<int8_t> a(static_cast<size_t>(portable::kBlockTileRows * kBlocks * kBlockInputs));
  for (int8_t& value : a) value = static_cast<int8_t>(static_cast<int>(random_() % 255) - 127);
  for (WeightFormat format : {WeightFormat::kQ8, WeightFormat::kQ4, WeightFormat::kInt4}) {
    const bool bytes = format == WeightFormat::kQ8;
    const int64_t code_bytes = portable::kPanelColumns * kBlockInputs / (bytes ? 1 : 2);
    std::vector<uint8_t> panel;
    std::vector<double> weights;  // [block][input][column]
    for (int64_t b = 0; b < kBlocks; ++b) {
      std::vector<uint8_t> codes(static_cast<size_t>(code_bytes));
      for (uint8_t& code : codes) code = static_cast<uint8_t>(random_() % 256);
      std::vector<uint16_t> halves;
      halves.reserve(portable::kPanelColumns);
      for (int64_t j = 0; j < portable::kPanelColumns; ++j) {
        halves.push_back(F16FromF32(0.001f + 0.01f * static_cast<float>(random_() % 100)));
      }
      for (int64_t i = 0; i < kBlockInputs; ++i) {
        for (int64_t j = 0; j < portable::kPanelColumns; ++j) {
          const int64_t group = bytes ? i / 4 : i / 4 % 4;
          const int code = codes[static_cast<size_t>(group * portable::kGroupRowBytes + j * 4 + i % 4)];
          const int nibble = i < kBlockInputs / 2 ? code & 15 : code >> 4;
          const int byte = bytes ? code : portable::CodeBytes(format)[static_cast<size_t>(nibble)];
          weights.push_back((byte - 128) * double{F32FromF16(halves[static_cast<size_t>(j)])});
        }
      }
      panel.insert(panel.end(), codes.begin(), codes.end());
      const auto* half_bytes = reinterpret_cast<const uint8_t*>(halves.data());
      panel.insert(panel.end(), half_bytes, half_bytes + halves.size() * 2);
    }
    for (const portable::DotKernel& kernel :
         portable::DotKernelsFor(portable::DotType::kInt8, SupportedIsas().back())) {
      if (kernel.block_tile == nullptr) continue;
      const std::vector<uint8_t> row_bytes = RowsFor(kernel, a);
      const int64_t stride = kBlocks * portable::kBlockGroups * kernel.row_group_bytes;
      std::vector<int32_t> corrections;
      for (int64_t part = 0; part < portable::kBlockTileRows * kBlocks; ++part) {
        int32_t sum = 0;
        for (int64_t i = 0; i < kBlockInputs; ++i) sum += a[static_cast<size_t>(part * kBlockInputs + i)];
        corrections.push_back(kernel.offset * sum);
      }
      for (int64_t rows = 1; rows <= portable::kBlockTileRows; ++rows) {
        std::vector<float> sums(static_cast<size_t>(rows * portable::kPanelColumns));
        kernel.block_tile({row_bytes.data(), stride, corrections.data(), panel.data(), kBlocks,
                           bytes ? nullptr : portable::CodeBytes(format).data(), rows, sums.data()});
        for (int64_t r = 0; r < rows; ++r) {
          for (int64_t j = 0; j < portable::kPanelColumns; ++j) {
            double want = 0;
            for (int64_t i = 0; i < kBlocks * kBlockInputs; ++i) {
              want += a[static_cast<size_t>(r * kBlocks * kBlockInputs + i)] *
                      weights[static_cast<size_t>(i * portable::kPanelColumns + j)];
            }
            ASSERT_NEAR(sums[static_cast<size_t>(r * portable::kPanelColumns + j)], want, 1e-5 * std::abs(want) + 0.05)
                << kernel.name << " row " << r << " column " << j;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace eyeshot
