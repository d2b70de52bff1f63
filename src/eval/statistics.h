// What a score of some questions says about all questions like them.
#ifndef EYESHOT_EVAL_STATISTICS_H_
#define EYESHOT_EVAL_STATISTICS_H_

#include <cstdint>
#include <span>

namespace eyeshot::eval {

// A figure and the interval that holds the true one with 95 %.
struct Interval {
  double value = 0;
  double low = 0;
  double high = 0;
};

// Of `hits` among `count` (Wilson, 1927). {0, 0, 1} where count is 0.
Interval WilsonInterval(uint64_t hits, uint64_t count);

// Of the mean: the 2.5th and 97.5th percentile of the means of 10,000 samples drawn with replacement (Efron, 1979). The
// same seed and values give the same interval.
Interval BootstrapMean(std::span<const double> values, uint64_t seed);

// Of sum(numerators) / sum(denominators), drawn together, question by question: the character error rate. All zero
// where the denominators are.
Interval BootstrapRatio(std::span<const double> numerators, std::span<const double> denominators, uint64_t seed);

// The mean of `scores`: by WilsonInterval() where each is 0 or 1 by its nature, else by BootstrapMean().
Interval ScoreInterval(std::span<const double> scores, bool share, uint64_t seed);

// The mean of b - a over the same questions, drawn as pairs. {0, 0, 0} of none. REQUIRES: as many of each.
Interval PairedDifference(std::span<const double> a, std::span<const double> b, uint64_t seed);

}  // namespace eyeshot::eval

#endif  // EYESHOT_EVAL_STATISTICS_H_
