#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/file.h"
#include "formats/byte_symbols.h"
#include "formats/testing.h"
#include "text/words.h"

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

// step: the goldens have every so many-th line.
void CompareWithGoldens(const Tokenizer& tokenizer, const std::string& name, size_t step = 1) {
  const std::vector<std::string> all = GoldenLines();
  ASSERT_GE(all.size(), 5000u);
  std::vector<std::string> lines;
  for (size_t i = 0; i < all.size(); i += step) lines.push_back(all[i]);
  const std::vector<std::string> expected = ReadLines(UnpackedPath("golden/tokenizer/ids-" + name + ".txt"));
  const std::map<size_t, std::string> changed = GoldenDecoded(name);
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
  std::printf("%s: %zu of %zu lines tokenized as Hugging Face does\n", name.c_str(), lines.size() - wrong,
              lines.size());
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

TokenizerFile GraniteFile() {
  return ParseTokenizerJson(testing::ReadAll(UnpackedPath("golden/tokenizer/granite-docling-258M.json")), "granite")
      .value();
}

TEST(TokenizerGoldens, GraniteDocling) {
  CompareWithGoldens(Tokenizer::FromFile(GraniteFile()), "granite-docling-258M", 4);
}

// A tokenizer whose vocabulary is the 256 byte symbols in the order of the bytes, and what `change` makes of it.
Tokenizer ByteTokenizer(const std::function<void(TokenizerFile&)>& change) {
  TokenizerFile file;
  for (int byte = 0; byte < 256; ++byte) file.vocabulary.push_back(ByteSymbol(static_cast<uint8_t>(byte)));
  change(file);
  return Tokenizer::FromFile(std::move(file));
}

// Adds the token of a merge to the end of the vocabulary.
void AddMerge(TokenizerFile& file, int32_t left, int32_t right) {
  const auto id = static_cast<int32_t>(file.vocabulary.size());
  file.vocabulary.push_back(file.vocabulary[static_cast<size_t>(left)] + file.vocabulary[static_cast<size_t>(right)]);
  file.merges.push_back({left, right, id});
}

using Ids = std::vector<int32_t>;

TEST(TokenizerTest, ReadsAFolderWithoutTokenizerJsonAlike) {
  const std::string source = CheckpointDir("SmolVLM2-500M-Video-Instruct");
  const json tokenizer = json::parse(testing::ReadAll(source + "/tokenizer.json"));
  const testing::TempDir dir;
  dir.Write("vocab.json", tokenizer.at("model").at("vocab").dump());
  std::string merges = "#version: 0.2\n";
  for (const json& merge : tokenizer.at("model").at("merges")) {
    merges.append(merge.at(0).get<std::string>()).append(" ").append(merge.at(1).get<std::string>()).append("\n");
  }
  dir.Write("merges.txt", merges);
  for (const std::string name : {"added_tokens.json", "tokenizer_config.json", "special_tokens_map.json"}) {
    dir.Write(name, testing::ReadAll(JoinPath(source, name)));
  }
  CompareWithGoldens(LoadOrDie(dir.path()), "SmolVLM-256M-Instruct");
}

TEST(TokenizerTest, SpecialTokensOfSmolVLM) {
  const Tokenizer tokenizer = LoadOrDie(CheckpointDir("SmolVLM-256M-Instruct"));
  EXPECT_EQ(tokenizer.vocab_size(), 49280);
  EXPECT_EQ(tokenizer.TokenId("<image>"), 49190);
  EXPECT_EQ(tokenizer.TokenId("<row_6_col_6>"), 49188);
  EXPECT_EQ(tokenizer.TokenId("<end_of_utterance>"), 49279);
  EXPECT_EQ(tokenizer.TokenId("\xC4\xA0the"), tokenizer.Encode(" the").at(0));
  EXPECT_EQ(tokenizer.TokenId("no such token"), std::nullopt);
  EXPECT_EQ(tokenizer.TokenId(""), std::nullopt);
  EXPECT_TRUE(tokenizer.IsSpecial(49190));
  EXPECT_FALSE(tokenizer.IsSpecial(500));
  EXPECT_FALSE(tokenizer.IsSpecial(-1));
  EXPECT_FALSE(tokenizer.IsSpecial(49280));
  EXPECT_EQ(tokenizer.TokenBytes(49190), "<image>");
  EXPECT_EQ(tokenizer.TokenBytes(1116), "\n\n");
  EXPECT_EQ(tokenizer.TokenBytes(-1), "");
  EXPECT_EQ(tokenizer.TokenBytes(1 << 30), "");
}

TEST(TokenizerTest, DecodeLeavesOutUnknownAndSpecialIds) {
  const Tokenizer tokenizer = LoadOrDie(CheckpointDir("SmolVLM-256M-Instruct"));
  Ids ids = tokenizer.Encode("<|im_start|>Hi<image>!");
  ids.push_back(-5);
  ids.push_back(1 << 20);
  EXPECT_EQ(tokenizer.Decode(ids), "<|im_start|>Hi<image>!");
  EXPECT_EQ(tokenizer.Decode(ids, /*skip_special=*/true), "Hi!");
  EXPECT_EQ(tokenizer.Decode({}), "");
}

TEST(TokenizerTest, TokensMayEndInsideCharacters) {
  const Tokenizer tokenizer = ByteTokenizer([](TokenizerFile&) {});
  const Ids ids = tokenizer.Encode("\xF0\x9F\x98\x80");
  EXPECT_EQ(ids, (Ids{0xF0, 0x9F, 0x98, 0x80}));
  EXPECT_EQ(tokenizer.Decode(ids), "\xF0\x9F\x98\x80");
  EXPECT_EQ(tokenizer.Decode(std::span(ids).first(3)), "\xEF\xBF\xBD");
}

TEST(TokenizerTest, ReadsIllFormedTextAsReplacementCharacters) {
  const Tokenizer tokenizer = LoadOrDie(CheckpointDir("SmolVLM-256M-Instruct"));
  EXPECT_EQ(tokenizer.Encode("a\xFF<image>\xE2\x82"), tokenizer.Encode("a\xEF\xBF\xBD<image>\xEF\xBF\xBD"));
}

TEST(TokenizerTest, BytesWithoutATokenAreDroppedAndTheirNeighboursTouch) {
  const Tokenizer tokenizer = ByteTokenizer([](TokenizerFile& file) {
    file.vocabulary[0x04].clear();
    AddMerge(file, 'a', 'b');
  });
  EXPECT_EQ(tokenizer.Encode("\x04"), Ids{});
  EXPECT_EQ(tokenizer.Encode("ab"), Ids{256});
  EXPECT_EQ(tokenizer.Encode("a\x04"
                             "b"),
            (Ids{'a', 'b'}))
      << "letters and controls are different words";
  EXPECT_EQ(tokenizer.Encode("!\x04\x04!"), (Ids{'!', '!'}));
}

TEST(TokenizerTest, MergesByRankThenFromTheLeft) {
  const Tokenizer tokenizer = ByteTokenizer([](TokenizerFile& file) {
    AddMerge(file, 'b', 'c');  // 256
    AddMerge(file, 'a', 'b');  // 257
    AddMerge(file, 'a', 'a');  // 258
    AddMerge(file, 258, 258);  // 259
  });
  EXPECT_EQ(tokenizer.Encode("abc"), (Ids{'a', 256}));
  EXPECT_EQ(tokenizer.Encode("ab"), Ids{257});
  EXPECT_EQ(tokenizer.Encode("aaa"), (Ids{258, 'a'}));
  EXPECT_EQ(tokenizer.Encode("aaaaaaa"), (Ids{259, 258, 'a'}));
}

TEST(TokenizerTest, IgnoreMergesTakesWholeWords) {
  const auto tokenizer = [](bool ignore_merges) {
    return ByteTokenizer([=](TokenizerFile& file) {
      file.vocabulary.emplace_back("xyz");  // 256, which no merge makes
      file.ignore_merges = ignore_merges;
    });
  };
  EXPECT_EQ(tokenizer(true).Encode("xyz xyz"), (Ids{256, ' ', 'x', 'y', 'z'}));
  EXPECT_EQ(tokenizer(false).Encode("xyz"), (Ids{'x', 'y', 'z'}));
}

TEST(TokenizerTest, PrefixSpaceGoesBeforeEveryPiece) {
  const Tokenizer tokenizer = ByteTokenizer([](TokenizerFile& file) {
    file.add_prefix_space = true;
    file.added_tokens = {{.id = 256, .content = "<x>"}};
  });
  EXPECT_EQ(tokenizer.Encode("a<x> b<x>c"), (Ids{' ', 'a', 256, ' ', 'b', 256, ' ', 'c'}));
  EXPECT_EQ(tokenizer.Encode(""), Ids{});
}

TEST(TokenizerTest, FlagsOfAddedTokens) {
  const Tokenizer tokenizer = ByteTokenizer([](TokenizerFile& file) {
    file.added_tokens = {{.id = 256, .content = "<l>", .lstrip = true},
                         {.id = 257, .content = "<r>", .rstrip = true},
                         {.id = 258, .content = "one", .single_word = true},
                         {.id = 259, .content = "<r><r>"},
                         {.id = 260, .content = "e<", .normalized = true},
                         {.id = 261, .content = " ", .lstrip = true, .rstrip = true}};
  });
  EXPECT_EQ(tokenizer.Encode("a\n\t<l>b"), (Ids{'a', 256, 'b'}));
  EXPECT_EQ(tokenizer.Encode("<r>\n\xE3\x80\x80"
                             "b"),
            (Ids{257, 'b'}));
  EXPECT_EQ(tokenizer.Encode("<r><r>"), Ids{259}) << "of two at one place the longest";
  EXPECT_EQ(tokenizer.Encode("one,"), (Ids{258, ','}));
  EXPECT_EQ(tokenizer.Encode("ones"), (Ids{'o', 'n', 'e', 's'}));
  EXPECT_EQ(tokenizer.Encode("_one"), (Ids{'_', 'o', 'n', 'e'}));
  EXPECT_EQ(tokenizer.Encode("e<r>"), (Ids{'e', 257})) << "a normalized token is looked for in what the others leave";
  EXPECT_EQ(tokenizer.Encode("e<"), Ids{260});
  EXPECT_EQ(tokenizer.Encode("a   b"), (Ids{'a', 261, 'b'})) << "the first of the spaces takes the others";
}

TEST(TokenizerTest, SplitsAreGuessedFromWhatMergesJoin) {
  TokenizerFile granite = GraniteFile();
  granite.words = WordPattern::kNone;
  GuessSplits(granite);
  EXPECT_EQ(granite.words, WordPattern::kGpt4);
  EXPECT_FALSE(granite.split_digits);
  TokenizerFile smolvlm = LoadTokenizerFile(CheckpointDir("SmolVLM-Instruct")).value();
  smolvlm.words = WordPattern::kNone;
  smolvlm.split_digits = smolvlm.individual_digits = false;
  GuessSplits(smolvlm);
  EXPECT_EQ(smolvlm.words, WordPattern::kGpt2);
  EXPECT_TRUE(smolvlm.split_digits && smolvlm.individual_digits);
}

// Words of a text by a pattern, with '|' between.
std::string Words(std::string_view text, WordPattern pattern) {
  std::string words;
  while (!text.empty()) {
    const size_t bytes = FirstWord(text, pattern);
    words.append(words.empty() ? "" : "|").append(text.substr(0, bytes));
    text.remove_prefix(bytes);
  }
  return words;
}

TEST(WordsTest, PatternsDifferInNumbersLinesAndContractions) {
  const char* text = "It'S 12345 (ok)\n\n  x";
  EXPECT_EQ(Words(text, WordPattern::kNone), text);
  EXPECT_EQ(Words(text, WordPattern::kGpt2), "It|'|S| 12345| (|ok|)|\n\n | x");
  EXPECT_EQ(Words(text, WordPattern::kGpt4), "It|'S| |123|45| (|ok|)\n\n| | x");
  EXPECT_EQ(Words(text, WordPattern::kQwen2), "It|'S| |1|2|3|4|5| (|ok|)\n\n| | x");
  EXPECT_EQ(Words("x'\xC5\xBF", WordPattern::kGpt4), "x|'\xC5\xBF") << "a long s is an s in any case";
  EXPECT_EQ(Words("a \r\n \nb  ", WordPattern::kGpt4), "a| \r\n \n|b|  ");
}

TEST(TokenizerTest, LongWordsTakeNoQuadraticTime) {
  // A word of 512 kB with a merge at every place: quadratic time would be minutes.
  const Tokenizer tokenizer = ByteTokenizer([](TokenizerFile& file) {
    AddMerge(file, 'a', 'a');
    for (int32_t id = 256; id < 266; ++id) AddMerge(file, id, id);
  });
  const Ids ids = tokenizer.Encode(std::string(size_t{2048} * 250, 'a'));
  EXPECT_EQ(ids, Ids(250, 266));
}

}  // namespace
}  // namespace eyeshot
