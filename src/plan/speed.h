// How fast a CPU runs operations: a few picoseconds a class of operations, fitted to measurements (calibrate.h), kept
// in a file, and asked for any shape.
//
// Time of an operation is a sum of terms, each a feature of its shape times a figure of the machine: calls,
// multiply-adds, elements that are rounded, elements that are written, bytes of weights that stream by. Sums, not a
// maximum as in a roofline: what overlaps is then part of the fitted figures, and a least-squares fit has one solution.
#ifndef EYESHOT_PLAN_SPEED_H_
#define EYESHOT_PLAN_SPEED_H_

#include <array>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eyeshot/ledger.h"
#include "eyeshot/status.h"
#include "formats/processor_config.h"
#include "plan/operations.h"
#include "vision/image_processor.h"

namespace eyeshot::plan {

inline constexpr size_t kMostFeatures = 8;
// Unused ones are 0. The first is the call itself: 1.
using Features = std::array<double, kMostFeatures>;

// A class of operations with figures of its own: "linear.int8", "few.int8" (products of a few rows, which wait for
// weights), "encode_attention.exact", "prompt_attention.reduced.f16", "decode_attention.exact.int8", "norm", "rotary",
// "copy", "fresh" (bytes of memory that is touched for the first time), "sample".
std::string ClassOf(const Operation& op);
Features FeaturesOf(const Operation& op);
// Of a class's features in their order, for the file: "call", "multiply_add", ...
std::span<const std::string_view> FeatureNames(std::string_view class_name);

// The class of a stage: "stage.prefill.int8".
std::string StageClassOf(StageId id, WeightFormat format);

// Preparing a picture has no operations; its class is "preprocess".
inline constexpr std::string_view kPreprocess = "preprocess";
// REQUIRES: width, height >= 1.
Features PreprocessFeatures(const ImageProcessor& processor, const ImageProcessorConfig& config, int width, int height,
                            const TileBudget& budget);

struct MachineSpeed {
  std::string cpu;  // CpuName()
  std::string isa;  // IsaName
  int threads = 0;
  std::string version;  // of the program that measured
  std::string date;  // "2026-11-26"
  // Of the whole machine at work, where a meter could be read while it was measured; kNone otherwise.
  double busy_watts = 0;
  EnergySource watts_source = EnergySource::kNone;
  // Median of how far the fit is from what it was fitted to, and the most: of 1.
  double fit_median = 0;
  double fit_worst = 0;
  std::map<std::string, Features, std::less<>> picoseconds;

  // Seconds of one call; 0 for a class that has no figures.
  double Seconds(std::string_view class_name, const Features& features) const;
  double Seconds(const Operation& op) const;
  // Of all calls, one by one.
  double Seconds(const std::vector<Operation>& operations) const;
  // Of a stage, whose operations find caches as others left them: what the calls take one by one, corrected by what
  // stages of a small model took (StageClassOf()).
  double Seconds(StageId id, WeightFormat format, const std::vector<Operation>& operations) const;
  bool Knows(std::string_view class_name) const { return picoseconds.contains(class_name); }
};

// JSON with a line break at the end.
std::string MachineSpeedJson(const MachineSpeed& speed);
// Errors: kCorrupt, kNotFound (a key), kLimitExceeded; each names file, key, value and mend.
Result<MachineSpeed> ParseMachineSpeed(std::string_view text, const std::string& file);
Result<MachineSpeed> LoadMachineSpeed(const std::string& path);

// $XDG_CACHE_HOME/eyeshot/speed-CPU-ISA-THREADS.json, or in ~/.cache. `get` is std::getenv. Error: kNotFound (neither
// variable is set).
Result<std::string> MachineSpeedPath(const std::function<const char*(const char*)>& get, const std::string& cpu,
                                     const std::string& isa, int threads);

// What speaks against using these figures here, in words; empty: nothing. They are of another CPU, instruction set,
// number of threads or version of the program.
std::vector<std::string> StaleReasons(const MachineSpeed& speed, const std::string& cpu, const std::string& isa,
                                      int threads, const std::string& version);

// The figures >= 0 that come nearest to `seconds` of `rows` calls, by the least sum of squares of relative errors
// (projected coordinate descent; Lawson and Hanson's non-negative least squares has the same solution).
// REQUIRES: as many rows as seconds, all seconds > 0.
Features FitPicoseconds(std::span<const Features> rows, std::span<const double> seconds);

}  // namespace eyeshot::plan

#endif  // EYESHOT_PLAN_SPEED_H_
