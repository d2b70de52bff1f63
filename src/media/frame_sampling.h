// Which frames of a video are taken: arithmetic alone.
#ifndef EYESHOT_MEDIA_FRAME_SAMPLING_H_
#define EYESHOT_MEDIA_FRAME_SAMPLING_H_

#include <cstdint>
#include <span>
#include <vector>

namespace eyeshot::media {

// What SmolVLMVideoProcessor.sample_frames of transformers takes of a video of `frames` frames, `duration_s` seconds
// and `stream_fps` frames a second: round(fps * duration_s) frames, 1 to `max_frames`, evenly from first to last, where
// a second at both ends is left out of a video that is longer than max_frames * fps + 2 seconds. Ascending, without
// doubles. REQUIRES: frames >= 1, max_frames >= 1; fps * duration_s finite.
std::vector<int64_t> UniformFrames(int64_t frames, double duration_s, double stream_fps, double fps, int max_frames,
                                   bool skip_ends = true);

// How many frames that rule asks for: 1 to `max_frames`.
int FrameBudget(double duration_s, double fps, int max_frames);

// `count` frames at the changes of scene. difference[i] says how much frame i differs from the one before it, in [0,
// 1]; difference[0] is of no account. Frame 0 is taken; then the frames that differ by kSceneChange or more, the
// largest difference first (the earlier of equal ones); then, as long as there are too few, the frame in the middle of
// the longest gap (the first of equal ones), the gap behind the last frame included. Ascending, without doubles; fewer
// if there are no more frames. REQUIRES: difference not empty, count >= 1.
std::vector<int64_t> SceneFrames(std::span<const float> difference, int count);

// A cut between two unlike pictures moves 40 % of a histogram or more, motion within a scene hardly ever 20 %.
inline constexpr float kSceneChange = 0.3f;

}  // namespace eyeshot::media

#endif  // EYESHOT_MEDIA_FRAME_SAMPLING_H_
