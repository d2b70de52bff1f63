#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "formats/testing.h"

namespace eyeshot {
namespace {

using nlohmann::json;
using testing::CheckpointDir;
using testing::ReadLines;
using testing::TinyModelDir;
using testing::UnpackedPath;

Tokenizer LoadOrDie(const std::string& dir) {
  Result<Tokenizer> tokenizer = Tokenizer::Load(dir);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  return std::move(tokenizer).value();
}

std::vector<int32_t> ParseIds(const std::string& line) {
  std::istringstream in(line);
  std::vector<int32_t> ids;
  for (int32_t id = 0; in >> id;) ids.push_back(id);
  return ids;
}

// Lines of the goldens (tests/golden/tokenizer.py), made by Hugging Face's tokenizers.
std::vector<std::string> GoldenLines() {
  std::vector<std::string> lines;
  for (const std::string& line : ReadLines(UnpackedPath("golden/tokenizer/lines.txt"))) {
    lines.push_back(json::parse(line).get<std::string>());
  }
  return lines;
}

// The lines that don't come back as they were, by number.
std::map<size_t, std::string> GoldenDecoded(const std::string& name) {
  std::map<size_t, std::string> decoded;
  for (const std::string& line : ReadLines(UnpackedPath("golden/tokenizer/decoded-" + name + ".txt"))) {
    const size_t tab = line.find('\t');
    decoded[std::stoul(line.substr(0, tab))] = json::parse(line.substr(tab + 1)).get<std::string>();
  }
  return decoded;
}

void CompareWithGoldens(const Tokenizer& tokenizer, const std::string& name) {
  const std::vector<std::string> lines = GoldenLines();
  const std::vector<std::string> expected = ReadLines(UnpackedPath("golden/tokenizer/ids-" + name + ".txt"));
  const std::map<size_t, std::string> changed = GoldenDecoded(name);
  ASSERT_GE(lines.size(), 5000u);
  ASSERT_EQ(lines.size(), expected.size());
  size_t wrong = 0;
  for (size_t i = 0; i < lines.size() && wrong < 10; ++i) {
    const std::vector<int32_t> ids = ParseIds(expected[i]);
    const std::vector<int32_t> got = tokenizer.Encode(lines[i]);
    const auto other = changed.find(i);
    const std::string& text = other == changed.end() ? lines[i] : other->second;
    EXPECT_EQ(got, ids) << "line " << i << ": " << json(lines[i]);
    EXPECT_EQ(tokenizer.Decode(ids), text) << "line " << i;
    wrong += got != ids || tokenizer.Decode(ids) != text;
  }
}

TEST(TokenizerGoldens, SmolVLM256M) {
  CompareWithGoldens(LoadOrDie(CheckpointDir("SmolVLM-256M-Instruct")), "SmolVLM-256M-Instruct");
}

TEST(TokenizerGoldens, SmolVLM2Of500MHasTheSameTokenizer) {
  CompareWithGoldens(LoadOrDie(CheckpointDir("SmolVLM2-500M-Video-Instruct")), "SmolVLM-256M-Instruct");
}

TEST(TokenizerGoldens, SmolVLM2200M) {
  CompareWithGoldens(LoadOrDie(CheckpointDir("SmolVLM-Instruct")), "SmolVLM-Instruct");
}

TEST(TokenizerGoldens, BuiltInModel) { CompareWithGoldens(LoadOrDie(TinyModelDir()), "eyeshot-tiny"); }

}  // namespace
}  // namespace eyeshot
