// The attention kernels by the emulator, against plain float32 loops on the same bfloat16 inputs.
//
// Inputs are uniform in [-1, 1], and scores have a deviation of about 3, so that a query looks at few keys and a key
// too many or too few shows. Whatever no kernel may read is NaN, or an index that leads nowhere; whatever none may
// write is looked at afterwards.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "kernels/cuda/attention-inl.h"
#include "kernels/cuda/decode-inl.h"
#include "kernels/cuda/rotary-inl.h"
#include "tensor/dtype.h"

namespace eyeshot::cuda {
namespace {

// Rounding to bfloat16 is off by up to 2^-8 relative, and by half of that absolute where the result is at most 1.
constexpr float kRounding = 1.0f / 256;
// Sums of float32 of order 1, and powers of two of scores up to 30 of float32.
constexpr float kFloatBound = 2e-5f;
// Outputs are means of values up to 1: probabilities are rounded to bfloat16, and so is the output.
constexpr float kTileBound = kRounding + kRounding / 2 + kFloatBound;
// Decoding rounds the output alone.
constexpr float kDecodeBound = kRounding / 2 + kFloatBound;
// A rotated pair is at most as long as (1, 1), below 2.
constexpr float kRotaryBound = kRounding + kFloatBound;

constexpr uint16_t kNan = 0x7fc0;
constexpr uint16_t kUntouched = 0x4321;

template <typename T>
DeviceSpan<const T> Span(const std::vector<T>& values) {
  return {values.data(), static_cast<int64_t>(values.size())};
}

float ScaleOf(int64_t head_dim) { return 9.0f / std::sqrt(static_cast<float>(head_dim)); }

// A matrix of bfloat16 whose rows have something behind them that is nobody's.
struct Matrix {
  Matrix(int64_t rows_in, int64_t cols_in, uint16_t fill)
      : rows(rows_in), cols(cols_in), stride(cols + 8), bits(static_cast<size_t>(rows * stride), fill) {}

  MatrixView view() { return {bits.data(), DType::kBF16, rows, cols, stride}; }
  uint16_t& At(int64_t row, int64_t column) { return bits[static_cast<size_t>(row * stride + column)]; }
  float Value(int64_t row, int64_t column) const {
    return F32FromBf16(bits[static_cast<size_t>(row * stride + column)]);
  }
  // `count` elements as float32.
  std::vector<float> Values(int64_t row, int64_t column, int64_t count) const {
    std::vector<float> values;
    values.reserve(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; ++i) values.push_back(Value(row, column + i));
    return values;
  }

  int64_t rows;
  int64_t cols;
  int64_t stride;
  std::vector<uint16_t> bits;
};

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  uint16_t Bits() { return Bf16FromF32(Float()); }
  float Float() { return std::uniform_real_distribution<float>(-1, 1)(engine_); }
  void Fill(Matrix& matrix) {
    for (int64_t row = 0; row < matrix.rows; ++row) {
      for (int64_t column = 0; column < matrix.cols; ++column) matrix.At(row, column) = Bits();
    }
  }
  std::vector<int32_t> Permutation(int64_t count) {
    std::vector<int32_t> order(static_cast<size_t>(count));
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), engine_);
    return order;
  }

 private:
  std::mt19937 engine_;
};

using Rows = std::vector<std::vector<float>>;

// The probabilities of keys and the mean of values under them. bias: of each key, or empty.
struct Attended {
  std::vector<float> probabilities;
  std::vector<float> out;
};
Attended Attend(const std::vector<float>& q, const Rows& keys, const Rows& values, float scale,
                const std::vector<float>& bias) {
  Attended result = {{}, std::vector<float>(q.size())};
  for (size_t key = 0; key < keys.size(); ++key) {
    const float dot = std::inner_product(q.begin(), q.end(), keys[key].begin(), 0.0f);
    result.probabilities.push_back(dot * scale + (bias.empty() ? 0.0f : bias[key]));
  }
  const float highest = *std::max_element(result.probabilities.begin(), result.probabilities.end());
  float sum = 0;
  for (float& p : result.probabilities) sum += p = std::exp(p - highest);
  for (size_t key = 0; key < keys.size(); ++key) {
    result.probabilities[key] /= sum;
    for (size_t i = 0; i < q.size(); ++i) result.out[i] += result.probabilities[key] * values[key][i];
  }
  return result;
}

// `expected` in row `row` of y, from column `column` on.
void ExpectRow(const Matrix& y, int64_t row, int64_t column, const std::vector<float>& expected, float bound) {
  for (size_t i = 0; i < expected.size(); ++i) {
    const float actual = y.Value(row, column + static_cast<int64_t>(i));
    const bool near = std::abs(actual - expected[i]) <= bound;  // NaN is not
    ASSERT_TRUE(near) << "row " << row << ", column " << column << " + " << i << ": " << actual << ", expected "
                      << expected[i];
  }
}

void ExpectNothingBehindRows(Matrix& y, uint16_t fill) {
  for (int64_t row = 0; row < y.rows; ++row) {
    for (int64_t column = y.cols; column < y.stride; ++column) ASSERT_EQ(y.At(row, column), fill) << "row " << row;
  }
}

// --- Runs of tokens.

struct EncodeCase {
  int64_t head_dim;
  int64_t heads;
  std::vector<int32_t> runs;
  bool bias;
  bool mean;
};

class CudaEncodeTest : public ::testing::TestWithParam<EncodeCase> {
 protected:
  // Runs, and a token behind the last that no run has.
  void Prepare() {
    for (const int32_t tokens : GetParam().runs) cu_tokens_.push_back(cu_tokens_.back() + tokens);
    for (int32_t t = 0; t < tokens(); ++t) key_bias_.push_back(2 * random_.Float());
    random_.Fill(qkv_ = Matrix(tokens() + 1, 3 * width(), kNan));
    std::fill_n(&qkv_.At(tokens(), 0), qkv_.cols, kNan);
    key_bias_.push_back(std::numeric_limits<float>::quiet_NaN());
    y_ = Matrix(tokens() + 1, width(), kUntouched);
    column_mean_.assign(static_cast<size_t>(tokens()) + 1, -1.0f);
  }
  void Run() {
    const EncodeCase& c = GetParam();
    std::vector<float> log_sums(static_cast<size_t>(c.heads * y_.rows), std::numeric_limits<float>::quiet_NaN());
    EncodeAttentionArgs args = {.qkv = qkv_.view(),
                                .cu_tokens = Span(cu_tokens_),
                                .max_tokens = *std::max_element(c.runs.begin(), c.runs.end()) + 70,
                                .heads = c.heads,
                                .head_dim = c.head_dim,
                                .scale = ScaleOf(c.head_dim),
                                .key_bias = {},
                                .column_mean = {},
                                .y = y_.view()};
    if (c.bias) args.key_bias = Span(key_bias_);
    if (c.mean) args.column_mean = {column_mean_.data(), y_.rows};
    EncodeAttention(nullptr, args, log_sums.data());
  }
  Rows Part(int64_t part, int64_t head, int64_t begin, int64_t end) const {
    Rows rows;
    for (int64_t t = begin; t < end; ++t) {
      rows.push_back(qkv_.Values(t, part * width() + head * GetParam().head_dim, GetParam().head_dim));
    }
    return rows;
  }
  // Looks at the outputs of tokens [begin, end); the mean probability of each key.
  std::vector<float> Check(int64_t begin, int64_t end) {
    const EncodeCase& c = GetParam();
    std::vector<float> mean(static_cast<size_t>(end - begin));
    const std::vector<float> bias(key_bias_.begin() + begin, key_bias_.begin() + end);
    for (int64_t head = 0; head < c.heads; ++head) {
      const Rows queries = Part(0, head, begin, end);
      const Rows keys = Part(1, head, begin, end);
      const Rows values = Part(2, head, begin, end);
      for (int64_t t = begin; t < end; ++t) {
        const Attended expected = Attend(queries[static_cast<size_t>(t - begin)], keys, values, ScaleOf(c.head_dim),
                                         c.bias ? bias : std::vector<float>());
        ExpectRow(y_, t, head * c.head_dim, expected.out, kTileBound);
        for (size_t key = 0; key < mean.size(); ++key) mean[key] += expected.probabilities[key];
      }
    }
    for (float& m : mean) m /= static_cast<float>((end - begin) * c.heads);
    return mean;
  }
  int32_t tokens() const { return cu_tokens_.back(); }
  int64_t width() const { return GetParam().heads * GetParam().head_dim; }

  Random random_{1};
  std::vector<int32_t> cu_tokens_ = {0};
  std::vector<float> key_bias_;
  Matrix qkv_{0, 0, 0};
  Matrix y_{0, 0, 0};
  std::vector<float> column_mean_;
};

TEST_P(CudaEncodeTest, IsThatOfPlainLoops) {
  Prepare();
  Run();
  for (size_t run = 0; run + 1 < cu_tokens_.size(); ++run) {
    const std::vector<float> mean = Check(cu_tokens_[run], cu_tokens_[run + 1]);
    ASSERT_FALSE(HasFatalFailure());
    for (size_t key = 0; GetParam().mean && key < mean.size(); ++key) {
      const size_t token = static_cast<size_t>(cu_tokens_[run]) + key;
      ASSERT_NEAR(column_mean_[token], mean[key], kFloatBound * std::max(mean[key], 1e-2f)) << "token " << token;
    }
  }
  ExpectNothingBehindRows(y_, kUntouched);
  for (int64_t column = 0; column < y_.cols; ++column) ASSERT_EQ(y_.At(tokens(), column), kUntouched);
  for (size_t token = 0; !GetParam().mean && token < column_mean_.size(); ++token) {
    ASSERT_EQ(column_mean_[token], -1.0f);
  }
  EXPECT_EQ(column_mean_.back(), -1.0f);
}

INSTANTIATE_TEST_SUITE_P(Shapes, CudaEncodeTest,
                         ::testing::Values(EncodeCase{64, 2, {1, 63, 64, 0, 65, 130}, false, false},
                                           EncodeCase{72, 1, {130, 1, 65}, false, true},
                                           EncodeCase{64, 3, {65, 17}, true, true},
                                           EncodeCase{72, 2, {63, 70}, true, false},  //
                                           EncodeCase{8, 2, {65, 130}, true, true},
                                           EncodeCase{96, 1, {64, 70}, false, true},
                                           EncodeCase{256, 1, {65}, true, true}));

TEST(CudaEncodeTest, NoRuns) {
  Matrix qkv(0, 24, 0);
  Matrix y(0, 8, 0);
  const std::vector<int32_t> cu_tokens = {0};
  EncodeAttention(nullptr,
                  {.qkv = qkv.view(),
                   .cu_tokens = Span(cu_tokens),
                   .max_tokens = 64,
                   .heads = 1,
                   .head_dim = 8,
                   .scale = 1,
                   .key_bias = {},
                   .column_mean = {},
                   .y = y.view()},
                  nullptr);
}

// --- Paged caches.

struct Sequence {
  int32_t queries;
  int32_t context;  // queries included
};

struct PagedCase {
  int64_t head_dim;
  int64_t heads;
  int64_t kv_heads;
  int64_t block_size;
  int64_t max_context;  // an upper bound, for planning
  std::vector<Sequence> sequences;
};

// Sequences in a cache of shuffled blocks, in the second of two groups; the first group's arrays lead nowhere.
class CudaPagedTest : public ::testing::TestWithParam<PagedCase> {
 protected:
  void Prepare() {
    const PagedCase& c = GetParam();
    for (const Sequence& s : c.sequences) {
      query_start_.push_back(query_start_.back() + s.queries);
      batch_.max_blocks = std::max(batch_.max_blocks, CeilDiv(s.context, c.block_size) + 1);
      blocks_ += CeilDiv(s.context, c.block_size);
    }
    batch_.tokens = query_start_.back();
    batch_.sequences = static_cast<int64_t>(c.sequences.size());
    batch_.max_context = c.max_context;
    Tables();
    // NaN wherever no sequence has a key.
    keys_ = Matrix(blocks_ * c.block_size, c.kv_heads * c.head_dim, kNan);
    keys_.stride = keys_.cols;
    values_ = keys_;
    for (size_t s = 0; s < c.sequences.size(); ++s) {
      for (int32_t key = 0; key < c.sequences[s].context; ++key) {
        for (int64_t column = 0; column < keys_.cols; ++column) {
          keys_.At(Slot(s, key), column) = random_.Bits();
          values_.At(Slot(s, key), column) = random_.Bits();
        }
      }
    }
    q_ = Matrix(batch_.tokens, c.heads * c.head_dim, kNan);
    random_.Fill(q_);
    y_ = Matrix(batch_.tokens, c.heads * c.head_dim, kUntouched);
  }

  // The block tables and lengths, with -1 for whatever isn't there.
  void Tables() {
    const std::vector<int32_t> order = random_.Permutation(blocks_);
    const auto& sequences = GetParam().sequences;
    context_length_.assign(2 * sequences.size(), -1);
    block_table_.assign(context_length_.size() * static_cast<size_t>(batch_.max_blocks), -1);
    size_t next = 0;
    for (size_t s = 0; s < sequences.size(); ++s) {
      context_length_[sequences.size() + s] = sequences[s].context;
      const int64_t blocks = CeilDiv(sequences[s].context, GetParam().block_size);
      for (int64_t b = 0; b < blocks; ++b) block_table_[Table(s) + static_cast<size_t>(b)] = order[next++];
    }
    batch_.query_start = Span(query_start_);
    batch_.context_length = Span(context_length_);
    batch_.block_table = Span(block_table_);
  }

  size_t Table(size_t sequence) const {
    return (GetParam().sequences.size() + sequence) * static_cast<size_t>(batch_.max_blocks);
  }
  int64_t Slot(size_t sequence, int64_t key) const {
    const int64_t size = GetParam().block_size;
    return block_table_[Table(sequence) + static_cast<size_t>(key / size)] * size + key % size;
  }
  CacheLayer Layer() {
    return {.keys = keys_.bits.data(),
            .values = values_.bits.data(),
            .kv_heads = GetParam().kv_heads,
            .head_dim = GetParam().head_dim,
            .block_size = GetParam().block_size,
            .group = 1};
  }
  PagedAttentionArgs Args() {
    return {.q = q_.view(),
            .heads = GetParam().heads,
            .scale = ScaleOf(GetParam().head_dim),
            .batch = &batch_,
            .y = y_.view()};
  }

  void CheckSequence(size_t s, int64_t head, float bound) {
    const PagedCase& c = GetParam();
    const int64_t column = head / (c.heads / c.kv_heads) * c.head_dim;
    const Sequence& sequence = c.sequences[s];
    Rows keys;
    Rows values;
    for (int32_t key = 0; key < sequence.context; ++key) {
      keys.push_back(keys_.Values(Slot(s, key), column, c.head_dim));
      values.push_back(values_.Values(Slot(s, key), column, c.head_dim));
    }
    for (int32_t query = sequence.queries - 1; query >= 0; --query) {
      const int64_t row = query_start_[s] + query;
      keys.resize(static_cast<size_t>(sequence.context - sequence.queries + query) + 1);
      const Attended expected =
          Attend(q_.Values(row, head * c.head_dim, c.head_dim), keys, values, ScaleOf(c.head_dim), {});
      ExpectRow(y_, row, head * c.head_dim, expected.out, bound);
    }
  }
  void Check(float bound) {
    for (size_t s = 0; s < GetParam().sequences.size(); ++s) {
      for (int64_t head = 0; head < GetParam().heads; ++head) {
        CheckSequence(s, head, bound);
        ASSERT_FALSE(HasFatalFailure()) << "sequence " << s << ", head " << head;
      }
    }
    ExpectNothingBehindRows(y_, kUntouched);
  }

  Random random_{2};
  int64_t blocks_ = 0;
  PagedBatch batch_;
  std::vector<int32_t> query_start_ = {0};
  std::vector<int32_t> context_length_;
  std::vector<int32_t> block_table_;
  Matrix keys_{0, 0, 0};
  Matrix values_{0, 0, 0};
  Matrix q_{0, 0, 0};
  Matrix y_{0, 0, 0};
};

class CudaPrefillTest : public CudaPagedTest {};

TEST_P(CudaPrefillTest, IsThatOfPlainLoops) {
  Prepare();
  PrefillAttention(nullptr, Args(), Layer());
  Check(kTileBound);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, CudaPrefillTest,
    ::testing::Values(PagedCase{64, 3, 1, 16, 300, {{1, 1}, {63, 63}, {130, 130}, {1, 257}, {0, 5}, {65, 256}}},
                      PagedCase{64, 9, 3, 32, 600, {{64, 64}, {3, 600}}},  //
                      PagedCase{72, 2, 2, 16, 200, {{65, 130}}},           //
                      PagedCase{8, 4, 1, 16, 255, {{65, 70}, {2, 255}}},   //
                      PagedCase{96, 2, 2, 32, 100, {{64, 70}}},            //
                      PagedCase{136, 1, 1, 16, 80, {{66, 66}}}));

class CudaInPlaceTest : public CudaPagedTest {};

// q may be y.
TEST_P(CudaInPlaceTest, GivesTheSame) {
  Prepare();
  PrefillAttention(nullptr, Args(), Layer());
  Matrix both = q_;
  PagedAttentionArgs args = Args();
  args.q = both.view();
  args.y = both.view();
  PrefillAttention(nullptr, args, Layer());
  for (int64_t row = 0; row < y_.rows; ++row) {
    for (int64_t column = 0; column < y_.cols; ++column) ASSERT_EQ(both.At(row, column), y_.At(row, column));
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, CudaInPlaceTest, ::testing::Values(PagedCase{8, 4, 2, 16, 70, {{65, 70}}}));

class CudaDecodeTest : public CudaPagedTest {
 protected:
  // Twice: what one run leaves in its scratch memory is what the next one finds.
  void Decode(const PagedAttentionArgs& args, const RotaryStoreArgs* newest) {
    const DecodeScratch sizes = DecodeScratchOf(batch_.sequences, GetParam().heads, Layer(), GetParam().max_context);
    std::vector<float> partial(static_cast<size_t>(sizes.floats), std::numeric_limits<float>::quiet_NaN());
    std::vector<uint32_t> counters(static_cast<size_t>(sizes.counters), 0);
    partial.push_back(-1);
    counters.push_back(77);
    for (int run = 0; run < 2; ++run) DecodeAttention(nullptr, args, Layer(), partial.data(), counters.data(), newest);
    EXPECT_EQ(partial.back(), -1);
    EXPECT_EQ(counters.back(), 77u);
    counters.pop_back();
    EXPECT_EQ(std::count(counters.begin(), counters.end(), 0u), sizes.counters);
  }
};

TEST_P(CudaDecodeTest, IsThatOfPlainLoops) {
  Prepare();
  Decode(Args(), nullptr);
  Check(kDecodeBound);
}

class CudaNewestKeysTest : public CudaDecodeTest {};

// With rotary positions and the newest keys it gives, to the bit, what RotaryStore and then DecodeAttention give.
TEST_P(CudaNewestKeysTest, ComeAlong) {
  Prepare();
  const PagedCase& c = GetParam();
  std::vector<int32_t> positions;
  std::vector<int32_t> slots(static_cast<size_t>(batch_.tokens), -1);
  for (size_t s = 0; s < c.sequences.size(); ++s) {
    positions.push_back(c.sequences[s].context - 1);
    slots.push_back(static_cast<int32_t>(Slot(s, positions.back())));
  }
  std::vector<float> frequencies;
  frequencies.reserve(static_cast<size_t>(c.head_dim / 2));
  for (int64_t i = 0; i < c.head_dim / 2; ++i) frequencies.push_back(std::pow(0.7f, static_cast<float>(i)));
  batch_.positions = Span(positions);
  batch_.slots = Span(slots);
  Matrix qkv(batch_.tokens, (c.heads + 2 * c.kv_heads) * c.head_dim, kUntouched);
  random_.Fill(qkv);
  for (size_t s = 0; s < c.sequences.size(); ++s) {  // nothing is there yet
    std::fill_n(&keys_.At(Slot(s, positions[s]), 0), keys_.cols, kNan);
    std::fill_n(&values_.At(Slot(s, positions[s]), 0), values_.cols, kNan);
  }
  const Matrix before = qkv;
  const RotaryStoreArgs rotary = {
      .qkv = qkv.view(), .heads = c.heads, .inverse_frequency = Span(frequencies), .batch = &batch_};
  PagedAttentionArgs args = Args();
  args.q = qkv.view().Cols(0, c.heads * c.head_dim);
  Decode(args, &rotary);
  const Matrix fused[] = {y_, keys_, values_};
  EXPECT_EQ(qkv.bits, before.bits);
  RotaryStore(nullptr, rotary, Layer());
  Decode(args, nullptr);
  EXPECT_EQ(fused[0].bits, y_.bits);
  EXPECT_EQ(fused[1].bits, keys_.bits);
  EXPECT_EQ(fused[2].bits, values_.bits);
}

std::vector<Sequence> Contexts(const std::vector<int32_t>& contexts) {
  std::vector<Sequence> sequences;
  sequences.reserve(contexts.size());
  for (const int32_t context : contexts) sequences.push_back({1, context});
  return sequences;
}

// `count` sequences whose contexts are up to `longest`.
std::vector<Sequence> ManyContexts(int32_t count, int32_t longest) {
  std::vector<Sequence> sequences;
  sequences.reserve(static_cast<size_t>(count));
  for (int32_t s = 0; s < count; ++s) sequences.push_back({1, 1 + s * 37 % longest});
  return sequences;
}

// Contexts at the ends of what a warp, a block and a part have.
const std::vector<Sequence> kEdges = Contexts({1, 15, 16, 17, 63, 64, 65, 127, 128, 129, 255, 256, 257, 320});

INSTANTIATE_TEST_SUITE_P(
    Shapes, CudaDecodeTest,
    ::testing::Values(PagedCase{64, 9, 3, 16, 1024, Contexts({1, 255, 256, 257, 600})},
                      PagedCase{64, 15, 5, 32, 512, Contexts({300, 31})},
                      PagedCase{64, 2, 2, 16, 256, Contexts({256, 1, 77})},
                      PagedCase{64, 4, 1, 32, 600, Contexts({600})}, PagedCase{8, 12, 1, 16, 300, Contexts({257, 3})},
                      PagedCase{72, 2, 2, 16, 300, Contexts({300})}, PagedCase{96, 4, 1, 32, 255, Contexts({255})},
                      PagedCase{136, 2, 1, 16, 300, Contexts({300})}, PagedCase{64, 3, 1, 16, 512, kEdges},  //
                      PagedCase{64, 3, 1, 24, 256, Contexts({100, 255, 256, 1})}, PagedCase{128, 4, 2, 16, 512, kEdges},
                      PagedCase{256, 4, 2, 16, 512, kEdges}));

INSTANTIATE_TEST_SUITE_P(
    HeadDims, CudaDecodeTest,
    ::testing::Values(PagedCase{16, 3, 1, 16, 200, Contexts({200})}, PagedCase{24, 3, 1, 16, 300, Contexts({300})},
                      PagedCase{40, 5, 1, 16, 300, Contexts({130})}, PagedCase{56, 1, 1, 16, 300, Contexts({77})},
                      PagedCase{80, 3, 1, 32, 300, Contexts({300})}, PagedCase{104, 2, 1, 16, 200, Contexts({200})},
                      PagedCase{128, 7, 1, 16, 300, Contexts({300})}, PagedCase{200, 3, 1, 16, 200, Contexts({200})},
                      PagedCase{256, 5, 1, 16, 300, Contexts({300})}));

std::vector<PagedCase> Groups() {
  std::vector<PagedCase> cases;
  for (int64_t group = 1; group <= 20; ++group) cases.push_back({16, 2 * group, 2, 16, 300, Contexts({130, 40})});
  cases.push_back({128, 16, 1, 16, 300, Contexts({260})});
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Groups, CudaDecodeTest, ::testing::ValuesIn(Groups()));

INSTANTIATE_TEST_SUITE_P(Parts, CudaDecodeTest,
                         ::testing::Values(PagedCase{16, 1, 1, 16, 4096, Contexts({4001, 2100})},
                                           PagedCase{64, 3, 1, 32, 16384, Contexts({9000})},
                                           PagedCase{128, 6, 1, 32, 2048, Contexts({2048})},
                                           PagedCase{16, 9, 3, 16, 300, ManyContexts(70, 300)},
                                           PagedCase{16, 3, 3, 16, 200, ManyContexts(90, 200)}));

INSTANTIATE_TEST_SUITE_P(
    Shapes, CudaNewestKeysTest,
    ::testing::Values(PagedCase{64, 9, 3, 16, 1024, Contexts({1, 255, 256, 257, 600})},
                      PagedCase{64, 15, 5, 32, 512, Contexts({300, 31})},
                      PagedCase{64, 12, 1, 16, 300, Contexts({257, 3})}, PagedCase{96, 4, 1, 32, 255, Contexts({255})},
                      PagedCase{256, 2, 1, 16, 300, Contexts({300})}, PagedCase{64, 3, 1, 16, 512, kEdges},
                      PagedCase{16, 20, 1, 24, 256, Contexts({200, 1})}, PagedCase{80, 2, 1, 16, 512, kEdges},
                      PagedCase{128, 6, 1, 16, 256, Contexts({1, 17, 129, 256})},
                      PagedCase{256, 9, 1, 16, 512, Contexts({1, 64, 65})},
                      PagedCase{16, 3, 3, 16, 300, ManyContexts(70, 300)}));

TEST(CudaDecodePlanTest, SplitsLongContextsUntilThereAreBlocksEnough) {
  const auto plan = [](int64_t sequences, int64_t heads, int64_t kv_heads, int64_t head_dim, int64_t context) {
    const attention::DecodePlan p = attention::PlanDecode(sequences, heads, kv_heads, head_dim, context);
    return std::vector<int64_t>{p.passes, p.warps, int64_t{1} << p.part_shift, p.parts};
  };
  using Numbers = std::vector<int64_t>;
  // One block each, with many warps where there are few.
  EXPECT_EQ(plan(1, 9, 3, 64, 256), Numbers({1, 16, 256, 1}));
  EXPECT_EQ(plan(64, 9, 3, 64, 256), Numbers({1, 8, 256, 1}));
  EXPECT_EQ(plan(512, 9, 3, 64, 256), Numbers({1, 4, 256, 1}));
  EXPECT_EQ(plan(1, 8, 2, 128, 100), Numbers({1, 8, 128, 1}));
  EXPECT_EQ(plan(1, 8, 2, 256, 1), Numbers({1, 4, 64, 1}));
  // Parts of 64 keys, or of more where there would be too many.
  EXPECT_EQ(plan(1, 9, 3, 64, 257), Numbers({1, 4, 64, 5}));
  EXPECT_EQ(plan(1, 9, 3, 64, 2048), Numbers({1, 4, 64, 32}));
  EXPECT_EQ(plan(1, 9, 3, 64, 16384), Numbers({1, 4, 256, 64}));
  EXPECT_EQ(plan(64, 9, 3, 64, 2048), Numbers({1, 4, 512, 4}));
  EXPECT_EQ(plan(64, 32, 32, 64, 2048), Numbers({1, 4, 2048, 1}));
  EXPECT_EQ(plan(1, 20, 1, 64, 2048), Numbers({3, 4, 64, 32}));
}

// --- Rotary positions.

struct RotaryCase {
  int64_t head_dim;
  int64_t heads;
  int64_t kv_heads;
};

class CudaRotaryTest : public ::testing::TestWithParam<RotaryCase> {
 protected:
  // A head of a row, rotated by plain loops.
  std::vector<float> Rotated(const Matrix& qkv, int64_t row, int64_t head) const {
    const auto half = static_cast<size_t>(GetParam().head_dim / 2);
    std::vector<float> x = qkv.Values(row, head * GetParam().head_dim, GetParam().head_dim);
    for (size_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(positions_[static_cast<size_t>(row)]) * frequencies_[i];
      const float first = x[i];
      const float second = x[i + half];
      x[i] = first * std::cos(angle) - second * std::sin(angle);
      x[i + half] = second * std::cos(angle) + first * std::sin(angle);
    }
    return x;
  }

  std::vector<int32_t> positions_ = {0, 1, 77, 16383, 5};
  std::vector<float> frequencies_;
};

TEST_P(CudaRotaryTest, IsThatOfPlainLoops) {
  const RotaryCase& c = GetParam();
  const auto tokens = static_cast<int64_t>(positions_.size());
  for (int64_t i = 0; i < c.head_dim / 2; ++i) {
    frequencies_.push_back(std::pow(1e4f, -2 * static_cast<float>(i) / static_cast<float>(c.head_dim)));
  }
  // The second of two groups; -1 leads in front of the cache.
  const std::vector<int32_t> slots = {-1, -1, -1, -1, -1, 3, 0, 6, 2, 5};
  Matrix keys(7, c.kv_heads * c.head_dim, kUntouched);
  keys.stride = keys.cols;
  Matrix values = keys;
  Matrix qkv(tokens, (c.heads + 2 * c.kv_heads) * c.head_dim, kUntouched);
  Random(3).Fill(qkv);
  const Matrix before = qkv;
  PagedBatch batch;
  batch.tokens = tokens;
  batch.positions = Span(positions_);
  batch.slots = Span(slots);
  RotaryStore(nullptr, {.qkv = qkv.view(), .heads = c.heads, .inverse_frequency = Span(frequencies_), .batch = &batch},
              {.keys = keys.bits.data(),
               .values = values.bits.data(),
               .kv_heads = c.kv_heads,
               .head_dim = c.head_dim,
               .block_size = 16,
               .group = 1});
  for (int64_t t = 0; t < tokens; ++t) {
    const int64_t slot = slots[static_cast<size_t>(tokens + t)];
    for (int64_t head = 0; head < c.heads; ++head) {
      ExpectRow(qkv, t, head * c.head_dim, Rotated(before, t, head), kRotaryBound);
    }
    for (int64_t head = 0; head < c.kv_heads; ++head) {
      const int64_t value = c.heads + c.kv_heads + head;
      ExpectRow(keys, slot, head * c.head_dim, Rotated(before, t, c.heads + head), kRotaryBound);
      ExpectRow(values, slot, head * c.head_dim, before.Values(t, value * c.head_dim, c.head_dim), 0);
    }
  }
  ExpectNothingBehindRows(qkv, kUntouched);
  for (const int64_t slot : {1, 4}) {  // nobody's
    for (int64_t column = 0; column < keys.cols; ++column) {
      ASSERT_EQ(keys.At(slot, column), kUntouched);
      ASSERT_EQ(values.At(slot, column), kUntouched);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, CudaRotaryTest,
                         ::testing::Values(RotaryCase{64, 9, 3}, RotaryCase{72, 2, 2}, RotaryCase{8, 4, 1},
                                           RotaryCase{96, 15, 5}));

}  // namespace
}  // namespace eyeshot::cuda
