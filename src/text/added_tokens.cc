#include "text/added_tokens.h"

#include <algorithm>
#include <utility>

#include "text/unicode.h"
#include "text/utf8.h"

namespace eyeshot {
namespace {

uint32_t FirstClasses(std::string_view text) { return text.empty() ? 0 : CharClasses(DecodeUtf8(text).code_point); }

// Where the last character of `text` begins. REQUIRES: text is not empty.
size_t LastChar(std::string_view text) {
  size_t at = text.size() - 1;
  while (at > 0 && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) --at;
  return at;
}

uint32_t LastClasses(std::string_view text) { return text.empty() ? 0 : FirstClasses(text.substr(LastChar(text))); }

// Bytes of `text` without the white space at its end.
size_t WithoutTrailingSpace(std::string_view text) {
  while ((LastClasses(text) & kSpace) != 0) text = text.substr(0, LastChar(text));
  return text.size();
}

// Bytes of white space at the start of `text`.
size_t LeadingSpace(std::string_view text) {
  size_t at = 0;
  while ((FirstClasses(text.substr(at)) & kSpace) != 0) at += DecodeUtf8(text.substr(at)).bytes;
  return at;
}

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(std::vector<const AddedToken*> tokens) : tokens_(std::move(tokens)) {
  std::sort(tokens_.begin(), tokens_.end(),
            [](const AddedToken* a, const AddedToken* b) { return a->content < b->content; });
  for (const AddedToken* token : tokens_) begins_.set(static_cast<uint8_t>(token->content[0]));
}

const AddedToken* AddedTokenMatcher::LongestAt(std::string_view text) const {
  const AddedToken* longest = nullptr;
  auto first = tokens_.begin();
  auto last = tokens_.end();
  // [first, last) are the tokens that begin with the `depth` first bytes of the text.
  for (size_t depth = 0; first != last; ++depth) {
    if ((*first)->content.size() == depth) longest = *first++;
    if (depth == text.size()) break;
    const auto byte = static_cast<uint8_t>(text[depth]);
    const auto at_depth = [depth](const AddedToken* token) { return static_cast<uint8_t>(token->content[depth]); };
    first = std::partition_point(first, last, [&](const AddedToken* token) { return at_depth(token) < byte; });
    last = std::partition_point(first, last, [&](const AddedToken* token) { return at_depth(token) == byte; });
  }
  return longest;
}

AddedTokenMatcher::Match AddedTokenMatcher::Find(std::string_view text, size_t from) const {
  for (size_t at = from; at < text.size(); ++at) {
    if (!begins_[static_cast<uint8_t>(text[at])]) continue;
    const AddedToken* const token = LongestAt(text.substr(at));
    if (token != nullptr) return {token, at};
  }
  return {};
}

void AddedTokenMatcher::Split(std::string_view text, std::vector<TextPart>& parts) const {
  size_t done = 0;      // bytes that are in `parts`
  size_t searched = 0;  // bytes in which no further match may begin
  for (Match match = Find(text, 0); match.token != nullptr; match = Find(text, searched)) {
    const AddedToken& token = *match.token;
    size_t begin = match.begin;
    size_t end = begin + token.content.size();
    searched = end;
    if (token.single_word && ((LastClasses(text.substr(0, begin)) | FirstClasses(text.substr(end))) & kWordChar) != 0) {
      continue;
    }
    if (token.lstrip) begin = std::max(WithoutTrailingSpace(text.substr(0, begin)), done);
    if (token.rstrip) end += LeadingSpace(text.substr(end));
    if (done < begin) parts.push_back({text.substr(done, begin - done)});
    // The token before this one may have taken the white space of which it consists: then there is nothing left.
    if (begin < end) parts.push_back({text.substr(begin, end - begin), token.id});
    done = end;
  }
  if (done < text.size()) parts.push_back({text.substr(done)});
}

}  // namespace eyeshot
