#include "formats/tokenizer_json.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "formats/byte_symbols.h"
#include "formats/json.h"
#include "formats/string_index.h"

namespace eyeshot {
namespace {

constexpr char kMendDownload[] = "download the tokenizer files again";
constexpr auto kMaxId = static_cast<int64_t>(limits::kMaxVocabulary) - 1;
constexpr char kMendModel[] = "use a model with a byte-level BPE tokenizer as SmolVLM's";
// GPT-2's pattern, which ByteLevel applies by itself when use_regex is set.
constexpr char kGpt2Pattern[] = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
// The others, with the part in which they differ left out.
constexpr char kAnyCase[] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
constexpr char kLetters[] = R"(|[^\r\n\p{L}\p{N}]?\p{L}+|)";
constexpr char kSignsAndSpace[] = R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// Vocabulary and merges while they are read. Merges keep their spelling until the vocabulary is known.
class Lists {
 public:
  // For a text of so many bytes. Takes room for the lists that most of that length hold, so that they need not be
  // moved while they grow; pages that stay without content take no memory.
  explicit Lists(size_t bytes) {
    constexpr size_t kUsualTokens = 1 << 16;
    constexpr size_t kLeastBytesOfAToken = 32;  // and of its merge
    constexpr size_t kMergedBytes = 16;         // of both halves of a merge
    const size_t tokens = std::min(bytes / kLeastBytesOfAToken, kUsualTokens);
    vocabulary_.reserve(tokens);
    merges_.reserve(tokens);
    text_.reserve(tokens * kMergedBytes);
  }

  Status AddToken(std::string& content, uint64_t id) {
    if (id >= limits::kMaxVocabulary) {
      return LimitError(
          fmt::format("token '{}' has id {}, the limit is {}", content.substr(0, 60), id, limits::kMaxVocabulary - 1),
          kMendDownload);
    }
    if (content.empty() || content.size() > limits::kMaxTokenBytes) {
      return LimitError(
          fmt::format("token {} has {} bytes, allowed are 1 to {}", id, content.size(), limits::kMaxTokenBytes),
          kMendDownload);
    }
    if (id >= vocabulary_.size()) vocabulary_.resize(id + 1);
    if (!vocabulary_[id].empty()) {
      return CorruptError(
          fmt::format("tokens '{}' and '{}' both have id {}", vocabulary_[id], content.substr(0, 60), id),
          kMendDownload);
    }
    vocabulary_[id] = std::move(content);
    return Status::Ok();
  }

  Status AddMerge(std::string_view left, std::string_view right) {
    if (merges_.size() >= limits::kMaxMerges) {
      return LimitError(fmt::format("more than {} merges", limits::kMaxMerges), kMendDownload);
    }
    if (left.empty() || right.empty() || left.size() + right.size() > limits::kMaxTokenBytes) {
      return CorruptError(fmt::format("merge {} joins {} and {} bytes, allowed are 1 to {} together", merges_.size(),
                                      left.size(), right.size(), limits::kMaxTokenBytes),
                          kMendDownload);
    }
    merges_.push_back({text_.size(), static_cast<uint32_t>(left.size()), static_cast<uint32_t>(right.size())});
    text_.append(left).append(right);
    return Status::Ok();
  }

  // "Ġ the"
  Status AddMerge(std::string_view pair) {
    const size_t space = pair.find(' ');
    if (space == std::string_view::npos || pair.find(' ', space + 1) != std::string_view::npos) {
      return CorruptError(
          fmt::format("merge {} is '{}', expected two parts with a space between", merges_.size(), pair.substr(0, 60)),
          kMendDownload);
    }
    return AddMerge(pair.substr(0, space), pair.substr(space + 1));
  }

  // Moves everything into `file`, and makes `index` that of its vocabulary.
  Status Resolve(TokenizerFile& file, StringIndex& index) {
    file.vocabulary = std::move(vocabulary_);
    if (const std::optional<size_t> twice = index.Build(file.vocabulary)) {
      return CorruptError(fmt::format("token '{}' stands twice in the vocabulary", file.vocabulary[*twice]),
                          kMendDownload);
    }
    file.merges.reserve(merges_.size());
    for (const Pending& merge : merges_) {
      const std::string_view both = std::string_view(text_).substr(merge.begin, merge.left + merge.right);
      const std::optional<int32_t> left = index.Find(both.substr(0, merge.left));
      const std::optional<int32_t> right = index.Find(both.substr(merge.left));
      const std::optional<int32_t> result = FindNear(both, file, index);
      if (!left || !right || !result) {
        return CorruptError(fmt::format("merge {} ('{}' and '{}') names a token that the vocabulary lacks",
                                        file.merges.size(), both.substr(0, merge.left), both.substr(merge.left)),
                            kMendDownload);
      }
      file.merges.push_back({*left, *right, *result});
    }
    return Status::Ok();
  }

 private:
  // Trainers give the results of merges consecutive ids: the one behind the last result is looked at first.
  static std::optional<int32_t> FindNear(std::string_view text, const TokenizerFile& file, const StringIndex& index) {
    const size_t guess = file.merges.empty() ? 0 : static_cast<size_t>(file.merges.back().result) + 1;
    if (guess < file.vocabulary.size() && file.vocabulary[guess] == text) return static_cast<int32_t>(guess);
    return index.Find(text);
  }

  struct Pending {
    size_t begin;  // in text_: left, then right
    uint32_t left;
    uint32_t right;
  };
  std::vector<std::string> vocabulary_;
  std::string text_;
  std::vector<Pending> merges_;
};

// Builds the tree of a tokenizer.json, except for the vocabulary and the merges, which go to `lists` and stay empty in
// the tree: they are nine tenths of the file.
class TokenizerHandler : public JsonTreeBuilder {
 public:
  // vocabulary_only: the whole text is a vocabulary (vocab.json).
  TokenizerHandler(Lists& lists, bool vocabulary_only) : lists_(lists), vocabulary_only_(vocabulary_only) {}

  bool null() override { return place_ == Place::kTree ? JsonTreeBuilder::null() : Unexpected(); }
  bool boolean(bool value) override { return place_ == Place::kTree ? JsonTreeBuilder::boolean(value) : Unexpected(); }
  bool number_integer(int64_t value) override {
    return place_ == Place::kTree ? JsonTreeBuilder::number_integer(value) : Unexpected();
  }
  bool number_float(double value, const std::string& text) override {
    return place_ == Place::kTree ? JsonTreeBuilder::number_float(value, text) : Unexpected();
  }
  bool number_unsigned(uint64_t value) override {
    if (place_ == Place::kTree) return JsonTreeBuilder::number_unsigned(value);
    return place_ == Place::kVocabulary ? Check(lists_.AddToken(token_, value)) : Unexpected();
  }
  bool string(std::string& value) override {
    if (place_ == Place::kTree) return JsonTreeBuilder::string(value);
    if (place_ == Place::kMerges) return Check(lists_.AddMerge(value));
    if (place_ != Place::kPair || halves_ == 2) return Unexpected();
    half_[halves_++] = std::move(value);
    return true;
  }
  bool start_object(std::size_t size) override {
    if (place_ != Place::kTree) return Unexpected();
    const bool vocabulary = vocabulary_only_ || IsAt("model", "vocab");
    if (!JsonTreeBuilder::start_object(size)) return false;
    if (vocabulary) place_ = Place::kVocabulary;
    return true;
  }
  bool key(std::string& value) override {
    if (place_ == Place::kTree) return JsonTreeBuilder::key(value);
    token_ = std::move(value);
    return true;
  }
  bool end_object() override {
    place_ = Place::kTree;
    return JsonTreeBuilder::end_object();
  }
  bool start_array(std::size_t size) override {
    if (place_ == Place::kMerges) {
      place_ = Place::kPair;
      halves_ = 0;
      return true;
    }
    if (place_ != Place::kTree) return Unexpected();
    const bool merges = IsAt("model", "merges");
    if (!JsonTreeBuilder::start_array(size)) return false;
    if (merges) place_ = Place::kMerges;
    return true;
  }
  bool end_array() override {
    if (place_ == Place::kPair) {
      place_ = Place::kMerges;
      return halves_ == 2 ? Check(lists_.AddMerge(half_[0], half_[1])) : Unexpected();
    }
    place_ = Place::kTree;
    return JsonTreeBuilder::end_array();
  }

 private:
  enum class Place { kTree, kVocabulary, kMerges, kPair };

  bool Check(Status status) { return status.ok() || Fail(std::move(status)); }
  bool Unexpected() {
    if (place_ == Place::kVocabulary) {
      return Fail(
          CorruptError(fmt::format("the id of token '{}' is no integer >= 0", token_.substr(0, 60)), kMendDownload));
    }
    return Fail(CorruptError("a merge is neither a string nor a pair of strings", kMendDownload));
  }

  Lists& lists_;
  const bool vocabulary_only_;
  Place place_ = Place::kTree;
  std::string token_;
  std::string half_[2];
  size_t halves_ = 0;
};

// Refuses a part of the pipeline that this build lacks: "pre_tokenizer.type is "Metaspace", expected ...".
Status Refuse(const JsonObject& object, const std::string& key, const std::string& expected) {
  return object.Error(StatusCode::kUnsupported, key, expected, kMendModel);
}

Status ReadDigits(const JsonObject& step, TokenizerFile& file) {
  file.split_digits = true;
  EYESHOT_ASSIGN_OR_RETURN(file.individual_digits, step.BoolOr("individual_digits", false));
  return Status::Ok();
}

std::optional<WordPattern> KnownPattern(std::string_view regex) {
  if (regex == kGpt2Pattern) return WordPattern::kGpt2;
  const auto with_numbers = [](std::string_view numbers) {
    return std::string(kAnyCase).append(kLetters).append(numbers).append(kSignsAndSpace);
  };
  if (regex == with_numbers(R"(\p{N}{1,3})")) return WordPattern::kGpt4;
  if (regex == with_numbers(R"(\p{N})")) return WordPattern::kQwen2;
  return std::nullopt;
}

Status ReadSplit(const JsonObject& step, TokenizerFile& file) {
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject pattern, step.Object("pattern"));
  const Json* const regex = pattern.Find("Regex");
  const bool is_regex = regex != nullptr && regex->is_string();
  const auto known = is_regex ? KnownPattern(regex->get_ref<const std::string&>()) : std::nullopt;
  if (!known) return Refuse(step, "pattern", "the pattern of GPT-2, GPT-4 (Llama 3, granite) or Qwen2");
  EYESHOT_ASSIGN_OR_RETURN(const std::string behavior, step.String("behavior"));
  if (behavior != "Isolated") return Refuse(step, "behavior", "\"Isolated\"");
  EYESHOT_ASSIGN_OR_RETURN(const bool invert, step.BoolOr("invert", false));
  if (invert) return Refuse(step, "invert", "false");
  file.words = *known;
  return Status::Ok();
}

Status ReadByteLevel(const JsonObject& step, TokenizerFile& file) {
  EYESHOT_ASSIGN_OR_RETURN(file.add_prefix_space, step.BoolOr("add_prefix_space", true));
  const bool after_split = file.words != WordPattern::kNone;
  // After a Split the space would go before every word; no published tokenizer does that.
  if (after_split && file.add_prefix_space) return Refuse(step, "add_prefix_space", "false after a Split");
  EYESHOT_ASSIGN_OR_RETURN(const bool use_regex, step.BoolOr("use_regex", true));
  if (!use_regex) return Status::Ok();
  // It would cut the words of another pattern once more.
  if (after_split && file.words != WordPattern::kGpt2) return Refuse(step, "use_regex", "false after such a Split");
  file.words = WordPattern::kGpt2;
  return Status::Ok();
}

// One of [Digits], [Split], ByteLevel, in this order; `is_last`: the step is the last of its sequence.
Status ReadPreTokenizerStep(const JsonObject& step, bool is_last, TokenizerFile& file) {
  EYESHOT_ASSIGN_OR_RETURN(const std::string type, step.String("type"));
  if (is_last) {
    return type == "ByteLevel" ? ReadByteLevel(step, file) : Refuse(step, "type", "\"ByteLevel\" as the last step");
  }
  const bool words = file.words != WordPattern::kNone;
  if (type == "Digits" && !file.split_digits && !words) return ReadDigits(step, file);
  if (type == "Split" && !words) return ReadSplit(step, file);
  return Refuse(step, "type", "\"Digits\", \"Split\" and \"ByteLevel\", each at most once and in this order");
}

Status ReadPreTokenizer(const JsonObject& root, TokenizerFile& file) {
  file.words = WordPattern::kNone;
  if (!root.Has("pre_tokenizer")) return Refuse(root, "pre_tokenizer", "one that ends with ByteLevel");
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject object, root.Object("pre_tokenizer"));
  EYESHOT_ASSIGN_OR_RETURN(const std::string type, object.String("type"));
  if (type != "Sequence") return ReadPreTokenizerStep(object, /*is_last=*/true, file);
  const Json* const steps = object.Find("pretokenizers");
  if (steps == nullptr || !steps->is_array() || steps->empty()) {
    return object.Error(StatusCode::kCorrupt, "pretokenizers", "a list of steps", kMendDownload);
  }
  for (size_t i = 0; i < steps->size(); ++i) {
    const std::string where = fmt::format("{}: pre_tokenizer.pretokenizers[{}]", root.file(), i);
    EYESHOT_ASSIGN_OR_RETURN(const JsonObject step, JsonObject::Root((*steps)[i], where));
    EYESHOT_RETURN_IF_ERROR(ReadPreTokenizerStep(step, i + 1 == steps->size(), file));
  }
  return Status::Ok();
}

// {"single": [{"SpecialToken": {"id": "<|begin_of_text|>"}}, {"Sequence": {"id": "A"}}], "special_tokens":
// {"<|begin_of_text|>": {"ids": [128000], ...}}}
Status ReadTemplateProcessing(const JsonObject& object, TokenizerFile& file) {
  constexpr char kExpected[] = "tokens and then one Sequence, with nothing behind";
  const Json* const single = object.Find("single");
  if (single == nullptr || !single->is_array() || single->empty()) return Refuse(object, "single", kExpected);
  for (size_t i = 0; i < single->size(); ++i) {
    const std::string where = fmt::format("{}: post_processor.single[{}]", object.file(), i);
    EYESHOT_ASSIGN_OR_RETURN(const JsonObject piece, JsonObject::Root((*single)[i], where));
    const bool is_last = i + 1 == single->size();
    if (is_last != piece.Has("Sequence")) return Refuse(object, "single", kExpected);
    if (is_last) return Status::Ok();
    EYESHOT_ASSIGN_OR_RETURN(const JsonObject token, piece.Object("SpecialToken"));
    EYESHOT_ASSIGN_OR_RETURN(const std::string name, token.String("id"));
    EYESHOT_ASSIGN_OR_RETURN(const JsonObject tokens, object.Object("special_tokens"));
    EYESHOT_ASSIGN_OR_RETURN(const JsonObject entry, tokens.Object(name));
    const Json* const ids = entry.Find("ids");
    if (ids == nullptr || !ids->is_array() || ids->size() != 1 || !ids->front().is_number_integer()) {
      return entry.Error(StatusCode::kCorrupt, "ids", "a list of one id", kMendDownload);
    }
    const auto id = ids->front().get<int64_t>();
    if (id < 0 || id > kMaxId) {
      return entry.Error(StatusCode::kCorrupt, "ids", fmt::format("ids from 0 to {}", kMaxId), kMendDownload);
    }
    if (file.prefix.size() >= limits::kMaxPrefixTokens) {
      return LimitError(fmt::format("{}: more than {} tokens before every prompt", where, limits::kMaxPrefixTokens),
                        kMendDownload);
    }
    file.prefix.push_back(static_cast<int32_t>(id));
  }
  return Status::Ok();
}

// One of none, ByteLevel (which changes offsets only) and TemplateProcessing, or a Sequence of these.
Status ReadPostProcessor(const JsonObject& object, bool in_sequence, TokenizerFile& file) {
  EYESHOT_ASSIGN_OR_RETURN(const std::string type, object.String("type"));
  if (type == "ByteLevel") return Status::Ok();
  if (type == "TemplateProcessing" && file.prefix.empty()) return ReadTemplateProcessing(object, file);
  const Json* const steps = object.Find("processors");
  if (type != "Sequence" || in_sequence || steps == nullptr || !steps->is_array()) {
    return Refuse(object, "type", "none, \"ByteLevel\", \"TemplateProcessing\" or a \"Sequence\" of them");
  }
  for (const Json& step : *steps) {
    EYESHOT_ASSIGN_OR_RETURN(const JsonObject inner, JsonObject::Root(step, object.file() + ": post_processor"));
    EYESHOT_RETURN_IF_ERROR(ReadPostProcessor(inner, /*in_sequence=*/true, file));
  }
  return Status::Ok();
}

Status ReadPipeline(const JsonObject& root, TokenizerFile& file) {
  EYESHOT_ASSIGN_OR_RETURN(const std::optional<JsonObject> normalizer, root.OptionalObject("normalizer"));
  if (normalizer) return Refuse(*normalizer, "type", "no normalizer");
  EYESHOT_ASSIGN_OR_RETURN(const std::optional<JsonObject> after, root.OptionalObject("post_processor"));
  if (after) EYESHOT_RETURN_IF_ERROR(ReadPostProcessor(*after, /*in_sequence=*/false, file));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject decoder, root.Object("decoder"));
  EYESHOT_ASSIGN_OR_RETURN(const std::string type, decoder.String("type"));
  return type == "ByteLevel" ? Status::Ok() : Refuse(decoder, "type", "\"ByteLevel\"");
}

// unk_token matters only where a byte has no token; then SmolVLM drops the byte, which null says.
Status CheckUnknownToken(const JsonObject& model, const StringIndex& index) {
  EYESHOT_ASSIGN_OR_RETURN(const std::string unknown, model.StringOr("unk_token", ""));
  if (unknown.empty()) return Status::Ok();
  for (size_t byte = 0; byte < kByteSymbols.size(); ++byte) {
    if (!index.Find(ByteSymbol(static_cast<uint8_t>(byte)))) {
      return Refuse(model, "unk_token", fmt::format("null, since byte {:#04x} has no token", byte));
    }
  }
  return Status::Ok();
}

// `index` becomes that of the vocabulary.
Status ReadModel(const JsonObject& model, Lists& lists, TokenizerFile& file, StringIndex& index) {
  EYESHOT_ASSIGN_OR_RETURN(const std::string type, model.StringOr("type", "BPE"));
  if (type != "BPE") return Refuse(model, "type", "\"BPE\"");
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    EYESHOT_ASSIGN_OR_RETURN(const std::string affix, model.StringOr(key, ""));
    if (!affix.empty()) return Refuse(model, key, "null");
  }
  EYESHOT_ASSIGN_OR_RETURN(const double dropout, model.NumberOr("dropout", 0.0, 1.0, 0.0));
  if (dropout != 0.0) return Refuse(model, "dropout", "null");
  EYESHOT_ASSIGN_OR_RETURN(const bool fallback, model.BoolOr("byte_fallback", false));
  if (fallback) return Refuse(model, "byte_fallback", "false");
  EYESHOT_ASSIGN_OR_RETURN(file.ignore_merges, model.BoolOr("ignore_merges", false));
  EYESHOT_RETURN_IF_ERROR(model.Object("vocab").status());
  if (const Json* merges = model.Find("merges"); merges == nullptr || !merges->is_array()) {
    return model.Error(StatusCode::kCorrupt, "merges", "a list", kMendDownload);
  }
  const Status status = lists.Resolve(file, index);
  if (!status.ok()) return status.At(model.file());
  return CheckUnknownToken(model, index);
}

Result<AddedToken> ReadAddedToken(const JsonObject& object, int32_t id) {
  AddedToken token;
  token.id = id;
  EYESHOT_ASSIGN_OR_RETURN(token.content, object.String("content"));
  EYESHOT_ASSIGN_OR_RETURN(token.special, object.BoolOr("special", false));
  EYESHOT_ASSIGN_OR_RETURN(token.single_word, object.BoolOr("single_word", false));
  EYESHOT_ASSIGN_OR_RETURN(token.lstrip, object.BoolOr("lstrip", false));
  EYESHOT_ASSIGN_OR_RETURN(token.rstrip, object.BoolOr("rstrip", false));
  EYESHOT_ASSIGN_OR_RETURN(token.normalized, object.BoolOr("normalized", !token.special));
  return token;
}

// "added_tokens" of tokenizer.json.
Status ReadAddedTokens(const JsonObject& root, TokenizerFile& file) {
  const Json* const list = root.Find("added_tokens");
  if (list == nullptr) return Status::Ok();
  if (!list->is_array()) return root.Error(StatusCode::kCorrupt, "added_tokens", "a list", kMendDownload);
  for (size_t i = 0; i < list->size(); ++i) {
    const std::string where = fmt::format("{}: added_tokens[{}]", root.file(), i);
    EYESHOT_ASSIGN_OR_RETURN(const JsonObject object, JsonObject::Root((*list)[i], where));
    EYESHOT_ASSIGN_OR_RETURN(const int64_t id, object.Integer("id", 0, kMaxId));
    EYESHOT_ASSIGN_OR_RETURN(AddedToken token, ReadAddedToken(object, static_cast<int32_t>(id)));
    file.added_tokens.push_back(std::move(token));
  }
  return Status::Ok();
}

// Added tokens must neither contradict the vocabulary, whose index is given, nor each other.
Status CheckAddedTokens(const TokenizerFile& file, const StringIndex& index) {
  std::set<int32_t> ids;
  std::set<std::string_view> contents;
  for (const AddedToken& token : file.added_tokens) {
    if (token.content.empty() || token.content.size() > limits::kMaxTokenBytes) {
      return LimitError(fmt::format("added token {} has {} bytes, allowed are 1 to {}", token.id, token.content.size(),
                                    limits::kMaxTokenBytes),
                        kMendDownload);
    }
    if (!ids.insert(token.id).second || !contents.insert(token.content).second) {
      return CorruptError(fmt::format("added token '{}' ({}) stands twice", token.content, token.id), kMendDownload);
    }
    const auto id = static_cast<size_t>(token.id);
    const bool other_content =
        id < file.vocabulary.size() && !file.vocabulary[id].empty() && file.vocabulary[id] != token.content;
    if (other_content || index.Find(token.content).value_or(token.id) != token.id) {
      return CorruptError(
          fmt::format("added token '{}' has id {}, but the vocabulary says otherwise", token.content, token.id),
          kMendDownload);
    }
  }
  return Status::Ok();
}

// What stands before every prompt must be tokens.
Status CheckPrefix(const TokenizerFile& file, const std::string& file_name) {
  for (const int32_t id : file.prefix) {
    const auto at = static_cast<size_t>(id);
    if (at < file.vocabulary.size() && !file.vocabulary[at].empty()) continue;
    const auto is_it = [id](const AddedToken& token) { return token.id == id; };
    if (std::any_of(file.added_tokens.begin(), file.added_tokens.end(), is_it)) continue;
    return CorruptError(fmt::format("{}: id {} of the post-processor is no token", file_name, id), kMendDownload);
  }
  return Status::Ok();
}

// ---- A folder without tokenizer.json ----

Result<Json> ReadTree(const std::string& path) {
  EYESHOT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, limits::kMaxTokenizerBytes));
  return ParseJsonTree(text, path);
}

Status ReadMergesText(const std::string& path, Lists& lists) {
  EYESHOT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, limits::kMaxTokenizerBytes));
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty() || line.starts_with("#version")) continue;
    const Status status = lists.AddMerge(line);
    if (!status.ok()) return status.At(path);
  }
  return Status::Ok();
}

// Adds tokens from several files, the first of which that knows a token has the word.
class AddedTokenCollector {
 public:
  AddedTokenCollector(TokenizerFile& file, const StringIndex& index) : file_(file), index_(index) {}

  // tokenizer_config.json: "added_tokens_decoder": {"49152": {"content": "<image>", ...}}
  Status AddDecoder(const JsonObject& config) {
    EYESHOT_ASSIGN_OR_RETURN(const std::optional<JsonObject> decoder, config.OptionalObject("added_tokens_decoder"));
    if (!decoder) return Status::Ok();
    for (const auto& [key, value] : decoder->json().items()) {
      int32_t id = -1;
      const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
      if (error != std::errc() || end != key.data() + key.size() || id < 0 || id > kMaxId) {
        return decoder->Error(StatusCode::kCorrupt, key, fmt::format("a key that is an id in [0, {}]", kMaxId),
                              kMendDownload);
      }
      EYESHOT_ASSIGN_OR_RETURN(const JsonObject object, decoder->Object(key));
      EYESHOT_ASSIGN_OR_RETURN(AddedToken token, ReadAddedToken(object, id));
      Add(std::move(token));
    }
    return Status::Ok();
  }

  // added_tokens.json: {"<image>": 49190}
  Status AddList(const JsonObject& list) {
    for (const auto& [content, value] : list.json().items()) {
      EYESHOT_ASSIGN_OR_RETURN(const int64_t id, list.Integer(content, 0, kMaxId));
      Add({.id = static_cast<int32_t>(id), .content = content, .special = true});
    }
    return Status::Ok();
  }

  // special_tokens_map.json: {"bos_token": "<|im_start|>", "additional_special_tokens": [{"content": ...}]}
  void AddSpecial(const Json& value) {
    if (value.is_array()) {
      for (const Json& item : value) AddSpecial(item);
    }
    const Json* content = &value;
    if (value.is_object() && value.contains("content")) content = &value["content"];
    if (!content->is_string()) return;
    const std::optional<int32_t> id = index_.Find(content->get_ref<const std::string&>());
    if (id) Add({.id = *id, .content = content->get<std::string>(), .special = true});
  }

 private:
  void Add(AddedToken token) {
    if (known_.insert(token.content).second) file_.added_tokens.push_back(std::move(token));
  }

  TokenizerFile& file_;
  const StringIndex& index_;  // of its vocabulary
  std::set<std::string> known_;
};

Status ReadAddedTokenFiles(const std::string& dir, TokenizerFile& file, const StringIndex& index) {
  AddedTokenCollector collector(file, index);
  const std::string config_path = JoinPath(dir, "tokenizer_config.json");
  if (FileExists(config_path)) {
    EYESHOT_ASSIGN_OR_RETURN(const Json tree, ReadTree(config_path));
    EYESHOT_ASSIGN_OR_RETURN(const JsonObject config, JsonObject::Root(tree, config_path));
    // Qwen2's class puts text into Unicode's NFC first.
    EYESHOT_ASSIGN_OR_RETURN(const std::string type, config.StringOr("tokenizer_class", ""));
    if (type.starts_with("Qwen2")) return Refuse(config, "tokenizer_class", "one without a normalizer");
    EYESHOT_ASSIGN_OR_RETURN(file.add_prefix_space, config.BoolOr("add_prefix_space", false));
    EYESHOT_RETURN_IF_ERROR(collector.AddDecoder(config));
  }
  const std::string list_path = JoinPath(dir, "added_tokens.json");
  if (FileExists(list_path)) {
    EYESHOT_ASSIGN_OR_RETURN(const Json tree, ReadTree(list_path));
    EYESHOT_ASSIGN_OR_RETURN(const JsonObject list, JsonObject::Root(tree, list_path));
    EYESHOT_RETURN_IF_ERROR(collector.AddList(list));
  }
  const std::string map_path = JoinPath(dir, "special_tokens_map.json");
  if (FileExists(map_path)) {
    EYESHOT_ASSIGN_OR_RETURN(const Json tree, ReadTree(map_path));
    EYESHOT_ASSIGN_OR_RETURN(const JsonObject map, JsonObject::Root(tree, map_path));
    for (const auto& [key, value] : map.json().items()) collector.AddSpecial(value);
  }
  return CheckAddedTokens(file, index);
}

Result<TokenizerFile> LoadSeparateFiles(const std::string& dir) {
  const std::string vocabulary_path = JoinPath(dir, "vocab.json");
  const std::string merges_path = JoinPath(dir, "merges.txt");
  if (!FileExists(vocabulary_path) || !FileExists(merges_path)) {
    return NotFoundError(fmt::format("{}: has neither tokenizer.json nor vocab.json with merges.txt", dir),
                         "name the folder of a downloaded model");
  }
  TokenizerFile file;
  EYESHOT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(vocabulary_path, limits::kMaxTokenizerBytes));
  Lists lists(text.size());
  TokenizerHandler handler(lists, /*vocabulary_only=*/true);
  EYESHOT_RETURN_IF_ERROR(ParseJson(text, vocabulary_path, handler));
  EYESHOT_RETURN_IF_ERROR(JsonObject::Root(handler.root(), vocabulary_path).status());
  EYESHOT_RETURN_IF_ERROR(ReadMergesText(merges_path, lists));
  StringIndex index;
  const Status resolved = lists.Resolve(file, index);
  if (!resolved.ok()) return resolved.At(dir);
  GuessSplits(file);
  const Status added = ReadAddedTokenFiles(dir, file, index);
  if (!added.ok()) return added.At(dir);
  return file;
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// ASCII signs, which are neither letters, numbers nor white space.
bool IsSign(char c) { return c > ' ' && c < '\x7F' && !IsDigit(c) && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z'); }

}  // namespace

void GuessSplits(TokenizerFile& file) {
  const std::string line_end = ByteSymbol('\n');
  bool joins_lines = false;
  bool joins_digits = false;
  for (const BpeMerge& merge : file.merges) {
    const std::string& joined = file.vocabulary[static_cast<size_t>(merge.result)];
    const size_t end = joined.find(line_end);
    joins_lines = joins_lines || (end != std::string::npos && end > 0 && IsSign(joined[end - 1]));
    joins_digits = joins_digits || std::any_of(joined.begin(), joined.end(), IsDigit);
  }
  file.split_digits = file.individual_digits = !joins_lines && !joins_digits;
  file.words = !joins_lines ? WordPattern::kGpt2 : joins_digits ? WordPattern::kGpt4 : WordPattern::kQwen2;
}

Result<TokenizerFile> ParseTokenizerJson(std::string_view text, const std::string& file_name) {
  Lists lists(text.size());
  TokenizerHandler handler(lists, /*vocabulary_only=*/false);
  EYESHOT_RETURN_IF_ERROR(ParseJson(text, file_name, handler));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject root, JsonObject::Root(handler.root(), file_name));
  TokenizerFile file;
  EYESHOT_RETURN_IF_ERROR(ReadPipeline(root, file));
  EYESHOT_RETURN_IF_ERROR(ReadPreTokenizer(root, file));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject model, root.Object("model"));
  StringIndex index;
  EYESHOT_RETURN_IF_ERROR(ReadModel(model, lists, file, index));
  EYESHOT_RETURN_IF_ERROR(ReadAddedTokens(root, file));
  const Status status = CheckAddedTokens(file, index);
  if (!status.ok()) return status.At(file_name);
  EYESHOT_RETURN_IF_ERROR(CheckPrefix(file, file_name));
  return file;
}

Result<TokenizerFile> MakeTokenizerFile(std::span<const std::string_view> vocabulary,
                                        std::span<const std::string_view> merges, std::vector<AddedToken> added_tokens,
                                        const std::string& file_name) {
  TokenizerFile file;
  StringIndex index;
  const auto fill = [&]() -> Status {
    Lists lists(0);
    for (size_t id = 0; id < vocabulary.size(); ++id) {
      std::string content(vocabulary[id]);
      EYESHOT_RETURN_IF_ERROR(lists.AddToken(content, id));
    }
    for (const std::string_view merge : merges) EYESHOT_RETURN_IF_ERROR(lists.AddMerge(merge));
    EYESHOT_RETURN_IF_ERROR(lists.Resolve(file, index));
    file.added_tokens = std::move(added_tokens);
    return CheckAddedTokens(file, index);
  };
  const Status status = fill();
  if (!status.ok()) return status.At(file_name);
  return file;
}

Result<TokenizerFile> LoadTokenizerFile(const std::string& dir) {
  const std::string path = JoinPath(dir, "tokenizer.json");
  if (!FileExists(path)) return LoadSeparateFiles(dir);
  EYESHOT_ASSIGN_OR_RETURN(const MappedFile text, MappedFile::Open(path, limits::kMaxTokenizerBytes));
  return ParseTokenizerJson(text.text(), path);
}

}  // namespace eyeshot
