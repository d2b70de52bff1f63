// A run that sets clocks: a lease over what it may change, a guard that puts it back if this process dies, and the
// calls that change it.
#ifndef EYESHOT_ENERGY_CLOCKS_CLOCK_SESSION_H_
#define EYESHOT_ENERGY_CLOCKS_CLOCK_SESSION_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "energy/clocks/clock_control.h"

namespace eyeshot {

class ClockSession {
 public:
  // `guard`: a program and its words that run GuardLease() on the lease and the standard input that it is started with;
  // empty: no guard, the next start puts the settings back. Errors: of TakeLease(), kIo (no permission: nothing was
  // changed), kIo (the guard can't be started).
  static Result<std::unique_ptr<ClockSession>> Begin(std::unique_ptr<ClockControl> control, std::string lease,
                                                     const std::vector<std::string>& guard);
  // As End(), whose error is lost.
  ~ClockSession();
  ClockSession(const ClockSession&) = delete;
  ClockSession& operator=(const ClockSession&) = delete;

  ClockControl& control() { return *control_; }

  // Puts everything back and gives up the lease. Later calls do nothing.
  Status End();

 private:
  ClockSession(std::unique_ptr<ClockControl> control, std::string lease)
      : control_(std::move(control)), lease_(std::move(lease)) {}
  Status StartGuard(const std::vector<std::string>& guard);
  // Waits for its end only where the lease is gone: a guard that finds one waits for this process' end, and then tries
  // again to put back what couldn't be.
  void StopGuard(bool wait);

  std::unique_ptr<ClockControl> control_;
  std::string lease_;
  bool held_ = true;
  int guard_pipe_ = -1;  // whose end tells the guard
  pid_t guard_pid_ = -1;
};

// What a guard does: waits until its standard input ends, and then puts back what the lease at `path` saved, if its
// holder is dead. It has a session of its own, so that Ctrl-C at the terminal and the end of it don't reach it.
Status GuardLease(const std::string& path);

}  // namespace eyeshot

#endif  // EYESHOT_ENERGY_CLOCKS_CLOCK_SESSION_H_
