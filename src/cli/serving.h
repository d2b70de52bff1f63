// What `serve` and `batch` have in common: a model behind a scheduler, and where requests may take media from.
#ifndef EYESHOT_CLI_SERVING_H_
#define EYESHOT_CLI_SERVING_H_

#include <memory>

#include "cli/governor_flags.h"
#include "cli/model_flags.h"
#include "eyeshot/engine.h"
#include "eyeshot/scheduler.h"
#include "server/media_loader.h"

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

// The governor has begun, and is told of the scheduler's stages. Errors: those of LoadGoverned() and
// Scheduler::Create().
Result<ServedModel> LoadServedModel(const ServingOptions& options, bool chatty);

// Ends the scheduler, and puts clocks back. Error: of Governor::Finish(), whose Summary() may be asked for then.
Status EndServedModel(ServedModel& model);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_SERVING_H_
