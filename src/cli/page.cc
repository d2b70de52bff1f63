#include "cli/page.h"

#include <fmt/format.h>

#include "cli/charts.h"

namespace eyeshot::cli {
namespace {

constexpr char kChartStyle[] =
    R"(:root{color-scheme:light dark;--back:#fff;--text:#1b1f24;--soft:#5b6570;--line:#d9dee4;--card:#f5f7f9;--curve:#1b1f24;
--series0:#0b6bb0;--series1:#c2571a;--series2:#0a8f68;--series3:#c06a9d;--series4:#dd9100;--series5:#7a5cc0}
@media(prefers-color-scheme:dark){:root{--back:#14171b;--text:#e6e9ed;--soft:#9aa4af;--line:#333a42;--card:#1d2228;
--curve:#f2f4f7;--series0:#3f94d6;--series1:#e0793f;--series2:#2fb88c;--series3:#d58cb8;--series4:#eeab2e;--series5:#a78bf0}}
svg{overflow:visible}svg text{font:12px system-ui,sans-serif;fill:var(--soft)}svg .label{fill:var(--text);font-size:13px}
svg .over{fill:var(--text);paint-order:stroke;stroke:var(--back);stroke-width:4px}svg rect{stroke:var(--back);stroke-width:.7}
svg .inside{fill:#fff;paint-order:stroke;stroke:#0007;stroke-width:2px}.grid{stroke:var(--line)}.whisker{stroke:var(--text);stroke-width:1.5}
.curve{fill:none;stroke:var(--curve);stroke-width:1.5;vector-effect:non-scaling-stroke}
.mark{stroke:var(--text);stroke-dasharray:5 4}.band{opacity:.28}.estimate{opacity:.45}
.reach{stroke:var(--soft);stroke-width:1;opacity:.6}.dot{stroke:var(--back);stroke-width:1.5}
svg .hollow{fill:var(--back)!important;stroke-width:1.5}svg .number{font-size:11px;fill:var(--text)}svg .front{fill:#fff;font-weight:600}
.series0{fill:var(--series0);background:var(--series0);stroke:var(--series0)}
.series1{fill:var(--series1);background:var(--series1);stroke:var(--series1)}
.series2{fill:var(--series2);background:var(--series2);stroke:var(--series2)}
.series3{fill:var(--series3);background:var(--series3);stroke:var(--series3)}
.series4{fill:var(--series4);background:var(--series4);stroke:var(--series4)}
.series5{fill:var(--series5);background:var(--series5);stroke:var(--series5)}
)";

constexpr char kPageStyle[] =
    R"(*{box-sizing:border-box}body{margin:0 auto;padding:20px 16px 60px;max-width:1000px;background:var(--back);
color:var(--text);font:16px/1.5 system-ui,sans-serif}h1{font-size:1.5em;line-height:1.25;margin:.4em 0}
h2{font-size:1.2em;margin:2em 0 .3em}p{margin:.4em 0 .8em;max-width:75ch}.soft{color:var(--soft)}
.card{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:10px 14px;margin:12px 0}
svg{display:block;margin:10px 0 4px}
.legend{display:flex;flex-wrap:wrap;gap:4px 16px;padding:0;margin:6px 0;list-style:none;font-size:.88em}
.legend i{display:inline-block;width:12px;height:12px;border-radius:3px;margin-right:6px;vertical-align:-1px}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.84em;font-variant-numeric:tabular-nums}
th,td{padding:3px 9px;text-align:right;white-space:nowrap;border-bottom:1px solid var(--line)}
th:first-child,td:first-child{text-align:left;padding-left:0}summary{cursor:pointer;padding:4px 0}
@media(max-width:480px){svg .label{font-size:11px}svg .inside{font-size:11px}}dt{font-weight:600;margin-top:.7em}dd{margin:0 0 0 1em;max-width:75ch}
)";

}  // namespace

std::string_view ChartStyle() { return kChartStyle; }

std::string PageHead(std::string_view title, std::string_view style) {
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width,initial-scale=1\">\n<title>{}</title>\n<style>\n{}{}</style>\n{}</head><body>\n",
      HtmlText(title), kChartStyle, kPageStyle, style);
}

std::string PageEnd() { return "</body></html>\n"; }

std::string Legend(std::span<const std::pair<std::string, std::string>> entries) {
  std::string html = R"(<ul class="legend">)";
  for (const auto& [style, text] : entries) {
    html += fmt::format(R"(<li><i class="{}"></i>{}</li>)", style, HtmlText(text));
  }
  return html + "</ul>\n";
}

}  // namespace eyeshot::cli
