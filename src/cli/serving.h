// What `serve` and `batch` have in common: a model behind a scheduler, and where requests may take media from.
#ifndef EYESHOT_CLI_SERVING_H_
#define EYESHOT_CLI_SERVING_H_

#include <memory>
#include <string>
#include <vector>

#include "cli/governor_flags.h"
#include "cli/model_flags.h"
#include "eyeshot/engine.h"
#include "eyeshot/scheduler.h"
#include "kernels/backend.h"
#include "server/media_loader.h"
#include "server/request_plan.h"

namespace eyeshot::cli {

// What a model is served with.
struct ServingOptions {
  ModelFlags model;
  GovernorFlags governor;
  SchedulerOptions scheduler;
  bool jpeg_scaling = false;
};

// --parallel, --cache-tokens, --image-cache, --phase-ms; those of the model, of governors, and --jpeg-scaling
void AddServingFlags(CLI::App& command, ServingOptions& options);

// --allow-host, --allow-files, --max-pixels. `files` says what is allowed without --allow-files.
void AddMediaFlags(CLI::App& command, server::MediaOptions& options, const char* files);

// --max-body; what stays without it is `bytes`.
void AddBodyFlag(CLI::App& command, uint64_t& bytes);

// Whether the folder of --allow-files is one. Error: kNotFound.
Status CheckAllowedFolder(const server::MediaOptions& options);

// In the order in which they need each other.
struct ServedModel {
  std::shared_ptr<Engine> engine;
  std::unique_ptr<Governor> governor;
  std::unique_ptr<Scheduler> scheduler;
  server::MediaNeeds media;
};

// What budgets of requests are planned with.
struct RequestPlanFlags {
  double watts = 0;  // of this machine at work; 0: as calibration found it
  std::vector<std::string> points;  // files of what was measured
};
// --watts, --points
void AddRequestPlanFlags(CLI::App& command, RequestPlanFlags& flags);
// Whether the files can be read, before a model is loaded.
Status CheckRequestPlanFlags(const RequestPlanFlags& flags);
// Uses the model's backend, and must not outlive it. An error is that of requests with a budget: on a GPU, and where
// this machine was not measured.
server::RequestPlanner PlannerFor(const Engine& engine, const Backend& backend, const ModelFlags& flags,
                                  const RequestPlanFlags& plan);

// The governor has begun, and is told of the scheduler's stages. Errors: those of LoadGoverned() and
// Scheduler::Create().
Result<ServedModel> LoadServedModel(const ServingOptions& options, bool chatty);

// Ends the scheduler, and puts clocks back. Error: of Governor::Finish(), whose Summary() may be asked for then.
Status EndServedModel(ServedModel& model);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_SERVING_H_
