#include "formats/json.h"

#include <gtest/gtest.h>

#include "base/limits.h"
#include "formats/testing.h"

namespace eyeshot {
namespace {

using testing::ExpectError;

TEST(JsonTest, BuildsATree) {
  const std::string text = R"({"a": [1, -2, 3.5, true, null, "x"], "b": {"c": {}}})";
  const Result<Json> tree = ParseJsonTree(text, "f.json");
  ASSERT_TRUE(tree.ok()) << tree.status().message();
  EXPECT_EQ(*tree, Json::parse(text));
}

TEST(JsonTest, NamesFileAndByteOfASyntaxError) {
  ExpectError(ParseJsonTree(R"({"a": 1,})", "dir/f.json").status(), StatusCode::kCorrupt,
              {"dir/f.json: not valid JSON at byte 9"});
  ExpectError(ParseJsonTree("", "f.json").status(), StatusCode::kCorrupt, {"f.json: not valid JSON at byte 1"});
  for (const char* text : {"{", "[1,2", "nul", "{} {}", "\"\xff\"", "1e999", "{\"a\" 1}", "\"\\ud800\"", "[01]"}) {
    ExpectError(ParseJsonTree(text, "f.json").status(), StatusCode::kCorrupt, {"f.json", "byte"});
  }
}

TEST(JsonTest, RefusesAKeyTwice) {
  ExpectError(ParseJsonTree(R"({"a": {"key": 1, "key": 2}})", "f.json").status(), StatusCode::kCorrupt,
              {"f.json", "\"key\" stands twice"});
}

TEST(JsonTest, RefusesDeepNesting) {
  const auto nested = [](size_t levels) { return std::string(levels, '[') + std::string(levels, ']'); };
  EXPECT_TRUE(ParseJsonTree(nested(limits::kMaxJsonDepth), "f.json").ok());
  ExpectError(ParseJsonTree(nested(limits::kMaxJsonDepth + 1), "f.json").status(), StatusCode::kLimitExceeded,
              {"64 levels"});
  ExpectError(ParseJsonTree(std::string(1000000, '['), "f.json").status(), StatusCode::kLimitExceeded, {"64 levels"});
}

TEST(JsonTest, RefusesTooManyValues) {
  std::string text = "[0";
  for (size_t i = 0; i < limits::kMaxJsonValues; ++i) text += ",0";
  ExpectError(ParseJsonTree(text + "]", "f.json").status(), StatusCode::kLimitExceeded, {"1048576 values"});
}

class JsonObjectTest : public ::testing::Test {
 protected:
  const Json tree_ = Json::parse(R"({
    "text_config": {"hidden_size": "abc", "layers": 30, "big": 18446744073709551615, "negative": -5, "ratio": 0.5,
                    "flag": true, "name": "silu", "none": null, "list": [1, 2]}, "number": 1})");
  const JsonObject root_ = JsonObject::Root(tree_, "config.json").value();
  const JsonObject text_ = root_.Object("text_config").value();
};

TEST_F(JsonObjectTest, ReadsValues) {
  EXPECT_EQ(text_.Integer("layers", 1, 256).value(), 30);
  EXPECT_EQ(text_.Integer("negative", -5, 0).value(), -5);
  EXPECT_EQ(text_.Number("ratio", 0, 1).value(), 0.5);
  EXPECT_EQ(text_.Number("layers", 0, 100).value(), 30.0);
  EXPECT_EQ(text_.BoolOr("flag", false).value(), true);
  EXPECT_EQ(text_.String("name").value(), "silu");
  EXPECT_EQ(text_.PathOf("x"), "text_config.x");
}

TEST_F(JsonObjectTest, FallsBackWhereAbsentOrNull) {
  for (const char* key : {"none", "absent"}) {
    EXPECT_FALSE(text_.Has(key));
    EXPECT_EQ(text_.IntegerOr(key, 1, 2, 7).value(), 7);
    EXPECT_EQ(text_.NumberOr(key, 1, 2, 7.5).value(), 7.5);
    EXPECT_EQ(text_.BoolOr(key, true).value(), true);
    EXPECT_EQ(text_.StringOr(key, "x").value(), "x");
    EXPECT_FALSE(text_.OptionalObject(key).value().has_value());
  }
}

TEST_F(JsonObjectTest, NamesFileKeyValueAndExpectation) {
  EXPECT_EQ(text_.Integer("hidden_size", 1, 65536).status().message(),
            "config.json: text_config.hidden_size is \"abc\", expected an integer in [1, 65536]: correct the file or "
            "download it again");
  ExpectError(text_.Integer("absent", 1, 2).status(), StatusCode::kNotFound,
              {"config.json: text_config.absent is missing, expected an integer in [1, 2]", "add the key"});
  ExpectError(text_.Integer("layers", 31, 40).status(), StatusCode::kLimitExceeded, {"is 30, expected", "[31, 40]"});
  ExpectError(text_.Integer("big", 0, INT64_MAX).status(), StatusCode::kLimitExceeded, {"18446744073709551615"});
  ExpectError(text_.Integer("ratio", 0, 1).status(), StatusCode::kCorrupt, {"is 0.5, expected an integer"});
  ExpectError(text_.Number("name", 0, 1).status(), StatusCode::kCorrupt, {"is \"silu\", expected a number in [0, 1]"});
  ExpectError(text_.Number("layers", 0, 1).status(), StatusCode::kLimitExceeded, {"is 30"});
  ExpectError(text_.BoolOr("layers", true).status(), StatusCode::kCorrupt, {"is 30, expected true or false"});
  ExpectError(text_.String("list").status(), StatusCode::kCorrupt, {"is [1,2], expected a string"});
  ExpectError(text_.Object("list").status(), StatusCode::kCorrupt, {"is [1,2], expected an object"});
  ExpectError(text_.Integer("none", 0, 1).status(), StatusCode::kCorrupt, {"text_config.none is null"});
  ExpectError(root_.OptionalObject("number").status(), StatusCode::kCorrupt, {"config.json: number is 1"});
  ExpectError(JsonObject::Root(tree_["number"], "config.json").status(), StatusCode::kCorrupt, {"is 1"});
}

TEST(JsonObjectMessages, CutLongValues) {
  const Json tree = {{"key", std::string(1000, 'x')}};
  const Status status = JsonObject::Root(tree, "f.json").value().Integer("key", 0, 1).status();
  EXPECT_LT(status.message().size(), 200u);
  EXPECT_NE(status.message().find("xxx..."), std::string::npos);
}

}  // namespace
}  // namespace eyeshot
