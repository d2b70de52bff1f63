#include "cli/energy_plots.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "cli/chart_scale.h"
#include "cli/charts.h"

namespace eyeshot::cli {
namespace {

constexpr int kHeight = 300;  // of the plotted area
constexpr int kLeft = 60;     // for the numbers of the y axis
constexpr int kRight = 20;
constexpr int kTop = 22;     // for the axis' title
constexpr int kBottom = 40;  // for numbers and title of the x axis
constexpr double kInside = kChartWidth - kLeft - kRight;

Figure Open(int height, std::string_view description) {
  return {fmt::format(R"(<svg width="{}" height="{}" role="img" aria-label="{}">)", kChartWidth, height,
                      HtmlText(description)),
          height};
}

std::string Text(double x, double y, std::string_view anchor, std::string_view text, std::string_view style = "") {
  return fmt::format(R"(<text{} x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>)",
                     style.empty() ? "" : fmt::format(" class=\"{}\"", style), x, y, anchor, HtmlText(text));
}

std::string Line(std::string_view style, double x1, double y1, double x2, double y2) {
  return fmt::format(R"(<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>)", style, x1, y1, x2, y2);
}

struct Box {
  double left;
  double top;
  double right;
  double bottom;
  bool Meets(const Box& other) const {
    return left < other.right && other.left < right && top < other.bottom && other.top < bottom;
  }
};

// Where a name of `width` fits beside a point without meeting what is there: right, left, above, below, farther off.
Box PlaceName(double x, double y, double width, const std::vector<Box>& taken) {
  constexpr double kLine = 13;
  Box best{};
  for (const double rise : {0.0, -kLine, kLine, -2 * kLine, 2 * kLine, -3 * kLine, 3 * kLine}) {
    for (const double left : {x + 8, x - 8 - width}) {
      const Box box{left, y + rise - kLine / 2, left + width, y + rise + kLine / 2};
      const bool inside = box.left >= kLeft && box.right <= kChartWidth && box.top >= 0;
      const bool free = std::none_of(taken.begin(), taken.end(), [&](const Box& other) { return box.Meets(other); });
      if (inside && free) return box;
      if (best.right == 0 && inside) best = box;
    }
  }
  return best;
}

std::string BrokenHeading(double x, const std::string& name) {
  const size_t hyphen = name.rfind('-');
  if (hyphen == std::string::npos) return Text(x, 30, "middle", name);
  return Text(x, 16, "middle", name.substr(0, hyphen)) + Text(x, 30, "middle", name.substr(hyphen + 1));
}

}  // namespace

Figure DrawLines(const LinesChart& chart) {
  double low = INFINITY;
  double high = 0;
  for (const LinesChart::Series& series : chart.series) {
    for (const std::optional<double>& value : series.values) {
      if (!value) continue;
      low = std::min(low, *value);
      high = std::max(high, *value);
    }
  }
  if (!(high > 0)) return {};
  low /= 1.25;
  high *= 1.25;
  const auto x_of = [&](size_t place) {
    return kLeft + kInside * (static_cast<double>(place) + 0.5) / static_cast<double>(chart.places.size());
  };
  const auto y_of = [&](double value) { return kTop + kHeight * std::log(high / value) / std::log(high / low); };
  Figure figure = Open(kTop + kHeight + kBottom, chart.description);
  figure.svg += Text(0, 12, "start", chart.unit);
  for (const double tick : LogTicksOf(low, high)) {
    figure.svg += Line("grid", kLeft, y_of(tick), kChartWidth - kRight, y_of(tick));
    figure.svg += Text(kLeft - 6, y_of(tick) + 4, "end", fmt::format("{:g}", tick));
  }
  for (size_t i = 0; i < chart.places.size(); ++i) {
    figure.svg += Text(x_of(i), kTop + kHeight + 18, "middle", chart.places[i]);
  }
  for (size_t s = 0; s < chart.series.size(); ++s) {
    std::string points;
    std::string dots;
    for (size_t i = 0; i < chart.series[s].values.size(); ++i) {
      const std::optional<double>& value = chart.series[s].values[i];
      if (!value) continue;
      points += fmt::format("{:.1f},{:.1f} ", x_of(i), y_of(*value));
      dots += fmt::format(
          R"(<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="3.5"><title>{}, {}: {:.4g} {}</title></circle>)", x_of(i),
          y_of(*value), HtmlText(chart.series[s].name), HtmlText(chart.places[i]), *value, HtmlText(chart.unit));
    }
    figure.svg +=
        fmt::format(R"(<g class="{}"><polyline class="line" points="{}"/>{}</g>)", SeriesStyle(s), points, dots);
  }
  figure.svg += "</svg>\n";
  return figure;
}

Figure DrawPoints(const PointsChart& chart) {
  if (chart.points.empty()) return {};
  const auto [x_low, x_high] = std::minmax_element(chart.points.begin(), chart.points.end(),
                                                   [](const auto& a, const auto& b) { return a.x < b.x; });
  const auto [y_low, y_high] = std::minmax_element(chart.points.begin(), chart.points.end(),
                                                   [](const auto& a, const auto& b) { return a.y < b.y; });
  const Scale x = ScaleOf(x_low->x, x_high->x);
  const Scale y = ScaleOf(y_low->y, y_high->y);
  const auto x_of = [&](double value) { return kLeft + kInside * x.Of(value) / 100; };
  const auto y_of = [&](double value) { return kTop + kHeight * (1 - y.Of(value) / 100); };
  Figure figure = Open(kTop + kHeight + kBottom, chart.description);
  figure.svg += Text(0, 12, "start", chart.y_title);
  figure.svg += Text(kChartWidth - kRight, kTop + kHeight + 35, "end", chart.x_title);
  for (const double tick : TicksOf(y)) {
    figure.svg += Line(tick == 0 ? "axis" : "grid", kLeft, y_of(tick), kChartWidth - kRight, y_of(tick));
    figure.svg += Text(kLeft - 6, y_of(tick) + 4, "end", fmt::format("{:g}", tick));
  }
  for (const double tick : TicksOf(x)) {
    figure.svg += Line(tick == 0 ? "axis" : "grid", x_of(tick), kTop, x_of(tick), kTop + kHeight);
    figure.svg += Text(x_of(tick), kTop + kHeight + 17, Anchor(x.Of(tick)), fmt::format("{:g}", tick));
  }
  std::vector<Box> taken;
  taken.reserve(2 * chart.points.size());
  for (const NamedPoint& point : chart.points) {
    taken.push_back({x_of(point.x) - 5, y_of(point.y) - 5, x_of(point.x) + 5, y_of(point.y) + 5});
  }
  for (const NamedPoint& point : chart.points) {
    constexpr double kLetter = 6.8;  // pixels, about
    const Box box = PlaceName(x_of(point.x), y_of(point.y), kLetter * static_cast<double>(point.name.size()), taken);
    taken.push_back(box);
    figure.svg += fmt::format(R"(<circle class="dot {}" cx="{:.1f}" cy="{:.1f}" r="4.5"/>)", point.style, x_of(point.x),
                              y_of(point.y));
    const bool left = box.right < x_of(point.x);
    figure.svg += Text(left ? box.right : box.left, box.bottom - 3, left ? "end" : "start", point.name, "label over");
  }
  figure.svg += "</svg>\n";
  return figure;
}

Figure DrawMap(const NumberMap& map) {
  constexpr int kNames = 150;
  constexpr int kHeadings = 38;
  constexpr int kRowHeight = 40;
  const double width = static_cast<double>(kChartWidth - kNames) / static_cast<double>(map.columns.size());
  Figure figure = Open(kHeadings + kRowHeight * static_cast<int>(map.rows.size()) + 2, map.description);
  for (size_t j = 0; j < map.columns.size(); ++j) {
    figure.svg += BrokenHeading(kNames + width * (static_cast<double>(j) + 0.5), map.columns[j]);
  }
  for (size_t i = 0; i < map.cells.size(); ++i) {
    const double top = kHeadings + kRowHeight * static_cast<double>(i);
    figure.svg += Text(0, top + 24, "start", map.rows[i], "label");
    for (size_t j = 0; j < map.cells[i].size(); ++j) {
      const MapCell& cell = map.cells[i][j];
      const double left = kNames + width * static_cast<double>(j);
      const auto rectangle = [&](std::string_view style, double inset, const std::string& more) {
        return fmt::format(R"(<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"{}/>)", style,
                           left + inset, top + inset, width - 2 * inset, kRowHeight - 2 * inset, more);
      };
      figure.svg += rectangle("heat", 0, fmt::format(R"( fill-opacity="{:.2f}")", 0.75 * std::min(1.0, cell.strength)));
      if (cell.framed) figure.svg += rectangle("own", 2, "");
      figure.svg += Text(left + width / 2, top + 17, "middle", cell.upper, "label");
      figure.svg += Text(left + width / 2, top + 33, "middle", cell.lower, "label");
    }
  }
  figure.svg += "</svg>\n";
  return figure;
}

}  // namespace eyeshot::cli
