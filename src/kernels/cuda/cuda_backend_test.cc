// Every operation of the CUDA backend against the reference on random shapes, over the emulator and, built again with
// the driver, on a GPU. Inputs and weights are exact in bfloat16.
#include "kernels/cuda/cuda_backend.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "kernels/cpu_backend.h"
#include "tensor/dtype.h"

namespace eyeshot::cuda {
namespace {

// Outputs are rounded to bfloat16, 8 bits: relative 2^-9. Inner roundings (of products before SiLU, of probabilities)
// add about as much again.
constexpr float kBound = 1.0f / 128;

float Rounded(float value) { return F32FromBf16(Bf16FromF32(value)); }

struct Values {
  int64_t rows = 0;
  int64_t cols = 0;
  std::vector<float> data;

  float& at(int64_t r, int64_t c) { return data[static_cast<size_t>(r * cols + c)]; }
  MatrixView view() { return {data.data(), DType::kF32, rows, cols, cols}; }
  HostTensor tensor() const {
    return {.name = "weight", .shape = {rows, cols}, .data = reinterpret_cast<const uint8_t*>(data.data())};
  }
};

class CudaBackendTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto backend = NewCudaBackend({.threads = 2});
    if (!backend.ok()) GTEST_SKIP() << "no GPU: " << backend.status().message();
    cuda_ = *std::move(backend);
    reference_ = NewReferenceBackend(2);
    stream_ = cuda_->NewStream();
    host_stream_ = reference_->NewStream();
  }

  Values Random(int64_t rows, int64_t cols, float scale = 1) {
    std::uniform_real_distribution<float> uniform(-scale, scale);
    Values values{rows, cols, std::vector<float>(static_cast<size_t>(rows * cols))};
    for (float& value : values.data) value = Rounded(uniform(random_));
    return values;
  }
  Values RandomWeight(int64_t outputs, int64_t inputs) {
    return Random(outputs, inputs, std::sqrt(3.0f / static_cast<float>(inputs)));
  }

  // Device memory that lives as long as the test.
  template <typename T>
  DeviceSpan<T> Array(const std::vector<T>& host) {
    Buffer buffer = cuda_->Allocate(std::max<size_t>(host.size(), 1) * sizeof(T), "a test").value();
    cuda_->Upload(*stream_, host.data(), buffer.data(), host.size() * sizeof(T));
    buffers_.push_back(std::move(buffer));
    return {static_cast<T*>(buffers_.back().data()), static_cast<int64_t>(host.size())};
  }
  // Rows lie `gap` elements further apart than they are long.
  MatrixView Matrix(const Values& values, int64_t gap = 0) {
    const int64_t stride = values.cols + gap;
    std::vector<uint16_t> bits(static_cast<size_t>(values.rows * stride), Bf16FromF32(99));
    for (int64_t r = 0; r < values.rows; ++r) {
      for (int64_t c = 0; c < values.cols; ++c) {
        bits[static_cast<size_t>(r * stride + c)] = Bf16FromF32(values.data[static_cast<size_t>(r * values.cols + c)]);
      }
    }
    return {Array(bits).data, DType::kBF16, values.rows, values.cols, stride};
  }
  MatrixView Output(int64_t rows, int64_t cols) {
    return Matrix({rows, cols, std::vector<float>(static_cast<size_t>(rows * cols), 7)}, 8);
  }

  Values Read(const MatrixView& view) {
    std::vector<uint16_t> bits(static_cast<size_t>(view.rows * view.stride));
    cuda_->Download(*stream_, view.data, bits.data(), bits.size() * sizeof(uint16_t));
    EXPECT_TRUE(cuda_->Sync(*stream_).ok());
    Values values{view.rows, view.cols, {}};
    for (int64_t r = 0; r < view.rows; ++r) {
      for (int64_t c = 0; c < view.cols; ++c) {
        values.data.push_back(F32FromBf16(bits[static_cast<size_t>(r * view.stride + c)]));
      }
    }
    return values;
  }

  PackedWeightPtr Pack(Backend& backend, const std::vector<const Values*>& parts, bool gated = false,
                       WeightFormat format = WeightFormat::kExact) {
    LinearSource source{
        .parts = {}, .gated = gated, .format = backend.Supports(format) ? format : WeightFormat::kExact};
    for (const Values* part : parts) source.parts.push_back(part->tensor());
    auto weight = backend.PackLinear(source);
    EXPECT_TRUE(weight.ok()) << weight.status().message();
    return *std::move(weight);
  }

  static void ExpectNear(const Values& actual, const Values& expected, float bound) {
    ASSERT_EQ(actual.data.size(), expected.data.size());
    for (size_t i = 0; i < actual.data.size(); ++i) {
      const float distance = std::abs(actual.data[i] - expected.data[i]) / std::max(1.0f, std::abs(expected.data[i]));
      ASSERT_LE(distance, bound) << "at " << i << ": " << actual.data[i] << ", expected " << expected.data[i];
    }
  }

  void CheckLinear(int64_t m, int64_t k, int64_t n, bool epilogue, bool gated, WeightFormat format);

  std::mt19937 random_{4321};
  std::unique_ptr<Backend> cuda_, reference_;
  std::unique_ptr<Stream> stream_, host_stream_;
  std::vector<Buffer> buffers_;
};

// As products of E4M3 see rows.
void RoundRows(Values& x) {
  for (int64_t r = 0; r < x.rows; ++r) {
    float largest = 0;
    for (int64_t c = 0; c < x.cols; ++c) largest = std::max(largest, std::abs(x.at(r, c)));
    for (int64_t c = 0; c < x.cols; ++c) {
      x.at(r, c) = F32FromF8E4M3(F8E4M3FromF32(x.at(r, c) * (448 / largest))) * (largest / 448);
    }
  }
}

// The reference multiplies by what the weight has become.
void CudaBackendTest::CheckLinear(int64_t m, int64_t k, int64_t n, bool epilogue, bool gated, WeightFormat format) {
  SCOPED_TRACE(::testing::Message() << m << " x " << k << " x " << n << (epilogue ? ", epilogue" : "")
                                    << (gated ? ", gated " : " ") << WeightFormatName(format));
  Values x = Random(m, k);
  Values w = RandomWeight(n, k);
  Values up = RandomWeight(n, k);
  Values bias = Random(n, 1);
  Values residual = Random(m, n);
  const std::vector<const Values*> parts = gated ? std::vector<const Values*>{&w, &up} : std::vector<const Values*>{&w};
  const auto weight = Pack(*cuda_, parts, gated, format);
  for (int64_t row = 0; row < n; ++row) {
    cuda_->ReadRow(*weight, row, &w.at(row, 0));
    if (gated) cuda_->ReadRow(*weight, n + row, &up.at(row, 0));
  }
  Values seen = x;  // by the product
  if (format == WeightFormat::kFp8 && m > 8 && k % 16 == 0 && (gated ? 2 * n : n) % 16 == 0) RoundRows(seen);
  const auto host_weight = Pack(*reference_, parts, gated);
  const auto bias_weight = *cuda_->PackVector(bias.tensor());
  const auto host_bias = *reference_->PackVector(bias.tensor());
  for (const bool gelu : {false, true}) {
    if (gelu && (!epilogue || gated)) continue;
    const Activation activation = gelu ? Activation::kGeluTanh : Activation::kNone;
    const bool with_bias = epilogue && !gated;
    const bool with_residual = epilogue && !gelu && !gated;
    Values expected{m, n, std::vector<float>(static_cast<size_t>(m * n))};
    reference_->Linear(*host_stream_, {.x = seen.view(),
                                       .weight = host_weight.get(),
                                       .bias = with_bias ? host_bias.get() : nullptr,
                                       .activation = activation,
                                       .residual = with_residual ? residual.view() : MatrixView(),
                                       .y = expected.view()});
    const MatrixView y = Output(m, n);
    cuda_->Linear(*stream_, {.x = Matrix(x, 16),
                             .weight = weight.get(),
                             .bias = with_bias ? bias_weight.get() : nullptr,
                             .activation = activation,
                             .residual = with_residual ? Matrix(residual) : MatrixView(),
                             .y = y});
    // Gated products of many rows: both halves are rounded before they meet, and weights of few bits before they are
    // multiplied.
    ExpectNear(Read(y), expected, gated && m > 8 ? 2 * kBound : kBound);
  }
}

TEST_F(CudaBackendTest, Linear) {
  for (const WeightFormat format : {WeightFormat::kExact, WeightFormat::kInt8, WeightFormat::kQ8, WeightFormat::kQ4,
                                    WeightFormat::kInt4, WeightFormat::kFp8}) {
    for (const int64_t m : {1, 3, 8, 9, 70}) CheckLinear(m, 72, 40, true, false, format);
    CheckLinear(2, 576, 17, false, false, format);
    CheckLinear(12, 592, 24, true, false, format);
    CheckLinear(30, 576, 48, true, false, format);
    CheckLinear(30, 144, 24, false, true, format);
    CheckLinear(1, 96, 33, false, true, format);
    CheckLinear(20, 96, 24, false, true, format);
  }
}

TEST_F(CudaBackendTest, LinearOfRowsThatAreNoMultipleOfEight) {
  CheckLinear(3, 27, 16, true, false, WeightFormat::kExact);
  CheckLinear(30, 588, 16, true, false, WeightFormat::kExact);
}

TEST_F(CudaBackendTest, WeightsOfEightAndFourBitsAreNearTheirSource) {
  const Values w = RandomWeight(9, 200);
  for (const auto& [format, bound] : {std::pair{WeightFormat::kInt8, 0.006f},
                                      {WeightFormat::kQ8, 0.006f},
                                      {WeightFormat::kFp8, 0.03f},
                                      {WeightFormat::kInt4, 0.1f},
                                      {WeightFormat::kQ4, 0.12f}}) {
    const auto weight = Pack(*cuda_, {&w}, false, format);
    EXPECT_EQ(weight->bytes, cuda_->PackedLinearBytes(9, 200, format));
    double error = 0;
    double size = 0;
    std::vector<float> row(200);
    for (int64_t r = 0; r < 9; ++r) {
      cuda_->ReadRow(*weight, r, row.data());
      for (size_t i = 0; i < row.size(); ++i) {
        const float value = w.data[static_cast<size_t>(r) * 200 + i];
        error += (row[i] - value) * (row[i] - value);
        size += value * value;
      }
    }
    EXPECT_LT(std::sqrt(error / size), bound) << WeightFormatName(format);
  }
}

TEST_F(CudaBackendTest, Norms) {
  for (const int64_t width : {8, 72, 576, 1000}) {
    Values x = Random(5, width, 3);
    const Values gain = Random(width, 1);
    const Values bias = Random(width, 1);
    const auto host_gain = *reference_->PackVector(gain.tensor());
    const auto host_bias = *reference_->PackVector(bias.tensor());
    const auto device_gain = *cuda_->PackVector(gain.tensor());
    const auto device_bias = *cuda_->PackVector(bias.tensor());
    for (const bool layer : {false, true}) {
      Values expected{5, width, std::vector<float>(x.data.size())};
      const MatrixView y = Matrix(x, 8);
      const auto run = [&](Backend& backend, Stream& stream, NormArgs args) {
        layer ? backend.LayerNorm(stream, args) : backend.RmsNorm(stream, args);
      };
      run(*reference_, *host_stream_,
          {x.view(), host_gain.get(), layer ? host_bias.get() : nullptr, 1e-5f, expected.view()});
      run(*cuda_, *stream_, {y, device_gain.get(), layer ? device_bias.get() : nullptr, 1e-5f, y});
      ExpectNear(Read(y), expected, kBound);
    }
  }
}

// An RMS norm before a product of few rows is part of the product's kernel; what it gives is in memory all the same.
// And it is there before whatever else comes next.
TEST_F(CudaBackendTest, NormsGoAlongWithProducts) {
  for (const auto& [rows, width] :
       {std::pair<int64_t, int64_t>{1, 576}, {3, 64}, {8, 2048}, {5, 4096}, {9, 64}, {2, 40}}) {
    for (const WeightFormat format : {WeightFormat::kExact, WeightFormat::kQ8, WeightFormat::kInt4}) {
      SCOPED_TRACE(::testing::Message() << rows << " x " << width << " " << WeightFormatName(format));
      Values x = Random(rows, width, 3);
      Values w = RandomWeight(12, width);
      const Values gain = Random(width, 1);
      const auto weight = Pack(*cuda_, {&w}, false, format);
      for (int64_t r = 0; r < 12; ++r) cuda_->ReadRow(*weight, r, &w.at(r, 0));
      const auto host_weight = Pack(*reference_, {&w});
      const auto host_gain = *reference_->PackVector(gain.tensor());
      const auto device_gain = *cuda_->PackVector(gain.tensor());
      Values normed{rows, width, std::vector<float>(x.data.size())};
      reference_->RmsNorm(*host_stream_, {x.view(), host_gain.get(), nullptr, 1e-5f, normed.view()});
      Values rounded = normed;
      for (float& value : rounded.data) value = Rounded(value);
      Values expected{rows, 12, std::vector<float>(static_cast<size_t>(rows * 12))};
      reference_->Linear(*host_stream_,
                         {.x = rounded.view(), .weight = host_weight.get(), .residual = {}, .y = expected.view()});
      const MatrixView device_x = Matrix(x, 8);
      const MatrixView y = Output(rows, width);
      const MatrixView product = Output(rows, 12);
      cuda_->RmsNorm(*stream_, {device_x, device_gain.get(), nullptr, 1e-5f, y});
      cuda_->Linear(*stream_, {.x = y, .weight = weight.get(), .residual = {}, .y = product});
      ExpectNear(Read(product), expected, 2 * kBound);  // an input that is rounded otherwise
      ExpectNear(Read(y), normed, kBound);
      // Without a product behind it.
      const MatrixView alone = Output(rows, width);
      cuda_->RmsNorm(*stream_, {device_x, device_gain.get(), nullptr, 1e-5f, alone});
      ExpectNear(Read(alone), normed, kBound);
    }
  }
}

// A norm that only a product of E4M3 reads is rounded to it at once.
TEST_F(CudaBackendTest, NormsOfManyRowsAreRoundedAlong) {
  for (const auto& [rows, width, outputs] : {std::tuple<int64_t, int64_t, int64_t>{9, 64, 32},
                                             {20, 1152, 16},
                                             {30, 2048, 48},
                                             {12, 2064, 16},
                                             {12, 72, 16},
                                             {12, 64, 24}}) {
    for (const bool layer : {false, true}) {
      SCOPED_TRACE(::testing::Message() << rows << " x " << width << " x " << outputs << (layer ? " layer" : " RMS"));
      Values x = Random(rows, width, 3);
      Values w = RandomWeight(outputs, width);
      const Values gain = Random(width, 1);
      const Values bias = Random(width, 1);
      const auto weight = Pack(*cuda_, {&w}, false, WeightFormat::kFp8);
      for (int64_t r = 0; r < outputs; ++r) cuda_->ReadRow(*weight, r, &w.at(r, 0));
      const auto host_weight = Pack(*reference_, {&w});
      const auto norm = [&](Backend& backend, Stream& stream, NormArgs args) {
        layer ? backend.LayerNorm(stream, args) : backend.RmsNorm(stream, args);
      };
      Values normed{rows, width, std::vector<float>(x.data.size())};
      const auto host_gain = *reference_->PackVector(gain.tensor());
      const auto host_bias = *reference_->PackVector(bias.tensor());
      norm(*reference_, *host_stream_,
           {x.view(), host_gain.get(), layer ? host_bias.get() : nullptr, 1e-5f, normed.view()});
      if (width > 2048) {  // in two steps: no warp has such a row in its registers
        for (float& value : normed.data) value = Rounded(value);
      }
      if (width % 16 == 0 && outputs % 16 == 0) RoundRows(normed);
      Values expected{rows, outputs, std::vector<float>(static_cast<size_t>(rows * outputs))};
      reference_->Linear(*host_stream_,
                         {.x = normed.view(), .weight = host_weight.get(), .residual = {}, .y = expected.view()});
      const auto device_gain = *cuda_->PackVector(gain.tensor());
      const auto device_bias = *cuda_->PackVector(bias.tensor());
      const MatrixView between = Matrix({rows, width, std::vector<float>(x.data.size())}, 8);
      const MatrixView y = Output(rows, outputs);
      norm(*cuda_, *stream_,
           {Matrix(x, 8), device_gain.get(), layer ? device_bias.get() : nullptr, 1e-5f, between, true});
      cuda_->Linear(*stream_, {.x = between, .weight = weight.get(), .residual = {}, .y = y});
      // A number of the norm that lies between two of E4M3 may go to the other one: an eighth of it at most.
      ExpectNear(Read(y), expected, 2 * kBound);
    }
  }
}

TEST_F(CudaBackendTest, PatchEmbed) {
  for (const auto& shape : {std::pair<int64_t, int64_t>{32, 8}, {29, 7}}) {
    const int64_t side = shape.first;
    const int64_t patch = shape.second;
    const int64_t grid = side / patch;
    const int64_t tokens = 2 * grid * grid;
    std::vector<uint8_t> tiles(static_cast<size_t>(2 * side * side * 3));
    for (uint8_t& byte : tiles) byte = static_cast<uint8_t>(random_());
    const Values table = Random(3, 256);
    const Values w = RandomWeight(24, 3 * patch * patch);
    const Values bias = Random(24, 1);
    const Values positions = Random(grid * grid, 24);
    std::vector<int32_t> ids;
    ids.reserve(static_cast<size_t>(tokens));
    for (int64_t i = 0; i < tokens; ++i) ids.push_back(static_cast<int32_t>((i * 5) % (grid * grid)));
    const auto run = [&](Backend& backend, Stream& stream, DeviceSpan<const uint8_t> pixels,
                         DeviceSpan<const float> normalization, DeviceSpan<const int32_t> position_ids, MatrixView y) {
      const auto weight = Pack(backend, {&w});
      const auto bias_weight = *backend.PackVector(bias.tensor());
      const auto position_table = *backend.PackTable(positions.tensor());
      backend.PatchEmbed(stream, {pixels, side, patch, normalization, weight.get(), bias_weight.get(),
                                  position_table.get(), position_ids, y});
      EXPECT_TRUE(backend.Sync(stream).ok());
    };
    Values expected{tokens, 24, std::vector<float>(static_cast<size_t>(tokens * 24))};
    const auto span = [](const auto& v) { return DeviceSpan(v.data(), static_cast<int64_t>(v.size())); };
    run(*reference_, *host_stream_, span(tiles), span(table.data), span(ids), expected.view());
    const MatrixView y = Output(tokens, 24);
    run(*cuda_, *stream_, Array(tiles), Array(table.data), Array(ids), y);
    ExpectNear(Read(y), expected, 2 * kBound);  // rounded once more before the position is added
  }
}

TEST_F(CudaBackendTest, EncodeAttention) {
  const std::vector<int32_t> starts = {0, 66, 66, 67};
  Values qkv = Random(67, 3 * 2 * 64);
  const Values bias = Random(67, 1);
  for (const bool extras : {false, true}) {
    Values expected{67, 128, std::vector<float>(67 * 128)};
    std::vector<float> expected_mean(67);
    EncodeAttentionArgs args = {.qkv = qkv.view(),
                                .cu_tokens = {starts.data(), 4},
                                .max_tokens = 66,
                                .heads = 2,
                                .head_dim = 64,
                                .scale = 0.125f,
                                .y = expected.view()};
    if (extras) args.key_bias = {bias.data.data(), 67};
    if (extras) args.column_mean = {expected_mean.data(), 67};
    reference_->EncodeAttention(*host_stream_, args);
    const MatrixView y = Output(67, 128);
    args.qkv = Matrix(qkv, 8);
    args.cu_tokens = Array(starts);
    args.y = y;
    const DeviceSpan<float> mean = Array(std::vector<float>(67));
    if (extras) args.key_bias = Array(bias.data);
    if (extras) args.column_mean = mean;
    cuda_->EncodeAttention(*stream_, args);
    ExpectNear(Read(y), expected, kBound);
    if (!extras) continue;
    std::vector<float> actual_mean(67);
    cuda_->Download(*stream_, mean.data, actual_mean.data(), actual_mean.size() * sizeof(float));
    EXPECT_TRUE(cuda_->Sync(*stream_).ok());
    for (size_t i = 0; i < actual_mean.size(); ++i) EXPECT_NEAR(actual_mean[i], expected_mean[i], 1e-4f);
  }
}

TEST_F(CudaBackendTest, PixelShuffleLinear) {
  for (const auto& [grid, scale] : {std::pair<int64_t, int64_t>{6, 3}, {8, 4}, {2, 2}}) {
    Values x = Random(3 * grid * grid, 16);
    const Values w = RandomWeight(40, 16 * scale * scale);
    const int64_t tokens = 3 * grid * grid / (scale * scale);
    Values expected{tokens, 40, std::vector<float>(static_cast<size_t>(tokens * 40))};
    const auto host = Pack(*reference_, {&w});
    const auto device = Pack(*cuda_, {&w});
    const MatrixView y = Output(tokens, 40);
    reference_->PixelShuffleLinear(*host_stream_, {x.view(), grid, scale, host.get(), expected.view()});
    cuda_->PixelShuffleLinear(*stream_, {Matrix(x, 8), grid, scale, device.get(), y});
    ExpectNear(Read(y), expected, kBound);
  }
}

TEST_F(CudaBackendTest, GatherAndCopyRows) {
  const Values table = Random(50, 40);
  const std::vector<int32_t> ids = {3, 49, -1, 50, 3};
  for (const WeightFormat format : {WeightFormat::kExact, WeightFormat::kQ8, WeightFormat::kInt4}) {
    const auto weight = Pack(*cuda_, {&table}, false, format);
    const MatrixView y = Output(5, 40);
    cuda_->Gather(*stream_, {.table = weight.get(), .ids = Array(ids), .y = y});
    Values expected{5, 40, std::vector<float>(200)};
    for (int64_t i = 0; i < 5; ++i) cuda_->ReadRow(*weight, ids[static_cast<size_t>(i)], &expected.at(i, 0));
    ExpectNear(Read(y), expected, 0);
  }
  const Values x = Random(6, 40);
  const MatrixView y = Output(4, 40);
  cuda_->CopyRows(*stream_, {.x = Matrix(x, 8),
                             .from = Array(std::vector<int32_t>{5, 0, 2}),
                             .to = Array(std::vector<int32_t>{1, 3, 0}),
                             .count = 3,
                             .y = y});
  const Values copied = Read(y);
  for (int64_t c = 0; c < 40; ++c) {
    EXPECT_EQ(copied.data[static_cast<size_t>(40 + c)], x.data[static_cast<size_t>(5 * 40 + c)]);
    EXPECT_EQ(copied.data[static_cast<size_t>(120 + c)], x.data[static_cast<size_t>(c)]);
    EXPECT_EQ(copied.data[static_cast<size_t>(c)], x.data[static_cast<size_t>(80 + c)]);
    EXPECT_EQ(copied.data[static_cast<size_t>(80 + c)], 7);
  }
}

// What the query-conditioned connector needs beside the tower's operations.
TEST_F(CudaBackendTest, ConvolutionOfRowsAndGeluAndSums) {
  Values x = Random(12, 40);
  const Values taps = Random(40, 4);
  const Values bias = Random(1, 40);
  Values expected = Random(3, 40);
  const auto run = [&](Backend& backend, Stream& stream, ConstMatrixView in, MatrixView y) {
    const auto weight = backend.PackVector(taps.tensor());
    const auto b = backend.PackVector(bias.tensor());
    ASSERT_TRUE(weight.ok() && b.ok());
    backend.ConvolveRows(stream, {.x = in, .taps = 4, .weight = weight->get(), .bias = b->get(), .y = y});
    backend.CopyRows(stream, {.x = in.Rows(5, 1), .count = 1, .y = y.Rows(2, 1), .add = true});
    const auto matrix = Pack(backend, {&bias}, false, WeightFormat::kExact);
    backend.Linear(stream,
                   {.x = in.Rows(0, 3), .weight = matrix.get(), .activation = Activation::kGelu, .y = y.Cols(0, 1)});
    ASSERT_TRUE(backend.Sync(stream).ok());
  };
  run(*reference_, *host_stream_, x.view(), expected.view());
  const MatrixView y = Output(3, 40);
  run(*cuda_, *stream_, Matrix(x, 8), y);
  ExpectNear(Read(y), expected, kBound);
}

// A prompt in two chunks and then single tokens, over a cache whose blocks are out of order, and which grows.
TEST_F(CudaBackendTest, PagedAttention) {
  const KvCacheShape shape = {.layer_group = {0, 0}, .blocks = 200, .block_size = 16, .kv_heads = 2, .head_dim = 64};
  const int64_t heads = 6;
  const int64_t width = (heads + 2 * shape.kv_heads) * shape.head_dim;
  const std::vector<int32_t> blocks = {5, 2, 7, 0, 1, 3};
  std::vector<float> frequency;
  frequency.reserve(32);
  for (int i = 0; i < 32; ++i) frequency.push_back(std::pow(10000.0f, -static_cast<float>(i) / 32));
  const auto host_cache = *reference_->NewKvCache(shape);
  const auto device_cache = *cuda_->NewKvCache(shape);
  EXPECT_EQ(device_cache->bytes, cuda_->KvCacheBytes(shape));
  int64_t context = 0;
  for (const int64_t count : {40, 25, 1, 1}) {
    std::vector<int32_t> positions;
    std::vector<int32_t> slots;
    for (int64_t i = context; i < context + count; ++i) {
      positions.push_back(static_cast<int32_t>(i));
      slots.push_back(blocks[static_cast<size_t>(i / 16)] * 16 + static_cast<int32_t>(i % 16));
    }
    context += count;
    if (context == 65) {
      const uint64_t id = device_cache->id;
      EXPECT_TRUE(cuda_->Reserve(*stream_, *device_cache, 8).ok());
      EXPECT_EQ(device_cache->id, id) << "there is room";
      EXPECT_TRUE(cuda_->Reserve(*stream_, *device_cache, 150).ok());
      EXPECT_NE(device_cache->id, id) << "what was recorded for the old memory can't be repeated";
    }
    const std::vector<int32_t> starts = {0, static_cast<int32_t>(count)};
    const std::vector<int32_t> lengths = {static_cast<int32_t>(context)};
    const Values qkv = Random(count, width);
    const auto run = [&](Backend& backend, Stream& stream, KvCache& cache, const auto& span, MatrixView rows,
                         DeviceSpan<const float> inverse, MatrixView y) {
      const PagedBatch batch = {.tokens = count,
                                .sequences = 1,
                                .max_blocks = 6,
                                .positions = span(positions),
                                .query_start = span(starts),
                                .slots = span(slots),
                                .context_length = span(lengths),
                                .block_table = span(blocks),
                                .max_context = context};
      backend.RotaryStore(stream, {rows, heads, inverse, &cache, 1, &batch});
      backend.PagedAttention(stream, {rows.Cols(0, heads * 64), heads, 0.125f, false, &cache, 1, &batch, y});
      EXPECT_TRUE(backend.Sync(stream).ok());
    };
    Values rows = qkv;
    Values expected{count, heads * 64, std::vector<float>(static_cast<size_t>(count * heads * 64))};
    run(
        *reference_, *host_stream_, *host_cache,
        [](const std::vector<int32_t>& v) { return DeviceSpan(v.data(), static_cast<int64_t>(v.size())); }, rows.view(),
        {frequency.data(), 32}, expected.view());
    const MatrixView y = Output(count, heads * 64);
    run(
        *cuda_, *stream_, *device_cache,
        [&](const std::vector<int32_t>& v) { return DeviceSpan<const int32_t>(Array(v)); }, Matrix(qkv, 8),
        Array(frequency), y);
    ExpectNear(Read(y), expected, 2 * kBound);  // q and k are rounded after the rotation too
  }
}

TEST_F(CudaBackendTest, SampleAndMarkSeen) {
  const int64_t vocabulary = 500;
  std::vector<float> logits;
  logits.reserve(static_cast<size_t>(2 * vocabulary));
  for (int64_t i = 0; i < 2 * vocabulary; ++i) logits.push_back(static_cast<float>((i * 7919) % 499));
  const DeviceSpan<float> device = Array(logits);
  const std::vector<SamplerParams> params = {{}, {.repetition_penalty = 1000}};
  const DeviceSpan<uint8_t> seen = Array(std::vector<uint8_t>(static_cast<size_t>(2 * vocabulary)));
  std::vector<int32_t> best;
  for (int64_t s = 0; s < 2; ++s) {
    const auto begin = logits.begin() + s * vocabulary;
    best.push_back(static_cast<int32_t>(std::max_element(begin, begin + vocabulary) - begin));
  }
  cuda_->MarkSeen(*stream_, Array(std::vector<int32_t>{best[1], -1, 1000}), seen.Sub(vocabulary, vocabulary));
  const DeviceSpan<int32_t> next = Array(std::vector<int32_t>(2));
  const DeviceSpan<uint32_t> steps = Array(std::vector<uint32_t>{3, 4});
  cuda_->Sample(*stream_, {.logits = {device.data, DType::kF32, 2, vocabulary, vocabulary},
                           .params = Array(params),
                           .steps = steps,
                           .seen = seen,
                           .scratch = Array(std::vector<uint64_t>(static_cast<size_t>(2 * vocabulary))),
                           .next = next});
  std::vector<int32_t> chosen(2);
  std::vector<uint32_t> made(2);
  std::vector<uint8_t> marked(static_cast<size_t>(2 * vocabulary));
  cuda_->Download(*stream_, next.data, chosen.data(), 8);
  cuda_->Download(*stream_, steps.data, made.data(), 8);
  cuda_->Download(*stream_, seen.data, marked.data(), marked.size());
  ASSERT_TRUE(cuda_->Sync(*stream_).ok());
  EXPECT_EQ(chosen[0], best[0]);
  EXPECT_NE(chosen[1], best[1]) << "it was seen";
  EXPECT_EQ(made, (std::vector<uint32_t>{4, 5}));
  EXPECT_EQ(marked[static_cast<size_t>(chosen[0])], 1);
}

// A step that is repeated gives what it would have given, from what its inputs hold by then, and is counted each time.
TEST_F(CudaBackendTest, StepsAreRepeated) {
  const Values w = RandomWeight(16, 16);
  const auto weight = Pack(*cuda_, {&w});
  const auto host = Pack(*reference_, {&w});
  const MatrixView x = Matrix(Random(2, 16));
  const MatrixView y = Output(2, 16);
  for (int i = 0; i < 4; ++i) {
    Values input = Random(2, 16);
    cuda_->CopyRows(*stream_, {.x = Matrix(input), .count = 2, .y = x});
    const uint64_t flops = stream_->counters.flops;
    cuda_->Repeat(*stream_, {.inputs = x.data, .tokens = 2, .context = 10 + i},
                  [&] { cuda_->Linear(*stream_, {.x = x, .weight = weight.get(), .residual = {}, .y = y}); });
    EXPECT_EQ(stream_->counters.flops - flops, 2u * 2 * 16 * 16);
    Values expected{2, 16, std::vector<float>(32)};
    reference_->Linear(*host_stream_, {.x = input.view(), .weight = host.get(), .residual = {}, .y = expected.view()});
    ExpectNear(Read(y), expected, kBound);
  }
}

// Patches wait in scratch memory for their product while the other stream's pass through theirs, by any order.
TEST_F(CudaBackendTest, StreamsBesideEachOtherHaveScratchMemoryOfTheirOwn) {
  const auto beside = cuda_->NewStreamBeside();
  ASSERT_NE(beside, nullptr);
  const Values w = RandomWeight(24, 64);
  const auto weight = Pack(*cuda_, {&w});
  const auto host = Pack(*reference_, {&w});
  Values x[2] = {Random(16, 16), Random(16, 16)};
  const MatrixView device_x[2] = {Matrix(x[0]), Matrix(x[1])};
  const MatrixView y[2] = {Output(4, 24), Output(4, 24)};
  ASSERT_TRUE(cuda_->Sync(*stream_).ok());
  for (const size_t first : {0, 1}) {
    const auto shuffle = [&](size_t i) {
      cuda_->PixelShuffleLinear(i == 0 ? *stream_ : *beside,
                                {.x = device_x[i], .grid = 4, .scale = 2, .weight = weight.get(), .y = y[i]});
    };
    shuffle(first);
    shuffle(1 - first);
    // The emulated device does one piece of a queue's work each time that it is asked about it.
    for (int i = 0; i < 100; ++i) {
      static_cast<void>(cuda_->IsDone(*stream_));
      static_cast<void>(cuda_->IsDone(*beside));
    }
    ASSERT_TRUE(cuda_->Sync(*beside).ok());
    ASSERT_TRUE(cuda_->Sync(*stream_).ok());
    EXPECT_TRUE(cuda_->IsDone(*beside));
    for (const size_t i : {0, 1}) {
      Values expected{4, 24, std::vector<float>(4 * 24)};
      reference_->PixelShuffleLinear(
          *host_stream_, {.x = x[i].view(), .grid = 4, .scale = 2, .weight = host.get(), .y = expected.view()});
      ExpectNear(Read(y[i]), expected, kBound);
    }
  }
}

// As a long answer does: a token is on its way while the next one's step makes the cache grow.
TEST_F(CudaBackendTest, DownloadsComeInOrderWhileACacheGrows) {
  const DeviceSpan<int32_t> first = Array<int32_t>({1, 2, 3});
  const DeviceSpan<int32_t> second = Array<int32_t>({4, 5, 6});
  const auto cache =
      *cuda_->NewKvCache({.layer_group = {0}, .blocks = 4096, .block_size = 32, .kv_heads = 1, .head_dim = 8});
  constexpr size_t kBytes = 3 * sizeof(int32_t);
  std::vector<int32_t> host(3);
  for (int round = 0; round < 3; ++round) {
    cuda_->BeginDownload(*stream_, first.data, kBytes);
    ASSERT_TRUE(cuda_->Reserve(*stream_, *cache, int64_t{100} << round).ok());
    cuda_->BeginDownload(*stream_, second.data, kBytes);
    ASSERT_TRUE(cuda_->FinishDownload(*stream_, first.data, host.data(), kBytes).ok());
    EXPECT_EQ(host, (std::vector<int32_t>{1, 2, 3}));
    ASSERT_TRUE(cuda_->FinishDownload(*stream_, second.data, host.data(), kBytes).ok());
    EXPECT_EQ(host, (std::vector<int32_t>{4, 5, 6}));
  }
  // One that nobody asks for any more.
  cuda_->BeginDownload(*stream_, first.data, kBytes);
  ASSERT_TRUE(cuda_->Sync(*stream_).ok());
  cuda_->BeginDownload(*stream_, second.data, kBytes);
  ASSERT_TRUE(cuda_->FinishDownload(*stream_, second.data, host.data(), kBytes).ok());
  EXPECT_EQ(host, (std::vector<int32_t>{4, 5, 6}));
}

// A product whose scratch memory can't be had is an error of the wait for it, and not of what comes later.
TEST_F(CudaBackendTest, LaterOperationsGoOnAfterALackOfScratchMemory) {
  constexpr size_t kLimit = size_t{48} << 20;  // 32 of it are cuBLASLt's
  stream_.reset();
  cuda_.reset();  // limits count what the process has
  cuda_ = *NewCudaBackend({.memory_limit = kLimit, .threads = 1});
  stream_ = cuda_->NewStream();
  constexpr int64_t kRows = 64;
  Values large{4096, 2048, std::vector<float>(size_t{4096} * 2048)};
  const auto wide = cuda_->PackLinear({.parts = {large.tensor()}, .format = WeightFormat::kInt4});
  ASSERT_TRUE(wide.ok()) << wide.status().message();  // 5 MB, and 17 as bfloat16
  const MatrixView x = Matrix({kRows, 2048, std::vector<float>(size_t{kRows} * 2048)});
  cuda_->Linear(*stream_, {.x = x, .weight = wide->get(), .residual = {}, .y = Output(kRows, 4096)});
  EXPECT_EQ(cuda_->Sync(*stream_).code(), StatusCode::kOutOfMemory);
  CheckLinear(9, 8, 16, false, false, WeightFormat::kQ8);
  EXPECT_TRUE(cuda_->Sync(*stream_).ok());
}

TEST_F(CudaBackendTest, MemoryHasALimit) {
  auto small = NewCudaBackend({.memory_limit = size_t{1} << 30, .threads = 1});
  ASSERT_TRUE(small.ok());
  const auto refused = (*small)->Allocate(size_t{3} << 30, "the key/value cache");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), StatusCode::kOutOfMemory);
  EXPECT_NE(refused.status().message().find("the key/value cache"), std::string::npos);
  EXPECT_NE(refused.status().message().find("1074 MB"), std::string::npos) << refused.status().message();
  EXPECT_NE(refused.status().mend().find("--gpu-memory"), std::string::npos);
}

}  // namespace
}  // namespace eyeshot::cuda
