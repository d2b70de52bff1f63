// `eyeshot energy compare`: unlike models side by side, measured where a row of data/measured is of just this request,
// simulated elsewhere.
#ifndef EYESHOT_CLI_ENERGY_COMPARE_H_
#define EYESHOT_CLI_ENERGY_COMPARE_H_

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "energy/simulator/comparison.h"
#include "energy/simulator/inflation.h"
#include "energy/simulator/regret.h"
#include "eyeshot/status.h"

namespace CLI {
class App;
}

namespace eyeshot::cli {

struct CompareFlags {
  std::string machine = "h100-sxm";
  std::string software = "graph";
  std::vector<std::string> models;  // empty: those that the page of energy is about
  double text_tokens = 128;
  double output_tokens = 64;
  double batch = 1;
  double slowdown_percent = 5;
  double load = 0.5;
  std::string html;
  std::string svg;  // a folder for the charts
  bool json = false;
};

// One request of one model under one software.
struct ComparedCost {
  std::string label;  // "measured, eager transformers, H100" or "simulated, graph"
  std::string software;
  bool measured = false;
  double relative_error = 0;  // of measured joules
  simulator::StageShares shares;
  simulator::BoundShares bounds;
};

// Pictures of one side's length, several to a question.
struct ComparedPictures {
  double side = 0;
  int pictures = 0;
  simulator::PictureWork work;
  double seconds = 0;
  double joules = 0;
};

inline constexpr std::array kComparedSides = {448.0, 896.0, 1344.0, 2016.0};
inline constexpr std::array kComparedPictures = {1, 2, 4, 8};
inline constexpr std::array kComparedOutputs = {16.0, 64.0, 256.0};

struct ComparedModel {
  simulator::PictureWork work;        // of a usual picture
  std::vector<ComparedCost> costs;    // the measured one first, where there is one
  std::array<simulator::Bound, std::size(kComparedOutputs)> bounds{};  // over the answer's length, simulated
  simulator::Inflation inflation;     // simulated
  std::optional<double> measured_inflation;  // prompt-only
  std::vector<ComparedPictures> pictures;    // by side, then by number
  std::vector<simulator::Lever> levers;      // the best first

  // The best that a request by itself can have: not batching.
  const simulator::Lever& advised() const;
};

struct Comparison {
  CompareFlags flags;
  simulator::Machine machine;
  simulator::Software software;
  std::string source_of_measured;  // empty: there is none
  std::vector<ComparedModel> models;
  simulator::RegretMatrix one_clock;
  simulator::RegretMatrix pools;
};

Result<Comparison> Compare(const CompareFlags& flags);

std::string SignedPercent(double share);  // 0.123: "+12"
std::string ComparisonText(const Comparison& comparison);
std::string ComparisonJson(const Comparison& comparison);  // a line
std::string ComparisonHtml(const Comparison& comparison);
// Name and content of each chart's file.
std::vector<std::pair<std::string, std::string>> ComparisonSvgs(const Comparison& comparison);

// Adds the subcommand `compare` to `energy`. `has_command`: there is a command to measure behind "--", which is an
// error.
const CLI::App* AddEnergyCompareCommand(CLI::App& energy, bool has_command, int& exit_code);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_ENERGY_COMPARE_H_
