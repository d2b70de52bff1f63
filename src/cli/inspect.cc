// eyeshot inspect: what a model is, or what it sees of a picture.
#include "cli/inspect.h"

#include <CLI/CLI.hpp>
#include <memory>

#include "base/error.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/generation_flags.h"
#include "cli/help.h"
#include "cli/pictures.h"
#include "cli/report.h"
#include "formats/gguf_model.h"
#include "hub/repository.h"

namespace eyeshot::cli {
namespace {

// A name of the hub whose model is in the cache becomes its folder; all else stays as it is.
void ResolveTarget(InspectFlags& flags) {
  if (FileExists(flags.target) || IsDirectory(flags.target) || !LooksLikeRepository(flags.target)) return;
  if (const Result<FoundModel> found = FindModel(flags.target); found.ok()) flags.target = found->dir;
}

// Standard input can be read once: it counts as a picture.
Result<bool> IsClip(const InspectFlags& flags) {
  if (flags.clip.frames) return true;
  if (flags.clip.still || flags.target == "-") return false;
  EYESHOT_ASSIGN_OR_RETURN(const MediaKind kind, DetectMedia(flags.target));
  return kind == MediaKind::kVideo;
}

int RunInspect(InspectFlags flags) {
  ResolveTarget(flags);
  const bool is_model = !flags.clip.frames && (IsDirectory(flags.target) || IsGgufModel(flags.target));
  if (is_model &&
      (!flags.question.empty() || !flags.tiles_out.empty() || flags.detail != PictureDetail() || flags.jpeg_scaling)) {
    ReportError(InvalidArgumentError(fmt::format("'{}' is a model, and --question, --tiles, --detail "
                                                 "and --jpeg-scaling are about pictures",
                                                 flags.target),
                                     "name a picture, or leave them out"),
                flags.json);
    return kExitUsage;
  }
  if (!is_model && flags.plan) {
    ReportError(InvalidArgumentError(fmt::format("'{}' is a picture, --plan is about models", flags.target),
                                     "name a model, or leave --plan out"),
                flags.json);
    return kExitUsage;
  }
  const Result<bool> is_clip = is_model ? Result<bool>(false) : IsClip(flags);
  if (!is_clip.ok()) return ReportError(is_clip.status(), flags.json);
  const Status status = *is_clip     ? InspectClip(flags)
                        : !is_model  ? InspectImage(flags)
                        : flags.plan ? InspectPlan(flags)
                                     : InspectModel(flags);
  return status.ok() ? kExitOk : ReportError(status, flags.json);
}

}  // namespace

void AddInspectCommand(CLI::App& program, int& exit_code) {
  auto flags = std::make_shared<InspectFlags>();
  CLI::App* command = program.add_subcommand("inspect", "Show what a model is, or what it sees of a picture or video");
  SetUsage(*command, "eyeshot inspect [OPTIONS] MODEL|FILE [QUESTION]");
  command
      ->add_option("target", flags->target,
                   "A model (folder, GGUF file, or name of a pulled one), a picture (- is standard input) or a video; "
                   "with --frames a folder or list")
      ->required()
      ->type_name("MODEL|FILE");
  command->add_option("--question,question", flags->question, "The question that the prompt of a picture shall ask")
      ->type_name("TEXT");
  AddModelFlags(*command, flags->model);
  command->add_option("--tiles", flags->tiles_out, "Draw the tiles of a picture, or the frames of a clip, into a PNG")
      ->type_name("OUT.png");
  AddDetailFlag(*command, flags->detail);
  AddJpegScalingFlag(*command, flags->jpeg_scaling);
  AddClipFlags(*command, flags->clip);
  command->add_flag("--plan", flags->plan, "What each part of a model takes in memory, in every precision");
  command->add_flag("--json", flags->json, "Print one JSON object");
  command->footer(R"(Examples:
  eyeshot inspect models/eyeshot-tiny               shapes, parameters, memory plan (reads headers only)
  eyeshot inspect MODEL --plan --context 2048       the memory plan in every precision
  eyeshot inspect receipt.png --tiles tiles.png     the tiles that the model sees, drawn
  eyeshot inspect clip.mp4 --fps 2                  frames and their times, tokens and the prompt
  eyeshot inspect receipt.png --json --question "What is the total?" --model DIR

For a picture, DIR needs its preprocessor and processor files for the tiles, config.json for patches,
and the tokenizer's files for the prompt; what is missing is left out.)");
  command->callback([flags, &exit_code] { exit_code = RunInspect(*flags); });
}

}  // namespace eyeshot::cli
