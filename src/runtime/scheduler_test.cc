// Many conversations at a time with the built-in model: what include/eyeshot/scheduler.h promises.
#include "eyeshot/scheduler.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <numeric>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/splitmix64.h"
#include "energy/meters/synthetic.h"
#include "runtime/metered_scheduler.h"
#include "text/tokenizer.h"

namespace eyeshot {
namespace {

const std::string kImages = EYESHOT_SOURCE_DIR "/tests/data/golden/eyeshot-tiny/images/";

std::shared_ptr<Engine> Load(const std::string& backend, int64_t context = 0) {
  auto loaded = Engine::Load({.model = EYESHOT_SOURCE_DIR "/models/eyeshot-tiny",
                              .device = "cpu",
                              .backend = backend,
                              .context_tokens = context,
                              .on_progress = {}});
  if (!loaded.ok()) throw std::runtime_error(loaded.status().message());
  return *std::move(loaded);
}

std::unique_ptr<Scheduler> Schedule(std::shared_ptr<Engine> engine, const SchedulerOptions& options = {}) {
  auto scheduler = Scheduler::Create(std::move(engine), options);
  if (!scheduler.ok()) throw std::runtime_error(scheduler.status().message());
  return *std::move(scheduler);
}

std::shared_ptr<const Image> Picture(const char* name = "dev_0002_0.png") {
  auto image = LoadImage(kImages + name);
  if (!image.ok()) throw std::runtime_error(image.status().message());
  return std::make_shared<const Image>(*std::move(image));
}

// What comes of a request, later.
struct Pending {
  std::future<Result<Answer>> answer;
  std::shared_ptr<std::string> streamed = std::make_shared<std::string>();
  uint64_t id = 0;

  Answer Get() {
    Result<Answer> result = answer.get();
    if (!result.ok()) throw std::runtime_error(result.status().message());
    return *std::move(result);
  }
};

Result<Pending> TrySubmit(Scheduler& scheduler, GenerateRequest request) {
  Pending pending;
  auto promise = std::make_shared<std::promise<Result<Answer>>>();
  pending.answer = promise->get_future();
  request.on_text = [streamed = pending.streamed](std::string_view piece) { streamed->append(piece); };
  request.on_done = [promise](Result<Answer> answer) { promise->set_value(std::move(answer)); };
  auto id = scheduler.Submit(std::move(request));
  if (!id.ok()) return id.status();
  pending.id = *id;
  return pending;
}

Pending Submit(Scheduler& scheduler, std::vector<Message> messages, const AskOptions& options = {}) {
  auto pending = TrySubmit(scheduler, {.messages = std::move(messages), .options = options});
  if (!pending.ok()) throw std::runtime_error(pending.status().message());
  return *std::move(pending);
}

Answer Alone(Engine& engine, std::vector<ContentPart> parts, const AskOptions& options) {
  auto answer = (*engine.NewChat())->Ask(std::move(parts), options);
  if (!answer.ok()) throw std::runtime_error(answer.status().message());
  return *std::move(answer);
}

// Questions of several lengths, with a picture, with two, without, sampled and greedy.
struct Question {
  std::vector<ContentPart> parts;
  AskOptions options;
};
std::vector<Question> Questions() {
  const auto first = Picture();
  const auto second = Picture("dev_0000_0.png");
  const PictureDetail low{PictureDetail::Kind::kLow, 0};
  std::vector<Question> all = {
      {{"Hello"}, {.max_tokens = 7}},
      {{first, "Read the text."}, {.max_tokens = 9, .detail = low}},
      {{std::string("What is this? Say it in a few words, and then say it again in other ones.")}, {.max_tokens = 5}},
      {{second, "What is this?"}, {.max_tokens = 6, .detail = low}},
      {{first, second, "Compare."}, {.max_tokens = 8, .detail = low}},
      {{first, "Read the text."}, {.max_tokens = 12, .detail = low}},
      {{"Count to ten."}, {.max_tokens = 16}},
  };
  all[2].options.sampling = {.temperature = 1.0f, .top_p = 0.9f, .repetition_penalty = 1.3f, .seed = 5};
  all[6].options.sampling = {.temperature = 1.5f, .top_k = 20, .seed = 6};
  for (Question& question : all) question.options.ignore_end = true;
  return all;
}

class SideBySideTest : public testing::TestWithParam<const char*> {};

TEST_P(SideBySideTest, AnswersAreThoseOfEachAlone) {
#if defined(__SANITIZE_THREAD__)
  if (std::string_view(GetParam()) == "reference")
    GTEST_SKIP() << "plain loops take over 5 minutes; portable has the threads";
#endif
  const std::shared_ptr<Engine> engine = Load(GetParam());
  const std::vector<Question> questions = Questions();
  std::vector<Answer> alone;
  alone.reserve(questions.size());
  for (const Question& question : questions) alone.push_back(Alone(*engine, question.parts, question.options));
  const auto scheduler = Schedule(engine, {.sequences = 3});
  std::vector<Pending> pending;
  std::vector<size_t> order(questions.size());
  std::iota(order.begin(), order.end(), 0);
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[SplitMix64(i) % i]);
  pending.reserve(order.size());
  for (const size_t i : order) {
    pending.push_back(Submit(*scheduler, {Message::User(questions[i].parts)}, questions[i].options));
  }
  for (size_t i = 0; i < order.size(); ++i) {
    const Answer answer = pending[i].Get();
    EXPECT_EQ(answer.text, alone[order[i]].text) << order[i];
    EXPECT_EQ(*pending[i].streamed, answer.text);
    EXPECT_EQ(answer.prompt_tokens, alone[order[i]].prompt_tokens);
    EXPECT_EQ(answer.completion_tokens, alone[order[i]].completion_tokens);
    EXPECT_EQ(answer.ledger.cost(StageId::kDecode).tokens, static_cast<uint64_t>(answer.completion_tokens));
    EXPECT_EQ(answer.ledger.cost(StageId::kPrefill).tokens,
              static_cast<uint64_t>(answer.prompt_tokens - answer.cached_tokens));
    EXPECT_EQ(answer.ledger.pictures().size(), alone[order[i]].ledger.pictures().size());
  }
  const SchedulerStats stats = scheduler->stats();
  EXPECT_EQ(stats.finished, questions.size());
  EXPECT_GT(stats.step_tokens, stats.steps);  // some were decoded together
  EXPECT_EQ(stats.waiting, 0);
  for (int i = 0; i < 1000 && scheduler->stats().decoding + scheduler->stats().encoding > 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(scheduler->stats().decoding + scheduler->stats().encoding, 0);
  EXPECT_EQ(scheduler->stats().cache_blocks_used, 0);
}

INSTANTIATE_TEST_SUITE_P(Backends, SideBySideTest, testing::Values("reference", "portable"),
                         [](const auto& backend) { return std::string(backend.param); });

TEST(SchedulerTest, AFullCachePutsTheLastOneBackAndNothingIsLost) {
  const std::shared_ptr<Engine> engine = Load("reference", 64);
  std::vector<Question> questions;
  for (const char* const text : {"One", "Two two", "Three three three"}) {
    questions.push_back({{std::string(text)}, {.max_tokens = 40, .ignore_end = true}});
    questions.back().options.sampling = {.temperature = 1.2f, .repetition_penalty = 1.1f, .seed = 3};
  }
  std::vector<Answer> alone;
  alone.reserve(questions.size());
  for (const Question& question : questions) alone.push_back(Alone(*engine, question.parts, question.options));
  // Two blocks, and each answer takes both in the end.
  const auto scheduler = Schedule(engine, {.sequences = 3, .cache_tokens = 64});
  std::vector<Pending> pending;
  pending.reserve(questions.size());
  for (const Question& question : questions) {
    pending.push_back(Submit(*scheduler, {Message::User(question.parts)}, question.options));
  }
  for (size_t i = 0; i < questions.size(); ++i) {
    const Answer answer = pending[i].Get();
    EXPECT_EQ(answer.text, alone[i].text) << i;
    EXPECT_EQ(*pending[i].streamed, answer.text);
    EXPECT_EQ(answer.finish_reason, FinishReason::kLength);
  }
  EXPECT_GT(scheduler->stats().preempted, 0u);
}

class RunningSchedulerTest : public testing::Test {
 protected:
  static std::shared_ptr<Engine> TheEngine() {
    static const std::shared_ptr<Engine> engine = Load("portable");
    return engine;
  }
};

TEST_F(RunningSchedulerTest, ThePictureThatTwoShowIsEncodedOnce) {
  const auto scheduler = Schedule(TheEngine());
  const auto ask = [&](std::shared_ptr<const Image> picture, const char* question) {
    return Submit(*scheduler, {Message::User({std::move(picture), question})}, {.max_tokens = 4});
  };
  // The same content in two objects, at once.
  std::vector<Pending> pending;
  pending.push_back(ask(Picture(), "Read the text."));
  pending.push_back(ask(Picture(), "How many lines of text are there?"));
  for (Pending& one : pending) one.Get();
  EXPECT_EQ(scheduler->stats().image_cache_misses, 1u);
  // And later, with the same words before it: not even its prompt runs again.
  const Answer again = ask(Picture(), "Read the text.").Get();
  EXPECT_EQ(again.ledger.cost(StageId::kEncode).runs, 0u);
  EXPECT_GE(again.cached_tokens, again.visual_tokens);
  EXPECT_EQ(scheduler->stats().image_cache_misses, 1u);
  EXPECT_GT(scheduler->stats().prompt_tokens_cached, 0u);
  // Of a server that runs for months, stats() has sums and no list.
  EXPECT_EQ(again.ledger.pictures().size(), 1u);
  EXPECT_TRUE(scheduler->stats().ledger.pictures().empty());
  EXPECT_EQ(scheduler->stats().ledger.cost(StageId::kDecode).tokens, scheduler->stats().completion_tokens);
}

TEST_F(RunningSchedulerTest, ThePictureWithFewerTokensIsAnotherOne) {
  const auto scheduler = Schedule(TheEngine());
  const auto ask = [&](const char* reduce) {
    const AskOptions options{.max_tokens = 4, .detail = {PictureDetail::Kind::kLow, 0}, .reduce = reduce};
    return Submit(*scheduler, {Message::User({Picture(), "Read the text."})}, options).Get();
  };
  const Answer whole = ask("none");
  const Answer fewer = ask("stride:16");
  EXPECT_EQ(fewer.visual_tokens, 16);
  EXPECT_EQ(fewer.ledger.cost(StageId::kReduce).runs, 1u) << "its tokens are none that were kept";
  EXPECT_EQ(ask("pool:16").ledger.cost(StageId::kReduce).runs, 1u);
  EXPECT_EQ(scheduler->stats().image_cache_misses, 3u);
  EXPECT_EQ(ask("none").text, whole.text);
  EXPECT_EQ(ask("stride:16").text, fewer.text);
  EXPECT_EQ(scheduler->stats().image_cache_misses, 3u) << "each is found again";
}

TEST_F(RunningSchedulerTest, APictureIsEncodedWhileOthersGoOn) {
  const auto scheduler = Schedule(TheEngine(), {.slice_share = 0.5});
  std::mutex mutex;
  std::condition_variable begun;
  bool has_begun = false;
  auto answered = std::make_shared<std::promise<Result<Answer>>>();
  GenerateRequest long_one{.messages = {Message::User({"Hello"})}, .options = {.max_tokens = 400, .ignore_end = true}};
  long_one.on_text = [&](std::string_view) {
    const std::lock_guard<std::mutex> lock(mutex);
    has_begun = true;
    begun.notify_all();
  };
  long_one.on_done = [answered](Result<Answer> answer) { answered->set_value(std::move(answer)); };
  ASSERT_TRUE(scheduler->Submit(std::move(long_one)).ok());
  {
    std::unique_lock<std::mutex> lock(mutex);
    begun.wait(lock, [&] { return has_begun; });
  }
  const uint64_t steps_before = scheduler->stats().steps;
  Submit(*scheduler, {Message::User({Picture(), "Read the text."})}, {.max_tokens = 2}).Get();
  // Several slices of the picture went by, each between two steps.
  EXPECT_GT(scheduler->stats().steps, steps_before + 3);
  EXPECT_EQ(answered->get_future().get()->completion_tokens, 400);
}

TEST_F(RunningSchedulerTest, AnAnswerGoesOnFromWhatItWasBegunWith) {
  const auto scheduler = Schedule(TheEngine());
  const AskOptions options{.max_tokens = 12};
  const std::vector<ContentPart> question = {Picture(), "Read the text."};
  const std::string whole = Submit(*scheduler, {Message::User(question)}, options).Get().text;
  const size_t half = whole.find(' ', whole.size() / 3);
  ASSERT_NE(half, std::string::npos) << whole;
  const std::string rest =
      Submit(*scheduler, {Message::User(question), Message::Assistant(whole.substr(0, half))}, options).Get().text;
  EXPECT_EQ((whole.substr(0, half) + rest).substr(0, whole.size()), whole);
}

TEST_F(RunningSchedulerTest, WhatIsCancelledEndsAndLeavesRoom) {
  const auto scheduler = Schedule(TheEngine(), {.sequences = 1});
  Pending running = Submit(*scheduler, {Message::User({"Hello"})}, {.max_tokens = 2000, .ignore_end = true});
  Pending waiting = Submit(*scheduler, {Message::User({Picture(), "Read the text."})}, {.max_tokens = 4});
  Pending late = *TrySubmit(*scheduler, {.messages = {Message::User({"Hello"})},
                                         .options = {.max_tokens = 4},
                                         .deadline = std::chrono::steady_clock::now()});
  scheduler->Cancel(waiting.id);
  EXPECT_EQ(waiting.Get().finish_reason, FinishReason::kCancelled);
  EXPECT_EQ(late.Get().finish_reason, FinishReason::kCancelled);
  scheduler->Cancel(running.id);
  const Answer answer = running.Get();
  EXPECT_EQ(answer.finish_reason, FinishReason::kCancelled);
  EXPECT_LT(answer.completion_tokens, 2000);
  scheduler->Cancel(running.id);  // nothing
  EXPECT_EQ(Submit(*scheduler, {Message::User({"Hello"})}, {.max_tokens = 3}).Get().finish_reason,
            FinishReason::kLength);
  EXPECT_EQ(scheduler->stats().cancelled, 3u);
}

TEST_F(RunningSchedulerTest, ClientsTakeTurns) {
  const auto scheduler = Schedule(TheEngine(), {.sequences = 1});
  std::mutex mutex;
  std::vector<std::string> order;
  std::vector<std::future<void>> done;
  const auto submit = [&](const std::string& client, const std::string& name) {
    auto promise = std::make_shared<std::promise<void>>();
    done.push_back(promise->get_future());
    const auto id = scheduler->Submit({.messages = {Message::User({"Hello"})},
                                       .options = {.max_tokens = 3, .ignore_end = true},
                                       .client = client,
                                       .on_done = [&, promise, name](const Result<Answer>&) {
                                         const std::lock_guard<std::mutex> lock(mutex);
                                         order.push_back(name);
                                         promise->set_value();
                                       }});
    EXPECT_TRUE(id.ok());
  };
  // What occupies the one place while the others queue up.
  Pending first = Submit(*scheduler, {Message::User({"Hello"})}, {.max_tokens = 300, .ignore_end = true});
  for (int i = 0; i < 6; ++i) submit("greedy", "greedy" + std::to_string(i));
  submit("modest", "modest");
  first.Get();
  for (auto& one : done) one.wait();
  const auto place = std::find(order.begin(), order.end(), "modest") - order.begin();
  EXPECT_LE(place, 4);  // some of the other's were prepared already
}

TEST_F(RunningSchedulerTest, WhatCannotBeTakenIsRefused) {
  const auto scheduler = Schedule(TheEngine(), {.sequences = 1, .queue = 2});
  const auto refused = [&](GenerateRequest request) {
    const auto id = scheduler->Submit(std::move(request));
    return id.ok() ? StatusCode::kOk : id.status().code();
  };
  EXPECT_EQ(refused({}), StatusCode::kInvalidArgument);
  EXPECT_EQ(refused({.messages = {Message::Assistant("I")}}), StatusCode::kInvalidArgument);
  EXPECT_EQ(refused({.messages = {Message::User({"Hi"})}, .options = {.max_tokens = 0}}), StatusCode::kInvalidArgument);
  std::string words;
  for (int i = 0; i < 9000; ++i) words += "word ";
  EXPECT_EQ(refused({.messages = {Message::User({words})}}), StatusCode::kContextFull);
  std::vector<Pending> pending;
  StatusCode last = StatusCode::kOk;
  for (int i = 0; i < 20 && last == StatusCode::kOk; ++i) {
    auto one = TrySubmit(*scheduler,
                         {.messages = {Message::User({"Hello"})}, .options = {.max_tokens = 50, .ignore_end = true}});
    last = one.ok() ? StatusCode::kOk : one.status().code();
    if (one.ok()) pending.push_back(*std::move(one));
  }
  EXPECT_EQ(last, StatusCode::kBusy);
  EXPECT_TRUE(scheduler->Drain(std::chrono::steady_clock::now() + std::chrono::minutes(5)));
  for (Pending& one : pending) EXPECT_EQ(one.Get().completion_tokens, 50);
  EXPECT_EQ(refused({.messages = {Message::User({"Hi"})}}), StatusCode::kCancelled);
  EXPECT_FALSE(Scheduler::Create(TheEngine(), {.sequences = 0}).ok());
  EXPECT_FALSE(Scheduler::Create(TheEngine(), {.cache_tokens = 100}).ok());
}

// A counter of 45 W, which knows what it has said last.
class CountingMeter final : public Meter {
 public:
  const MeterInfo& info() const override { return info_; }
  Result<EnergySample> Read() override {
    const uint64_t now = SteadyNowNs();
    if (first_ns_ == 0) first_ns_ = now;
    last_j_ = 45e-9 * static_cast<double>(now - first_ns_);
    return EnergySample{now, last_j_};
  }
  double last_j() const { return last_j_; }

 private:
  MeterInfo info_{.name = "synthetic", .source = EnergySource::kRapl, .resolution_s = 1e-3};
  uint64_t first_ns_ = 0;
  double last_j_ = 0;
};

TEST(SchedulerTest, JoulesOfRequestsSideBySideAddUpToTheCounter) {
  const std::shared_ptr<Engine> engine = Load("auto");
  std::vector<std::unique_ptr<Meter>> meters;
  meters.push_back(std::make_unique<CountingMeter>());
  auto scheduler = *CreateMeteredScheduler(engine, {.sequences = 2}, meters);
  std::vector<Pending> pending;
  const std::vector<Question> questions = Questions();
  for (const size_t index : {0, 3, 2}) {
    pending.push_back(Submit(*scheduler, {Message::User(questions[index].parts)}, questions[index].options));
  }
  double sum = 0;
  std::vector<Answer> answers;
  answers.reserve(pending.size());
  for (Pending& one : pending) answers.push_back(one.Get());
  for (const Answer& answer : answers) {
    const Joules joules = answer.ledger.total_joules();
    EXPECT_EQ(joules.source, EnergySource::kRapl);
    EXPECT_GT(joules.value, 0);
    EXPECT_LE(joules.low, joules.value);
    EXPECT_GE(joules.high, joules.value);
    sum += joules.value;
  }
  // A picture costs more than a word.
  EXPECT_GT(answers[1].ledger.total_joules().value, answers[0].ledger.total_joules().value);
  EXPECT_GT(answers[1].ledger.cost(StageId::kEncode).joules.value, 0);
  const SchedulerStats stats = scheduler->stats();
  EXPECT_NEAR(stats.ledger.total_joules().value, sum, 1e-9 * sum);
  scheduler.reset();  // its last reading is there
  const double counted = static_cast<CountingMeter&>(*meters[0]).last_j();
  EXPECT_NEAR(sum + stats.idle_joules.value, counted, 1e-6 * counted);
}

// What a chat's template writes, sent as it is, is answered as the chat.
TEST(SchedulerTest, RawPromptsAreUsedAsTheyAre) {
  const std::shared_ptr<Engine> engine = Load("reference");
  const auto scheduler = Schedule(engine);
  const AskOptions options{.max_tokens = 8, .ignore_end = true};
  const std::string text = "<|im_start|>User: What is this?<end_of_utterance>\nAssistant:";
  const auto tokenizer = Tokenizer::Load(EYESHOT_SOURCE_DIR "/models/eyeshot-tiny");
  ASSERT_TRUE(tokenizer.ok());
  const Answer chat = Submit(*scheduler, {Message::User({"What is this?"})}, options).Get();
  const auto raw = [&](RawPrompt prompt) {
    return TrySubmit(*scheduler, {.messages = {}, .prompt = std::move(prompt), .options = options});
  };
  for (const RawPrompt& prompt : {RawPrompt(text), RawPrompt(tokenizer->Encode(text))}) {
    auto pending = raw(prompt);
    ASSERT_TRUE(pending.ok()) << pending.status().message();
    const Answer answer = pending->Get();
    EXPECT_EQ(answer.prompt_tokens, chat.prompt_tokens);
    EXPECT_EQ(answer.text, " " + chat.text) << "the space after 'Assistant:' is the answer's";
    EXPECT_EQ(*pending->streamed, answer.text);
  }
  const std::pair<RawPrompt, const char*> wrong[] = {
      {std::string(), "empty"},
      {std::vector<int32_t>{}, "empty"},
      {std::string("Look: <image>"), "stands for a picture"},
      {std::vector<int32_t>{5, 1'000'000}, "token 1000000"},
      {std::vector<int32_t>{-3}, "token -3"},
      {std::vector<int32_t>(100'000, 5), "the context holds"},
  };
  for (const auto& [prompt, found] : wrong) {
    const auto pending = raw(prompt);
    ASSERT_FALSE(pending.ok()) << found;
    EXPECT_NE(pending.status().message().find(found), std::string::npos) << pending.status().message();
  }
  const GenerateRequest both{.messages = {Message::User({"Hi"})}, .prompt = std::string("Hi")};
  EXPECT_EQ(TrySubmit(*scheduler, both).status().code(), StatusCode::kInvalidArgument);
}

TEST(SchedulerTest, PhasesGatherPicturesAndPrompts) {
  const std::shared_ptr<Engine> engine = Load("reference");
  const auto run = [&](double phase_s) {
    const auto scheduler = Schedule(engine, {.sequences = 2, .phase_s = phase_s});
    std::vector<Pending> pending;
    std::vector<std::string> texts;
    for (const int tokens : {2, 5, 3}) {  // who comes next begins while another one answers
      const AskOptions options{.max_tokens = tokens, .ignore_end = true};
      pending.push_back(Submit(*scheduler, {Message::User({fmt::format("Say {}.", tokens)})}, options));
    }
    texts.reserve(pending.size());
    for (Pending& one : pending) texts.push_back(one.Get().text);
    return std::pair(texts, scheduler->stats().switches);
  };
  const auto turns = run(0);
  const auto phases = run(30);  // longer than all answers: until nobody is left in decoding
  EXPECT_EQ(phases.first, turns.first);
  EXPECT_LT(phases.second, turns.second);
  EXPECT_FALSE(Scheduler::Create(engine, {.phase_s = -1}).ok());
}

// Notes stages in order, each once while it lasts.
class StageList final : public StageObserver {
 public:
  void OnStage(StageId id) noexcept override {
    if (id == StageId::kConnect) return;  // runs with the encoder
    if (count_ < ids_.size() && (count_ == 0 || ids_[count_ - 1] != id)) ids_[count_++] = id;
  }
  std::vector<StageId> Get() const { return {ids_.begin(), ids_.begin() + static_cast<int64_t>(count_)}; }

 private:
  std::array<StageId, 256> ids_{};
  size_t count_ = 0;
};

TEST(SchedulerTest, PhasesAreStages) {
  StageList stages;
  std::vector<RequestEnd> ends;
  {
    const auto scheduler = Schedule(
        Load("auto"),
        {.sequences = 2, .phase_s = 30, .stage_observer = &stages, .on_request_end = [&](const RequestEnd& end) {
           ends.push_back(end);
         }});
    // Both pictures are prepared while others are answered.
    const AskOptions options{.max_tokens = 4, .ignore_end = true};
    std::vector<Pending> pending;
    pending.reserve(4);
    for (int i = 0; i < 2; ++i) {
      pending.push_back(
          Submit(*scheduler, {Message::User({"Say something."})}, {.max_tokens = 200, .ignore_end = true}));
    }
    for (const char* name : {"dev_0002_0.png", "dev_0000_0.png"}) {
      pending.push_back(Submit(*scheduler, {Message::User({Picture(name), "What is it?"})}, options));
    }
    for (Pending& one : pending) one.Get();
  }
  const std::vector<StageId> seen = stages.Get();
  EXPECT_EQ(std::count(seen.begin(), seen.end(), StageId::kEncode), 1);
  const std::vector<StageId> last(seen.end() - 3, seen.end());
  EXPECT_EQ(last, (std::vector<StageId>{StageId::kEncode, StageId::kPrefill, StageId::kDecode}));
  ASSERT_EQ(ends.size(), 4u);
  for (size_t i = 0; i < ends.size(); ++i) {
    EXPECT_TRUE(ends[i].answered);
    EXPECT_GT(ends[i].seconds, 0);
    EXPECT_EQ(ends[i].last, i + 1 == ends.size());
  }
}

TEST(SchedulerTest, CancelledRequestsAreNotAnswered) {
  std::promise<RequestEnd> ended;
  const auto scheduler =
      Schedule(Load("auto"), {.on_request_end = [&](const RequestEnd& end) { ended.set_value(end); }});
  Pending pending = Submit(*scheduler, {Message::User({"Say something."})}, {.max_tokens = 1000, .ignore_end = true});
  scheduler->Cancel(pending.id);
  const RequestEnd end = ended.get_future().get();
  EXPECT_FALSE(end.answered);
  EXPECT_TRUE(end.last);
}

}  // namespace
}  // namespace eyeshot
