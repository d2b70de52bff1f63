// Which of Highway's targets the portable kernels are compiled for: one for each Isa of base/cpu.h. Include it
// before any Highway header.
//
// Highway 1.0.3's weakest vector target on x86 is SSSE3, so Isa::kSse2 runs that one; every x86-64 CPU since
// 2011 has it, and KernelsFor() checks. It's made the baseline, else Highway would compile a scalar target too.
#ifndef EYESHOT_KERNELS_PORTABLE_TARGETS_H_
#define EYESHOT_KERNELS_PORTABLE_TARGETS_H_

#if defined(__x86_64__)
#define HWY_BASELINE_TARGETS HWY_SSSE3
#define HWY_DISABLED_TARGETS (HWY_SSE4 | HWY_AVX3_DL)
#elif defined(__aarch64__)
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
#else
#error "Eyeshot's kernels are written for x86-64 and aarch64"
#endif

#endif  // EYESHOT_KERNELS_PORTABLE_TARGETS_H_
