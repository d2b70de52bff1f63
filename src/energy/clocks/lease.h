// A lease: which settings of the machine a running program has changed, and what they were, in a file. Who ends without
// putting them back (a crash, kill -9) is found out by it, and the settings are put back by a guard process or by the
// next start.
#ifndef EYESHOT_ENERGY_CLOCKS_LEASE_H_
#define EYESHOT_ENERGY_CLOCKS_LEASE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "energy/clocks/setting.h"
#include "eyeshot/status.h"

namespace eyeshot {

struct SavedSetting {
  MachineSetting setting;
  std::string before;
};

struct Lease {
  int64_t pid = 0;  // who holds it
  uint64_t start_ticks = 0;  // when that process began, by /proc/PID/stat: numbers of processes are used again
  std::string boot_id;  // of the running kernel: clocks don't outlive it
  std::vector<SavedSetting> saved;
};

// Where this user's lease is: $EYESHOT_LEASE, else /run/eyeshot/clocks.json for root, $XDG_RUNTIME_DIR/eyeshot or
// /tmp/eyeshot-UID for others.
std::string LeasePath();

// Errors: kCorrupt, kLimitExceeded, kNotFound (a key); each names file, key and mend.
Result<Lease> ParseLease(std::string_view text, const std::string& file);
// Nothing where there is none. Errors: as ParseLease(), kIo (it, or its folder, is another user's, or others may write
// there: what it says is not trusted).
Result<std::optional<Lease>> ReadLease(const std::string& path);

// Saves what `settings` are now and writes the lease for this process, in a folder for this user alone, which is made.
// What a dead process has left is put back first. Errors: kUnsupported (another process holds it; names it), kIo, and
// those of ReadSetting().
Status TakeLease(const std::string& path, const std::vector<MachineSetting>& settings);

// Whether the process that holds it still runs.
bool IsHeld(const Lease& lease);

// Puts back what the lease at `path` saved and is another now, and removes it; all settings are tried, the first error
// is returned and the lease then stays. Of a boot that is over there is nothing to put back.
Status EndLease(const std::string& path, const Lease& lease);

// Removes it although its settings are not put back: of who was not allowed to change any.
void DropLease(const std::string& path);

// Puts back what a dead process has left. True: there was something. Errors: of ReadLease() and EndLease().
Result<bool> RepairLease(const std::string& path);

}  // namespace eyeshot

#endif  // EYESHOT_ENERGY_CLOCKS_LEASE_H_
