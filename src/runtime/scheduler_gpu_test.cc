// The scheduler over a GPU, which is emulated: each time that it is asked about a queue, one piece of its work has been
// done, so that a picture takes many steps of decoding.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "eyeshot/scheduler.h"

namespace eyeshot {
namespace {

std::shared_ptr<Engine> LoadOnGpu() {
  setenv("EYESHOT_CUDA_PLUGIN", EYESHOT_EMULATED_PLUGIN, 1);
  auto loaded = Engine::Load({.model = EYESHOT_SOURCE_DIR "/models/eyeshot-tiny",
                              .device = "cuda",
                              .context_tokens = 512,
                              .gpu_readings = false,
                              .on_progress = {}});
  if (!loaded.ok()) throw std::runtime_error(loaded.status().message());
  return *std::move(loaded);
}

std::shared_ptr<const Image> Picture(const std::string& name) {
  auto image = LoadImage(EYESHOT_SOURCE_DIR "/tests/data/golden/eyeshot-tiny/images/" + name);
  if (!image.ok()) throw std::runtime_error(image.status().message());
  return std::make_shared<const Image>(*std::move(image));
}

// Answers in the order in which they end.
class Answers {
 public:
  // `name`: of the answer.
  void Ask(Scheduler& scheduler, const std::string& name, std::vector<ContentPart> parts, int tokens,
           std::function<void(std::string_view)> on_text = {}) {
    auto done = std::make_shared<std::promise<Answer>>();
    pending_.emplace_back(name, done->get_future());
    GenerateRequest request{
        .messages = {Message::User(std::move(parts))},
        .options = {.max_tokens = tokens, .detail = {PictureDetail::Kind::kLow, 0}, .ignore_end = true},
        .on_text = std::move(on_text)};
    request.on_done = [this, name, done](Result<Answer> answer) {
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        order_.push_back(name);
      }
      if (answer.ok()) {
        done->set_value(*std::move(answer));
      } else {
        done->set_exception(std::make_exception_ptr(std::runtime_error(answer.status().message())));
      }
    };
    const auto id = scheduler.Submit(std::move(request));
    if (!id.ok()) throw std::runtime_error(id.status().message());
  }
  std::vector<Answer> Get() {
    std::vector<Answer> answers;
    answers.reserve(pending_.size());
    for (auto& [name, answer] : pending_) answers.push_back(answer.get());
    return answers;
  }
  std::vector<std::string> order() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return order_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::pair<std::string, std::future<Answer>>> pending_;
  std::vector<std::string> order_;
};

TEST(SchedulerOnAGpuTest, PicturesAreEncodedBesideAnswersAndPrompts) {
  const std::shared_ptr<Engine> engine = LoadOnGpu();
  const auto picture = Picture("dev_0002_0.png");
  const auto run = [&](bool beside, int tokens) {
    auto scheduler = Scheduler::Create(engine, {.image_cache_bytes = 0, .encode_beside = beside});
    if (!scheduler.ok()) throw std::runtime_error(scheduler.status().message());
    Answers answers;
    std::promise<void> begun;
    bool first = true;
    answers.Ask(**scheduler, "long", {"Count."}, tokens, [&](std::string_view) {
      if (std::exchange(first, false)) begun.set_value();
    });
    begun.get_future().wait();
    answers.Ask(**scheduler, "picture", {picture, "Read the text."}, 2);
    answers.Ask(**scheduler, "text", {"Hello"}, 2);
    std::vector<Answer> all = answers.Get();
    EXPECT_EQ(all[0].completion_tokens, tokens);
    EXPECT_EQ(all[1].text, "Mail");
    EXPECT_GT(all[1].ledger.cost(StageId::kEncode).device_ns, 0u);
    EXPECT_GE(all[1].ledger.cost(StageId::kEncode).wall_ns, all[1].ledger.cost(StageId::kEncode).device_ns);
    EXPECT_EQ((*scheduler)->stats().steps_beside > 0, beside);
    EXPECT_EQ((*scheduler)->stats().failed, 0u);
    return answers.order();
  };
  // A prompt without a picture doesn't wait for the one before it.
  EXPECT_EQ(run(true, 10), (std::vector<std::string>{"text", "long", "picture"}));
  run(false, 3);
}

TEST(SchedulerOnAGpuTest, WhoIsCancelledInTheTowerLeavesWhenItIsDone) {
  auto scheduler = Scheduler::Create(LoadOnGpu(), {});
  ASSERT_TRUE(scheduler.ok());
  std::promise<Answer> ended;
  GenerateRequest request{.messages = {Message::User({Picture("dev_0000_0.png"), "What is it?"})},
                          .options = {.max_tokens = 4, .detail = {PictureDetail::Kind::kLow, 0}}};
  request.on_done = [&](Result<Answer> answer) { ended.set_value(*std::move(answer)); };
  const auto id = (*scheduler)->Submit(std::move(request));
  ASSERT_TRUE(id.ok());
  while ((*scheduler)->stats().encoding == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  (*scheduler)->Cancel(*id);
  EXPECT_EQ(ended.get_future().get().finish_reason, FinishReason::kCancelled);
  Answers after;
  after.Ask(**scheduler, "after", {"Hello"}, 2);
  EXPECT_EQ(after.Get()[0].completion_tokens, 2);
}

}  // namespace
}  // namespace eyeshot
