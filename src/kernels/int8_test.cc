// 8-bit products against the definition of the scheme in doubles: weights rounded by output, activations by row,
// integer sums, then scales, bias, activation and residual.
#include "kernels/portable/int8.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "kernels/backend.h"

namespace eyeshot {
namespace {

struct Case {
  int64_t rows, outputs, inputs;
  bool gated = false;
  bool bias = false;
  bool gelu = false;
  bool residual = false;
};

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

// A row as integers and their scale. Ties round to even, in float32 as the kernels compute.
std::vector<int> Quantize(const float* x, int64_t n, double& scale) {
  float largest = 0;
  for (int64_t i = 0; i < n; ++i) largest = std::max(largest, std::abs(x[i]));
  scale = largest / 127.0f;
  const float inverse = largest > 0 ? 127.0f / largest : 0.0f;
  std::vector<int> out;
  for (int64_t i = 0; i < n; ++i) out.push_back(static_cast<int>(std::nearbyint(x[i] * inverse)));
  return out;
}

double Dot(const std::vector<int>& a, const std::vector<int>& b) {
  int64_t sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += int64_t{a[i]} * b[i];
  return static_cast<double>(sum);
}

double Gelu(double x) { return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); }

class Int8Test : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    auto backend = CreateBackend({.name = "portable", .threads = GetParam()});
    ASSERT_TRUE(backend.ok()) << backend.status().message();
    backend_ = *std::move(backend);
    stream_ = backend_->NewStream();
  }

  void Check(const Case& c) {
    SCOPED_TRACE(testing::Message() << c.rows << " x " << c.outputs << " x " << c.inputs << (c.gated ? " gated" : ""));
    const int64_t stored = c.gated ? 2 * c.outputs : c.outputs;
    const std::vector<float> w = Random(random_, stored * c.inputs);
    const std::vector<float> x = Random(random_, c.rows * c.inputs);
    const std::vector<float> bias = Random(random_, c.outputs);
    const std::vector<float> residual = Random(random_, c.rows * c.outputs);
    LinearSource source{.parts = {Tensor(w, stored, c.inputs)}, .gated = c.gated, .format = WeightFormat::kInt8};
    if (c.gated) {
      source.parts = {Tensor(w, c.outputs, c.inputs), Tensor(w, c.outputs, c.inputs)};
      source.parts[1].data += static_cast<size_t>(c.outputs * c.inputs) * sizeof(float);
    }
    auto weight = backend_->PackLinear(source);
    ASSERT_TRUE(weight.ok()) << weight.status().message();
    EXPECT_EQ((*weight)->bytes, backend_->PackedLinearBytes(stored, c.inputs, WeightFormat::kInt8));
    auto packed_bias = backend_->PackVector(Tensor(bias, 1, c.outputs));
    ASSERT_TRUE(packed_bias.ok());

    std::vector<float> y(static_cast<size_t>(c.rows * c.outputs), -1.0f);
    LinearArgs args{.x = {x.data(), DType::kF32, c.rows, c.inputs, c.inputs},
                    .weight = weight->get(),
                    .bias = c.bias ? packed_bias->get() : nullptr,
                    .activation = c.gelu ? Activation::kGeluTanh : Activation::kNone,
                    .residual = {},
                    .y = {y.data(), DType::kF32, c.rows, c.outputs, c.outputs}};
    if (c.residual) args.residual = {residual.data(), DType::kF32, c.rows, c.outputs, c.outputs};
    backend_->Linear(*stream_, args);

    std::vector<std::vector<int>> quantized;
    std::vector<double> scales(static_cast<size_t>(stored));
    for (int64_t n = 0; n < stored; ++n) {
      quantized.push_back(Quantize(w.data() + n * c.inputs, c.inputs, scales[static_cast<size_t>(n)]));
    }
    for (int64_t m = 0; m < c.rows; ++m) {
      double row_scale = 0;
      const std::vector<int> row = Quantize(x.data() + m * c.inputs, c.inputs, row_scale);
      const auto product = [&](int64_t n) {
        return Dot(row, quantized[static_cast<size_t>(n)]) * row_scale * scales[static_cast<size_t>(n)];
      };
      for (int64_t n = 0; n < c.outputs; ++n) {
        double want = product(n);
        if (c.gated) want = want / (1 + std::exp(-want)) * product(c.outputs + n);
        if (c.bias) want += bias[static_cast<size_t>(n)];
        if (c.gelu) want = Gelu(want);
        if (c.residual) want += residual[static_cast<size_t>(m * c.outputs + n)];
        // The sums are exact; scales, epilogue and the vector exp round a few times.
        ASSERT_NEAR(y[static_cast<size_t>(m * c.outputs + n)], want, 4e-6 * (std::abs(want) + 1)) << m << ", " << n;
      }
    }
  }

  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Stream> stream_;
  std::mt19937 random_{7};
};

TEST_P(Int8Test, ProductsOfAllKindsOfShapes) {
  for (int64_t rows = 1; rows <= 26; ++rows) Check({rows, 40, 30});
  for (int64_t inputs : {1, 2, 3, 4, 5, 7, 63, 64, 577}) Check({3, 33, inputs});
  for (int64_t outputs : {1, 15, 16, 31, 32, 33, 96}) Check({5, outputs, 20});
  Check({129, 70, 3072});
  Check({200, 576, 768});
}

TEST_P(Int8Test, Epilogues) {
  Check({7, 50, 64, false, true});
  Check({7, 50, 64, false, true, true});
  Check({14, 50, 64, false, false, false, true});
  Check({14, 64, 100, false, true, true, true});
  for (int64_t outputs : {1, 16, 17, 48}) Check({6, outputs, 36, true});
  Check({13, 40, 36, true, false, false, true});
}

TEST_P(Int8Test, ZerosGiveZerosAndNaNStaysInItsRow) {
  const std::vector<float> w(4 * 8, 0.5f);
  auto weight = backend_->PackLinear({.parts = {Tensor(w, 4, 8)}, .gated = false, .format = WeightFormat::kInt8});
  ASSERT_TRUE(weight.ok());
  std::vector<float> x(3 * 8, 0.0f);
  x[8] = NAN;
  x[16] = 1.0f;
  std::vector<float> y(3 * 4);
  backend_->Linear(*stream_, {.x = {x.data(), DType::kF32, 3, 8, 8},
                              .weight = weight->get(),
                              .residual = {},
                              .y = {y.data(), DType::kF32, 3, 4, 4}});
  for (int64_t n = 0; n < 4; ++n) {
    EXPECT_EQ(y[static_cast<size_t>(n)], 0.0f);
    EXPECT_TRUE(std::isnan(y[static_cast<size_t>(4 + n)]));
    EXPECT_NEAR(y[static_cast<size_t>(8 + n)], 0.5f, 1e-6);
  }
}

TEST_P(Int8Test, GatherReadsRoundedRows) {
  const std::vector<float> w = Random(random_, 40 * 10);
  auto weight = backend_->PackLinear({.parts = {Tensor(w, 40, 10)}, .gated = false, .format = WeightFormat::kInt8});
  ASSERT_TRUE(weight.ok());
  const std::vector<int32_t> ids = {39, 0, 40};
  std::vector<float> y(3 * 10, 1.0f);
  backend_->Gather(*stream_, {.table = weight->get(), .ids = {ids.data(), 3}, .y = {y.data(), DType::kF32, 3, 10, 10}});
  for (size_t i = 0; i < 10; ++i) {
    EXPECT_NEAR(y[i], w[390 + i], 0.02f);  // half a step of a row whose largest value is about 3
    EXPECT_NEAR(y[10 + i], w[i], 0.02f);
    EXPECT_EQ(y[20 + i], 0.0f);
  }
}

INSTANTIATE_TEST_SUITE_P(Threads, Int8Test, testing::Values(1, 2, 3));

// Every kind of dot product that this CPU has gives the same integers.
TEST(Int8TileTest, InstructionSetsAgree) {
  std::mt19937 random(3);
  constexpr int64_t kGroups = 13;
  constexpr int64_t kStride = kGroups * portable::kInt8Group;
  std::vector<int8_t> a(12 * kStride);
  std::vector<uint8_t> panel(kGroups * portable::kInt8Group * portable::kPanelColumns);
  for (int8_t& value : a) value = static_cast<int8_t>(static_cast<int>(random() % 255) - 127);
  for (uint8_t& value : panel) value = static_cast<uint8_t>(random() % 256);
  std::fill_n(a.begin(), kStride, int8_t{-127});  // the extremes, where 16 bits would overflow
  std::fill_n(panel.begin(), 256, uint8_t{255});
  for (const portable::Int8Kernels& kernels : portable::Int8KernelsFor(SupportedIsas().back())) {
    for (int64_t rows = 1; rows <= kernels.max_rows; ++rows) {
      std::vector<int32_t> sums(static_cast<size_t>(rows * portable::kPanelColumns));
      kernels.tile(a.data(), kStride, panel.data(), kGroups, rows, sums.data());
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t j = 0; j < portable::kPanelColumns; ++j) {
          int32_t want = 0;
          for (int64_t i = 0; i < kStride; ++i) {
            const int64_t at = (i / portable::kInt8Group * portable::kPanelColumns + j) * portable::kInt8Group +
                               i % portable::kInt8Group;
            want += int32_t{a[static_cast<size_t>(r * kStride + i)]} * panel[static_cast<size_t>(at)];
          }
          ASSERT_EQ(sums[static_cast<size_t>(r * portable::kPanelColumns + j)], want)
              << kernels.name << " row " << r << " column " << j;
        }
      }
    }
  }
}

}  // namespace
}  // namespace eyeshot
