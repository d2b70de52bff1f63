#include "formats/json_reader.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "formats/testing.h"

namespace eyeshot {
namespace {

using testing::CheckpointDir;
using testing::ReadAll;

// Writes down what it is told, and stops after `limit` values.
class Recorder final : public JsonHandler {
 public:
  explicit Recorder(size_t limit) : left_(limit) {}
  const std::string& events() const { return events_; }

  bool null() override { return Note("null"); }
  bool boolean(bool value) override { return Note(value ? "true" : "false"); }
  bool number_integer(int64_t value) override { return Note("i" + std::to_string(value)); }
  bool number_unsigned(uint64_t value) override { return Note("u" + std::to_string(value)); }
  bool number_float(double value, const std::string& text) override { return Note("f" + Json(value).dump() + text); }
  bool string(std::string& value) override { return Note("s" + std::exchange(value, "moved from")); }
  bool start_object(std::size_t size) override { return Note("{" + std::to_string(size)); }
  bool key(std::string& value) override { return Note("k" + std::exchange(value, "moved from")); }
  bool end_object() override { return Note("}"); }
  bool start_array(std::size_t size) override { return Note("[" + std::to_string(size)); }
  bool end_array() override { return Note("]"); }
  bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception&) override { return false; }

 private:
  bool Note(const std::string& event) {
    events_ += event + "\n";
    return --left_ > 0;
  }

  std::string events_;
  size_t left_;
};

// The same events in the same order, and the same texts refused, as by nlohmann's parser.
void ExpectSameAsNlohmann(std::string_view text, size_t limit = SIZE_MAX) {
  Recorder expected(limit);
  const bool read = Json::sax_parse(text.begin(), text.end(), &expected);
  Recorder got(limit);
  const JsonOutcome outcome = ReadJson(text, got);
  EXPECT_EQ(outcome == JsonOutcome::kRead, read) << text;
  EXPECT_EQ(got.events(), expected.events()) << text;
}

TEST(JsonReaderTest, ReadsWhatNlohmannReads) {
  const std::string zero(1, '\0');
  const std::vector<std::string> texts = {
      "", " ", "null", " true\n", "\tfalse\r\n", "nul", "truex", "nulll", "{}", "[]", "{ }", "[ ]", "{", "[", "}", "]",
      "[1,]", "[,1]", "[1 2]", "[1,,2]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{,}", "{a:1}", "{\"a\":1 \"b\":2}",
      "{\"a\":{\"b\":[[],{}]},\"c\":null}", "[[[[1]]]", "{} {}", "[] x", "/* */ 1", "// x\n1",
      // Numbers
      "0", "-0", "-", "+1", "01", "-01", "1.", ".5", "1.5", "-1.5e+3", "1e5", "1E-5", "1e", "1e+", "0x1", "1.5.2", "-a",
      "18446744073709551615", "18446744073709551616", "-9223372036854775808", "-9223372036854775809", "1e308", "1e309",
      "-1e999", "1e-400", "0.0000000000000000000000000001e-320", "123456789012345678901234567890", "1e5x", "NaN", "inf",
      // Strings
      R"("")", R"("a)", R"("\)", R"("\")", R"("\"\\\/\b\f\n\r\t")", R"("\a")", R"("A\u00e9\u20AC")", R"("\u12")",
      R"("\u12g4")", R"("\u 123")", R"("\u-123")", R"("\ud83d\ude00")", R"("\ud83d")", R"("\ud83dx")", R"("\ud83d\n")",
      R"("\ud83d\u0041")", R"("\ud83d\ud83d")", R"("\ude00")", R"("\u0000")", "\"\n\"", "\"\t\"", "\"\x7F\"",
      "\"\x1F\"", "'a'",
      // UTF-8
      "\"\xC3\xA9\"", "\"\xC3\"", "\"\xC0\x80\"", "\"\xC1\xBF\"", "\"\xE0\x9F\xBF\"", "\"\xE0\xA0\x80\"",
      "\"\xED\x9F\xBF\"", "\"\xED\xA0\x80\"", "\"\xEF\xBF\xBF\"", "\"\xF0\x8F\xBF\xBF\"", "\"\xF0\x90\x80\x80\"",
      "\"\xF4\x8F\xBF\xBF\"", "\"\xF4\x90\x80\x80\"", "\"\xF5\x80\x80\x80\"", "\"\xE2\x82\"", "\"\xF0\x9F\x98\"",
      "\"\x80\"", "\"\xFF\"", "\"\xE2\x82", "\xC3\xA9",
      // Byte order mark, zero bytes
      "\xEF\xBB\xBF{}", "\xEF\xBB{}", "\xEF\xBB\xBF", "{}\xEF\xBB\xBF", "{}" + zero, "{}" + zero + "x", zero,
      "[1" + zero + "]", "\"a" + zero + "\"", "[1]" + zero + "]"};
  for (const std::string& text : texts) {
    ExpectSameAsNlohmann(text);
    ExpectSameAsNlohmann("[" + text + "]");
    ExpectSameAsNlohmann("{\"k\": " + text + "}");
  }
}

TEST(JsonReaderTest, StopsWhereTheHandlerStops) {
  for (size_t limit = 1; limit < 14; ++limit) {
    ExpectSameAsNlohmann(R"({"a": [1, -2, 3.5, true, null, "x"], "b": {"c": {}}})", limit);
  }
}

TEST(JsonReaderTest, ReadsDamagedTextsAsNlohmannDoes) {
  const std::string whole =
      R"({"k": [0, -1, 2.5e-3, true, false, null, "a\n\u00e9\ud83d\ude00 é€😀"], "": {"x y": [[], {}]}})";
  std::mt19937 random(1);
  constexpr std::string_view kPieces = "{}[]\",:\\ue0-+.\xC3\xA9\xF0\x9F\n\x01 1tfn";
  for (int round = 0; round < 20000; ++round) {
    std::string text = whole;
    for (size_t changes = 1 + random() % 3; changes > 0; --changes) {
      const size_t at = random() % text.size();
      switch (random() % 4) {
        case 0: text[at] = kPieces[random() % kPieces.size()]; break;
        case 1: text.erase(at, 1 + random() % 3); break;
        case 2: text.insert(at, 1, kPieces[random() % kPieces.size()]); break;
        default: text[at] = static_cast<char>(random()); break;
      }
    }
    ExpectSameAsNlohmann(text);
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(JsonReaderTest, ReadsATokenizerAsNlohmannDoes) {
  for (const char* model : {"SmolVLM-256M-Instruct", "SmolVLM-Instruct"}) {
    ExpectSameAsNlohmann(ReadAll(CheckpointDir(model) + "/tokenizer.json"));
  }
}

}  // namespace
}  // namespace eyeshot
