// AnswerText: from tokens to the text of an answer, piece by piece.
#ifndef EYESHOT_RUNTIME_ANSWER_TEXT_H_
#define EYESHOT_RUNTIME_ANSWER_TEXT_H_

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "text/utf8.h"

namespace eyeshot {

// Collects the bytes of tokens, holds back what is not a whole character or could be the beginning of a stop
// string, and drops white space before the first word (the template puts it after "Assistant:"), unless `goes_on` from
// a text that was begun. Push() does not allocate while the text stays within `reserve_bytes`.
class AnswerText {
 public:
  // `stops` must outlive this object; empty stop strings are ignored.
  AnswerText(std::span<const std::string> stops, size_t reserve_bytes, bool goes_on = false)
      : stops_(stops), started_(goes_on) {
    text_.reserve(reserve_bytes);
  }

  // Adds a token's bytes. Returns true when a stop string was found: the text then ends before it.
  bool Push(std::string_view bytes);
  // No more tokens: what was held back joins the text.
  void Finish();

  // What became certain since the last call; valid until the next Push() or Finish().
  std::string_view TakeNew();
  const std::string& text() const { return text_; }
  // The text, without what is still held back.
  std::string Release() { return std::move(text_); }

 private:
  void TrimStart();
  bool FindStop(size_t searched);
  size_t CertainBytes() const;

  std::span<const std::string> stops_;
  Utf8Stream stream_;
  std::string text_;
  size_t taken_ = 0;
  bool started_ = false;  // something other than white space came
  bool ended_ = false;
};

}  // namespace eyeshot

#endif  // EYESHOT_RUNTIME_ANSWER_TEXT_H_
