#include "formats/safetensors.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "base/limits.h"
#include "formats/testing.h"

namespace eyeshot {
namespace {

using testing::ExpectError;
using testing::TempDir;

// A file whose header is `json`, with `data_bytes` bytes of data that count up.
std::string MakeFile(const std::string& json, size_t data_bytes) {
  std::string file;
  for (size_t i = 0; i < 8; ++i) file += static_cast<char>((json.size() >> (8 * i)) & 0xff);
  file += json;
  for (size_t i = 0; i < data_bytes; ++i) file += static_cast<char>(i);
  return file;
}

Result<std::vector<HostTensor>> Parse(const std::string& file) {
  return ParseSafetensors({reinterpret_cast<const uint8_t*>(file.data()), file.size()}, "m.safetensors");
}

// An entry of a header.
std::string Entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return fmt::format(R"("{}":{{"dtype":"{}","shape":{},"data_offsets":{}}})", name, dtype, shape, offsets);
}

TEST(SafetensorsTest, ReadsTensors) {
  const std::string file =
      MakeFile("{\"__metadata__\":{\"format\":\"pt\"}," + Entry("b", "BF16", "[2,2]", "[4,12]") + "," +
                   Entry("a", "F32", "[]", "[0,4]") + "," + Entry("empty", "I64", "[0,5]", "[12,12]") + "}   ",
               12);
  const auto tensors = Parse(file);
  ASSERT_TRUE(tensors.ok()) << tensors.status().message();
  ASSERT_EQ(tensors->size(), 3u);
  EXPECT_EQ((*tensors)[0].name, "a");
  EXPECT_EQ((*tensors)[0].elements(), 1);
  EXPECT_EQ((*tensors)[1].name, "b");
  EXPECT_EQ((*tensors)[1].dtype, DType::kBF16);
  EXPECT_EQ((*tensors)[1].shape, (std::vector<int64_t>{2, 2}));
  EXPECT_EQ((*tensors)[1].data[0], 4) << "data points into the file, where it may be unaligned";
  EXPECT_EQ((*tensors)[2].bytes(), 0u);
}

TEST(SafetensorsTest, KnowsEveryDType) {
  const std::vector<std::pair<std::string, DType>> names = {
      {"F32", DType::kF32},   {"F16", DType::kF16},        {"BF16", DType::kBF16},     {"F64", DType::kF64},
      {"I8", DType::kI8},     {"U8", DType::kU8},          {"I16", DType::kI16},       {"U16", DType::kU16},
      {"I32", DType::kI32},   {"U32", DType::kU32},        {"I64", DType::kI64},       {"U64", DType::kU64},
      {"BOOL", DType::kBool}, {"F8_E4M3", DType::kF8E4M3}, {"F8_E5M2", DType::kF8E5M2}};
  for (const auto& [name, dtype] : names) {
    const size_t bytes = 3 * DTypeBytes(dtype);
    const std::string entry = Entry("t", name, "[3]", fmt::format("[0,{}]", bytes));
    const auto tensors = Parse(MakeFile(fmt::format("{{{}}}", entry), bytes));
    ASSERT_TRUE(tensors.ok()) << tensors.status().message();
    EXPECT_EQ(tensors->front().dtype, dtype);
  }
}

TEST(SafetensorsTest, AcceptsAFileWithoutTensors) {
  const auto tensors = Parse(MakeFile("{}", 0));
  ASSERT_TRUE(tensors.ok());
  EXPECT_TRUE(tensors->empty());
}

struct BadHeader {
  const char* what;
  std::string json;
  size_t data_bytes;
  StatusCode code;
  std::vector<std::string> message;
};

std::vector<BadHeader> BadHeaders() {
  const auto one = [](const std::string& entry) { return fmt::format("{{{}}}", entry); };
  const std::string deep = std::string(100000, '[');
  std::vector<BadHeader> bad = {
      {"no JSON", "{\"a\":", 0, StatusCode::kCorrupt, {"not valid JSON at byte"}},
      {"no object", "[1]", 0, StatusCode::kCorrupt, {"doesn't begin with '{'"}},
      {"empty", "", 0, StatusCode::kCorrupt, {"doesn't begin with '{'"}},
      {"two objects", "{}{}", 0, StatusCode::kCorrupt, {"not valid JSON"}},
      {"entry is a number", one("\"a\":1"), 0, StatusCode::kCorrupt, {"'a'", "1 where"}},
      {"entry is null", one("\"a\":null"), 0, StatusCode::kCorrupt, {"'a'", "null"}},
      {"entry is a list", one("\"a\":[]"), 0, StatusCode::kCorrupt, {"'a'", "an array"}},
      {"metadata is a list", one("\"__metadata__\":[]"), 0, StatusCode::kCorrupt, {"an array"}},
      {"metadata holds a number", one("\"__metadata__\":{\"a\":1}"), 0, StatusCode::kCorrupt, {"1 where"}},
      {"metadata holds an object", one("\"__metadata__\":{\"a\":{}}"), 0, StatusCode::kCorrupt, {"an object"}},
      {"deep nesting", one("\"a\":{\"shape\":" + deep), 0, StatusCode::kCorrupt, {"'a'", "an array"}},
      {"empty entry", one("\"a\":{}"), 0, StatusCode::kCorrupt, {"'a' lacks a whole 'data_offsets'"}},
      {"no dtype", one(R"("a":{"shape":[1],"data_offsets":[0,4]})"), 4, StatusCode::kCorrupt, {"'a'", "'dtype'"}},
      {"no shape", one(R"("a":{"dtype":"F32","data_offsets":[0,4]})"), 4, StatusCode::kCorrupt, {"'a'", "'shape'"}},
      {"no offsets", one(R"("a":{"dtype":"F32","shape":[1]})"), 4, StatusCode::kCorrupt, {"'a'", "'data_offsets'"}},
      {"unknown key", one(R"("a":{"stride":[1]})"), 4, StatusCode::kCorrupt, {"'a'", "unknown key 'stride'"}},
      {"key twice", one(R"("a":{"shape":[1],"shape":[1]})"), 4, StatusCode::kCorrupt, {"'a'", "'shape' twice"}},
      {"dtype a number", one(R"("a":{"dtype":4})"), 4, StatusCode::kCorrupt, {"'a'", "4 where"}},
      {"shape a string", one(R"("a":{"shape":"1"})"), 4, StatusCode::kCorrupt, {"'a'", "a string"}},
      {"one offset", one(Entry("a", "F32", "[1]", "[0]")), 4, StatusCode::kCorrupt, {"'a'", "'data_offsets'"}},
      {"three offsets", one(Entry("a", "F32", "[1]", "[0,4,8]")), 4, StatusCode::kCorrupt, {"'a'", "two offsets"}},
      {"negative offset", one(Entry("a", "F32", "[1]", "[-4,0]")), 4, StatusCode::kCorrupt, {"'a'", "-4"}},
      {"fractional offset", one(Entry("a", "F32", "[1]", "[0.0,4]")), 4, StatusCode::kCorrupt, {"'a'", "0.0"}},
      {"negative dimension", one(Entry("a", "F32", "[-1]", "[0,4]")), 4, StatusCode::kCorrupt, {"'a'", "-1"}},
      {"unknown dtype", one(Entry("a", "F4", "[1]", "[0,4]")), 4, StatusCode::kUnsupported, {"'a'", "'F4'", "BF16"}},
      {"lower-case dtype", one(Entry("a", "f32", "[1]", "[0,4]")), 4, StatusCode::kUnsupported, {"'f32'"}},
      {"offsets backwards", one(Entry("a", "F32", "[1]", "[4,0]")), 4, StatusCode::kCorrupt, {"'a'", "[4, 0]"}},
      {"beyond the file",
       one(Entry("a", "F32", "[2]", "[0,8]")),
       4,
       StatusCode::kCorrupt,
       {"'a'", "[0, 8]", "4 bytes"}},
      {"offset near 2^64", one(Entry("a", "F32", "[1]", "[0,18446744073709551615]")), 4, StatusCode::kCorrupt, {"'a'"}},
      {"offset beyond 2^64",
       one(Entry("a", "F32", "[1]", "[0,18446744073709551616]")),
       4,
       StatusCode::kCorrupt,
       {"'a'"}},
      {"size and shape differ", one(Entry("a", "F32", "[3]", "[0,4]")), 4, StatusCode::kCorrupt, {"'a'", "12 bytes"}},
      {"size and dtype differ", one(Entry("a", "F64", "[1]", "[0,4]")), 4, StatusCode::kCorrupt, {"'a'", "8 bytes"}},
      {"hole at the start", one(Entry("a", "F32", "[1]", "[4,8]")), 8, StatusCode::kCorrupt, {"'a'", "hole"}},
      {"hole at the end", one(Entry("a", "F32", "[1]", "[0,4]")), 8, StatusCode::kCorrupt, {"byte 4", "has 8"}},
      {"hole between",
       one(Entry("a", "F32", "[1]", "[0,4]") + "," + Entry("b", "F32", "[1]", "[8,12]")),
       12,
       StatusCode::kCorrupt,
       {"'b'", "hole", "4"}},
      {"overlap",
       one(Entry("a", "F32", "[2]", "[0,8]") + "," + Entry("b", "F32", "[2]", "[4,12]")),
       12,
       StatusCode::kCorrupt,
       {"'b'", "inside"}},
      {"same place",
       one(Entry("a", "F32", "[1]", "[0,4]") + "," + Entry("b", "F32", "[1]", "[0,4]")),
       4,
       StatusCode::kCorrupt,
       {"'b'", "inside"}},
      {"name twice",
       one(Entry("a", "F32", "[1]", "[0,4]") + "," + Entry("a", "F32", "[1]", "[4,8]")),
       8,
       StatusCode::kCorrupt,
       {"'a' stands twice"}},
      {"no name", one(Entry("", "F32", "[1]", "[0,4]")), 4, StatusCode::kCorrupt, {"without a name"}},
      {"product overflows",
       one(Entry("a", "F32", "[2147483648,2147483648,2147483648]", "[0,4]")),
       4,
       StatusCode::kLimitExceeded,
       {"'a'", "2147483648"}},
      {"product overflows to 0",
       one(Entry("a", "F32", "[2147483648,2147483648,4]", "[0,0]")),
       0,
       StatusCode::kLimitExceeded,
       {"'a'"}},
      {"dimension too large",
       one(Entry("a", "U8", "[2147483649]", "[0,4]")),
       4,
       StatusCode::kLimitExceeded,
       {"'a'", "2147483649", "2147483648"}},
      {"too many dimensions",
       one(Entry("a", "U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]")),
       1,
       StatusCode::kLimitExceeded,
       {"'a'", "8 dimensions"}},
      {"name too long",
       one(Entry(std::string(1025, 'n'), "U8", "[1]", "[0,1]")),
       1,
       StatusCode::kLimitExceeded,
       {"1025 bytes", "1024"}}};
  std::string many = "{";
  for (size_t i = 0; i <= limits::kMaxTensors; ++i) {
    if (i > 0) many += ',';
    many += Entry(fmt::format("t{}", i), "U8", "[0]", "[0,0]");
  }
  many += "}";
  bad.emplace_back(BadHeader{"too many tensors", many, 0, StatusCode::kLimitExceeded, {"16384 tensors"}});
  return bad;
}

TEST(SafetensorsTest, RefusesHeadersThatLie) {
  for (const BadHeader& bad : BadHeaders()) {
    SCOPED_TRACE(bad.what);
    const auto tensors = Parse(MakeFile(bad.json, bad.data_bytes));
    std::vector<std::string> parts = bad.message;
    parts.emplace_back("m.safetensors");
    ExpectError(tensors.status(), bad.code, parts);
  }
}

TEST(SafetensorsTest, RefusesEveryTruncation) {
  const std::string file = MakeFile(fmt::format("{{{}}}", Entry("a", "F32", "[4]", "[0,16]")), 16);
  ASSERT_TRUE(Parse(file).ok());
  for (size_t bytes = 0; bytes < file.size(); ++bytes) {
    const Status status = Parse(file.substr(0, bytes)).status();
    EXPECT_EQ(status.code(), StatusCode::kCorrupt) << bytes << ": " << status.message();
  }
  ExpectError(Parse(file + "x").status(), StatusCode::kCorrupt, {"has 17"});
}

TEST(SafetensorsTest, RefusesHeaderLengthsBeyondFileAndLimit) {
  std::string file = MakeFile("{}", 0);
  file[0] = 100;
  ExpectError(Parse(file).status(), StatusCode::kCorrupt, {"100 bytes", "truncated"});
  file[7] = '\x7f';
  ExpectError(Parse(file).status(), StatusCode::kLimitExceeded, {"33554432"});
  ExpectError(Parse("version https://git-lfs.github.com/spec/v1\noid sha256:0\n").status(), StatusCode::kLimitExceeded,
              {"Git LFS pointer"});
}

// Fills every byte of tensor i with i.
Status FillWithIndex(size_t index, std::span<uint8_t> out) {
  std::fill(out.begin(), out.end(), static_cast<uint8_t>(index));
  return Status::Ok();
}

TEST(CheckpointTest, WritesWhatItReads) {
  const TempDir dir;
  const std::vector<TensorSpec> specs = {{"one", DType::kU8, {3}},
                                         {"two \"quoted\" \xC3\xA9", DType::kBF16, {2, 5}},
                                         {"empty", DType::kF32, {0}},
                                         {"scalar", DType::kF64, {}}};
  const std::string path = dir.File("model.safetensors");
  ASSERT_TRUE(WriteSafetensors(path, specs, FillWithIndex).ok());
  EXPECT_FALSE(std::filesystem::exists(path + ".partial"));
  for (const std::string& where : {path, dir.path()}) {
    const Result<Checkpoint> checkpoint = Checkpoint::Open(where);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message();
    ASSERT_EQ(checkpoint->tensors().size(), specs.size());
    EXPECT_EQ(checkpoint->parameters(), 3 + 10 + 0 + 1);
    EXPECT_EQ(checkpoint->bytes(), 3u + 20 + 0 + 8);
    EXPECT_EQ(checkpoint->files(), std::vector<std::string>{path});
    for (size_t i = 0; i < specs.size(); ++i) {
      const HostTensor* const tensor = checkpoint->Find(specs[i].name);
      ASSERT_NE(tensor, nullptr);
      EXPECT_EQ(tensor->dtype, specs[i].dtype);
      EXPECT_EQ(tensor->shape, specs[i].shape);
      for (size_t at = 0; at < tensor->bytes(); ++at) EXPECT_EQ(tensor->data[at], i);
    }
  }
  const std::string bytes = testing::ReadAll(path);
  EXPECT_EQ((static_cast<uint8_t>(bytes[0]) + 256 * static_cast<uint8_t>(bytes[1])) % 8, 0) << "data is 8-byte aligned";
}

TEST(CheckpointTest, WriterKeepsNothingOfAFailure) {
  const TempDir dir;
  const std::string path = dir.File("m.safetensors");
  const Status status = WriteSafetensors(path, {{"a", DType::kU8, {1}}},
                                         [](size_t, std::span<uint8_t>) { return IoError("no entropy", "try again"); });
  ExpectError(status, StatusCode::kIo, {"no entropy"});
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
  ExpectError(WriteSafetensors(dir.File("none/m"), {}, FillWithIndex), StatusCode::kIo, {"none/m", "can't be written"});
}

TEST(CheckpointTest, WriterRefusesWhatAReaderWould) {
  const TempDir dir;
  const std::string path = dir.File("m.safetensors");
  const std::vector<std::vector<TensorSpec>> bad = {{{"", DType::kU8, {1}}},
                                                    {{"__metadata__", DType::kU8, {1}}},
                                                    {{std::string(1025, 'n'), DType::kU8, {1}}},
                                                    {{"a", DType::kU8, {-1}}},
                                                    {{"a", DType::kU8, {int64_t{1} << 32}}},
                                                    {{"a", DType::kU8, std::vector<int64_t>(9, 1)}},
                                                    {{"a", DType::kU8, {1}}, {"a", DType::kU8, {1}}}};
  for (const auto& specs : bad) {
    ExpectError(WriteSafetensors(path, specs, FillWithIndex), StatusCode::kInvalidArgument, {"m.safetensors"});
  }
  ExpectError(WriteSafetensors(path, {{"a", DType::kF64, {1 << 30, 1 << 30}}}, FillWithIndex),
              StatusCode::kLimitExceeded, {"'a'"});
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

TEST(CheckpointTest, GetNamesTensorAndFile) {
  const TempDir dir;
  const std::string path = dir.File("m.safetensors");
  ASSERT_TRUE(WriteSafetensors(path, {{"a", DType::kU8, {1}}}, FillWithIndex).ok());
  const Result<Checkpoint> checkpoint = Checkpoint::Open(path);
  ASSERT_TRUE(checkpoint.ok());
  EXPECT_TRUE(checkpoint->Get("a").ok());
  EXPECT_EQ(checkpoint->Find("b"), nullptr);
  ExpectError(checkpoint->Get("b").status(), StatusCode::kNotFound, {"m.safetensors", "'b'", "config.json"});
}

TEST(CheckpointTest, ReleasedTensorsCanStillBeRead) {
  const TempDir dir;
  const std::string path = dir.File("m.safetensors");
  ASSERT_TRUE(WriteSafetensors(path, {{"a", DType::kU8, {1}}, {"b", DType::kU8, {1 << 20}}}, FillWithIndex).ok());
  Result<Checkpoint> opened = Checkpoint::Open(path);
  ASSERT_TRUE(opened.ok());
  const Checkpoint checkpoint = std::move(opened).value();
  const HostTensor tensor = checkpoint.Get("b").value();
  EXPECT_EQ(tensor.data[5000], 1);
  checkpoint.Release(tensor);
  checkpoint.Release(HostTensor{});
  EXPECT_EQ(tensor.data[5000], 1);
}

// Two shards and an index with the given weight map.
void WriteShards(const TempDir& dir, const std::string& weight_map) {
  ASSERT_TRUE(WriteSafetensors(dir.File("s1.safetensors"), {{"a", DType::kU8, {1}}}, FillWithIndex).ok());
  ASSERT_TRUE(
      WriteSafetensors(dir.File("s2.safetensors"), {{"b", DType::kU8, {2}}, {"c", DType::kU8, {3}}}, FillWithIndex)
          .ok());
  dir.Write("model.safetensors.index.json",
            "{\"metadata\": {\"total_size\": 6}, \"weight_map\": {" + weight_map + "}}");
}

TEST(CheckpointTest, OpensShards) {
  const TempDir dir;
  WriteShards(dir, R"("a": "s1.safetensors", "b": "s2.safetensors", "c": "s2.safetensors")");
  const Result<Checkpoint> checkpoint = Checkpoint::Open(dir.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message();
  EXPECT_EQ(checkpoint->files().size(), 2u);
  EXPECT_EQ(checkpoint->parameters(), 6);
  EXPECT_EQ(checkpoint->Find("c")->data[0], 1);
  checkpoint->Release(*checkpoint->Find("c"));
}

TEST(CheckpointTest, RefusesIndexesThatLie) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> bad = {
      {R"("a": "../s1.safetensors")", {"weight_map.a", "../s1.safetensors", "same folder"}},
      {R"("a": "/etc/passwd")", {"weight_map.a", "/etc/passwd"}},
      {R"("a": "..")", {"weight_map.a"}},
      {R"("a": "")", {"weight_map.a"}},
      {R"("a": "s1.safetensors\u0000x")", {"weight_map.a"}},
      {R"("a": 5)", {"weight_map.a is 5", "a string"}},
      {R"("a": "s2.safetensors")", {"'a'", "s2.safetensors"}},
      {R"("missing": "s1.safetensors")", {"'missing'", "s1.safetensors"}}};
  for (const auto& [map, parts] : bad) {
    SCOPED_TRACE(map);
    const TempDir dir;
    WriteShards(dir, map);
    std::vector<std::string> all = parts;
    all.emplace_back("index.json");
    ExpectError(Checkpoint::Open(dir.path()).status(), StatusCode::kCorrupt, all);
  }
}

TEST(CheckpointTest, RefusesATensorInTwoShards) {
  const TempDir dir;
  WriteShards(dir, R"("a": "s1.safetensors", "b": "s2.safetensors")");
  ASSERT_TRUE(WriteSafetensors(dir.File("s1.safetensors"), {{"b", DType::kU8, {1}}}, FillWithIndex).ok());
  ExpectError(Checkpoint::Open(dir.path()).status(), StatusCode::kCorrupt, {"'b'", "s1.safetensors", "s2.safetensors"});
}

TEST(CheckpointTest, NamesWhatIsMissing) {
  const TempDir dir;
  ExpectError(Checkpoint::Open(dir.path()).status(), StatusCode::kNotFound,
              {"model.safetensors", "model.safetensors.index.json"});
  ExpectError(Checkpoint::Open(dir.File("none.safetensors")).status(), StatusCode::kNotFound, {"none.safetensors"});
  dir.Write("model.safetensors.index.json", R"({"weight_map": {"a": "gone.safetensors"}})");
  ExpectError(Checkpoint::Open(dir.path()).status(), StatusCode::kNotFound, {"gone.safetensors"});
  dir.Write("model.safetensors.index.json", "{}");
  ExpectError(Checkpoint::Open(dir.path()).status(), StatusCode::kNotFound, {"weight_map is missing"});
}

TEST(CheckpointTest, OpensTheBuiltInModel) {
  const Result<Checkpoint> checkpoint = Checkpoint::Open(testing::TinyModelDir());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message();
  EXPECT_NE(checkpoint->Find("model.text_model.embed_tokens.weight"), nullptr);
  EXPECT_EQ(checkpoint->bytes(), 2 * static_cast<uint64_t>(checkpoint->parameters()));
}

}  // namespace
}  // namespace eyeshot
