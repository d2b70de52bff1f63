// eyeshot serve: the model behind OpenAI's API, and a page to talk to it.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/limits.h"
#include "cli/commands.h"
#include "cli/generation_flags.h"
#include "cli/help.h"
#include "cli/report.h"
#include "cli/request_estimate.h"
#include "cli/serving.h"
#include "runtime/engine_parts.h"
#include "server/server.h"

namespace eyeshot::cli {
namespace {

struct ServeFlags {
  ServingOptions serving;
  server::ServerOptions server;
  RequestPlanFlags plan;
  bool no_page = false;
  bool quiet = false;
};

// A line on standard error. A full disk, or a reader of the log that has gone, does not end the server.
void Say(std::string_view line) {
  std::string text(line);
  text += '\n';
  static_cast<void>(std::fwrite(text.data(), 1, text.size(), stderr));
}

// In the order in which they need each other.
struct Parts {
  ServedModel model;
  std::unique_ptr<server::Server> server;
};

Result<Parts> Start(const ServeFlags& flags) {
  Parts parts;
  EYESHOT_RETURN_IF_ERROR(CheckRequestPlanFlags(flags.plan));
  EYESHOT_ASSIGN_OR_RETURN(parts.model, LoadServedModel(flags.serving, !flags.quiet));
  server::ServerModel model{.scheduler = parts.model.scheduler.get(), .media = parts.model.media};
  model.tokenize = [engine = parts.model.engine](std::string_view text) {
    return PartsOf(*engine).model->tokenizer().Encode(text);
  };
  model.planner =
      PlannerFor(*parts.model.engine, PartsOf(*parts.model.engine).model->backend(), flags.serving.model, flags.plan);
  model.estimate = [estimator = std::make_shared<const RequestEstimator>(parts.model.engine, model.planner)](
                       const server::EstimateRequest& request) { return estimator->Of(request); };
  server::ServerOptions options = flags.server;
  options.page = !flags.no_page;
  options.media.max_bytes = options.http.max_body_bytes;
  if (!flags.quiet) {
    options.log = Say;
  }
  EYESHOT_ASSIGN_OR_RETURN(parts.server, server::Server::Create(std::move(model), std::move(options)));
  return parts;
}

// After the last answer: clocks are put back, and the log has what the governor did.
int End(Parts& parts, bool whole, bool quiet) {
  parts.server.reset();
  const Status ended = EndServedModel(parts.model);
  if (const std::string summary = parts.model.governor->Summary(); !summary.empty() && !quiet) Say(summary);
  if (!whole) Say("eyeshot: answers were cut off");
  if (!ended.ok()) return ReportError(ended, false);
  return whole ? kExitOk : kExitCancelled;
}

int RunServe(const ServeFlags& flags) {
  if (const Status allowed = CheckAllowedFolder(flags.server.media); !allowed.ok()) {
    ReportError(allowed, false);
    return kExitUsage;
  }
  Result<Parts> parts = Start(flags);
  if (!parts.ok()) return ReportError(parts.status(), false);
  parts->server->CatchSignals();  // before anybody knows that it is there
  std::signal(SIGPIPE, SIG_IGN);  // from the log
  // On standard output, for who started it with --port 0.
  fmt::print("{} at {}\n", parts->model.engine->info().name, parts->server->url());
  std::fflush(stdout);
  if (flags.server.key_file.empty() && flags.server.http.address != "127.0.0.1" && flags.server.http.address != "::1") {
    Say(fmt::format("note: whoever reaches {} may ask: --api-keys FILE asks for a key", parts->server->url()));
  }
  const bool whole = parts->server->Run();
  return End(*parts, whole, flags.quiet);
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
}

void AddLimitFlags(CLI::App& command, server::ServerOptions& options) {
  AddBodyFlag(command, options.http.max_body_bytes);
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

}  // namespace

void AddServeCommand(CLI::App& program, int& exit_code) {
  auto flags = std::make_shared<ServeFlags>();
  CLI::App* command = program.add_subcommand("serve", "A server with OpenAI's API and a web page");
  SetUsage(*command, "eyeshot serve [OPTIONS]");
  AddServingFlags(*command, flags->serving);
  AddNetworkFlags(*command, flags->server);
  AddMediaFlags(*command, flags->server.media, "");
  command->add_option("--queue", flags->serving.scheduler.queue, "Requests that wait, at most")
      ->capture_default_str()
      ->type_name("N");
  AddLimitFlags(*command, flags->server);
  AddGenerationFlags(*command, flags->server.defaults);
  AddRequestPlanFlags(*command, flags->plan);
  command->add_flag("--no-page", flags->no_page, "The API alone");
  command->add_flag("--log-text", flags->server.log_text, "Questions and answers in the log too");
  command->add_flag("-q,--quiet", flags->quiet, "No log");
  command->footer(R"(Flags of generation are for requests that say nothing of it.

Examples:
  eyeshot serve                                 http://127.0.0.1:8080 has the page
  eyeshot serve --host 0.0.0.0 --api-keys keys.txt
  eyeshot serve --governor gears --phase-ms 500
  curl http://127.0.0.1:8080/v1/chat/completions -H 'Content-Type: application/json' \
    -d '{"messages": [{"role": "user", "content": "Hello"}]}'

docs/server.md has the API, and how to run it behind a proxy or as a service.)");
  command->callback([flags, &exit_code] { exit_code = RunServe(*flags); });
}

}  // namespace eyeshot::cli
