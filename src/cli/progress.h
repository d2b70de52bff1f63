// Progress on a terminal, for whatever takes longer than half a second.
#ifndef EYESHOT_CLI_PROGRESS_H_
#define EYESHOT_CLI_PROGRESS_H_

#include <chrono>
#include <string_view>

namespace eyeshot::cli {

// One line on standard error that is drawn again and again, from half a second after construction on. Does nothing
// where standard error is no terminal or progress was not wanted.
class Progress {
 public:
  explicit Progress(bool wanted);
  ~Progress() { Clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `share` in [0, 1]. `note` stands behind it, cut to the terminal's width.
  void Show(std::string_view what, double share, std::string_view note = {});
  // Takes the line away, before something else is printed.
  void Clear();

 private:
  using Clock = std::chrono::steady_clock;

  bool enabled_;
  bool drawn_ = false;
  Clock::time_point next_;  // not drawn again before
};

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_PROGRESS_H_
