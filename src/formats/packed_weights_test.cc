#include "formats/packed_weights.h"

#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

#include "formats/safetensors.h"
#include "formats/testing.h"

namespace eyeshot {
namespace {

using testing::ExpectError;
using testing::TempDir;

class PackedWeightsTest : public ::testing::Test {
 protected:
  PackedWeightsTest() : bytes_(200) {
    std::iota(bytes_.begin(), bytes_.end(), uint8_t{0});
    entries_ = {{.name = "a.weight",
                 .kind = "linear",
                 .format = "int8",
                 .outputs = 3,
                 .inputs = 7,
                 .bytes = std::span(bytes_).first(130)},
                {.name = "b.weight",
                 .kind = "linear",
                 .format = "int4",
                 .outputs = 8,
                 .inputs = 2,
                 .gated = true,
                 .bytes = std::span(bytes_).first(64)},
                {.name = "norm.weight",
                 .kind = "vector",
                 .format = "exact",
                 .outputs = 1,
                 .inputs = 1,
                 .bytes = std::span(bytes_).first(4)}};
  }

  std::string Written() {
    const Status status = WritePackedWeights(dir_.File("model.eyeshot"), "int8,int4", "panels-1", entries_, {});
    EXPECT_TRUE(status.ok()) << status.message();
    return testing::ReadAll(dir_.File("model.eyeshot"));
  }

  // The file with one part of its text replaced by another of the same length.
  Status ParseChanged(const std::string& from, const std::string& to) {
    EXPECT_EQ(from.size(), to.size());
    changed_ = Written();
    const size_t at = changed_.rfind(from);
    EXPECT_NE(at, std::string::npos) << from;
    changed_.replace(at, from.size(), to);
    return PackedWeights::Parse({reinterpret_cast<const uint8_t*>(changed_.data()), changed_.size()}, "f").status();
  }

  TempDir dir_;
  std::vector<uint8_t> bytes_;
  std::vector<PackedEntry> entries_;
  std::string changed_;
};

TEST_F(PackedWeightsTest, WhatIsWrittenIsReadOnCacheLines) {
  Written();
  const Result<PackedWeights> packed = PackedWeights::Open(dir_.File("model.eyeshot"));
  ASSERT_TRUE(packed.ok()) << packed.status().message();
  EXPECT_EQ(packed->precision(), "int8,int4");
  EXPECT_EQ(packed->layout(), "panels-1");
  EXPECT_EQ(packed->bytes(), 130u + 64u + 4u);
  for (const PackedEntry& want : entries_) {
    const PackedEntry* entry = packed->Find(want.name);
    ASSERT_NE(entry, nullptr) << want.name;
    EXPECT_EQ(entry->kind, want.kind);
    EXPECT_EQ(entry->format, want.format);
    EXPECT_EQ(entry->outputs, want.outputs);
    EXPECT_EQ(entry->inputs, want.inputs);
    EXPECT_EQ(entry->gated, want.gated);
    EXPECT_TRUE(std::equal(entry->bytes.begin(), entry->bytes.end(), want.bytes.begin(), want.bytes.end()));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(entry->bytes.data()) % 64, 0u) << want.name;
  }
  EXPECT_EQ(packed->Find("c.weight"), nullptr);
}

TEST_F(PackedWeightsTest, RefusesWhatLiesAboutItself) {
  ExpectError(ParseChanged("eyeshot packed weights", "eyeshot pickled weight"), StatusCode::kCorrupt, {"format"});
  ExpectError(ParseChanged("\"version\":1", "\"version\":2"), StatusCode::kUnsupported, {"version", "2", "1"});
  ExpectError(ParseChanged("\"bytes\":130", "\"bytes\":230"), StatusCode::kCorrupt, {"a.weight", "192", "230"});
  ExpectError(ParseChanged("\"kind\":\"vector\"", "\"kind\":\"victor\""), StatusCode::kCorrupt, {"kind", "victor"});
  ExpectError(ParseChanged("\"outputs\":3", "\"outputs\":0"), StatusCode::kLimitExceeded, {"outputs"});
  ExpectError(ParseChanged("\"name\":\"b.weight\"", "\"name\":\"a.weight\""), StatusCode::kCorrupt, {"a.weight"});
  ExpectError(ParseChanged("\"name\":\"b.weight\"", "\"name\":\"c.weight\""), StatusCode::kCorrupt, {"c.weight", "no"});
}

TEST_F(PackedWeightsTest, RefusesOtherSafetensors) {
  const std::vector<TensorSpec> floats = {{"w", DType::kF32, {4}}};
  const std::vector<TensorSpec> bytes = {{"w", DType::kU8, {4}}};
  const auto fill = [](size_t, std::span<uint8_t>) { return Status::Ok(); };
  ASSERT_TRUE(WriteSafetensors(dir_.File("f"), floats, fill).ok());
  ExpectError(PackedWeights::Open(dir_.File("f")).status(), StatusCode::kCorrupt, {"'w'", "float32"});
  ASSERT_TRUE(WriteSafetensors(dir_.File("f"), bytes, fill).ok());
  ExpectError(PackedWeights::Open(dir_.File("f")).status(), StatusCode::kCorrupt, {"index.json"});
  ExpectError(PackedWeights::Open(dir_.File("none")).status(), StatusCode::kNotFound, {"none"});
}

}  // namespace
}  // namespace eyeshot
