// The page of an evaluation, and the chart of a sweep.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "cli/chart_page.h"
#include "cli/charts.h"
#include "cli/eval_report.h"

namespace eyeshot::cli {
namespace {

std::string Percent(const eval::Interval& interval) {
  return fmt::format("{:.1f} % ({:.1f} to {:.1f})", 100 * interval.value, 100 * interval.low, 100 * interval.high);
}

// "pool" of "pool:16": one reducer's points have one colour.
std::string SeriesName(const std::string& value) { return value.substr(0, value.find(':')); }

// What colours say: the values of the first axis.
std::vector<std::string> SeriesNames(const EvalReport& report) {
  std::vector<std::string> names;
  for (const std::string& value : report.axes[0].values) {
    std::string name = SeriesName(value);
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(std::move(name));
  }
  return names;
}

std::string Scatter(const EvalReport& report, const EvalCost& cost) {
  ScatterChart chart{.x_unit = cost.unit, .y_unit = "%", .description = fmt::format("Score over {}", cost.title)};
  const std::vector<std::string> series = SeriesNames(report);
  for (size_t i = 0; i < report.points.size(); ++i) {
    const eval::Interval& score = report.points[i].summary.total.score;
    const auto same = std::find_if(chart.points.begin(), chart.points.end(), [&](const ScatterPoint& other) {
      return other.x == cost.values[i] && other.y == 100 * score.value;
    });
    // Where points stand upon each other, the first one's number says that there are more.
    if (same != chart.points.end()) {
      if (!same->label.ends_with('+')) same->label += '+';
      same->title += fmt::format("\n{}: {}", i + 1, eval::PointName(report.points[i].point));
      continue;
    }
    chart.points.push_back(
        {.x = cost.values[i],
         .y = 100 * score.value,
         .low = 100 * score.low,
         .high = 100 * score.high,
         .label = std::to_string(i + 1),
         .style = SeriesStyle(static_cast<size_t>(
             std::find(series.begin(), series.end(), SeriesName(report.points[i].point[0].second)) - series.begin())),
         .title = fmt::format("{}: {}, {}, {:.4g} {}", i + 1, eval::PointName(report.points[i].point), Percent(score),
                              cost.values[i], cost.unit),
         .front = cost.front[i]});
  }
  return DrawScatter(chart);
}

ChartLegend SeriesEntries(const EvalReport& report) {
  ChartLegend entries;
  const std::vector<std::string> names = SeriesNames(report);
  for (size_t i = 0; i < names.size(); ++i) {
    entries.emplace_back(SeriesStyle(i), fmt::format("{} {}", report.axes[0].name, names[i]));
  }
  return entries;
}

std::string PointRow(const EvalReport& report, size_t index) {
  const EvalPoint& point = report.points[index];
  const eval::Score& total = point.summary.total;
  std::string row = fmt::format("<tr><td>{}</td>", index + 1);
  for (const auto& setting : point.point) row += fmt::format("<td>{}</td>", HtmlText(setting.second));
  row += fmt::format("<td>{:.1f}</td><td>{:.1f} to {:.1f}</td>", 100 * total.score.value, 100 * total.score.low,
                     100 * total.score.high);
  row += index == 0 ? "<td>-</td>"
                    : fmt::format("<td>{:+.1f} ({:+.1f} to {:+.1f})</td>", 100 * point.difference.value,
                                  100 * point.difference.low, 100 * point.difference.high);
  row += fmt::format("<td>{:.3f}</td><td>{:.1f}</td><td>{:.0f}</td><td>{:.1f}</td>", total.error_rate.value, total.ms,
                     total.visual_tokens, total.completion_tokens);
  for (const EvalCost& cost : report.costs) {
    if (cost.unit == "J") row += fmt::format("<td>{:.3g}</td>", cost.values[index]);
  }
  return row + fmt::format("<td>{}</td></tr>\n", FrontNames(report, index));
}

std::string PointsTable(const EvalReport& report) {
  std::string html = "<div class=\"scroll\"><table><tr><th>#</th>";
  for (const eval::SweepAxis& axis : report.axes) html += fmt::format("<th>{}</th>", HtmlText(axis.name));
  html +=
      "<th>score %</th><th>95 %</th><th>against 1</th><th>CER</th><th>ms</th><th>visual tokens</th>"
      "<th>answer tokens</th>";
  for (const EvalCost& cost : report.costs) {
    if (cost.unit == "J") html += fmt::format("<th>J ({})</th>", cost.key);
  }
  html += "<th>on the front of</th></tr>\n";
  for (size_t i = 0; i < report.points.size(); ++i) html += PointRow(report, i);
  return html + "</table></div>\n";
}

std::string TasksChart(const eval::Summary& summary) {
  std::vector<ChartBar> bars;
  for (const auto& [task, score] : summary.tasks) {
    const std::string name = task.empty() ? "all" : task;
    bars.push_back({.label = fmt::format("{}: {} of {} questions", name, Percent(score.score), score.questions),
                    .parts = {{SeriesStyle(0), 100 * score.score.value, false, Percent(score.score)}},
                    .low = 100 * score.score.low,
                    .high = 100 * score.score.high});
  }
  return BarChart(bars, "%", "Score of each task");
}

std::string TasksTable(const EvalReport& report) {
  std::string html = "<div class=\"scroll\"><table><tr><th>task</th><th>questions</th>";
  for (size_t i = 0; i < report.points.size(); ++i) html += fmt::format("<th>{}</th>", i + 1);
  html += "</tr>\n";
  for (const auto& [task, first] : report.points[0].summary.tasks) {
    html += fmt::format("<tr><td>{}</td><td>{}</td>", HtmlText(task.empty() ? "-" : task), first.questions);
    for (const EvalPoint& point : report.points) {
      const auto score = point.summary.tasks.find(task);
      html += score == point.summary.tasks.end() ? "<td>-</td>"
                                                 : fmt::format("<td>{:.1f}</td>", 100 * score->second.score.value);
    }
    html += "</tr>\n";
  }
  return html + "</table></div>\n";
}

std::string SweepSections(const EvalReport& report) {
  std::string html =
      "<p>Each point is a setting, with its number in the table below. Vertical lines are 95 % intervals; filled "
      "points "
      "are on the Pareto front: nothing else is as cheap and as good. \"1+\": others stand in the same place. "
      "Colours:</p>\n" +
      HtmlLegend(SeriesEntries(report));
  for (const EvalCost& cost : report.costs) {
    html += fmt::format("<h2>Score over {}</h2>\n", HtmlText(cost.title)) + Scatter(report, cost);
  }
  html += "<h2>Points</h2>\n" + PointsTable(report);
  return html + "<h2>Score % by task</h2>\n" + TasksTable(report);
}

std::string Words(const EvalReport& report) {
  return fmt::format(
      "<h2>How to read this</h2>\n<dl><dt>Score</dt><dd>By <b>{}</b>: {}.</dd><dt>95 %</dt><dd>{}.</dd>"
      "<dt>Against 1</dt><dd>The mean difference to the first point over the same questions, drawn as pairs; an "
      "interval "
      "without 0 shows a difference.</dd><dt>CER</dt><dd>Character error rate: edits over characters of the true "
      "answers.</dd><dt>ms, tokens, J</dt><dd>Means of a question, from the pictures' files to the last token. Joules "
      "are "
      "a meter's, named behind them.</dd></dl>\n",
      report.scorer->name, HtmlText(report.scorer->what),
      report.scorer->share ? "Wilson's interval of a share" : "Percentiles of 10,000 samples drawn with replacement");
}

}  // namespace

std::string EvalHtml(const EvalReport& report) {
  const std::string name = report.set.substr(report.set.rfind('/') + 1);
  const eval::Score& total = report.points[0].summary.total;
  std::string html = OpenPage(fmt::format("Evaluation on {}", name));
  html += fmt::format("<h1>{} questions of {}</h1>\n", total.questions, HtmlText(name));
  if (!report.info.name.empty()) {
    html += fmt::format("<p class=\"soft\">{} on {} ({}, {} threads), by <code>eyeshot eval</code>.</p>\n",
                        HtmlText(report.info.name), HtmlText(report.info.device), HtmlText(report.info.isa),
                        report.info.threads);
  }
  if (!report.axes.empty()) return html + SweepSections(report) + Words(report) + "</body></html>\n";
  html += fmt::format(
      "<div class=\"card\">Score: <b>{}</b>; exact match {:.1f} %; character error rate {:.3f}; {:.1f} ms "
      "and {:.0f} visual tokens a question.</div>\n",
      Percent(total.score), 100 * total.ExactShare(), total.error_rate.value, total.ms, total.visual_tokens);
  return html + "<h2>By task</h2>\n" + TasksChart(report.points[0].summary) + Words(report) + "</body></html>\n";
}

Result<std::string> EvalSvg(const EvalReport& report, const std::string& cost) {
  const std::vector<EvalCost>& costs = report.costs;
  std::string keys;
  for (const EvalCost& some : costs) keys += (keys.empty() ? "" : ", ") + some.key;
  const auto found =
      std::find_if(costs.begin(), costs.end(), [&](const EvalCost& some) { return cost.empty() || some.key == cost; });
  if (report.axes.empty() || found == costs.end()) {
    return InvalidArgumentError(fmt::format("no chart over {}: points differ in {}", cost.empty() ? "a cost" : cost,
                                            keys.empty() ? "no cost" : keys),
                                "sweep a setting that costs something, or name a cost of these");
  }
  // Around the chart, room for what stands over its edges.
  constexpr int kAbove = 18;
  constexpr int kBeside = 12;
  const Figure figure{fmt::format("<svg x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\">{}</svg>", kBeside, kAbove,
                                  kChartWidth - 2 * kBeside, ScatterHeight(), Scatter(report, *found)),
                      kAbove + ScatterHeight()};
  std::vector<std::string> lines;
  for (size_t i = 0; i < report.points.size(); ++i) {
    lines.push_back(fmt::format("{}: {}, {}, {:.4g} {}", i + 1, eval::PointName(report.points[i].point),
                                Percent(report.points[i].summary.total.score), found->values[i], found->unit));
  }
  const std::string words = fmt::format("{} questions, lines are 95 % intervals, filled points are on the Pareto front",
                                        report.points[0].summary.total.questions);
  return SvgFile(fmt::format("Score over {}", found->title),
                 {{{words}, SeriesEntries(report), figure}, {std::move(lines), {}, {}}});
}

}  // namespace eyeshot::cli
