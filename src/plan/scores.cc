#include "plan/scores.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "base/limits.h"
#include "formats/json.h"

namespace eyeshot::plan {
namespace {

constexpr double kMostMs = 1e9;
constexpr double kMostJoules = 1e9;

Result<std::optional<double>> OptionalNumber(const JsonObject& object, const std::string& key, double max) {
  if (!object.Has(key)) return std::optional<double>();
  EYESHOT_ASSIGN_OR_RETURN(const double value, object.Number(key, 0, max));
  return std::optional<double>(value);
}

Result<MeasuredPoint> ReadPoint(const Json& json, const std::string& where) {
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject object, JsonObject::Root(json, where));
  MeasuredPoint point;
  EYESHOT_ASSIGN_OR_RETURN(point.model, object.String("model"));
  EYESHOT_ASSIGN_OR_RETURN(point.precision, object.StringOr("precision", "exact"));
  EYESHOT_ASSIGN_OR_RETURN(point.detail, object.StringOr("detail", "reference"));
  EYESHOT_ASSIGN_OR_RETURN(const std::string reduce, object.StringOr("reduce", "none"));
  EYESHOT_ASSIGN_OR_RETURN(point.score, object.Number("score", 0, 1));
  EYESHOT_ASSIGN_OR_RETURN(point.ms, OptionalNumber(object, "ms", kMostMs));
  EYESHOT_ASSIGN_OR_RETURN(point.joules, OptionalNumber(object, "joules", kMostJoules));
  EYESHOT_ASSIGN_OR_RETURN(point.tokens, OptionalNumber(object, "tokens", static_cast<double>(limits::kMaxContext)));
  EYESHOT_ASSIGN_OR_RETURN(const std::string task, object.StringOr("task", ""));
  // Sweeps name their own tasks; only the two that a plan knows say something here.
  if (const Result<Task> known = ParseTask(task); known.ok()) point.task = *known;
  Result<Reduction> reduction = ParseReduction(reduce);
  if (!reduction.ok()) return reduction.status().At(where);
  point.reduction = *std::move(reduction);
  return point;
}

Status TooMany(const std::string& file) {
  return LimitError(fmt::format("{}: more than {} points", file, limits::kMaxPlanPoints), "take those of one set");
}

std::string Lower(std::string_view text) {
  std::string lower;
  for (const char c : text) lower += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

// The mean of an object of accuracies, and their names.
Status ReadTables(const JsonObject& model, const char* task, double& mean, std::string& names) {
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject tables, model.Object(task));
  std::vector<std::string> known;
  for (const auto& [name, value] : tables.json().items()) {
    EYESHOT_ASSIGN_OR_RETURN(const double score, tables.Number(name, 0, 1));
    mean += score;
    known.push_back(name);
  }
  if (known.empty()) return model.Error(StatusCode::kCorrupt, task, "at least one table", "install Eyeshot again");
  mean /= static_cast<double>(known.size());
  names = fmt::format("{}", fmt::join(known, ", "));
  return Status::Ok();
}

}  // namespace

Result<Reduction> ParseReduction(std::string_view text) {
  if (text.empty() || text == "none") return Reduction();
  const size_t colon = text.rfind(':');
  Reduction reduction;
  reduction.name = text.substr(0, colon);
  const auto bad = [&] {
    return CorruptError(fmt::format("reduce is '{}'", text), "write none, or NAME:TOKENS with the tokens of a tile");
  };
  if (colon == std::string_view::npos || reduction.name.empty()) return bad();
  const std::string_view keep = text.substr(colon + 1);
  const auto [end, error] = std::from_chars(keep.data(), keep.data() + keep.size(), reduction.keep);
  if (error != std::errc() || end != keep.data() + keep.size() || reduction.keep < 1) return bad();
  return reduction;
}

Result<std::vector<MeasuredPoint>> ParsePoints(std::string_view text, const std::string& file) {
  std::vector<MeasuredPoint> points;
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return points;
  if (text[first] == '[') {
    EYESHOT_ASSIGN_OR_RETURN(const Json tree, ParseJsonTree(text, file));
    if (tree.size() > limits::kMaxPlanPoints) return TooMany(file);
    for (const Json& json : tree) {
      EYESHOT_ASSIGN_OR_RETURN(MeasuredPoint point, ReadPoint(json, fmt::format("{}[{}]", file, points.size())));
      points.push_back(std::move(point));
    }
    return points;
  }
  int line_number = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++line_number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    if (points.size() >= limits::kMaxPlanPoints) return TooMany(file);
    const std::string where = fmt::format("{}:{}", file, line_number);
    EYESHOT_ASSIGN_OR_RETURN(const Json json, ParseJsonTree(line, where));
    EYESHOT_ASSIGN_OR_RETURN(MeasuredPoint point, ReadPoint(json, where));
    points.push_back(std::move(point));
  }
  return points;
}

const PublishedScore* PublishedScores::Find(std::string_view name) const {
  std::string wanted = Lower(name);
  if (const size_t two = wanted.find("smolvlm2"); two != std::string::npos) wanted.erase(two + 7, 1);
  for (const PublishedScore& model : models) {
    if (wanted.find(Lower(model.name)) != std::string::npos) return &model;
  }
  return nullptr;
}

Result<PublishedScores> ParsePublishedScores(std::string_view text, const std::string& file) {
  EYESHOT_ASSIGN_OR_RETURN(const Json tree, ParseJsonTree(text, file));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject root, JsonObject::Root(tree, file));
  PublishedScores scores;
  EYESHOT_RETURN_IF_ERROR(root.String("source").status());  // for who reads the file
  const Json* models = root.Find("models");
  if (models == nullptr || !models->is_array() || models->size() > limits::kMaxLawSizes) {
    return root.Error(StatusCode::kCorrupt, "models", fmt::format("an array of at most {}", limits::kMaxLawSizes),
                      "install Eyeshot again");
  }
  for (const Json& json : *models) {
    EYESHOT_ASSIGN_OR_RETURN(const JsonObject object,
                             JsonObject::Root(json, fmt::format("{}: models[{}]", file, scores.models.size())));
    PublishedScore model;
    EYESHOT_ASSIGN_OR_RETURN(model.name, object.String("name"));
    EYESHOT_ASSIGN_OR_RETURN(model.parameters_b, object.Number("decoder_parameters_b", 1e-6, 1e6));
    EYESHOT_RETURN_IF_ERROR(ReadTables(object, "reading", model.reading, model.reading_of));
    EYESHOT_RETURN_IF_ERROR(ReadTables(object, "reasoning", model.reasoning, model.reasoning_of));
    scores.models.push_back(std::move(model));
  }
  return scores;
}

}  // namespace eyeshot::plan
