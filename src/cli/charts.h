// Charts of the pages that commands write: inline SVG that is as wide as the page. Coordinates along x are percentages,
// so that text keeps its size on a phone.
#ifndef EYESHOT_CLI_CHARTS_H_
#define EYESHOT_CLI_CHARTS_H_

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace eyeshot::cli {

// With <, >, &, and quotes as entities.
std::string HtmlText(std::string_view text);

struct ChartPart {
  std::string style;  // a CSS class that colours it
  double value = 0;
  bool estimate = false;  // drawn paler
  std::string title;  // shown by a pointer that rests on it
};

// A bar, made of parts from left to right; `low` and `high` (both 0: none) are a whisker. A negative part is drawn
// to the left of zero.
struct ChartBar {
  std::string label;
  std::vector<ChartPart> parts;
  double low = 0;
  double high = 0;
};

// Bars below one another, each under its label, over one axis that is marked in `unit`.
std::string BarChart(std::span<const ChartBar> bars, std::string_view unit, std::string_view description);
int BarChartHeight(size_t bars);

// Something that lasted from `begin` to `end`.
struct ChartBand {
  double begin = 0;
  double end = 0;
  std::string style;
  std::string title;
  double height = 0;  // of the band itself; 0: as high as the chart
  std::string label;  // written into it where it is wide enough
};

struct ChartPoint {
  double x = 0;
  double y = 0;
};

// Bands along the x axis and, over them, lines. `mark` (0: none) is a dashed line at that height.
struct BandChart {
  std::vector<ChartBand> bands;
  std::vector<std::vector<ChartPoint>> lines;
  double mark = 0;
  std::string x_unit;
  std::string y_unit;
  std::string description;
};
std::string DrawBands(const BandChart& chart);

// A figure with its interval, at a cost.
struct ScatterPoint {
  double x = 0;  // more than 0
  double y = 0;
  double low = 0;
  double high = 0;
  std::string label;  // one or two characters, written into the point
  std::string style;
  std::string title;
  bool front = false;  // on the Pareto front: filled, and on its line
};

// Points over a cost, their intervals as lines, and the Pareto front as steps. The cost's axis is logarithmic where the
// dearest point costs ten times the cheapest.
struct ScatterChart {
  std::vector<ScatterPoint> points;
  std::string x_unit;
  std::string y_unit;
  std::string description;
};
std::string DrawScatter(const ScatterChart& chart);
// The height of what DrawScatter() draws, in pixels.
int ScatterHeight();

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_CHARTS_H_
