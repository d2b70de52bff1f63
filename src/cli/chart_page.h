// Pages and files that hold charts: their style, for light and dark screens, and legends.
#ifndef EYESHOT_CLI_CHART_PAGE_H_
#define EYESHOT_CLI_CHART_PAGE_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace eyeshot::cli {

// CSS classes of the style, and what they stand for.
using ChartLegend = std::vector<std::pair<std::string, std::string>>;
// Of the series of a chart, by its number: colours come again after some.
std::string SeriesStyle(size_t series);
std::string HtmlLegend(const ChartLegend& entries);

// From the doctype to the body's begin, with the style; who opens it closes body and html.
std::string OpenPage(std::string_view title);

// Pixels of a chart that has a fixed width.
inline constexpr int kChartWidth = 860;

// A chart, an <svg> element, and its height in pixels.
struct Figure {
  std::string svg;
  int height = 0;
};

// Below one another: words, a legend, a chart.
struct FilePart {
  std::vector<std::string> words;  // lines
  ChartLegend legend;
  Figure figure;
};

// A whole SVG file that needs no other.
std::string SvgFile(std::string_view title, const std::vector<FilePart>& parts);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_CHART_PAGE_H_
