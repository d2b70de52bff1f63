// The text of an answer on its way from the thread that decodes to the one that sends.
#ifndef EYESHOT_SERVER_ANSWER_PIPE_H_
#define EYESHOT_SERVER_ANSWER_PIPE_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/limits.h"

namespace eyeshot::server {

// A ring of bytes for one writer and one reader. Neither waits for the other, and writing allocates nothing.
class AnswerPipe {
 public:
  explicit AnswerPipe(size_t bytes = limits::kAnswerPipeBytes) : ring_(bytes) {}

  // By the writer. A piece that finds no room is lost, and so is all that comes after it: overflowed() says so.
  void Push(std::string_view piece) noexcept {
    const size_t end = end_.load(std::memory_order_relaxed);
    const size_t begin = begin_.load(std::memory_order_acquire);
    if (overflowed() || piece.size() > ring_.size() - (end - begin)) {
      overflowed_.store(true, std::memory_order_release);
      return;
    }
    const size_t at = end % ring_.size();
    const size_t first = std::min(piece.size(), ring_.size() - at);
    std::memcpy(ring_.data() + at, piece.data(), first);
    std::memcpy(ring_.data(), piece.data() + first, piece.size() - first);
    end_.store(end + piece.size(), std::memory_order_release);
  }

  // By the reader: all that was pushed by now.
  std::string Take() {
    const size_t begin = begin_.load(std::memory_order_relaxed);
    const size_t end = end_.load(std::memory_order_acquire);
    const size_t at = begin % ring_.size();
    const size_t first = std::min(end - begin, ring_.size() - at);
    std::string text(ring_.data() + at, first);
    text.append(ring_.data(), end - begin - first);
    begin_.store(end, std::memory_order_release);
    return text;
  }

  // Bytes that wait.
  size_t size() const {
    const size_t begin = begin_.load(std::memory_order_acquire);
    return end_.load(std::memory_order_acquire) - begin;
  }
  bool overflowed() const { return overflowed_.load(std::memory_order_acquire); }

 private:
  std::vector<char> ring_;
  std::atomic<size_t> begin_{0}, end_{0};  // of all bytes that ever were, not modulo the ring
  std::atomic<bool> overflowed_{false};
};

}  // namespace eyeshot::server

#endif  // EYESHOT_SERVER_ANSWER_PIPE_H_
