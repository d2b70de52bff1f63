#include "cli/energy_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/energy_flags.h"

namespace eyeshot::cli {
namespace {

constexpr size_t kDecode = static_cast<size_t>(StageId::kDecode);

bool Happens(const StageFigure& stage, size_t index) {
  return index == kBetween ? stage.wall_s > 0 : stage.counts.runs > 0;
}

std::string Half(const Joules& joules) {
  return joules.value > 0 ? fmt::format("{:.1f}", 50 * (joules.high - joules.low) / joules.value) : "-";
}

// Of a group's stage: watts, joules, their uncertainty, share of the request, joules a token, spread of the runs.
std::string JoulesColumns(const StageFigure& stage, size_t group, double whole_j) {
  const Repeated& figure = stage.joules[group];
  if (figure.joules.source == EnergySource::kNone)
    return fmt::format("{:>8}{:>12}{:>7}{:>7}{:>12}{:>8}", "-", "-", "-", "-", "-", "-");
  const double seconds = stage.exposed_s[group];
  const std::string joules = fmt::format("{}{:.4g}", figure.resolved ? "" : "~", figure.joules.value);
  const std::string token = stage.counts.tokens == 0
                                ? "-"
                                : fmt::format("{:.3g}", figure.joules.value / static_cast<double>(stage.counts.tokens));
  return fmt::format("{:>8}{:>12}{:>7}{:>7.1f}{:>12}{:>8}",
                     seconds > 0 ? fmt::format("{:.1f}", figure.joules.value / seconds) : "-", joules,
                     Half(figure.joules), whole_j > 0 ? 100 * figure.joules.value / whole_j : 0, token,
                     figure.resolved && figure.runs > 1 ? fmt::format("{:.1f}", 100 * figure.spread) : "-");
}

// What the stage reaches of the machine's peaks.
std::string UseColumns(const Utilization& use, const std::optional<Peaks>& peaks) {
  if (!peaks || use.bound == "host") return fmt::format("{:>8}{:>8}  {}", "-", "-", use.bound);
  return fmt::format("{:>8.1f}{:>8.1f}  {}", 100 * use.compute, 100 * use.memory, use.bound);
}

// Without `group`, times alone.
std::string StageTable(const WorkloadReport& report, const RequestFigure& request, std::optional<size_t> group) {
  std::string text = fmt::format("{:<13}{:>10}{:>10}{:>8}", "stage", "ms", "GPU ms", "tokens");
  if (group) text += fmt::format("{:>8}{:>12}{:>7}{:>7}{:>12}{:>8}", "W", "J", "+- %", "%", "J a token", "spread");
  text += fmt::format("{:>8}{:>8}  bound by\n", "% FLOPs", "% bytes");
  for (size_t i = 0; i < kTimes; ++i) {
    const StageFigure& stage = request.stages[i];
    if (!Happens(stage, i)) continue;
    text += fmt::format("{:<13}{:>10.3f}{:>10}{:>8}", TimeName(i), stage.wall_s * 1e3,
                        stage.device_s > 0 ? fmt::format("{:.3f}", stage.device_s * 1e3) : "-",
                        stage.counts.tokens == 0 ? "-" : fmt::format("{}", stage.counts.tokens));
    if (group) text += JoulesColumns(stage, *group, request.joules[*group].joules.value);
    const Utilization use = UtilizationOf(stage.counts, stage.busy_s(), report.machine.peaks);
    text += UseColumns(use, report.machine.peaks) + "\n";
  }
  return text;
}

std::string Percent(const Ratio& ratio) {
  return fmt::format("{:+.1f} % ({:+.1f} to {:+.1f})", 100 * ratio.value, 100 * ratio.low, 100 * ratio.high);
}

std::string GroupText(const WorkloadReport& report, const RequestFigure& request, size_t group) {
  const MeterGroup& meters = report.groups[group];
  const Joules& whole = request.joules[group].joules;
  std::string text = meters.source == EnergySource::kModel
                         ? std::string("by a model, an ESTIMATE and no measurement:\n")
                         : fmt::format("by the {} meter ({}):\n", meters.name, EnergySourceName(meters.source));
  if (whole.source == EnergySource::kNone) return text + fmt::format("no figure: {}\n", request.notes[group]);
  text += StageTable(report, request, group);
  text += fmt::format(
      "request: {:.4g} J ({:.4g} to {:.4g}), {:.1f} W, {}, {:.4g} J a token of answer, "
      "energy-delay product {:.4g} J s\n",
      whole.value, whole.low, whole.high, whole.value / request.measured_s[group], SpreadText(request.joules[group]),
      whole.value / request.tokens, whole.value * request.measured_s[group]);
  const Joules& active = request.active[group];
  if (active.source != EnergySource::kNone) {
    text += fmt::format("active: {:.4g} J ({:.4g} to {:.4g}), without {:.1f} W of idling\n", active.value, active.low,
                        active.high, report.idle[group]->watts);
  }
  if (const std::string cost = CostText("1,000 such requests", whole, 1000, report.rates); !cost.empty())
    text += cost + "\n";
  if (request.inflation[group]) {
    const InflationFigure& inflation = *request.inflation[group];
    text +=
        fmt::format("over the question alone: {}, of which pictures {}, longer prompt {}\n",
                    Percent(inflation.prompt_only), Percent(inflation.encode_share), Percent(inflation.token_share));
    text += fmt::format("over as many tokens of text: {}\n", Percent(inflation.iso_token));
  }
  return text;
}

std::string MeterNames(const WorkloadReport& report, const MeterGroup& group) {
  std::string names;
  for (const size_t index : group.meters) names += (names.empty() ? "" : ", ") + report.meters[index].name;
  return names;
}

// Of a model instead of a meter.
std::string ModelText(const WorkloadReport& report) {
  const MachineChoice& choice = report.machine;
  std::string text = fmt::format(
      "No meter of energy can be read here. Joules below are a MODEL's estimate with the power of '{}', +- 30 %, and "
      "no "
      "measurement",
      choice.machine->name);
  if (choice.stand_in)
    text += ";\nthat is NOT this machine: they say which stage takes more, not how much. --machine names another";
  return text + ".\n";
}

std::string MetersText(const WorkloadReport& report) {
  std::string text;
  for (size_t group = 0; group < report.groups.size(); ++group) {
    const MeterGroup& meters = report.groups[group];
    if (meters.meters.empty()) {
      text += ModelText(report);
      continue;
    }
    text += fmt::format("{} meter: {} ({})", meters.name, MeterNames(report, meters), EnergySourceName(meters.source));
    if (report.period_s[group] > 0) text += fmt::format(", moves each {:.0f} ms", report.period_s[group] * 1e3);
    if (report.idle[group]) text += fmt::format(", idle {:.2f} W", report.idle[group]->watts);
    if (report.ready[group]) {
      text += fmt::format(", {:.2f} W with the model loaded and waiting", report.ready[group]->watts);
    }
    text += "\n";
  }
  if (report.groups.empty()) text += "No meter of energy can be read here: times only.\n";
  if (!report.missing.empty()) text += "Not read:\n" + MissingText(report.missing);
  if (report.machine.peaks) {
    text += fmt::format("peaks: {:.4g} TFLOP/s, {:.4g} GB/s ({})\n", report.machine.peaks->flops_per_s * 1e-12,
                        report.machine.peaks->bytes_per_s * 1e-9, report.machine.peaks->source);
  }
  return text;
}

// Of requests whose joules differ too much from run to run; empty: none.
std::string UnrepeatableText(const WorkloadReport& report) {
  std::string requests;
  for (const RequestFigure& request : report.requests) {
    for (size_t group = 0; group < report.groups.size(); ++group) {
      const Repeated& figure = request.joules[group];
      if (figure.runs < 2 || figure.repeatable()) continue;
      requests += fmt::format("{}{}, {} tokens: {:.1f} % ({})", requests.empty() ? "" : "; ", request.input,
                              request.tokens, 100 * figure.spread, report.groups[group].name);
    }
  }
  if (requests.empty()) return "";
  return fmt::format(
      "\nNOT repeatable to {:g} %: {}.\nEnd what else works on the machine, let it get as warm as it will be, and take "
      "--runs 5 or more and longer --seconds.\n",
      100 * kRepeatableSpread, requests);
}

std::string SetText(const WorkloadReport& report, const SetFigure& set) {
  std::string text =
      fmt::format("\n{}: {} of {} answers are right, {:.2f} s\n", set.path, set.exact, set.questions, set.seconds);
  for (size_t group = 0; group < set.joules.size(); ++group) {
    const Joules& joules = set.joules[group].joules;
    const Joules each = set.PerCorrect(group);
    text += fmt::format("{} meter: ", report.groups[group].name);
    if (joules.source == EnergySource::kNone) {
      text += fmt::format("no figure: {}\n", set.notes[group]);
      continue;
    }
    text += fmt::format("{:.4g} J ({:.4g} to {:.4g}), {:.4g} J a question", joules.value, joules.low, joules.high,
                        joules.value / static_cast<double>(set.questions));
    text += each.source == EnergySource::kNone
                ? ", and no answer is right\n"
                : fmt::format(", {:.4g} J a correct answer ({:.4g} to {:.4g})\n", each.value, each.low, each.high);
  }
  return text;
}

OrderedJson RepeatedJson(const Repeated& figure) {
  OrderedJson json = JoulesJson(figure.joules);
  if (json.is_null()) return json;
  json["spread"] = figure.runs > 1 ? OrderedJson(figure.spread) : OrderedJson();
  return json;
}

OrderedJson RatioJson(const Ratio& ratio) { return {{"value", ratio.value}, {"low", ratio.low}, {"high", ratio.high}}; }

OrderedJson UseJson(const StageFigure& stage, const std::optional<Peaks>& peaks) {
  const Utilization use = UtilizationOf(stage.counts, stage.busy_s(), peaks);
  const auto known = [](bool is, double value) { return is ? OrderedJson(value) : OrderedJson(); };
  const bool counted = use.flops_per_s > 0;
  return {{"flops_per_s", known(counted, use.flops_per_s)},
          {"bytes_per_s", known(counted, use.bytes_per_s)},
          {"compute_share", known(counted && peaks, use.compute)},
          {"memory_share", known(counted && peaks, use.memory)},
          {"device_share", known(stage.device_s > 0 && stage.wall_s > 0, std::min(1.0, stage.device_s / stage.wall_s))},
          {"bound_by", use.bound.empty() ? OrderedJson() : OrderedJson(use.bound)}};
}

OrderedJson StageJson(const WorkloadReport& report, const RequestFigure& request, size_t index) {
  const StageFigure& stage = request.stages[index];
  OrderedJson json = {{"name", TimeName(index)},
                      {"wall_ms", stage.wall_s * 1e3},
                      {"device_ms", stage.device_s > 0 ? OrderedJson(stage.device_s * 1e3) : OrderedJson()},
                      {"tokens", stage.counts.tokens},
                      {"flops", stage.counts.flops},
                      {"bytes", stage.counts.bytes}};
  json["use"] = UseJson(stage, report.machine.peaks);
  for (size_t group = 0; group < report.groups.size(); ++group) {
    const Repeated& figure = stage.joules[group];
    if (figure.joules.source == EnergySource::kNone) {
      json[report.groups[group].name] = OrderedJson();
      continue;
    }
    const double seconds = stage.exposed_s[group];
    const double whole = request.joules[group].joules.value;
    json[report.groups[group].name] = {
        {"joules", RepeatedJson(figure)},
        {"below_resolution", !figure.resolved},
        {"active_joules", JoulesJson(stage.active[group])},
        {"exposed_ms", seconds * 1e3},
        {"mean_w", seconds > 0 ? OrderedJson(figure.joules.value / seconds) : OrderedJson()},
        {"share", whole > 0 ? figure.joules.value / whole : 0},
        {"j_per_token", stage.counts.tokens > 0
                            ? OrderedJson(figure.joules.value / static_cast<double>(stage.counts.tokens))
                            : OrderedJson()},
        {"energy_delay_js", figure.joules.value * stage.busy_s()}};
  }
  return json;
}

OrderedJson WholeJson(const WorkloadReport& report, const RequestFigure& request, size_t group) {
  const Repeated& figure = request.joules[group];
  OrderedJson json = {{"joules", RepeatedJson(figure)},
                      {"active_joules", JoulesJson(request.active[group])},
                      {"note", request.notes[group].empty() ? OrderedJson() : OrderedJson(request.notes[group])}};
  if (figure.joules.source == EnergySource::kNone) return json;
  json["runs"] = figure.runs;
  json["repeatable"] = figure.runs > 1 ? OrderedJson(figure.repeatable()) : OrderedJson();
  PutCosts(json, figure.joules, report.rates);
  json["measured_ms"] = request.measured_s[group] * 1e3;
  json["mean_w"] = figure.joules.value / request.measured_s[group];
  json["j_per_answer_token"] = figure.joules.value / request.tokens;
  json["decode_j_per_token"] = request.stages[kDecode].joules[group].joules.value / request.tokens;
  json["energy_delay_js"] = figure.joules.value * request.measured_s[group];
  if (const auto& inflation = request.inflation[group]) {
    json["inflation"] = {{"prompt_only", RatioJson(inflation->prompt_only)},
                         {"encode_share", RatioJson(inflation->encode_share)},
                         {"token_share", RatioJson(inflation->token_share)},
                         {"iso_token", RatioJson(inflation->iso_token)}};
  }
  return json;
}

OrderedJson SetJson(const WorkloadReport& report, const SetFigure& set) {
  OrderedJson json = {{"set", set.path}, {"questions", set.questions}, {"exact", set.exact}, {"seconds", set.seconds}};
  for (size_t group = 0; group < set.joules.size(); ++group) {
    json[report.groups[group].name] = {
        {"joules", RepeatedJson(set.joules[group])},
        {"j_per_correct_answer", JoulesJson(set.PerCorrect(group))},
        {"note", set.notes[group].empty() ? OrderedJson() : OrderedJson(set.notes[group])}};
  }
  return json;
}

OrderedJson GpuStateJson(const std::optional<GpuReading>& reading) {
  if (!reading) return {};
  OrderedJson json;
  const auto put = [&](const char* key, const auto& value) { json[key] = value ? OrderedJson(*value) : OrderedJson(); };
  put("sm_clock_mhz", reading->sm_clock_mhz);
  put("memory_clock_mhz", reading->memory_clock_mhz);
  put("temperature_c", reading->temperature_c);
  put("busy_percent", reading->busy_percent);
  put("memory_busy_percent", reading->memory_busy_percent);
  json["throttled_by"] = ThrottleReasonNames(reading->throttle_reasons.value_or(0));
  return json;
}

OrderedJson RequestJson(const WorkloadReport& report, const RequestFigure& request) {
  OrderedJson json = {{"input", request.input},
                      {"pictures", request.pictures},
                      {"tokens", request.tokens},
                      {"tiles", request.tiles},
                      {"visual_tokens", request.visual_tokens},
                      {"prompt_tokens", request.prompt_tokens},
                      {"requests", request.requests},
                      {"ms", request.seconds * 1e3}};
  for (size_t group = 0; group < report.groups.size(); ++group) {
    json[report.groups[group].name] = WholeJson(report, request, group);
  }
  json["gpu_state"] = GpuStateJson(request.gpu);
  json["stages"] = OrderedJson::array();
  for (size_t i = 0; i < kTimes; ++i) {
    if (Happens(request.stages[i], i)) json["stages"].push_back(StageJson(report, request, i));
  }
  return json;
}

OrderedJson GroupJson(const WorkloadReport& report, size_t group) {
  const MeterGroup& meters = report.groups[group];
  OrderedJson json = {{"group", meters.name},
                      {"source", EnergySourceName(meters.source)},
                      {"measured", meters.source != EnergySource::kModel}};
  json["meters"] = OrderedJson::array();
  for (const size_t index : meters.meters) json["meters"].push_back(report.meters[index].name);
  json["machine"] = meters.meters.empty() ? OrderedJson(report.machine.machine->name) : OrderedJson();
  json["stand_in"] = meters.meters.empty() && report.machine.stand_in;
  json["period_s"] = report.period_s[group];
  json["idle_w"] = report.idle[group] ? OrderedJson(report.idle[group]->watts) : OrderedJson();
  json["ready_w"] = report.ready[group] ? OrderedJson(report.ready[group]->watts) : OrderedJson();
  return json;
}

OrderedJson PhaseJson(const WorkloadReport& report, const PhaseResult& phase) {
  OrderedJson json = {{"name", phase.name},
                      {"seconds", static_cast<double>(phase.end_ns - phase.begin_ns) * 1e-9},
                      {"requests", phase.requests},
                      {"request_ms", phase.times.request_s * 1e3},
                      {"gpu_state", GpuStateJson(phase.gpu)}};
  for (size_t group = 0; group < phase.groups.size(); ++group) {
    const GroupPower& power = phase.groups[group];
    json[report.groups[group].name] = {{"mean_w", power.known ? OrderedJson(power.watts) : OrderedJson()},
                                       {"sigma_w", power.known ? OrderedJson(power.sigma_w) : OrderedJson()},
                                       {"note", power.note.empty() ? OrderedJson() : OrderedJson(power.note)}};
  }
  return json;
}

}  // namespace

std::string SpreadText(const Repeated& figure) {
  if (figure.runs == 0) return "a model's, without a spread";
  if (figure.runs == 1) return "one run";
  return fmt::format("spread {:.1f} % over {} runs{}", 100 * figure.spread, figure.runs,
                     figure.repeatable() ? "" : fmt::format(", MORE than {:g} %", 100 * kRepeatableSpread));
}

std::string WorkloadText(const WorkloadReport& report) {
  const ModelInfo& model = report.model;
  std::string text =
      fmt::format("{} on {} ({}, {}, {} thread{}); {:.0f} s measured\n", model.name, model.device, model.precision,
                  model.isa, model.threads, model.threads == 1 ? "" : "s", report.measured_s);
  if (!report.governor.empty()) text += report.governor + "\n";
  for (const std::string& budget : report.budgets) text += budget;
  text += MetersText(report);
  for (const RequestFigure& request : report.requests) {
    text += fmt::format("\n{}, {} tokens of answer: {} tiles, {} prompt tokens ({} visual), {:.2f} ms, {} requests\n",
                        request.input, request.tokens, request.tiles, request.prompt_tokens, request.visual_tokens,
                        request.seconds * 1e3, request.requests);
    for (size_t group = 0; group < report.groups.size(); ++group) text += GroupText(report, request, group);
    if (report.groups.empty()) text += StageTable(report, request, std::nullopt);
  }
  for (const BatchFigure& batch : report.batches) text += BatchText(batch);
  if (report.set) text += SetText(report, *report.set);
  for (const std::string& skipped : report.skipped) text += fmt::format("left out: {}\n", skipped);
  text += UnrepeatableText(report);
  const bool measured = std::any_of(report.groups.begin(), report.groups.end(),
                                    [](const MeterGroup& group) { return group.source != EnergySource::kModel; });
  if (measured) {
    text +=
        "\n~: below the meter's resolution: an estimate by time and by what is left, not a measurement.\n"
        "Joules are the whole machine's or board's, whatever else works on it. docs/meters.md says how.\n";
  }
  return text;
}

OrderedJson WorkloadJson(const WorkloadReport& report) {
  const ModelInfo& model = report.model;
  OrderedJson json = {{"model", model.name},
                      {"device", model.device},
                      {"isa", model.isa},
                      {"precision", model.precision},
                      {"threads", model.threads},
                      {"governor", report.governor.empty() ? OrderedJson() : OrderedJson(report.governor)},
                      {"budgets", report.budgets},
                      {"planned_s", report.planned_s},
                      {"measured_s", report.measured_s},
                      {"sampler_cpu_share", report.sampler_cpu_share}};
  json["meters"] = OrderedJson::array();
  for (size_t group = 0; group < report.groups.size(); ++group) json["meters"].push_back(GroupJson(report, group));
  json["not_read"] = MissingJson(report.missing);
  if (const auto& peaks = report.machine.peaks) {
    json["peaks"] = {
        {"flops_per_s", peaks->flops_per_s}, {"bytes_per_s", peaks->bytes_per_s}, {"source", peaks->source}};
  }
  json["skipped"] = report.skipped;
  json["requests"] = OrderedJson::array();
  for (const RequestFigure& request : report.requests) json["requests"].push_back(RequestJson(report, request));
  json["batches"] = OrderedJson::array();
  for (const BatchFigure& batch : report.batches) json["batches"].push_back(BatchJson(batch));
  json["set"] = report.set ? SetJson(report, *report.set) : OrderedJson();
  json["phases"] = OrderedJson::array();
  for (const PhaseResult& phase : report.last_run) json["phases"].push_back(PhaseJson(report, phase));
  return json;
}

}  // namespace eyeshot::cli
