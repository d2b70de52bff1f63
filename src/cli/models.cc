// eyeshot models: models that are known to run, and those that this machine has.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/help.h"
#include "cli/model_flags.h"
#include "cli/report.h"
#include "formats/gguf_model.h"
#include "formats/model_config.h"
#include "hub/cache.h"
#include "hub/known_models.h"
#include "hub/settings.h"
#include "models/model.h"

namespace eyeshot::cli {
namespace {

struct ModelsFlags {
  bool json = false;
};

struct ModelsReport {
  std::string cache;
  std::vector<CachedModel> cached;  // that can be run
  std::string built_in;             // its folder, or empty
};

// Whether a snapshot is of a family that there is; of GGUF files there may be several to choose from.
bool IsSupported(const CachedModel& model) {
  if (IsGgufModel(model.dir)) return true;
  const Result<ModelConfig> config = LoadModelConfig(model.dir);
  return config.ok() && FindModelFamily(config->model_type).ok();
}

std::vector<const CachedModel*> CachedOf(const ModelsReport& report, std::string_view id) {
  std::vector<const CachedModel*> found;
  for (const CachedModel& model : report.cached) {
    if (model.id == id) found.push_back(&model);
  }
  return found;
}

bool IsKnown(std::string_view id) {
  const auto known = KnownModels();
  return std::any_of(known.begin(), known.end(), [&](const KnownModel& model) { return model.id == id; });
}

OrderedJson CachedJson(const CachedModel& model) {
  return {{"id", model.id},
          {"revision", model.revision},
          {"commit", model.commit},
          {"dir", model.dir},
          {"bytes", model.bytes}};
}

void PrintModelsJson(const ModelsReport& report) {
  OrderedJson json = {{"cache", report.cache}};
  json["known"] = OrderedJson::array();
  for (const KnownModel& model : KnownModels()) {
    OrderedJson entry = {{"id", model.id},
                         {"licence", model.licence},
                         {"parameters", model.parameters},
                         {"download_bytes", model.download_bytes()},
                         {"what_for", model.what_for}};
    entry["cached"] = OrderedJson::array();
    for (const CachedModel* cached : CachedOf(report, model.id)) entry["cached"].push_back(CachedJson(*cached));
    json["known"].push_back(std::move(entry));
  }
  json["others"] = OrderedJson::array();
  for (const CachedModel& model : report.cached) {
    if (!IsKnown(model.id)) json["others"].push_back(CachedJson(model));
  }
  json["built_in"] = report.built_in.empty() ? OrderedJson() : OrderedJson(report.built_in);
  PrintJson(json);
}

void PrintCached(const CachedModel& model) {
  fmt::print("    here, {} ({}): {}\n", model.revision, BytesText(model.bytes), model.dir);
}

std::string ParametersText(int64_t parameters) {
  const double millions = static_cast<double>(parameters) / 1e6;
  return millions < 1000 ? fmt::format("{:.0f} M", millions) : fmt::format("{:.1f} B", millions / 1000);
}

void PrintModels(const ModelsReport& report) {
  fmt::print("{:<46}{:>10}{:>10}  {}\n", "model", "size", "download", "licence");
  for (const KnownModel& model : KnownModels()) {
    fmt::print("{:<46}{:>10}{:>10}  {}\n    {}\n", model.id, ParametersText(model.parameters),
               BytesText(model.download_bytes()), model.licence, model.what_for);
    for (const CachedModel* cached : CachedOf(report, model.id)) PrintCached(*cached);
  }
  bool first = true;
  for (const CachedModel& model : report.cached) {
    if (IsKnown(model.id)) continue;
    if (std::exchange(first, false)) fmt::print("\nOther models in the cache that look as if they could be run:\n");
    fmt::print("{}\n", model.id);
    PrintCached(model);
  }
  if (!report.built_in.empty()) fmt::print("\nBuilt in, a demonstrator: {}\n", report.built_in);
  fmt::print(
      "\nThe cache is {}\n`eyeshot pull MODEL` takes one; read its page, https://huggingface.co/MODEL, for terms and "
      "limits.\n",
      report.cache);
}

int RunModels(const ModelsFlags& flags) {
  const Result<HubSettings> settings = HubSettingsFromEnvironment();
  if (!settings.ok()) return ReportError(settings.status(), flags.json);
  ModelsReport report;
  report.cache = settings->cache;
  for (CachedModel& model : ListCache(settings->cache)) {
    if (IsSupported(model)) report.cached.push_back(std::move(model));
  }
  if (const Result<FoundModel> built_in = FindBuiltIn(); built_in.ok()) report.built_in = built_in->dir;
  if (flags.json) {
    PrintModelsJson(report);
  } else {
    PrintModels(report);
  }
  return kExitOk;
}

}  // namespace

void AddModelsCommand(CLI::App& program, int& exit_code) {
  auto flags = std::make_shared<ModelsFlags>();
  CLI::App* command = program.add_subcommand("models", "List models that are known to run, and those that are here");
  SetUsage(*command, "eyeshot models [--json]");
  command->add_flag("--json", flags->json, "Print one JSON object");
  command->footer(
      R"(Sizes of downloads are about those of the weights; `eyeshot pull --dry-run MODEL` asks the hub. Asks nobody: the
list is this program's own, and the cache is looked through (HF_HUB_CACHE or HF_HOME say where it is).)");
  command->callback([flags, &exit_code] { exit_code = RunModels(*flags); });
}

}  // namespace eyeshot::cli
