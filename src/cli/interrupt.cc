#include "cli/interrupt.h"

#include <unistd.h>

#include "cli/commands.h"

namespace eyeshot::cli {
namespace {

std::atomic<bool> interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may not lock");

extern "C" void OnInterrupt(int) {
  if (interrupted.exchange(true)) _exit(kExitCancelled);
}

}  // namespace

Interrupt::Interrupt() {
  interrupted = false;
  struct sigaction action = {};
  action.sa_handler = OnInterrupt;
  // No SA_RESTART: a read from the terminal must end.
  sigaction(SIGINT, &action, &old_int_);
  sigaction(SIGTERM, &action, &old_term_);
}

Interrupt::~Interrupt() {
  sigaction(SIGINT, &old_int_, nullptr);
  sigaction(SIGTERM, &old_term_, nullptr);
}

const std::atomic<bool>* Interrupt::flag() const { return &interrupted; }

void Interrupt::Clear() { interrupted = false; }

}  // namespace eyeshot::cli
