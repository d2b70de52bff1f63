#include "cli/eval_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "base/error.h"
#include "cli/plan_points.h"
#include "plan/scores.h"

namespace eyeshot::cli {
namespace {

std::string Percent(double share) { return fmt::format("{:.1f}", 100 * share); }
std::string Bounds(const eval::Interval& interval) {
  return fmt::format("{:.1f} to {:.1f}", 100 * interval.low, 100 * interval.high);
}
std::string Signed(const eval::Interval& interval) {
  return fmt::format("{:+.1f} ({:+.1f} to {:+.1f})", 100 * interval.value, 100 * interval.low, 100 * interval.high);
}

OrderedJson IntervalJson(const eval::Interval& interval) {
  return {{"value", interval.value}, {"low", interval.low}, {"high", interval.high}};
}

OrderedJson JoulesBySource(const eval::Score& score) {
  OrderedJson json = OrderedJson::object();
  for (const Joules& joules : score.joules) json[std::string(EnergySourceName(joules.source))] = JoulesJson(joules);
  return json;
}

// Of all answers, wrong ones too, for each that is exactly right; null: none is.
OrderedJson JoulesPerCorrect(const eval::Score& score) {
  OrderedJson json = OrderedJson::object();
  for (Joules joules : score.joules) {
    for (double* value : {&joules.value, &joules.low, &joules.high}) {
      *value *= static_cast<double>(score.questions) / static_cast<double>(std::max<size_t>(1, score.exact));
    }
    json[std::string(EnergySourceName(joules.source))] = score.exact > 0 ? JoulesJson(joules) : OrderedJson();
  }
  return json;
}

OrderedJson ScoreJson(const eval::Score& score, const std::optional<double>& agreement) {
  OrderedJson json = {{"questions", score.questions},
                      {"score", IntervalJson(score.score)},
                      {"exact", score.exact},
                      {"exact_match", score.ExactShare()},
                      {"character_error_rate", score.error_rate.value},
                      {"character_error_rate_interval", IntervalJson(score.error_rate)},
                      {"ms", score.ms},
                      {"prompt_tokens", score.prompt_tokens},
                      {"visual_tokens", score.visual_tokens},
                      {"completion_tokens", score.completion_tokens},
                      {"joules", JoulesBySource(score)},
                      {"joules_per_correct", JoulesPerCorrect(score)}};
  if (agreement) json["agreement"] = *agreement;
  return json;
}

OrderedJson SummaryJson(const EvalReport& report, const EvalPoint& point) {
  const auto agreement = [&](const std::string& task) {
    const auto found = report.agreement.find(task);
    return found == report.agreement.end() ? std::nullopt : std::optional(found->second);
  };
  OrderedJson json = {{"total", ScoreJson(point.summary.total, report.total_agreement)}};
  json["tasks"] = OrderedJson::object();
  for (const auto& [task, score] : point.summary.tasks) json["tasks"][task] = ScoreJson(score, agreement(task));
  if (!point.summary.groups.empty()) json["groups"] = OrderedJson::object();
  for (const auto& [group, score] : point.summary.groups) json["groups"][group] = ScoreJson(score, std::nullopt);
  return json;
}

// A row of the table of tasks; costs stand in it where something was asked.
void PrintRow(const std::string& name, const eval::Score& score, bool asked, const std::optional<double>& agreement) {
  fmt::print("{:<18}{:>10}{:>8} %  {:<15}{:>7} %{:>8.3f}", name, score.questions, Percent(score.score.value),
             Bounds(score.score), Percent(score.ExactShare()), score.error_rate.value);
  if (asked) fmt::print("{:>9.1f}{:>8.0f}", score.ms, score.visual_tokens);
  for (const Joules& joules : score.joules) fmt::print("{:>10.3g}", joules.value);
  fmt::print("{}\n", agreement ? fmt::format("{:>10} %", Percent(*agreement)) : "");
}

void PrintTasks(const EvalReport& report, const EvalPoint& point) {
  const eval::Score& total = point.summary.total;
  const bool asked = total.ms > 0;
  fmt::print("{:<18}{:>10}{:>10}  {:<15}{:>9}{:>8}", "task", "questions", "score", "95 %", "exact", "CER");
  if (asked) fmt::print("{:>9}{:>8}", "ms", "tokens");
  for (const Joules& joules : total.joules) fmt::print("{:>10}", fmt::format("J {}", EnergySourceName(joules.source)));
  fmt::print("{}\n", report.total_agreement ? fmt::format("{:>12}", "agreement") : "");
  for (const auto& [task, score] : point.summary.tasks) {
    const auto found = report.agreement.find(task);
    PrintRow(task.empty() ? "-" : task, score, asked,
             found == report.agreement.end() ? std::nullopt : std::optional(found->second));
  }
  for (const auto& [group, score] : point.summary.groups) PrintRow("= " + group, score, asked, std::nullopt);
  PrintRow("total", total, asked, report.total_agreement);
}

void PrintPerCorrect(const EvalReport& report) {
  for (const EvalPoint& point : report.points) {
    const eval::Score& total = point.summary.total;
    for (const Joules& joules : total.joules) {
      if (total.exact == 0) continue;
      fmt::print("{}{:.3g} J ({}) an answer that is exactly right\n",
                 point.point.empty() ? "" : eval::PointName(point.point) + ": ",
                 joules.value * static_cast<double>(total.questions) / static_cast<double>(total.exact),
                 EnergySourceName(joules.source));
    }
  }
}

void PrintPoints(const EvalReport& report) {
  size_t width = 5;
  for (const EvalPoint& point : report.points) width = std::max(width, eval::PointName(point.point).size());
  fmt::print("{:<{}}{:>10}  {:<15}{:>10}{:>9}  {:<24}{}\n", "point", width, "score", "95 %", "ms", "tokens",
             "against the first", "front");
  for (size_t i = 0; i < report.points.size(); ++i) {
    const EvalPoint& point = report.points[i];
    const eval::Score& total = point.summary.total;
    fmt::print("{:<{}}{:>8} %  {:<15}{:>10.1f}{:>9.0f}  {:<24}{}\n", eval::PointName(point.point), width,
               Percent(total.score.value), Bounds(total.score), total.ms, total.visual_tokens,
               i == 0 ? "" : Signed(point.difference), FrontNames(report, i));
  }
}

}  // namespace

std::vector<EvalCost> CostsOf(const std::vector<EvalPoint>& points) {
  std::vector<EvalCost> costs = {{"ms", "milliseconds a question", "ms", {}, {}},
                                 {"tokens", "visual tokens a question", "tokens", {}, {}}};
  std::vector<double> scores;
  for (const EvalPoint& point : points) {
    scores.push_back(point.summary.total.score.value);
    costs[0].values.push_back(point.summary.total.ms);
    costs[1].values.push_back(point.summary.total.visual_tokens);
  }
  for (const Joules& first : points[0].summary.total.joules) {
    const std::string name(EnergySourceName(first.source));
    EvalCost cost{name, fmt::format("joules a question ({})", name), "J", {}, {}};
    for (const EvalPoint& point : points) {
      for (const Joules& joules : point.summary.total.joules) {
        if (joules.source == first.source) cost.values.push_back(joules.value);
      }
    }
    costs.push_back(std::move(cost));
  }
  std::erase_if(costs, [&](const EvalCost& cost) {
    const auto [low, high] = std::minmax_element(cost.values.begin(), cost.values.end());
    return cost.values.size() != points.size() || *low <= 0 || *low == *high;
  });
  for (EvalCost& cost : costs) cost.front = eval::ParetoFront(cost.values, scores);
  return costs;
}

Status CheckCostName(std::string_view key) {
  std::string names = "ms, tokens";
  bool known = key == "ms" || key == "tokens";
  for (const EnergySource source :
       {EnergySource::kRapl, EnergySource::kNvmlCounter, EnergySource::kNvmlPower, EnergySource::kModel}) {
    known = known || key == EnergySourceName(source);
    names += fmt::format(", {}", EnergySourceName(source));
  }
  return known ? Status::Ok()
               : InvalidArgumentError(fmt::format("--cost: there is no cost '{}'", key),
                                      fmt::format("take one of {}", names));
}

std::string FrontNames(const EvalReport& report, size_t point) {
  std::string names;
  for (const EvalCost& cost : report.costs) {
    if (cost.front[point]) names += (names.empty() ? "" : ", ") + cost.key;
  }
  return names;
}

void PrintReport(const EvalReport& report) {
  if (report.axes.empty()) {
    PrintTasks(report, report.points[0]);
  } else {
    PrintPoints(report);
  }
  fmt::print("scored by {}: {}\n", report.scorer->name, report.scorer->what);
  if (report.resumed > 0) fmt::print("{} answers were in the file\n", report.resumed);
  if (report.info.name.empty()) return;
  fmt::print("{} ({}, {}, {} threads), {:.1f} s\n", report.info.name, report.info.precision, report.info.isa,
             report.info.threads, report.seconds);
  PrintPerCorrect(report);
  for (const std::string& governor : report.governors) fmt::print("{}\n", governor);
  std::fflush(stdout);
  fmt::print(stderr, "\n{}", report.ledger.Table());
}

OrderedJson ReportJson(const EvalReport& report) {
  const ModelInfo& info = report.info;
  OrderedJson json = {{"set", report.set},        {"scorer", report.scorer->name}, {"model", info.name},
                      {"device", info.device},    {"precision", info.precision},   {"seconds", report.seconds},
                      {"resumed", report.resumed}};
  if (!report.governors.empty()) json["governors"] = report.governors;
  if (report.axes.empty()) {
    json.update(SummaryJson(report, report.points[0]));
    json["stages"] = StagesJson(report.ledger);
    return json;
  }
  // Of the model loaded last: its precision may be an axis.
  json.erase("precision");
  json["sweep"] = OrderedJson::array();
  for (const eval::SweepAxis& axis : report.axes)
    json["sweep"].push_back({{"name", axis.name}, {"values", axis.values}});
  json["points"] = OrderedJson::array();
  for (size_t i = 0; i < report.points.size(); ++i) {
    OrderedJson point = {{"point", OrderedJson::object()}};
    for (const auto& [axis, value] : report.points[i].point) point["point"][axis] = value;
    point["difference"] = IntervalJson(report.points[i].difference);
    point["front"] = OrderedJson::array();
    for (const EvalCost& cost : report.costs) {
      if (cost.front[i]) point["front"].push_back(cost.key);
    }
    point.update(SummaryJson(report, report.points[i]));
    json["points"].push_back(std::move(point));
  }
  return json;
}

std::string PointsText(const EvalReport& report, std::span<const EvalSettings> settings) {
  std::string text;
  for (size_t i = 0; i < report.points.size(); ++i) {
    const eval::Score& total = report.points[i].summary.total;
    const EvalSettings& own = settings[i];
    if (total.ms <= 0 || !plan::ParseReduction(own.options.reduce).ok()) continue;
    const ModelInfo& info = report.infos[i];
    OrderedJson point = {{"model", own.model.model.empty() ? info.name : own.model.model},
                         {"precision", PointPrecision(own.model.precision, info.precision)},
                         {"detail", PictureDetailName(own.options.detail)},
                         {"reduce", own.options.reduce},
                         {"score", total.score.value},
                         {"ms", total.ms},
                         {"tokens", total.visual_tokens}};
    for (const Joules& joules : total.joules) {
      if (joules.source != EnergySource::kModel) point["joules"] = joules.value;
    }
    text += JsonLine(point);
  }
  return text;
}

void PrintComparison(const EvalComparison& comparison) {
  const eval::Comparison& result = comparison.result;
  const auto side = [&](std::string_view letter, const std::string& name, const eval::Interval& score, size_t alone) {
    fmt::print("{}  {:>5} %  ({})  {}{}\n", letter, Percent(score.value), Bounds(score), name,
               alone == 0 ? "" : fmt::format("; {} questions that the other lacks are left out", alone));
  };
  side("A", comparison.a, result.a, result.only_a);
  side("B", comparison.b, result.b, result.only_b);
  fmt::print("B - A over {} questions, in points of {}: {}; B is higher on {}, lower on {}\n", result.questions,
             comparison.scorer->name, Signed(result.difference), result.better, result.worse);
  for (const auto& [task, difference] : result.tasks) {
    if (difference.low > 0 || difference.high < 0) fmt::print("  {:<24}{}\n", task, Signed(difference));
  }
  const int verdict = result.Verdict();
  fmt::print("{}\n", verdict > 0   ? "B is better."
                     : verdict < 0 ? "A is better."
                                   : "No difference is shown: the interval holds 0.");
}

OrderedJson ComparisonJson(const EvalComparison& comparison) {
  const eval::Comparison& result = comparison.result;
  OrderedJson json = {{"a", {{"file", comparison.a}, {"score", IntervalJson(result.a)}, {"alone", result.only_a}}},
                      {"b", {{"file", comparison.b}, {"score", IntervalJson(result.b)}, {"alone", result.only_b}}},
                      {"scorer", comparison.scorer->name},
                      {"questions", result.questions},
                      {"difference", IntervalJson(result.difference)},
                      {"b_higher", result.better},
                      {"b_lower", result.worse},
                      {"verdict", result.Verdict() > 0   ? "b"
                                  : result.Verdict() < 0 ? "a"
                                                         : "none"}};
  json["tasks"] = OrderedJson::object();
  for (const auto& [task, difference] : result.tasks) json["tasks"][task] = IntervalJson(difference);
  return json;
}

}  // namespace eyeshot::cli
