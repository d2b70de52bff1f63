#include "energy/simulator/machine.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "formats/json.h"

namespace eyeshot::simulator {
namespace {

struct Figure {
  const char* key;
  double Machine::* field;
  double min;
  double max;
};

// Ranges a hundred times wider than what is built today, so that only slips of a unit are refused.
constexpr Figure kFigures[] = {
    {"peak_tflops", &Machine::peak_tflops, 1e-3, 1e5},
    {"peak_clock_mhz", &Machine::peak_clock_mhz, 10, 1e5},
    {"bandwidth_gb_s", &Machine::bandwidth_gb_s, 0.1, 1e6},
    {"clock_min_mhz", &Machine::clock_min_mhz, 10, 1e5},
    {"clock_max_mhz", &Machine::clock_max_mhz, 10, 1e5},
    {"clock_step_mhz", &Machine::clock_step_mhz, 1, 1e5},
    {"tdp_w", &Machine::tdp_w, 0.1, 1e5},
    {"idle_w", &Machine::idle_w, 0, 1e4},
    {"context_w", &Machine::context_w, 0, 1e4},
    {"clock_w", &Machine::clock_w, 0, 1e4},
    {"compute_w", &Machine::compute_w, 0, 1e5},
    {"memory_w", &Machine::memory_w, 0, 1e5},
    {"memory_path_w", &Machine::memory_path_w, 0, 1e5},
    {"v_min_ratio", &Machine::v_min_ratio, 0.1, 1},
    {"v_knee_ratio", &Machine::v_knee_ratio, 0, 0.99},
    {"bandwidth_knee_ratio", &Machine::bandwidth_knee_ratio, 0.01, 1},
    {"gemm_efficiency", &Machine::gemm_efficiency, 0.01, 1},
    {"attention_efficiency", &Machine::attention_efficiency, 0.01, 1},
    {"bandwidth_efficiency", &Machine::bandwidth_efficiency, 0.01, 1},
    {"launch_us", &Machine::launch_us, 0, 1e6},
    {"switch_ms", &Machine::switch_ms, 0, 1e6},
};

Status CheckClocks(const JsonObject& root, const Machine& machine) {
  constexpr double kMaxClocks = 10'000;  // a sweep visits each
  if (machine.clock_max_mhz < machine.clock_min_mhz) {
    return root.Error(StatusCode::kCorrupt, "clock_max_mhz", fmt::format("at least {}", machine.clock_min_mhz),
                      "exchange it with clock_min_mhz");
  }
  if ((machine.clock_max_mhz - machine.clock_min_mhz) / machine.clock_step_mhz > kMaxClocks) {
    return root.Error(StatusCode::kLimitExceeded, "clock_step_mhz", fmt::format("at most {} clocks", kMaxClocks),
                      "give a larger step");
  }
  if (machine.idle_w + machine.context_w > machine.tdp_w) {
    return root.Error(StatusCode::kCorrupt, "tdp_w",
                      fmt::format("more than the {} W of idle_w and context_w", machine.idle_w + machine.context_w),
                      "correct one of them");
  }
  return Status::Ok();
}

}  // namespace

Result<Machine> ParseMachine(std::string_view text, const std::string& file) {
  EYESHOT_ASSIGN_OR_RETURN(const Json tree, ParseJsonTree(text, file));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject root, JsonObject::Root(tree, file));
  Machine machine;
  EYESHOT_ASSIGN_OR_RETURN(machine.name, root.String("name"));
  for (const Figure& figure : kFigures) {
    EYESHOT_ASSIGN_OR_RETURN(const JsonObject entry, root.Object(figure.key));
    EYESHOT_ASSIGN_OR_RETURN(machine.*figure.field, entry.Number("value", figure.min, figure.max));
    EYESHOT_ASSIGN_OR_RETURN(const std::string source, entry.String("source"));
    if (source.empty()) {
      return entry.Error(StatusCode::kCorrupt, "source", "a text", "say where the figure is from");
    }
  }
  EYESHOT_RETURN_IF_ERROR(CheckClocks(root, machine));
  return machine;
}

Result<Machine> LoadMachine(const std::string& name, const std::string& dir) {
  const bool is_file = name.ends_with(".json");
  const std::string path = is_file ? name : JoinPath(dir, name + ".json");
  if (!is_file && (name.find('/') != std::string::npos || !FileExists(path))) {
    return NotFoundError(fmt::format("there is no machine '{}' in {}", name, dir),
                         fmt::format("take one of {}, or a FILE.json", fmt::join(MachineNames(dir), ", ")));
  }
  EYESHOT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, limits::kMaxMachineBytes));
  return ParseMachine(text, path);
}

std::vector<std::string> MachineNames(const std::string& dir) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(dir, error)) {
    if (entry.path().extension() == ".json") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace eyeshot::simulator
