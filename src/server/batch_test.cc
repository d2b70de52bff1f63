// Batches: their lines, their files, and a whole run with a scheduler that says what the test wants.
#include "server/batch.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "server/batch_files.h"
#include "server/batch_lines.h"
#include "server/testing.h"

namespace eyeshot::server {
namespace {

using testing::FakeScheduler;

std::string RequestLine(const std::string& id, const std::string& text = "Hello", const std::string& more = "") {
  return fmt::format(
      R"({{"custom_id": "{}", "method": "POST", "url": "/v1/chat/completions", "body": {{"messages": [{{"role": "user", "content": "{}"}}]{}}}}})"
      "\n",
      id, text, more);
}

TEST(BatchLines, AreOpenAis) {
  const auto chat = ParseBatchRequest(RequestLine("a"), "in:1");
  ASSERT_TRUE(chat.ok()) << chat.status().message();
  EXPECT_EQ(chat->custom_id, "a");
  EXPECT_TRUE(chat->chat);
  EXPECT_EQ(chat->body["messages"][0]["content"], "Hello");
  const auto completion =
      ParseBatchRequest(R"({"custom_id":"b","method":"POST","url":"/v1/completions","body":{"prompt":"x"}})", "in:2");
  ASSERT_TRUE(completion.ok());
  EXPECT_FALSE(completion->chat);
}

TEST(BatchLines, ThatCanNotBeReadSayWhy) {
  const std::string long_id(limits::kMaxCustomIdBytes + 1, 'x');
  const std::map<std::string, std::string> bad = {
      {"nonsense", "in:7"},
      {"[]", "in:7"},
      {R"({"method":"POST"})", "custom_id"},
      {R"({"custom_id":"","method":"POST","url":"/v1/completions","body":{}})", "custom_id"},
      {R"({"custom_id":7,"method":"POST","url":"/v1/completions","body":{}})", "custom_id"},
      {RequestLine(long_id), "custom_id"},
      {R"({"custom_id":"a","method":"GET","url":"/v1/completions","body":{}})", "POST"},
      {R"({"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{}})", "/v1/completions"},
      {R"({"custom_id":"a","method":"POST","url":"/v1/completions"})", "body"},
      {R"({"custom_id":"a","method":"POST","url":"/v1/completions","body":[]})", "body"},
      {R"({"custom_id":"a","custom_id":"b","method":"POST","url":"/v1/completions","body":{}})", "custom_id"}};
  for (const auto& [line, word] : bad) {
    const auto request = ParseBatchRequest(line, "in:7");
    ASSERT_FALSE(request.ok()) << line;
    EXPECT_NE(request.status().message().find(word), std::string::npos) << request.status().message();
    EXPECT_NE(request.status().message().find("in:7"), std::string::npos) << request.status().message();
  }
}

TEST(BatchLines, OfAnswersAreReadAgain) {
  const std::string line = BatchAnswerLine("caf\u00e9 \"1\"", 0x00FEDCBA98765432, 422, R"({"error":{}})");
  EXPECT_TRUE(line.starts_with(kBatchAnswerStart));
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const auto answer = ParseBatchAnswer(line, "out:1");
  ASSERT_TRUE(answer.ok()) << answer.status().message();
  EXPECT_EQ(answer->custom_id, "caf\u00e9 \"1\"");
  EXPECT_EQ(answer->digest, 0x00FEDCBA98765432u);
  EXPECT_EQ(answer->status, 422);
  for (const char* other : {R"({"id":"x"})", R"({"custom_id":"a","response":null,"error":{}})",
                            R"({"custom_id":"a","response":{"status_code":200,"request_id":"req_1"}})"}) {
    EXPECT_FALSE(ParseBatchAnswer(other, "out:1").ok()) << other;
  }
}

TEST(BatchLines, HaveADigestOfWhatIsAskedOfWhom) {
  const auto digest = [](const std::string& line, std::string_view settings) {
    return DigestOf(*ParseBatchRequest(line, "in:1"), settings);
  };
  const uint64_t one = digest(RequestLine("a", "Hello", R"(, "seed": 1, "top_k": 2)"), "tiny");
  EXPECT_EQ(one, digest(RequestLine("a", "Hello", R"(, "top_k":2,  "seed":1)"), "tiny")) << "spaces and order";
  EXPECT_NE(one, digest(RequestLine("b", "Hello", R"(, "seed": 1, "top_k": 2)"), "tiny"))
      << "ids of answers are unique";
  EXPECT_NE(one, digest(RequestLine("a", "Hello", R"(, "seed": 2, "top_k": 2)"), "tiny"));
  EXPECT_NE(one, digest(RequestLine("a", "Hello", R"(, "seed": 1, "top_k": 2)"), "large"));
}

class BatchTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "batch_" + ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directory(folder_);
  }
  void TearDown() override {
    scheduler_.Release();
    std::filesystem::remove_all(folder_);
  }

  std::string In() const { return folder_ + "/in.jsonl"; }
  std::string Out() const { return folder_ + "/out.jsonl"; }
  static void WriteTo(const std::string& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
  }
  static std::string ReadFrom(const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path, std::ios::binary).rdbuf();
    return text.str();
  }
  // By custom_id; each stands there once.
  std::map<std::string, nlohmann::json> Answers() const {
    std::map<std::string, nlohmann::json> answers;
    std::istringstream text(ReadFrom(Out()));
    for (std::string line; std::getline(text, line);) {
      auto json = nlohmann::json::parse(line);
      const auto id = json.at("custom_id").get<std::string>();
      EXPECT_TRUE(answers.emplace(id, std::move(json)).second) << id;
    }
    return answers;
  }
  Result<BatchReport> Run() { return RunBatch(scheduler_, {.has_vision = false}, options_, In(), Out()); }
  std::string ErrorOf(const Result<BatchReport>& report) const {
    EXPECT_FALSE(report.ok());
    return report.status().message();
  }

  std::string folder_;
  BatchOptions options_ = {.under_way = 3};
  FakeScheduler scheduler_;
};

TEST_F(BatchTest, AnswersEachRequestOnce) {
  std::string text;
  for (int i = 0; i < 20; ++i) text += RequestLine(std::to_string(i));
  text += "  \r\n\n";
  text += R"({"custom_id":"last","method":"POST","url":"/v1/completions","body":{"prompt":"x","stream":true}})";
  WriteTo(In(), text);
  const auto report = Run();
  ASSERT_TRUE(report.ok()) << report.status().message();
  EXPECT_EQ(report->requests, 21);
  EXPECT_EQ(report->answered, 21);
  EXPECT_EQ(report->failed, 0);
  EXPECT_EQ(report->prompt_tokens, 21 * 12);
  EXPECT_FALSE(report->stopped);
  const auto answers = Answers();
  ASSERT_EQ(answers.size(), 21u);
  const auto& first = answers.at("0");
  EXPECT_EQ(first["response"]["status_code"], 200);
  EXPECT_EQ(first["error"], nullptr);
  EXPECT_EQ(first["response"]["body"]["choices"][0]["message"]["content"], "A \"red\" caf\u00e9");
  EXPECT_EQ(first["response"]["body"]["usage"]["total_tokens"], 15);
  EXPECT_EQ(answers.at("last")["response"]["body"]["object"], "text_completion");

  const std::string before = ReadFrom(Out());
  const auto again = Run();
  ASSERT_TRUE(again.ok()) << again.status().message();
  EXPECT_EQ(again->answered_before, 21);
  EXPECT_EQ(again->answered, 0);
  EXPECT_EQ(ReadFrom(Out()), before);
}

TEST_F(BatchTest, GoesOnAfterATornLine) {
  WriteTo(In(), RequestLine("a") + RequestLine("b") + RequestLine("c"));
  ASSERT_TRUE(Run().ok());
  const std::string whole = ReadFrom(Out());
  // Wherever the last line was torn.
  for (const size_t cut : {size_t{1}, size_t{20}, whole.size() / 2, whole.size() - 1}) {
    WriteTo(Out(), whole.substr(0, cut));
    const auto report = Run();
    ASSERT_TRUE(report.ok()) << cut << ": " << report.status().message();
    EXPECT_EQ(Answers().size(), 3u) << cut;
    EXPECT_EQ(report->answered_before + report->answered, 3) << cut;
  }
}

TEST_F(BatchTest, SaysInOutputWhatIsWrongWithARequest) {
  WriteTo(In(), RequestLine("a", "Hi", R"(, "max_tokens": -1)") + RequestLine("b") +
                    R"({"custom_id":"c","method":"POST","url":"/v1/chat/completions","body":{"messages":[{"role":)"
                    R"("user","content":[{"type":"image_url","image_url":"data:,x"}]}]}})");
  const auto report = Run();
  ASSERT_TRUE(report.ok()) << report.status().message();
  EXPECT_EQ(report->answered, 3);
  EXPECT_EQ(report->failed, 2);
  auto answers = Answers();
  EXPECT_EQ(answers["a"]["response"]["status_code"], 400);
  EXPECT_EQ(answers["a"]["response"]["body"]["error"]["code"], "limit_exceeded");
  EXPECT_EQ(answers["b"]["response"]["status_code"], 200);
  EXPECT_EQ(answers["c"]["response"]["body"]["error"]["code"], "unsupported_media");
  EXPECT_EQ(Run()->failed, 2) << "errors are answers, which are not asked for again";
}

TEST_F(BatchTest, RefusesBadInputBeforeItAsks) {
  const std::map<std::string, std::string> bad = {
      {RequestLine("a") + "nonsense\n", "in.jsonl:2"},
      {RequestLine("a") + RequestLine("b") + RequestLine("a"), "in.jsonl:3: custom_id \"a\" stands in line 1 too"},
      {RequestLine("a", std::string(9000, 'x')), "in.jsonl:1: a line of more than"}};
  options_.media.max_bytes = 1000;
  for (const auto& [text, words] : bad) {
    WriteTo(In(), text);
    const std::string error = ErrorOf(Run());
    EXPECT_NE(error.find(words), std::string::npos) << error;
    EXPECT_EQ(ReadFrom(Out()), "");
  }
  EXPECT_TRUE(scheduler_.last_messages.empty());
}

TEST_F(BatchTest, RefusesAnswersOfAnotherBatch) {
  WriteTo(In(), RequestLine("a"));
  ASSERT_TRUE(Run().ok());
  WriteTo(In(), RequestLine("b"));
  EXPECT_NE(ErrorOf(Run()).find("\"a\""), std::string::npos);
  WriteTo(In(), RequestLine("a", "Another"));
  EXPECT_NE(ErrorOf(Run()).find("another request"), std::string::npos);
  WriteTo(In(), RequestLine("a"));
  options_.defaults.max_tokens = 7;
  EXPECT_NE(ErrorOf(Run()).find("other flags"), std::string::npos);
  options_.defaults.max_tokens = AskOptions().max_tokens;
  options_.settings = "another";
  EXPECT_NE(ErrorOf(Run()).find("other flags"), std::string::npos);
  options_.settings = "";
  EXPECT_TRUE(Run().ok());
  WriteTo(Out(), ReadFrom(Out()) + ReadFrom(Out()));
  EXPECT_NE(ErrorOf(Run()).find("again"), std::string::npos);
}

TEST_F(BatchTest, LeavesOtherFilesAlone) {
  WriteTo(In(), RequestLine("a"));
  for (const char* notes : {"my notes", "my notes\n", "{\"id\":\"batch_other\"}\n"}) {
    WriteTo(Out(), notes);
    EXPECT_FALSE(Run().ok());
    EXPECT_EQ(ReadFrom(Out()), notes);
  }
  EXPECT_NE(ErrorOf(RunBatch(scheduler_, {}, options_, In(), In())).find("name another file"), std::string::npos);
  EXPECT_EQ(ReadFrom(In()), RequestLine("a"));
  EXPECT_EQ(RunBatch(scheduler_, {}, options_, folder_ + "/none", Out()).status().code(), StatusCode::kNotFound);
  EXPECT_FALSE(RunBatch(scheduler_, {}, options_, "/dev/null", Out()).ok());
}

TEST_F(BatchTest, IsAloneWithItsOutput) {
  WriteTo(In(), RequestLine("a"));
  const int other = open(Out().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  ASSERT_EQ(flock(other, LOCK_EX | LOCK_NB), 0);
  EXPECT_NE(ErrorOf(Run()).find("another batch writes it"), std::string::npos);
  close(other);
  EXPECT_TRUE(Run().ok());
}

TEST_F(BatchTest, SaysThatTheDiskIsFull) {
  WriteTo(In(), RequestLine("a"));
  const auto report = RunBatch(scheduler_, {}, options_, In(), "/dev/full");
  const std::string error = ErrorOf(report);
  EXPECT_EQ(report.status().code(), StatusCode::kIo);
  EXPECT_NE(error.find("No space left"), std::string::npos) << error;
  EXPECT_NE(error.find("run the same command again"), std::string::npos) << error;
}

TEST_F(BatchTest, PutsOffWhatAnotherTryMayAnswer) {
  WriteTo(In(), RequestLine("a") + RequestLine("b"));
  scheduler_.refusal = Status(StatusCode::kBusy, "the queue is full", "try again");
  auto report = Run();
  ASSERT_TRUE(report.ok()) << report.status().message();
  EXPECT_EQ(report->put_off, 2);
  EXPECT_NE(report->why_put_off.message().find("custom_id \"a\": the queue is full"), std::string::npos);
  scheduler_.refusal = Status::Ok();
  scheduler_.failure = OutOfMemoryError("no memory", "wait");
  EXPECT_EQ(Run()->put_off, 2);
  EXPECT_EQ(ReadFrom(Out()), "");
  scheduler_.failure = ContextFullError("too long", "ask for less");
  report = Run();
  EXPECT_EQ(report->put_off, 0);
  EXPECT_EQ(report->failed, 2);
  EXPECT_EQ(Answers().at("a")["response"]["body"]["error"]["code"], "context_length_exceeded");
}

TEST_F(BatchTest, AsksAgainWhenThereIsRoom) {
  options_.media.max_media_bytes = 6;  // two pictures of a pixel
  std::string text;
  for (const char* id : {"a", "b", "c", "d", "e"}) {
    text += fmt::format(R"({{"custom_id":"{}","method":"POST","url":"/v1/chat/completions","body":{{"messages":[)"
                        R"({{"role":"user","content":[{{"type":"image_url","image_url":"data:image/gif;base64,)"
                        R"(R0lGODdhAQABAIAAAP8AAP///ywAAAAAAQABAAACAkQBADs="}}]}}]}}}})"
                        "\n",
                        id);
  }
  WriteTo(In(), text);
  const auto report = RunBatch(scheduler_, {}, options_, In(), Out());
  ASSERT_TRUE(report.ok()) << report.status().message();
  EXPECT_EQ(report->answered, 5) << report->why_put_off.message();
  EXPECT_EQ(report->failed, 0);
}

TEST_F(BatchTest, KeepsToBudgets) {
  const auto line = [](const std::string& id, const std::string& more) {
    return fmt::format(
        R"({{"custom_id":"{}","method":"POST","url":"/v1/chat/completions","body":{{"messages":[)"
        R"({{"role":"user","content":[{{"type":"image_url","image_url":"data:image/gif;base64,{}"}}]}}]{}}}}})"
        "\n",
        id, testing::kPixel, more);
  };
  WriteTo(In(), line("free", "") + line("tight", R"(,"budget":"1ms")") + line("bad", R"(,"reduce":"pool:1e-3ms")"));
  options_.planner = testing::NewPlanner();
  const auto report = RunBatch(scheduler_, {}, options_, In(), Out());
  ASSERT_TRUE(report.ok()) << report.status().message();
  auto answers = Answers();
  EXPECT_FALSE(answers["free"]["response"]["body"]["usage"]["eyeshot"].contains("budget"));
  const auto& budget = answers["tight"]["response"]["body"]["usage"]["eyeshot"]["budget"];
  EXPECT_EQ(budget["detail"], "low");
  EXPECT_EQ(budget["within"], false);
  EXPECT_EQ(answers["bad"]["response"]["status_code"], 400);
}

TEST_F(BatchTest, IsNotDoneWhenItIsStoppedWhileItReads) {
  WriteTo(In(), RequestLine("a"));
  const std::atomic<bool> stop{true};
  options_.stop = &stop;
  const auto report = Run();
  ASSERT_TRUE(report.ok()) << report.status().message();
  EXPECT_TRUE(report->stopped);
  EXPECT_EQ(ReadFrom(Out()), "");
}

TEST_F(BatchTest, EndsSoonAndGoesOn) {
  std::string text;
  for (int i = 0; i < 8; ++i) text += RequestLine(std::to_string(i));
  WriteTo(In(), text);
  std::atomic<bool> stop{false};
  options_.stop = &stop;
  options_.on_progress = [&](const BatchReport& report) {
    if (report.answered >= 2) stop = true;
  };
  const auto report = Run();
  ASSERT_TRUE(report.ok()) << report.status().message();
  EXPECT_TRUE(report->stopped);
  EXPECT_LT(report->answered, 8);
  EXPECT_EQ(report->put_off, 0);
  EXPECT_EQ(static_cast<int64_t>(Answers().size()), report->answered);
  stop = false;
  options_.on_progress = nullptr;
  const auto rest = Run();
  ASSERT_TRUE(rest.ok()) << rest.status().message();
  EXPECT_EQ(rest->answered_before, report->answered);
  EXPECT_EQ(Answers().size(), 8u);
}

}  // namespace
}  // namespace eyeshot::server
