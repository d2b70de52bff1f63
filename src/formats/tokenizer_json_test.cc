#include "formats/tokenizer_json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/limits.h"
#include "formats/testing.h"

namespace eyeshot {
namespace {

using nlohmann::json;
using testing::ExpectError;
using testing::TempDir;

// A small valid tokenizer.json, whose parts tests replace.
json SmallTokenizer() {
  return json::parse(R"({
    "version": "1.0", "truncation": null, "padding": null,
    "added_tokens": [{"id": 5, "content": "<image>", "special": true, "single_word": false, "lstrip": false,
                      "rstrip": true, "normalized": false}],
    "normalizer": null,
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "Digits", "individual_digits": true},
        {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}]},
    "post_processor": null,
    "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
    "model": {"type": "BPE", "dropout": null, "unk_token": null, "byte_fallback": false, "ignore_merges": false,
              "vocab": {"a": 0, "b": 1, "c": 2, "ab": 3, "abc": 4}, "merges": ["a b", ["ab", "c"]]}})");
}

Result<TokenizerFile> Parse(const json& tokenizer) { return ParseTokenizerJson(tokenizer.dump(), "tokenizer.json"); }

TEST(TokenizerJsonTest, ReadsVocabularyMergesAndAddedTokens) {
  const Result<TokenizerFile> file = Parse(SmallTokenizer());
  ASSERT_TRUE(file.ok()) << file.status().message();
  EXPECT_EQ(file->vocabulary, (std::vector<std::string>{"a", "b", "c", "ab", "abc"}));
  ASSERT_EQ(file->merges.size(), 2u);
  EXPECT_EQ(file->merges[0].result, 3);
  EXPECT_EQ(file->merges[1].left, 3);
  EXPECT_EQ(file->merges[1].right, 2);
  ASSERT_EQ(file->added_tokens.size(), 1u);
  EXPECT_EQ(file->added_tokens[0].content, "<image>");
  EXPECT_TRUE(file->added_tokens[0].special && file->added_tokens[0].rstrip);
  EXPECT_FALSE(file->added_tokens[0].lstrip || file->added_tokens[0].normalized);
  EXPECT_TRUE(file->split_digits && file->individual_digits && file->words == WordPattern::kGpt2);
  EXPECT_FALSE(file->add_prefix_space || file->ignore_merges);
}

TEST(TokenizerJsonTest, MergesMayComeBeforeTheVocabulary) {
  const std::string text = R"({"model": {"merges": ["a b"], "vocab": {"ab": 2, "a": 0, "b": 1}},
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": true}, "decoder": {"type": "ByteLevel"}})";
  const Result<TokenizerFile> file = ParseTokenizerJson(text, "tokenizer.json");
  ASSERT_TRUE(file.ok()) << file.status().message();
  EXPECT_EQ(file->merges[0].result, 2);
  EXPECT_TRUE(file->add_prefix_space && file->words == WordPattern::kGpt2);
  EXPECT_FALSE(file->split_digits);
}

TEST(TokenizerJsonTest, UnderstandsOtherSpellingsOfTheSamePipeline) {
  json tokenizer = SmallTokenizer();
  const json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  tokenizer["pre_tokenizer"] = byte_level;
  EXPECT_FALSE(Parse(tokenizer)->words == WordPattern::kGpt2);
  const json split = {
      {"type", "Split"},
      {"pattern", {{"Regex", R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"}}},
      {"behavior", "Isolated"},
      {"invert", false}};
  tokenizer["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", {split, byte_level}}};
  const Result<TokenizerFile> file = Parse(tokenizer);
  ASSERT_TRUE(file.ok()) << file.status().message();
  EXPECT_TRUE(file->words == WordPattern::kGpt2);
  tokenizer["post_processor"] = {{"type", "ByteLevel"}};
  EXPECT_TRUE(Parse(tokenizer).ok());
  tokenizer["post_processor"] = {{"type", "TemplateProcessing"}, {"single", {{{"Sequence", {{"id", "A"}}}}}}};
  EXPECT_TRUE(Parse(tokenizer).ok());
}

TEST(TokenizerJsonTest, KnowsTheWordPatternsByContent) {
  const auto pattern = [](const std::string& numbers) {
    json tokenizer = SmallTokenizer();
    const std::string regex = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)" + numbers +
                              R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
    tokenizer["pre_tokenizer"] = {{"type", "Sequence"},
                                  {"pretokenizers",
                                   {{{"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", "Isolated"}},
                                    {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}};
    return tokenizer;
  };
  EXPECT_EQ(Parse(pattern(R"(\p{N}{1,3})"))->words, WordPattern::kGpt4);
  EXPECT_EQ(Parse(pattern(R"(\p{N})"))->words, WordPattern::kQwen2);
  ExpectError(Parse(pattern(R"(\p{N}{1,2})")).status(), StatusCode::kUnsupported, {"pattern"});
  json twice = pattern(R"(\p{N})");
  twice["pre_tokenizer"]["pretokenizers"][1]["use_regex"] = true;
  ExpectError(Parse(twice).status(), StatusCode::kUnsupported, {"use_regex is true"});
}

// What Llama 3's tokenizer.json puts before every prompt.
json PrefixProcessor(const json& ids) {
  const json single = {{{"SpecialToken", {{"id", "<image>"}}}}, {{"Sequence", {{"id", "A"}}}}};
  const json special = {{"<image>", {{"ids", ids}}}};
  const json processing = {{"type", "TemplateProcessing"}, {"single", single}, {"special_tokens", special}};
  return {{"type", "Sequence"}, {"processors", {{{"type", "ByteLevel"}}, processing}}};
}

TEST(TokenizerJsonTest, TokensBeforeEveryPrompt) {
  json tokenizer = SmallTokenizer();
  EXPECT_TRUE(Parse(tokenizer)->prefix.empty());
  tokenizer["post_processor"] = PrefixProcessor({5});
  EXPECT_EQ(Parse(tokenizer)->prefix, std::vector<int32_t>{5});
  tokenizer["post_processor"] = PrefixProcessor({5, 6});
  ExpectError(Parse(tokenizer).status(), StatusCode::kCorrupt, {"post_processor", "ids is [5,6]"});
  tokenizer["post_processor"] = PrefixProcessor({7});
  ExpectError(Parse(tokenizer).status(), StatusCode::kCorrupt, {"id 7", "no token"});
  tokenizer["post_processor"] = PrefixProcessor({-1});
  ExpectError(Parse(tokenizer).status(), StatusCode::kCorrupt, {"ids is [-1]"});
}

struct BadPart {
  const char* pointer;
  json value;
  StatusCode code;
  std::vector<std::string> parts;
};

const std::vector<BadPart>& BadParts() {
  constexpr auto kCorrupt = StatusCode::kCorrupt;
  constexpr auto kLimit = StatusCode::kLimitExceeded;
  constexpr auto kUnsupported = StatusCode::kUnsupported;
  constexpr auto kNotFound = StatusCode::kNotFound;
  static const std::vector<BadPart> parts = {
      {"/normalizer", {{"type", "NFC"}}, kUnsupported, {"normalizer.type is \"NFC\""}},
      {"/pre_tokenizer", nullptr, kUnsupported, {"pre_tokenizer is null", "ByteLevel"}},
      {"/pre_tokenizer", {{"type", "Metaspace"}}, kUnsupported, {"pre_tokenizer.type is \"Metaspace\""}},
      {"/pre_tokenizer", {{"type", "Digits"}}, kUnsupported, {"type is \"Digits\"", "last"}},
      {"/pre_tokenizer/pretokenizers", json::array(), kCorrupt, {"pre_tokenizer.pretokenizers is []"}},
      {"/pre_tokenizer/pretokenizers/0", {{"type", "Punctuation"}}, kUnsupported, {"pretokenizers[0]", "Punctuation"}},
      {"/pre_tokenizer/pretokenizers/0", {{"type", "ByteLevel"}}, kUnsupported, {"pretokenizers[0]", "ByteLevel"}},
      {"/pre_tokenizer/pretokenizers/0",
       {{"type", "Split"}, {"pattern", {{"Regex", R"(\p{N}{1,3})"}}}, {"behavior", "Isolated"}},
       kUnsupported,
       {"pretokenizers[0]", "pattern", "GPT-2"}},
      {"/pre_tokenizer/pretokenizers/1", 5, kCorrupt, {"pretokenizers[1]", "is 5"}},
      {"/post_processor", {{"type", "RobertaProcessing"}}, kUnsupported, {"post_processor.type", "Roberta"}},
      {"/post_processor",
       {{"type", "TemplateProcessing"},
        {"single", {{{"SpecialToken", {{"id", "<s>"}}}}, {{"Sequence", {{"id", "A"}}}}}}},
       kNotFound,
       {"post_processor.special_tokens"}},
      {"/post_processor",
       {{"type", "TemplateProcessing"},
        {"single", {{{"Sequence", {{"id", "A"}}}}, {{"SpecialToken", {{"id", "</s>"}}}}}}},
       kUnsupported,
       {"post_processor.single"}},
      {"/decoder", {{"type", "Metaspace"}}, kUnsupported, {"decoder.type is \"Metaspace\""}},
      {"/decoder", nullptr, kCorrupt, {"decoder is null"}},
      {"/model/type", "Unigram", kUnsupported, {"model.type is \"Unigram\"", "BPE"}},
      {"/model/dropout", 0.1, kUnsupported, {"model.dropout is 0.1"}},
      {"/model/byte_fallback", true, kUnsupported, {"model.byte_fallback is true"}},
      {"/model/end_of_word_suffix", "</w>", kUnsupported, {"model.end_of_word_suffix is \"</w>\""}},
      {"/model/continuing_subword_prefix", "##", kUnsupported, {"model.continuing_subword_prefix is \"##\""}},
      {"/model/unk_token", "a", kUnsupported, {"model.unk_token is \"a\"", "0x00"}},
      {"/model/vocab", json::array(), kCorrupt, {"model.vocab is []"}},
      {"/model/vocab/z", "x", kCorrupt, {"token 'z'", "no integer"}},
      {"/model/vocab/z", -1, kCorrupt, {"token 'z'", "no integer"}},
      {"/model/vocab/z", {{"x", 1}}, kCorrupt, {"token 'z'", "no integer"}},
      {"/model/vocab/z", 1048576, kLimit, {"token 'z' has id 1048576", "1048575"}},
      {"/model/vocab/z", 4, kCorrupt, {"'z'", "'abc'", "both have id 4"}},
      {"/model/merges/0", "ab", kCorrupt, {"merge 0 is 'ab'", "a space"}},
      {"/model/merges/0", "a b c", kCorrupt, {"merge 0 is 'a b c'"}},
      {"/model/merges/0", " b", kCorrupt, {"merge 0 joins 0 and 1"}},
      {"/model/merges/0", {"a"}, kCorrupt, {"pair of strings"}},
      {"/model/merges/0", {"a", "b", "c"}, kCorrupt, {"pair of strings"}},
      {"/model/merges/0", 7, kCorrupt, {"pair of strings"}},
      {"/model/merges/1", "b a", kCorrupt, {"merge 1 ('b' and 'a')", "lacks"}},
      {"/model/merges/1", std::string(limits::kMaxTokenBytes, 'a') + " b", kCorrupt, {"merge 1", "4096"}},
      {"/added_tokens", 1, kCorrupt, {"added_tokens is 1"}},
      {"/added_tokens/0", 1, kCorrupt, {"added_tokens[0]: is 1"}},
      {"/added_tokens/0/id", -1, kLimit, {"added_tokens[0]: id is -1"}},
      {"/added_tokens/0/id", 3, kCorrupt, {"'<image>' has id 3"}},
      {"/added_tokens/0/content", "a", kCorrupt, {"'a' has id 5"}},
      {"/added_tokens/0/content", "", kLimit, {"added token 5 has 0 bytes"}},
      {"/added_tokens/0/lstrip", "no", kCorrupt, {"added_tokens[0]: lstrip is \"no\""}},
      {"/added_tokens/1", {{"id", 6}, {"content", "<image>"}}, kCorrupt, {"'<image>' (6) stands twice"}},
      {"/added_tokens/1", {{"id", 5}, {"content", "<b>"}}, kCorrupt, {"'<b>' (5) stands twice"}}};
  return parts;
}

TEST(TokenizerJsonTest, NamesEachBadPart) {
  for (const BadPart& bad : BadParts()) {
    SCOPED_TRACE(std::string(bad.pointer) + " = " + bad.value.dump().substr(0, 100));
    json tokenizer = SmallTokenizer();
    tokenizer[json::json_pointer(bad.pointer)] = bad.value;
    std::vector<std::string> parts = bad.parts;
    parts.emplace_back("tokenizer.json");
    ExpectError(Parse(tokenizer).status(), bad.code, parts);
  }
}

TEST(TokenizerJsonTest, RefusesDuplicates) {
  const std::string head = R"({"pre_tokenizer": {"type": "ByteLevel"}, "decoder": {"type": "ByteLevel"}, "model": {)";
  const auto parse = [&](const char* model) { return ParseTokenizerJson(head + model + "}}", "t.json").status(); };
  ExpectError(parse(R"("vocab": {"a": 0, "a": 1}, "merges": [])"), StatusCode::kCorrupt,
              {"t.json", "'a' stands twice"});
  ExpectError(parse(R"("vocab": {"a": 0}, "vocab": {"b": 1})"), StatusCode::kCorrupt, {"\"vocab\" stands twice"});
  ExpectError(parse(R"("vocab": {}, "merges": [], "merges": [])"), StatusCode::kCorrupt, {"\"merges\" stands twice"});
  ExpectError(parse(R"("merges": [])"), StatusCode::kNotFound, {"t.json: model.vocab is missing"});
}

TEST(TokenizerJsonTest, RefusesEveryTruncation) {
  const std::string text = SmallTokenizer().dump();
  for (size_t bytes = 0; bytes < text.size(); ++bytes) {
    const Status status = ParseTokenizerJson(std::string_view(text).substr(0, bytes), "t.json").status();
    EXPECT_EQ(status.code(), StatusCode::kCorrupt) << bytes;
  }
}

// A folder as SmolDocling and granite-docling have it, without tokenizer.json.
void WriteSeparateFiles(const TempDir& dir) {
  dir.Write("vocab.json", R"({"<|end|>": 0, "a": 1, "b": 2, "ab": 3, "1": 4})");
  dir.Write("merges.txt", "#version: 0.2\r\na b\r\n\n");
  dir.Write("added_tokens.json", R"({"<image>": 5, "<row>": 6})");
  dir.Write("tokenizer_config.json", R"({"add_prefix_space": true, "added_tokens_decoder": {
    "5": {"content": "<image>", "lstrip": true, "special": true}}})");
  dir.Write("special_tokens_map.json", R"({"eos_token": "<|end|>", "unk_token": {"content": "<unknown>"},
    "additional_special_tokens": ["<image>", {"content": "<row>"}]})");
}

TEST(SeparateTokenizerFilesTest, AreReadWhereTokenizerJsonIsAbsent) {
  const TempDir dir;
  WriteSeparateFiles(dir);
  const Result<TokenizerFile> file = LoadTokenizerFile(dir.path());
  ASSERT_TRUE(file.ok()) << file.status().message();
  EXPECT_EQ(file->vocabulary.size(), 5u);
  ASSERT_EQ(file->merges.size(), 1u);
  EXPECT_EQ(file->merges[0].result, 3);
  ASSERT_EQ(file->added_tokens.size(), 3u);
  EXPECT_EQ(file->added_tokens[0].content, "<image>");
  EXPECT_TRUE(file->added_tokens[0].lstrip) << "tokenizer_config.json knows best";
  EXPECT_EQ(file->added_tokens[1].content, "<row>");
  EXPECT_EQ(file->added_tokens[2].id, 0);
  EXPECT_TRUE(file->add_prefix_space);
  EXPECT_TRUE(file->split_digits && file->individual_digits) << "no merge has a digit";
  dir.Write("vocab.json", R"({"a": 1, "b": 2, "ab": 3, "1": 4, "12": 0, "2": 7})");
  dir.Write("merges.txt", "a b\n1 2\n");
  EXPECT_FALSE(LoadTokenizerFile(dir.path())->split_digits);
}

TEST(SeparateTokenizerFilesTest, NameWhatIsWrong) {
  const TempDir dir;
  ExpectError(LoadTokenizerFile(dir.path()).status(), StatusCode::kNotFound,
              {"tokenizer.json", "vocab.json", dir.path()});
  WriteSeparateFiles(dir);
  const auto with = [&](const char* file, const char* content) {
    const std::string before = testing::ReadAll(dir.File(file));
    dir.Write(file, content);
    const Status status = LoadTokenizerFile(dir.path()).status();
    dir.Write(file, before);
    return status;
  };
  ExpectError(with("vocab.json", "[]"), StatusCode::kCorrupt, {"vocab.json"});
  ExpectError(with("vocab.json", R"({"a": "b"})"), StatusCode::kCorrupt, {"vocab.json", "'a'"});
  ExpectError(with("merges.txt", "a b\nab\n"), StatusCode::kCorrupt, {"merges.txt", "merge 1 is 'ab'"});
  ExpectError(with("merges.txt", "b a\n"), StatusCode::kCorrupt, {"merge 0", "lacks"});
  ExpectError(with("added_tokens.json", R"({"<x>": "y"})"), StatusCode::kCorrupt, {"added_tokens.json: <x> is \"y\""});
  ExpectError(with("added_tokens.json", R"({"<x>": 3})"), StatusCode::kCorrupt, {"'<x>' has id 3"});
  ExpectError(with("tokenizer_config.json", R"({"added_tokens_decoder": {"x": {}}})"), StatusCode::kCorrupt,
              {"tokenizer_config.json: added_tokens_decoder.x"});
  ExpectError(with("tokenizer_config.json", R"({"tokenizer_class": "Qwen2Tokenizer"})"), StatusCode::kUnsupported,
              {"tokenizer_class", "normalizer"});
  ExpectError(with("special_tokens_map.json", "1"), StatusCode::kCorrupt, {"special_tokens_map.json"});
}

}  // namespace
}  // namespace eyeshot
