#include "cli/energy_html.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/chart_page.h"
#include "cli/charts.h"
#include "cli/cost_flags.h"
#include "cli/energy_report.h"

namespace eyeshot::cli {
namespace {

std::string NameOf(const RequestFigure& request) {
  return fmt::format("{}, {} token{} out", request.pictures == 0 ? "question alone" : request.input, request.tokens,
                     request.tokens == 1 ? "" : "s");
}

std::string Bounds(const Joules& joules) {
  return fmt::format("{:.4g} J ({:.4g} to {:.4g})", joules.value, joules.low, joules.high);
}

bool Known(const RequestFigure& request, size_t group) {
  return request.joules[group].joules.source != EnergySource::kNone;
}

bool IsModel(const WorkloadReport& report, size_t group) { return report.groups[group].source == EnergySource::kModel; }

// The group that the smaller charts are of: a GPU's meter before a processor's, a meter before a model.
std::optional<size_t> MainGroup(const WorkloadReport& report) {
  std::optional<size_t> best;
  const auto rank = [&](size_t group) {
    return IsModel(report, group) ? 0 : report.groups[group].name == "gpu" ? 2 : 1;
  };
  for (size_t group = 0; group < report.groups.size(); ++group) {
    if (!best || rank(group) > rank(*best)) best = group;
  }
  return best;
}

std::string Heading(const WorkloadReport& report) {
  const ModelInfo& model = report.model;
  return fmt::format(
             "<h1>Energy of {} on {}</h1>\n<p class=\"soft\">{}, {}, {} thread{}. Measured for {:.0f} s by "
             "<code>eyeshot energy</code>.</p>\n",
             HtmlText(model.name), HtmlText(model.device), HtmlText(model.precision), HtmlText(model.isa),
             model.threads, model.threads == 1 ? "" : "s", report.measured_s) +
         (report.governor.empty() ? "" : fmt::format("<p class=\"soft\">{}</p>\n", HtmlText(report.governor)));
}

std::string MeterCard(const WorkloadReport& report, size_t group) {
  const MeterGroup& meters = report.groups[group];
  if (meters.meters.empty()) {
    return fmt::format(
        "<div class=\"card warn\"><b>No meter of energy can be read here.</b> Times are measured; joules are a "
        "<b>model's estimate</b>, to 30 % up and down, with the power of \"{}\"{}. Nothing of them is "
        "measured.</div>\n",
        HtmlText(report.machine.machine->name),
        report.machine.stand_in ? ", which is not this machine: read them as which stage takes more, not as how much"
                                : "");
  }
  std::string names;
  for (const size_t index : meters.meters) {
    names += (names.empty() ? "" : ", ") + HtmlText(report.meters[index].name);
  }
  std::string html = fmt::format("<div class=\"card{}\"><b>{}</b>: {} ({}{}).", IsModel(report, group) ? " warn" : "",
                                 meters.name, names, EnergySourceName(meters.source),
                                 IsModel(report, group) ? ": an estimate, no measurement" : "");
  if (report.period_s[group] > 0) {
    html += fmt::format(" Its counter moves each {:.0f} ms; stages are far shorter, and are told apart by repetition.",
                        report.period_s[group] * 1e3);
  }
  if (report.idle[group])
    html += fmt::format(" Idle, before anything was loaded: {:.1f} W.", report.idle[group]->watts);
  if (report.ready[group]) {
    html += fmt::format(" With the model loaded and waiting: {:.1f} W.", report.ready[group]->watts);
  }
  return html + "</div>\n";
}

ChartLegend StagesOf(const WorkloadReport& report) {
  ChartLegend entries;
  for (size_t i = 0; i < kTimes; ++i) {
    const bool happens = std::any_of(report.requests.begin(), report.requests.end(),
                                     [&](const RequestFigure& request) { return request.stages[i].wall_s > 0; });
    if (happens) entries.emplace_back(TimeName(i), i == kBetween ? "between stages" : std::string(TimeName(i)));
  }
  return entries;
}

std::string StagesChart(const WorkloadReport& report, size_t group) {
  std::vector<ChartBar> bars;
  for (const RequestFigure& request : report.requests) {
    if (!Known(request, group)) continue;
    const Joules& whole = request.joules[group].joules;
    ChartBar bar{.label = NameOf(request) + ": " + Bounds(whole), .low = whole.low, .high = whole.high};
    for (size_t i = 0; i < kTimes; ++i) {
      const Repeated& stage = request.stages[i].joules[group];
      if (stage.joules.value <= 0) continue;
      bar.parts.push_back({std::string(TimeName(i)), stage.joules.value, !stage.resolved,
                           fmt::format("{}: {}{}", TimeName(i), Bounds(stage.joules),
                                       stage.resolved ? "" : ", below resolution: an estimate")});
    }
    bars.push_back(std::move(bar));
  }
  if (bars.empty()) return "";
  return BarChart(bars, "J", "Joules of each request, stage by stage");
}

std::string StagesSection(const WorkloadReport& report) {
  const bool measured = std::any_of(report.groups.begin(), report.groups.end(),
                                    [](const MeterGroup& group) { return group.source != EnergySource::kModel; });
  std::string html =
      "<h2>What a request takes</h2>\n<p>Joules from the picture's file to the last token, stage by stage. ";
  html += measured ? "The whisker holds the true value with 95 %, as far as counter and scatter tell. Pale parts are "
                     "below the meter's resolution: estimates.</p>\n"
                   : "The whisker is the model's own error. Nothing here was measured but times.</p>\n";
  html += HtmlLegend(StagesOf(report));
  for (size_t group = 0; group < report.groups.size(); ++group) {
    if (report.groups.size() > 1) html += fmt::format("<p><b>{}</b></p>", report.groups[group].name);
    html += StagesChart(report, group);
  }
  return html;
}

const ChartLegend& BoundEntries() {
  static const ChartLegend entries = {{"compute", "compute-bound"},
                                      {"memory", "memory-bound"},
                                      {"latency", "neither: launches and waits"},
                                      {"host", "idle: the host works, or nobody"}};
  return entries;
}

std::string BoundOf(const WorkloadReport& report, const StageFigure& stage) {
  const std::string_view bound = UtilizationOf(stage.counts, stage.busy_s(), report.machine.peaks).bound;
  return std::string(bound.empty() ? "latency" : bound);
}

// One request from left to right: each stage as wide as it lasts and as high as its power, so that areas are joules.
std::string RequestChart(const WorkloadReport& report, const RequestFigure& request, size_t group) {
  BandChart chart{.x_unit = "ms", .y_unit = "W", .description = "Power of one request over its time"};
  if (report.idle[group]) chart.mark = report.idle[group]->watts;
  double at = 0;
  for (size_t i = 0; i < kTimes; ++i) {
    const StageFigure& stage = request.stages[i];
    const double ms = stage.exposed_s[group] * 1e3;
    const double joules = stage.joules[group].joules.value;
    if (ms <= 0 || joules <= 0) continue;
    const double watts = joules / ms * 1e3;
    const Utilization use = UtilizationOf(stage.counts, stage.busy_s(), report.machine.peaks);
    std::string title = fmt::format("{}: {:.2f} ms, {:.0f} W, {:.4g} J", TimeName(i), ms, watts, joules);
    if (report.machine.peaks && stage.counts.flops > 0) {
      title += fmt::format("; {:.0f} % of peak FLOP/s, {:.0f} % of peak bytes/s", 100 * use.compute, 100 * use.memory);
    }
    chart.bands.push_back({at, at + ms, BoundOf(report, stage) + (stage.joules[group].resolved ? "" : " estimate"),
                           std::move(title), watts, std::string(TimeName(i))});
    at += ms;
  }
  return fmt::format("<p><b>{}</b></p>\n", HtmlText(NameOf(request))) + DrawBands(chart);
}

std::string RequestsSection(const WorkloadReport& report, size_t group) {
  std::string html =
      "<h2>Power over one request</h2>\n<p>Each stage as wide as it lasts and as high as its mean power: its area is "
      "its energy. The colour says which limit of the machine it meets. ";
  html += report.machine.peaks ? fmt::format(
                                     "Peaks: {:.4g} TFLOP/s and {:.4g} GB/s, {}. A stage below a quarter of "
                                     "both is bound by neither.",
                                     report.machine.peaks->flops_per_s * 1e-12,
                                     report.machine.peaks->bytes_per_s * 1e-9, HtmlText(report.machine.peaks->source))
                               : "The machine's peaks are not known: give <code>--machine</code>.";
  if (report.idle[group]) html += " The dashed line is idling.";
  html += "</p>\n" + HtmlLegend(BoundEntries());
  int longest = 0;
  for (const RequestFigure& request : report.requests) longest = std::max(longest, request.tokens);
  for (const RequestFigure& request : report.requests) {
    if (request.tokens == longest && Known(request, group)) html += RequestChart(report, request, group);
  }
  return html;
}

// The stage that took most of a phase's time.
std::string BoundOfPhase(const WorkloadReport& report, const PhaseResult& phase) {
  StageFigure longest;
  for (size_t i = 0; i < kStageCount; ++i) {
    const StageFigure stage{.wall_s = phase.times.wall_s[i],
                            .device_s = phase.times.device_s[i],
                            .counts = phase.mean.cost(static_cast<StageId>(i))};
    if (stage.busy_s() > longest.busy_s()) longest = stage;
  }
  return BoundOf(report, longest);
}

std::string TimelineSection(const WorkloadReport& report, size_t group) {
  BandChart chart{.x_unit = "s", .y_unit = "W", .description = "Power over the time of the last run"};
  if (report.last_run.empty()) return "";
  if (report.idle[group]) chart.mark = report.idle[group]->watts;
  const double origin = static_cast<double>(report.last_run.front().begin_ns) * 1e-9;
  for (const PhaseResult& phase : report.last_run) {
    if (group >= phase.groups.size()) return "";  // a model, no meter
    const double begin = static_cast<double>(phase.begin_ns) * 1e-9 - origin;
    const double end = static_cast<double>(phase.end_ns) * 1e-9 - origin;
    chart.bands.push_back(
        {begin, end, BoundOfPhase(report, phase),
         fmt::format("{}: {} requests, {:.1f} W", phase.name, phase.requests, phase.groups[group].watts)});
    std::vector<ChartPoint> line;
    for (const auto& point : phase.groups[group].curve) line.push_back({point[0] - origin, point[1]});
    chart.lines.push_back(std::move(line));
  }
  return "<h2>Power over the last run</h2>\n<p>What the counter showed while phase after phase repeated its request; "
         "bands have the colour of the stage that takes most of the phase. Rest the pointer on a band for its "
         "name.</p>\n" +
         HtmlLegend(BoundEntries()) + DrawBands(chart);
}

std::string InflationSection(const WorkloadReport& report, size_t group) {
  std::vector<ChartBar> prompt_only;
  std::vector<ChartBar> iso_token;
  for (const RequestFigure& request : report.requests) {
    const auto& inflation = request.inflation[group];
    if (!inflation) continue;
    const auto percent = [](const Ratio& ratio) {
      const std::string value = fmt::format("{:+.0f} %", 100 * ratio.value);
      return ratio.high - ratio.low < 0.005
                 ? value
                 : value + fmt::format(" ({:+.0f} to {:+.0f})", 100 * ratio.low, 100 * ratio.high);
    };
    const auto whisker = [](ChartBar bar, const Ratio& ratio) {
      if (ratio.high > ratio.low) {
        bar.low = 100 * ratio.low;
        bar.high = 100 * ratio.high;
      }
      return bar;
    };
    prompt_only.push_back(whisker({.label = NameOf(request) + ": " + percent(inflation->prompt_only),
                                   .parts = {{"encode", 100 * inflation->encode_share.value, false,
                                              "pictures: " + percent(inflation->encode_share)},
                                             {"prefill", 100 * inflation->token_share.value, false,
                                              "longer prompt: " + percent(inflation->token_share)}}},
                                  inflation->prompt_only));
    iso_token.push_back(whisker(
        {.label = NameOf(request) + ": " + percent(inflation->iso_token),
         .parts = {{"encode", 100 * inflation->iso_token.value, false, "pictures: " + percent(inflation->iso_token)}}},
        inflation->iso_token));
  }
  if (prompt_only.empty()) return "";
  return "<h2>What a picture adds</h2>\n<p>Energy over that of a text-only request with an answer of the same length, "
         "less one. Whiskers: lowest and highest of the runs.</p>\n<p><b>Against the same question without pictures "
         "(prompt-only)</b></p>\n" +
         HtmlLegend(
             ChartLegend{{"encode", "decoding, preparing and encoding pictures"}, {"prefill", "the longer prompt"}}) +
         BarChart(prompt_only, "%", "Inflation against the same question without pictures") +
         "<p><b>Against as many tokens, all of them text (iso-token)</b></p>\n" +
         BarChart(iso_token, "%", "Inflation against as many tokens of text");
}

std::string TableRow(const RequestFigure& request, size_t index, size_t group, const WorkloadReport& report) {
  const StageFigure& stage = request.stages[index];
  const Repeated& figure = stage.joules[group];
  const double seconds = stage.exposed_s[group];
  const double whole = request.joules[group].joules.value;
  const Utilization use = UtilizationOf(stage.counts, stage.busy_s(), report.machine.peaks);
  const bool used = report.machine.peaks && stage.counts.flops > 0;
  std::string row = fmt::format("<tr><td>{}</td><td>{:.3f}</td>", TimeName(index), stage.busy_s() * 1e3);
  row += fmt::format("<td>{}</td>", seconds > 0 ? fmt::format("{:.1f}", figure.joules.value / seconds) : "-");
  row += fmt::format("<td>{}{:.4g}</td><td>{:.4g} to {:.4g}</td><td>{:.1f}</td>", figure.resolved ? "" : "~",
                     figure.joules.value, figure.joules.low, figure.joules.high,
                     whole > 0 ? 100 * figure.joules.value / whole : 0);
  row += stage.counts.tokens == 0
             ? "<td>-</td>"
             : fmt::format("<td>{:.3g}</td>", figure.joules.value / static_cast<double>(stage.counts.tokens));
  row += fmt::format("<td>{:.3g}</td><td>{}</td>", figure.joules.value * stage.busy_s(),
                     figure.runs > 1 ? fmt::format("{:.1f}", 100 * figure.spread) : "-");
  row += used ? fmt::format("<td>{:.1f}</td><td>{:.1f}</td>", 100 * use.compute, 100 * use.memory)
              : "<td>-</td><td>-</td>";
  return row + fmt::format("<td>{}</td></tr>\n", use.bound);
}

std::string TablesSection(const WorkloadReport& report, size_t group) {
  std::string html =
      fmt::format("<h2>Tables{}</h2>\n", report.groups.size() > 1 ? ": " + report.groups[group].name : "");
  for (const RequestFigure& request : report.requests) {
    if (!Known(request, group)) {
      html += fmt::format("<p>{}: no figure. {}</p>\n", HtmlText(NameOf(request)), HtmlText(request.notes[group]));
      continue;
    }
    const Joules& whole = request.joules[group].joules;
    html += fmt::format("<details><summary>{}: {}, {:.1f} ms, {:.4g} J a token of answer, {}</summary>\n",
                        HtmlText(NameOf(request)), Bounds(whole), request.seconds * 1e3, whole.value / request.tokens,
                        SpreadText(request.joules[group]));
    html += fmt::format(
        "<p class=\"soft\">{} tiles, {} prompt tokens ({} visual), {} requests; energy-delay product "
        "{:.4g} J s",
        request.tiles, request.prompt_tokens, request.visual_tokens, request.requests,
        whole.value * request.measured_s[group]);
    if (request.active[group].source != EnergySource::kNone) {
      html += "; without idling " + Bounds(request.active[group]);
    }
    if (const std::string cost = CostText("1,000 such requests", whole, 1000, report.rates); !cost.empty()) {
      html += "; " + HtmlText(cost);
    }
    html +=
        "</p>\n<div class=\"scroll\"><table><tr><th>stage</th><th>ms</th><th>W</th><th>J</th><th>bounds</th>"
        "<th>%</th><th>J a token</th><th>J s</th><th>spread %</th><th>% FLOP/s</th><th>% bytes/s</th>"
        "<th>bound by</th></tr>\n";
    for (size_t i = 0; i < kTimes; ++i) {
      if (request.stages[i].wall_s > 0) html += TableRow(request, i, group, report);
    }
    html += "</table></div></details>\n";
  }
  return html;
}

std::string SetSection(const WorkloadReport& report) {
  if (!report.set) return "";
  const SetFigure& set = *report.set;
  std::string html = fmt::format(
      "<h2>What a correct answer costs</h2>\n<p>{}: {} of {} answers are the true ones; a pass "
      "takes {:.1f} s.",
      HtmlText(set.path), set.exact, set.questions, set.seconds);
  for (size_t group = 0; group < set.joules.size(); ++group) {
    const Joules each = set.PerCorrect(group);
    html += fmt::format(" By the {} meter: {} a correct answer.", report.groups[group].name,
                        each.source == EnergySource::kNone ? "no figure for" : "<b>" + Bounds(each) + "</b>");
  }
  return html + "</p>\n";
}

std::string WordsSection(const WorkloadReport& report) {
  std::string html = R"(<h2>How to read this</h2>
<dl><dt>How stages were told apart</dt><dd>A request was repeated in phases of some hundred milliseconds: with its full
answer, with an answer of one token, with text instead of the pictures, and the pictures' preparation alone. Each
phase's energy is the counter's. The stages' powers are what explains all phases best, none of them negative; scaled so
that stages add up to the request's joules exactly.</dd>
<dt>J, and its bounds</dt><dd>The whole board's or package's joules while a stage ran, idling included. Bounds are of
95 %, by when the counter moved and by the scatter of the runs. Errors of the sensor itself are the maker's, who states
none; they are not in the bounds.</dd>
<dt>~, pale</dt><dd>Below resolution: no phase tells this stage from others. What is shown is an estimate: what was left,
by time.</dd>
<dt>Between stages</dt><dd>Building the prompt, starting a conversation: time of a request that no stage has.</dd>
<dt>% FLOP/s, % bytes/s</dt><dd>What the stage reaches of the machine's peaks, by the operations' own counts of arithmetic
and of bytes read and written (traffic that caches catch is not counted).</dd>
<dt>Spread</dt><dd>(highest - lowest) / mean of the runs.</dd></dl>
)";
  if (!report.skipped.empty()) {
    html += "<h2>Left out</h2>\n<ul>";
    for (const std::string& skipped : report.skipped) html += "<li>" + HtmlText(skipped) + "</li>";
    html += "</ul>\n";
  }
  if (report.missing.empty()) return html;
  html += "<h2>Meters that could not be read</h2>\n<ul>";
  for (const MissingMeter& meter : report.missing) {
    html += fmt::format("<li><b>{}</b>: {}. <i>What to do: {}</i></li>", HtmlText(meter.kind),
                        HtmlText(meter.reason.found()), HtmlText(meter.reason.mend()));
  }
  return html + "</ul>\n";
}

}  // namespace

std::string WorkloadHtml(const WorkloadReport& report) {
  std::string html =
      OpenPage(fmt::format("Energy of {} on {}", report.model.name, report.model.device)) + Heading(report);
  for (size_t group = 0; group < report.groups.size(); ++group) html += MeterCard(report, group);
  if (const std::optional<size_t> group = MainGroup(report)) {
    html += StagesSection(report) + InflationSection(report, *group) + RequestsSection(report, *group) +
            TimelineSection(report, *group);
    for (size_t other = 0; other < report.groups.size(); ++other) html += TablesSection(report, other);
  } else {
    html +=
        "<div class=\"card warn\">No meter of energy can be read here, and no model of a machine was found.</div>\n";
  }
  return html + SetSection(report) + WordsSection(report) + "</body></html>\n";
}

}  // namespace eyeshot::cli
