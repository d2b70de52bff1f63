// What joules cost in grams of CO2 and in money: by a constant or by a series over time that the user gives. Nothing is
// fetched.
#ifndef EYESHOT_ENERGY_COST_H_
#define EYESHOT_ENERGY_COST_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eyeshot/ledger.h"
#include "eyeshot/status.h"

namespace eyeshot {

inline constexpr double kJoulesPerKwh = 3.6e6;

// Seconds since 1970 in UTC, of a number of them or of a date and time as ISO 8601 writes it: 2026-11-26,
// 2026-11-26T14:05, 2026-11-26 14:05:30.5Z, 2026-11-26T14:05+01:00. Without a zone it is UTC. Nothing: no time.
std::optional<double> ParseTime(std::string_view text);
std::string TimeText(double time_s);  // 2026-11-26T14:05:30Z

// An amount for each kWh over time: that of a row holds until the next row's time, that of the last row as long as that
// of the row before did; a row by itself, or a constant, for ever.
class KwhRate {
 public:
  explicit KwhRate(double constant) : rows_{{0, constant}} {}
  // A table of two columns with the heading "time,COLUMN", times ascending. Errors: kCorrupt (names the line and what
  // was expected), kLimitExceeded. `file` names the text in errors.
  static Result<KwhRate> Parse(std::string_view text, const std::string& file, std::string_view column);

  // Error: kNotFound, with the times of the series, if it doesn't hold for all of [begin, end].
  Status Check(double begin_s, double end_s) const;
  // The mean over [begin, end]; at its ends the series goes on with its first and last value.
  double Mean(double begin_s, double end_s) const;
  double At(double time_s) const { return Mean(time_s, time_s); }
  // Nothing: it is the same for ever.
  std::optional<double> begin_s() const;

 private:
  struct Row {
    double time_s;
    double per_kwh;
  };
  explicit KwhRate(std::vector<Row> rows, std::string file) : rows_(std::move(rows)), file_(std::move(file)) {}
  double end_s() const;

  std::vector<Row> rows_;  // at least one
  std::string file_;
};

// A number, or the path of a file as KwhRate::Parse() reads it. Errors: also kNotFound, kIo.
Result<KwhRate> ReadKwhRate(const std::string& number_or_file, std::string_view column);
inline constexpr std::string_view kCarbonColumn = "g_per_kwh";
inline constexpr std::string_view kPriceColumn = "price_per_kwh";

// Of the carbon of the grid and of a tariff, as far as they are known.
struct KwhRates {
  std::optional<KwhRate> carbon;
  std::optional<KwhRate> price;

  Status Check(double begin_s, double end_s) const;
  // The time from which all of them hold; nothing: they always do.
  std::optional<double> begin_s() const;
};

// For one span of time.
struct PerKwh {
  std::optional<double> co2_g;
  std::optional<double> price;
  bool any() const { return co2_g || price; }
};
PerKwh MeanOf(const KwhRates& rates, double begin_s, double end_s);

// What joules cost, with their bounds and their source: the rate's own error is not known.
struct Cost {
  double value = 0;
  double low = 0;
  double high = 0;
  EnergySource source = EnergySource::kNone;
};
Cost CostOf(const Joules& joules, double per_kwh);

}  // namespace eyeshot

#endif  // EYESHOT_ENERGY_COST_H_
