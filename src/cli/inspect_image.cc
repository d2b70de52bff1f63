#include <fmt/format.h>

#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"
#include "base/threads.h"
#include "cli/inspect.h"
#include "cli/pictures.h"
#include "cli/png_writer.h"
#include "cli/report.h"
#include "cli/tile_picture.h"
#include "formats/model_config.h"
#include "formats/processor_config.h"
#include "text/prompt.h"
#include "text/tokenizer.h"
#include "vision/image_processor.h"

namespace eyeshot::cli {
namespace {

struct PictureReport {
  Tiles tiles;
  int64_t tokens_per_tile = 0;         // 0: no file says
  std::optional<ModelConfig> config;   // where the folder has one
  std::optional<Prompt> prompt;        // where the folder has a tokenizer
};

Result<Prompt> RenderPrompt(const PromptFormat& format, const TileGrid& grid, const std::string& question) {
  PromptMessage message{Role::kUser, {PromptImage{grid.rows, grid.cols}}};
  if (!question.empty()) message.parts.emplace_back(question);
  return format.Render(std::span(&message, 1), true);
}

Result<PictureReport> Examine(const InspectFlags& flags) {
  Ledger ledger;
  EYESHOT_ASSIGN_OR_RETURN(const DecodeOptions decoding,
                           PictureDecoding(flags.model, flags.jpeg_scaling, flags.detail));
  EYESHOT_ASSIGN_OR_RETURN(const Image image, ReadPicture(flags.target, decoding, ledger));
  EYESHOT_ASSIGN_OR_RETURN(const FoundModel model, FindModel(flags.model.model));
  EYESHOT_ASSIGN_OR_RETURN(ImageProcessorConfig processing, ProcessorOf(flags.model, model.dir));
  processing.pillow13_order = flags.model.pillow13;
  EYESHOT_ASSIGN_OR_RETURN(const ImageProcessor processor, ImageProcessor::Create(processing));

  PictureReport report;
  ThreadPool pool(flags.model.threads);
  EYESHOT_ASSIGN_OR_RETURN(const TileBudget budget, processor.Budget(image, flags.detail));
  EYESHOT_RETURN_IF_ERROR(processor.Append(image, budget, pool, report.tiles));
  EYESHOT_ASSIGN_OR_RETURN(const PromptParts parts, ReadPromptParts(flags.model, model.dir, processing));
  report.config = parts.config;
  report.tokens_per_tile = parts.tokens_per_tile;
  if (parts.format) {
    EYESHOT_ASSIGN_OR_RETURN(report.prompt, RenderPrompt(*parts.format, report.tiles.grids.front(), flags.question));
  } else if (!flags.question.empty()) {
    return NotFoundError(fmt::format("{}: no tokenizer.json, which the prompt of a question needs", model.dir),
                         "add the tokenizer's files, or ask without --question");
  }
  return report;
}

void PrintPictureJson(const PictureReport& report, bool with_question) {
  const TileGrid& grid = report.tiles.grids.front();
  OrderedJson json = {{"width", grid.width},   {"height", grid.height},    {"rows", grid.rows},    {"cols", grid.cols},
                      {"tiles", grid.tiles()}, {"visual_tokens", nullptr}, {"prompt_ids", nullptr}};
  if (report.tokens_per_tile > 0) json["visual_tokens"] = grid.tiles() * report.tokens_per_tile;
  if (report.prompt && with_question) json["prompt_ids"] = report.prompt->ids;
  json["tiles_sha256"] = Sha256Hex(report.tiles.rgb);
  json["tile_side"] = report.tiles.side;
  json["resized_width"] = grid.resized_width;
  json["resized_height"] = grid.resized_height;
  PrintJson(json);
}

void PrintPictureText(const PictureReport& report) {
  const TileGrid& grid = report.tiles.grids.front();
  fmt::print("picture   {} x {} pixels\n", grid.width, grid.height);
  if (grid.rows > 0) {
    fmt::print("resized   {} x {}, cut into {} row{} x {} column{} of {} x {} pixels, and the global view\n",
               grid.resized_width, grid.resized_height, grid.rows, grid.rows == 1 ? "" : "s", grid.cols,
               grid.cols == 1 ? "" : "s", report.tiles.side, report.tiles.side);
  } else {
    fmt::print("resized   to one view of {} x {} pixels\n", report.tiles.side, report.tiles.side);
  }
  fmt::print("tiles     {}, sha256 {}\n", grid.tiles(), Sha256Hex(report.tiles.rgb));
  if (report.config) {
    const ModelConfig& config = *report.config;
    const int64_t s = config.scale_factor;
    fmt::print("patches   {} a tile ({} x {} pixels each), {} in all\n", config.vision.patches(),
               config.vision.patch_size, config.vision.patch_size, grid.tiles() * config.vision.patches());
    fmt::print("tokens    {} a tile after the pixel shuffle of {} x {}\n", config.visual_tokens_per_tile(), s, s);
  }
  if (report.tokens_per_tile > 0) fmt::print("visual    {} tokens in all\n", grid.tiles() * report.tokens_per_tile);
  if (!report.prompt) return;
  fmt::print("\nprompt, {} tokens:\n{}\n\nids:\n{}\n", report.prompt->ids.size(), ShortPrompt(report.prompt->text),
             ShortIds(report.prompt->ids));
}

}  // namespace

std::string ShortPrompt(const std::string& text) {
  constexpr std::string_view kToken = "<image>";
  std::string shortened;
  size_t at = 0;
  while (at < text.size()) {
    size_t count = 0;
    while (text.compare(at + count * kToken.size(), kToken.size(), kToken) == 0) ++count;
    if (count > 0) {
      shortened += fmt::format("{}*{}", kToken, count);
      at += count * kToken.size();
    } else {
      shortened += text[at++];
    }
  }
  return shortened;
}

std::string ShortIds(const std::vector<int32_t>& ids) {
  std::string line;
  for (size_t i = 0; i < ids.size();) {
    size_t end = i;
    while (end < ids.size() && ids[end] == ids[i]) ++end;
    line += end - i > 1 ? fmt::format("{}*{} ", ids[i], end - i) : fmt::format("{} ", ids[i]);
    i = end;
  }
  return line;
}

Status InspectImage(const InspectFlags& flags) {
  EYESHOT_ASSIGN_OR_RETURN(const PictureReport report, Examine(flags));
  if (!flags.tiles_out.empty()) EYESHOT_RETURN_IF_ERROR(WritePng(DrawTiles(report.tiles), flags.tiles_out));
  if (flags.json) {
    PrintPictureJson(report, !flags.question.empty());
  } else {
    PrintPictureText(report);
    if (!flags.tiles_out.empty()) fmt::print("\ntiles drawn into {}\n", flags.tiles_out);
  }
  return Status::Ok();
}

}  // namespace eyeshot::cli
