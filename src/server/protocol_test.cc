// What requests and their parts mean, without a socket.
#include "server/protocol.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "base/base64.h"
#include "base/limits.h"
#include "server/answer_pipe.h"
#include "server/api_keys.h"
#include "server/data_url.h"
#include "server/fetch.h"
#include "server/media_loader.h"
#include "server/metrics.h"
#include "server/replies.h"

namespace eyeshot::server {
namespace {

std::string Text(const std::vector<uint8_t>& bytes) { return {bytes.begin(), bytes.end()}; }

TEST(Base64, DecodesWhatEncodersWrite) {
  EXPECT_EQ(Text(*DecodeBase64("")), "");
  EXPECT_EQ(Text(*DecodeBase64("Zg==")), "f");
  EXPECT_EQ(Text(*DecodeBase64("Zm8=")), "fo");
  EXPECT_EQ(Text(*DecodeBase64("Zm9v")), "foo");
  EXPECT_EQ(Text(*DecodeBase64("Zm8")), "fo") << "padding may be missing";
  EXPECT_EQ(Text(*DecodeBase64("Zm\r\n9v\n")), "foo") << "MIME breaks lines";
  EXPECT_EQ(*DecodeBase64("/+8="), (std::vector<uint8_t>{0xFF, 0xEF}));
}

TEST(Base64, RefusesTheRest) {
  for (const char* text : {"Z", "Zm9vY", "Zm 9v", "Zm-_", "Zm8=Zm8=", "Zh==", "===", "Zm9v===="}) {
    const auto bytes = DecodeBase64(text);
    EXPECT_EQ(bytes.status().code(), StatusCode::kCorrupt) << text;
  }
}

TEST(DataUrls, ArePartedAtTheComma) {
  const auto url = ParseDataUrl("DATA:Image/PNG;charset=utf-8;BASE64,Zm9v");
  ASSERT_TRUE(url.ok());
  EXPECT_EQ(url->media_type, "image/png");
  EXPECT_TRUE(url->base64);
  EXPECT_EQ(Text(*DecodeData(*url)), "foo");
  EXPECT_EQ(Text(*DecodeData(*ParseDataUrl("data:,a%20b"))), "a b");
  EXPECT_FALSE(ParseDataUrl("data:image/png;base64").ok());
  EXPECT_FALSE(DecodeData(*ParseDataUrl("data:,a%2")).ok());
  EXPECT_FALSE(DecodeData(*ParseDataUrl("data:,%zz")).ok());
}

GenerationRequest Chat(const std::string& body, int64_t context = 8192) {
  const auto request = ParseChatRequest(body, {}, context);
  EXPECT_TRUE(request.ok()) << request.status().message();
  return request.ok() ? *request : GenerationRequest();
}

// With a message, and `more` keys.
std::string Body(const std::string& more) {
  return R"({"messages": [{"role": "user", "content": "Hi"}])" + (more.empty() ? "" : ", " + more) + "}";
}

TEST(ChatRequests, HoldMessagesTextAndMedia) {
  const GenerationRequest request = Chat(R"({"model": "x", "messages": [
      {"role": "developer", "content": "Be brief."},
      {"role": "user", "content": [
        {"type": "text", "text": "Compare"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
        {"type": "image_url", "image_url": "data:,x"},
        {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AA==", "fps": 2, "max_frames": 8}}]},
      {"role": "assistant", "content": "Answer:"}]})");
  ASSERT_EQ(request.messages.size(), 3u);
  EXPECT_EQ(request.messages[0].role, Role::kSystem);
  EXPECT_EQ(request.messages[2].role, Role::kAssistant);
  const auto& parts = request.messages[1].parts;
  ASSERT_EQ(parts.size(), 4u);
  EXPECT_EQ(std::get<std::string>(parts[0]), "Compare");
  EXPECT_EQ(std::get<MediaReference>(parts[1]).url, "data:image/png;base64,AA==");
  EXPECT_EQ(std::get<MediaReference>(parts[2]).url, "data:,x");
  EXPECT_TRUE(std::get<MediaReference>(parts[3]).video);
  EXPECT_EQ(std::get<MediaReference>(parts[3]).max_frames, 8);
  EXPECT_EQ(request.options.detail.kind, PictureDetail::Kind::kLow);
}

TEST(ChatRequests, TakeTheMostDetailThatIsAskedFor) {
  const auto detail = [](const std::string& words) {
    std::string parts;
    for (const char word : words) {
      const std::string name = word == 'l' ? "low" : word == 'h' ? "high" : word == 'a' ? "auto" : std::string(1, word);
      parts += R"({"type": "image_url", "image_url": {"url": "data:,", "detail": ")" + name + R"("}},)";
    }
    return PictureDetailName(
        Chat(R"({"messages": [{"role": "user", "content": [)" + parts + R"({"type": "text", "text": "?"}]}]})")
            .options.detail);
  };
  EXPECT_EQ(detail("la"), "auto");
  EXPECT_EQ(detail("al2"), "2");
  EXPECT_EQ(detail("32"), "3");
  EXPECT_EQ(detail("lh6"), "reference");
}

TEST(ChatRequests, SayHowToAnswer) {
  const GenerationRequest request = Chat(Body(
      R"("max_tokens": 32768, "temperature": 0.5, "top_p": 0.9, "top_k": -1, "min_p": 0.1, "repetition_penalty": 1.1,
         "seed": 7, "stop": ["\n", "END"], "stream": true, "stream_options": {"include_usage": true}, "n": 1,
         "frequency_penalty": 0.0, "logprobs": false, "tools": [], "response_format": {"type": "text"},
         "chat_template_kwargs": {"enable_thinking": false}, "user": "me")"));
  const AskOptions& options = request.options;
  EXPECT_EQ(options.max_tokens, 8192) << "clipped to the context";
  EXPECT_FLOAT_EQ(options.sampling.temperature, 0.5f);
  EXPECT_FLOAT_EQ(options.sampling.top_p, 0.9f);
  EXPECT_EQ(options.sampling.top_k, 0);
  EXPECT_EQ(options.sampling.seed, 7u);
  EXPECT_EQ(options.stop, (std::vector<std::string>{"\n", "END"}));
  EXPECT_TRUE(request.stream && request.include_usage);
  EXPECT_EQ(Chat(Body(R"("max_tokens": 5, "max_completion_tokens": 3)")).options.max_tokens, 3);
  EXPECT_EQ(Chat(Body(R"("stop": "x", "max_tokens": null)")).options.stop, std::vector<std::string>{"x"});
}

TEST(ChatRequests, SayHowManyVisualTokensStay) {
  const AskOptions own = Chat(Body(R"("reduce": "stride:25%,global=all", "question_first": true)")).options;
  EXPECT_EQ(own.reduce, "stride:25%,global=all");
  EXPECT_TRUE(own.question_first);
  const AskOptions defaults = {.reduce = "pool:16", .question_first = true};
  const AskOptions silent = ParseChatRequest(Body(""), defaults, 100)->options;
  EXPECT_EQ(silent.reduce, "pool:16");
  EXPECT_TRUE(silent.question_first);
  const AskOptions without =
      ParseChatRequest(Body(R"("reduce": "none", "question_first": false)"), defaults, 100)->options;
  EXPECT_EQ(without.reduce, "none");
  EXPECT_FALSE(without.question_first);
}

TEST(ChatRequests, SayWhatTheyMayCost) {
  EXPECT_FALSE(Chat(Body("")).limit);
  const auto both = Chat(Body(R"("budget": "500ms,20J", "reduce": "stride:16")")).limit;
  ASSERT_TRUE(both);
  EXPECT_EQ(both->budget.ms, 500);
  EXPECT_EQ(both->budget.joules, 20);
  EXPECT_FALSE(both->of_keep);
  const auto keep = Chat(Body(R"("reduce": "stride:5J")")).limit;
  ASSERT_TRUE(keep);
  EXPECT_TRUE(keep->of_keep);
  EXPECT_EQ(keep->budget.joules, 5);
  EXPECT_TRUE(ParseChatRequest(Body(""), {.reduce = "pool:1s"}, 100)->limit) << "of the server's own flags";
}

TEST(ChatRequests, SayWhatIsWrongWithThem) {
  const std::string part = R"({"messages": [{"role": "user", "content": [)";
  const struct {
    std::string body, word;
  } bodies[] = {
      {"", "JSON"},
      {"[]", "object"},
      {"{", "JSON"},
      {R"({"a": 1, "a": 2})", "twice"},
      {R"({"messages": []})", "messages"},
      {R"({"messages": "Hi"})", "messages"},
      {R"({"messages": [{"content": "Hi"}]})", "messages[0]: role"},
      {R"({"messages": [{"role": "tool", "content": "Hi"}]})", "role"},
      {R"({"messages": [{"role": "user"}]})", "content"},
      {R"({"messages": [{"role": "user", "content": []}]})", "content"},
      {R"({"messages": [{"role": "user", "content": 5}]})", "content"},
      {part + R"({"type": "audio"}]}]})", "audio"},
      {part + R"({"type": "text"}]}]})", "text"},
      {part + R"({"type": "image_url"}]}]})", "image_url"},
      {part + R"({"type": "image_url", "image_url": {"detail": "low"}}]}]})", "url"},
      {part + R"({"type": "image_url", "image_url": {"url": "data:,", "detail": "huge"}}]}]})", "huge"},
      {Body(R"("max_tokens": 0)"), "max_tokens"},
      {Body(R"("max_tokens": "many")"), "max_tokens"},
      {Body(R"("temperature": -1)"), "temperature"},
      {Body(R"("top_p": 1.5)"), "top_p"},
      {Body(R"("reduce": "stripe:16")"), "reduce: "},
      {Body(R"("reduce": 16)"), "reduce"},
      {Body(R"("budget": "500")"), "budget"},
      {Body(R"("budget": "1s", "reduce": "pool:1s")"), "two budgets"},
      {Body(R"("question_first": "yes")"), "question_first"},
      {Body(R"("stop": 5)"), "stop"},
      {Body(R"("stop": [""])"), "stop"},
      {Body(R"("stream": "yes")"), "stream"},
      {Body(R"("n": 2)"), "n is 2"},
      {Body(R"("tools": [{}])"), "tools"},
      {Body(R"("logprobs": true)"), "logprobs"},
      {Body(R"("presence_penalty": 0.5)"), "presence_penalty"},
      {Body(R"("response_format": {"type": "json_object"})"), "response_format"},
  };
  for (const auto& [body, word] : bodies) {
    const auto request = ParseChatRequest(body, {}, 100);
    ASSERT_FALSE(request.ok()) << body;
    EXPECT_NE(request.status().message().find(word), std::string::npos) << request.status().message();
    EXPECT_EQ(request.status().message().find("download"), std::string::npos) << request.status().message();
  }
}

TEST(ChatRequests, AreQuotedInPart) {
  const auto message = [](const std::string& stop) {
    return ParseChatRequest(Body("\"stop\": " + stop), {}, 100).status().message();
  };
  EXPECT_NE(message(R"({"a": [1, "b", {}]})").find(R"(stop is {"a":[1,"b",{}]}, expected)"), std::string::npos)
      << message(R"({"a": [1, "b", {}]})");
  std::string zeros = "0";
  for (int i = 0; i < 1000; ++i) zeros += ",0";
  const std::string quoted = message(R"({"a": [)" + zeros + "]}");
  EXPECT_NE(quoted.find(R"(stop is {"a":[0,0,)"), std::string::npos) << quoted;
  EXPECT_NE(quoted.find("0,0,..., expected"), std::string::npos) << quoted;
}

TEST(ChatRequests, AreBounded) {
  std::string many = R"({"messages": [{"role": "user", "content": "Hi"}], "x": [0)";
  for (size_t i = 0; i < limits::kMaxBodyValues; ++i) many += ",0";
  EXPECT_EQ(ParseChatRequest(many + "]}", {}, 100).status().code(), StatusCode::kLimitExceeded);
  std::string turns = R"({"messages": [{"role": "user", "content": "Hi"})";
  for (size_t i = 0; i < limits::kMaxTurns; ++i) turns += R"(,{"role": "user", "content": "Hi"})";
  EXPECT_EQ(ParseChatRequest(turns + "]}", {}, 100).status().code(), StatusCode::kLimitExceeded);
}

TEST(CompletionRequests, HoldPromptsAsTheyAre) {
  const auto prompts = [](const std::string& json) {
    const auto request = ParseCompletionRequest(fmt::format(R"({{"prompt": {}, "max_tokens": 4}})", json), {}, 100);
    EXPECT_TRUE(request.ok()) << json << ": " << request.status().message();
    if (!request.ok()) return std::vector<RawPrompt>();
    EXPECT_TRUE(request->messages.empty());
    EXPECT_EQ(request->options.max_tokens, 4);
    return request->prompts;
  };
  using Prompts = std::vector<RawPrompt>;
  EXPECT_EQ(prompts(R"("Once")"), Prompts{std::string("Once")});
  EXPECT_EQ(prompts(R"(["Once"])"), Prompts{std::string("Once")});
  EXPECT_EQ(prompts(R"(["a", "b"])"), (Prompts{std::string("a"), std::string("b")}));
  EXPECT_EQ(prompts("[1, 2]"), Prompts{(std::vector<int32_t>{1, 2})});
  EXPECT_EQ(prompts("[[1, 2], [3]]"), (Prompts{std::vector<int32_t>{1, 2}, std::vector<int32_t>{3}}));
}

TEST(CompletionRequests, SayWhatIsWrong) {
  const std::pair<const char*, const char*> wrong[] = {{"{}", "prompt"},
                                                       {R"({"prompt": 5})", "array of token ids"},
                                                       {R"({"prompt": []})", "array of token ids"},
                                                       {R"({"prompt": [1, "a"]})", "array of token ids"},
                                                       {R"({"prompt": ["a", 1]})", "array of token ids"},
                                                       {R"({"prompt": [1.5]})", "array of token ids"},
                                                       {R"({"prompt": [[["a"]]]})", "array of token ids"},
                                                       {R"({"prompt": [-1]})", "-1"},
                                                       {R"({"prompt": [3000000000]})", "3000000000"},
                                                       {R"({"prompt": [18446744073709551615]})", "no token id"},
                                                       {R"({"prompt": "a", "echo": true})", "echo"},
                                                       {R"({"prompt": "a", "logprobs": 0})", "logprobs"},
                                                       {R"({"prompt": "a", "suffix": "b"})", "suffix"},
                                                       {R"({"prompt": "a", "n": 2})", "n"},
                                                       {R"({"prompt": "a", "best_of": 2})", "best_of"}};
  for (const auto& [body, found] : wrong) {
    const auto request = ParseCompletionRequest(body, {}, 100);
    ASSERT_FALSE(request.ok()) << body;
    EXPECT_NE(request.status().message().find(found), std::string::npos) << request.status().message();
    EXPECT_EQ(ErrorReply(request.status(), RequestStep::kParse).status, 400) << body;
  }
  // What clients send to say nothing.
  EXPECT_TRUE(ParseCompletionRequest(
                  R"({"prompt": "a", "echo": false, "logprobs": null, "suffix": null, "n": 1, "best_of": 1})", {}, 100)
                  .ok());
  std::string many = R"({"prompt": ["a")";
  for (size_t i = 0; i < kMaxPrompts; ++i) many += R"(,"a")";
  EXPECT_EQ(ParseCompletionRequest(many + "]}", {}, 100).status().code(), StatusCode::kLimitExceeded);
}

TEST(TokenizeRequests, HoldAText) {
  EXPECT_EQ(*ParseTokenizeRequest(R"({"content": "a"})"), "a");
  EXPECT_EQ(*ParseTokenizeRequest(R"({"prompt": "b"})"), "b");
  EXPECT_FALSE(ParseTokenizeRequest(R"({})").ok());
}

TEST(Replies, AreFramedAsEvents) {
  const ReplyName name{.chat = true, .id = "chatcmpl-1", .created = 5, .model = "m"};
  EXPECT_EQ(
      TextEvent(name, "a\n\n\"b\xFF"),
      "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":5,\"model\":\"m\",\"choices\":"
      "[{\"index\":0,\"delta\":{\"content\":\"a\\n\\n\\\"b\xEF\xBF\xBD\"},\"finish_reason\":null}]}\n\n");
  EXPECT_NE(FinishEvent(name, FinishReason::kContext).find("\"finish_reason\":\"length\""), std::string::npos);
  const ReplyName text{.chat = false, .id = "cmpl-1", .created = 5, .model = "m"};
  EXPECT_EQ(FirstEvent(text), "");
  EXPECT_NE(TextEvent(text, "x").find("\"text\":\"x\""), std::string::npos);
}

TEST(Replies, HaveTheStatusOfTheError) {
  const auto status = [](StatusCode code, RequestStep step) { return ErrorReply(Status(code, "a", "b"), step).status; };
  EXPECT_EQ(status(StatusCode::kCorrupt, RequestStep::kParse), 400);
  EXPECT_EQ(status(StatusCode::kCorrupt, RequestStep::kMedia), 422);
  EXPECT_EQ(status(StatusCode::kUnsupported, RequestStep::kMedia), 415);
  EXPECT_EQ(status(StatusCode::kLimitExceeded, RequestStep::kMedia), 413);
  EXPECT_EQ(status(StatusCode::kLimitExceeded, RequestStep::kSubmit), 400);
  EXPECT_EQ(status(StatusCode::kBusy, RequestStep::kSubmit), 429);
  EXPECT_EQ(status(StatusCode::kContextFull, RequestStep::kSubmit), 400);
  EXPECT_EQ(status(StatusCode::kOutOfMemory, RequestStep::kRun), 503);
  EXPECT_EQ(ErrorReply(429, "queue_full", "full").headers[0].first, "Retry-After");
}

TEST(ApiKeys, AreFoundByTheirBearer) {
  const auto keys = ApiKeys::Parse("# team\nalpha\r\n\nbeta\n", "keys.txt");
  ASSERT_TRUE(keys.ok());
  EXPECT_EQ(keys->Find("Bearer alpha"), 0u);
  EXPECT_EQ(keys->Find("Bearer beta"), 1u);
  for (const char* wrong : {"", "alpha", "Bearer ", "Bearer alph", "Bearer alphaa", "Basic alpha", "Bearer # team"}) {
    EXPECT_FALSE(keys->Find(wrong).has_value()) << wrong;
  }
  EXPECT_FALSE(ApiKeys::Parse("# nothing\n", "keys.txt").ok());
  const auto bad = ApiKeys::Parse("good\nnot good\n", "keys.txt");
  EXPECT_NE(bad.status().message().find("line 2"), std::string::npos);
  EXPECT_EQ(bad.status().message().find("not good"), std::string::npos) << "keys are not shown";
}

bool IsPublic(const std::string& text) {
  sockaddr_storage storage = {};
  if (text.find(':') == std::string::npos) {
    auto& in = reinterpret_cast<sockaddr_in&>(storage);
    in.sin_family = AF_INET;
    EXPECT_EQ(inet_pton(AF_INET, text.c_str(), &in.sin_addr), 1) << text;
  } else {
    auto& in = reinterpret_cast<sockaddr_in6&>(storage);
    in.sin6_family = AF_INET6;
    EXPECT_EQ(inet_pton(AF_INET6, text.c_str(), &in.sin6_addr), 1) << text;
  }
  return IsPublicAddress(reinterpret_cast<const sockaddr&>(storage));
}

TEST(Addresses, OfPrivateNetworksAreKnown) {
  for (const char* address : {"1.1.1.1", "172.15.0.1", "172.32.0.1", "192.169.0.1", "100.63.0.1", "2606:4700::1111"}) {
    EXPECT_TRUE(IsPublic(address)) << address;
  }
  for (const char* address : {"0.0.0.0",
                              "10.1.2.3",
                              "100.64.0.1",
                              "127.0.0.1",
                              "169.254.169.254",
                              "172.16.0.1",
                              "172.31.255.255",
                              "192.168.1.1",
                              "198.19.0.1",
                              "203.0.113.9",
                              "224.0.0.1",
                              "255.255.255.255",
                              "::",
                              "::1",
                              "fe80::1",
                              "fc00::1",
                              "ff02::1",
                              "::ffff:10.0.0.1",
                              "64:ff9b::a00:1",
                              "2002:7f00:1::",
                              "2001::1",
                              "2001:db8::1"}) {
    EXPECT_FALSE(IsPublic(address)) << address;
  }
}

TEST(Fetching, TakesAllowedHostsAlone) {
  const std::vector<std::string> hosts = {"localhost"};
  for (const char* url : {"http://example.com/a.png", "http://localhost.example.com/", "http://127.0.0.1/",
                          "http://localhost@example.com/", "http:///a"}) {
    const auto bytes = FetchUrl(url, {.hosts = hosts, .max_bytes = 100});
    EXPECT_EQ(bytes.status().code(), StatusCode::kInvalidArgument) << url << ": " << bytes.status().message();
  }
  // An allowed name that means this machine.
  const auto bytes = FetchUrl("http://localhost:1/a.png", {.hosts = hosts, .max_bytes = 100});
  EXPECT_EQ(bytes.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(bytes.status().message().find("private"), std::string::npos) << bytes.status().message();
}

TEST(FileUrls, StayBelowTheirFolder) {
  const std::filesystem::path root = std::filesystem::temp_directory_path() / "eyeshot_file_urls_test";
  std::filesystem::remove_all(root);
  std::filesystem::create_directories(root / "open");
  std::ofstream(root / "open/a b.txt") << "inside";
  std::ofstream(root / "secret.txt") << "secret";
  std::filesystem::create_symlink(root / "secret.txt", root / "open/link.txt");
  const std::string folder = (root / "open").string();
  const auto read = [&](const std::string& path) { return ReadFileUrl("file://" + path, folder, 100); };
  EXPECT_EQ(Text(*read(folder + "/a%20b.txt")), "inside");
  for (const std::string& path :
       {(root / "secret.txt").string(), folder + "/../secret.txt", folder + "/link.txt", folder,
        folder + "/%2e%2e/secret.txt", std::string("open/a b.txt"), folder + "/a%20b.txt%00.png"}) {
    EXPECT_EQ(read(path).status().code(), StatusCode::kInvalidArgument) << path;
  }
  EXPECT_EQ(read(folder + "/none.txt").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(ReadFileUrl("file://" + folder + "/a%20b.txt", folder, 3).status().code(), StatusCode::kLimitExceeded);
  EXPECT_EQ(ReadFileUrl("file://" + folder + "/a%20b.txt", "", 100).status().code(), StatusCode::kInvalidArgument);
  std::filesystem::remove_all(root);
}

// A GIF of one pixel.
constexpr const char* kGif = "R0lGODdhAQABAIAAAP8AAP///ywAAAAAAQABAAACAkQBADs=";

TEST(Media, IsDecodedAndCounted) {
  MediaLoader loader({.max_pixels = 100}, {.video = {.fps = 2}});
  GenerationRequest request = Chat(R"({"messages": [{"role": "user", "content": [
      {"type": "image_url", "image_url": {"url": "data:image/gif;base64,)" +
                                   std::string(kGif) + R"("}},
      {"type": "text", "text": "What?"}]}]})");
  Ledger ledger;
  {
    const auto messages = loader.Load(request, ledger);
    ASSERT_TRUE(messages.ok()) << messages.status().message();
    const auto& parts = (*messages)[0].parts;
    const auto& image = std::get<std::shared_ptr<const Image>>(parts[0]);
    EXPECT_EQ(image->width, 1);
    EXPECT_EQ(image->rgb, (std::vector<uint8_t>{255, 0, 0}));
    EXPECT_EQ(loader.bytes(), 3u);
    EXPECT_EQ(ledger.cost(StageId::kDecodeImage).runs, 1u);
  }
  EXPECT_EQ(loader.bytes(), 0u) << "given back with the last holder";
}

TEST(Media, FramesMayComeAsPictures) {
  MediaLoader loader({}, {.video = {.fps = 2}});
  GenerationRequest request =
      Chat(R"({"messages": [{"role": "user", "content": [{"type": "video_url", "video_url": {"url":
      "data:video/jpeg;base64,)" +
           std::string(kGif) + "," + kGif + R"("}}]}]})");
  Ledger ledger;
  const auto messages = loader.Load(request, ledger);
  ASSERT_TRUE(messages.ok()) << messages.status().message();
  const auto& frames = std::get<std::shared_ptr<const Frames>>((*messages)[0].parts[0]);
  EXPECT_EQ(frames->images.size(), 2u);
  EXPECT_EQ(frames->timestamps_s, (std::vector<double>{0, 0.5}));
}

GenerationRequest Showing(const std::string& parts) {
  return Chat(R"({"messages": [{"role": "user", "content": [)" + parts + "]}]}");
}
std::string Picture() {
  return R"({"type": "image_url", "image_url": "data:image/gif;base64,)" + std::string(kGif) + "\"}";
}
std::string FrameList(const std::string& frame, int count, const std::string& more = "") {
  std::string list = frame;
  for (int i = 1; i < count; ++i) list += "," + frame;
  return R"({"type": "video_url", "video_url": {"url": "data:video/jpeg;base64,)" + list + "\"" + more + "}}";
}

TEST(Media, FramesMayBeMoreThanAreTaken) {
  MediaLoader loader({}, {.video = {.fps = 2}});
  GenerationRequest five = Showing(FrameList(kGif, 5, R"(, "max_frames": 3)"));
  Ledger ledger;
  const auto messages = loader.Load(five, ledger);
  ASSERT_TRUE(messages.ok()) << messages.status().message();
  const auto& frames = std::get<std::shared_ptr<const Frames>>((*messages)[0].parts[0]);
  EXPECT_EQ(frames->images.size(), 3u);
  EXPECT_EQ(frames->timestamps_s, (std::vector<double>{0, 1, 2}));
  EXPECT_EQ(frames->duration_s, 2.5);
  GenerationRequest many = Showing(FrameList("AA==", static_cast<int>(limits::kMaxFramesPerPrompt) + 1));
  EXPECT_EQ(loader.Load(many, ledger).status().code(), StatusCode::kLimitExceeded);
}

TEST(Media, OfOneRequestAndOfAllAreLimited) {
  MediaLoader loader({.max_media_bytes = 6}, {});
  GenerationRequest one = Showing(Picture());
  GenerationRequest two = Showing(Picture() + "," + Picture());
  GenerationRequest three = Showing(Picture() + "," + Picture() + "," + Picture());
  GenerationRequest clip = Showing(FrameList(kGif, 4));
  Ledger ledger;
  EXPECT_EQ(loader.Load(three, ledger).status().code(), StatusCode::kLimitExceeded) << "it never has room";
  const auto broken_off = loader.Load(clip, ledger);
  EXPECT_EQ(broken_off.status().code(), StatusCode::kLimitExceeded);
  EXPECT_NE(broken_off.status().message().find("frame 2"), std::string::npos) << broken_off.status().message();
  EXPECT_EQ(loader.bytes(), 0u);
  {
    const auto held = loader.Load(two, ledger);
    ASSERT_TRUE(held.ok()) << held.status().message();
    EXPECT_EQ(loader.Load(one, ledger).status().code(), StatusCode::kOutOfMemory) << "it may have room later";
    EXPECT_EQ(loader.bytes(), 6u);
  }
  EXPECT_TRUE(loader.Load(one, ledger).ok());
}

TEST(Media, AreRefusedWhereTheModelReadsTextAlone) {
  MediaLoader loader({}, {.has_vision = false});
  GenerationRequest request = Showing(Picture());
  Ledger ledger;
  const auto messages = loader.Load(request, ledger);
  EXPECT_EQ(messages.status().code(), StatusCode::kUnsupported);
  EXPECT_NE(messages.status().message().find("text alone"), std::string::npos) << messages.status().message();
}

TEST(Media, ErrorsNameTheirPlace) {
  MediaLoader loader({}, {});
  const struct {
    const char* url;
    StatusCode code;
  } urls[] = {{"data:image/png;base64,????", StatusCode::kCorrupt},
              {"data:image/png;base64,AAAA", StatusCode::kUnsupported},
              {"http://127.0.0.1/a.png", StatusCode::kInvalidArgument},
              {"FILE:///etc/passwd", StatusCode::kInvalidArgument},
              {"/etc/passwd", StatusCode::kInvalidArgument}};
  for (const auto& [url, code] : urls) {
    GenerationRequest request = Chat(R"({"messages": [{"role": "user", "content": [{"type": "text", "text": "x"},
        {"type": "image_url", "image_url": {"url": ")" +
                                     std::string(url) + R"("}}]}]})");
    Ledger ledger;
    const auto messages = loader.Load(request, ledger);
    EXPECT_EQ(messages.status().code(), code) << url << ": " << messages.status().message();
    EXPECT_NE(messages.status().message().find("messages[0].content[1]"), std::string::npos);
    EXPECT_EQ(messages.status().message().find("passwd"), std::string::npos) << messages.status().message();
  }
}

TEST(AnswerPipes, CarryTextBetweenThreads) {
  AnswerPipe pipe(61);
  std::string expected, got;
  for (int i = 0; i < 500; ++i) expected += std::to_string(i);
  std::thread writer([&] {
    for (size_t at = 0; at < expected.size(); at += 7) {
      // The reader keeps up here: an answer's reader is far faster than what decodes it.
      while (pipe.size() > 32) std::this_thread::yield();
      pipe.Push(std::string_view(expected).substr(at, 7));
    }
  });
  while (got.size() < expected.size()) {
    std::this_thread::yield();
    got += pipe.Take();
  }
  writer.join();
  EXPECT_EQ(got, expected);
  EXPECT_FALSE(pipe.overflowed());
  pipe.Push(std::string(60, 'a'));
  pipe.Push("12345");
  pipe.Push("b");
  EXPECT_EQ(pipe.Take(), std::string(60, 'a')) << "nothing after a piece that was lost";
  EXPECT_TRUE(pipe.overflowed());
}

TEST(MetricsText, IsPrometheus) {
  Metrics metrics;
  metrics.CountRequest("/v1/models", 200);
  metrics.CountAnswer({.first_token = 0.02, .per_token = 0.004, .total = 3, .encode = 0.3});
  SchedulerStats stats;
  stats.waiting = 3;
  stats.ledger.Add(StageId::kDecode, {.wall_ns = 1'500'000'000,
                                      .runs = 1,
                                      .joules = {.value = 2.5, .low = 2, .high = 3, .source = EnergySource::kRapl}});
  const std::string text = metrics.Text(stats, {}, 0);
  for (const char* line :
       {"eyeshot_requests{state=\"waiting\"} 3\n", "eyeshot_http_requests_total{route=\"/v1/models\",code=\"200\"} 1\n",
        "eyeshot_time_to_first_token_seconds_bucket{le=\"0.025\"} 1\n",
        "eyeshot_time_to_first_token_seconds_bucket{le=\"0.01\"} 0\n",
        "eyeshot_time_to_first_token_seconds_bucket{le=\"+Inf\"} 1\n", "eyeshot_encode_seconds_count 1\n",
        "eyeshot_stage_seconds_total{stage=\"decode\"} 1.5\n",
        "eyeshot_stage_joules_total{stage=\"decode\",source=\"rapl\"} 2.5\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << text;
  }
  EXPECT_EQ(text.find("joules_total{stage=\"encode\""), std::string::npos) << "not measured is not 0";
}

}  // namespace
}  // namespace eyeshot::server
