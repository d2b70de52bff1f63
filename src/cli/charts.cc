#include "cli/charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/chart_scale.h"

namespace eyeshot::cli {
namespace {

constexpr int kRow = 46;     // pixels of a bar with its label
constexpr int kLabel = 14;   // baseline of the label in it
constexpr int kBarTop = 21;
constexpr int kBarHeight = 18;
constexpr int kAxis = 26;
constexpr int kPlotHeight = 200;
constexpr int kScatterHeight = 320;
constexpr int kDot = 9;  // radius of a point
constexpr double kLogarithmicFrom = 10;  // times the cheapest point's cost
constexpr double kLetter = 1.7;  // percent of a narrow page's width that a letter takes

std::string XAxis(const Scale& scale, int top, int bottom, std::string_view unit) {
  std::string svg;
  for (const double tick : TicksOf(scale)) {
    const double at = scale.Of(tick);
    svg += fmt::format(R"(<line class="grid" x1="{0:.3f}%" x2="{0:.3f}%" y1="{1}" y2="{2}"/>)", at, top, bottom);
    svg += fmt::format(R"(<text class="tick" x="{:.3f}%" y="{}" text-anchor="{}">{:g}{}</text>)", at, bottom + 17,
                       Anchor(at), tick, at > 98 ? fmt::format(" {}", HtmlText(unit)) : "");
  }
  return svg;
}

std::string Part(const Scale& scale, const ChartPart& part, double from, double to, int top) {
  return fmt::format(R"(<rect class="{}{}" x="{:.3f}%" width="{:.3f}%" y="{}" height="{}"><title>{}</title></rect>)",
                     part.style, part.estimate ? " estimate" : "", scale.Of(std::min(from, to)),
                     std::abs(scale.Of(to) - scale.Of(from)), top, kBarHeight, HtmlText(part.title));
}

std::string Bar(const Scale& scale, const ChartBar& bar, int top) {
  std::string svg = fmt::format(R"(<text class="label" x="0" y="{}">{}</text>)", top + kLabel, HtmlText(bar.label));
  double right = 0;
  double left = 0;
  for (const ChartPart& part : bar.parts) {
    double& end = part.value < 0 ? left : right;
    svg += Part(scale, part, end, end + part.value, top + kBarTop);
    end += part.value;
  }
  if (bar.low == 0 && bar.high == 0) return svg;
  const int middle = top + kBarTop + kBarHeight / 2;
  svg += fmt::format(R"(<line class="whisker" x1="{:.3f}%" x2="{:.3f}%" y1="{}" y2="{}"/>)", scale.Of(bar.low),
                     scale.Of(bar.high), middle, middle);
  for (const double end : {bar.low, bar.high}) {
    svg += fmt::format(R"(<line class="whisker" x1="{0:.3f}%" x2="{0:.3f}%" y1="{1}" y2="{2}"/>)", scale.Of(end),
                       middle - 4, middle + 4);
  }
  return svg;
}

// The cost's axis of a scatter chart.
class CostScale {
 public:
  CostScale(double lowest, double highest)
      : logarithmic_(lowest > 0 && highest >= lowest * kLogarithmicFrom),
        scale_(logarithmic_ ? Scale{std::log10(lowest) - 0.08, std::log10(highest) + 0.08, 0} : ScaleOf(0, highest)) {}

  double Of(double value) const { return scale_.Of(logarithmic_ ? std::log10(value) : value); }

  // 1, 2, 5, 10, ... where it is logarithmic.
  std::vector<double> Ticks() const {
    return logarithmic_ ? LogTicksOf(std::pow(10, scale_.low), std::pow(10, scale_.high)) : TicksOf(scale_);
  }

 private:
  bool logarithmic_;
  Scale scale_;
};

// The front as steps: what a cost buys at most, up to the right edge.
std::string FrontLine(const ScatterChart& chart, const CostScale& x, const Scale& y) {
  std::vector<const ScatterPoint*> front;
  for (const ScatterPoint& point : chart.points) {
    if (point.front) front.push_back(&point);
  }
  std::sort(front.begin(), front.end(), [](const auto* a, const auto* b) { return a->x < b->x; });
  if (front.empty()) return "";
  std::string points;
  double height = y.Of(front[0]->y);
  for (const ScatterPoint* point : front) {
    points += fmt::format("{:.1f},{:.1f} ", 10 * x.Of(point->x), 1000 - 10 * height);
    height = y.Of(point->y);
    points += fmt::format("{:.1f},{:.1f} ", 10 * x.Of(point->x), 1000 - 10 * height);
  }
  points += fmt::format("1000,{:.1f}", 1000 - 10 * height);
  // In a coordinate system of its own that is stretched to the width.
  return fmt::format(R"(<svg x="0" y="0" width="100%" height="{}" viewBox="0 0 1000 1000" preserveAspectRatio="none">)"
                     R"(<polyline class="curve" points="{}"/></svg>)",
                     kScatterHeight, points);
}

std::string Dot(const ScatterPoint& point, double x, const Scale& y) {
  const auto height_of = [&](double value) { return kScatterHeight * (1 - y.Of(value) / 100); };
  std::string svg = fmt::format(R"(<line class="reach" x1="{0:.3f}%" x2="{0:.3f}%" y1="{1:.1f}" y2="{2:.1f}"/>)", x,
                                height_of(point.low), height_of(point.high));
  svg += fmt::format(R"(<circle class="{} {}" cx="{:.3f}%" cy="{:.1f}" r="{}"><title>{}</title></circle>)", point.style,
                     point.front ? "point" : "hollow", x, height_of(point.y), kDot, HtmlText(point.title));
  return svg + fmt::format(R"(<text class="number{}" x="{:.3f}%" y="{:.1f}" text-anchor="middle">{}</text>)",
                           point.front ? " front" : "", x, height_of(point.y) + 4, HtmlText(point.label));
}

std::string Open(int height, std::string_view description) {
  return fmt::format(R"(<svg width="100%" height="{}" role="img" aria-label="{}">)", height, HtmlText(description));
}

}  // namespace

std::string HtmlText(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '<': escaped += "&lt;"; break;
      case '>': escaped += "&gt;"; break;
      case '&': escaped += "&amp;"; break;
      case '"': escaped += "&quot;"; break;
      case '\'': escaped += "&#39;"; break;
      default: escaped += c;
    }
  }
  return escaped;
}

int BarChartHeight(size_t bars) { return static_cast<int>(bars) * kRow + kAxis; }

std::string BarChart(std::span<const ChartBar> bars, std::string_view unit, std::string_view description) {
  double low = 0;
  double high = 0;
  for (const ChartBar& bar : bars) {
    double right = 0;
    double left = 0;
    for (const ChartPart& part : bar.parts) (part.value < 0 ? left : right) += part.value;
    low = std::min({low, left, bar.low});
    high = std::max({high, right, bar.high});
  }
  const Scale scale = ScaleOf(low, high);
  const int bottom = static_cast<int>(bars.size()) * kRow;
  std::string svg = Open(BarChartHeight(bars.size()), description) + XAxis(scale, 0, bottom, unit);
  for (size_t i = 0; i < bars.size(); ++i) svg += Bar(scale, bars[i], static_cast<int>(i) * kRow);
  return svg + "</svg>\n";
}

std::string DrawBands(const BandChart& chart) {
  double right = 0;
  double top = chart.mark;
  for (const ChartBand& band : chart.bands) {
    right = std::max(right, band.end);
    top = std::max(top, band.height);
  }
  for (const auto& line : chart.lines) {
    for (const ChartPoint& point : line) top = std::max(top, point.y);
  }
  if (right <= 0 || top <= 0) return "";
  const Scale y = ScaleOf(0, top);
  const Scale x{0, right, NiceStep(right)};
  const auto height_of = [&](double value) { return kPlotHeight * (1 - y.Of(value) / 100); };
  std::string svg = Open(kPlotHeight + kAxis, chart.description);
  for (const ChartBand& band : chart.bands) {
    const double from = band.height > 0 ? height_of(band.height) : 0;
    svg += fmt::format(
        R"(<rect class="{}{}" x="{:.3f}%" width="{:.3f}%" y="{:.1f}" height="{:.1f}"><title>{}</title></rect>)",
        band.style, band.height > 0 ? "" : " band", x.Of(band.begin), x.Of(band.end) - x.Of(band.begin), from,
        kPlotHeight - from, HtmlText(band.title));
    if (x.Of(band.end) - x.Of(band.begin) > kLetter * static_cast<double>(band.label.size() + 1)) {
      svg += fmt::format(R"(<text class="inside" x="{:.3f}%" y="{}" text-anchor="middle">{}</text>)",
                         (x.Of(band.begin) + x.Of(band.end)) / 2, kPlotHeight - 6, HtmlText(band.label));
    }
  }
  for (const double tick : TicksOf(y)) {
    svg += fmt::format(R"(<line class="grid" x1="0" x2="100%" y1="{0:.1f}" y2="{0:.1f}"/>)", height_of(tick));
    if (tick > 0) {
      svg += fmt::format(R"(<text class="tick over" x="3" y="{:.1f}">{:g} {}</text>)", height_of(tick) + 13, tick,
                         HtmlText(chart.y_unit));
    }
  }
  // Lines in a coordinate system of their own that is stretched to the width.
  svg += fmt::format(R"(<svg x="0" y="0" width="100%" height="{}" viewBox="0 0 1000 1000" preserveAspectRatio="none">)",
                     kPlotHeight);
  for (const auto& line : chart.lines) {
    std::string points;
    for (const ChartPoint& point : line) {
      points += fmt::format("{:.1f},{:.1f} ", 10 * x.Of(point.x), 1000 - 10 * y.Of(point.y));
    }
    svg += fmt::format(R"(<polyline class="curve" points="{}"/>)", points);
  }
  svg += "</svg>";
  if (chart.mark > 0) {
    svg += fmt::format(R"(<line class="mark" x1="0" x2="100%" y1="{0:.1f}" y2="{0:.1f}"/>)", height_of(chart.mark));
  }
  for (double at = 0; at <= right * (1 + 1e-9); at += x.step) {
    const bool last = at + x.step > right * (1 + 1e-9);
    svg += fmt::format(R"(<text class="tick" x="{:.3f}%" y="{}" text-anchor="{}">{:g}{}</text>)", x.Of(at),
                       kPlotHeight + 17, Anchor(x.Of(at)), at, last ? fmt::format(" {}", HtmlText(chart.x_unit)) : "");
  }
  return svg + "</svg>\n";
}

int ScatterHeight() { return kScatterHeight + kAxis; }

std::string DrawScatter(const ScatterChart& chart) {
  if (chart.points.empty()) return "";
  double cheapest = chart.points[0].x;
  double dearest = cheapest;
  double low = chart.points[0].low;
  double high = chart.points[0].high;
  for (const ScatterPoint& point : chart.points) {
    cheapest = std::min(cheapest, point.x);
    dearest = std::max(dearest, point.x);
    low = std::min({low, point.low, point.y});
    high = std::max({high, point.high, point.y});
  }
  const CostScale x(cheapest, dearest);
  const Scale y = ScaleOf(low, high);
  std::string svg = Open(ScatterHeight(), chart.description);
  const std::vector<double> ticks = x.Ticks();
  for (const double tick : ticks) {
    const double at = x.Of(tick);
    svg += fmt::format(R"(<line class="grid" x1="{0:.3f}%" x2="{0:.3f}%" y1="0" y2="{1}"/>)", at, kScatterHeight);
    svg +=
        fmt::format(R"(<text class="tick" x="{:.3f}%" y="{}" text-anchor="{}">{:g}{}</text>)", at, kScatterHeight + 17,
                    Anchor(at), tick, tick == ticks.back() ? fmt::format(" {}", HtmlText(chart.x_unit)) : "");
  }
  for (const double tick : TicksOf(y)) {
    const double at = kScatterHeight * (1 - y.Of(tick) / 100);
    svg += fmt::format(R"(<line class="grid" x1="0" x2="100%" y1="{0:.1f}" y2="{0:.1f}"/>)", at);
    svg +=
        fmt::format(R"(<text class="tick over" x="3" y="{:.1f}">{:g} {}</text>)", at - 4, tick, HtmlText(chart.y_unit));
  }
  svg += FrontLine(chart, x, y);
  for (const bool front : {false, true}) {
    for (const ScatterPoint& point : chart.points) {
      if (point.front == front) svg += Dot(point, x.Of(point.x), y);
    }
  }
  return svg + "</svg>\n";
}

}  // namespace eyeshot::cli
