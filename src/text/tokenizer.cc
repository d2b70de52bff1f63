#include "text/tokenizer.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"
#include "formats/byte_symbols.h"
#include "formats/string_index.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/utf8.h"
#include "text/words.h"

namespace eyeshot {
namespace {

// The bytes of symbols; -1: no byte has this symbol.
std::array<int16_t, kByteSymbolsEnd> MakeSymbolBytes() {
  std::array<int16_t, kByteSymbolsEnd> bytes;
  bytes.fill(-1);
  for (size_t byte = 0; byte < kByteSymbols.size(); ++byte) bytes[kByteSymbols[byte]] = static_cast<int16_t>(byte);
  return bytes;
}

// Appends what a token decodes to: the bytes of its symbols or, if one of its characters is no symbol (as in an added
// token with a space), its content as it is.
void AppendDecoded(std::string_view content, std::string& out) {
  static const std::array<int16_t, kByteSymbolsEnd> symbol_bytes = MakeSymbolBytes();
  const size_t begin = out.size();
  for (std::string_view rest = content; !rest.empty();) {
    const Utf8Char next = DecodeUtf8(rest);
    if (!next.valid || next.code_point >= kByteSymbolsEnd || symbol_bytes[next.code_point] < 0) {
      out.resize(begin);
      out.append(content);
      return;
    }
    out += static_cast<char>(symbol_bytes[next.code_point]);
    rest.remove_prefix(next.bytes);
  }
}

std::vector<const AddedToken*> Select(const std::vector<AddedToken>& tokens, bool normalized) {
  std::vector<const AddedToken*> selected;
  for (const AddedToken& token : tokens) {
    if (token.normalized == normalized) selected.push_back(&token);
  }
  return selected;
}

}  // namespace

class Tokenizer::Impl {
 public:
  explicit Impl(TokenizerFile file);

  std::vector<int32_t> Encode(std::string_view text) const;
  std::string_view Bytes(int32_t id) const;
  std::optional<int32_t> Find(std::string_view content) const { return index_.Find(content); }
  bool IsSpecial(int32_t id) const { return IsId(id) && special_[static_cast<size_t>(id)]; }
  int64_t vocab_size() const { return static_cast<int64_t>(special_.size()); }
  std::span<const int32_t> prefix() const { return file_.prefix; }

 private:
  bool IsId(int32_t id) const { return id >= 0 && id < vocab_size(); }
  // A text without added tokens.
  void EncodePlain(std::string_view text, Bpe::Workspace& workspace, std::vector<int32_t>& ids) const;
  // A text without added tokens and, if those are cut at, numbers.
  void EncodePiece(std::string_view piece, Bpe::Workspace& workspace, std::vector<int32_t>& ids) const;
  void EncodeWord(std::string_view word, Bpe::Workspace& workspace, std::vector<int32_t>& ids) const;

  // Of the vocabulary as the file has it, which is what the merges are about.
  static StringIndex IndexOf(const TokenizerFile& file) {
    StringIndex index;
    index.Build(file.vocabulary, file.added_tokens.size());
    return index;
  }
  // Puts the added tokens into vocabulary and index.
  void Join();

  TokenizerFile file_;  // its vocabulary holds the added tokens too
  int32_t model_ids_;   // ids of the vocabulary without those added beyond it
  StringIndex index_;   // over file_.vocabulary
  Bpe bpe_;
  AddedTokenMatcher plain_matcher_;       // tokens that are matched first
  AddedTokenMatcher normalized_matcher_;  // tokens that are matched in what is left
  std::vector<bool> special_;             // by id
  std::string bytes_;                     // what the tokens decode to, one after the other
  std::vector<uint32_t> ends_;            // by id: where its bytes end
};

Tokenizer::Impl::Impl(TokenizerFile file)
    : file_(std::move(file)),
      model_ids_(static_cast<int32_t>(file_.vocabulary.size())),
      index_(IndexOf(file_)),
      bpe_(file_, index_),
      plain_matcher_(Select(file_.added_tokens, /*normalized=*/false)),
      normalized_matcher_(Select(file_.added_tokens, /*normalized=*/true)) {
  Join();
  special_.resize(file_.vocabulary.size());
  for (const AddedToken& token : file_.added_tokens) special_[static_cast<size_t>(token.id)] = token.special;
  ends_.reserve(file_.vocabulary.size());
  for (const std::string& content : file_.vocabulary) {
    AppendDecoded(content, bytes_);
    ends_.push_back(static_cast<uint32_t>(bytes_.size()));
  }
}

void Tokenizer::Impl::Join() {
  std::vector<std::string>& contents = file_.vocabulary;
  for (const AddedToken& token : file_.added_tokens) {
    const auto id = static_cast<size_t>(token.id);
    if (id >= contents.size()) contents.resize(id + 1);
    if (!contents[id].empty()) continue;  // the vocabulary has it, spelled alike
    contents[id] = token.content;
    index_.Insert(id);
  }
}

std::string_view Tokenizer::Impl::Bytes(int32_t id) const {
  if (!IsId(id)) return {};
  const auto at = static_cast<size_t>(id);
  const size_t begin = at == 0 ? 0 : ends_[at - 1];
  return std::string_view(bytes_).substr(begin, ends_[at] - begin);
}

void Tokenizer::Impl::EncodeWord(std::string_view word, Bpe::Workspace& workspace, std::vector<int32_t>& ids) const {
  if (file_.ignore_merges) {
    std::string spelled;
    for (const char c : word) spelled += ByteSymbol(static_cast<uint8_t>(c));
    const std::optional<int32_t> id = index_.Find(spelled);
    if (id && *id < model_ids_) {
      ids.push_back(*id);
      return;
    }
  }
  bpe_.Encode(word, workspace, ids);
}

void Tokenizer::Impl::EncodePiece(std::string_view piece, Bpe::Workspace& workspace, std::vector<int32_t>& ids) const {
  std::string prefixed;
  if (file_.add_prefix_space && piece[0] != ' ') {
    prefixed.append(" ").append(piece);
    piece = prefixed;
  }
  while (!piece.empty()) {
    const size_t bytes = FirstWord(piece, file_.words);
    EncodeWord(piece.substr(0, bytes), workspace, ids);
    piece.remove_prefix(bytes);
  }
}

void Tokenizer::Impl::EncodePlain(std::string_view text, Bpe::Workspace& workspace, std::vector<int32_t>& ids) const {
  while (!text.empty()) {
    const size_t bytes = file_.split_digits ? FirstDigitPiece(text, file_.individual_digits) : text.size();
    EncodePiece(text.substr(0, bytes), workspace, ids);
    text.remove_prefix(bytes);
  }
}

std::vector<int32_t> Tokenizer::Impl::Encode(std::string_view text) const {
  std::string repaired;
  if (!IsValidUtf8(text)) {
    repaired = RepairUtf8(text);
    text = repaired;
  }
  std::vector<TextPart> first;
  plain_matcher_.Split(text, first);
  std::vector<TextPart> parts;
  for (const TextPart& part : first) {
    if (part.id >= 0) {
      parts.push_back(part);
    } else {
      normalized_matcher_.Split(part.text, parts);
    }
  }
  std::vector<int32_t> ids;
  Bpe::Workspace workspace;
  for (const TextPart& part : parts) {
    if (part.id >= 0) {
      ids.push_back(part.id);
    } else {
      EncodePlain(part.text, workspace, ids);
    }
  }
  return ids;
}

Result<Tokenizer> Tokenizer::Load(const std::string& dir) {
  EYESHOT_ASSIGN_OR_RETURN(TokenizerFile file, LoadTokenizerFile(dir));
  return FromFile(std::move(file));
}

Tokenizer Tokenizer::FromFile(TokenizerFile file) { return Tokenizer(std::make_shared<const Impl>(std::move(file))); }

std::vector<int32_t> Tokenizer::Encode(std::string_view text) const { return impl_->Encode(text); }

std::string Tokenizer::Decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string out;
  Utf8Stream stream;
  for (const int32_t id : ids) {
    if (!skip_special || !impl_->IsSpecial(id)) stream.Push(impl_->Bytes(id), out);
  }
  stream.Finish(out);
  return out;
}

std::string_view Tokenizer::TokenBytes(int32_t id) const { return impl_->Bytes(id); }
std::optional<int32_t> Tokenizer::TokenId(std::string_view content) const { return impl_->Find(content); }
std::vector<int32_t> Tokenizer::EncodePrompt(std::string_view text) const {
  std::vector<int32_t> ids = Encode(text);
  const std::span<const int32_t> prefix = impl_->prefix();
  const bool has_prefix = ids.size() >= prefix.size() && std::equal(prefix.begin(), prefix.end(), ids.begin());
  if (!has_prefix) ids.insert(ids.begin(), prefix.begin(), prefix.end());
  return ids;
}
bool Tokenizer::IsSpecial(int32_t id) const { return impl_->IsSpecial(id); }
int64_t Tokenizer::vocab_size() const { return impl_->vocab_size(); }

}  // namespace eyeshot
