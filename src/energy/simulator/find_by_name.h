// One of several described things, by its name.
#ifndef EYESHOT_ENERGY_SIMULATOR_FIND_BY_NAME_H_
#define EYESHOT_ENERGY_SIMULATOR_FIND_BY_NAME_H_

#include <fmt/ranges.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "eyeshot/status.h"

namespace eyeshot::simulator {

// Error: kNotFound, with the names that there are. `what`: "model", for the error.
template <typename T>
Result<T> FindByName(std::span<const T> all, const std::string& name, std::string_view what) {
  std::vector<std::string_view> names;
  for (const T& one : all) {
    if (one.name == name) return one;
    names.push_back(one.name);
  }
  return NotFoundError(fmt::format("there is no simulated {} '{}'", what, name),
                       fmt::format("take one of {}", fmt::join(names, ", ")));
}

}  // namespace eyeshot::simulator

#endif  // EYESHOT_ENERGY_SIMULATOR_FIND_BY_NAME_H_
