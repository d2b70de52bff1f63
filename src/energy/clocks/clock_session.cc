#include "energy/clocks/clock_session.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <thread>

#include "base/error.h"
#include "energy/clocks/lease.h"

namespace eyeshot {

Result<std::unique_ptr<ClockSession>> ClockSession::Begin(std::unique_ptr<ClockControl> control, std::string lease,
                                                          const std::vector<std::string>& guard) {
  EYESHOT_RETURN_IF_ERROR(TakeLease(lease, control->settings()));
  std::unique_ptr<ClockSession> session(new ClockSession(std::move(control), std::move(lease)));
  // Whether it may be set is told now, and not in the middle of a run: a limit at the highest clock changes nothing.
  const Status allowed = session->control().SetHighest(session->control().highest_mhz());
  if (!allowed.ok()) {
    if (!session->End().ok()) DropLease(session->lease_);
    return allowed;
  }
  // Only now: of a run that is refused there is nothing to guard.
  if (!guard.empty()) EYESHOT_RETURN_IF_ERROR(session->StartGuard(guard));
  return session;
}

ClockSession::~ClockSession() { static_cast<void>(End()); }

Status ClockSession::End() {
  if (!held_) return Status::Ok();
  held_ = false;
  Status status;
  const Result<std::optional<Lease>> lease = ReadLease(lease_);
  if (!lease.ok()) {
    status = lease.status();
  } else if (*lease) {
    status = EndLease(lease_, **lease);
  }
  StopGuard(/*wait=*/status.ok());
  return status;
}

Status ClockSession::StartGuard(const std::vector<std::string>& guard) {
  std::array<int, 2> ends = {-1, -1};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) {
    return IoError(fmt::format("no pipe to a guard of the clocks: {}", std::strerror(errno)), "close other files");
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
  std::vector<std::string> words = guard;
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const int error = posix_spawn(&guard_pid_, argv[0], &actions, &attributes, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  close(ends[0]);
  if (error != 0) {
    close(ends[1]);
    guard_pid_ = -1;
    return IoError(fmt::format("the guard of the clocks, {}, can't be started: {}", guard[0], std::strerror(error)),
                   "leave --allow-clocks out");
  }
  guard_pipe_ = ends[1];
  return Status::Ok();
}

void ClockSession::StopGuard(bool wait) {
  if (guard_pid_ < 0) return;
  close(guard_pipe_);
  while (wait && waitpid(guard_pid_, nullptr, 0) < 0 && errno == EINTR) continue;
  guard_pid_ = -1;
}

Status GuardLease(const std::string& path) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) std::signal(signal, SIG_IGN);
  std::array<char, 64> ignored;
  for (;;) {
    const ssize_t count = read(STDIN_FILENO, ignored.data(), ignored.size());
    if (count == 0 || (count < 0 && errno != EINTR)) break;
  }
  // The pipe ends a moment before its process does; a holder that ended well has removed the lease.
  constexpr std::chrono::milliseconds kLook{5};
  constexpr int kLooks = 2000;
  for (int look = 0; look < kLooks; ++look) {
    EYESHOT_ASSIGN_OR_RETURN(const std::optional<Lease> lease, ReadLease(path));
    if (!lease) return Status::Ok();
    if (!IsHeld(*lease)) return RepairLease(path).status();
    std::this_thread::sleep_for(kLook);
  }
  return Status::Ok();
}

}  // namespace eyeshot
