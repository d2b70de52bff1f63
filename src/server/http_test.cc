// The server over real sockets, with a scheduler that says what the test wants.
#include <gtest/gtest.h>

#include <deque>
#include <fstream>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>

#include "server/fetch.h"
#include "server/server.h"
#include "server/testing.h"

namespace eyeshot::server {
namespace {

using testing::Client;
using testing::FakeScheduler;
using testing::NewPlanner;
using Json = nlohmann::json;

class ServerTest : public ::testing::Test {
 protected:
  void TearDown() override {
    if (server_ == nullptr) return;
    scheduler_.Release();
    server_->ShutDown();
    thread_.join();
  }

  void Start(ServerOptions options = {}) {
    options.http.port = 0;
    model_.scheduler = &scheduler_;
    model_.tokenize = [](std::string_view text) { return std::vector<int32_t>(text.begin(), text.end()); };
    auto server = Server::Create(model_, std::move(options));
    ASSERT_TRUE(server.ok()) << server.status().message();
    server_ = *std::move(server);
    thread_ = std::thread([this] { drained_ = server_->Run(); });
  }

  static std::string Post(std::string_view path, std::string_view body, std::string_view headers = "") {
    return fmt::format(
        "POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{}\r\n{}", path,
        body.size(), headers, body);
  }
  static std::string Get(std::string_view path, std::string_view headers = "") {
    return fmt::format("GET {} HTTP/1.1\r\nHost: localhost\r\n{}\r\n", path, headers);
  }

  struct Reply {
    int status = 0;
    std::string head;
    std::string body;
  };
  // The next reply on a connection, with a length or in chunks.
  static Reply Read(Client& client) {
    Reply reply;
    reply.head = client.ReadUntil("\r\n\r\n");
    if (reply.head.size() < 12) return reply;
    reply.status = std::stoi(reply.head.substr(9, 3));
    const size_t length = reply.head.find("Content-Length: ");
    if (length != std::string::npos) {
      const size_t bytes = std::stoul(reply.head.substr(length + 16));
      reply.body = client.ReadBytes(bytes);
    } else if (reply.head.find("chunked") != std::string::npos) {
      while (true) {
        const size_t bytes = std::stoul(client.ReadUntil("\r\n"), nullptr, 16);
        reply.body += client.ReadBytes(bytes);
        client.ReadUntil("\r\n");
        if (bytes == 0) break;
      }
    }
    return reply;
  }
  Reply Ask(std::string_view request) {
    Client client(server_->port());
    client.Send(request);
    return Read(client);
  }
  static std::string CodeOf(const Reply& reply) {
    return Json::parse(reply.body).at("error").at("code").get<std::string>();
  }

  static constexpr const char* kHello = R"({"messages": [{"role": "user", "content": "Hello"}]})";
  static constexpr const char* kStream =
      R"({"messages": [{"role": "user", "content": "Hello"}], "stream": true, "stream_options": {"include_usage": true}})";

  FakeScheduler scheduler_;
  ServerModel model_;
  std::unique_ptr<Server> server_;
  std::thread thread_;
  bool drained_ = false;
};

TEST_F(ServerTest, AnswersAChat) {
  Start();
  const Reply reply = Ask(Post("/v1/chat/completions", kHello));
  ASSERT_EQ(reply.status, 200) << reply.body;
  const Json json = Json::parse(reply.body);
  EXPECT_EQ(json["object"], "chat.completion");
  EXPECT_EQ(json["model"], "fake");
  EXPECT_EQ(json["choices"][0]["message"]["content"], "A \"red\" caf\u00e9");
  EXPECT_EQ(json["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(json["usage"]["prompt_tokens"], 12);
  EXPECT_EQ(json["usage"]["prompt_tokens_details"]["cached_tokens"], 5);
  const Json& own = json["usage"]["eyeshot"];
  EXPECT_EQ(own["pictures"][0]["cols"], 2);
  EXPECT_EQ(own["stages"][3]["name"], "encode");
  EXPECT_EQ(own["stages"][3]["wall_ms"], 2.0);
  EXPECT_EQ(own["joules"]["source"], "rapl");
  EXPECT_EQ(std::get<std::string>(scheduler_.last_messages[0].parts[0]), "Hello");
  EXPECT_EQ(scheduler_.last_client, "127.0.0.1");
  EXPECT_EQ(scheduler_.last_options.max_tokens, 100) << "1,024 by default, clipped to the context";
}

TEST_F(ServerTest, StreamsAChatAndKeepsTheConnection) {
  Start();
  Client client(server_->port());
  for (int turn = 0; turn < 2; ++turn) {
    client.Send(Post("/v1/chat/completions", kStream));
    const Reply reply = Read(client);
    ASSERT_EQ(reply.status, 200) << reply.body;
    EXPECT_NE(reply.head.find("text/event-stream"), std::string::npos);
    std::string text, body = reply.body;
    std::vector<Json> events;
    while (body.starts_with("data: {")) {
      const size_t end = body.find("\n\n");
      events.push_back(Json::parse(body.substr(6, end - 6)));
      body.erase(0, end + 2);
    }
    EXPECT_EQ(body, "data: [DONE]\n\n");
    ASSERT_GE(events.size(), 4u);
    EXPECT_EQ(events[0]["choices"][0]["delta"]["role"], "assistant");
    for (const Json& event : events) {
      if (!event["choices"].empty()) text += event["choices"][0]["delta"].value("content", "");
    }
    EXPECT_EQ(text, "A \"red\" caf\u00e9");
    EXPECT_EQ(events[events.size() - 2]["choices"][0]["finish_reason"], "stop");
    EXPECT_EQ(events.back()["usage"]["completion_tokens"], 3);
  }
}

TEST_F(ServerTest, SendsTextAsItComes) {
  scheduler_.Hold();
  Start();
  Client client(server_->port());
  client.Send(Post("/v1/chat/completions", kStream));
  EXPECT_NE(client.ReadUntil("\"A \"").find("text/event-stream"), std::string::npos);
  scheduler_.Release();
  EXPECT_NE(client.ReadUntil("[DONE]").find("red"), std::string::npos);
}

TEST_F(ServerTest, AnswersEachPromptOfACompletion) {
  Start({.requests_per_client = 3});
  const Json json = Json::parse(Ask(Post("/v1/completions", R"({"prompt": ["Once", "Twice"]})")).body);
  ASSERT_EQ(json["choices"].size(), 2u) << json;
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(json["choices"][i]["index"], i);
    EXPECT_EQ(json["choices"][i]["text"], "A \"red\" caf\u00e9");
    EXPECT_EQ(json["choices"][i]["finish_reason"], "stop");
  }
  EXPECT_EQ(json["usage"]["prompt_tokens"], 24);
  EXPECT_EQ(json["usage"]["completion_tokens"], 6);
  EXPECT_EQ(json["usage"]["eyeshot"]["finish_reason"], Json({"stop", "stop"}));
  EXPECT_EQ(json["usage"]["eyeshot"]["stages"][3]["wall_ms"], 4.0);

  std::string body =
      Ask(Post("/v1/completions",
               R"({"prompt": [[1, 2], [3]], "stream": true, "stream_options": {"include_usage": true}})"))
          .body;
  std::vector<std::string> texts(2), ends(2);
  int tokens = 0;
  while (body.starts_with("data: {")) {
    const size_t end = body.find("\n\n");
    const Json event = Json::parse(body.substr(6, end - 6));
    body.erase(0, end + 2);
    if (event["choices"].empty()) {
      tokens = event["usage"]["completion_tokens"];
      continue;
    }
    const Json& choice = event["choices"][0];
    texts.at(choice["index"].get<size_t>()) += choice["text"];
    if (choice["finish_reason"].is_string()) ends.at(choice["index"].get<size_t>()) = choice["finish_reason"];
  }
  EXPECT_EQ(body, "data: [DONE]\n\n");
  EXPECT_EQ(texts, std::vector<std::string>(2, "A \"red\" caf\u00e9"));
  EXPECT_EQ(ends, std::vector<std::string>(2, "stop"));
  EXPECT_EQ(tokens, 6);
  EXPECT_EQ(scheduler_.prompts.back(), RawPrompt(std::vector<int32_t>{3}));

  const Reply four = Ask(Post("/v1/completions", R"({"prompt": ["a", "b", "c", "d"]})"));
  EXPECT_EQ(four.status, 400) << "of one client 3 are taken: it would never be answered";
}

TEST_F(ServerTest, CancelsTheOtherPromptsWhereOneIsRefused) {
  scheduler_.Hold();
  scheduler_.room = 1;
  Start();
  // The first is begun and held, the second waits, or so does the first alone: the third finds no room in any case.
  const Reply reply = Ask(Post("/v1/completions", R"({"prompt": ["a", "b", "c"]})"));
  EXPECT_EQ(reply.status, 429);
  EXPECT_EQ(CodeOf(reply), "queue_full");
  EXPECT_TRUE(scheduler_.WaitForCancel());
}

TEST_F(ServerTest, CountsPromptsAsRequestsOfTheClient) {
  scheduler_.Hold();
  Start({.requests_per_client = 2});
  Client first(server_->port());
  first.Send(Post("/v1/completions", R"({"prompt": ["a", "b"], "stream": true})"));
  first.ReadUntil("\"A \"");
  EXPECT_EQ(CodeOf(Ask(Post("/v1/completions", R"({"prompt": "c"})"))), "too_many_requests");
  scheduler_.Release();
  first.ReadUntil("[DONE]");
}

TEST_F(ServerTest, AnswersCompletionsAndTokens) {
  Start();
  const Reply reply = Ask(Post("/v1/completions", R"({"prompt": "Once"})"));
  EXPECT_EQ(Json::parse(reply.body)["object"], "text_completion");
  EXPECT_EQ(Json::parse(reply.body)["choices"][0]["text"], "A \"red\" caf\u00e9");
  EXPECT_EQ(scheduler_.prompts, std::vector<RawPrompt>{std::string("Once")}) << "no message around it";
  const Json tokens = Json::parse(Ask(Post("/tokenize", R"({"content": "AB"})")).body);
  EXPECT_EQ(tokens["tokens"], (std::vector<int>{65, 66}));
  EXPECT_EQ(tokens["count"], 2);
}

TEST_F(ServerTest, EstimatesWhatAQuestionWouldTake) {
  EstimateRequest asked;
  Estimate estimate{.tiles = 17, .visual_tokens = 1088, .prompt_tokens = 1200, .answer_tokens = 64};
  estimate.pictures.AddPicture({.width = 1024, .height = 768, .rows = 4, .cols = 4, .visual_tokens = 1088});
  estimate.not_predicted = "nobody has measured";
  model_.estimate = [&](const EstimateRequest& request) {
    asked = request;
    return Result<Estimate>(estimate);
  };
  Start();
  const Json first = Json::parse(
      Ask(Post("/v1/estimate", R"({"pictures": [{"width": 1024, "height": 768}], "text": "What?", "detail": "high",
                                   "reduce": "stride:16", "question_first": true, "max_tokens": 9, "earlier_tokens": 3})"))
          .body);
  EXPECT_EQ(asked.pictures, (std::vector<std::pair<int, int>>{{1024, 768}}));
  EXPECT_EQ(asked.text, "What?");
  EXPECT_EQ(asked.options.detail.kind, PictureDetail::Kind::kReference);
  EXPECT_EQ(asked.options.reduce, "stride:16");
  EXPECT_TRUE(asked.options.question_first);
  EXPECT_EQ(asked.options.max_tokens, 9);
  EXPECT_EQ(asked.earlier_tokens, 3);
  EXPECT_EQ(first["visual_tokens"], 1088);
  EXPECT_EQ(first["pictures"][0]["rows"], 4);
  EXPECT_EQ(first["predicted"], nullptr) << "no figure that nobody has";
  EXPECT_EQ(first["not_predicted"], "nobody has measured");

  estimate.prediction = Prediction{.token_ms = 12.5, .from = "measured on 2026-11-26", .doubts = {}};
  estimate.prediction->ledger.Add(StageId::kEncode, {.wall_ns = 2'000'000});
  estimate.prediction->ledger.Add(StageId::kPrefill, {.wall_ns = 500'000});
  const Json second = Json::parse(Ask(Post("/v1/estimate", "{}")).body)["predicted"];
  EXPECT_TRUE(asked.pictures.empty());
  EXPECT_EQ(second["first_token_ms"], 2.5);
  EXPECT_EQ(second["token_ms"], 12.5);
  EXPECT_EQ(second["stages"].size(), 2u);
  EXPECT_EQ(second["stages"][0]["name"], "encode");

  for (const char* bad : {R"({"pictures": [{"width": 0, "height": 1}]})", R"({"pictures": {"width": 1}})",
                          R"({"pictures": [[1, 2]]})", R"({"detail": "huge"})", R"({"reduce": "stripe:1"})", "[]"}) {
    EXPECT_EQ(Ask(Post("/v1/estimate", bad)).status, 400) << bad;
  }
}

class BudgetTest : public ServerTest {
 protected:
  void StartWithPlanner() {
    model_.planner = NewPlanner();
    ServerOptions options;
    options.log = [this](std::string_view line) {
      const std::lock_guard<std::mutex> turn(turn_);
      log_ += line;
      log_ += '\n';
    };
    Start(std::move(options));
  }
  // A question about a picture.
  Reply AskWith(const std::string& more, const std::string& detail = "auto") {
    return Ask(Post("/v1/chat/completions",
                    fmt::format(R"({{"messages": [{{"role": "user", "content": [{{"type": "text", "text": "What?"}},
                        {{"type": "image_url", "image_url": {{"url": "data:image/gif;base64,{}", "detail": "{}"}}}}]}}], {}}})",
                                testing::kPixel, detail, more)));
  }
  Json BudgetOf(const Reply& reply) {
    EXPECT_EQ(reply.status, 200) << reply.body;
    return Json::parse(reply.body)["usage"]["eyeshot"]["budget"];
  }
  std::string ErrorOf(const Reply& reply) {
    EXPECT_EQ(reply.status, 400) << reply.body;
    return Json::parse(reply.body)["error"]["message"].get<std::string>();
  }
  std::string Log() {
    const std::lock_guard<std::mutex> turn(turn_);
    return log_;
  }

  std::mutex turn_;
  std::string log_;
};

TEST_F(BudgetTest, RequestsArePlannedAndSayHow) {
  StartWithPlanner();
  const Json rich = BudgetOf(AskWith(R"("budget": "1000s")"));
  EXPECT_EQ(rich["detail"], "reference");
  EXPECT_EQ(rich["reduce"], "none");
  EXPECT_EQ(rich["within"], true);
  EXPECT_EQ(rich["planned_joules"], nullptr);
  EXPECT_EQ(rich["doubts"][0], "it is made up");
  EXPECT_EQ(scheduler_.last_options.detail, PictureDetail());
  const double all_ms = rich["planned_ms"];

  const Json half = BudgetOf(AskWith(fmt::format(R"("budget": "{}ms")", all_ms / 2)));
  EXPECT_LE(half["planned_ms"], all_ms / 2);
  EXPECT_EQ(PictureDetailName(scheduler_.last_options.detail), half["detail"].get<std::string>());
  EXPECT_NE(half["why"].get<std::string>().find("the most tokens within"), std::string::npos) << half;

  const Json least = BudgetOf(AskWith(R"("budget": "1ms")"));
  EXPECT_EQ(least["within"], false);
  EXPECT_EQ(scheduler_.last_options.detail.kind, PictureDetail::Kind::kLow);
  EXPECT_NE(Log().find("detail=low reduce=none"), std::string::npos) << Log();

  const Json kept = BudgetOf(AskWith(R"("reduce": "pool:1e9ms")", "low"));
  EXPECT_EQ(kept["reduce"], "pool:64");
  EXPECT_EQ(scheduler_.last_options.reduce, "pool:64");
  EXPECT_EQ(BudgetOf(AskWith(R"("reduce": "pool:16")", "low")), nullptr);

  // Nothing to be planned.
  const Reply text =
      Ask(Post("/v1/chat/completions", R"({"messages": [{"role": "user", "content": "Hi"}], "reduce": "pool:5ms"})"));
  EXPECT_EQ(BudgetOf(text), nullptr);
  EXPECT_EQ(scheduler_.last_options.reduce, "none");
}

TEST_F(BudgetTest, WhatCanNotBePlannedSaysWhatToDo) {
  StartWithPlanner();
  const std::pair<const char*, const char*> bad[] = {
      {R"("budget": "soon")", "write 500ms"},
      {R"("budget": 500)", "budget"},
      {R"("budget": "5J")", "--watts"},
      {R"("budget": "1s", "reduce": "pool:5ms")", "two budgets"},
      {R"("reduce": "pool:1e-3ms")", "predicted to take"},
      {R"("reduce": "evs:1s")", "use another reducer"},
  };
  for (const auto& [more, word] : bad) {
    const std::string error = ErrorOf(AskWith(more));
    EXPECT_NE(error.find(word), std::string::npos) << more << ": " << error;
  }
  EXPECT_NE(ErrorOf(AskWith(R"("budget": "1s")", "low")).find("leave one of them out"), std::string::npos);
}

TEST_F(BudgetTest, MachinesThatWereNotMeasuredAreNamed) {
  model_.planner = NotFoundError("this machine was not measured", "run `eyeshot plan --calibrate`");
  Start();
  for (const char* more : {R"("budget": "1s")", R"("reduce": "pool:5ms")"}) {
    EXPECT_NE(ErrorOf(AskWith(more)).find("plan --calibrate"), std::string::npos) << more;
  }
  EXPECT_EQ(AskWith(R"("reduce": "pool:16")").status, 200);
}

TEST_F(BudgetTest, WhatWasOffIsLoggedAndPlannedAnew) {
  StartWithPlanner();
  const double all_ms = BudgetOf(AskWith(R"("budget": "1000s")"))["planned_ms"];
  scheduler_.decode_ns = 1000'000'000'000;  // a far slower machine
  const std::string budget = fmt::format(R"("budget": "{}ms")", 2 * all_ms);
  const Json first = BudgetOf(AskWith(budget));
  EXPECT_EQ(first["detail"], "reference");
  EXPECT_NE(first["off"].get<std::string>().find("decode took"), std::string::npos) << first;
  EXPECT_NE(Log().find("decode took"), std::string::npos) << Log();
  const Json second = BudgetOf(AskWith(budget));
  EXPECT_EQ(second["within"], false);
  EXPECT_EQ(second["detail"], "low");
}

TEST_F(BudgetTest, StreamsEndWithIt) {
  StartWithPlanner();
  const Reply reply = AskWith(R"("budget": "1ms", "stream": true, "stream_options": {"include_usage": true})");
  EXPECT_NE(reply.body.find(R"("budget":{"detail":"low")"), std::string::npos) << reply.body;
}

TEST_F(ServerTest, EstimatesTakeVideosAndBudgets) {
  EstimateRequest asked;
  model_.media.video = {.fps = 1, .max_frames = 8};
  model_.estimate = [&](const EstimateRequest& request) {
    asked = request;
    return Result<Estimate>(Estimate{});
  };
  Start();
  EXPECT_EQ(Ask(Post("/v1/estimate", R"({"budget": "500ms", "videos": [{"duration_s": 5, "width": 640, "height": 360},
      {"duration_s": 60}, {"duration_s": 60, "fps": 2, "max_frames": 16}, {"frames": 3, "fps": 2}]})"))
                .status,
            200);
  ASSERT_TRUE(asked.limit);
  EXPECT_EQ(asked.limit->budget.ms, 500);
  ASSERT_EQ(asked.clips.size(), 4u);
  EXPECT_EQ(asked.clips[0].timestamps_s.size(), 5u);
  EXPECT_EQ(asked.clips[0].timestamps_s.front(), 0);
  EXPECT_EQ(asked.clips[0].width, 640);
  EXPECT_EQ(asked.clips[1].timestamps_s.size(), 8u);
  EXPECT_EQ(asked.clips[1].timestamps_s.front(), 1) << "of a long video its ends are left out";
  EXPECT_EQ(asked.clips[2].timestamps_s.size(), 16u);
  EXPECT_EQ(asked.clips[3].timestamps_s, (std::vector<double>{0, 0.5, 1}));
  EXPECT_EQ(asked.clips[3].duration_s, 1.5);
  for (const char* bad : {R"({"videos": [{}]})", R"({"videos": {"frames": 1}})", R"({"videos": [{"frames": 513}]})",
                          R"({"videos": [{"frames": 500}, {"frames": 500}]})", R"({"videos": [{"duration_s": -1}]})",
                          R"({"videos": [{"frames": 2, "fps": 1e-9}]})", R"({"budget": "soon"})",
                          R"({"budget": "1s", "detail": "low"})"}) {
    EXPECT_EQ(Ask(Post("/v1/estimate", bad)).status, 400) << bad;
  }
}

TEST_F(ServerTest, SaysWhatItIs) {
  Start();
  EXPECT_EQ(Json::parse(Ask(Get("/v1/models")).body)["data"][0]["id"], "fake");
  EXPECT_EQ(Ask(Get("/v1/models/fake")).status, 200);
  EXPECT_EQ(Ask(Get("/v1/models/other")).status, 404);
  EXPECT_EQ(Ask(Get("/health")).status, 200);
  EXPECT_EQ(Ask(Get("/ready?verbose=1")).status, 200);
  EXPECT_TRUE(Json::accept(Ask(Get("/openapi.json")).body));
  const Reply page = Ask(Get("/"));
  EXPECT_NE(page.head.find("Content-Security-Policy: default-src 'none'"), std::string::npos);
  Ask(Post("/v1/chat/completions", kHello));
  const std::string metrics = Ask(Get("/metrics")).body;
  EXPECT_NE(metrics.find("route=\"/v1/chat/completions\",code=\"200\"} 1\n"), std::string::npos) << metrics;
  EXPECT_NE(metrics.find("eyeshot_request_seconds_count 1\n"), std::string::npos);
}

TEST_F(ServerTest, RefusesWhatItCanNotAnswer) {
  Start({.http = {.max_body_bytes = 1000}});
  EXPECT_EQ(Ask(Get("/nothing")).status, 404);
  const Reply method = Ask(Get("/v1/chat/completions"));
  EXPECT_EQ(method.status, 405);
  EXPECT_NE(method.head.find("Allow: POST"), std::string::npos);
  EXPECT_EQ(CodeOf(Ask(Post("/v1/chat/completions", "{"))), "invalid_request");
  EXPECT_EQ(Ask("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}").status, 415);
  EXPECT_EQ(Ask(Post("/v1/chat/completions", std::string(1001, ' '))).status, 413);
  EXPECT_EQ(Ask("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                "Transfer-Encoding: chunked\r\n\r\n3E9\r\n" +
                std::string(1001, ' ') + "\r\n0\r\n\r\n")
                .status,
            413);
  EXPECT_EQ(Ask("nonsense\r\n\r\n").status, 400);
  EXPECT_EQ(Ask(Get("/health", "X-Long: " + std::string(20000, 'a') + "\r\n")).status, 431);
  EXPECT_EQ(Ask("GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n").status, 403);
  EXPECT_EQ(Ask("GET /health HTTP/1.1\r\nHost: LocalHost:80\r\n\r\n").status, 200);
  const Reply picture = Ask(Post("/v1/chat/completions", R"({"messages": [{"role": "user", "content": [
      {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}]})"));
  EXPECT_EQ(picture.status, 415);
  EXPECT_EQ(CodeOf(picture), "unsupported_media");
}

TEST_F(ServerTest, PassesTheSchedulersRefusalsOn) {
  Start();
  scheduler_.refusal = Status(StatusCode::kBusy, "64 requests wait", "try again");
  const Reply full = Ask(Post("/v1/chat/completions", kHello));
  EXPECT_EQ(full.status, 429);
  EXPECT_NE(full.head.find("Retry-After"), std::string::npos);
  scheduler_.refusal = Status(StatusCode::kLimitExceeded, "600 frames", "send fewer");
  EXPECT_EQ(Ask(Post("/v1/chat/completions", kHello)).status, 400) << "it would be as much the next time";
  scheduler_.refusal = Status(StatusCode::kContextFull, "too long", "ask less");
  const Reply context = Ask(Post("/v1/chat/completions", kStream));
  EXPECT_EQ(context.status, 400) << "a stream that has not begun has a status";
  EXPECT_EQ(CodeOf(context), "context_length_exceeded");
  scheduler_.refusal = Status::Ok();
  scheduler_.failure = Status(StatusCode::kOutOfMemory, "no room", "wait");
  EXPECT_EQ(Ask(Post("/v1/chat/completions", kStream)).status, 503);
}

TEST_F(ServerTest, AsksForAKey) {
  const std::string path = ::testing::TempDir() + "eyeshot_http_test_keys.txt";
  std::ofstream(path) << "secret\n";
  Start({.key_file = path});
  std::remove(path.c_str());
  const Reply without = Ask(Post("/v1/chat/completions", kHello));
  EXPECT_EQ(without.status, 401);
  EXPECT_EQ(CodeOf(without), "invalid_api_key");
  EXPECT_EQ(Ask(Get("/metrics")).status, 401);
  EXPECT_EQ(Ask(Get("/health")).status, 200);
  EXPECT_EQ(Ask(Get("/")).status, 200);
  EXPECT_EQ(Ask(Post("/v1/chat/completions", kHello, "Authorization: Bearer secret\r\n")).status, 200);
  EXPECT_EQ(scheduler_.last_client, "key 0");
}

TEST_F(ServerTest, LimitsTheRequestsOfAClient) {
  scheduler_.Hold();
  Start({.requests_per_client = 1});
  Client first(server_->port());
  first.Send(Post("/v1/chat/completions", kStream));
  first.ReadUntil("\"A \"");
  EXPECT_EQ(CodeOf(Ask(Post("/v1/chat/completions", kHello))), "too_many_requests");
  scheduler_.Release();
  first.ReadUntil("[DONE]");
}

TEST_F(ServerTest, CancelsForAClientThatGoes) {
  for (const char* body : {kStream, kHello}) {
    FakeScheduler scheduler;
    scheduler.Hold();
    auto server = Server::Create({.scheduler = &scheduler}, {.http = {.port = 0}});
    ASSERT_TRUE(server.ok());
    std::thread thread([&] { (*server)->Run(); });
    {
      Client client((*server)->port());
      client.Send(Post("/v1/chat/completions", body));
      if (body == kStream) client.ReadUntil("\"A \"");
      while (scheduler.stats().waiting > 0) std::this_thread::yield();
    }
    EXPECT_TRUE(scheduler.WaitForCancel());
    (*server)->ShutDown();
    thread.join();
  }
}

TEST_F(ServerTest, DropsAClientThatDoesNotRead) {
  scheduler_.pieces = std::vector<std::string>(2000, std::string(8192, 'x'));
  Start({.http = {.max_unsent_bytes = 65536}});
  Client client(server_->port());
  client.Send(Post("/v1/chat/completions", kStream));
  EXPECT_TRUE(scheduler_.WaitForCancel());
  EXPECT_EQ(Ask(Get("/health")).status, 200) << "others are served";
}

TEST_F(ServerTest, DropsAClientThatDoesNotSend) {
  Start({.http = {.header_time = std::chrono::milliseconds(50), .body_time = std::chrono::milliseconds(50)}});
  Client silent(server_->port()), slow(server_->port());
  slow.Send(
      "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Content-Length: 100\r\n\r\n{");
  EXPECT_EQ(silent.ReadAll(), "");
  EXPECT_EQ(slow.ReadAll(), "");
}

TEST_F(ServerTest, KeepsNoRoomForBodiesThatDoNotCome) {
  Start({.http = {.body_time = std::chrono::milliseconds(50)}});
  std::deque<Client> idle;  // as many as there is room for
  for (uint64_t i = 0; i < limits::kMaxBodiesBytes / limits::kMaxBodyBytes; ++i) {
    idle.emplace_back(server_->port())
        .Send(fmt::format("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                          "Content-Length: {}\r\n\r\n{{",
                          limits::kMaxBodyBytes));
  }
  for (Client& client : idle) EXPECT_EQ(client.ReadAll(), "");
  EXPECT_EQ(Ask(Post("/v1/chat/completions", kHello)).status, 200);
}

TEST_F(ServerTest, BooksErrorsOfReadingOnNoOtherRequest) {
  Start();
  Client client(server_->port());
  client.Send(Get("/health"));
  EXPECT_EQ(Read(client).status, 200);
  client.Send("nonsense\r\n\r\n");
  EXPECT_EQ(Read(client).status, 400);
  const std::string metrics = Ask(Get("/metrics")).body;
  EXPECT_NE(metrics.find("route=\"other\",code=\"400\"} 1\n"), std::string::npos) << metrics;
}

TEST_F(ServerTest, StreamsAnswersWithoutAWord) {
  scheduler_.pieces = {};
  Start();
  const Reply reply = Ask(Post("/v1/chat/completions", kStream));
  EXPECT_NE(reply.head.find("X-Accel-Buffering: no"), std::string::npos) << reply.head;
  EXPECT_NE(reply.body.find("\"role\":\"assistant\""), std::string::npos) << reply.body;
  EXPECT_TRUE(reply.body.ends_with("data: [DONE]\n\n"));
}

TEST_F(ServerTest, TellsAClientToGoOn) {
  Start();
  Client client(server_->port());
  const std::string request = Post("/v1/chat/completions", kHello, "Expect: 100-continue\r\n");
  const size_t end = request.find("\r\n\r\n") + 4;
  client.Send(request.substr(0, end));
  EXPECT_EQ(client.ReadUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Send(request.substr(end));
  EXPECT_EQ(Read(client).status, 200);
}

TEST_F(ServerTest, SpeaksWithOldClientsAndPipelines) {
  Start();
  Client old(server_->port());
  old.Send("GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n");
  EXPECT_NE(old.ReadAll().find("{\"status\":\"ok\"}"), std::string::npos) << "the connection ends with the answer";
  Client both(server_->port());
  both.Send(Get("/health") + Get("/v1/models"));
  EXPECT_EQ(Read(both).status, 200);
  EXPECT_NE(Read(both).body.find("fake"), std::string::npos);
  Client head(server_->port());
  head.Send("HEAD /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(head.ReadAll().ends_with("\r\n\r\n"));
}

TEST_F(ServerTest, RefusesMoreConnectionsThanItMayHave) {
  Start({.http = {.max_connections = 1}});
  Client first(server_->port());
  first.Send(Get("/health"));
  EXPECT_EQ(Read(first).status, 200);
  Client second(server_->port());
  EXPECT_TRUE(second.ReadAll().starts_with("HTTP/1.1 503"));
}

TEST_F(ServerTest, LetsAnswersEndBeforeItDoes) {
  scheduler_.Hold();
  Start();
  Client client(server_->port());
  client.Send(Post("/v1/chat/completions", kStream));
  client.ReadUntil("\"A \"");
  server_->ShutDown();
  while (Ask(Get("/ready")).status == 200) std::this_thread::yield();
  EXPECT_EQ(CodeOf(Ask(Post("/v1/chat/completions", kHello))), "shutting_down");
  scheduler_.Release();
  EXPECT_NE(client.ReadUntil("[DONE]").find("caf"), std::string::npos);
  thread_.join();
  EXPECT_TRUE(drained_);
  EXPECT_FALSE(Client(server_->port()).connected());
  server_.reset();
}

// Another server, of which pictures are fetched.
class OtherServer final : public HttpHandler {
 public:
  std::optional<HttpResponse> CheckHead(const HttpRequest& /*head*/) override { return std::nullopt; }
  void Handle(HttpRequest request, std::shared_ptr<HttpExchange> exchange) override {
    if (request.path == "/moved") return exchange->Send({.status = 302, .headers = {{"Location", "/100"}}});
    if (request.path == "/none") return exchange->Send({.status = 404});
    if (request.path != "/chunks") {
      return exchange->Send({.body = std::string(std::stoul(request.path.substr(1)), 'x')});
    }
    exchange->Begin({});
    for (int i = 0; i < 11; ++i) exchange->Write("0123456789");
    exchange->End();
  }
  HttpResponse Refusal(int status, std::string_view /*why*/) override { return {.status = status}; }
  void OnAnswered(const HttpRequest& /*head*/, int /*status*/, double /*seconds*/) override {}
};

TEST(Fetching, TakesWhatAServerHasWithinItsLimit) {
  OtherServer other;
  const auto server = HttpServer::Listen({.port = 0}, other);
  ASSERT_TRUE(server.ok()) << server.status().message();
  std::thread thread([&] { (*server)->Run(); });
  const std::vector<std::string> hosts = {"LocalHost"};
  const auto fetch = [&](std::string_view path) {
    return FetchUrl(fmt::format("http://LOCALHOST:{}{}", (*server)->port(), path),
                    {.hosts = hosts, .max_bytes = 100, .allow_private_addresses = true});
  };
  const auto bytes = fetch("/100");
  EXPECT_TRUE(bytes.ok() && *bytes == std::vector<uint8_t>(100, 'x')) << bytes.status().message();
  EXPECT_EQ(fetch("/101").status().code(), StatusCode::kLimitExceeded);
  EXPECT_EQ(fetch("/chunks").status().code(), StatusCode::kLimitExceeded) << "whose length is not said before";
  EXPECT_EQ(fetch("/none").status().code(), StatusCode::kIo);
  const auto moved = fetch("/moved");
  EXPECT_EQ(moved.status().code(), StatusCode::kIo);
  EXPECT_NE(moved.status().message().find("302"), std::string::npos) << moved.status().message();
  (*server)->Stop();
  thread.join();
}

TEST(ServerStart, SaysWhyItCanNot) {
  FakeScheduler scheduler;
  const auto no_address = Server::Create({.scheduler = &scheduler}, {.http = {.address = "localhost", .port = 0}});
  EXPECT_EQ(no_address.status().code(), StatusCode::kInvalidArgument);
  const auto first = Server::Create({.scheduler = &scheduler}, {.http = {.port = 0}});
  ASSERT_TRUE(first.ok());
  const auto second = Server::Create({.scheduler = &scheduler}, {.http = {.port = (*first)->port()}});
  EXPECT_EQ(second.status().code(), StatusCode::kIo);
  EXPECT_NE(second.status().message().find("--port"), std::string::npos);
}

}  // namespace
}  // namespace eyeshot::server
