#include "media/frame_sampling.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace eyeshot::media {

int FrameBudget(double duration_s, double fps, int max_frames) {
  // Halves go to the even number, as in Python.
  const double estimate = std::nearbyint(fps * duration_s);
  return static_cast<int>(std::clamp(estimate, 1.0, static_cast<double>(max_frames)));
}

std::vector<int64_t> UniformFrames(int64_t frames, double duration_s, double stream_fps, double fps, int max_frames,
                                   bool skip_ends) {
  constexpr double kSkipSeconds = 1;
  const int count = FrameBudget(duration_s, fps, max_frames);
  int64_t first = 0;
  int64_t last = frames - 1;
  if (skip_ends && duration_s - 2 * kSkipSeconds > max_frames * fps) {
    first = static_cast<int64_t>(kSkipSeconds * stream_fps);
    last = std::min(static_cast<int64_t>(static_cast<double>(frames) - kSkipSeconds * stream_fps), frames - 1);
  }
  if (first >= last) {
    first = 0;
    last = frames - 1;
  }
  // numpy.linspace: each value is index * step + first in double, then cut to whole numbers; the end is exact.
  const auto span = static_cast<double>(last - first);
  std::vector<int64_t> taken;
  for (int i = 0; i < count; ++i) {
    const double at = count == 1 ? 0.0 : i * (span / (count - 1));
    const bool end = count > 1 && i == count - 1;
    taken.push_back(end ? last : static_cast<int64_t>(at + static_cast<double>(first)));
  }
  taken.erase(std::unique(taken.begin(), taken.end()), taken.end());
  return taken;
}

std::vector<int64_t> SceneFrames(std::span<const float> difference, int count) {
  const auto frames = static_cast<int64_t>(difference.size());
  const auto wanted = static_cast<size_t>(std::min<int64_t>(count, frames));
  std::vector<int64_t> cuts;
  for (int64_t i = 1; i < frames; ++i) {
    if (difference[static_cast<size_t>(i)] >= kSceneChange) cuts.push_back(i);
  }
  std::stable_sort(cuts.begin(), cuts.end(), [&](int64_t a, int64_t b) {
    return difference[static_cast<size_t>(a)] > difference[static_cast<size_t>(b)];
  });
  if (cuts.size() > wanted - 1) cuts.resize(wanted - 1);
  std::set<int64_t> taken(cuts.begin(), cuts.end());
  taken.insert(0);
  while (taken.size() < wanted) {
    int64_t begin = 0;
    int64_t longest = 0;
    for (auto at = taken.begin(); at != taken.end(); ++at) {
      const auto next = std::next(at);
      const int64_t gap = (next == taken.end() ? frames : *next) - *at;
      if (gap > longest) {
        longest = gap;
        begin = *at;
      }
    }
    taken.insert(begin + longest / 2);
  }
  return {taken.begin(), taken.end()};
}

}  // namespace eyeshot::media
