#include "cli/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace eyeshot::cli {
namespace {

constexpr auto kQuiet = std::chrono::milliseconds(500);   // shorter work shows nothing
constexpr auto kInterval = std::chrono::milliseconds(80);  // about as often as an eye can follow
constexpr int kBarWidth = 24;
constexpr int kNotedBarWidth = 10;  // leaves room for the note on 80 columns
constexpr size_t kWhatWidth = 12;
constexpr size_t kBetween = 1 + kNotedBarWidth + 2 + 1 + 5 + 2;  // columns of what stands between words and note

// Columns of the terminal that are left for a note; a line that wraps could not be drawn over.
size_t NoteColumns(size_t words) {
  winsize size{};
  const size_t columns = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
  const size_t before = std::max(words, kWhatWidth) + kBetween;
  return columns > before + 1 ? columns - before - 1 : 0;
}

}  // namespace

Progress::Progress(bool wanted) : enabled_(wanted && isatty(STDERR_FILENO) == 1), next_(Clock::now() + kQuiet) {}

void Progress::Show(std::string_view what, double share, std::string_view note) {
  if (!enabled_ || Clock::now() < next_) return;
  const double clamped = std::clamp(share, 0.0, 1.0);
  const int width = note.empty() ? kBarWidth : kNotedBarWidth;
  const int filled = static_cast<int>(clamped * width);
  fmt::print(stderr, "\r{:<{}} [{:#<{}}{:.<{}}] {:3.0f} %{}{}\x1b[K", what, kWhatWidth, "", filled, "", width - filled,
             clamped * 100, note.empty() ? "" : "  ", note.substr(0, NoteColumns(what.size())));
  std::fflush(stderr);
  drawn_ = true;
  next_ = Clock::now() + kInterval;
}

void Progress::Clear() {
  if (!drawn_) return;
  fmt::print(stderr, "\r\x1b[K");
  std::fflush(stderr);
  drawn_ = false;
}

}  // namespace eyeshot::cli
