// What tests of this room compare with.
#ifndef EYESHOT_ENERGY_TESTING_H_
#define EYESHOT_ENERGY_TESTING_H_

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <vector>

namespace eyeshot {

// Of lists and arrays, to be compared with one another.
inline std::vector<double> List(std::initializer_list<double> values) { return values; }
template <typename Values>
std::vector<double> List(const Values& values) {
  return {values.begin(), values.end()};
}

inline testing::AssertionResult Has(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "'" << text << "' lacks '" << part << "'";
}

}  // namespace eyeshot

#endif  // EYESHOT_ENERGY_TESTING_H_
