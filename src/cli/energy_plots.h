// Charts of a fixed width (kChartWidth): lines on a logarithmic scale, named points, and maps of numbers.
#ifndef EYESHOT_CLI_ENERGY_PLOTS_H_
#define EYESHOT_CLI_ENERGY_PLOTS_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/chart_page.h"

namespace eyeshot::cli {

// One line for each series, in the colours of SeriesStyle(), over places that are equally far from each other.
struct LinesChart {
  std::vector<std::string> places;  // of the x axis
  struct Series {
    std::string name;
    std::vector<std::optional<double>> values;  // above zero, one a place; nothing: a gap
  };
  std::vector<Series> series;
  std::string unit;
  std::string description;
};
Figure DrawLines(const LinesChart& chart);

struct NamedPoint {
  std::string name;
  double x = 0;
  double y = 0;
  std::string style;  // a class of the style, of SeriesStyle()
};
struct PointsChart {
  std::vector<NamedPoint> points;
  std::string x_title;
  std::string y_title;
  std::string description;
};
Figure DrawPoints(const PointsChart& chart);

struct MapCell {
  std::string upper;  // two lines of text
  std::string lower;
  double strength = 0;  // 0 to 1: how strongly it is coloured
  bool framed = false;
};
struct NumberMap {
  std::vector<std::string> rows;
  std::vector<std::string> columns;  // broken at their last hyphen
  std::vector<std::vector<MapCell>> cells;
  std::string description;
};
Figure DrawMap(const NumberMap& map);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_ENERGY_PLOTS_H_
