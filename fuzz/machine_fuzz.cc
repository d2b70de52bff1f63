// The input is a machine of the simulator, as in data/machines. What is accepted can be simulated: every time and power
// of a stage is a finite number above zero, at every clock.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "energy/simulator/machine.h"
#include "energy/simulator/power.h"
#include "energy/simulator/work.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace simulator = eyeshot::simulator;
  const auto machine = simulator::ParseMachine({reinterpret_cast<const char*>(data), size}, "machine.json");
  if (!machine.ok()) return 0;
  const std::vector<double> clocks = simulator::Clocks(*machine);
  EYESHOT_CHECK(!clocks.empty());
  const simulator::ModelShape& model = simulator::ModelShapes().front();
  const simulator::Request request = simulator::RequestFor(model, model.tiles, 16, 16);
  const simulator::Software& software = simulator::Softwares().front();
  const simulator::Work work = simulator::StageWork(simulator::Stage::kPrefill, model, software, request, 1);
  for (const double clock : {clocks.front(), clocks.back()}) {
    EYESHOT_CHECK(simulator::NearestClock(*machine, clock) == clock);
    EYESHOT_CHECK(std::isfinite(simulator::WaitingPower(*machine, clock)));
    const simulator::Point point = simulator::RunAt(*machine, work, clock);
    EYESHOT_CHECK(std::isfinite(point.power_w) && point.power_w > 0);
    EYESHOT_CHECK(std::isfinite(point.seconds) && point.seconds > 0);
  }
  return 0;
}
