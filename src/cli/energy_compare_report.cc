// Text and JSON of `eyeshot energy compare`.
#include <fmt/format.h>

#include <cmath>

#include "cli/energy_compare.h"
#include "cli/report.h"
#include "energy/simulator/power.h"

namespace eyeshot::cli {
namespace {

using namespace simulator;  // NOLINT(google-build-using-namespace): the file is about nothing else

std::string Stages(const StageShares& shares, double StageShare::* part) {
  double sum = 0;
  for (const StageShare& share : shares) sum += share.*part;
  return fmt::format("{:.0f}/{:.0f}/{:.0f}", 100 * shares[0].*part / sum, 100 * shares[1].*part / sum,
                     100 * shares[2].*part / sum);
}

std::string CostsText(const Comparison& comparison) {
  std::string text = fmt::format("\n{:<20}{:<36}{:>9}{:>9}  {:>12}{:>12}  {:<15}{}\n", "where joules go", "", "ms", "J",
                                 "% of time", "% of joules", "class", "launch/encoder/tokens/decode");
  for (const ComparedModel& model : comparison.models) {
    for (const ComparedCost& cost : model.costs) {
      const auto& share = cost.bounds.share;
      text +=
          fmt::format("{:<20}{:<36}{:>9.1f}{:>9.4g}  {:>12}{:>12}  {:<15}{:.0f}/{:.0f}/{:.0f}/{:.0f} %\n",
                      model.work.model.name, cost.label, SecondsOf(cost.shares) * 1e3, JoulesOf(cost.shares),
                      Stages(cost.shares, &StageShare::seconds), Stages(cost.shares, &StageShare::joules),
                      BoundLabel(cost.bounds.bound()), 100 * share[0], 100 * share[1], 100 * share[2], 100 * share[3]);
    }
  }
  return text + "Shares are of encode/prefill/decode.\n";
}

std::string BoundsText(const Comparison& comparison) {
  std::string text = fmt::format("\n{:<20}", "class (simulated)");
  for (const double output : kComparedOutputs) text += fmt::format("{:<15}", fmt::format("{} tokens", output));
  text += "a picture adds (simulated; encoder + longer prompt)\n";
  for (const ComparedModel& model : comparison.models) {
    text += fmt::format("{:<20}", model.work.model.name);
    for (const Bound bound : model.bounds) text += fmt::format("{:<15}", BoundLabel(bound));
    text += fmt::format("{} % ({} {})", SignedPercent(model.inflation.prompt_only),
                        SignedPercent(model.inflation.encode_share), SignedPercent(model.inflation.token_share));
    if (model.measured_inflation) {
      text +=
          fmt::format("; measured, {}: {} %", model.costs.front().software, SignedPercent(*model.measured_inflation));
    }
    text += "\n";
  }
  return text;
}

std::string LeverText(const Lever& lever) {
  return fmt::format("{}: {} % J, {} % time{}", lever.what, SignedPercent(lever.joules_change),
                     SignedPercent(lever.seconds_change), lever.changes_input ? " (sees less)" : "");
}

std::string LeversText(const Comparison& comparison) {
  std::string text = "\nwhat would lower the joules (simulated; > is advised, where requests come one by one)\n";
  for (const ComparedModel& model : comparison.models) {
    for (const Lever& lever : model.levers) {
      text += fmt::format("{:<20}{} {}\n", &lever == model.levers.data() ? model.work.model.name : "",
                          &lever == &model.advised() ? '>' : ' ', LeverText(lever));
    }
  }
  return text;
}

std::string PicturesText(const Comparison& comparison) {
  std::string text = fmt::format("\n{:<20}", "J (simulated)");
  for (const double side : kComparedSides) text += fmt::format("{:>8} px", side);
  for (const int pictures : kComparedPictures) text += fmt::format("{:>8} x", pictures);
  text += fmt::format("   (x: pictures of {} px)\n", kComparedSides[1]);
  for (const ComparedModel& model : comparison.models) {
    text += fmt::format("{:<20}", model.work.model.name);
    const auto cell = [](const ComparedPictures& one, int width) {
      return one.work.fits ? fmt::format("{:>{}.4g}", one.joules, width) : fmt::format("{:>{}}", "too long", width);
    };
    for (const ComparedPictures& one : model.pictures) {
      if (one.pictures == 1) text += cell(one, 11);
    }
    for (const ComparedPictures& one : model.pictures) {
      if (one.side == kComparedSides[1]) text += cell(one, 10);
    }
    text += "\n";
  }
  return text;
}

std::string SummaryText(const RegretMatrix& matrix) {
  const RegretSummary summary = Summarize(matrix);
  return fmt::format(
      "{} of {} pairs pay {:.0f} % or more, in joules or p95; at worst {} % joules, {} % p95: each model is "
      "its own case {}here.\n",
      summary.paying, summary.pairs, 100 * kPays, SignedPercent(summary.worst_joules), SignedPercent(summary.worst_p95),
      summary.own_case() ? "" : "NOT ");
}

std::string RegretText(const RegretMatrix& matrix, std::string_view title) {
  std::string text = fmt::format("\n{} (simulated): joules/p95 in % over the model's own profile\n{:<44}", title,
                                 "profile of: MHz, batch, own saving");
  for (size_t i = 0; i < matrix.models.size(); ++i) text += fmt::format("{:>10}", fmt::format("on {}", i + 1));
  text += "\n";
  for (size_t i = 0; i < matrix.models.size(); ++i) {
    const TunedModel& model = matrix.models[i];
    const auto& clocks = model.profile.clocks;
    const std::string mhz =
        clocks[1] == clocks[2] ? fmt::format("{}", clocks[1]) : fmt::format("{}+{}", clocks[1], clocks[2]);
    text += fmt::format("{} {:<20}{:<10}{:>3}{:>6.0f} %", i + 1, model.work.model.name, mhz, model.profile.batch,
                        100 * (model.tuned.joules_per_request / model.untuned.joules_per_request - 1));
    for (size_t j = 0; j < matrix.of[i].size(); ++j) {
      const Regret& regret = matrix.of[i][j];
      text += fmt::format(
          "{:>10}", i == j ? "own" : fmt::format("{}/{}", SignedPercent(regret.joules), SignedPercent(regret.p95)));
    }
    text += "\n";
  }
  return text + SummaryText(matrix);
}

OrderedJson SimulatedJson(double joules) { return JoulesJson(SimulatedJoules(joules)); }

OrderedJson CostJson(const ComparedCost& cost) {
  const auto joules_json = [&](double joules) {
    if (!cost.measured) return SimulatedJson(joules);
    return JoulesJson(
        {joules, joules * (1 - cost.relative_error), joules * (1 + cost.relative_error), EnergySource::kNvmlCounter});
  };
  const double seconds = SecondsOf(cost.shares);
  const double joules = JoulesOf(cost.shares);
  OrderedJson json = {{"label", cost.label},           {"simulated", !cost.measured},
                      {"software", cost.software},     {"ms", seconds * 1e3},
                      {"joules", joules_json(joules)}, {"class", BoundLabel(cost.bounds.bound())}};
  for (int b = 0; b < kBounds; ++b) {
    json["class_shares"][std::string(BoundLabel(static_cast<Bound>(b)))] = cost.bounds.share[b];
  }
  for (int s = 0; s < kStages; ++s) {
    const StageShare& stage = cost.shares[s];
    json["stages"].push_back({{"stage", StageLabel(static_cast<Stage>(s))},
                              {"ms", stage.seconds * 1e3},
                              {"joules", joules_json(stage.joules)},
                              {"time_share", stage.seconds / seconds},
                              {"joules_share", stage.joules / joules},
                              {"busy_share", stage.seconds > 0 ? stage.busy_s / stage.seconds : 0}});
  }
  return json;
}

OrderedJson LeverJson(const Lever& lever) {
  return {{"lever", lever.name},
          {"what", lever.what},
          {"sees_less", lever.changes_input},
          {"joules_change", lever.joules_change},
          {"time_change", lever.seconds_change}};
}

OrderedJson ModelJson(const ComparedModel& model) {
  const Request& request = model.work.request;
  OrderedJson json = {{"model", model.work.model.name},
                      {"input", model.work.model.input},
                      {"tiles", request.tiles},
                      {"visual_tokens", request.visual_tokens},
                      {"prompt_tokens", request.visual_tokens + request.text_tokens}};
  for (const ComparedCost& cost : model.costs) json["rows"].push_back(CostJson(cost));
  for (size_t i = 0; i < model.bounds.size(); ++i) {
    json["classes"].push_back({{"output_tokens", kComparedOutputs[i]}, {"class", BoundLabel(model.bounds[i])}});
  }
  json["inflation"] = {
      {"prompt_only", model.inflation.prompt_only},
      {"iso_token", model.inflation.iso_token},
      {"encode_share", model.inflation.encode_share},
      {"token_share", model.inflation.token_share},
      {"measured_prompt_only", model.measured_inflation ? OrderedJson(*model.measured_inflation) : OrderedJson()}};
  for (const ComparedPictures& one : model.pictures) {
    json["pictures"].push_back({{"side", one.side},
                                {"pictures", one.pictures},
                                {"tiles", one.work.request.tiles},
                                {"visual_tokens", one.work.request.visual_tokens},
                                {"fits", one.work.fits},
                                {"ms", one.work.fits ? OrderedJson(one.seconds * 1e3) : OrderedJson()},
                                {"joules", one.work.fits ? SimulatedJson(one.joules) : OrderedJson()}});
  }
  for (const Lever& lever : model.levers) json["levers"].push_back(LeverJson(lever));
  json["advised"] = model.advised().name;
  return json;
}

OrderedJson RegretJson(const RegretMatrix& matrix, std::string_view layout) {
  const RegretSummary summary = Summarize(matrix);
  OrderedJson json = {{"layout", layout},
                      {"pairs", summary.pairs},
                      {"paying", summary.paying},
                      {"pays_from", kPays},
                      {"median_joules", summary.median_joules},
                      {"worst_joules", summary.worst_joules},
                      {"worst_p95", summary.worst_p95},
                      {"own_case", summary.own_case()}};
  for (size_t i = 0; i < matrix.models.size(); ++i) {
    const TunedModel& model = matrix.models[i];
    OrderedJson row = {{"profile_of", model.work.model.name},
                       {"rate_per_s", model.rate_per_s},
                       {"prefill_clock_mhz", model.profile.clocks[static_cast<int>(Stage::kPrefill)]},
                       {"decode_clock_mhz", model.profile.clocks[static_cast<int>(Stage::kDecode)]},
                       {"batch", model.profile.batch},
                       {"joules", SimulatedJson(model.tuned.joules_per_request)},
                       {"untuned_joules", SimulatedJson(model.untuned.joules_per_request)},
                       {"p95_ms", model.tuned.p95_s * 1e3},
                       {"untuned_p95_ms", model.untuned.p95_s * 1e3}};
    for (size_t j = 0; j < matrix.of[i].size(); ++j) {
      row["on"].push_back({{"model", matrix.models[j].work.model.name},
                           {"joules_change", matrix.of[i][j].joules},
                           {"p95_change", matrix.of[i][j].p95}});
    }
    json["rows"].push_back(std::move(row));
  }
  return json;
}

}  // namespace

std::string SignedPercent(double share) {
  const double percent = std::round(100 * share);
  return fmt::format("{:+.0f}", percent == 0 ? 0.0 : percent);  // no -0
}

std::string ComparisonText(const Comparison& comparison) {
  const CompareFlags& flags = comparison.flags;
  std::string text = fmt::format(
      "models on {}: a usual picture, {} text tokens, {} tokens out, {} together; simulated where it does "
      "not say measured\n",
      comparison.machine.name, flags.text_tokens, flags.output_tokens, flags.batch);
  text += CostsText(comparison) + BoundsText(comparison) + PicturesText(comparison) + LeversText(comparison);
  text += RegretText(comparison.one_clock, "one device, one clock") +
          RegretText(comparison.pools, "two pools, a clock each");
  if (!comparison.source_of_measured.empty()) text += "\nmeasured: " + comparison.source_of_measured + "\n";
  return text;
}

std::string ComparisonJson(const Comparison& comparison) {
  const CompareFlags& flags = comparison.flags;
  OrderedJson json = {{"what", "compare"},
                      {"machine", comparison.machine.name},
                      {"software", comparison.software.name},
                      {"text_tokens", flags.text_tokens},
                      {"output_tokens", flags.output_tokens},
                      {"batch", flags.batch},
                      {"slowdown", flags.slowdown_percent / 100},
                      {"load", flags.load}};
  json["measured_source"] =
      comparison.source_of_measured.empty() ? OrderedJson() : OrderedJson(comparison.source_of_measured);
  for (const ComparedModel& model : comparison.models) json["models"].push_back(ModelJson(model));
  json["regret"] = {RegretJson(comparison.one_clock, "one device, one clock"),
                    RegretJson(comparison.pools, "two pools, a clock each")};
  return JsonLine(json);
}

}  // namespace eyeshot::cli
