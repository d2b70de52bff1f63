// What a model sees of a clip: which frames, at which times, in how many tokens, and the prompt.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"
#include "cli/clips.h"
#include "cli/inspect.h"
#include "cli/png_writer.h"
#include "cli/report.h"
#include "formats/model_config.h"
#include "formats/processor_config.h"
#include "text/prompt.h"
#include "text/tokenizer.h"

namespace eyeshot::cli {
namespace {

// What the folder of a model says of tokens and prompts; a folder may have processor files alone.
struct ModelFiles {
  std::string dir;
  int64_t tokens_per_frame = 0;  // 0: no file says
  int64_t context = 0;           // 0: no file says
  std::optional<PromptFormat> format;
};

Result<ModelFiles> ReadModelFiles(const ModelFlags& flags) {
  ModelFiles files;
  EYESHOT_ASSIGN_OR_RETURN(const FoundModel model, FindModel(flags.model));
  files.dir = model.dir;
  EYESHOT_ASSIGN_OR_RETURN(const ImageProcessorConfig processing, ProcessorOf(flags, model.dir));
  EYESHOT_ASSIGN_OR_RETURN(PromptParts parts, ReadPromptParts(flags, model.dir, processing));
  files.tokens_per_frame = parts.tokens_per_tile;
  files.context = flags.context;
  if (parts.config && files.context == 0) files.context = parts.config->text.max_positions;
  files.format = std::move(parts.format);
  return files;
}

PromptMessage Message(std::vector<double> timestamps_s, double duration_s, const std::string& question) {
  PromptMessage message{Role::kUser, {PromptVideo{std::move(timestamps_s), duration_s}}};
  if (!question.empty()) message.parts.emplace_back(question);
  return message;
}

struct ClipReport {
  Clip clip;
  ModelFiles files;
  std::optional<Prompt> prompt;
  std::string sha256;  // of the frames' tiles
};

Result<ClipReport> Examine(const InspectFlags& flags) {
  ClipReport report;
  EYESHOT_ASSIGN_OR_RETURN(report.files, ReadModelFiles(flags.model));
  const ModelFiles& files = report.files;
  const auto fit = [&](double duration_s, int most) -> Result<int> {
    if (!files.format || files.context == 0) {
      return NotFoundError(fmt::format("{}: no tokenizer and config.json, which --max-frames auto needs", files.dir),
                           "add them, or give a number of frames");
    }
    const std::vector<double> times(static_cast<size_t>(most), duration_s);
    return files.format->FramesThatFit({Message(times, duration_s, flags.question)}, files.context - 1);
  };
  Ledger ledger;
  MediaReader reader(flags.model, flags.clip, {}, ledger, fit);
  EYESHOT_ASSIGN_OR_RETURN(const std::vector<ContentPart> parts, reader.Read({flags.target}));
  report.clip = reader.clips().front();
  const Frames& frames = *report.clip.frames;
  std::vector<uint8_t> tiles;
  for (const Image& image : frames.images) tiles.insert(tiles.end(), image.rgb.begin(), image.rgb.end());
  report.sha256 = Sha256Hex(tiles);
  if (files.format) {
    const std::vector<PromptMessage> messages = {Message(frames.timestamps_s, frames.duration_s, flags.question)};
    EYESHOT_ASSIGN_OR_RETURN(report.prompt, files.format->Render(messages, true));
  } else if (!flags.question.empty()) {
    return NotFoundError(fmt::format("{}: no tokenizer.json, which the prompt of a question needs", files.dir),
                         "add the tokenizer's files, or ask without --question");
  }
  return report;
}

void PrintClipJson(const ClipReport& report, bool with_question) {
  const Frames& frames = *report.clip.frames;
  OrderedJson json = ClipJson(report.clip);
  json["tile_side"] = frames.tile_side;
  json["tiles_sha256"] = report.sha256;
  json["visual_tokens"] = nullptr;
  json["prompt_tokens"] = nullptr;
  json["context_tokens"] = nullptr;
  json["prompt_ids"] = nullptr;
  const auto count = static_cast<int64_t>(frames.images.size());
  if (report.files.tokens_per_frame > 0) json["visual_tokens"] = count * report.files.tokens_per_frame;
  if (report.files.context > 0) json["context_tokens"] = report.files.context;
  if (report.prompt) json["prompt_tokens"] = report.prompt->ids.size();
  if (report.prompt && with_question) json["prompt_ids"] = report.prompt->ids;
  PrintJson(json);
}

void PrintClipText(const ClipReport& report) {
  const Frames& frames = *report.clip.frames;
  const VideoInfo& source = frames.source;
  fmt::print("clip      {}\n", ClipSummary(report.clip));
  if (source.rotation != 0) fmt::print("turned    {} degrees clockwise\n", source.rotation);
  fmt::print("frames    one view of {} x {} pixels each, sha256 {}\n", frames.tile_side, frames.tile_side,
             report.sha256);
  fmt::print("\n{:>6} {:>9} {:>10}\n", "", "frame", "second");
  for (size_t i = 0; i < frames.images.size(); ++i) {
    fmt::print("{:>6} {:>9} {:>10.3f}\n", i + 1, frames.indices[i], frames.timestamps_s[i]);
  }
  const auto count = static_cast<int64_t>(frames.images.size());
  const ModelFiles& files = report.files;
  if (files.tokens_per_frame > 0) {
    fmt::print("\nvisual    {} tokens, {} a frame\n", count * files.tokens_per_frame, files.tokens_per_frame);
  }
  if (!report.prompt) return;
  const auto tokens = static_cast<int64_t>(report.prompt->ids.size());
  if (files.context > 0) {
    fmt::print("prompt    {} of {} tokens{}\n", tokens, files.context,
               tokens < files.context ? ""
                                      : ": it does not fit; --max-frames auto takes what fits, ask --detail auto takes "
                                        "fewer visual tokens of each");
  }
  fmt::print("\nprompt, {} tokens:\n{}\n\nids:\n{}\n", tokens, ShortPrompt(report.prompt->text),
             ShortIds(report.prompt->ids));
}

// The frames' tiles one below the other, in as many columns as make the picture about square.
Image ContactSheet(const Frames& frames) {
  const auto count = static_cast<int>(frames.images.size());
  int columns = 1;
  while (columns * columns < count) ++columns;
  const int rows = (count + columns - 1) / columns;
  const int side = frames.tile_side;
  Image sheet;
  sheet.width = columns * side;
  sheet.height = rows * side;
  sheet.rgb.resize(static_cast<size_t>(sheet.width) * static_cast<size_t>(sheet.height) * 3);
  const auto row_bytes = static_cast<size_t>(side) * 3;
  for (int i = 0; i < count; ++i) {
    const std::vector<uint8_t>& from = frames.images[static_cast<size_t>(i)].rgb;
    for (int y = 0; y < side; ++y) {
      const size_t at = (static_cast<size_t>(i / columns * side + y) * static_cast<size_t>(columns) +
                         static_cast<size_t>(i % columns)) *
                        row_bytes;
      std::copy_n(from.begin() + static_cast<std::ptrdiff_t>(static_cast<size_t>(y) * row_bytes), row_bytes,
                  sheet.rgb.begin() + static_cast<std::ptrdiff_t>(at));
    }
  }
  return sheet;
}

}  // namespace

Status InspectClip(const InspectFlags& flags) {
  EYESHOT_ASSIGN_OR_RETURN(const ClipReport report, Examine(flags));
  if (!flags.tiles_out.empty()) {
    EYESHOT_RETURN_IF_ERROR(WritePng(ContactSheet(*report.clip.frames), flags.tiles_out));
  }
  if (flags.json) {
    PrintClipJson(report, !flags.question.empty());
  } else {
    PrintClipText(report);
    if (!flags.tiles_out.empty()) fmt::print("\nframes drawn into {}\n", flags.tiles_out);
  }
  return Status::Ok();
}

}  // namespace eyeshot::cli
