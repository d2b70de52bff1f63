#include "formats/gguf.h"

#include <gtest/gtest.h>

#include <bit>
#include <string>
#include <vector>

#include "base/limits.h"
#include "formats/gguf_testing.h"
#include "formats/testing.h"

namespace eyeshot {
namespace {

using testing::ExpectError;
using testing::GgufBuilder;
using testing::TempDir;

constexpr uint32_t kF32 = 0;
constexpr uint32_t kQ8_0 = 8;

Result<GgufFile> Parse(const std::string& bytes) {
  return GgufFile::Parse({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, "m.gguf");
}

TEST(GgufTest, ReadsMetadataOfEveryType) {
  GgufBuilder builder;
  const struct {
    const char* key;
    GgufType type;
    std::string bytes;
    double value;
  } numbers[] = {{"u8", GgufType::kUint8, GgufBuilder::Number(200, 1), 200},
                 {"i8", GgufType::kInt8, GgufBuilder::Number(0xfe, 1), -2},
                 {"u16", GgufType::kUint16, GgufBuilder::Number(60000, 2), 60000},
                 {"i16", GgufType::kInt16, GgufBuilder::Number(0xfffd, 2), -3},
                 {"u32", GgufType::kUint32, GgufBuilder::Number(0xfffffffe, 4), 4294967294},
                 {"i32", GgufType::kInt32, GgufBuilder::Number(0xfffffffc, 4), -4},
                 {"u64", GgufType::kUint64, GgufBuilder::Number(1ull << 40, 8), 1099511627776},
                 {"i64", GgufType::kInt64, GgufBuilder::Number(~0ull, 8), -1},
                 {"f32", GgufType::kFloat32, GgufBuilder::Number(std::bit_cast<uint32_t>(0.5f), 4), 0.5},
                 {"f64", GgufType::kFloat64, GgufBuilder::Number(std::bit_cast<uint64_t>(-0.25), 8), -0.25}};
  for (const auto& number : numbers) builder.Raw(number.key, number.type, number.bytes);
  builder.Bool("yes", true).String("name", "Smol").Strings("list", {"a", "", "ccc"}).Integers("ids", {1, -2, 3});
  const std::string bytes = builder.Bytes();
  const auto file = Parse(bytes);
  ASSERT_TRUE(file.ok()) << file.status().message();
  for (const auto& number : numbers) {
    const auto value = file->NumberOr(number.key, -1e15, 1e15, 77);
    ASSERT_TRUE(value.ok()) << value.status().message();
    EXPECT_EQ(*value, number.value) << number.key;
    if (number.key[0] == 'f') continue;
    const auto integer = file->Integer(number.key, -10, 1ll << 50);
    ASSERT_TRUE(integer.ok()) << integer.status().message();
    EXPECT_EQ(static_cast<double>(*integer), number.value) << number.key;
  }
  EXPECT_TRUE(*file->BoolOr("yes", false));
  EXPECT_EQ(*file->String("name"), "Smol");
  EXPECT_EQ(*file->Strings("list", 3, 3), (std::vector<std::string_view>{"a", "", "ccc"}));
  EXPECT_EQ(*file->Numbers("ids", 3), (std::vector<double>{1, -2, 3}));
  EXPECT_EQ(*file->IntegerOr("absent", 0, 9, 5), 5);
  EXPECT_EQ(*file->StringOr("absent", "x"), "x");
  EXPECT_EQ(file->Describe("list"), "an array of 3 strings");
}

TEST(GgufTest, ReadsTensorsWithTheFilesFirstDimensionLast) {
  const std::string floats = GgufBuilder::Number(std::bit_cast<uint32_t>(1.5f), 4) + std::string(20, '\0');
  const std::string blocks(2 * 34, '\1');
  const std::string bytes =
      GgufBuilder(2).Tensor("a", {3, 2}, kF32, floats).Tensor("b", {32, 2}, kQ8_0, blocks).Bytes();
  const auto file = Parse(bytes);
  ASSERT_TRUE(file.ok()) << file.status().message();
  const HostTensor* a = file->FindTensor("a");
  const HostTensor* b = file->FindTensor("b");
  ASSERT_TRUE(a != nullptr && b != nullptr);
  EXPECT_EQ(a->shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(a->dtype, DType::kF32);
  float first = 0;
  ConvertToF32(a->dtype, a->data, 1, &first);
  EXPECT_EQ(first, 1.5f);
  EXPECT_EQ(b->dtype, DType::kQ8_0);
  EXPECT_EQ(b->bytes(), blocks.size());
  EXPECT_EQ(file->parameters(), 6 + 64);
  EXPECT_EQ(file->FindTensor("c"), nullptr);
}

TEST(GgufTest, OpensAFile) {
  const TempDir dir;
  const auto file =
      GgufFile::Open(dir.Write("m.gguf", GgufBuilder().Tensor("a", {1}, kF32, std::string(4, '\0')).Bytes()));
  ASSERT_TRUE(file.ok()) << file.status().message();
  file->Release(*file->FindTensor("a"));
  ExpectError(GgufFile::Open(dir.File("none.gguf")).status(), StatusCode::kNotFound, {"none.gguf"});
}

TEST(GgufTest, ValuesOfTheWrongKindAreNamed) {
  const std::string bytes = GgufBuilder().Integer("n", 70).String("s", "text").Float("f", 2).Bytes();
  const auto file = Parse(bytes);
  ASSERT_TRUE(file.ok());
  ExpectError(file->Integer("s", 0, 1).status(), StatusCode::kCorrupt, {"m.gguf", "s is \"text\"", "an integer"});
  ExpectError(file->Integer("f", 0, 9).status(), StatusCode::kCorrupt, {"f is 2"});
  ExpectError(file->Integer("n", 0, 69).status(), StatusCode::kLimitExceeded, {"n is 70", "[0, 69]"});
  ExpectError(file->Integer("absent", 0, 1).status(), StatusCode::kNotFound, {"absent"});
  ExpectError(file->NumberOr("f", 0, 1, 0).status(), StatusCode::kLimitExceeded, {"f is 2"});
  ExpectError(file->String("n").status(), StatusCode::kCorrupt, {"n is 70"});
  ExpectError(file->BoolOr("n", true).status(), StatusCode::kCorrupt, {"n is 70"});
  ExpectError(file->Strings("s", 1, 1).status(), StatusCode::kCorrupt, {"s is"});
}

TEST(GgufTest, EveryCutIsAnError) {
  const std::string bytes = GgufBuilder()
                                .Integer("n", 1)
                                .Strings("list", {"a", "bb"})
                                .Integers("ids", {1, 2})
                                .Tensor("a", {3, 2}, kF32, std::string(24, 'x'))
                                .Bytes();
  ASSERT_TRUE(Parse(bytes).ok());
  for (size_t size = 0; size < bytes.size(); ++size) {
    const std::string cut = bytes.substr(0, size);
    EXPECT_FALSE(Parse(cut).ok()) << size;
  }
}

TEST(GgufTest, RefusesWhatIsNoGgufOfThisMachine) {
  ExpectError(Parse("GGML1234").status(), StatusCode::kCorrupt, {"does not begin with"});
  ExpectError(Parse("").status(), StatusCode::kCorrupt, {"does not begin with"});
  ExpectError(Parse(GgufBuilder(1).Bytes()).status(), StatusCode::kUnsupported, {"version 1"});
  ExpectError(Parse(GgufBuilder(4).Bytes()).status(), StatusCode::kUnsupported, {"version 4"});
  ExpectError(Parse(GgufBuilder(0x03000000).Bytes()).status(), StatusCode::kUnsupported, {"big-endian"});
  ExpectError(Parse(GgufBuilder().Integer("split.count", 3).Bytes()).status(), StatusCode::kUnsupported,
              {"one of 3 parts"});
  ExpectError(Parse(GgufBuilder().Integer("general.alignment", 24).Bytes()).status(), StatusCode::kCorrupt,
              {"general.alignment is 24", "power of two"});
}

TEST(GgufTest, RefusesWhatLiesAboutItself) {
  const auto tensor = [](const std::vector<uint64_t>& dims, uint32_t type, int64_t offset = -1) {
    return Parse(GgufBuilder().Tensor("t", dims, type, std::string(64, '\0'), offset).Bytes()).status();
  };
  EXPECT_TRUE(tensor({16}, kF32).ok());
  ExpectError(tensor({17}, kF32), StatusCode::kCorrupt, {"t needs 68 bytes", "64 bytes of data"});
  ExpectError(tensor({16}, kF32, 1 << 20), StatusCode::kCorrupt, {"needs 64 bytes from 1048576 on"});
  ExpectError(tensor({1}, kF32, 8), StatusCode::kCorrupt, {"offset 8", "multiple of 32"});
  ExpectError(tensor({48}, kQ8_0), StatusCode::kCorrupt, {"rows of 48 elements", "Q8_0", "multiple of 32"});
  ExpectError(tensor({32}, 10), StatusCode::kUnsupported, {"Q2_K"});
  ExpectError(tensor({32}, 999), StatusCode::kCorrupt, {"type 999"});
  ExpectError(tensor({1ull << 31, 1ull << 31}, kF32), StatusCode::kLimitExceeded, {"more than"});
  ExpectError(tensor({1ull << 40}, kF32), StatusCode::kLimitExceeded, {"dimension of"});
  ExpectError(tensor(std::vector<uint64_t>(9, 1), kF32), StatusCode::kLimitExceeded, {"9 dimensions"});

  ExpectError(Parse(GgufBuilder().Integer("a", 1).Integer("a", 2).Bytes()).status(), StatusCode::kCorrupt,
              {"key a stands twice"});
  const std::string one(4, '\0');
  ExpectError(Parse(GgufBuilder().Tensor("a", {1}, kF32, one).Tensor("a", {1}, kF32, one).Bytes()).status(),
              StatusCode::kCorrupt, {"tensor a stands twice"});
  ExpectError(Parse(GgufBuilder().Raw("a", static_cast<GgufType>(13), "").Bytes()).status(), StatusCode::kCorrupt,
              {"type 13"});
  ExpectError(Parse(GgufBuilder().Integer(std::string(limits::kMaxGgufKeyBytes + 1, 'k'), 1).Bytes()).status(),
              StatusCode::kLimitExceeded, {"257 bytes long"});
  // A count that would take more memory than there is.
  ExpectError(
      Parse(GgufBuilder().Raw("a", GgufType::kArray, GgufBuilder::Number(8, 4) + GgufBuilder::Number(~0ull, 8)).Bytes())
          .status(),
      StatusCode::kCorrupt, {"within a"});
  std::string nested = GgufBuilder::Number(9, 4) + GgufBuilder::Number(1, 8);
  for (int i = 0; i < limits::kMaxGgufArrayDepth; ++i) nested += GgufBuilder::Number(9, 4) + GgufBuilder::Number(1, 8);
  ExpectError(Parse(GgufBuilder().Raw("a", GgufType::kArray, nested).Bytes()).status(), StatusCode::kLimitExceeded,
              {"nests arrays"});
}

TEST(GgufTest, ManyKeysAndTensorsAreRefusedBeforeTheyAreRead) {
  const std::string header = "GGUF" + GgufBuilder::Number(3, 4);
  ExpectError(Parse(header + GgufBuilder::Number(limits::kMaxTensors + 1, 8) + GgufBuilder::Number(0, 8)).status(),
              StatusCode::kLimitExceeded, {"tensors"});
  ExpectError(Parse(header + GgufBuilder::Number(0, 8) + GgufBuilder::Number(limits::kMaxGgufKeys + 1, 8)).status(),
              StatusCode::kLimitExceeded, {"keys"});
}

}  // namespace
}  // namespace eyeshot
