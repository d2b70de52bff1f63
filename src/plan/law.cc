#include "plan/law.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "base/check.h"
#include "base/error.h"
#include "base/limits.h"
#include "formats/json.h"

namespace eyeshot::plan {
namespace {

// Unknowns of a fit with a fixed floor: log scale, alpha, beta.
constexpr size_t kUnknowns = 3;
using Vector = std::array<double, kUnknowns>;
using Matrix = std::array<Vector, kUnknowns>;

// Cramer's rule would do; elimination reads better. REQUIRES: points that differ in both sizes.
Vector Solve(Matrix a, Vector b) {
  for (size_t column = 0; column < kUnknowns; ++column) {
    size_t pivot = column;
    for (size_t row = column + 1; row < kUnknowns; ++row) {
      if (std::abs(a[row][column]) > std::abs(a[pivot][column])) pivot = row;
    }
    std::swap(a[column], a[pivot]);
    std::swap(b[column], b[pivot]);
    if (a[column][column] == 0) continue;
    for (size_t row = 0; row < kUnknowns; ++row) {
      if (row == column) continue;
      const double factor = a[row][column] / a[column][column];
      for (size_t i = column; i < kUnknowns; ++i) a[row][i] -= factor * a[column][i];
      b[row] -= factor * b[column];
    }
  }
  Vector x{};
  for (size_t i = 0; i < kUnknowns; ++i) x[i] = a[i][i] == 0 ? 0 : b[i] / a[i][i];
  return x;
}

// Least squares of weight * (gradient . x - target).
class NormalEquations {
 public:
  void Add(const Vector& gradient, double target) {
    for (size_t i = 0; i < kUnknowns; ++i) {
      for (size_t j = 0; j < kUnknowns; ++j) a_[i][j] += gradient[i] * gradient[j];
      b_[i] += gradient[i] * target;
    }
  }
  Vector Solution() const { return Solve(a_, b_); }

 private:
  Matrix a_{};
  Vector b_{};
};

double SumOfSquares(std::span<const LawPoint> points, const ScalingLaw& law) {
  double sum = 0;
  for (const LawPoint& point : points) {
    const double miss = law.Error(point.parameters_b, point.tokens) - (1 - point.accuracy);
    sum += miss * miss;
  }
  return sum;
}

Status ReadTask(const JsonObject& tasks, const char* name, std::span<const double> sizes,
                std::span<const double> tokens, std::vector<LawPoint>& points) {
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject task, tasks.Object(name));
  const Json* rows = task.Find("accuracy");
  const auto bad = [&] {
    return task.Error(StatusCode::kCorrupt, "accuracy",
                      fmt::format("{} rows of {} numbers between 0 and 1, or null", sizes.size(), tokens.size()),
                      "install Eyeshot again");
  };
  if (rows == nullptr || !rows->is_array() || rows->size() != sizes.size()) return bad();
  for (size_t r = 0; r < sizes.size(); ++r) {
    const Json& row = (*rows)[r];
    if (!row.is_array() || row.size() != tokens.size()) return bad();
    for (size_t c = 0; c < tokens.size(); ++c) {
      if (row[c].is_null()) continue;
      if (!row[c].is_number() || row[c].get<double>() < 0 || row[c].get<double>() > 1) return bad();
      points.push_back({sizes[r], tokens[c], row[c].get<double>()});
    }
  }
  if (points.size() <= kUnknowns) return bad();
  return Status::Ok();
}

Result<std::vector<double>> ReadSizes(const JsonObject& root, const char* name) {
  const Json* list = root.Find(name);
  std::vector<double> values;
  const auto bad = [&] {
    return root.Error(StatusCode::kCorrupt, name, fmt::format("2 to {} numbers above 0", limits::kMaxLawSizes),
                      "install Eyeshot again");
  };
  if (list == nullptr || !list->is_array() || list->size() < 2 || list->size() > limits::kMaxLawSizes) return bad();
  for (const Json& value : *list) {
    if (!value.is_number() || !(value.get<double>() > 0) || value.get<double>() > 1e9) return bad();
    values.push_back(value.get<double>());
  }
  return values;
}

}  // namespace

std::string_view TaskName(Task task) { return task == Task::kReading ? "reading" : "reasoning"; }

Result<Task> ParseTask(std::string_view text) {
  if (text == "reading") return Task::kReading;
  if (text == "reasoning") return Task::kReasoning;
  return InvalidArgumentError(fmt::format("the task is '{}'", text), "use reading or reasoning");
}

double ScalingLaw::Error(double parameters_b, double tokens) const {
  return scale / (std::pow(parameters_b, alpha) * std::pow(std::max(1.0, tokens), beta)) + floor;
}

ScalingLaw PublishedLaw() { return {.scale = 0.541, .alpha = 0.077, .beta = 0.015, .floor = 0.05}; }
ScalingLaw ReadingLaw() { return {.scale = 0.915, .alpha = 0.0271, .beta = 0.0386, .floor = 0}; }
ScalingLaw LawOf(Task task) { return task == Task::kReading ? ReadingLaw() : PublishedLaw(); }

double BestTokens(const ScalingLaw& law, double text_tokens, double most_tokens) {
  if (law.beta >= law.alpha) return most_tokens;
  return std::clamp(text_tokens * law.beta / (law.alpha - law.beta), 1.0, most_tokens);
}

LawOptimum BestAtFlops(const ScalingLaw& law, double gflops, double text_tokens, double fixed_gflops,
                       double most_tokens) {
  EYESHOT_CHECK(gflops > fixed_gflops && most_tokens >= 1);
  // 2 N (Q + V) = C - F: N in 10^9 and arithmetic in 10^9 cancel.
  const auto at = [&](double tokens) {
    const double parameters_b = (gflops - fixed_gflops) / (2 * (text_tokens + tokens));
    return LawOptimum{tokens, parameters_b, law.Error(parameters_b, tokens)};
  };
  // The error has one minimum over log V; golden sections close in on it.
  const double ratio = 1 / std::numbers::phi;
  double low = 0;
  double high = std::log(most_tokens);
  for (int i = 0; i < 200; ++i) {
    const double a = high - ratio * (high - low);
    const double b = low + ratio * (high - low);
    if (at(std::exp(a)).error < at(std::exp(b)).error) {
      high = b;
    } else {
      low = a;
    }
  }
  LawOptimum best = at(std::exp((low + high) / 2));
  for (const double edge : {1.0, most_tokens}) {
    if (at(edge).error <= best.error) best = at(edge);
  }
  return best;
}

Result<LawGrid> ParseLawGrid(std::string_view text, const std::string& file) {
  EYESHOT_ASSIGN_OR_RETURN(const Json tree, ParseJsonTree(text, file));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject root, JsonObject::Root(tree, file));
  LawGrid grid;
  EYESHOT_ASSIGN_OR_RETURN(grid.source, root.String("source"));
  EYESHOT_ASSIGN_OR_RETURN(const std::vector<double> sizes, ReadSizes(root, "decoder_parameters_b"));
  EYESHOT_ASSIGN_OR_RETURN(const std::vector<double> tokens, ReadSizes(root, "visual_tokens"));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject tasks, root.Object("tasks"));
  EYESHOT_RETURN_IF_ERROR(ReadTask(tasks, "reasoning", sizes, tokens, grid.reasoning));
  EYESHOT_RETURN_IF_ERROR(ReadTask(tasks, "reading", sizes, tokens, grid.reading));
  return grid;
}

LawFit FitLaw(std::span<const LawPoint> points, double floor) {
  EYESHOT_CHECK(points.size() > kUnknowns);
  const auto gradient_of = [](const LawPoint& point, double factor) {
    return Vector{factor, -factor * std::log(point.parameters_b), -factor * std::log(point.tokens)};
  };
  NormalEquations logarithms;
  for (const LawPoint& point : points) {
    EYESHOT_CHECK(floor < 1 - point.accuracy);
    logarithms.Add(gradient_of(point, 1), std::log(1 - point.accuracy - floor));
  }
  Vector x = logarithms.Solution();
  const auto law_of = [&](const Vector& v) { return ScalingLaw{std::exp(v[0]), v[1], v[2], floor}; };
  constexpr int kIterations = 20;  // it converges in four
  for (int i = 0; i < kIterations; ++i) {
    NormalEquations step;
    const ScalingLaw law = law_of(x);
    for (const LawPoint& point : points) {
      const double value = law.Error(point.parameters_b, point.tokens);
      step.Add(gradient_of(point, value - floor), 1 - point.accuracy - value);
    }
    const Vector change = step.Solution();
    for (size_t k = 0; k < kUnknowns; ++k) x[k] += change[k];
  }
  const ScalingLaw law = law_of(x);
  return {law, std::sqrt(SumOfSquares(points, law) / static_cast<double>(points.size()))};
}

FloorProfile ProfileFloor(std::span<const LawPoint> points, int steps) {
  EYESHOT_CHECK(steps >= 2);
  double least_error = 1;
  for (const LawPoint& point : points) least_error = std::min(least_error, 1 - point.accuracy);
  const double most = 0.95 * least_error;
  FloorProfile profile;
  for (int i = 0; i <= steps; ++i) profile.fits.push_back(FitLaw(points, most * i / steps));
  const auto by_rmse = [](const LawFit& a, const LawFit& b) { return a.rmse < b.rmse; };
  profile.best = *std::min_element(profile.fits.begin(), profile.fits.end(), by_rmse);
  // n log(SSE / least SSE) is chi-squared with one degree of freedom: 3.84 at 95 %.
  constexpr double kChiSquared = 3.841;
  const double bound = profile.best.rmse * std::exp(kChiSquared / (2 * static_cast<double>(points.size())));
  profile.low = profile.high = profile.best.law.floor;
  for (const LawFit& fit : profile.fits) {
    if (fit.rmse > bound) continue;
    profile.low = std::min(profile.low, fit.law.floor);
    profile.high = std::max(profile.high, fit.law.floor);
  }
  profile.identified = profile.low > 0 && profile.high < most && profile.high - profile.low < least_error / 3;
  return profile;
}

}  // namespace eyeshot::plan
