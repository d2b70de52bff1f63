// What the machine can do at most: the floors that kernels are measured against.
#ifndef EYESHOT_KERNELS_MACHINE_PEAK_H_
#define EYESHOT_KERNELS_MACHINE_PEAK_H_

namespace eyeshot {

struct MachinePeak {
  double gflops;  // float32 fused multiply-adds (2 FLOPs each) out of registers, all threads together
  double gbytes;  // bytes read per second, in 1e9, from a buffer far larger than the last cache
};

// The best of several short runs on `threads` threads, with the instruction set of ChooseIsa().
MachinePeak MeasurePeak(int threads);

}  // namespace eyeshot

#endif  // EYESHOT_KERNELS_MACHINE_PEAK_H_
