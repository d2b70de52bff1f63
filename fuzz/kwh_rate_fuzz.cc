// The first byte says which column is wanted; the rest is a series of rates over time. Whatever is accepted has means
// that lie between its lowest and highest value, and times whose text is read as the same second.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "energy/cost.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view column = data[0] % 2 == 0 ? eyeshot::kPriceColumn : eyeshot::kCarbonColumn;
  const auto rate = eyeshot::KwhRate::Parse({reinterpret_cast<const char*>(data) + 1, size - 1}, "series.csv", column);
  if (!rate.ok()) return 0;
  const double begin = rate->begin_s().value_or(0);
  EYESHOT_CHECK(rate->Check(begin, begin).ok());
  const double mean = rate->Mean(begin - 10, begin + 1e6);
  EYESHOT_CHECK(std::isfinite(mean) && std::abs(mean) <= 1e7 * (1 + 1e-9));
  EYESHOT_CHECK(column == eyeshot::kPriceColumn || mean >= 0);
  const auto read = eyeshot::ParseTime(eyeshot::TimeText(begin));
  EYESHOT_CHECK(begin < 0 || begin >= 253'402'300'799 || read == std::floor(begin));
  return 0;
}
