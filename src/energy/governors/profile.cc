#include "energy/governors/profile.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>

#include "base/error.h"
#include "base/limits.h"
#include "energy/json_list.h"
#include "formats/json.h"

namespace eyeshot {
namespace {

constexpr double kMhzPerGhz = 1000;
constexpr const char* kMend = "make the profile again with `eyeshot tune`";
constexpr double kMostMhz = 1e6;
constexpr double kMostSeconds = 1e6;
constexpr double kMostJoules = 1e9;

// y = a + b x by least squares of relative errors, neither below 0.
struct Line {
  double a = 0;
  double b = 0;
  double error = 0;
};
Line FitLine(const std::vector<double>& x, const std::vector<double>& y) {
  double w = 0, wx = 0, wy = 0, wxx = 0, wxy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double weight = 1 / (y[i] * y[i]);
    w += weight;
    wx += weight * x[i];
    wy += weight * y[i];
    wxx += weight * x[i] * x[i];
    wxy += weight * x[i] * y[i];
  }
  Line line;
  const double determinant = w * wxx - wx * wx;
  if (determinant > 1e-12 * w * wxx) {
    line.b = (w * wxy - wx * wy) / determinant;
    line.a = (wy - line.b * wx) / w;
  }
  if (line.b <= 0) line = {wy / w, 0, 0};
  if (line.a < 0) line = {0, wxy / wxx, 0};
  for (size_t i = 0; i < x.size(); ++i) {
    const double off = (line.a + line.b * x[i]) / y[i] - 1;
    line.error += off * off / static_cast<double>(x.size());
  }
  line.error = std::sqrt(line.error);
  return line;
}

Result<std::vector<JsonObject>> Entries(const JsonObject& parent, const char* key, size_t most) {
  EYESHOT_ASSIGN_OR_RETURN(const Json* const list, ListOf(parent, key, most, kMend));
  std::vector<JsonObject> entries;
  for (const Json& entry : *list) {
    EYESHOT_ASSIGN_OR_RETURN(JsonObject object, JsonObject::Root(entry, parent.file()));
    entries.push_back(std::move(object));
  }
  return entries;
}

Result<StageCurve> ParseCurve(const JsonObject& stages, const char* name) {
  StageCurve curve;
  EYESHOT_ASSIGN_OR_RETURN(const std::vector<JsonObject> entries, Entries(stages, name, limits::kMaxClocks));
  double last_mhz = 0;
  for (const JsonObject& entry : entries) {
    ClockPoint point;
    EYESHOT_ASSIGN_OR_RETURN(point.clock_mhz, entry.Number("clock_mhz", 1, kMostMhz));
    EYESHOT_ASSIGN_OR_RETURN(point.seconds, entry.Number("seconds", 1e-12, kMostSeconds));
    EYESHOT_ASSIGN_OR_RETURN(const double joules, entry.NumberOr("joules", 0, kMostJoules, -1));
    if (joules >= 0) point.joules = joules;
    if (point.clock_mhz <= last_mhz) {
      return entry.Error(StatusCode::kCorrupt, "clock_mhz", "clocks that ascend", kMend);
    }
    last_mhz = point.clock_mhz;
    curve.points.push_back(point);
  }
  curve.fit = FitStage(curve.points);
  return curve;
}

}  // namespace

std::string_view GovernedStageName(GovernedStage stage) {
  constexpr std::string_view kNames[] = {"encode", "prefill", "decode"};
  return kNames[static_cast<size_t>(stage)];
}

std::optional<GovernedStage> GovernedStageOf(StageId id) {
  switch (id) {
    case StageId::kDecodeImage:
    case StageId::kPreprocess:
    case StageId::kEncode:
    case StageId::kConnect:
    case StageId::kReduce: return GovernedStage::kEncode;
    case StageId::kPrefill: return GovernedStage::kPrefill;
    case StageId::kDecode: return GovernedStage::kDecode;
    default: return std::nullopt;
  }
}

double StageFit::SecondsAt(double mhz) const { return fixed_s + per_ghz_s * kMhzPerGhz / mhz; }

double StageFit::JoulesAt(double mhz) const {
  const double ghz = mhz / kMhzPerGhz;
  return SecondsAt(mhz) * (base_w + cubic_w * ghz * ghz * ghz);
}

StageFit FitStage(const std::vector<ClockPoint>& points) {
  StageFit fit;
  if (points.empty()) return fit;
  std::vector<double> inverse, seconds, cubes, watts;
  for (const ClockPoint& point : points) {
    const double ghz = point.clock_mhz / kMhzPerGhz;
    inverse.push_back(1 / ghz);
    seconds.push_back(point.seconds);
    if (!point.joules || *point.joules <= 0) continue;
    cubes.push_back(ghz * ghz * ghz);
    watts.push_back(*point.joules / point.seconds);
  }
  const Line time = FitLine(inverse, seconds);
  fit.fixed_s = time.a;
  fit.per_ghz_s = time.b;
  fit.time_error = time.error;
  fit.has_power = watts.size() == points.size();
  if (!fit.has_power) return fit;
  const Line power = FitLine(cubes, watts);
  fit.base_w = power.a;
  fit.cubic_w = power.b;
  fit.power_error = power.error;
  return fit;
}

int FewestThreads(const std::vector<ThreadPoint>& points, double loss) {
  double best = 0;
  for (const ThreadPoint& point : points) best = std::max(best, point.tokens_per_s);
  int fewest = 0;
  for (const ThreadPoint& point : points) {
    if (point.tokens_per_s >= (1 - loss) * best && (fewest == 0 || point.threads < fewest)) fewest = point.threads;
  }
  return fewest;
}

Result<TuneProfile> ParseProfile(std::string_view text, const std::string& file) {
  EYESHOT_ASSIGN_OR_RETURN(const Json tree, ParseJsonTree(text, file));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject root, JsonObject::Root(tree, file));
  EYESHOT_ASSIGN_OR_RETURN(const int64_t version, root.Integer("eyeshot_profile", 1, 1));
  static_cast<void>(version);
  TuneProfile profile;
  EYESHOT_ASSIGN_OR_RETURN(profile.machine, root.String("machine"));
  EYESHOT_ASSIGN_OR_RETURN(profile.model, root.String("model"));
  EYESHOT_ASSIGN_OR_RETURN(profile.precision, root.String("precision"));
  EYESHOT_ASSIGN_OR_RETURN(profile.date, root.String("date"));
  EYESHOT_ASSIGN_OR_RETURN(profile.energy_source, root.String("energy_source"));
  EYESHOT_ASSIGN_OR_RETURN(profile.switch_s, root.Number("switch_s", 0, kMostSeconds));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject stages, root.Object("stages"));
  for (size_t stage = 0; stage < kGovernedStages; ++stage) {
    const std::string name(GovernedStageName(static_cast<GovernedStage>(stage)));
    EYESHOT_ASSIGN_OR_RETURN(profile.stages[stage], ParseCurve(stages, name.c_str()));
  }
  EYESHOT_ASSIGN_OR_RETURN(const std::vector<JsonObject> threads, Entries(root, "threads", limits::kMaxThreads));
  for (const JsonObject& entry : threads) {
    ThreadPoint point;
    EYESHOT_ASSIGN_OR_RETURN(const int64_t count, entry.Integer("threads", 1, limits::kMaxThreads));
    EYESHOT_ASSIGN_OR_RETURN(point.tokens_per_s, entry.Number("tokens_per_s", 0, kMostJoules));
    point.threads = static_cast<int>(count);
    profile.threads.push_back(point);
  }
  EYESHOT_ASSIGN_OR_RETURN(const int64_t decode_threads, root.Integer("decode_threads", 0, limits::kMaxThreads));
  profile.decode_threads = static_cast<int>(decode_threads);
  return profile;
}

std::string ProfileText(const TuneProfile& profile) {
  nlohmann::ordered_json json = {{"eyeshot_profile", 1},        {"machine", profile.machine},
                                 {"model", profile.model},      {"precision", profile.precision},
                                 {"date", profile.date},        {"energy_source", profile.energy_source},
                                 {"switch_s", profile.switch_s}};
  for (size_t stage = 0; stage < kGovernedStages; ++stage) {
    auto& points = json["stages"][std::string(GovernedStageName(static_cast<GovernedStage>(stage)))];
    points = nlohmann::ordered_json::array();
    for (const ClockPoint& point : profile.stages[stage].points) {
      points.push_back({{"clock_mhz", point.clock_mhz}, {"seconds", point.seconds}});
      if (point.joules) points.back()["joules"] = *point.joules;
    }
  }
  json["threads"] = nlohmann::ordered_json::array();
  for (const ThreadPoint& point : profile.threads) {
    json["threads"].push_back({{"threads", point.threads}, {"tokens_per_s", point.tokens_per_s}});
  }
  json["decode_threads"] = profile.decode_threads;
  return json.dump(2) + "\n";
}

}  // namespace eyeshot
