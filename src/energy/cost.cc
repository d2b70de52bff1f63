#include "energy/cost.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"

namespace eyeshot {
namespace {

// Beyond it a unit is mistaken: coal has about 1,000 g. Tariffs may fall below zero, in any currency.
constexpr double kMaxPerKwh = 1e7;
constexpr double kMaxTime = 253'402'300'800;  // the year 10000

// Reads fixed-width parts of a text from its begin.
class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  bool Digits(size_t count, int* value) {
    if (rest_.size() < count) return false;
    *value = 0;
    for (size_t i = 0; i < count; ++i) {
      if (rest_[i] < '0' || rest_[i] > '9') return false;
      *value = *value * 10 + (rest_[i] - '0');
    }
    rest_.remove_prefix(count);
    return true;
  }
  bool OneOf(std::string_view letters) {
    if (rest_.empty() || letters.find(rest_.front()) == std::string_view::npos) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool Number(double* value) {
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), *value);
    if (error != std::errc()) return false;
    rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
    return true;
  }
  bool at_end() const { return rest_.empty(); }
  char front() const { return rest_.empty() ? '\0' : rest_.front(); }

 private:
  std::string_view rest_;
};

std::optional<double> ParseNumber(std::string_view text) {
  Reader reader(text);
  double value = 0;
  if (!reader.Number(&value) || !reader.at_end() || !std::isfinite(value)) return std::nullopt;
  return value;
}

// Z, +01:00, +0100, or nothing.
bool ReadZone(Reader& reader, double* seconds_east) {
  *seconds_east = 0;
  if (reader.at_end() || reader.OneOf("Zz")) return reader.at_end();
  const double sign = reader.front() == '-' ? -1 : 1;
  int hours = 0;
  int minutes = 0;
  if (!reader.OneOf("+-") || !reader.Digits(2, &hours)) return false;
  reader.OneOf(":");
  if (!reader.at_end() && !reader.Digits(2, &minutes)) return false;
  *seconds_east = sign * (3600 * hours + 60 * minutes);
  return reader.at_end() && hours < 24 && minutes < 60;
}

// Behind the date: 14:05, 14:05:30, 14:05:30.5.
bool ReadClock(Reader& reader, double* seconds) {
  int hours = 0;
  int minutes = 0;
  int whole = 0;
  if (!reader.Digits(2, &hours) || !reader.OneOf(":") || !reader.Digits(2, &minutes)) return false;
  double part = 0;
  if (reader.OneOf(":")) {
    if (!reader.Digits(2, &whole)) return false;
    if (reader.front() == '.' && !reader.Number(&part)) return false;
  }
  *seconds = 3600 * hours + 60 * minutes + whole + part;
  return hours < 25 && minutes < 60 && whole < 61 && part < 1 && *seconds <= 86400;
}

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && (text.back() == '\r' || text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  return text;
}

// The text up to the next line break, which it takes off.
std::string_view TakeLine(std::string_view& text) {
  const size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return Trimmed(line);
}

}  // namespace

std::optional<double> ParseTime(std::string_view text) {
  if (const std::optional<double> seconds = ParseNumber(text)) {
    return std::abs(*seconds) < kMaxTime ? seconds : std::nullopt;
  }
  Reader reader(text);
  int year = 0;
  int month = 0;
  int day = 0;
  if (!reader.Digits(4, &year) || !reader.OneOf("-") || !reader.Digits(2, &month) || !reader.OneOf("-") ||
      !reader.Digits(2, &day)) {
    return std::nullopt;
  }
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return std::nullopt;
  double seconds = 0;
  double east = 0;
  if (!reader.at_end() && (!reader.OneOf("Tt ") || !ReadClock(reader, &seconds) || !ReadZone(reader, &east))) {
    return std::nullopt;
  }
  const auto days = std::chrono::sys_days(date).time_since_epoch().count();
  return static_cast<double>(days) * 86400 + seconds - east;
}

std::string TimeText(double time_s) {
  const auto whole = static_cast<int64_t>(std::floor(time_s));
  const std::chrono::sys_seconds time{std::chrono::seconds(whole)};
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), clock.hours().count(),
                     clock.minutes().count(), clock.seconds().count());
}

Result<KwhRate> KwhRate::Parse(std::string_view text, const std::string& file, std::string_view column) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);  // that spreadsheets put there
  const std::string heading = fmt::format("time,{}", column);
  if (const std::string_view line = TakeLine(text); line != heading) {
    return CorruptError(fmt::format("{}: line 1 is '{}'", file, line.substr(0, 80)),
                        fmt::format("begin the file with '{}'", heading));
  }
  std::vector<Row> rows;
  for (int64_t number = 2; !text.empty(); ++number) {
    const std::string_view line = TakeLine(text);
    if (line.empty()) continue;
    const size_t comma = line.find(',');
    const std::optional<double> time = ParseTime(Trimmed(line.substr(0, comma)));
    const std::optional<double> value =
        comma == std::string_view::npos ? std::nullopt : ParseNumber(Trimmed(line.substr(comma + 1)));
    const auto corrupt = [&](std::string_view what, std::string mend) {
      return CorruptError(fmt::format("{}: line {} ('{}') {}", file, number, line.substr(0, 80), what),
                          std::move(mend));
    };
    if (!time) return corrupt("has no time", "write it as 2026-11-26T14:00Z or in seconds, a comma behind it");
    if (!value || std::abs(*value) > kMaxPerKwh || (column == kCarbonColumn && *value < 0)) {
      return corrupt(fmt::format("has no {}", column), "write one number behind the comma, with a decimal point");
    }
    if (!rows.empty() && *time <= rows.back().time_s)
      return corrupt("is not later than the line before", "sort the lines");
    if (rows.size() == limits::kMaxRateRows) {
      return LimitError(fmt::format("{}: more than {} rows", file, limits::kMaxRateRows), "cut the series");
    }
    rows.push_back({*time, *value});
  }
  if (rows.empty()) return CorruptError(file + ": no rows", "write a time and an amount on each line");
  return KwhRate(std::move(rows), file);
}

double KwhRate::end_s() const {
  if (rows_.size() == 1) return std::numeric_limits<double>::infinity();
  return 2 * rows_.back().time_s - rows_[rows_.size() - 2].time_s;
}

std::optional<double> KwhRate::begin_s() const {
  return rows_.size() == 1 ? std::nullopt : std::optional<double>(rows_.front().time_s);
}

Status KwhRate::Check(double begin, double end) const {
  if (rows_.size() == 1 || (begin >= rows_.front().time_s && end <= end_s())) return Status::Ok();
  const std::string asked = end > begin ? fmt::format("{} to {}", TimeText(begin), TimeText(end)) : TimeText(begin);
  return NotFoundError(fmt::format("{} holds from {} to {}, and {} is asked for", file_, TimeText(rows_.front().time_s),
                                   TimeText(end_s()), asked),
                       "give a series of that time");
}

double KwhRate::Mean(double begin, double end) const {
  const auto after = std::upper_bound(rows_.begin(), rows_.end(), begin,
                                      [](double time, const Row& row) { return time < row.time_s; });
  auto row = after == rows_.begin() ? after : after - 1;
  if (end <= begin) return row->per_kwh;
  double sum = 0;
  double at = begin;
  for (; row != rows_.end() && at < end; ++row) {
    const double until = row + 1 == rows_.end() ? end : std::clamp((row + 1)->time_s, at, end);
    sum += (until - at) * row->per_kwh;
    at = until;
  }
  return sum / (end - begin);
}

Result<KwhRate> ReadKwhRate(const std::string& number_or_file, std::string_view column) {
  if (const std::optional<double> constant = ParseNumber(number_or_file)) {
    if (std::abs(*constant) <= kMaxPerKwh && (column != kCarbonColumn || *constant >= 0)) return KwhRate(*constant);
    return InvalidArgumentError(fmt::format("{} is {}", column, *constant), "check its unit");
  }
  EYESHOT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(number_or_file, limits::kMaxRateFileBytes));
  return KwhRate::Parse(text, number_or_file, column);
}

Status KwhRates::Check(double begin, double end) const {
  if (carbon) EYESHOT_RETURN_IF_ERROR(carbon->Check(begin, end));
  return price ? price->Check(begin, end) : Status::Ok();
}

std::optional<double> KwhRates::begin_s() const {
  std::optional<double> begin;
  for (const std::optional<KwhRate>* rate : {&carbon, &price}) {
    const std::optional<double> own = *rate ? (*rate)->begin_s() : std::nullopt;
    if (own && (!begin || *own > *begin)) begin = own;
  }
  return begin;
}

PerKwh MeanOf(const KwhRates& rates, double begin, double end) {
  PerKwh mean;
  if (rates.carbon) mean.co2_g = rates.carbon->Mean(begin, end);
  if (rates.price) mean.price = rates.price->Mean(begin, end);
  return mean;
}

Cost CostOf(const Joules& joules, double per_kwh) {
  const double factor = per_kwh / kJoulesPerKwh;
  const double low = joules.low * factor;
  const double high = joules.high * factor;
  return {joules.value * factor, std::min(low, high), std::max(low, high), joules.source};
}

}  // namespace eyeshot
