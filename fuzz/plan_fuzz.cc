// The input is a file that `eyeshot plan` reads; its first byte says which: a machine's speed, measured points, the
// grid of the scaling law or published scores. What is accepted gives finite times and accuracies, and a speed is
// written and read back as it is.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "plan/auto.h"
#include "plan/law.h"
#include "plan/scores.h"
#include "plan/speed.h"

namespace {

namespace plan = eyeshot::plan;

void TrySpeed(std::string_view text) {
  const auto speed = plan::ParseMachineSpeed(text, "speed.json");
  if (!speed.ok()) return;
  const auto again = plan::ParseMachineSpeed(plan::MachineSpeedJson(*speed), "again.json");
  EYESHOT_CHECK(again.ok() && again->picoseconds.size() == speed->picoseconds.size());
  plan::Operation op;
  op.rows = op.outputs = op.inputs = 64;
  EYESHOT_CHECK(std::isfinite(speed->Seconds(op)) && speed->Seconds(op) >= 0);
}

void TryGrid(std::string_view text) {
  const auto grid = plan::ParseLawGrid(text, "grid.json");
  if (!grid.ok()) return;
  for (const plan::Task task : {plan::Task::kReasoning, plan::Task::kReading}) {
    EYESHOT_CHECK(grid->Of(task).size() > 3);
    for (const plan::LawPoint& point : grid->Of(task)) EYESHOT_CHECK(point.accuracy >= 0 && point.accuracy <= 1);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 5) {
    case 0: TrySpeed(text); break;
    case 1: {
      const auto points = plan::ParsePoints(text, "points");
      if (!points.ok()) break;
      for (const plan::MeasuredPoint& point : *points) {
        EYESHOT_CHECK((point.reduction.keep >= 1) == !point.reduction.name.empty());
        EYESHOT_CHECK(point.reduction.keep >= 0);
      }
      break;
    }
    case 2: TryGrid(text); break;
    case 3: {
      const auto scores = plan::ParsePublishedScores(text, "scores.json");
      if (scores.ok()) static_cast<void>(scores->Find(text));
      break;
    }
    default: static_cast<void>(plan::ParseBudget(text)); break;
  }
  return 0;
}
