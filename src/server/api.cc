#include "server/api.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <exception>
#include <random>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "server/ascii.h"
#include "server/page_files.h"
#include "server/protocol.h"

namespace eyeshot::server {
namespace {

// Bodies and pictures are read by so many at a time: a second one, so that a large video keeps nobody waiting long.
constexpr int kWorkers = 2;

// No script, style or picture from elsewhere, none in the page itself, and nobody may put it into a frame.
constexpr const char* kPagePolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob: "
    "data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

bool IsJson(std::string_view content_type) {
  content_type = content_type.substr(0, content_type.find(';'));
  while (content_type.ends_with(' ')) content_type.remove_suffix(1);
  return EqualInAnyCase(content_type, "application/json");
}

std::string_view TypeOfFile(std::string_view name) {
  if (name.ends_with(".html")) return "text/html; charset=utf-8";
  if (name.ends_with(".css")) return "text/css; charset=utf-8";
  if (name.ends_with(".js")) return "text/javascript; charset=utf-8";
  if (name.ends_with(".svg")) return "image/svg+xml";
  return "application/json";
}

// REQUIRES: the build has put a file of that name into the program.
HttpResponse FileReply(std::string_view name) {
  const auto files = PageFiles();
  const auto file = std::find_if(files.begin(), files.end(), [&](const PageFile& one) { return one.name == name; });
  EYESHOT_CHECK(file != files.end());
  return {.content_type = std::string(TypeOfFile(name)),
          .headers = {{"Content-Security-Policy", kPagePolicy},
                      {"X-Content-Type-Options", "nosniff"},
                      {"Referrer-Policy", "no-referrer"},
                      {"Permissions-Policy", "camera=(self)"},
                      {"Cache-Control", "no-cache"}},
          .body = std::string(file->content)};
}

// For the log of texts: the last text of the user, or each prompt.
std::vector<std::string> QuestionsOf(const GenerationRequest& request) {
  std::vector<std::string> prompts;
  for (const RawPrompt& prompt : request.prompts) {
    const auto* const text = std::get_if<std::string>(&prompt);
    prompts.push_back(text != nullptr ? *text : fmt::format("{} ids", std::get<std::vector<int32_t>>(prompt).size()));
  }
  if (!prompts.empty()) return prompts;
  std::string question;
  for (const RequestMessage& message : request.messages) {
    if (message.role != Role::kUser) continue;
    for (const RequestPart& part : message.parts) {
      if (const auto* text = std::get_if<std::string>(&part)) question = *text;
    }
  }
  return {question};
}

// What the scheduler is asked for each choice of the reply.
std::vector<GenerateRequest> RequestsOf(GenerationRequest parsed, std::vector<Message> messages,
                                        const GenerateRequest& shared) {
  const size_t choices = std::max<size_t>(parsed.prompts.size(), 1);
  std::vector<GenerateRequest> requests(choices, shared);
  for (GenerateRequest& request : requests) request.options = parsed.options;
  for (size_t i = 0; i < parsed.prompts.size(); ++i) requests[i].prompt = std::move(parsed.prompts[i]);
  requests.front().messages = std::move(messages);
  return requests;
}

}  // namespace

struct Api::Route {
  enum class Kind { kFile, kHealth, kReady, kMetrics, kModels, kModel, kChat, kCompletion, kTokenize, kEstimate };
  std::string_view path;  // kModel: what it begins with
  Kind kind;
  bool post = false;
  bool open = false;  // to those without a key
  std::string_view file = {};
};

// How many requests each client has under way.
struct Api::ClientSlots {
  std::mutex turn;
  std::map<std::string, int> taken;
};

const Api::Route* Api::FindRoute(std::string_view path) {
  using Kind = Route::Kind;
  static constexpr Route kRoutes[] = {
      {"/v1/chat/completions", Kind::kChat, true},
      {"/v1/completions", Kind::kCompletion, true},
      {"/v1/models", Kind::kModels},
      {"/v1/models/", Kind::kModel},
      {"/v1/estimate", Kind::kEstimate, true},
      {"/tokenize", Kind::kTokenize, true},
      {"/health", Kind::kHealth, false, true},
      {"/ready", Kind::kReady, false, true},
      {"/metrics", Kind::kMetrics},
      {"/openapi.json", Kind::kFile, false, true, "openapi.json"},
      {"/", Kind::kFile, false, true, "index.html"},
      {"/eyeshot.css", Kind::kFile, false, true, "eyeshot.css"},
      {"/eyeshot.js", Kind::kFile, false, true, "eyeshot.js"},
      {"/icon.svg", Kind::kFile, false, true, "icon.svg"},
  };
  for (const Route& route : kRoutes) {
    if (path == route.path || (route.kind == Kind::kModel && path.starts_with(route.path))) return &route;
  }
  return nullptr;
}

Api::Api(ServerModel model, ServerOptions options, std::optional<ApiKeys> keys)
    : model_(std::move(model)),
      options_(std::move(options)),
      keys_(std::move(keys)),
      created_(std::time(nullptr)),
      media_(options_.media, model_.media),
      services_{
          .scheduler = *model_.scheduler, .metrics = metrics_, .log = options_.log, .log_text = options_.log_text},
      clients_(std::make_shared<ClientSlots>()),
      next_id_(std::random_device()()),
      workers_(kWorkers, limits::kMaxPendingBodies) {}

// A page of another site can make its own name mean 127.0.0.1 and then read answers of a server that asks for no key.
bool Api::IsOwnHost(std::string_view host) const {
  const size_t colon = host.rfind(':');
  if (colon != std::string_view::npos && host.find(']', colon) == std::string_view::npos) host = host.substr(0, colon);
  const auto is_digit = [](char c) { return (c >= '0' && c <= '9') || c == '.'; };
  const bool address = host.starts_with('[') || std::all_of(host.begin(), host.end(), is_digit);
  return address || EqualInAnyCase(host, "localhost") ||
         std::any_of(options_.host_names.begin(), options_.host_names.end(),
                     [&](const std::string& name) { return EqualInAnyCase(name, host); });
}

std::optional<HttpResponse> Api::CheckHead(const HttpRequest& head) {
  const Route* const route = FindRoute(head.path);
  const bool known =
      route != nullptr && (options_.page || route->kind != Route::Kind::kFile || route->file == "openapi.json");
  if (!known) return ErrorReply(404, "not_found", "there is nothing at this path: /openapi.json lists what there is");
  const bool get = head.method == "GET" || head.method == "HEAD";
  if (route->post ? head.method != "POST" : !get) {
    HttpResponse reply = ErrorReply(405, "method_not_allowed",
                                    fmt::format("{} takes {} alone", route->path, route->post ? "POST" : "GET"));
    reply.headers.emplace_back("Allow", route->post ? "POST" : "GET, HEAD");
    return reply;
  }
  if (keys_ && !route->open && !keys_->Find(head.authorization)) {
    HttpResponse reply = ErrorReply(401, "invalid_api_key",
                                    "no API key that this server knows: send the header "
                                    "Authorization: Bearer KEY");
    reply.headers.emplace_back("WWW-Authenticate", "Bearer");
    return reply;
  }
  if (!keys_ && !IsOwnHost(head.host)) {
    return ErrorReply(403, "host_not_allowed",
                      "the Host header names neither this machine's loopback nor a number: "
                      "start the server with --host-name NAME, or with --api-keys");
  }
  // Also what keeps pages of other sites from asking: browsers let them send other types without asking first.
  if (route->post && !IsJson(head.content_type)) {
    return ErrorReply(415, "unsupported_content_type",
                      "the body is not said to be JSON: send the header "
                      "Content-Type: application/json");
  }
  if (route->post && draining_)
    return ErrorReply(503, "shutting_down", "this server is shutting down: ask another one");
  return std::nullopt;
}

void Api::Handle(HttpRequest request, std::shared_ptr<HttpExchange> exchange) {
  const Route& route = *FindRoute(request.path);
  if (!route.post) return AnswerAtOnce(route, request, *exchange);
  AnswerLater(route, std::move(request), exchange);
}

void Api::AnswerAtOnce(const Route& route, const HttpRequest& request, HttpExchange& exchange) {
  const ModelInfo& info = model_.scheduler->info();
  switch (route.kind) {
    case Route::Kind::kHealth: return exchange.Send({.body = R"({"status":"ok"})"});
    case Route::Kind::kReady:
      if (draining_) return exchange.Send({.status = 503, .body = R"({"status":"shutting down"})"});
      return exchange.Send({.body = R"({"status":"ready"})"});
    case Route::Kind::kMetrics:
      return exchange.Send({.content_type = "text/plain; version=0.0.4; charset=utf-8",
                            .body = metrics_.Text(model_.scheduler->stats(),
                                                  http_ == nullptr ? HttpStats() : http_->stats(), media_.bytes())});
    case Route::Kind::kModels: return exchange.Send({.body = ModelsBody(info, created_)});
    case Route::Kind::kModel:
      if (request.path.substr(route.path.size()) != info.name) {
        return exchange.Send(
            ErrorReply(404, "model_not_found", fmt::format("this server has one model, '{}'", info.name)));
      }
      return exchange.Send({.body = ModelBody(info, created_)});
    default: exchange.Send(FileReply(route.file));
  }
}

std::string Api::ClientOf(const HttpRequest& head) const {
  const std::optional<size_t> key = keys_ ? keys_->Find(head.authorization) : std::nullopt;
  return key ? fmt::format("key {}", *key) : head.address;
}

std::shared_ptr<void> Api::TakeClientSlot(const std::string& client) {
  const std::lock_guard<std::mutex> turn(clients_->turn);
  int& taken = clients_->taken[client];
  if (taken >= options_.requests_per_client) return nullptr;
  ++taken;
  return {static_cast<void*>(this), [clients = clients_, client](void*) {
            const std::lock_guard<std::mutex> released(clients->turn);
            const auto slot = clients->taken.find(client);
            if (--slot->second == 0) clients->taken.erase(slot);
          }};
}

// A slot for each prompt, of which the request has one already. False: there are not so many, and that was said.
bool Api::TakeClientSlots(Asked& asked, size_t prompts, std::vector<std::shared_ptr<void>>& slots) {
  slots.push_back(std::move(asked.client_slot));
  if (prompts > static_cast<size_t>(options_.requests_per_client)) {
    asked.exchange->Send(ErrorReply(400, "limit_exceeded",
                                    fmt::format("{} prompts, and of a client {} requests are taken at a time: send "
                                                "fewer prompts in a request",
                                                prompts, options_.requests_per_client)));
    return false;
  }
  while (slots.size() < prompts) {
    slots.push_back(TakeClientSlot(asked.client));
    if (slots.back() != nullptr) continue;
    asked.exchange->Send(TooManyRequests());
    return false;
  }
  return true;
}

HttpResponse Api::TooManyRequests() const {
  return ErrorReply(
      429, "too_many_requests",
      fmt::format("{} requests of this client are under way: wait for one to end", options_.requests_per_client));
}

void Api::AnswerLater(const Route& route, HttpRequest request, const std::shared_ptr<HttpExchange>& exchange) {
  // std::function copies what it holds.
  const auto asked = std::make_shared<Asked>(
      Asked{.exchange = exchange, .client = ClientOf(request), .arrived = std::chrono::steady_clock::now()});
  asked->request = std::move(request);
  asked->client_slot = TakeClientSlot(asked->client);
  if (asked->client_slot == nullptr) {
    return exchange->Send(TooManyRequests());
  }
  const bool added = workers_.Add([this, &route, asked] {
    try {
      if (route.kind == Route::Kind::kTokenize) return asked->exchange->Send(Tokenize(asked->request));
      if (route.kind == Route::Kind::kEstimate) return asked->exchange->Send(EstimateCost(asked->request));
      Generate(route.kind == Route::Kind::kChat, *asked);
    } catch (const std::exception& error) {
      // There is no memory for it. Others go on.
      asked->exchange->Send(
          ErrorReply(503, "out_of_memory", fmt::format("the request can't be read: {}", error.what())));
    }
  });
  if (!added) exchange->Send(ErrorReply(429, "queue_full", "too many requests wait to be read: try again"));
}

void Api::Generate(bool chat, Asked& asked) {
  const ModelInfo& info = model_.scheduler->info();
  const auto parse = chat ? &ParseChatRequest : &ParseCompletionRequest;
  Result<GenerationRequest> parsed = parse(asked.request.body, options_.defaults, info.context_tokens);
  asked.request = {};  // bodies are large
  if (!parsed.ok()) return asked.exchange->Send(ErrorReply(parsed.status(), RequestStep::kParse));
  Generation::Options options{.name = {.chat = chat,
                                       .id = ReplyId(chat, next_id_.fetch_add(1)),
                                       .created = std::time(nullptr),
                                       .model = info.name},
                              .stream = parsed->stream,
                              .include_usage = parsed->include_usage,
                              .arrived = asked.arrived};
  if (!TakeClientSlots(asked, parsed->prompts.size(), options.client_slots)) return;
  if (options_.log_text) options.questions = QuestionsOf(*parsed);
  Result<std::vector<Message>> messages = media_.Load(*parsed, options.media_ledger);
  if (!messages.ok()) return asked.exchange->Send(ErrorReply(messages.status(), RequestStep::kMedia));
  Result<std::optional<PlannedRequest>> planned =
      PlanRequest(model_.planner, parsed->limit, *messages, parsed->options);
  if (!planned.ok()) return asked.exchange->Send(ErrorReply(planned.status(), RequestStep::kSubmit));
  options.planned = *std::move(planned);
  const auto generation = std::make_shared<Generation>(services_, std::move(options), asked.exchange);
  const GenerateRequest shared{.client = std::move(asked.client), .deadline = asked.arrived + options_.request_time};
  generation->Start(RequestsOf(*std::move(parsed), *std::move(messages), shared));
}

HttpResponse Api::Tokenize(const HttpRequest& request) const {
  if (!model_.tokenize) return ErrorReply(501, "no_tokenizer", "this server was started without a tokenizer");
  const Result<std::string> text = ParseTokenizeRequest(request.body);
  if (!text.ok()) return ErrorReply(text.status(), RequestStep::kParse);
  return {.body = TokensBody(model_.tokenize(*text), model_.scheduler->info().context_tokens)};
}

HttpResponse Api::EstimateCost(const HttpRequest& request) const {
  if (!model_.estimate) return ErrorReply(501, "no_estimate", "this server was started without estimates");
  const auto parsed = ParseEstimateRequest(request.body, options_.defaults, model_.scheduler->info().context_tokens,
                                           model_.media.video);
  if (!parsed.ok()) return ErrorReply(parsed.status(), RequestStep::kParse);
  const Result<Estimate> estimate = model_.estimate(*parsed);
  if (!estimate.ok()) return ErrorReply(estimate.status(), RequestStep::kSubmit);
  return {.body = EstimateBody(*estimate)};
}

HttpResponse Api::Refusal(int status, std::string_view why) {
  HttpResponse reply = ErrorReply(status, status == 503 ? "busy" : "invalid_http", why);
  reply.close = true;
  return reply;
}

void Api::OnAnswered(const HttpRequest& head, int status, double seconds) {
  // Only names that are ours reach logs and metrics.
  const Route* const route = FindRoute(head.path);
  const std::string_view path = route == nullptr ? "other" : route->path;
  metrics_.CountRequest(path, status);
  if (options_.log) {
    options_.log(fmt::format("{} {} {:.3f}s {}", path, status, seconds, head.address));
  }
}

}  // namespace eyeshot::server
