// eyeshot pull: a model from a Hugging Face hub into the cache.
#include "hub/pull.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "cli/commands.h"
#include "cli/help.h"
#include "cli/interrupt.h"
#include "cli/model_flags.h"
#include "cli/progress.h"
#include "cli/report.h"
#include "hub/cache.h"

namespace eyeshot::cli {
namespace {

using Clock = std::chrono::steady_clock;

struct PullFlags {
  std::string model;
  PullOptions options;
  bool offline = false;
  bool insecure_http = false;
  bool json = false;
  bool quiet = false;
};

// "123 MB of 513 MB, 12.3 MB/s, 0:32 left: model.safetensors"
std::string ProgressText(const PullProgress& progress, double seconds) {
  if (progress.total < progress.done) return progress.file;  // the index of shards, before the total is known
  std::string text = fmt::format("{} of {}", BytesText(progress.done), BytesText(progress.total));
  if (seconds > 0.5 && progress.downloaded > 0) {
    const double speed = static_cast<double>(progress.downloaded) / seconds;
    text += fmt::format(", {}/s, {} left", BytesText(static_cast<uint64_t>(speed)),
                        DurationText(static_cast<double>(progress.total - progress.done) / speed));
  }
  return text + ": " + progress.file;
}

Result<PullReport> Offline(const Repository& repository, const HubSettings& settings) {
  const auto dir = FindSnapshot(settings.cache, repository);
  if (!dir) {
    return NotFoundError(
        fmt::format("{} at {} is not in {}, and the hub may not be asked (--offline or HF_HUB_OFFLINE)",
                    repository.id(), repository.revision, settings.cache),
        "leave --offline out once, or set HF_HUB_CACHE to the folder that has it");
  }
  PullReport report;
  report.dir = *dir;
  report.commit = dir->substr(dir->rfind('/') + 1);
  return report;
}

Result<PullReport> Pull(const PullFlags& flags, const Repository& repository) {
  EYESHOT_ASSIGN_OR_RETURN(HubSettings settings, HubSettingsFromEnvironment());
  settings.insecure_http = flags.insecure_http;
  if (flags.offline || settings.offline) return Offline(repository, settings);

  const Interrupt interrupt;
  Progress progress(!flags.json && !flags.quiet);
  PullOptions options = flags.options;
  options.cancel = interrupt.flag();
  const auto start = Clock::now();
  options.on_progress = [&](const PullProgress& state) {
    const double share = state.total == 0 ? 0 : static_cast<double>(state.done) / static_cast<double>(state.total);
    progress.Show("downloading", share,
                  ProgressText(state, std::chrono::duration<double>(Clock::now() - start).count()));
  };
  options.on_note = [&](const std::string& text) {
    progress.Clear();
    if (!flags.quiet) fmt::print(stderr, "{}\n", text);
  };
  Result<PullReport> report = PullModel(repository, settings, options);
  progress.Clear();
  if (report.ok() || report.status().code() != StatusCode::kNotFound) return report;
  const std::string near = NearestKnownModel(repository.id());
  if (near.empty() || near == repository.id()) return report;
  return NotFoundError(report.status().found(), fmt::format("did you mean {}? Else {}", near, report.status().mend()));
}

OrderedJson ReportJson(const Repository& repository, const PullReport& report) {
  OrderedJson json = {{"model", repository.id()}, {"revision", repository.revision},
                      {"commit", report.commit},  {"dir", report.dir},
                      {"bytes", report.bytes},    {"downloaded_bytes", report.downloaded}};
  json["files"] = OrderedJson::array();
  for (const HubFile& file : report.files) {
    json["files"].push_back({{"path", file.path}, {"bytes", file.bytes}, {"hash", file.etag()}});
  }
  return json;
}

void PrintReport(const PullFlags& flags, const Repository& repository, const PullReport& report) {
  if (flags.options.dry_run) {
    for (const HubFile& file : report.files) fmt::print("{:>10}  {}\n", BytesText(file.bytes), file.path);
    fmt::print("{:>10}  in all, {} at {}\n", BytesText(report.bytes), repository.id(), report.commit);
    return;
  }
  if (!flags.quiet) {
    if (!report.files.empty()) {
      fmt::print(stderr, "{} at {}: {} files, {}, of which {} were downloaded; every new file's hash is right.\n",
                 repository.id(), report.commit.substr(0, 12), report.files.size(), BytesText(report.bytes),
                 BytesText(report.downloaded));
    }
    fmt::print(stderr, "Use it with: eyeshot ask --model {} IMAGE \"question\"\n", flags.model);
  }
  fmt::print("{}\n", report.dir);
}

int RunPull(const PullFlags& flags) {
  const Result<Repository> repository = ParseRepository(flags.model);
  if (!repository.ok()) {
    const std::string near = NearestKnownModel(flags.model);
    ReportError(near.empty() ? repository.status()
                             : InvalidArgumentError(repository.status().found(), fmt::format("did you mean {}?", near)),
                flags.json);
    return kExitUsage;
  }
  const Result<PullReport> report = Pull(flags, *repository);
  if (!report.ok()) return ReportError(report.status(), flags.json);
  if (flags.json) {
    PrintJson(ReportJson(*repository, *report));
  } else {
    PrintReport(flags, *repository, *report);
  }
  return kExitOk;
}

}  // namespace

void AddPullCommand(CLI::App& program, int& exit_code) {
  auto flags = std::make_shared<PullFlags>();
  CLI::App* command = program.add_subcommand("pull", "Download a model from the Hugging Face hub");
  SetUsage(*command, "eyeshot pull [OPTIONS] ORG/NAME[@REVISION]");
  command->add_option("model", flags->model, "A model's name on the hub; `eyeshot models` has a list")
      ->required()
      ->type_name("ORG/NAME");
  command
      ->add_option("--file", flags->options.patterns,
                   "Weights to take instead of safetensors, a pattern: '*Q8_0.gguf'. May stand several times")
      ->expected(1)
      ->take_all()
      ->type_name("PATTERN");
  command->add_flag("--dry-run", flags->options.dry_run, "Say what would be taken, and how large it is");
  command->add_flag("--verify", flags->options.verify,
                    "Also hash what the cache has already; broken files are replaced");
  command->add_flag("--offline", flags->offline, "Don't ask the hub: say where the cache has the model");
  command->add_option("--retries", flags->options.retries, "Tries in a row without progress before it gives up")
      ->check(CLI::Range(0, 100))
      ->capture_default_str()
      ->type_name("N");
  command->add_flag("--insecure-http", flags->insecure_http, "Allow http:// to other machines");
  command->add_flag("--json", flags->json, "Print one JSON object");
  command->add_flag("-q,--quiet", flags->quiet, "Print the model's folder alone");
  command->footer(R"(Examples:
  eyeshot pull HuggingFaceTB/SmolVLM-256M-Instruct
  eyeshot pull ggml-org/SmolVLM-500M-Instruct-GGUF --file '*Q8_0.gguf'
  eyeshot ask --model HuggingFaceTB/SmolVLM-256M-Instruct photo.jpg "What is this?"

What was downloaded until a cut or Ctrl-C is kept; the same command goes on from there. Files go to the cache of
huggingface_hub, and models that are there already are found. Environment: HF_HUB_CACHE or HF_HOME (where the cache is),
HF_TOKEN (for private and gated models), HF_ENDPOINT (another hub), HF_HUB_OFFLINE=1, HF_HUB_DOWNLOAD_TIMEOUT (seconds),
SSL_CERT_FILE (certificates), https_proxy.)");
  command->callback([flags, &exit_code] { exit_code = RunPull(*flags); });
}

}  // namespace eyeshot::cli
