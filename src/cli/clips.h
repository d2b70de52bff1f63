// Clips named on the command line: videos, and pictures that are the frames of one.
#ifndef EYESHOT_CLI_CLIPS_H_
#define EYESHOT_CLI_CLIPS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/model_flags.h"
#include "cli/report.h"
#include "eyeshot/chat.h"
#include "eyeshot/ledger.h"
#include "eyeshot/media.h"
#include "media/frame_list.h"

namespace CLI {
class App;
}

namespace eyeshot::cli {

struct ClipFlags {
  bool frames = false;            // the pictures are the frames of one clip
  bool still = false;             // of a moving GIF the first frame, as a picture
  std::optional<double> fps;      // of sampling or, with `frames`, of the clip; absent: the model's, or 1
  std::string max_frames;         // a number, "auto", or "" for the model's
  int64_t clip_tokens = 0;        // most visual tokens of a clip; 0: no such limit
  std::string from, to;           // a time each, or ""
  std::string sample = "uniform";

  // Whether how many frames are taken hangs on the context.
  bool fits_context() const { return max_frames == "auto"; }
};

// --frames, --fps, --max-frames, --clip-tokens, --from, --to, --sample, --still
void AddClipFlags(CLI::App& command, ClipFlags& flags);

// A clip as it was read, and what was asked for.
struct Clip {
  std::shared_ptr<const Frames> frames;
  double fps = 0;             // frames wanted a second; with `--frames` the clip's rate
  int max_frames = 0;         // 0: no limit
  std::string sampling;       // "uniform", "scene", or "all" for the frames of `--frames`
  bool fit_context = false;   // max_frames is what fitted into the context
};

// How many frames of a clip of so many seconds fit, of at most so many: Chat::FramesThatFit.
using FitFunction = std::function<Result<int>(double duration_s, int most)>;

// Reads what stands before a question: pictures and clips, told by content. Charges `decode_image` and, for the frames
// of clips, `preprocess`.
class MediaReader {
 public:
  // `fit` is needed where the flags say "auto". The references must stay.
  MediaReader(const ModelFlags& model, const ClipFlags& flags, const DecodeOptions& decoding, Ledger& ledger,
              FitFunction fit = {})
      : model_(model), flags_(flags), decoding_(decoding), ledger_(ledger), fit_(std::move(fit)) {}

  Result<std::vector<ContentPart>> Read(const std::vector<std::string>& paths);
  // Those of the last Read(), in order.
  const std::vector<Clip>& clips() const { return clips_; }

 private:
  struct Source;

  Result<VideoOptions> Options();
  Status Limit(double duration_s, VideoOptions& options, Clip& clip);
  Result<Clip> ReadVideo(const Source& source);
  Result<Clip> ReadFrames(const std::vector<std::string>& paths);
  Status SetTimes(std::vector<media::FrameFile>& files) const;
  Result<std::vector<int64_t>> ChooseFrames(int64_t count, double duration_s, VideoOptions& options, Clip& clip);
  Result<ContentPart> ReadOne(const std::string& path);

  const ModelFlags& model_;
  const ClipFlags& flags_;
  DecodeOptions decoding_;
  Ledger& ledger_;
  FitFunction fit_;
  std::vector<Clip> clips_;
};

// What a clip's frames are, for people ("8 of 132 frames, ...") and as an object.
std::string ClipSummary(const Clip& clip);
OrderedJson ClipJson(const Clip& clip);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_CLIPS_H_
