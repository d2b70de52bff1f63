#include "energy/simulator/measured.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "energy/json_list.h"
#include "formats/json.h"

namespace eyeshot::simulator {
namespace {

// Far beyond what is measured, so that only slips of a unit are refused.
constexpr double kMaxTiles = 10'000;
constexpr double kMaxTokens = limits::kMaxContext;
constexpr double kMaxMs = 1e6;
constexpr double kMaxWatts = 1e5;
constexpr double kMaxJoules = 1e9;

Result<MeasuredStage> ParseStage(const JsonObject& row, Stage stage, double steps) {
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject entry, row.Object(std::string(StageLabel(stage))));
  MeasuredStage measured;
  EYESHOT_ASSIGN_OR_RETURN(const double ms,
                           entry.Number(stage == Stage::kDecode ? "ms_per_token" : "ms", 1e-6, kMaxMs));
  measured.seconds = steps * ms * 1e-3;
  EYESHOT_ASSIGN_OR_RETURN(measured.power_w, entry.Number("w", 1e-3, kMaxWatts));
  return measured;
}

Result<MeasuredRow> ParseRow(const Json& tree, const std::string& where) {
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject object, JsonObject::Root(tree, where));
  MeasuredRow row;
  EYESHOT_ASSIGN_OR_RETURN(row.model, object.String("model"));
  EYESHOT_ASSIGN_OR_RETURN(row.tiles, object.Number("tiles", 1, kMaxTiles));
  EYESHOT_ASSIGN_OR_RETURN(row.text_tokens, object.Number("text_tokens", 1, kMaxTokens));
  EYESHOT_ASSIGN_OR_RETURN(row.output_tokens, object.Number("output_tokens", 1, kMaxTokens));
  EYESHOT_ASSIGN_OR_RETURN(row.text_only_joules, object.Number("text_only_joules", 1e-6, kMaxJoules));
  for (int s = 0; s < kStages; ++s) {
    const auto stage = static_cast<Stage>(s);
    EYESHOT_ASSIGN_OR_RETURN(row.stages[s], ParseStage(object, stage, stage == Stage::kDecode ? row.output_tokens : 1));
  }
  return row;
}

}  // namespace

double MeasuredRow::joules() const {
  double joules = 0;
  for (const MeasuredStage& stage : stages) joules += stage.seconds * stage.power_w;
  return joules;
}

const MeasuredRow* MeasuredRows::Find(std::string_view model, const Request& request) const {
  for (const MeasuredRow& row : rows) {
    if (row.model == model && row.tiles == request.tiles && row.text_tokens == request.text_tokens &&
        row.output_tokens == request.output_tokens) {
      return &row;
    }
  }
  return nullptr;
}

Joules MeasuredRows::Measured(double joules) const {
  return {joules, joules * (1 - relative_error), joules * (1 + relative_error), EnergySource::kNvmlCounter};
}

Result<MeasuredRows> ParseMeasured(std::string_view text, const std::string& file) {
  EYESHOT_ASSIGN_OR_RETURN(const Json tree, ParseJsonTree(text, file));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject root, JsonObject::Root(tree, file));
  MeasuredRows measured;
  EYESHOT_ASSIGN_OR_RETURN(measured.label, root.String("label"));
  EYESHOT_ASSIGN_OR_RETURN(measured.machine, root.String("machine"));
  EYESHOT_ASSIGN_OR_RETURN(measured.software, root.String("software"));
  EYESHOT_ASSIGN_OR_RETURN(measured.source, root.String("source"));
  EYESHOT_ASSIGN_OR_RETURN(measured.relative_error, root.Number("relative_error", 0, 1));
  EYESHOT_ASSIGN_OR_RETURN(const Json* const rows, ListOf(root, "rows", limits::kMaxMeasuredRows,
                                                          "give a row for each model and input, and no more"));
  for (size_t i = 0; i < rows->size(); ++i) {
    EYESHOT_ASSIGN_OR_RETURN(MeasuredRow row, ParseRow((*rows)[i], fmt::format("{}: rows[{}]", file, i)));
    measured.rows.push_back(std::move(row));
  }
  return measured;
}

Result<MeasuredRows> ReadMeasured(const std::string& path) {
  EYESHOT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, limits::kMaxMachineBytes));
  return ParseMeasured(text, path);
}

}  // namespace eyeshot::simulator
