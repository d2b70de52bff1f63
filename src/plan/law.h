// How a model's error falls with its size and with its visual tokens: the scaling law of Li et al., Inference Optimal
// VLMs Need Fewer Visual Tokens and More Parameters (arXiv 2411.03312), what follows from it, and how well the
// published figures fix it.
#ifndef EYESHOT_PLAN_LAW_H_
#define EYESHOT_PLAN_LAW_H_

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eyeshot/status.h"

namespace eyeshot::plan {

enum class Task { kReasoning, kReading };
std::string_view TaskName(Task task);  // "reasoning", "reading"
// Error: kInvalidArgument.
Result<Task> ParseTask(std::string_view text);

// error = scale / (N^alpha T^beta) + floor, with N in 10^9 parameters of the decoder and T visual tokens. The paper
// writes A and B for the two factors of `scale`, of which only the product can be known, and D for the floor.
struct ScalingLaw {
  double scale = 0;
  double alpha = 0;
  double beta = 0;
  double floor = 0;

  double Error(double parameters_b, double tokens) const;
};

// The exponents that the authors plot with: alpha 0.077, beta 0.015. Scale and floor are those of the fit with the
// nearest exponents, floor 0.05.
ScalingLaw PublishedLaw();
// OCR tasks have no published exponents; these are of our fit with floor 0, where beta > alpha.
ScalingLaw ReadingLaw();
ScalingLaw LawOf(Task task);

// The visual tokens that give the least error at a given amount of arithmetic 2 N (Q + V) + F, where Q tokens of text
// are read each time and F is spent whatever N and V are (the vision tower): V* = Q beta / (alpha - beta), at least 1,
// and all of them where beta >= alpha. F is not in it: it only takes from what N may cost.
double BestTokens(const ScalingLaw& law, double text_tokens, double most_tokens);

struct LawOptimum {
  double tokens = 0;
  double parameters_b = 0;
  double error = 0;
};
// The same with the model that goes with it, by search over V, not by the formula. flops and fixed_flops in 10^9.
// REQUIRES: flops > fixed_flops.
LawOptimum BestAtFlops(const ScalingLaw& law, double gflops, double text_tokens, double fixed_gflops,
                       double most_tokens);

// One published accuracy.
struct LawPoint {
  double parameters_b = 0;
  double tokens = 0;
  double accuracy = 0;
};
struct LawGrid {
  std::string source;
  std::vector<LawPoint> reasoning;
  std::vector<LawPoint> reading;

  std::span<const LawPoint> Of(Task task) const { return task == Task::kReading ? reading : reasoning; }
};
// The format of data/plan/visual_tokens_grid.json. Errors: kCorrupt, kNotFound (a key), kLimitExceeded.
Result<LawGrid> ParseLawGrid(std::string_view text, const std::string& file);

struct LawFit {
  ScalingLaw law;
  double rmse = 0;  // of the accuracy
};
// Least squares of the accuracy with this floor (Gauss-Newton from the fit of logarithms).
// REQUIRES: at least four points; 0 <= floor < each error.
LawFit FitLaw(std::span<const LawPoint> points, double floor);

// What the points say of the floor: for each one, how well a law with it fits at best.
struct FloorProfile {
  std::vector<LawFit> fits;  // one a floor, evenly apart, from 0 to `most`
  LawFit best;
  // Floors that the likelihood ratio doesn't rule out at 95 % (errors normal and alike).
  double low = 0;
  double high = 0;
  // Whether the interval reaches 0 or `most`, or is wider than a third of the least error: then exponents mean little
  // without their floor.
  bool identified = false;
};
FloorProfile ProfileFloor(std::span<const LawPoint> points, int steps);

}  // namespace eyeshot::plan

#endif  // EYESHOT_PLAN_LAW_H_
