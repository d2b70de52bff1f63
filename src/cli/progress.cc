#include "cli/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace eyeshot::cli {
namespace {

constexpr auto kQuiet = std::chrono::milliseconds(500);   // shorter work shows nothing
constexpr auto kInterval = std::chrono::milliseconds(80);  // about as often as an eye can follow
constexpr int kBarWidth = 24;

}  // namespace

Progress::Progress(bool wanted) : enabled_(wanted && isatty(STDERR_FILENO) == 1), next_(Clock::now() + kQuiet) {}

void Progress::Show(std::string_view what, double share) {
  if (!enabled_ || Clock::now() < next_) return;
  const double clamped = std::clamp(share, 0.0, 1.0);
  const int filled = static_cast<int>(clamped * kBarWidth);
  fmt::print(stderr, "\r{:<12} [{:#<{}}{:.<{}}] {:3.0f} %\x1b[K", what, "", filled, "", kBarWidth - filled,
             clamped * 100);
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
