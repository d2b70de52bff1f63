// For tests: AMX instructions in software, so that their very machine code runs on any x86-64 CPU with Linux.
//
// A CPU without AMX raises SIGILL; the handler reads the instruction where it stands, carries it out as Intel's manual
// defines it (Software Developer's Manual, volume 2) on tiles of its own, and goes on behind it.
#ifndef EYESHOT_KERNELS_X86_AMX_EMULATOR_H_
#define EYESHOT_KERNELS_X86_AMX_EMULATOR_H_

namespace eyeshot::x86 {

// While one lives, all threads can execute ldtilecfg, tilerelease, tilezero, tileloadd, tileloaddt1, tilestored,
// tdpbf16ps, tdpbssd, tdpbsud, tdpbusd and tdpbuud. What the manual forbids (no configuration, shapes that do not fit)
// and other SIGILLs go to the handler that was there before. Nothing is emulated on a CPU that has the instructions.
// REQUIRES: one at a time.
class ScopedAmxEmulator {
 public:
  ScopedAmxEmulator();
  ~ScopedAmxEmulator();
  ScopedAmxEmulator(const ScopedAmxEmulator&) = delete;
  ScopedAmxEmulator& operator=(const ScopedAmxEmulator&) = delete;

 private:
  bool installed_ = false;
};

}  // namespace eyeshot::x86

#endif  // EYESHOT_KERNELS_X86_AMX_EMULATOR_H_
