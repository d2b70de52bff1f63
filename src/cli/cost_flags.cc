#include "cli/cost_flags.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>

#include "base/error.h"

namespace eyeshot::cli {
namespace {

OrderedJson CostJson(const Joules& joules, double per_kwh) {
  const Cost cost = CostOf(joules, per_kwh);
  if (cost.source == EnergySource::kNone) return {};
  return {{"value", cost.value}, {"low", cost.low}, {"high", cost.high}, {"source", EnergySourceName(cost.source)}};
}

std::string Bounds(Cost cost, double times, std::string_view unit) {
  return fmt::format("{:.4g}{} ({:.4g} to {:.4g})", times * cost.value, unit, times * cost.low, times * cost.high);
}

}  // namespace

void AddCostFlags(CLI::App& command, CostFlags& flags) {
  command
      .add_option("--grid,--grid-g-per-kwh", flags.grid,
                  "Grams of CO2 a kWh of the grid, or a file of them over time: time,g_per_kwh")
      ->type_name("G|FILE.csv");
  command
      .add_option("--tariff,--price-per-kwh", flags.tariff,
                  "Price of a kWh, or a file of prices over time: time,price_per_kwh")
      ->type_name("PRICE|FILE.csv");
}

Result<KwhRates> ReadRates(const CostFlags& flags) {
  KwhRates rates;
  if (!flags.grid.empty()) {
    EYESHOT_ASSIGN_OR_RETURN(rates.carbon, ReadKwhRate(flags.grid, kCarbonColumn));
  }
  if (!flags.tariff.empty()) {
    EYESHOT_ASSIGN_OR_RETURN(rates.price, ReadKwhRate(flags.tariff, kPriceColumn));
  }
  return rates;
}

double WallClock() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

void PutCosts(OrderedJson& json, const Joules& joules, const PerKwh& rates) {
  if (rates.co2_g) json["co2_g"] = CostJson(joules, *rates.co2_g);
  if (rates.price) json["price"] = CostJson(joules, *rates.price);
}

std::string CostText(std::string_view what, const Joules& joules, double times, const PerKwh& rates) {
  if (joules.source == EnergySource::kNone || !rates.any()) return "";
  std::string text = fmt::format("{}: ", what);
  if (rates.co2_g) text += Bounds(CostOf(joules, *rates.co2_g), times, " g CO2");
  if (rates.price) {
    text += (rates.co2_g ? ", price " : "price ") + Bounds(CostOf(joules, *rates.price), times, "");
  }
  return text + (joules.source == EnergySource::kModel ? ", an estimate" : "");
}

}  // namespace eyeshot::cli
