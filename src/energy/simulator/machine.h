// Machines that can be simulated: what they compute, move and draw, read from JSON (data/machines).
#ifndef EYESHOT_ENERGY_SIMULATOR_MACHINE_H_
#define EYESHOT_ENERGY_SIMULATOR_MACHINE_H_

#include <string>
#include <string_view>
#include <vector>

#include "eyeshot/status.h"

namespace eyeshot::simulator {

// Every figure but the name stands in the file as {"value": NUMBER, "source": "where it is from"}.
struct Machine {
  std::string name;
  double peak_tflops = 0;     // bf16, dense, at peak_clock_mhz
  double peak_clock_mhz = 0;  // the clock that the vendor's peak refers to
  double bandwidth_gb_s = 0;  // of memory
  double clock_min_mhz = 0;
  double clock_max_mhz = 0;
  double clock_step_mhz = 0;
  double tdp_w = 0;
  double idle_w = 0;         // nothing loaded
  double context_w = 0;      // a loaded program that waits, at any clock
  double clock_w = 0;        // clock tree and leakage at the highest clock
  double compute_w = 0;      // arithmetic at the peak of the highest clock; may lie above the TDP
  double memory_w = 0;       // DRAM at its full bandwidth, at any clock
  double memory_path_w = 0;  // caches and cores that move as many bytes, at the highest clock
  double v_min_ratio = 0;    // lowest voltage over that of the highest clock
  double v_knee_ratio = 0;   // clock over the highest one up to which the lowest voltage does
  double bandwidth_knee_ratio = 0;  // below it DRAM streams more slowly
  double gemm_efficiency = 0;       // of the peak, in wide products
  double attention_efficiency = 0;
  double bandwidth_efficiency = 0;  // of the bandwidth, in long streams
  double launch_us = 0;             // of one kernel or parallel section, where nothing is hidden
  double switch_ms = 0;             // until a new clock holds
};

// Errors: kCorrupt, kNotFound (a key), kLimitExceeded; each names file, key, value and mend.
Result<Machine> ParseMachine(std::string_view text, const std::string& file);

// `name` is a file that ends in .json, or one of a folder: "h100-sxm" is `dir`/h100-sxm.json.
Result<Machine> LoadMachine(const std::string& name, const std::string& dir);

// The names that LoadMachine takes, sorted.
std::vector<std::string> MachineNames(const std::string& dir);

}  // namespace eyeshot::simulator

#endif  // EYESHOT_ENERGY_SIMULATOR_MACHINE_H_
