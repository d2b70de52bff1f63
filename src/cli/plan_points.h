// Measured points: as --points names them, and as `eyeshot eval --points` writes them.
#ifndef EYESHOT_CLI_PLAN_POINTS_H_
#define EYESHOT_CLI_PLAN_POINTS_H_

#include <string>
#include <vector>

#include "eyeshot/status.h"
#include "plan/planner.h"

namespace CLI {
class App;
}

namespace eyeshot::cli {

// --points
void AddPointsFlag(CLI::App& command, std::vector<std::string>& files);

// Adds what the files hold to `knowledge`, and says which reducers work in the tower. Points of reducers that pictures
// can't have, as evs, are left out. Errors: those of plan::ParsePoints and of reading.
Status ReadPoints(const std::vector<std::string>& files, plan::Knowledge& knowledge);

// What points call the precision of a model that was loaded with `--precision asked` ("": none) and says `loaded`.
std::string PointPrecision(const std::string& asked, const std::string& loaded);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_PLAN_POINTS_H_
