#include "energy/cost.h"

#include <gtest/gtest.h>

#include <string>

namespace eyeshot {
namespace {

constexpr char kSeries[] =
    "time,g_per_kwh\n"
    "2026-11-26T00:00Z,100\n"
    "2026-11-26T01:00Z,300\n"
    "2026-11-26T03:00Z,200\n";
constexpr double kMidnight = 1795651200;  // 2026-11-26, by Python's datetime

TEST(TimeTest, Iso8601AndSeconds) {
  EXPECT_EQ(ParseTime("2026-11-26"), kMidnight);
  EXPECT_EQ(ParseTime("2026-11-26T14:05"), kMidnight + 50700);
  EXPECT_EQ(ParseTime("2026-11-26 14:05:30.5Z"), kMidnight + 50730.5);
  EXPECT_EQ(ParseTime("2026-11-26T14:05:00+01:00"), kMidnight + 47100);
  EXPECT_EQ(ParseTime("2026-11-26T14:05-0330"), kMidnight + 63300);
  EXPECT_EQ(ParseTime("2024-02-29"), 1709164800);
  EXPECT_EQ(ParseTime("1795701930"), kMidnight + 50730);
  EXPECT_EQ(TimeText(kMidnight + 50730.9), "2026-11-26T14:05:30Z");
  EXPECT_EQ(TimeText(-1), "1969-12-31T23:59:59Z");
  for (const char* text : {"", "now", "2026-02-29", "2026-13-01", "2026-11-26T", "2026-11-26T25:00", "2026-11-26T14:60",
                           "2026-11-26T14:05+1", "2026-11-26T14:05X", "26.11.2026", "nan", "1e300", "12:00"}) {
    EXPECT_FALSE(ParseTime(text)) << text;
  }
}

TEST(KwhRateTest, ARowHoldsUntilTheNext) {
  const KwhRate rate = KwhRate::Parse(kSeries, "grid.csv", kCarbonColumn).value();
  EXPECT_EQ(rate.begin_s(), kMidnight);
  EXPECT_EQ(rate.At(kMidnight), 100);
  EXPECT_EQ(rate.At(kMidnight + 3599), 100);
  EXPECT_EQ(rate.At(kMidnight + 3600), 300);
  EXPECT_DOUBLE_EQ(rate.Mean(kMidnight, kMidnight + 4 * 3600), (100 + 300 + 300 + 200) / 4.0);
  EXPECT_DOUBLE_EQ(rate.Mean(kMidnight + 1800, kMidnight + 5400), 200);
  // The last row holds as long as the one before it: two hours.
  EXPECT_TRUE(rate.Check(kMidnight, kMidnight + 5 * 3600).ok());
  const Status late = rate.Check(kMidnight, kMidnight + 5 * 3600 + 1);
  EXPECT_EQ(late.code(), StatusCode::kNotFound);
  EXPECT_NE(late.message().find("grid.csv holds from 2026-11-26T00:00:00Z to 2026-11-26T05:00:00Z"), std::string::npos)
      << late.message();
  EXPECT_FALSE(rate.Check(kMidnight - 1, kMidnight).ok());
  EXPECT_DOUBLE_EQ(rate.Mean(kMidnight - 3600, kMidnight + 3600), 100);
  EXPECT_DOUBLE_EQ(rate.Mean(kMidnight + 10 * 3600, kMidnight + 11 * 3600), 200);
}

TEST(KwhRateTest, AConstantHoldsForEver) {
  const KwhRate rate = ReadKwhRate("0.25", kPriceColumn).value();
  EXPECT_FALSE(rate.begin_s());
  EXPECT_TRUE(rate.Check(-1e9, 1e12).ok());
  EXPECT_EQ(rate.At(5), 0.25);
  EXPECT_EQ(ReadKwhRate("-1", kCarbonColumn).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(ReadKwhRate("/nonexistent.csv", kPriceColumn).status().code(), StatusCode::kNotFound);
}

TEST(KwhRateTest, SpreadsheetsAndNegativePrices) {
  const KwhRate rate =
      KwhRate::Parse("\xEF\xBB\xBFtime,price_per_kwh\r\n0, -0.02\r\n60, 0.3\r\n\r\n", "t.csv", kPriceColumn).value();
  EXPECT_EQ(rate.At(0), -0.02);
  EXPECT_EQ(rate.At(60), 0.3);
}

TEST(KwhRateTest, ErrorsNameTheLine) {
  const auto message = [](const std::string& text) {
    const Result<KwhRate> rate = KwhRate::Parse(text, "grid.csv", kCarbonColumn);
    EXPECT_FALSE(rate.ok()) << text;
    return rate.ok() ? "" : rate.status().message();
  };
  const auto has = [&](const std::string& text, const std::string& part) {
    EXPECT_NE(message(text).find(part), std::string::npos) << message(text);
  };
  has("", "line 1 is ''");
  has("time,price_per_kwh\n0,1\n", "begin the file with 'time,g_per_kwh'");
  has("time,g_per_kwh\n", "no rows");
  has("time,g_per_kwh\n0,1\nyesterday,2\n", "line 3 ('yesterday,2') has no time");
  has("time,g_per_kwh\n0;1\n", "line 2 ('0;1') has no time");
  has("time,g_per_kwh\n0,-1\n", "line 2 ('0,-1') has no g_per_kwh");
  has("time,g_per_kwh\n0,1,2\n", "has no g_per_kwh");
  has("time,g_per_kwh\n5,1\n5,2\n", "line 3 ('5,2') is not later than the line before");
}

TEST(CostTest, BoundsAndSourceAreTheJoules) {
  const Cost cost = CostOf({3.6e6, 3.3e6, 3.9e6, EnergySource::kRapl}, 400);
  EXPECT_DOUBLE_EQ(cost.value, 400);
  EXPECT_DOUBLE_EQ(cost.low, 400 * 3.3 / 3.6);
  EXPECT_DOUBLE_EQ(cost.high, 400 * 3.9 / 3.6);
  EXPECT_EQ(cost.source, EnergySource::kRapl);
  const Cost gain = CostOf({3.6e6, 3.3e6, 3.9e6, EnergySource::kModel}, -0.1);
  EXPECT_LT(gain.low, gain.high);
  EXPECT_EQ(gain.source, EnergySource::kModel);
}

}  // namespace
}  // namespace eyeshot
