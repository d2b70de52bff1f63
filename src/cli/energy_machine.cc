#include "cli/energy_machine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <utility>

#include "base/error.h"
#include "cli/program_files.h"
#include "energy/simulator/power.h"
#include "kernels/machine_peak.h"

namespace eyeshot::cli {
namespace {

// Below a quarter of either peak neither explains a stage's time: launches, waits and short loops do.
constexpr double kBoundShare = 0.25;
constexpr char kStandIn[] = "laptop";

// The file of a GPU by a word of its name; the first that fits.
constexpr std::pair<std::string_view, std::string_view> kGpus[] = {
    {"H100", "h100-sxm"}, {"H200", "h200"}, {"A100-SXM", "a100-sxm"}, {"Orin", "jetson-orin"}};

Peaks PeaksOf(const simulator::Machine& machine) {
  return {machine.peak_tflops * 1e12 * machine.clock_max_mhz / machine.peak_clock_mhz, machine.bandwidth_gb_s * 1e9,
          fmt::format("data sheet of {}: bfloat16, dense, at the highest clock", machine.name)};
}

}  // namespace

Result<MachineChoice> ChooseMachine(const std::string& asked, const ModelInfo& model) {
  const auto is_folder = [](const std::filesystem::path& path) { return std::filesystem::is_directory(path); };
  const Result<std::string> folder = FindBesideProgram("machines", "data/machines", is_folder);
  std::string name = asked;
  for (const auto& [word, file] : kGpus) {
    if (name.empty() && model.device != "cpu" && model.device.find(word) != std::string::npos) name = file;
  }
  MachineChoice choice;
  choice.stand_in = name.empty() && model.device == "cpu";
  if (choice.stand_in) name = kStandIn;
  if (!name.empty()) {
    Result<simulator::Machine> machine = simulator::LoadMachine(name, folder.ok() ? *folder : "");
    if (!machine.ok() && !asked.empty()) return folder.ok() ? machine.status() : folder.status();
    if (machine.ok()) choice.machine = *std::move(machine);
  }
  if (choice.machine && !choice.stand_in) choice.peaks = PeaksOf(*choice.machine);
  if (asked.empty() && model.device == "cpu") {
    const MachinePeak peak = MeasurePeak(model.threads);
    choice.peaks = Peaks{peak.gflops * 1e9, peak.gbytes * 1e9,
                         fmt::format("measured here: float32 multiply-adds and reading, {} threads", model.threads)};
  }
  return choice;
}

Utilization UtilizationOf(const StageCost& counts, double seconds, const std::optional<Peaks>& peaks) {
  Utilization use{.bound = "host"};
  if (seconds <= 0 || counts.flops == 0) return use;
  use.flops_per_s = static_cast<double>(counts.flops) / seconds;
  use.bytes_per_s = static_cast<double>(counts.bytes) / seconds;
  use.bound = "";
  if (!peaks) return use;
  use.compute = use.flops_per_s / peaks->flops_per_s;
  use.memory = use.bytes_per_s / peaks->bytes_per_s;
  const bool latency = std::max(use.compute, use.memory) < kBoundShare;
  use.bound = latency ? "latency" : use.compute >= use.memory ? "compute" : "memory";
  return use;
}

Joules ModelJoules(const simulator::Machine& machine, const Utilization& utilization, double seconds) {
  const double compute = std::min(1.0, utilization.compute);
  const double memory = std::min(1.0, utilization.memory);
  const double watts = simulator::WaitingPower(machine, machine.clock_max_mhz) + compute * machine.compute_w +
                       memory * (machine.memory_path_w + machine.memory_w);
  return simulator::SimulatedJoules(std::min(watts, machine.tdp_w) * seconds);
}

}  // namespace eyeshot::cli
