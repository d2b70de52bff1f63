// eyeshot serve: the model behind OpenAI's API, and a page to talk to it.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "cli/commands.h"
#include "cli/generation_flags.h"
#include "cli/governor_flags.h"
#include "cli/help.h"
#include "cli/model_flags.h"
#include "cli/pictures.h"
#include "cli/report.h"
#include "eyeshot/scheduler.h"
#include "runtime/engine_parts.h"
#include "server/server.h"

namespace eyeshot::cli {
namespace {

struct ServeFlags {
  ModelFlags model;
  SchedulerOptions scheduler;
  double phase_ms = 0;
  server::ServerOptions server;
  bool jpeg_scaling = false;
  bool no_page = false;
  bool quiet = false;
};

// The model, its scheduler and its server, in the order in which they need each other.
struct Parts {
  std::shared_ptr<Engine> engine;
  std::unique_ptr<Scheduler> scheduler;
  std::unique_ptr<server::Server> server;
};

Result<Parts> Start(const ServeFlags& flags) {
  Parts parts;
  EYESHOT_ASSIGN_OR_RETURN(parts.engine, LoadEngine(flags.model, !flags.quiet));
  SchedulerOptions scheduling = flags.scheduler;
  scheduling.phase_s = flags.phase_ms / 1e3;
  scheduling.energy_sysfs = SysfsRoot();
  EYESHOT_ASSIGN_OR_RETURN(parts.scheduler, Scheduler::Create(parts.engine, scheduling));
  server::ServerModel model;
  model.scheduler = parts.scheduler.get();
  model.tokenize = [engine = parts.engine](std::string_view text) {
    return PartsOf(*engine).model->tokenizer().Encode(text);
  };
  model.media.has_vision = parts.engine->info().has_vision;
  if (model.media.has_vision) model.media.video = parts.engine->VideoDefaults();
  if (flags.jpeg_scaling) {
    model.media.decoding = [engine = parts.engine](const PictureDetail& detail) {
      return engine->ScaledDecoding(detail);
    };
  }
  server::ServerOptions options = flags.server;
  options.page = !flags.no_page;
  options.media.max_bytes = options.http.max_body_bytes;
  if (!flags.quiet) {
    options.log = [](std::string_view line) { fmt::print(stderr, "{}\n", line); };
  }
  EYESHOT_ASSIGN_OR_RETURN(parts.server, server::Server::Create(std::move(model), std::move(options)));
  return parts;
}

int RunServe(const ServeFlags& flags) {
  if (!flags.server.media.allowed_folder.empty() && !IsDirectory(flags.server.media.allowed_folder)) {
    ReportError(
        NotFoundError(fmt::format("--allow-files names '{}', which is no folder", flags.server.media.allowed_folder),
                      "name the folder whose files requests may show"),
        false);
    return kExitUsage;
  }
  const Result<Parts> parts = Start(flags);
  if (!parts.ok()) return ReportError(parts.status(), false);
  parts->server->CatchSignals();  // before anybody knows that it is there
  // On standard output, for who started it with --port 0.
  fmt::print("{} at {}\n", parts->engine->info().name, parts->server->url());
  std::fflush(stdout);
  if (flags.server.key_file.empty() && flags.server.http.address != "127.0.0.1" && flags.server.http.address != "::1") {
    fmt::print(stderr, "note: whoever reaches {} may ask: --api-keys FILE asks for a key\n", parts->server->url());
  }
  if (parts->server->Run()) return kExitOk;
  fmt::print(stderr, "eyeshot: answers were cut off\n");
  return kExitCancelled;
}

void AddNetworkFlags(CLI::App& command, server::ServerOptions& options) {
  command.add_option("--host", options.http.address, "Address of the interface to listen on; 0.0.0.0: all")
      ->capture_default_str()
      ->type_name("ADDRESS");
  command.add_option("--port", options.http.port, "0 takes any that is free")->capture_default_str()->type_name("N");
  command.add_option("--api-keys", options.key_file, "A file with a key a line; requests then have to name one")
      ->type_name("FILE");
  command
      .add_option("--host-name", options.host_names,
                  "A name by which requests may call this server; without keys only loopback and numbers are")
      ->allow_extra_args(false)
      ->take_all()
      ->type_name("NAME");
  command.add_option("--allow-host", options.media.allowed_hosts, "Fetch pictures from this host's URLs too")
      ->allow_extra_args(false)
      ->take_all()
      ->type_name("NAME");
  command.add_option("--allow-files", options.media.allowed_folder, "Read file:// URLs of pictures below this folder")
      ->type_name("DIR");
}

void AddLimitFlags(CLI::App& command, server::ServerOptions& options) {
  command.add_option("--max-body", options.http.max_body_bytes, "Largest body of a request, as 64M")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/false))
      ->check(CLI::Range(uint64_t{1}, limits::kMaxBodyBytesOption))
      ->type_name("BYTES");
  command.add_option("--max-pixels", options.media.max_pixels, "Most pixels of a picture")
      ->check(CLI::Range(uint64_t{1}, limits::kMaxImagePixels))
      ->capture_default_str()
      ->type_name("N");
  command.add_option("--max-connections", options.http.max_connections, "Connections at a time")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str()
      ->type_name("N");
  command.add_option("--per-client", options.requests_per_client, "Requests of one client at a time")
      ->check(CLI::PositiveNumber)
      ->capture_default_str()
      ->type_name("N");
  command
      .add_option_function<int>(
          "--timeout", [&options](int seconds) { options.request_time = std::chrono::seconds(seconds); },
          "Seconds for one answer; 600 without it")
      ->check(CLI::PositiveNumber)
      ->type_name("S");
  command
      .add_option_function<int>(
          "--drain", [&options](int seconds) { options.drain_time = std::chrono::seconds(seconds); },
          "Seconds that answers have to end after Ctrl-C or SIGTERM; 60 without it")
      ->check(CLI::NonNegativeNumber)
      ->type_name("S");
}

void AddSchedulerFlags(CLI::App& command, SchedulerOptions& options) {
  command.add_option("--parallel", options.sequences, "Answers that are written side by side, at most")
      ->check(CLI::PositiveNumber)
      ->capture_default_str()
      ->type_name("N");
  command.add_option("--queue", options.queue, "Requests that wait, at most")->capture_default_str()->type_name("N");
  command
      .add_option("--cache-tokens", options.cache_tokens,
                  "Tokens of the cache that all answers share; 0: one context, and 1,024 for each other")
      ->check(CLI::NonNegativeNumber)
      ->type_name("N");
  command.add_option("--image-cache", options.image_cache_bytes, "Memory for encoded pictures, as 256M; 0: none")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/false))
      ->type_name("BYTES");
}

}  // namespace

void AddServeCommand(CLI::App& program, int& exit_code) {
  auto flags = std::make_shared<ServeFlags>();
  CLI::App* command = program.add_subcommand("serve", "A server with OpenAI's API and a web page");
  SetUsage(*command, "eyeshot serve [OPTIONS]");
  AddModelFlags(*command, flags->model);
  AddNetworkFlags(*command, flags->server);
  AddSchedulerFlags(*command, flags->scheduler);
  AddPhaseFlag(*command, flags->phase_ms);
  AddLimitFlags(*command, flags->server);
  AddGenerationFlags(*command, flags->server.defaults);
  AddJpegScalingFlag(*command, flags->jpeg_scaling);
  command->add_flag("--no-page", flags->no_page, "The API alone");
  command->add_flag("--log-text", flags->server.log_text, "Questions and answers in the log too");
  command->add_flag("-q,--quiet", flags->quiet, "No log");
  command->footer(R"(Flags of generation are for requests that say nothing of it.

Examples:
  eyeshot serve                                 http://127.0.0.1:8080 has the page
  eyeshot serve --host 0.0.0.0 --api-keys keys.txt
  curl http://127.0.0.1:8080/v1/chat/completions -H 'Content-Type: application/json' \
    -d '{"messages": [{"role": "user", "content": "Hello"}]}'

docs/server.md has the API, and how to run it behind a proxy or as a service.)");
  command->callback([flags, &exit_code] { exit_code = RunServe(*flags); });
}

}  // namespace eyeshot::cli
