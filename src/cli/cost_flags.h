// --grid and --tariff: what joules cost, in JSON and in words.
#ifndef EYESHOT_CLI_COST_FLAGS_H_
#define EYESHOT_CLI_COST_FLAGS_H_

#include <string>
#include <string_view>

#include "cli/report.h"
#include "energy/cost.h"
#include "eyeshot/status.h"

namespace CLI {
class App;
}

namespace eyeshot::cli {

struct CostFlags {
  std::string grid;  // a number or a file; empty: not asked for
  std::string tariff;
};
void AddCostFlags(CLI::App& command, CostFlags& flags);
Result<KwhRates> ReadRates(const CostFlags& flags);

// Seconds since 1970.
double WallClock();

// "co2_g" and "price", where they are known: value, low, high, source; null where there are no joules.
void PutCosts(OrderedJson& json, const Joules& joules, const PerKwh& rates);

// "1,000 requests: 3.2 g CO2 (2.2 to 4.1), price 0.01 (0.008 to 0.012)", with "an estimate" behind where the joules are
// one; empty where nothing is known. `times`: how often the joules are spent.
std::string CostText(std::string_view what, const Joules& joules, double times, const PerKwh& rates);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_COST_FLAGS_H_
