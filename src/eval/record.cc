#include "eval/record.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "base/limits.h"
#include "eval/text_distance.h"
#include "formats/json.h"

namespace eyeshot::eval {
namespace {

constexpr double kMostMs = 1e12;
constexpr double kMostJoules = 1e12;
constexpr int64_t kMostCharacters = int64_t{1} << 32;

constexpr EnergySource kSources[] = {EnergySource::kRapl, EnergySource::kNvmlCounter, EnergySource::kNvmlPower,
                                     EnergySource::kModel};

Result<std::vector<std::string>> Texts(const JsonObject& object, const std::string& key) {
  const Json* const value = object.Find(key);
  std::vector<std::string> texts;
  if (value != nullptr && value->is_array()) {
    for (const Json& text : *value) {
      if (text.is_string()) texts.push_back(text.get<std::string>());
    }
    return texts;
  }
  EYESHOT_ASSIGN_OR_RETURN(std::string text, object.String(key));
  texts.push_back(std::move(text));
  return texts;
}

Status ParseCosts(const JsonObject& object, Record& record) {
  EYESHOT_ASSIGN_OR_RETURN(record.ms, object.NumberOr("ms", 0, kMostMs, 0));
  EYESHOT_ASSIGN_OR_RETURN(record.prompt_tokens, object.IntegerOr("prompt_tokens", 0, limits::kMaxContext, 0));
  EYESHOT_ASSIGN_OR_RETURN(record.visual_tokens, object.IntegerOr("visual_tokens", 0, limits::kMaxContext, 0));
  EYESHOT_ASSIGN_OR_RETURN(record.completion_tokens, object.IntegerOr("completion_tokens", 0, limits::kMaxContext, 0));
  EYESHOT_ASSIGN_OR_RETURN(record.finish_reason, object.StringOr("finish_reason", ""));
  EYESHOT_ASSIGN_OR_RETURN(const auto stages, object.OptionalObject("stages_ms"));
  for (size_t i = 0; stages && i < kStageCount; ++i) {
    const std::string name(StageName(static_cast<StageId>(i)));
    if (!stages->Has(name)) continue;
    EYESHOT_ASSIGN_OR_RETURN(const double ms, stages->Number(name, 0, kMostMs));
    record.stages_ms.emplace_back(name, ms);
  }
  EYESHOT_ASSIGN_OR_RETURN(const auto joules, object.OptionalObject("joules"));
  for (const EnergySource source : kSources) {
    const std::string name(EnergySourceName(source));
    if (!joules || !joules->Has(name)) continue;
    EYESHOT_ASSIGN_OR_RETURN(const JsonObject figure, joules->Object(name));
    Joules parsed{.source = source};
    EYESHOT_ASSIGN_OR_RETURN(parsed.value, figure.Number("value", 0, kMostJoules));
    EYESHOT_ASSIGN_OR_RETURN(parsed.low, figure.Number("low", 0, kMostJoules));
    EYESHOT_ASSIGN_OR_RETURN(parsed.high, figure.Number("high", 0, kMostJoules));
    record.joules.push_back(parsed);
  }
  return Status::Ok();
}

}  // namespace

Record Judge(const Question& question, std::string_view answer, const Scorer& scorer) {
  Record record{.id = question.id,
                .task = question.task,
                .group = question.group,
                .question = question.question,
                .answer = std::string(answer),
                .truths = question.answers};
  record.score = scorer.score(question, answer);
  const std::u32string said = Normalized(answer);
  record.edits = std::numeric_limits<size_t>::max();
  for (const std::string& text : question.answers) {
    const std::u32string truth = Normalized(text);
    record.exact = record.exact || said == truth;
    const size_t edits = EditDistance(said, truth);
    if (edits >= record.edits) continue;
    record.edits = edits;
    record.characters = truth.size();
  }
  return record;
}

void AddCost(const Answer& answer, const Ledger& ledger, double ms, Record& record) {
  record.ms = ms;
  record.prompt_tokens = answer.prompt_tokens;
  record.visual_tokens = answer.visual_tokens;
  record.completion_tokens = answer.completion_tokens;
  record.finish_reason = FinishReasonName(answer.finish_reason);
  for (size_t i = 0; i < kStageCount; ++i) {
    const auto id = static_cast<StageId>(i);
    const StageCost& cost = ledger.cost(id);
    const uint64_t ns = cost.device_ns > 0 ? cost.device_ns : cost.wall_ns;
    if (cost.runs > 0) record.stages_ms.emplace_back(StageName(id), static_cast<double>(ns) * 1e-6);
  }
  const Joules stages = ledger.total_joules();
  if (stages.source != EnergySource::kNone) record.joules.push_back(stages);
  if (!ledger.gpu() || ledger.gpu()->joules.source == EnergySource::kNone) return;
  if (ledger.gpu()->joules.source != stages.source) record.joules.push_back(ledger.gpu()->joules);
}

OrderedJson RecordJson(const Record& record) {
  OrderedJson json;
  if (!record.point.empty()) json["point"] = OrderedJson::object();
  for (const auto& [axis, value] : record.point) json["point"][axis] = value;
  json["id"] = record.id;
  json["task"] = record.task;
  if (!record.group.empty()) json["group"] = record.group;
  json["question"] = record.question;
  json["answer"] = record.answer;
  if (record.truths.size() == 1) {
    json["truth"] = record.truths[0];
  } else {
    json["truth"] = record.truths;
  }
  json["score"] = record.score;
  json["exact"] = record.exact;
  json["edits"] = record.edits;
  json["characters"] = record.characters;
  if (record.finish_reason.empty()) return json;
  json["ms"] = record.ms;
  json["prompt_tokens"] = record.prompt_tokens;
  json["visual_tokens"] = record.visual_tokens;
  json["completion_tokens"] = record.completion_tokens;
  json["finish_reason"] = record.finish_reason;
  json["stages_ms"] = OrderedJson::object();
  for (const auto& [stage, ms] : record.stages_ms) json["stages_ms"][stage] = ms;
  if (!record.joules.empty()) json["joules"] = OrderedJson::object();
  for (const Joules& joules : record.joules) {
    json["joules"][std::string(EnergySourceName(joules.source))] = {
        {"value", joules.value}, {"low", joules.low}, {"high", joules.high}};
  }
  return json;
}

Result<Record> ParseRecord(std::string_view line, const std::string& where) {
  EYESHOT_ASSIGN_OR_RETURN(const Json tree, ParseJsonTree(line, where));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject object, JsonObject::Root(tree, where));
  Record record;
  if (object.Has("point")) {
    // The axes stand in the order in which they were given, which a tree does not keep.
    const auto ordered = OrderedJson::parse(line, nullptr, false);
    EYESHOT_ASSIGN_OR_RETURN(const JsonObject point, object.Object("point"));
    for (const auto& [axis, value] : ordered["point"].items()) {
      EYESHOT_ASSIGN_OR_RETURN(std::string text, point.String(axis));
      record.point.emplace_back(axis, std::move(text));
    }
  }
  EYESHOT_ASSIGN_OR_RETURN(record.id, object.String("id"));
  EYESHOT_ASSIGN_OR_RETURN(record.task, object.StringOr("task", ""));
  EYESHOT_ASSIGN_OR_RETURN(record.group, object.StringOr("group", ""));
  EYESHOT_ASSIGN_OR_RETURN(record.question, object.StringOr("question", ""));
  EYESHOT_ASSIGN_OR_RETURN(record.answer, object.String("answer"));
  EYESHOT_ASSIGN_OR_RETURN(record.truths, Texts(object, "truth"));
  EYESHOT_ASSIGN_OR_RETURN(record.score, object.Number("score", 0, 1));
  EYESHOT_ASSIGN_OR_RETURN(record.exact, object.BoolOr("exact", false));
  EYESHOT_ASSIGN_OR_RETURN(const int64_t edits, object.IntegerOr("edits", 0, kMostCharacters, 0));
  EYESHOT_ASSIGN_OR_RETURN(const int64_t characters, object.IntegerOr("characters", 0, kMostCharacters, 0));
  record.edits = static_cast<size_t>(edits);
  record.characters = static_cast<size_t>(characters);
  EYESHOT_RETURN_IF_ERROR(ParseCosts(object, record));
  return record;
}

}  // namespace eyeshot::eval
