#include "cli/plan_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "cli/chart_page.h"
#include "cli/chart_scale.h"
#include "cli/charts.h"

namespace eyeshot::cli {
namespace {

using plan::Candidate;

constexpr double kWidth = kChartWidth;
constexpr int kHeight = 470;
constexpr double kLeft = 64;
constexpr double kRight = 18;
constexpr double kTop = 8;
constexpr double kBottom = 52;

// Time by its logarithm, accuracy as it is.
struct Axes {
  double low_ms, high_ms, low, high;

  double X(double ms) const {
    return kLeft + (kWidth - kLeft - kRight) * std::log(ms / low_ms) / std::log(high_ms / low_ms);
  }
  double Y(double accuracy) const {
    return kHeight - kBottom - (kHeight - kTop - kBottom) * (accuracy - low) / (high - low);
  }
};

Axes AxesOf(const PlanReport& report) {
  Axes axes{1e300, 0, 1, 0};
  for (const Candidate& candidate : report.candidates) {
    axes.low_ms = std::min(axes.low_ms, candidate.ms);
    axes.high_ms = std::max(axes.high_ms, candidate.ms);
    axes.low = std::min(axes.low, candidate.accuracy.value);
    axes.high = std::max(axes.high, candidate.accuracy.value);
  }
  axes.low_ms = std::max(1e-3, axes.low_ms * 0.85);
  axes.high_ms = std::max(axes.high_ms * 1.2, axes.low_ms * 2);
  constexpr double kStep = 0.05;  // and some room for the plan's name
  axes.low = std::max(0.0, std::floor(axes.low / kStep - 0.2) * kStep);
  axes.high = std::min(1.05, std::ceil(axes.high / kStep + 0.8) * kStep);
  return axes;
}

std::string TimeText(double ms) { return ms < 1000 ? fmt::format("{:g} ms", ms) : fmt::format("{:g} s", ms / 1000); }

std::string Grid(const Axes& axes) {
  std::string svg;
  for (const double ms : LogTicksOf(axes.low_ms, axes.high_ms)) {
    svg += fmt::format(R"(<line class="grid" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/>)", axes.X(ms), kTop,
                       kHeight - kBottom);
    svg += fmt::format(R"(<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>)", axes.X(ms), kHeight - kBottom + 18,
                       TimeText(ms));
  }
  const double step = axes.high - axes.low > 0.4 ? 0.1 : 0.05;
  for (double accuracy = std::ceil(axes.low / step) * step; accuracy <= axes.high + 1e-9; accuracy += step) {
    svg += fmt::format(R"(<line class="grid" x1="{0}" x2="{1}" y1="{2:.1f}" y2="{2:.1f}"/>)", kLeft, kWidth - kRight,
                       axes.Y(accuracy));
    svg += fmt::format(R"(<text x="{}" y="{:.1f}" text-anchor="end">{:.2f}</text>)", kLeft - 8, axes.Y(accuracy) + 4,
                       accuracy);
  }
  svg +=
      fmt::format(R"(<text x="{}" y="{}" text-anchor="end">time of a question</text>)", kWidth - kRight, kHeight - 10);
  return svg;
}

std::string Limits(const Axes& axes, const plan::Aim& aim) {
  std::string svg;
  if (aim.most_ms && *aim.most_ms > axes.low_ms && *aim.most_ms < axes.high_ms) {
    svg += fmt::format(R"(<line class="mark" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/>)", axes.X(*aim.most_ms),
                       kTop, kHeight - kBottom);
  }
  if (aim.least_accuracy > axes.low && aim.least_accuracy < axes.high) {
    svg += fmt::format(R"(<line class="mark" x1="{0}" x2="{1}" y1="{2:.1f}" y2="{2:.1f}"/>)", kLeft, kWidth - kRight,
                       axes.Y(aim.least_accuracy));
  }
  return svg;
}

std::string Dots(const PlanReport& report, const Axes& axes) {
  std::string svg;
  for (const Candidate& candidate : report.candidates) {
    const bool within = plan::BreaksLimit(candidate, report.aim).empty();
    const std::string title =
        fmt::format("{}: {:.0f} ms, accuracy {:.3f} ({})", CandidateName(report, candidate), candidate.ms,
                    candidate.accuracy.value, plan::EvidenceName(candidate.accuracy.evidence));
    // Measured ones are filled, the others are rings.
    const bool measured = candidate.accuracy.evidence == plan::Evidence::kMeasured && !candidate.accuracy.carried;
    svg += fmt::format(R"(<circle class="{}{}" cx="{:.1f}" cy="{:.1f}" r="4.5"{}><title>{}</title></circle>)",
                       SeriesStyle(candidate.model), measured ? "" : " hollow", axes.X(candidate.ms),
                       axes.Y(candidate.accuracy.value), within ? "" : R"( opacity=".3")", HtmlText(title));
  }
  return svg;
}

// As steps: between two ways there is none.
std::string Front(const PlanReport& report, const Axes& axes) {
  std::string path;
  double y = 0;
  for (const size_t index : report.front) {
    const Candidate& candidate = report.candidates[index];
    const double x = axes.X(candidate.ms);
    if (!path.empty()) path += fmt::format("L{:.1f} {:.1f}", x, y);
    y = axes.Y(candidate.accuracy.value);
    path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", x, y);
  }
  return fmt::format(R"(<path class="curve" d="{}"/>)", path);
}

std::string Chosen(const PlanReport& report, const Axes& axes) {
  const Candidate& candidate = report.candidates[report.chosen];
  const double x = axes.X(candidate.ms);
  const double y = axes.Y(candidate.accuracy.value);
  const std::string name = CandidateName(report, candidate);
  // Above and to the left: nothing can be there, since nothing beats the plan there.
  constexpr double kLetter = 7;
  const double left = std::max(kLeft + 4, x - 14 - kLetter * static_cast<double>(name.size()));
  return fmt::format(R"(<circle class="own" cx="{:.1f}" cy="{:.1f}" r="9"/>)"
                     R"(<text class="label over" x="{:.1f}" y="{:.1f}">{}</text>)",
                     x, y, left, y - 16, HtmlText(name));
}

ChartLegend Legend(const PlanReport& report) {
  ChartLegend legend;
  for (size_t i = 0; i < report.models.size(); ++i) {
    const std::string& name = report.models[i].name;
    legend.emplace_back(SeriesStyle(i), name.substr(name.rfind('/', name.size() - 2) + 1));
  }
  return legend;
}

std::string Title(const PlanReport& report) {
  return fmt::format("{}accuracy ({}) against time, {}", report.simulated ? "Simulated: " : "",
                     plan::TaskName(report.knowledge.task), report.machine);
}

constexpr char kWords[] = "Filled: measured; rings: estimated; pale: beyond the limits";

Figure Chart(const PlanReport& report) {
  const Axes axes = AxesOf(report);
  return {fmt::format(R"(<svg width="{}" height="{}" role="img" aria-label="{}">{}{}{}{}{}</svg>)", kChartWidth,
                      kHeight, HtmlText(Title(report)), Grid(axes), Limits(axes, report.aim), Front(report, axes),
                      Dots(report, axes), Chosen(report, axes)),
          kHeight};
}

std::string Cells(const PlanReport& report, size_t index) {
  const Candidate& candidate = report.candidates[index];
  return fmt::format(
      "<tr{}><td>{}</td><td>{}</td><td>{}</td><td>{:.1f}</td><td>{}</td><td>{:.0f}</td><td>{:.3f}</td>"
      "<td>{}{}</td></tr>\n",
      index == report.chosen ? " style=\"font-weight:600\"" : "", HtmlText(CandidateName(report, candidate)),
      candidate.cost.request.tiles, candidate.cost.request.visual_tokens, candidate.ms,
      candidate.joules ? fmt::format("{:.3g}", *candidate.joules) : "-", candidate.cost.memory.total() / 1e6,
      candidate.accuracy.value, plan::EvidenceName(candidate.accuracy.evidence),
      candidate.accuracy.carried ? " + law" : "");
}

}  // namespace

std::string PlanSvg(const PlanReport& report) {
  return SvgFile(Title(report), {{{kWords}, Legend(report), Chart(report)}});
}

std::string PlanHtml(const PlanReport& report) {
  std::string html = OpenPage("Eyeshot plan") + "<h1>A plan</h1>\n";
  html += fmt::format("<p>{}{}</p>\n", report.simulated ? "Simulated: " : "", HtmlText(report.machine));
  for (const std::string& doubt : report.doubts) {
    html += fmt::format("<div class=\"card warn\">{}</div>\n", HtmlText(doubt));
  }
  html += "<p>";
  for (const std::string& sentence : report.why) html += HtmlText(sentence) + " ";
  html += fmt::format("</p>\n<h2>{}</h2>\n<p>{}</p>\n", HtmlText(Title(report)), kWords) + HtmlLegend(Legend(report));
  html += "<div class=\"scroll\">" + Chart(report).svg + "</div>\n";
  html +=
      "<h2>Ways that no other beats in both time and accuracy</h2>\n<div class=\"scroll\"><table><tr><th>way</th>"
      "<th>tiles</th><th>tokens</th><th>ms</th><th>joules</th><th>MB</th><th>accuracy</th><th>from</th></tr>\n";
  std::vector<size_t> rows = report.front;
  if (std::find(rows.begin(), rows.end(), report.chosen) == rows.end()) rows.push_back(report.chosen);
  for (const size_t index : rows) html += Cells(report, index);
  return html + "</table></div></body></html>\n";
}

}  // namespace eyeshot::cli
