// Ctrl-C as a flag.
#ifndef EYESHOT_CLI_INTERRUPT_H_
#define EYESHOT_CLI_INTERRUPT_H_

#include <atomic>
#include <csignal>

namespace eyeshot::cli {

// While one lives, the first Ctrl-C (or SIGTERM) sets its flag; the second ends the program at once. One at a time.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  const std::atomic<bool>* flag() const;
  bool happened() const { return flag()->load(); }
  // Forgets the Ctrl-C that happened.
  void Clear();

 private:
  struct sigaction old_int_ = {};
  struct sigaction old_term_ = {};
};

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_INTERRUPT_H_
