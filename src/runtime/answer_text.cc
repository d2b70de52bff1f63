#include "runtime/answer_text.h"

#include <algorithm>

namespace eyeshot {

bool AnswerText::Push(std::string_view bytes) {
  if (ended_) return true;
  const size_t before = text_.size();
  stream_.Push(bytes, text_);
  TrimStart();
  return FindStop(before);
}

void AnswerText::Finish() {
  if (ended_) return;
  const size_t before = text_.size();
  stream_.Finish(text_);
  TrimStart();
  FindStop(before);
  ended_ = true;
}

void AnswerText::TrimStart() {
  if (started_) return;
  const size_t first = text_.find_first_not_of(" \t\r\n");
  started_ = first != std::string::npos;
  text_.erase(0, started_ ? first : text_.size());
}

// Looks for the earliest stop string that ends after text_[searched].
bool AnswerText::FindStop(size_t searched) {
  size_t earliest = std::string::npos;
  for (const std::string& stop : stops_) {
    if (stop.empty()) continue;
    const size_t from = std::min(searched, text_.size());
    earliest = std::min(earliest, text_.find(stop, from < stop.size() ? 0 : from - stop.size() + 1));
  }
  if (earliest == std::string::npos) return false;
  text_.resize(earliest);
  ended_ = true;
  return true;
}

// All but the longest end of the text that is the beginning of a stop string.
size_t AnswerText::CertainBytes() const {
  if (ended_) return text_.size();
  size_t held = 0;
  for (const std::string& stop : stops_) {
    for (size_t length = std::min(stop.empty() ? 0 : stop.size() - 1, text_.size()); length > held; --length) {
      if (std::string_view(text_).ends_with(std::string_view(stop).substr(0, length))) held = length;
    }
  }
  return text_.size() - held;
}

std::string_view AnswerText::TakeNew() {
  const size_t certain = CertainBytes();
  if (certain <= taken_) return {};
  const std::string_view fresh = std::string_view(text_).substr(taken_, certain - taken_);
  taken_ = certain;
  return fresh;
}

}  // namespace eyeshot
