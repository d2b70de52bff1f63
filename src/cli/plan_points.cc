#include "cli/plan_points.h"

#include <CLI/CLI.hpp>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "reduce/reducer.h"
#include "reduce/tome.h"

namespace eyeshot::cli {

void AddPointsFlag(CLI::App& command, std::vector<std::string>& files) {
  command
      .add_option("--points", files,
                  "What was measured (`eyeshot eval --points`, docs/plan.md); several times for several files")
      ->allow_extra_args(false)
      ->type_name("FILE");
}

Status ReadPoints(const std::vector<std::string>& files, plan::Knowledge& knowledge) {
  for (const std::string& file : files) {
    EYESHOT_ASSIGN_OR_RETURN(const std::string lines, ReadTextFile(file, limits::kMaxPlanPointsBytes));
    EYESHOT_ASSIGN_OR_RETURN(std::vector<plan::MeasuredPoint> points, plan::ParsePoints(lines, file));
    for (plan::MeasuredPoint& point : points) {
      const Reducer* const reducer = FindReducer(point.reduction.name);
      const bool none = point.reduction.keep == 0;
      if (none || (reducer != nullptr && !reducer->clips_only)) knowledge.points.push_back(std::move(point));
    }
  }
  knowledge.default_reducer = FindReducer("auto")->name;
  knowledge.tower_patches = [](std::string_view name, const ModelConfig& config, int64_t keep) {
    const Reducer* const reducer = FindReducer(name);
    const bool in_tower = reducer != nullptr && reducer->in_tower && config.has_vision();
    return in_tower ? PatchesLeft(config.vision, keep) : std::vector<int64_t>();
  };
  return Status::Ok();
}

std::string PointPrecision(const std::string& asked, const std::string& loaded) {
  if (!asked.empty()) return asked;
  return loaded == "float32" ? "exact" : loaded;  // the reference backend's name of it
}

}  // namespace eyeshot::cli
