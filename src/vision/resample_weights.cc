// The arithmetic here is on IEEE doubles in an order that decides the last bit: this file is compiled without
// contraction of products and sums.
#include "vision/resample_weights.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/check.h"

namespace eyeshot {
namespace {

// 32 bits hold the sum less its sign: 8 bits of a pixel, 2 of head room for weights beyond 1, and these.
constexpr int kPillowPrecision = 32 - 8 - 2;

double Bilinear(double x) {
  x = std::abs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

double Bicubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
  return 0.0;
}

double Sinc(double x) {
  if (x == 0.0) return 1.0;
  x *= std::numbers::pi;
  return std::sin(x) / x;
}

double Lanczos(double x) { return -3.0 <= x && x < 3.0 ? Sinc(x) * Sinc(x / 3.0) : 0.0; }

struct Kernel {
  double (*value)(double);
  double support;  // the value is 0 from this distance on
};

Kernel KernelOf(ResampleFilter filter) {
  switch (filter) {
    case ResampleFilter::kBilinear: return {Bilinear, 1.0};
    case ResampleFilter::kBicubic: return {Bicubic, 2.0};
    case ResampleFilter::kLanczos: return {Lanczos, 3.0};
  }
  EYESHOT_CHECK(false);
}

// The window of target pixel `i` and its weights, which add up to 1.
struct Window {
  int first = 0;
  std::vector<double> weights;
};

// Pillow and torch truncate after they have added a half: so must these.
// NOLINTBEGIN(bugprone-incorrect-roundings)
void ComputeWindow(int i, int from, double scale, const Kernel& kernel, Window& window) {
  const double stretch = std::max(scale, 1.0);
  const double support = kernel.support * stretch;
  const double center = (i + 0.5) * scale;
  const double shrink = 1.0 / stretch;
  window.first = std::max(static_cast<int>(center - support + 0.5), 0);
  const int end = std::min(static_cast<int>(center + support + 0.5), from);
  window.weights.clear();
  double total = 0.0;
  for (int x = 0; x < end - window.first; ++x) {
    const double weight = kernel.value((x + window.first - center + 0.5) * shrink);
    window.weights.push_back(weight);
    total += weight;
  }
  for (double& weight : window.weights) {
    if (total != 0.0) weight /= total;
  }
}

int32_t RoundAwayFromZero(double value) { return static_cast<int32_t>(value < 0 ? value - 0.5 : value + 0.5); }

// torch keeps weights in 16 bits, with as many fractional bits as the largest one leaves.
int TorchPrecision(double largest) {
  int precision = 0;
  while (precision < 22 && static_cast<int>(0.5 + largest * (1 << (precision + 1))) < (1 << 15)) ++precision;
  return precision;
}
// NOLINTEND(bugprone-incorrect-roundings)

}  // namespace

ResampleWeights ComputeWeights(int from, int to, ResampleFilter filter, ResampleArithmetic arithmetic) {
  EYESHOT_CHECK(from >= 1 && to >= 1);
  const Kernel kernel = KernelOf(filter);
  const double scale = static_cast<double>(from) / to;
  std::vector<Window> windows(static_cast<size_t>(to));
  size_t widest = 0;
  double largest = 0.0;
  for (int i = 0; i < to; ++i) {
    Window& window = windows[static_cast<size_t>(i)];
    ComputeWindow(i, from, scale, kernel, window);
    widest = std::max(widest, window.weights.size());
    for (const double weight : window.weights) largest = std::max(largest, weight);
  }

  ResampleWeights out;
  out.stride = static_cast<int>((widest + 3) / 4 * 4);
  out.precision = arithmetic != ResampleArithmetic::kTorch ? kPillowPrecision : TorchPrecision(largest);
  out.weights.resize(windows.size() * static_cast<size_t>(out.stride));
  for (size_t i = 0; i < windows.size(); ++i) {
    out.first.push_back(windows[i].first);
    out.count.push_back(static_cast<int32_t>(windows[i].weights.size()));
    for (size_t t = 0; t < windows[i].weights.size(); ++t) {
      out.weights[i * static_cast<size_t>(out.stride) + t] =
          RoundAwayFromZero(windows[i].weights[t] * (1 << out.precision));
    }
  }
  return out;
}

}  // namespace eyeshot
