#include "cli/clips.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "cli/pictures.h"
#include "formats/model_config.h"
#include "formats/processor_config.h"
#include "ledger/stage.h"
#include "media/frame_list.h"
#include "media/frame_sampling.h"
#include "media/video_source.h"
#include "vision/image_processor.h"

namespace eyeshot::cli {
namespace {

constexpr int kMostFrames = static_cast<int>(limits::kMaxFramesPerPrompt);

bool IsFrameCount(const std::string& text) {
  int count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  return error == std::errc() && end == text.data() + text.size() && count >= 1 && count <= kMostFrames;
}

std::string CheckMaxFrames(const std::string& text) {
  if (text == "auto" || IsFrameCount(text)) return "";
  return fmt::format("'{}' is neither auto nor a number from 1 to {}", text, kMostFrames);
}

std::string CheckClock(const std::string& text) {
  const Result<double> seconds = media::ParseClock(text);
  return seconds.ok() ? "" : seconds.status().message();
}

// A text that can be a list of frames: pictures and videos have zero bytes or control characters near their start.
bool LooksLikeText(const std::vector<uint8_t>& head) {
  return std::none_of(head.begin(), head.end(),
                      [](uint8_t byte) { return byte < 0x20 && byte != '\n' && byte != '\r' && byte != '\t'; });
}

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, std::max<size_t>(slash, 1));
}

// The frames that an argument of --frames stands for: a folder's, a list's, or itself.
Result<std::vector<media::FrameFile>> ExpandFrames(const std::string& path) {
  if (IsDirectory(path)) return media::ListFrames(path);
  const std::vector<media::FrameFile> alone = {{path, std::nullopt}};
  if (path == "-") return alone;
  constexpr size_t kHead = 512;
  EYESHOT_ASSIGN_OR_RETURN(const media::ByteSource file, media::ByteSource::Open(path, limits::kMaxVideoBytes));
  if (file.size() == 0 || !LooksLikeText(file.Head(kHead))) return alone;
  EYESHOT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, limits::kMaxFrameListBytes));
  Result<std::vector<media::FrameFile>> frames = media::ParseFrameList(text, FolderOf(path));
  return frames.ok() ? std::move(frames) : Result<std::vector<media::FrameFile>>(frames.status().At(path));
}

// How long frames with times last: the last one is shown as long as those before it on average, a single one 1 / fps.
double LengthOf(const std::vector<media::FrameFile>& files, double fps) {
  const double last = *files.back().seconds;
  if (files.size() == 1) return last + 1 / fps;
  const double span = last - *files.front().seconds;
  return span > 0 ? last + span / static_cast<double>(files.size() - 1) : last + 1 / fps;
}

double SecondsOf(const Ledger& ledger, StageId stage) { return static_cast<double>(ledger.cost(stage).wall_ns) * 1e-9; }

// How many frames have so many visual tokens, by config.json or else by what processor_config.json says of a tile.
Result<int64_t> FramesOfTokens(int64_t tokens, const std::string& dir, int64_t per_frame) {
  if (FileExists(JoinPath(dir, "config.json"))) {
    EYESHOT_ASSIGN_OR_RETURN(const ModelConfig model, LoadModelConfig(dir));
    per_frame = model.visual_tokens_per_tile();
  }
  if (per_frame > 0 && tokens >= per_frame) return tokens / per_frame;
  return InvalidArgumentError(fmt::format("--clip-tokens {}, and one frame has {} visual tokens", tokens, per_frame),
                              "give at least as many");
}

}  // namespace

void AddClipFlags(CLI::App& command, ClipFlags& flags) {
  command.add_flag("--frames", flags.frames,
                   "The pictures are the frames of one clip, in order; also a folder, or a text that lists them");
  command
      .add_option("--fps", flags.fps,
                  "Frames taken a second of a video (without it the model's rate); with "
                  "--frames the clip's rate (without it 1)")
      ->check(CLI::Range(1e-3, 1e3))
      ->type_name("F");
  command
      .add_option("--max-frames", flags.max_frames,
                  "Most frames of a clip: a number (without it the model's), or auto for as many as fit")
      ->check(CLI::Validator(CheckMaxFrames, ""))
      ->type_name("N|auto");
  command.add_option("--clip-tokens", flags.clip_tokens, "Most visual tokens of a clip: fewer frames are taken")
      ->check(CLI::Range(int64_t{1}, limits::kMaxContext))
      ->type_name("N");
  command.add_option("--from", flags.from, "Where in the video to begin: seconds or mm:ss")
      ->check(CLI::Validator(CheckClock, ""))
      ->type_name("T");
  command.add_option("--to", flags.to, "Where in the video to end")
      ->check(CLI::Validator(CheckClock, ""))
      ->type_name("T");
  command.add_option("--sample", flags.sample, "uniform (the reference's frames) or scene (where scenes change)")
      ->check(CLI::IsMember({"uniform", "scene"}))
      ->capture_default_str()
      ->type_name("HOW");
  command.add_flag("--still", flags.still, "Take a moving GIF as a picture, its first frame");
}

// Bytes of a file or of standard input.
struct MediaReader::Source {
  std::string path;
  std::vector<uint8_t> bytes;  // of standard input
  bool from_input = false;
};

Result<VideoOptions> MediaReader::Options() {
  EYESHOT_ASSIGN_OR_RETURN(const FoundModel found, FindModel(model_.model));
  EYESHOT_ASSIGN_OR_RETURN(ImageProcessorConfig config, ProcessorOf(model_, found.dir));
  if (model_.frame_edge != 0) config.video_longest_edge = model_.frame_edge;
  EYESHOT_ASSIGN_OR_RETURN(const ImageProcessor processor, ImageProcessor::Create(config));
  VideoOptions options = processor.VideoDefaults(model_.threads);
  if (flags_.fps) options.fps = *flags_.fps;
  if (flags_.fits_context()) {
    options.max_frames = kMostFrames;
  } else if (!flags_.max_frames.empty()) {
    options.max_frames = std::stoi(flags_.max_frames);
  }
  if (!flags_.from.empty()) {
    EYESHOT_ASSIGN_OR_RETURN(options.from_s, media::ParseClock(flags_.from));
  }
  if (!flags_.to.empty()) {
    EYESHOT_ASSIGN_OR_RETURN(options.to_s, media::ParseClock(flags_.to));
  }
  if (flags_.sample == "scene") options.sampling = FrameSampling::kScene;
  if (flags_.clip_tokens > 0) {
    EYESHOT_ASSIGN_OR_RETURN(const int64_t most, FramesOfTokens(flags_.clip_tokens, found.dir, config.image_seq_len));
    options.max_frames = static_cast<int>(std::min<int64_t>(options.max_frames, most));
  }
  // Turning frames into tiles has a stage of its own.
  options.prepare = [this, tile = options.prepare](const Image& image) {
    Stage stage(ledger_, StageId::kPreprocess);
    stage.AddBytes(image.rgb.size());
    return tile(image);
  };
  return options;
}

// With --max-frames auto, as many frames as fit, of those that would be taken otherwise.
Status MediaReader::Limit(double duration_s, VideoOptions& options, Clip& clip) {
  if (!flags_.fits_context() || !fit_) return Status::Ok();
  EYESHOT_ASSIGN_OR_RETURN(const int fit, fit_(duration_s, options.max_frames));
  if (fit == 0) {
    return ContextFullError("not one frame of the clip fits into the context",
                            "enlarge the context, or ask a shorter question");
  }
  clip.fit_context = true;
  options.max_frames = fit;
  return Status::Ok();
}

Result<Clip> MediaReader::ReadVideo(const Source& source) {
  EYESHOT_ASSIGN_OR_RETURN(VideoOptions options, Options());
  Clip clip;
  const std::string name = source.from_input ? "standard input" : source.path;
  const auto start = std::chrono::steady_clock::now();
  const double preprocess_before = SecondsOf(ledger_, StageId::kPreprocess);
  if (flags_.fits_context()) {
    EYESHOT_ASSIGN_OR_RETURN(const VideoInfo info, source.from_input ? InspectVideo(source.bytes, name, options.limits)
                                                                     : InspectVideo(name, options.limits));
    EYESHOT_RETURN_IF_ERROR(Limit(info.duration_s, options, clip));
  }
  EYESHOT_ASSIGN_OR_RETURN(Frames frames,
                           source.from_input ? DecodeVideo(source.bytes, name, options) : LoadVideo(name, options));
  const std::chrono::duration<double> all = std::chrono::steady_clock::now() - start;
  const double decoding = all.count() - (SecondsOf(ledger_, StageId::kPreprocess) - preprocess_before);
  const uint64_t pixels = static_cast<uint64_t>(frames.source.width) * static_cast<uint64_t>(frames.source.height);
  ledger_.Add(StageId::kDecodeImage, {.wall_ns = static_cast<uint64_t>(std::max(decoding, 0.0) * 1e9),
                                      .bytes = frames.images.size() * pixels * 3,
                                      .runs = 1});
  clip.frames = std::make_shared<const Frames>(std::move(frames));
  clip.fps = options.fps;
  clip.max_frames = options.max_frames;
  clip.sampling = flags_.sample;
  return clip;
}

// Gives frames without a time one, at `fps` frames a second.
Status MediaReader::SetTimes(std::vector<media::FrameFile>& files) const {
  const bool timed = files.front().seconds.has_value();
  if (timed && flags_.fps) {
    return InvalidArgumentError("--fps, and a list with a time for each frame", "leave one of them out");
  }
  for (size_t i = 0; i < files.size(); ++i) {
    if (files[i].seconds.has_value() != timed) {
      return InvalidArgumentError("some frames have a time and others don't", "give all of them one, or none");
    }
    if (!timed) files[i].seconds = static_cast<double>(i) / flags_.fps.value_or(1);
    if (i > 0 && *files[i].seconds < *files[i - 1].seconds) {
      return InvalidArgumentError(fmt::format("{}: it is shown before the frame before it", files[i].path),
                                  "name the frames in the order in which they are shown");
    }
  }
  return Status::Ok();
}

// Which of so many frames are taken: all, or evenly as many as the flags allow.
Result<std::vector<int64_t>> MediaReader::ChooseFrames(int64_t count, double duration_s, VideoOptions& options,
                                                       Clip& clip) {
  const bool limited = !flags_.max_frames.empty() || flags_.clip_tokens > 0;
  if (!limited && count > kMostFrames) {
    return LimitError(fmt::format("{} frames, the limit is {}", count, kMostFrames),
                      "take fewer of them: --max-frames N");
  }
  int wanted = static_cast<int>(std::min<int64_t>(count, kMostFrames));
  if (limited) {
    EYESHOT_RETURN_IF_ERROR(Limit(duration_s, options, clip));
    clip.max_frames = options.max_frames;
    wanted = std::min(wanted, options.max_frames);
  }
  clip.sampling = wanted < count ? "uniform" : "all";
  return media::UniformFrames(count, wanted, /*stream_fps=*/1, /*fps=*/1, wanted, /*skip_ends=*/false);
}

Result<Clip> MediaReader::ReadFrames(const std::vector<std::string>& paths) {
  if (!flags_.from.empty() || !flags_.to.empty() || flags_.sample != "uniform") {
    return InvalidArgumentError("--from, --to and --sample with --frames",
                                "they are about videos: name the pictures that you mean");
  }
  std::vector<media::FrameFile> files;
  for (const std::string& path : paths) {
    EYESHOT_ASSIGN_OR_RETURN(const std::vector<media::FrameFile> more, ExpandFrames(path));
    files.insert(files.end(), more.begin(), more.end());
  }
  EYESHOT_RETURN_IF_ERROR(SetTimes(files));
  EYESHOT_ASSIGN_OR_RETURN(VideoOptions options, Options());
  Clip clip;
  clip.fps = flags_.fps.value_or(1);
  Frames frames;
  frames.tile_side = options.tile_side;
  frames.duration_s = LengthOf(files, clip.fps);
  frames.source.container = "pictures";
  frames.source.frames = static_cast<int64_t>(files.size());
  frames.source.duration_s = frames.duration_s;
  frames.source.fps = static_cast<double>(files.size()) / frames.duration_s;
  EYESHOT_ASSIGN_OR_RETURN(frames.indices, ChooseFrames(frames.source.frames, frames.duration_s, options, clip));
  for (const int64_t index : frames.indices) {
    const media::FrameFile& file = files[static_cast<size_t>(index)];
    EYESHOT_ASSIGN_OR_RETURN(const Image image, ReadPicture(file.path, decoding_, ledger_));
    EYESHOT_ASSIGN_OR_RETURN(Image tile, options.prepare(image));
    if (frames.images.empty()) {
      frames.source.width = image.width;
      frames.source.height = image.height;
    }
    frames.images.push_back(std::move(tile));
    frames.timestamps_s.push_back(*file.seconds);
  }
  clip.frames = std::make_shared<const Frames>(std::move(frames));
  return clip;
}

Result<ContentPart> MediaReader::ReadOne(const std::string& path) {
  Source source{path, {}, path == "-"};
  MediaKind kind = MediaKind::kPicture;
  if (source.from_input) {
    EYESHOT_ASSIGN_OR_RETURN(source.bytes, ReadStandardInput());
    kind = DetectMedia(source.bytes);
  } else if (IsDirectory(path)) {
    return InvalidArgumentError(fmt::format("{}: is a folder, not a picture", path),
                                "if its pictures are the frames of a clip, say --frames");
  } else {
    EYESHOT_ASSIGN_OR_RETURN(kind, DetectMedia(path));
  }
  if (kind == MediaKind::kVideo && !flags_.still) {
    EYESHOT_ASSIGN_OR_RETURN(Clip clip, ReadVideo(source));
    clips_.push_back(clip);
    return ContentPart(clip.frames);
  }
  Result<Image> image = source.from_input ? DecodePicture(source.bytes, "standard input", decoding_, ledger_)
                                          : ReadPicture(path, decoding_, ledger_);
  if (!image.ok()) return image.status();
  return ContentPart(std::make_shared<const Image>(*std::move(image)));
}

Result<std::vector<ContentPart>> MediaReader::Read(const std::vector<std::string>& paths) {
  clips_.clear();
  if (std::count(paths.begin(), paths.end(), "-") > 1) {
    return InvalidArgumentError("'-' stands twice among the pictures", "standard input holds one picture");
  }
  std::vector<ContentPart> parts;
  if (flags_.frames) {
    EYESHOT_ASSIGN_OR_RETURN(Clip clip, ReadFrames(paths));
    parts.emplace_back(clip.frames);
    clips_.push_back(std::move(clip));
    return parts;
  }
  for (const std::string& path : paths) {
    EYESHOT_ASSIGN_OR_RETURN(ContentPart part, ReadOne(path));
    parts.push_back(std::move(part));
  }
  return parts;
}

std::string ClipSummary(const Clip& clip) {
  const Frames& frames = *clip.frames;
  const VideoInfo& source = frames.source;
  std::string text = fmt::format("{} of {} frames ({}", frames.images.size(), source.frames, source.container);
  if (!source.codec.empty()) text += fmt::format(", {}", source.codec);
  text +=
      fmt::format(", {} x {}, {:.4g} s, {:.4g} a second)", source.width, source.height, source.duration_s, source.fps);
  if (clip.sampling == "all") return text;
  if (clip.sampling == "scene") text += ", at changes of scene";
  if (source.container != "pictures") text += fmt::format(", {:.4g} a second", clip.fps);
  text += fmt::format(", at most {}", clip.max_frames);
  if (clip.fit_context) text += ", which is what fits into the context";
  return text;
}

OrderedJson ClipJson(const Clip& clip) {
  const Frames& frames = *clip.frames;
  const VideoInfo& source = frames.source;
  OrderedJson json = {{"frames", frames.images.size()},
                      {"indices", frames.indices},
                      {"timestamps_s", frames.timestamps_s},
                      {"duration_s", frames.duration_s},
                      {"sampling", clip.sampling},
                      {"fps", clip.fps},
                      {"max_frames", nullptr},
                      {"fit_context", clip.fit_context},
                      {"source",
                       {{"container", source.container},
                        {"codec", source.codec},
                        {"width", source.width},
                        {"height", source.height},
                        {"rotation", source.rotation},
                        {"frames", source.frames},
                        {"fps", source.fps},
                        {"duration_s", source.duration_s}}}};
  if (clip.max_frames > 0) json["max_frames"] = clip.max_frames;
  return json;
}

}  // namespace eyeshot::cli
