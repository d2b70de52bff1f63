#include "cli/chart_page.h"

#include <fmt/format.h>

#include <string_view>

#include "cli/charts.h"

namespace eyeshot::cli {
namespace {

// Colours of stages and limits, light and dark; told apart also by who sees red and green alike.
constexpr char kColours[] =
    R"(:root{color-scheme:light dark;--back:#fff;--text:#1b1f24;--soft:#5b6570;--line:#d9dee4;--card:#f5f7f9;--curve:#1b1f24;
--decode_image:#c2571a;--preprocess:#c06a9d;--encode:#0b6bb0;--connect:#4fa8dc;--reduce:#a39a14;--prefill:#dd9100;
--decode:#0a8f68;--detokenize:#7d8791;--between:#aab2ba;--compute:#c2571a;--memory:#0b6bb0;--latency:#dd9100;--host:#8d97a1}
@media(prefers-color-scheme:dark){:root{--back:#14171b;--text:#e6e9ed;--soft:#9aa4af;--line:#333a42;--card:#1d2228;
--curve:#f2f4f7;--decode_image:#e0793f;--preprocess:#d58cb8;--encode:#3f94d6;--connect:#7cc0ea;--reduce:#c9bf3a;
--prefill:#eeab2e;--decode:#2fb88c;--detokenize:#98a2ad;--between:#5d6670;--compute:#e0793f;--memory:#3f94d6;
--latency:#eeab2e;--host:#6d7782}}
)";

// Of charts, in a page or a file of their own.
constexpr char kShapes[] =
    R"(svg{overflow:visible}svg text{font:12px system-ui,sans-serif;fill:var(--soft)}svg .label{fill:var(--text);font-size:13px}
svg .over{fill:var(--text);paint-order:stroke;stroke:var(--back);stroke-width:4px}svg rect{stroke:var(--back);stroke-width:.7}
svg .inside{fill:#fff;paint-order:stroke;stroke:#0007;stroke-width:2px}.grid{stroke:var(--line)}.whisker{stroke:var(--text);stroke-width:1.5}
.curve{fill:none;stroke:var(--curve);stroke-width:1.5;vector-effect:non-scaling-stroke}
.mark{stroke:var(--text);stroke-dasharray:5 4}.band{opacity:.28}.estimate{opacity:.45}
.line{fill:none;stroke:currentColor;stroke-width:2}.dot{fill:currentColor;background:currentColor}.heat{fill:var(--compute)}
.own{fill:none;stroke:var(--text);stroke-width:1.5}.axis{stroke:var(--soft)}.title{font-size:16px;font-weight:600;fill:var(--text)}
.back{fill:var(--back);stroke:none}
.reach{stroke:var(--soft);stroke-width:1;opacity:.6}.point{stroke:var(--back);stroke-width:1.5}
svg .hollow{fill:var(--back)!important;stroke-width:1.5}svg .number{font-size:11px;fill:var(--text)}svg .front{fill:#fff;font-weight:600}
)";

// Of everything around them.
constexpr char kPage[] =
    R"(*{box-sizing:border-box}body{margin:0 auto;padding:20px 16px 60px;max-width:1000px;background:var(--back);
color:var(--text);font:16px/1.5 system-ui,sans-serif}h1{font-size:1.5em;line-height:1.25;margin:.4em 0}
h2{font-size:1.2em;margin:2em 0 .3em}p{margin:.4em 0 .8em;max-width:75ch}.soft{color:var(--soft)}
.card{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:10px 14px;margin:12px 0}
.warn{border-left:5px solid var(--latency)}svg{display:block;margin:10px 0 4px}
.legend{display:flex;flex-wrap:wrap;gap:4px 16px;padding:0;margin:6px 0;list-style:none;font-size:.88em}
.legend i{display:inline-block;width:12px;height:12px;border-radius:3px;margin-right:6px;vertical-align:-1px}
.scroll{overflow-x:auto}.wide{min-width:640px}table{border-collapse:collapse;font-size:.84em;font-variant-numeric:tabular-nums}
th,td{padding:3px 9px;text-align:right;white-space:nowrap;border-bottom:1px solid var(--line)}
th:first-child,td:first-child{text-align:left;padding-left:0}summary{cursor:pointer;padding:4px 0}
@media(max-width:480px){svg .label{font-size:11px}svg .inside{font-size:11px}}dt{font-weight:600;margin-top:.7em}dd{margin:0 0 0 1em;max-width:75ch})";

// Classes that fill a shape, or the box of a legend, with the colour of that name.
constexpr std::string_view kFills[] = {"compute", "memory", "latency", "host",   "decode_image", "preprocess", "encode",
                                       "connect", "reduce", "prefill", "decode", "detokenize",   "between"};
// Colours of SeriesStyle().
constexpr std::string_view kSeries[] = {"encode",     "decode_image", "decode", "prefill",
                                        "preprocess", "connect",      "reduce", "detokenize"};

std::string Style(bool page) {
  std::string css = kColours;
  css += kShapes;
  if (page) css += kPage;
  for (const std::string_view name : kFills) css += fmt::format(".{0}{{fill:var(--{0});background:var(--{0})}}", name);
  for (size_t i = 0; i < std::size(kSeries); ++i) {
    css += fmt::format(".{0}{{color:var(--{1});fill:var(--{1});background:var(--{1});stroke:var(--{1})}}",
                       SeriesStyle(i), kSeries[i]);
  }
  return "<style>\n" + css + "</style>\n";
}

// Of a file: boxes and words in rows; the height that they take goes to `height`.
std::string SvgLegend(const ChartLegend& entries, int top, int* height) {
  constexpr int kRowHeight = 20;
  constexpr double kLetter = 7.2;  // pixels, about
  std::string svg;
  int left = 0;
  int y = top;
  for (const auto& [style, text] : entries) {
    const int width = 34 + static_cast<int>(kLetter * static_cast<double>(text.size()));
    if (left > 0 && left + width > kChartWidth) {
      left = 0;
      y += kRowHeight;
    }
    svg += fmt::format(R"(<rect class="dot {}" x="{}" y="{}" width="11" height="11" rx="2"/>)", style, left, y + 2);
    svg += fmt::format(R"(<text x="{}" y="{}">{}</text>)", left + 16, y + 12, HtmlText(text));
    left += width;
  }
  *height = entries.empty() ? 0 : y - top + kRowHeight + 4;
  return svg;
}

}  // namespace

std::string SeriesStyle(size_t series) { return fmt::format("series{}", series % std::size(kSeries)); }

std::string HtmlLegend(const ChartLegend& entries) {
  std::string html = R"(<ul class="legend">)";
  for (const auto& [style, text] : entries) {
    html += fmt::format(R"(<li><i class="dot {}"></i>{}</li>)", style, HtmlText(text));
  }
  return html + "</ul>\n";
}

std::string OpenPage(std::string_view title) {
  return fmt::format(
             "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
             "content=\"width=device-width,initial-scale=1\">\n<title>{}</title>\n",
             HtmlText(title)) +
         Style(true) + "</head><body>\n";
}

std::string SvgFile(std::string_view title, const std::vector<FilePart>& parts) {
  constexpr int kMargin = 20;
  std::string body = fmt::format(R"(<text class="title" x="0" y="16">{}</text>)", HtmlText(title));
  int at = 28;
  for (const FilePart& part : parts) {
    for (const std::string& line : part.words) {
      body += fmt::format(R"(<text class="label" x="0" y="{}">{}</text>)", at + 14, HtmlText(line));
      at += 19;
    }
    at += 6;
    int height = 0;
    body += SvgLegend(part.legend, at, &height);
    at += height;
    body += fmt::format(R"(<svg x="0" y="{}" width="{}" height="{}">{}</svg>)", at, kChartWidth, part.figure.height,
                        part.figure.svg);
    at += part.figure.height + 16;
  }
  const int width = kChartWidth + 2 * kMargin;
  const int height = at + 2 * kMargin - 16;
  return fmt::format(
             R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img" aria-label="{2}">)",
             width, height, HtmlText(title)) +
         Style(false) + R"(<rect class="back" width="100%" height="100%"/>)" +
         fmt::format(R"(<svg x="{0}" y="{0}" width="{1}" height="{2}">)", kMargin, kChartWidth, height - 2 * kMargin) +
         body + "</svg></svg>\n";
}

}  // namespace eyeshot::cli
