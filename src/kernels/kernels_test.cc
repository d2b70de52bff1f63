// Every operation of the portable backend against the reference, under the instruction set that EYESHOT_ISA
// names. Weights are exact in bfloat16, so that only the order of summation and the vector exp differ.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/allocation_counter.h"
#include "base/cpu.h"
#include "kernels/cpu_backend.h"
#if defined(__x86_64__)
#include "kernels/x86/amx_emulator.h"
#endif

namespace eyeshot {
namespace {

// Sums of K products of order 1 / sqrt(K) round K times by up to 2^-24 of a partial sum of order 1, in random
// directions: sqrt(K) 2^-24 = 4e-6 for the deepest product here, 4701. Five of these.
constexpr float kSumBound = 2e-5f;

float RoundToBf16(float value) { return F32FromBf16(Bf16FromF32(value)); }

// A matrix in host memory, which is the device memory of every backend here.
struct Matrix {
  Matrix(int64_t rows_in, int64_t cols_in, float fill = 0)
      : rows(rows_in), cols(cols_in), data(static_cast<size_t>(rows * cols), fill) {}

  MatrixView view() { return {data.data(), DType::kF32, rows, cols, cols}; }
  DeviceSpan<float> span() { return {data.data(), rows * cols}; }
  HostTensor tensor() const {
    return {.name = "weight", .shape = {rows, cols}, .data = reinterpret_cast<const uint8_t*>(data.data())};
  }

  int64_t rows;
  int64_t cols;
  std::vector<float> data;
};

template <typename T>
DeviceSpan<const T> Span(const std::vector<T>& values) {
  return {values.data(), static_cast<int64_t>(values.size())};
}

void ExpectNear(const Matrix& actual, const Matrix& expected, float bound) {
  ASSERT_EQ(actual.data.size(), expected.data.size());
  size_t worst = 0;
  float error = -1;
  for (size_t i = 0; i < actual.data.size(); ++i) {
    const float distance = std::abs(actual.data[i] - expected.data[i]) / std::max(1.0f, std::abs(expected.data[i]));
    if (!(distance <= error)) {  // NaN is the worst
      error = distance;
      worst = i;
    }
    if (std::isnan(distance)) break;
  }
  EXPECT_LE(error, bound) << "at row " << worst / static_cast<size_t>(actual.cols) << ", column "
                          << worst % static_cast<size_t>(actual.cols) << ": " << actual.data[worst] << ", expected "
                          << expected.data[worst];
}

// A portable backend of some threads beside the reference.
class KernelsTest : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    const auto isa = ChooseIsa();
    ASSERT_TRUE(isa.ok()) << isa.status().message();
    auto backend = NewPortableBackend(GetParam(), *isa);
    ASSERT_TRUE(backend.ok()) << backend.status().message();
    portable_ = std::move(backend).value();
    reference_ = NewReferenceBackend(2);
    stream_ = portable_->NewStream();
  }

  float Uniform(float low, float high) { return std::uniform_real_distribution<float>(low, high)(random_); }

  Matrix RandomMatrix(int64_t rows, int64_t cols, float scale = 1) {
    Matrix matrix(rows, cols);
    for (float& value : matrix.data) value = Uniform(-scale, scale);
    return matrix;
  }
  // Exact in bfloat16, and such that a product with values of order 1 is of order 1.
  Matrix RandomWeight(int64_t outputs, int64_t inputs) {
    Matrix matrix = RandomMatrix(outputs, inputs, std::sqrt(3.0f / static_cast<float>(inputs)));
    for (float& value : matrix.data) value = RoundToBf16(value);
    return matrix;
  }

  // Needs more bits than bfloat16 has.
  Matrix RandomWideWeight(int64_t outputs, int64_t inputs) {
    return RandomMatrix(outputs, inputs, std::sqrt(3.0f / static_cast<float>(inputs)));
  }

  // Runs fn(backend, packed weights..., y) on both and compares what they wrote to y.
  template <typename Run>
  void Compare(int64_t rows, int64_t cols, float bound, const Run& run) {
    Matrix expected(rows, cols, -7);
    Matrix actual(rows, cols, 7);
    run(*reference_, expected);
    run(*portable_, actual);
    ExpectNear(actual, expected, bound);
  }

  PackedWeightPtr Pack(Backend& backend, const LinearSource& source) {
    auto weight = backend.PackLinear(source);
    EXPECT_TRUE(weight.ok());
    return std::move(weight).value();
  }
  PackedWeightPtr Vector(Backend& backend, const Matrix& values) {
    auto weight = backend.PackVector(values.tensor());
    EXPECT_TRUE(weight.ok());
    return std::move(weight).value();
  }
  PackedWeightPtr Table(Backend& backend, const Matrix& values) {
    auto weight = backend.PackTable(values.tensor());
    EXPECT_TRUE(weight.ok());
    return std::move(weight).value();
  }

  void CheckLinear(int64_t m, int64_t k, int64_t n, bool epilogue, WeightFormat stored = WeightFormat::kExact);
  void CheckGated(int64_t m, int64_t k, int64_t n, WeightFormat stored = WeightFormat::kExact);

  std::mt19937 random_{12345};
  std::unique_ptr<Backend> portable_;
  std::unique_ptr<Backend> reference_;
  std::unique_ptr<Stream> stream_;
};

// By the values of math: of the tail, too, where the plain form cancels.
TEST_P(KernelsTest, GeluIsTheErrorFunctionsOne) {
  Matrix x(201, 1);
  for (int64_t i = 0; i < x.rows; ++i) x.data[static_cast<size_t>(i)] = static_cast<float>(i - 100) / 12.5f;
  const Matrix one(1, 1, 1);
  for (Backend* backend : {reference_.get(), portable_.get()}) {
    const auto weight = Pack(*backend, {.parts = {one.tensor()}});
    Matrix y(x.rows, 1);
    backend->Linear(*stream_, {.x = x.view(), .weight = weight.get(), .activation = Activation::kGelu, .y = y.view()});
    for (size_t i = 0; i < x.data.size(); ++i) {
      const double exact = 0.5 * x.data[i] * std::erfc(-x.data[i] / std::sqrt(2.0));
      EXPECT_NEAR(y.data[i], exact, 4e-7) << x.data[i];
    }
  }
}

TEST_P(KernelsTest, RowsAreAddedAndConvolved) {
  Matrix x = RandomMatrix(6, 3);
  Matrix y(2, 3);
  const Matrix taps = RandomMatrix(3, 3);
  const Matrix bias = RandomMatrix(1, 3);
  const auto weight = Vector(*portable_, taps);
  const auto b = Vector(*portable_, bias);
  portable_->ConvolveRows(*stream_, {.x = x.view(), .taps = 3, .weight = weight.get(), .bias = b.get(), .y = y.view()});
  const std::vector<int32_t> to = {1};
  portable_->CopyRows(*stream_, {.x = x.view().Rows(4, 1), .to = Span(to), .count = 1, .y = y.view(), .add = true});
  for (size_t row = 0; row < 2; ++row) {
    for (size_t c = 0; c < 3; ++c) {
      float sum = bias.data[c];
      for (size_t tap = 0; tap < 3; ++tap) sum += taps.data[c * 3 + tap] * x.data[(row * 3 + tap) * 3 + c];
      if (row == 1) sum += x.data[4 * 3 + c];
      EXPECT_NEAR(y.data[row * 3 + c], sum, 1e-6f);
    }
  }
}

TEST_P(KernelsTest, InfoNamesTheChosenInstructionSet) {
  EXPECT_EQ(portable_->info().name, "portable");
  EXPECT_EQ(portable_->info().isa, IsaName(*ChooseIsa()));
  EXPECT_EQ(portable_->info().threads, GetParam());
  EXPECT_GE(portable_->info().tower_group, 1);
}

// stored: kExact, or kFloat32 for weights that bfloat16 would round.
void KernelsTest::CheckLinear(int64_t m, int64_t k, int64_t n, bool epilogue, WeightFormat stored) {
  SCOPED_TRACE(::testing::Message() << "m " << m << " k " << k << " n " << n << " epilogue " << epilogue);
  Matrix x = RandomMatrix(m, k);
  const Matrix w = stored == WeightFormat::kExact ? RandomWeight(n, k) : RandomWideWeight(n, k);
  const Matrix b = RandomMatrix(1, n);
  Matrix residual = RandomMatrix(m, n);
  Compare(m, n, kSumBound, [&](Backend& backend, Matrix& y) {
    const auto weight = Pack(backend, {.parts = {w.tensor()}});
    const auto bias = Vector(backend, b);
    EXPECT_EQ(weight->bytes, backend.PackedLinearBytes(n, k, stored));
    LinearArgs args = {.x = x.view(), .weight = weight.get(), .y = y.view()};
    if (epilogue) {
      args.bias = bias.get();
      args.activation = Activation::kGeluTanh;
      args.residual = residual.view();
    }
    backend.Linear(*stream_, args);
  });
}

TEST_P(KernelsTest, LinearOfEveryRowCount) {
  for (int64_t m = 1; m <= 40; ++m) CheckLinear(m, 48, 40, m % 2 == 0);
}

TEST_P(KernelsTest, LinearOfWeightsThatBfloat16WouldRound) {
  for (int64_t m : {1, 2, 7, 15, 40}) CheckLinear(m, 48, 40, m % 2 == 0, WeightFormat::kFloat32);
  CheckLinear(1, 3, 1, false, WeightFormat::kFloat32);
  CheckLinear(3, 577, 33, true, WeightFormat::kFloat32);
  CheckLinear(41, 4701, 280, true, WeightFormat::kFloat32);  // slabs of the depth, strips of panels
  CheckGated(15, 130, 50, WeightFormat::kFloat32);
}

// Bit by bit: an answer must not change with those that are written beside it.
TEST_P(KernelsTest, ARowOfALinearIsTheSameWhateverIsBesideIt) {
  constexpr int64_t kRows = 41;
  for (const WeightFormat stored : {WeightFormat::kExact, WeightFormat::kFloat32}) {
    for (const int64_t k : {3, 577, 4701}) {  // the deepest in slabs, but for one block of rows
      SCOPED_TRACE(::testing::Message() << "k " << k << ", float32 " << (stored == WeightFormat::kFloat32));
      constexpr int64_t kOutputs = 75;
      Matrix x = RandomMatrix(kRows, k);
      const Matrix w = stored == WeightFormat::kExact ? RandomWeight(kOutputs, k) : RandomWideWeight(kOutputs, k);
      const auto weight = Pack(*portable_, {.parts = {w.tensor()}});
      Matrix together(kRows, kOutputs);
      portable_->Linear(*stream_, {.x = x.view(), .weight = weight.get(), .y = together.view()});
      for (int64_t m = 1; m < kRows; ++m) {
        Matrix y(m, kOutputs);
        const int64_t first = kRows - m;
        portable_->Linear(*stream_, {.x = x.view().Rows(first, m), .weight = weight.get(), .y = y.view()});
        EXPECT_TRUE(std::equal(y.data.begin(), y.data.end(), together.data.begin() + first * kOutputs)) << m;
      }
    }
  }
}

TEST_P(KernelsTest, LinearOfOddShapes) {
  for (bool epilogue : {false, true}) {
    CheckLinear(1, 1, 1, epilogue);
    CheckLinear(3, 17, 5, epilogue);
    CheckLinear(1, 577, 577, epilogue);
    CheckLinear(7, 33, 31, epilogue);
    CheckLinear(14, 64, 32, epilogue);
    CheckLinear(15, 65, 33, epilogue);
    CheckLinear(64, 4304, 40, epilogue);
    CheckLinear(41, 4701, 280, epilogue);  // slabs of the depth, strips of panels
    CheckLinear(129, 960, 70, epilogue);
    CheckLinear(129, 1152, 33, epilogue);
    CheckLinear(300, 576, 65, epilogue);
  }
}

void KernelsTest::CheckGated(int64_t m, int64_t k, int64_t n, WeightFormat stored) {
  SCOPED_TRACE(::testing::Message() << "gated m " << m << " k " << k << " n " << n);
  Matrix x = RandomMatrix(m, k);
  const Matrix gate = stored == WeightFormat::kExact ? RandomWeight(n, k) : RandomWideWeight(n, k);
  const Matrix up = RandomWeight(n, k);  // one part that needs float32 is enough
  Matrix residual = RandomMatrix(m, n);
  Compare(m, n, kSumBound, [&](Backend& backend, Matrix& y) {
    const auto weight = Pack(backend, {.parts = {gate.tensor(), up.tensor()}, .gated = true});
    EXPECT_EQ(weight->outputs, n);
    EXPECT_EQ(weight->bytes, backend.PackedLinearBytes(2 * n, k, stored));
    backend.Linear(*stream_, {.x = x.view(), .weight = weight.get(), .residual = residual.view(), .y = y.view()});
  });
}

// A weight of 1 leaves the activation itself. Both sides compute it in float32: a few 2^-24 of it each.
TEST_P(KernelsTest, Activations) {
  Matrix x(2001, 1);
  for (int64_t i = 0; i < x.rows; ++i) x.data[static_cast<size_t>(i)] = static_cast<float>(i - 1000) * 0.02f;
  x.data[0] = -1000;  // exp must not overflow
  x.data[1] = 1000;
  const Matrix one(1, 1, 1);
  Compare(x.rows, 1, 1e-6f, [&](Backend& backend, Matrix& y) {
    const auto weight = Pack(backend, {.parts = {one.tensor()}});
    backend.Linear(*stream_,
                   {.x = x.view(), .weight = weight.get(), .activation = Activation::kGeluTanh, .y = y.view()});
  });
  // silu(x) * x.
  Compare(x.rows, 1, 1e-6f, [&](Backend& backend, Matrix& y) {
    const auto weight = Pack(backend, {.parts = {one.tensor(), one.tensor()}, .gated = true});
    backend.Linear(*stream_, {.x = x.view(), .weight = weight.get(), .y = y.view()});
  });
}

TEST_P(KernelsTest, GatedLinear) {
  CheckGated(1, 576, 1536);
  CheckGated(1, 5, 3);
  CheckGated(13, 64, 16);
  CheckGated(33, 960, 41);
}

TEST_P(KernelsTest, LinearStacksPartsAndAddsToYInPlace) {
  Matrix x = RandomMatrix(5, 96);
  const Matrix q = RandomWeight(48, 96);
  const Matrix k = RandomWeight(20, 96);
  const Matrix v = RandomWeight(20, 96);
  const Matrix before = RandomMatrix(5, 88);
  Compare(5, 88, kSumBound, [&](Backend& backend, Matrix& y) {
    const auto weight = Pack(backend, {.parts = {q.tensor(), k.tensor(), v.tensor()}});
    y = before;
    backend.Linear(*stream_, {.x = x.view(), .weight = weight.get(), .residual = y.view(), .y = y.view()});
  });
}

TEST_P(KernelsTest, LinearOfColumnsOfAWiderMatrix) {
  Matrix x = RandomMatrix(20, 100);
  const Matrix w = RandomWeight(24, 60);
  Compare(20, 50, kSumBound, [&](Backend& backend, Matrix& y) {
    y = Matrix(20, 50);
    const auto weight = Pack(backend, {.parts = {w.tensor()}});
    backend.Linear(*stream_, {.x = x.view().Cols(30, 60), .weight = weight.get(), .y = y.view().Cols(3, 24)});
  });
}

// The same weights as float32, bfloat16 and float16, at an odd address, give the same packed values: those
// rounded to the nearest bfloat16. Gather shows them, from panels and from a table.
TEST_P(KernelsTest, PacksEverySourceTypeAndGathersRows) {
  const int64_t rows = 45;
  const int64_t width = 150;
  const Matrix source = RandomMatrix(rows, width);
  const std::vector<int32_t> ids = {0, 44, 31, 32, 15, 16, -1, 45, 7};
  Matrix expected(9, width);
  for (size_t i = 0; i < ids.size(); ++i) {
    for (int64_t c = 0; c < width; ++c) {
      const bool inside = ids[i] >= 0 && ids[i] < rows;
      const auto at = static_cast<size_t>(ids[i] * width + c);
      expected.data[i * static_cast<size_t>(width) + static_cast<size_t>(c)] = inside ? source.data[at] : 0.0f;
    }
  }
  for (DType dtype : {DType::kF32, DType::kBF16}) {
    if (dtype == DType::kBF16) {
      for (float& value : expected.data) value = RoundToBf16(value);
    }
    std::vector<uint8_t> bytes(1);
    for (float value : source.data) {
      const bf16_bits half = Bf16FromF32(value);
      const auto* raw =
          dtype == DType::kF32 ? reinterpret_cast<const uint8_t*>(&value) : reinterpret_cast<const uint8_t*>(&half);
      bytes.insert(bytes.end(), raw, raw + DTypeBytes(dtype));
    }
    const HostTensor tensor = {.name = "t", .dtype = dtype, .shape = {rows, width}, .data = bytes.data() + 1};
    const auto panels = Pack(*portable_, {.parts = {tensor}});
    const auto table = portable_->PackTable(tensor);
    ASSERT_TRUE(table.ok());
    for (const PackedWeight* weight : {panels.get(), table->get()}) {
      Matrix y(9, width, 7);
      portable_->Gather(*stream_, {.table = weight, .ids = Span(ids), .y = y.view()});
      EXPECT_EQ(y.data, expected.data);
    }
  }
  const uint16_t halves[] = {0x3c00, 0xc000, 0x0001, 0x3555};  // 1, -2, 2^-24, 0.333252
  const HostTensor tensor = {
      .name = "h", .dtype = DType::kF16, .shape = {1, 4}, .data = reinterpret_cast<const uint8_t*>(halves)};
  const auto weight = Pack(*portable_, {.parts = {tensor}});
  const std::vector<int32_t> first = {0};
  Matrix y(1, 4);
  portable_->Gather(*stream_, {.table = weight.get(), .ids = Span(first), .y = y.view()});
  EXPECT_EQ(y.data, (std::vector<float>{1, -2, std::ldexp(1.0f, -24), 0.333251953125f}));
}

TEST_P(KernelsTest, RefusesToPackOtherTypes) {
  const int8_t bytes[4] = {};
  const HostTensor tensor = {
      .name = "q", .dtype = DType::kI8, .shape = {2, 2}, .data = reinterpret_cast<const uint8_t*>(bytes)};
  EXPECT_EQ(portable_->PackLinear({.parts = {tensor}}).status().code(), StatusCode::kUnsupported);
  EXPECT_EQ(portable_->PackTable(tensor).status().code(), StatusCode::kUnsupported);
}

// Sums of n terms of order 1 over n: a few 2^-24 each way, times a normal value of up to 4.
TEST_P(KernelsTest, Norms) {
  for (int64_t n : {1, 5, 32, 576, 960, 1153}) {
    SCOPED_TRACE(n);
    Matrix x = RandomMatrix(37, n, 3);
    for (float& value : x.data) value += 0.5f;
    const Matrix gain_values = RandomMatrix(1, n);
    const Matrix bias_values = RandomMatrix(1, n);
    for (bool in_place : {false, true}) {
      const auto run = [&](bool layer) {
        return [&, layer](Backend& backend, Matrix& y) {
          const auto gain = Vector(backend, gain_values);
          const auto bias = Vector(backend, bias_values);
          if (in_place) y = x;
          NormArgs args = {.x = in_place ? y.view() : x.view(), .gain = gain.get(), .epsilon = 1e-5f, .y = y.view()};
          if (layer) {
            args.bias = bias.get();
            backend.LayerNorm(*stream_, args);
          } else {
            backend.RmsNorm(*stream_, args);
          }
        };
      };
      Compare(37, n, 4e-6f, run(true));
      Compare(37, n, 4e-6f, run(false));
    }
  }
}

TEST_P(KernelsTest, PatchEmbedLeavesTheRemainderUnseen) {
  const int64_t side = 44;  // 3 patches of 14, 2 pixels over
  const int64_t patch = 14;
  const int64_t width = 75;
  std::vector<uint8_t> pixels(static_cast<size_t>(2 * side * side * 3));
  for (uint8_t& value : pixels) value = static_cast<uint8_t>(random_());
  std::vector<float> normalization(768);
  for (float& value : normalization) value = Uniform(-1, 1);
  std::vector<int32_t> positions(18);
  for (int32_t& value : positions) value = static_cast<int32_t>(random_() % 9);
  const Matrix w = RandomWeight(width, 3 * patch * patch);
  const Matrix b = RandomMatrix(1, width);
  const Matrix p = RandomWeight(9, width);
  Compare(18, width, kSumBound, [&](Backend& backend, Matrix& y) {
    const auto weight = Pack(backend, {.parts = {w.tensor()}});
    const auto bias = Vector(backend, b);
    const auto table = Table(backend, p);
    backend.PatchEmbed(*stream_, {.tiles = Span(pixels),
                                  .side = side,
                                  .patch = patch,
                                  .normalization = Span(normalization),
                                  .weight = weight.get(),
                                  .bias = bias.get(),
                                  .positions = table.get(),
                                  .position_ids = Span(positions),
                                  .y = y.view()});
  });
}

TEST_P(KernelsTest, PixelShuffleLinear) {
  for (const auto& shape : {std::pair<int64_t, int64_t>{6, 3}, {8, 4}, {4, 1}, {2, 2}}) {
    const int64_t grid = shape.first;
    const int64_t scale = shape.second;
    SCOPED_TRACE(::testing::Message() << "grid " << grid << " scale " << scale);
    Matrix x = RandomMatrix(3 * grid * grid, 36);
    const Matrix w = RandomWeight(50, 36 * scale * scale);
    const int64_t tokens = 3 * grid * grid / (scale * scale);
    Compare(tokens, 50, kSumBound, [&](Backend& backend, Matrix& y) {
      const auto weight = Pack(backend, {.parts = {w.tensor()}});
      backend.PixelShuffleLinear(*stream_,
                                 {.x = x.view(), .grid = grid, .scale = scale, .weight = weight.get(), .y = y.view()});
    });
  }
}

// Scores of size s carry errors of s 2^-23, which become relative errors of the probabilities; here s < 8.
// Outputs are means of values below 1.
constexpr float kAttentionBound = 1e-5f;

TEST_P(KernelsTest, EncodeAttention) {
  const std::vector<int32_t> starts = {0, 70, 70, 71, 104, 236};
  for (const auto& [heads, dim] : {std::pair<int64_t, int64_t>{3, 64}, {2, 72}, {1, 4}, {1, 20}, {1, 256}}) {
    SCOPED_TRACE(::testing::Message() << "heads " << heads << " dim " << dim);
    Matrix qkv = RandomMatrix(236, 3 * heads * dim);
    std::vector<float> bias(236);
    for (float& value : bias) value = Uniform(0, 3);
    Matrix expected_mean(236, 1);
    Matrix mean(236, 1);
    for (bool extras : {false, true}) {
      Compare(236, heads * dim, kAttentionBound, [&](Backend& backend, Matrix& y) {
        EncodeAttentionArgs args = {.qkv = qkv.view(),
                                    .cu_tokens = Span(starts),
                                    .max_tokens = 132,
                                    .heads = heads,
                                    .head_dim = dim,
                                    .scale = 3.0f / std::sqrt(static_cast<float>(dim)),
                                    .y = y.view()};
        if (extras) {
          args.key_bias = Span(bias);
          args.column_mean = (&backend == portable_.get() ? mean : expected_mean).span();
        }
        backend.EncodeAttention(*stream_, args);
      });
    }
    // Means of probabilities, at most 1.
    ExpectNear(mean, expected_mean, 2e-6f);
  }
}

// Sequences that share a cache whose blocks are dealt out in a random order.
struct PagedRig {
  PagedRig(std::mt19937& random, const std::vector<int64_t>& prompts, int64_t block_size_in, int64_t most)
      : block_size(block_size_in), max_blocks((most + block_size - 1) / block_size) {
    const auto sequences = static_cast<int64_t>(prompts.size());
    table.resize(static_cast<size_t>(2 * sequences * max_blocks));
    // Two layer groups, each with tables of its own.
    for (int64_t group = 0; group < 2; ++group) {
      std::vector<int32_t> blocks(static_cast<size_t>(sequences * max_blocks));
      for (size_t i = 0; i < blocks.size(); ++i) blocks[i] = static_cast<int32_t>(i);
      std::shuffle(blocks.begin(), blocks.end(), random);
      std::copy(blocks.begin(), blocks.end(), table.begin() + group * sequences * max_blocks);
    }
    lengths.assign(prompts.size(), 0);
    batch.sequences = sequences;
    batch.max_blocks = max_blocks;
    batch.max_context = most;
    const auto tokens = static_cast<size_t>(most * sequences);
    positions.reserve(tokens);
    slots.reserve(2 * tokens);
    starts.reserve(prompts.size() + 1);
    contexts.reserve(2 * prompts.size());
    Step(prompts);
  }

  // The next step takes counts[s] more tokens of each sequence. Allocates nothing.
  void Step(const std::vector<int64_t>& counts) {
    positions.clear();
    starts.assign(1, 0);
    slots.clear();
    contexts.clear();
    for (size_t group = 0; group < 2; ++group) {
      for (size_t s = 0; s < counts.size(); ++s) {
        for (int64_t i = lengths[s]; i < lengths[s] + counts[s]; ++i) {
          const size_t row = (group * counts.size() + s) * static_cast<size_t>(max_blocks);
          const int32_t block = table[row + static_cast<size_t>(i / block_size)];
          slots.push_back(static_cast<int32_t>(block * block_size + i % block_size));
          if (group == 0) positions.push_back(static_cast<int32_t>(i));
        }
        if (group == 0) starts.push_back(static_cast<int32_t>(positions.size()));
        contexts.push_back(static_cast<int32_t>(lengths[s] + counts[s]));
      }
    }
    for (size_t s = 0; s < counts.size(); ++s) lengths[s] += counts[s];
    batch.tokens = static_cast<int64_t>(positions.size());
    batch.positions = Span(positions);
    batch.query_start = Span(starts);
    batch.slots = Span(slots);
    batch.context_length = Span(contexts);
    batch.block_table = Span(table);
  }

  KvCacheShape Shape(int64_t kv_heads, int64_t head_dim) const {
    return {.layer_group = {0, 1, 1},
            .blocks = batch.sequences * max_blocks,
            .block_size = block_size,
            .kv_heads = kv_heads,
            .head_dim = head_dim};
  }

  int64_t block_size;
  int64_t max_blocks;
  std::vector<int64_t> lengths;
  std::vector<int32_t> table, positions, starts, slots, contexts;
  PagedBatch batch;
};

struct PagedCase {
  int64_t heads, kv_heads, head_dim, block_size;
};

class PagedKernelsTest : public KernelsTest {
 protected:
  // One step of all layers on both backends. With `rotate` false every position is 0, whose rotation is exact, so
  // that the cache holds the same keys in half precision and in float32.
  void CheckStep(const PagedCase& c, PagedRig& rig, KvCache& expected_cache, KvCache& cache, bool rotate, float bound) {
    if (!rotate) std::fill(rig.positions.begin(), rig.positions.end(), 0);
    const int64_t width = c.heads * c.head_dim;
    const int64_t tokens = rig.batch.tokens;
    std::vector<float> frequencies(static_cast<size_t>(c.head_dim / 2));
    for (size_t i = 0; i < frequencies.size(); ++i) {
      frequencies[i] = std::pow(100000.0f, -static_cast<float>(2 * i) / static_cast<float>(c.head_dim));
    }
    for (int64_t layer = 0; layer < 3; ++layer) {
      Matrix qkv = RandomMatrix(tokens, width + 2 * c.kv_heads * c.head_dim);
      for (float& value : qkv.data) value = RoundToBf16(value);
      Matrix expected_q(tokens, width);
      Matrix q(tokens, width);
      Compare(tokens, width, bound, [&](Backend& backend, Matrix& y) {
        const bool portable = &backend == portable_.get();
        KvCache& used = portable ? cache : expected_cache;
        Matrix copy = qkv;
        backend.RotaryStore(*stream_, {.qkv = copy.view(),
                                       .heads = c.heads,
                                       .inverse_frequency = Span(frequencies),
                                       .cache = &used,
                                       .layer = layer,
                                       .batch = &rig.batch});
        Matrix& rotated = portable ? q : expected_q;
        backend.CopyRows(*stream_, {.x = copy.view().Cols(0, width), .count = tokens, .y = rotated.view()});
        backend.PagedAttention(*stream_, {.q = copy.view().Cols(0, width),
                                          .heads = c.heads,
                                          .scale = 3.0f / std::sqrt(static_cast<float>(c.head_dim)),
                                          .reduced = reduced_,
                                          .cache = &used,
                                          .layer = layer,
                                          .batch = &rig.batch,
                                          .y = y.view()});
      });
      // One product and one sum of values below 1.
      ExpectNear(q, expected_q, 3e-7f);
    }
  }

  void CheckCase(const PagedCase& c, bool rotate, float bound) {
    SCOPED_TRACE(::testing::Message() << "heads " << c.heads << "/" << c.kv_heads << " dim " << c.head_dim << " block "
                                      << c.block_size);
    PagedRig rig(random_, {90, 1, 17}, c.block_size, 100);
    KvCacheShape shape = rig.Shape(c.kv_heads, c.head_dim);
    shape.format = format_;
    auto expected = reference_->NewKvCache(shape);
    auto cache = portable_->NewKvCache(shape);
    ASSERT_TRUE(expected.ok() && cache.ok());
    EXPECT_EQ((*cache)->bytes, portable_->KvCacheBytes(shape));
    CheckStep(c, rig, **expected, **cache, rotate, bound);   // prompts
    rig.Step({1, 1, 1});                                     // one token each
    CheckStep(c, rig, **expected, **cache, rotate, bound);
    rig.Step({3, 60, 0});                                    // drafts, a prompt, a sequence that waits
    CheckStep(c, rig, **expected, **cache, rotate, bound);
    rig.Step({1, 1, 1});
    CheckStep(c, rig, **expected, **cache, rotate, bound);
  }

  // 700 tokens, more than the blocks of one step of a task, then single ones.
  void CheckLong(const PagedCase& c, float bound) {
    PagedRig rig(random_, {700}, c.block_size, 710);
    KvCacheShape shape = rig.Shape(c.kv_heads, c.head_dim);
    shape.format = format_;
    auto expected = reference_->NewKvCache(shape);
    auto cache = portable_->NewKvCache(shape);
    ASSERT_TRUE(expected.ok() && cache.ok());
    CheckStep(c, rig, **expected, **cache, false, bound);
    for (int64_t count : {1, 4, 1}) {
      rig.Step({count});
      CheckStep(c, rig, **expected, **cache, false, bound);
    }
  }

  bool reduced_ = false;
  KvFormat format_ = KvFormat::kHalf;
};

TEST_P(PagedKernelsTest, AttentionOverTheCache) {
  CheckCase({9, 3, 64, 16}, false, kAttentionBound);
  CheckCase({15, 5, 64, 32}, false, kAttentionBound);
  CheckCase({2, 2, 64, 64}, false, kAttentionBound);
  CheckCase({16, 1, 72, 16}, false, kAttentionBound);
  CheckCase({2, 1, 4, 5}, false, kAttentionBound);
  CheckCase({3, 1, 20, 1}, false, kAttentionBound);
  CheckCase({1, 1, 256, 24}, false, kAttentionBound);
}

// Keys and values rounded to half precision, by up to 2^-12 of themselves (values: 0.00025). Scores are sums of
// head_dim products of variance 1/9 times 3 / sqrt(head_dim): standard deviation 1, of which 2^-12 moves
// probabilities by 0.025 %; both together stay below 0.13 %.
TEST_P(PagedKernelsTest, RotaryAndRoundedKeys) {
  CheckCase({9, 3, 64, 16}, true, 1.3e-3f);
  CheckCase({4, 4, 72, 16}, true, 1.3e-3f);
  CheckCase({2, 1, 4, 8}, true, 1.3e-3f);
}

// The cache rounds as F16FromF32 does, whatever the instruction set: a single key has probability 1, so y is its value.
TEST_P(PagedKernelsTest, ValuesAreRoundedToTheNearestHalf) {
  const int64_t dim = 256;
  PagedRig rig(random_, {1}, 16, 1);
  auto cache = portable_->NewKvCache(rig.Shape(1, dim));
  ASSERT_TRUE(cache.ok());
  const std::vector<float> frequencies(dim / 2, 0.0f);
  Matrix qkv(1, 3 * dim), y(1, dim);
  float* v = qkv.data.data() + 2 * dim;
  const float edges[] = {
      0,        -0.0f,        65504,    65519,    65520,       -1e30f,   1.00048828125f, 1.00146484375f,
      0x1p-14f, 0x1.ffep-15f, 0x1p-24f, 0x1p-25f, -0x1.8p-25f, 0x1p-30f, 1.0f / 3,       -2049};
  std::copy(std::begin(edges), std::end(edges), v);
  for (int64_t i = std::ssize(edges); i < dim; ++i) v[i] = std::ldexp(Uniform(-1, 1), static_cast<int>(i % 40) - 26);
  portable_->RotaryStore(*stream_, {.qkv = qkv.view(),
                                    .heads = 1,
                                    .inverse_frequency = Span(frequencies),
                                    .cache = cache->get(),
                                    .layer = 0,
                                    .batch = &rig.batch});
  portable_->PagedAttention(*stream_, {.q = qkv.view().Cols(0, dim),
                                       .heads = 1,
                                       .scale = 1,
                                       .cache = cache->get(),
                                       .layer = 0,
                                       .batch = &rig.batch,
                                       .y = y.view()});
  for (size_t i = 0; i < static_cast<size_t>(dim); ++i) EXPECT_EQ(y.data[i], F32FromF16(F16FromF32(v[i]))) << v[i];
}

// Long enough that one sequence is split along its keys.
TEST_P(PagedKernelsTest, LongSequencesAreSplitAndMerged) { CheckLong({3, 1, 64, 16}, kAttentionBound); }

// Bit by bit, whatever is beside it and however its prompt is cut.
TEST_P(PagedKernelsTest, ASequenceIsTheSameWhateverIsBesideIt) {
  constexpr int64_t kHeads = 9, kKvHeads = 3, kDim = 64, kWidth = (kHeads + 2 * kKvHeads) * kDim, kMost = 710;
  const Matrix qkv = RandomMatrix(kMost, kWidth);
  const std::vector<float> frequencies(kDim / 2, 0.01f);
  // Each step's counts, those of the sequence in question first. Returns its rows.
  const auto run = [&](const std::vector<std::vector<int64_t>>& steps) {
    PagedRig rig(random_, steps[0], 32, kMost);
    auto cache = portable_->NewKvCache(rig.Shape(kKvHeads, kDim));
    EXPECT_TRUE(cache.ok());
    Matrix rows(0, kHeads * kDim);
    int64_t done = 0;
    for (size_t step = 0; step < steps.size(); ++step) {
      if (step > 0) rig.Step(steps[step]);
      const int64_t own = steps[step][0];
      Matrix x = RandomMatrix(rig.batch.tokens, kWidth);
      std::copy_n(qkv.data.begin() + done * kWidth, own * kWidth, x.data.begin());
      Matrix y(rig.batch.tokens, kHeads * kDim);
      portable_->RotaryStore(*stream_, {.qkv = x.view(),
                                        .heads = kHeads,
                                        .inverse_frequency = Span(frequencies),
                                        .cache = cache->get(),
                                        .layer = 1,
                                        .batch = &rig.batch});
      portable_->PagedAttention(*stream_, {.q = x.view().Cols(0, kHeads * kDim),
                                           .heads = kHeads,
                                           .scale = 3.0f / std::sqrt(static_cast<float>(kDim)),
                                           .cache = cache->get(),
                                           .layer = 1,
                                           .batch = &rig.batch,
                                           .y = y.view()});
      rows.data.insert(rows.data.end(), y.data.begin(), y.data.begin() + own * kHeads * kDim);
      done += own;
    }
    return rows.data;
  };
  const std::vector<float> alone = run({{700}, {1}, {1}, {1}});
  EXPECT_EQ(run({{700, 5, 640}, {1, 1, 1}, {1, 1, 1}, {1, 0, 1}}), alone);
  EXPECT_EQ(run({{331, 1}, {17, 1}, {352, 1}, {1, 1}, {1, 30}, {1, 1}}), alone);
  EXPECT_EQ(
      run({{700, 1, 2, 3, 4, 5, 6, 7}, {1, 1, 1, 1, 1, 1, 1, 1}, {1, 1, 0, 1, 1, 1, 1, 1}, {1, 0, 0, 0, 0, 0, 0, 0}}),
      alone);
}

// Queries, keys, values and probabilities have 8 bits: 2^-9 of the scores, whose standard deviation is 1, and of the
// rest.
constexpr float kReducedBound = 1.5e-2f;
// Keys and values are within half of 1/127 of the largest of a head, which is about 2 standard deviations.
constexpr float kInt8CacheBound = 2.5e-2f;

TEST_P(PagedKernelsTest, PromptsInReducedArithmetic) {
  reduced_ = true;
  CheckCase({9, 3, 64, 32}, false, kReducedBound);
  CheckCase({2, 2, 32, 32}, false, kReducedBound);
  CheckCase({2, 1, 72, 32}, false, kReducedBound);  // no whole panels: not reduced
  CheckLong({3, 1, 64, 32}, kReducedBound);
}

TEST_P(PagedKernelsTest, CacheOf8Bits) {
  format_ = KvFormat::kInt8;
  for (bool reduced : {false, true}) {
    reduced_ = reduced;
    CheckCase({9, 3, 64, 16}, false, kInt8CacheBound);
    CheckCase({15, 5, 64, 32}, false, kInt8CacheBound);
    CheckCase({2, 1, 20, 5}, false, kInt8CacheBound);
    CheckLong({3, 1, 64, 32}, kInt8CacheBound);
  }
}

#if defined(__x86_64__)
class AmxPagedKernelsTest : public PagedKernelsTest {
 protected:
  void SetUp() override {
    PagedKernelsTest::SetUp();
    auto backend = NewPortableBackend(GetParam(), Isa::kAmx);
    if (!backend.ok()) GTEST_SKIP() << backend.status().message();
    portable_ = *std::move(backend);
    reduced_ = true;
  }

 private:
  x86::ScopedAmxEmulator emulator_;
};

TEST_P(AmxPagedKernelsTest, Prompts) {
  CheckCase({9, 3, 64, 32}, false, kReducedBound);
  CheckLong({3, 1, 64, 32}, kReducedBound);
}

INSTANTIATE_TEST_SUITE_P(Threads, AmxPagedKernelsTest, ::testing::Values(1, 2));
#endif

TEST_P(PagedKernelsTest, DecodingAllocatesNothing) {
  const int64_t width = 96;
  const PagedCase c = {3, 1, 32, 16};
  PagedRig rig(random_, {40}, c.block_size, 200);
  const KvCacheShape shape = rig.Shape(c.kv_heads, c.head_dim);
  auto cache = portable_->NewKvCache(shape);
  ASSERT_TRUE(cache.ok());
  const auto qkv_weight = Pack(*portable_, {.parts = {RandomWeight(160, width).tensor()}});
  const auto gate_up = Pack(
      *portable_, {.parts = {RandomWeight(200, width).tensor(), RandomWeight(200, width).tensor()}, .gated = true});
  const auto down = Pack(*portable_, {.parts = {RandomWeight(width, 200).tensor()}});
  const auto gain = Vector(*portable_, RandomMatrix(1, width));
  const std::vector<float> frequencies(16, 0.01f);
  Matrix x = RandomMatrix(40, width);
  Matrix normal(40, width), qkv(40, 160), attention(40, width), wide(40, 200);

  const auto step = [&] {
    const int64_t m = rig.batch.tokens;
    for (int64_t layer = 0; layer < 3; ++layer) {
      const MatrixView h = x.view().Rows(0, m);
      const MatrixView n = normal.view().Rows(0, m);
      const MatrixView p = qkv.view().Rows(0, m);
      portable_->RmsNorm(*stream_, {.x = h, .gain = gain.get(), .epsilon = 1e-5f, .y = n});
      portable_->Linear(*stream_, {.x = n, .weight = qkv_weight.get(), .y = p});
      portable_->RotaryStore(*stream_, {.qkv = p,
                                        .heads = c.heads,
                                        .inverse_frequency = Span(frequencies),
                                        .cache = cache->get(),
                                        .layer = layer,
                                        .batch = &rig.batch});
      portable_->PagedAttention(*stream_, {.q = p.Cols(0, width),
                                           .heads = c.heads,
                                           .scale = 0.2f,
                                           .cache = cache->get(),
                                           .layer = layer,
                                           .batch = &rig.batch,
                                           .y = attention.view().Rows(0, m)});
      portable_->Linear(*stream_,
                        {.x = attention.view().Rows(0, m), .weight = gate_up.get(), .y = wide.view().Rows(0, m)});
      portable_->Linear(*stream_, {.x = wide.view().Rows(0, m), .weight = down.get(), .residual = h, .y = h});
    }
  };
  step();  // the prompt
  const std::vector<int64_t> one = {1};
  rig.Step(one);
  step();  // the first token
  const uint64_t before = eyeshot::testing::Allocations();
  for (int i = 0; i < 120; ++i) {
    rig.Step(one);
    step();
  }
  EXPECT_EQ(eyeshot::testing::Allocations(), before);
  EXPECT_FALSE(std::isnan(x.data[0]));
}

INSTANTIATE_TEST_SUITE_P(Threads, KernelsTest, ::testing::Values(1, 2, 3));
INSTANTIATE_TEST_SUITE_P(Threads, PagedKernelsTest, ::testing::Values(1, 2, 3));

}  // namespace
}  // namespace eyeshot
