#include "cli/plan_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace eyeshot::cli {
namespace {

using plan::Candidate;

// A path's last part: what people call a model.
std::string ShortName(const std::string& name) {
  const size_t end = name.find_last_not_of('/');
  const size_t slash = end == std::string::npos ? end : name.rfind('/', end);
  return slash == std::string::npos ? name : name.substr(slash + 1, end - slash);
}

std::string EvidenceText(const plan::Accuracy& accuracy) {
  return fmt::format("{}{}", plan::EvidenceName(accuracy.evidence), accuracy.carried ? " + law" : "");
}

OrderedJson MemoryJson(const plan::MemoryEstimate& memory) {
  return {{"bytes", memory.total()},     {"weights", memory.weights},   {"workspace", memory.workspace},
          {"pictures", memory.pictures}, {"kv_cache", memory.kv_cache}, {"program", memory.program}};
}

OrderedJson CandidateJson(const PlanReport& report, size_t index) {
  const Candidate& candidate = report.candidates[index];
  const plan::Request& request = candidate.cost.request;
  OrderedJson json = {{"model", report.models[candidate.model].name},
                      {"precision", candidate.precision},
                      {"detail", PictureDetailName(candidate.variant.detail)},
                      {"reduce", candidate.reduce()},
                      {"batch", candidate.variant.batch},
                      {"clock_mhz", nullptr},
                      {"tiles", request.tiles},
                      {"visual_tokens", request.visual_tokens},
                      {"prompt_tokens", request.prompt_tokens},
                      {"accuracy", candidate.accuracy.value},
                      {"accuracy_from", EvidenceText(candidate.accuracy)},
                      {"ms", candidate.ms},
                      {"ms_from", candidate.ms_measured      ? "measured"
                                  : candidate.cost.simulated ? "simulated"
                                                             : "model"},
                      {"first_token_ms", candidate.cost.first_token_s * 1e3},
                      {"joules", nullptr},
                      {"joules_from", nullptr},
                      {"price_of_1000", nullptr},
                      {"kv_bytes", candidate.cost.kv_bytes},
                      {"memory", MemoryJson(candidate.cost.memory)},
                      {"within", plan::BreaksLimit(candidate, report.aim).empty()}};
  if (candidate.variant.clock_mhz > 0) json["clock_mhz"] = candidate.variant.clock_mhz;
  if (candidate.joules) {
    json["joules"] = *candidate.joules;
    json["joules_from"] = candidate.joules_measured ? "measured" : candidate.cost.simulated ? "simulated" : "model";
  }
  if (candidate.price) json["price_of_1000"] = *candidate.price;
  return json;
}

OrderedJson LawJson(const plan::ScalingLaw& law) {
  return {{"scale", law.scale}, {"alpha", law.alpha}, {"beta", law.beta}, {"floor", law.floor}};
}

std::string Optional(const std::optional<double>& value, bool measured) {
  return value ? fmt::format("{:.3g}{}", *value, measured ? "*" : "") : "-";
}

void PrintRow(const PlanReport& report, size_t index) {
  const Candidate& candidate = report.candidates[index];
  const plan::Request& request = candidate.cost.request;
  const bool within = plan::BreaksLimit(candidate, report.aim).empty();
  std::string run;
  if (candidate.variant.batch > 1) run += fmt::format(" batch {}", candidate.variant.batch);
  if (candidate.variant.clock_mhz > 0) run += fmt::format(" {:.0f} MHz", candidate.variant.clock_mhz);
  fmt::print("{} {:<28}{:>12} {:>10} {:>14}{:>6}{:>7}{:>11}{:>10}{:>8.0f}{:>9.3f}  {}{}\n",
             index == report.chosen ? '>'
             : within               ? ' '
                                    : 'x',
             ShortName(report.models[candidate.model].name), candidate.precision,
             PictureDetailName(candidate.variant.detail), candidate.reduce(), request.tiles, request.visual_tokens,
             fmt::format("{:.1f}{}", candidate.ms, candidate.ms_measured ? "*" : ""),
             Optional(candidate.joules, candidate.joules_measured), candidate.cost.memory.total() / 1e6,
             candidate.accuracy.value, EvidenceText(candidate.accuracy), run);
}

// Wide texts are wrapped.
void PrintWrapped(const std::string& text, std::string_view indent) {
  constexpr size_t kWidth = 110;
  std::string line;
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = std::min(text.find(' ', at), text.size());
    if (!line.empty() && line.size() + end - at >= kWidth) {
      fmt::print("{}{}\n", indent, line);
      line.clear();
    }
    if (!line.empty()) line += ' ';
    line.append(text, at, end - at);
    at = end + 1;
  }
  fmt::print("{}{}\n", indent, line);
}

void PrintHead(const PlanReport& report) {
  fmt::print("{}{}\n", report.simulated ? "simulated: " : "", report.machine);
  for (const std::string& doubt : report.doubts) fmt::print("careful: {}\n", doubt);
}

OrderedJson HeadJson(const PlanReport& report) {
  OrderedJson json = {{"machine", report.machine},
                      {"simulated", report.simulated},
                      {"doubts", report.doubts},
                      {"goal", plan::GoalName(report.aim.goal)},
                      {"task", plan::TaskName(report.knowledge.task)},
                      {"law", LawJson(report.knowledge.law)}};
  return json;
}

}  // namespace

std::string CandidateName(const PlanReport& report, const Candidate& candidate) {
  return fmt::format("{}, {}, {}, {}", ShortName(report.models[candidate.model].name), candidate.precision,
                     PictureDetailName(candidate.variant.detail), candidate.reduce());
}

void PrintPlan(const PlanReport& report, bool all) {
  PrintHead(report);
  fmt::print("\n");
  for (const std::string& sentence : report.why) PrintWrapped(sentence, "  ");
  fmt::print("\n  {:<28}{:>12} {:>10} {:>14}{:>6}{:>7}{:>11}{:>10}{:>8}{:>9}  {}\n", "model", "precision", "detail",
             "reduce", "tiles", "tokens", "ms", "joules", "MB", "accuracy", "from");
  std::vector<size_t> rows = report.front;
  if (all) {
    rows.resize(report.candidates.size());
    for (size_t i = 0; i < rows.size(); ++i) rows[i] = i;
  } else if (std::find(rows.begin(), rows.end(), report.chosen) == rows.end()) {
    rows.push_back(report.chosen);
  }
  for (const size_t row : rows) PrintRow(report, row);
  fmt::print("\n> the plan, x beyond the limits, * measured. Of {} ways {} are shown{}.\n", report.candidates.size(),
             rows.size(), all ? "" : ": those that no other beats in both time and accuracy; --all shows every one");
  fmt::print("Joules are {}.\n", report.simulated ? "simulated" : "estimates, unless marked");
}

OrderedJson PlanJson(const PlanReport& report) {
  OrderedJson json = HeadJson(report);
  json["why"] = report.why;
  json["chosen"] = CandidateJson(report, report.chosen);
  json["front"] = OrderedJson::array();
  for (const size_t index : report.front) json["front"].push_back(CandidateJson(report, index));
  json["candidates"] = OrderedJson::array();
  for (size_t i = 0; i < report.candidates.size(); ++i) json["candidates"].push_back(CandidateJson(report, i));
  return json;
}

void PrintCosts(const PlanReport& report) {
  PrintHead(report);
  for (const Candidate& candidate : report.candidates) {
    const plan::MemoryEstimate& memory = candidate.cost.memory;
    fmt::print("\n{}: {} tiles, {} prompt tokens, first token after {:.1f} ms\n{}", CandidateName(report, candidate),
               candidate.cost.request.tiles, candidate.cost.request.prompt_tokens, candidate.cost.first_token_s * 1e3,
               candidate.cost.ledger.Table());
    fmt::print(
        "memory {:.0f} MB: weights {:.0f}, workspace {:.0f}, pictures {:.0f}, keys and values {:.0f}, program "
        "{:.0f}\n",
        memory.total() / 1e6, memory.weights / 1e6, memory.workspace / 1e6, memory.pictures / 1e6,
        memory.kv_cache / 1e6, memory.program / 1e6);
  }
}

OrderedJson CostsJson(const PlanReport& report) {
  OrderedJson json = HeadJson(report);
  json["costs"] = OrderedJson::array();
  for (size_t i = 0; i < report.candidates.size(); ++i) {
    OrderedJson entry = CandidateJson(report, i);
    entry["stages"] = StagesJson(report.candidates[i].cost.ledger);
    json["costs"].push_back(std::move(entry));
  }
  return json;
}

void PrintCalibration(const plan::Calibration& calibration, const std::string& path) {
  fmt::print("{:>28}{:>36}{:>14}{:>14}{:>9}\n", "class", "shape", "measured", "fitted", "off");
  for (const plan::CalibrationPoint& point : calibration.points) {
    fmt::print("{:>28}{:>36}{:>11.1f} us{:>11.1f} us{:>7.1f} %\n", point.class_name, point.shape, point.seconds * 1e6,
               point.fitted_seconds * 1e6, 100 * (point.fitted_seconds / point.seconds - 1));
  }
  fmt::print("\nhalf of the {} points are within {:.1f} %, the worst is {:.1f} % off\nwritten to {}\n",
             calibration.points.size(), 100 * calibration.speed.fit_median, 100 * calibration.speed.fit_worst, path);
}

OrderedJson CalibrationJson(const plan::Calibration& calibration, const std::string& path) {
  OrderedJson json = {{"file", path},
                      {"cpu", calibration.speed.cpu},
                      {"isa", calibration.speed.isa},
                      {"threads", calibration.speed.threads},
                      {"fit_median", calibration.speed.fit_median},
                      {"fit_worst", calibration.speed.fit_worst}};
  json["points"] = OrderedJson::array();
  for (const plan::CalibrationPoint& point : calibration.points) {
    json["points"].push_back({{"class", point.class_name},
                              {"shape", point.shape},
                              {"measured_us", point.seconds * 1e6},
                              {"fitted_us", point.fitted_seconds * 1e6}});
  }
  return json;
}

namespace {

OrderedJson ProfileJson(const plan::FloorProfile& profile) {
  const auto fit_json = [](const plan::LawFit& fit) {
    OrderedJson json = LawJson(fit.law);
    json["rmse"] = fit.rmse;
    return json;
  };
  OrderedJson json = {{"best", fit_json(profile.best)},
                      {"floor_low", profile.low},
                      {"floor_high", profile.high},
                      {"floor_identified", profile.identified}};
  json["profile"] = OrderedJson::array();
  for (const plan::LawFit& fit : profile.fits) json["profile"].push_back(fit_json(fit));
  return json;
}

void PrintProfile(std::string_view name, const plan::FloorProfile& profile) {
  fmt::print("\n{}\n{:>8}{:>10}{:>9}{:>9}{:>10}{:>12}\n", name, "floor D", "A B", "alpha", "beta", "rmse", "V* / Q");
  const size_t step = std::max<size_t>(1, profile.fits.size() / 10);
  for (size_t i = 0; i < profile.fits.size(); i += step) {
    const plan::LawFit& fit = profile.fits[i];
    const bool all = fit.law.beta >= fit.law.alpha;
    fmt::print("{:>8.3f}{:>10.3f}{:>9.4f}{:>9.4f}{:>10.5f}{:>12}\n", fit.law.floor, fit.law.scale, fit.law.alpha,
               fit.law.beta, fit.rmse,
               all ? "all" : fmt::format("{:.3f}", fit.law.beta / (fit.law.alpha - fit.law.beta)));
  }
  fmt::print("floors that the figures do not rule out (95 %): {:.3f} to {:.3f}, so that D is {}identifiable\n",
             profile.low, profile.high, profile.identified ? "" : "not ");
}

}  // namespace

void PrintRefit(const RefitReport& report) {
  fmt::print("error = A B / (N^alpha T^beta) + D, fitted to {}\n", report.grid.source);
  PrintProfile("reasoning", report.reasoning);
  PrintProfile("reading text", report.reading);
  if (!report.reasoning.identified || !report.reading.identified) {
    fmt::print(
        "\nWhere D is not identifiable, alpha and beta alone mean little: each D has its own, and fits about as "
        "well.\nV* / Q hangs on both and moves less.\n");
  }
}

OrderedJson RefitJson(const RefitReport& report) {
  return {{"source", report.grid.source},
          {"reasoning", ProfileJson(report.reasoning)},
          {"reading", ProfileJson(report.reading)}};
}

}  // namespace eyeshot::cli
