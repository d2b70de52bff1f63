#include "cli/serving.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "cli/generation_flags.h"
#include "cli/pictures.h"
#include "cli/plan_points.h"
#include "cli/question_budget.h"

namespace eyeshot::cli {

namespace {

void AddSchedulerFlags(CLI::App& command, SchedulerOptions& options) {
  command.add_option("--parallel", options.sequences, "Answers that are written side by side, at most")
      ->check(CLI::PositiveNumber)
      ->capture_default_str()
      ->type_name("N");
  command
      .add_option("--cache-tokens", options.cache_tokens,
                  "Tokens of the cache that all answers share; 0: one context, and 1,024 for each other")
      ->check(CLI::NonNegativeNumber)
      ->type_name("N");
  command.add_option("--image-cache", options.image_cache_bytes, "Memory for encoded pictures, as 256M; 0: none")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/false))
      ->type_name("BYTES");
  AddPhaseFlag(command, options.phase_s);
  command.add_flag_callback(
      "--pictures-between-steps", [&options] { options.encode_beside = false; },
      "On a GPU: pictures in slices between steps of decoding, as on a CPU, not beside them");
}

}  // namespace

void AddServingFlags(CLI::App& command, ServingOptions& options) {
  AddModelFlags(command, options.model);
  AddGovernorFlags(command, options.governor);
  AddSchedulerFlags(command, options.scheduler);
  AddJpegScalingFlag(command, options.jpeg_scaling);
}

void AddMediaFlags(CLI::App& command, server::MediaOptions& options, const char* files) {
  command.add_option("--allow-host", options.allowed_hosts, "Fetch pictures from this host's URLs too")
      ->allow_extra_args(false)
      ->take_all()
      ->type_name("NAME");
  command
      .add_option("--allow-files", options.allowed_folder,
                  fmt::format("Read file:// URLs of pictures below this folder{}", files))
      ->type_name("DIR");
  command.add_option("--max-pixels", options.max_pixels, "Most pixels of a picture")
      ->check(CLI::Range(uint64_t{1}, limits::kMaxImagePixels))
      ->capture_default_str()
      ->type_name("N");
}

void AddBodyFlag(CLI::App& command, uint64_t& bytes) {
  command.add_option("--max-body", bytes, "Largest body of a request, as 64M")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/false))
      ->check(CLI::Range(uint64_t{1}, limits::kMaxBodyBytesOption))
      ->type_name("BYTES");
}

Status CheckAllowedFolder(const server::MediaOptions& options) {
  if (options.allowed_folder.empty() || IsDirectory(options.allowed_folder)) return Status::Ok();
  return NotFoundError(fmt::format("--allow-files names '{}', which is no folder", options.allowed_folder),
                       "name the folder whose files requests may show");
}

void AddRequestPlanFlags(CLI::App& command, RequestPlanFlags& flags) {
  AddWattsFlag(command, flags.watts);
  AddPointsFlag(command, flags.points);
}

Status CheckRequestPlanFlags(const RequestPlanFlags& flags) {
  plan::Knowledge knowledge;
  return ReadPoints(flags.points, knowledge);
}

server::RequestPlanner PlannerFor(const Engine& engine, const Backend& backend, const ModelFlags& flags,
                                  const RequestPlanFlags& plan) {
  const std::string& device = engine.info().device;
  if (device != "cpu") {
    return UnsupportedError(fmt::format("this model runs on {}, and a GPU's speed isn't known", device),
                            "leave the budget out, or use --device cpu");
  }
  Result<plan::ModelHere> here = FindModelHere(flags, backend, plan.watts, plan.points);
  if (!here.ok()) {
    const Status status = here.status();
    return Status(status.code(), status.found(), status.mend() + ", then start this program again");
  }
  return std::make_shared<plan::QuestionPlanner>(backend, *std::move(here));
}

Result<ServedModel> LoadServedModel(const ServingOptions& options, bool chatty) {
  ServedModel model;
  EYESHOT_ASSIGN_OR_RETURN(GovernedEngine governed, LoadGoverned(options.model, options.governor, chatty));
  model.engine = std::move(governed.engine);
  model.governor = std::move(governed.governor);
  SchedulerOptions scheduler = options.scheduler;
  scheduler.energy_sysfs = SysfsRoot();
  model.governor->Watch(scheduler);
  if (chatty && model.governor->follows_stages() && scheduler.phase_s == 0) {
    fmt::print(stderr,
               "note: --governor {} has another clock for each stage, and the stage changes with each step: "
               "--phase-ms gathers work of one stage\n",
               options.governor.governor);
  }
  EYESHOT_ASSIGN_OR_RETURN(model.scheduler, Scheduler::Create(model.engine, scheduler));
  model.media.has_vision = model.engine->info().has_vision;
  if (model.media.has_vision) model.media.video = model.engine->VideoDefaults();
  if (options.jpeg_scaling) {
    model.media.decoding = [engine = model.engine](const PictureDetail& detail) {
      return engine->ScaledDecoding(detail);
    };
  }
  return model;
}

Status EndServedModel(ServedModel& model) {
  model.scheduler.reset();
  return model.governor->Finish();
}

}  // namespace eyeshot::cli
