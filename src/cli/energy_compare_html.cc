// Charts of `eyeshot energy compare`, in a page or in files.
#include <fmt/format.h>

#include <algorithm>

#include "cli/chart_page.h"
#include "cli/charts.h"
#include "cli/energy_compare.h"
#include "cli/energy_plots.h"

namespace eyeshot::cli {
namespace {

using namespace simulator;  // NOLINT(google-build-using-namespace): the file is about nothing else

struct Section {
  std::string file;   // of the chart
  std::string title;
  std::vector<FilePart> parts;
};

constexpr std::string_view kStageStyles[] = {"encode", "prefill", "decode"};
constexpr std::string_view kBoundStyles[] = {"host", "encode", "prefill", "decode"};

std::string RequestText(const Comparison& comparison) {
  return fmt::format("{}; a usual picture, {} text tokens, {} tokens out, batch {}", comparison.machine.name,
                     comparison.flags.text_tokens, comparison.flags.output_tokens, comparison.flags.batch);
}

Figure Bars(const std::vector<ChartBar>& bars, std::string_view unit, std::string_view description) {
  return {BarChart(bars, unit, description), BarChartHeight(bars.size())};
}

std::string CostLabel(const ComparedModel& model, const ComparedCost& cost) {
  return fmt::format("{}, {}: {:.4g} J, {:.4g} ms, {}", model.work.model.name, cost.label, JoulesOf(cost.shares),
                     SecondsOf(cost.shares) * 1e3, BoundLabel(cost.bounds.bound()));
}

// Of joules, or of time.
Figure StageBars(const Comparison& comparison, double StageShare::* part, std::string_view description) {
  std::vector<ChartBar> bars;
  for (const ComparedModel& model : comparison.models) {
    for (const ComparedCost& cost : model.costs) {
      double sum = 0;
      for (const StageShare& stage : cost.shares) sum += stage.*part;
      ChartBar bar{.label = CostLabel(model, cost)};
      for (int s = 0; s < kStages; ++s) {
        const double percent = 100 * cost.shares[s].*part / sum;
        bar.parts.push_back({std::string(kStageStyles[s]), percent, false,
                             fmt::format("{}: {:.1f} %", StageLabel(static_cast<Stage>(s)), percent)});
      }
      bars.push_back(std::move(bar));
    }
  }
  return Bars(bars, "%", description);
}

Figure BoundBars(const Comparison& comparison) {
  std::vector<ChartBar> bars;
  for (const ComparedModel& model : comparison.models) {
    for (const ComparedCost& cost : model.costs) {
      ChartBar bar{.label = CostLabel(model, cost)};
      for (int b = 0; b < kBounds; ++b) {
        const double percent = 100 * cost.bounds.share[b];
        bar.parts.push_back({std::string(kBoundStyles[b]), percent, false,
                             fmt::format("{}: {:.1f} %", BoundLabel(static_cast<Bound>(b)), percent)});
      }
      bars.push_back(std::move(bar));
    }
  }
  return Bars(bars, "%", "Joules by what bounds them");
}

Section StagesSection(const Comparison& comparison) {
  const ChartLegend stages = {{"encode", "encode"}, {"prefill", "prefill"}, {"decode", "decode"}};
  return {"stages.svg",
          "Where the joules of a request go",
          {{{RequestText(comparison), "Joules by stage"},
            stages,
            StageBars(comparison, &StageShare::joules, "Joules by stage")},
           {{"Time by stage"}, stages, StageBars(comparison, &StageShare::seconds, "Time by stage")}}};
}

Section ClassesSection(const Comparison& comparison) {
  return {"classes.svg",
          "What bounds a request: the largest part is the model's class",
          {{{RequestText(comparison), "Joules by what set the pace while they were spent"},
            {{"host", "launches, host, gaps"},
             {"encode", "encoder"},
             {"prefill", "tokens (prefill)"},
             {"decode", "decode"}},
            BoundBars(comparison)}}};
}

Section InflationSection(const Comparison& comparison) {
  std::vector<ChartBar> bars;
  for (const ComparedModel& model : comparison.models) {
    const Inflation& inflation = model.inflation;
    std::string label = fmt::format("{}: {} % simulated, {}", model.work.model.name,
                                    SignedPercent(inflation.prompt_only), comparison.software.name);
    if (model.measured_inflation) {
      label += fmt::format("; {} % {}", SignedPercent(*model.measured_inflation), model.costs.front().label);
    }
    bars.push_back({.label = std::move(label),
                    .parts = {{"encode", 100 * inflation.encode_share, false, "encoder"},
                              {"prefill", 100 * inflation.token_share, false, "longer prompt"}}});
  }
  return {"inflation.svg",
          "What a picture adds to the energy of a text-only request",
          {{{RequestText(comparison) + "; prompt-only"},
            {{"encode", "encoder"}, {"prefill", "longer prompt"}},
            Bars(bars, "%", "Inflation by model")}}};
}

ChartLegend ModelLegend(const Comparison& comparison) {
  ChartLegend legend;
  for (size_t i = 0; i < comparison.models.size(); ++i) {
    legend.emplace_back(SeriesStyle(i), comparison.models[i].work.model.name);
  }
  return legend;
}

// Joules over the side of one picture, or over the number of pictures.
Figure Curves(const Comparison& comparison, bool over_sides) {
  LinesChart chart{.unit = "J a request, simulated", .description = "Joules over pictures"};
  if (over_sides) {
    for (const double side : kComparedSides) chart.places.push_back(fmt::format("{0} x {0}", side));
  } else {
    for (const int pictures : kComparedPictures) {
      chart.places.push_back(fmt::format("{} picture{}", pictures, pictures == 1 ? "" : "s"));
    }
  }
  for (const ComparedModel& model : comparison.models) {
    LinesChart::Series series{std::string(model.work.model.name), {}};
    for (const ComparedPictures& one : model.pictures) {
      if (over_sides ? one.pictures != 1 : one.side != kComparedSides[1]) continue;
      series.values.push_back(one.work.fits ? std::optional<double>(one.joules) : std::nullopt);
    }
    chart.series.push_back(std::move(series));
  }
  return DrawLines(chart);
}

Section CurvesSection(const Comparison& comparison) {
  return {"pictures.svg",
          "Joules over the size and number of pictures",
          {{{RequestText(comparison), "One picture"}, ModelLegend(comparison), Curves(comparison, true)},
           {{fmt::format("Pictures of {0} x {0}; lines end where the context does", kComparedSides[1])},
            {},
            Curves(comparison, false)}}};
}

Figure RegretMap(const RegretMatrix& matrix) {
  // So much more is coloured as strongly as can be.
  constexpr double kStrongest = 0.5;
  NumberMap map{.description = "Regret of foreign profiles"};
  for (size_t i = 0; i < matrix.models.size(); ++i) {
    const TunedModel& model = matrix.models[i];
    map.rows.emplace_back(model.work.model.name);
    map.columns.emplace_back(model.work.model.name);
    std::vector<MapCell>& row = map.cells.emplace_back();
    for (size_t j = 0; j < matrix.of[i].size(); ++j) {
      const Regret& regret = matrix.of[i][j];
      if (i == j) {
        const auto& clocks = model.profile.clocks;
        row.push_back(
            {clocks[1] == clocks[2] ? fmt::format("{} MHz", clocks[1]) : fmt::format("{}+{}", clocks[1], clocks[2]),
             fmt::format("batch {}", model.profile.batch), 0, true});
      } else {
        row.push_back({fmt::format("{} % J", SignedPercent(regret.joules)),
                       fmt::format("{} % p95", SignedPercent(regret.p95)),
                       std::max({0.0, regret.joules, regret.p95}) / kStrongest});
      }
    }
  }
  return DrawMap(map);
}

FilePart RegretPart(const RegretMatrix& matrix, const std::string& title) {
  const RegretSummary summary = Summarize(matrix);
  return {{title, fmt::format("{} of {} pairs pay {:.0f} % or more", summary.paying, summary.pairs, 100 * kPays)},
          {},
          RegretMap(matrix)};
}

Section RegretSection(const Comparison& comparison) {
  Section section{"regret.svg",
                  "One model's tuned clocks and batch on another model",
                  {RegretPart(comparison.one_clock, "One device, one clock"),
                   RegretPart(comparison.pools, "Two pools: MHz of encode and prefill + MHz of decode")}};
  section.parts[0].words.insert(
      section.parts[0].words.begin(),
      {RequestText(comparison),
       fmt::format(
           "Simulated, load {}, p95 may grow by {} %. Row: whose profile (framed: the profile); column: who has "
           "it.",
           comparison.flags.load, comparison.flags.slowdown_percent)});
  return section;
}

std::vector<Section> Sections(const Comparison& comparison) {
  return {StagesSection(comparison), ClassesSection(comparison), InflationSection(comparison),
          CurvesSection(comparison), RegretSection(comparison)};
}

std::string LeversHtml(const Comparison& comparison) {
  std::string html =
      "<h2>What would lower the joules</h2>\n<p>Simulated anew with each lever. Bold: advised where requests come one "
      "by one.</p>\n<div class=\"scroll\"><table><tr><th>model</th><th>lever</th><th>joules</th><th>time</th></tr>\n";
  for (const ComparedModel& model : comparison.models) {
    for (const Lever& lever : model.levers) {
      const bool advised = &lever == &model.advised();
      html +=
          fmt::format("<tr><td>{}</td><td>{}{}{}{}</td><td>{} %</td><td>{} %</td></tr>\n",
                      &lever == model.levers.data() ? model.work.model.name : "", advised ? "<b>" : "",
                      HtmlText(lever.what), advised ? "</b>" : "", lever.changes_input ? " (the model sees less)" : "",
                      SignedPercent(lever.joules_change), SignedPercent(lever.seconds_change));
    }
  }
  return html + "</table></div>\n";
}

}  // namespace

std::string ComparisonHtml(const Comparison& comparison) {
  std::string html = OpenPage("Energy of vision-language models side by side");
  html += fmt::format(
      "<h1>Energy of vision-language models side by side</h1>\n<p class=\"soft\">{}</p>\n<div class=\"card warn\">All "
      "figures are <b>simulated</b> but those that say measured.{}</div>\n",
      HtmlText(RequestText(comparison)),
      comparison.source_of_measured.empty() ? "" : " Measured: " + HtmlText(comparison.source_of_measured) + ".");
  for (const Section& section : Sections(comparison)) {
    html += fmt::format("<h2>{}</h2>\n", HtmlText(section.title));
    for (const FilePart& part : section.parts) {
      for (const std::string& line : part.words) html += fmt::format("<p>{}</p>\n", HtmlText(line));
      if (!part.legend.empty()) html += HtmlLegend(part.legend);
      html += "<div class=\"scroll\"><div class=\"wide\">" + part.figure.svg + "</div></div>\n";
    }
  }
  return html + LeversHtml(comparison) + "</body></html>\n";
}

std::vector<std::pair<std::string, std::string>> ComparisonSvgs(const Comparison& comparison) {
  std::vector<std::pair<std::string, std::string>> files;
  for (const Section& section : Sections(comparison)) {
    files.emplace_back(section.file, SvgFile(section.title, section.parts));
  }
  return files;
}

}  // namespace eyeshot::cli
