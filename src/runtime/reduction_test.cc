// Answers about pictures and clips whose visual tokens were made fewer, by the built-in model.
#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "eyeshot/engine.h"
#include "kernels/backend.h"
#include "models/model.h"
#include "runtime/conversation.h"

namespace eyeshot {
namespace {

const std::string kModel = EYESHOT_SOURCE_DIR "/models/eyeshot-tiny";
const std::string kPicture = EYESHOT_SOURCE_DIR "/tests/data/golden/eyeshot-tiny/images/dev_0002_0.png";

std::unique_ptr<Chat> NewChat() {
  static const std::shared_ptr<Engine> engine = [] {
    auto loaded = Engine::Load({.model = kModel, .on_progress = {}});
    if (!loaded.ok()) throw std::runtime_error(loaded.status().message());
    return *std::move(loaded);
  }();
  auto chat = engine->NewChat();
  if (!chat.ok()) throw std::runtime_error(chat.status().message());
  return *std::move(chat);
}

std::shared_ptr<const Image> Picture() {
  auto image = LoadImage(kPicture);
  if (!image.ok()) throw std::runtime_error(image.status().message());
  return std::make_shared<const Image>(*std::move(image));
}

Answer Ask(Chat& chat, std::vector<ContentPart> parts, const AskOptions& options) {
  auto answer = chat.Ask(std::move(parts), options);
  if (!answer.ok()) throw std::runtime_error(answer.status().message());
  return *std::move(answer);
}

const AskOptions kOneView{.max_tokens = 4, .detail = {PictureDetail::Kind::kLow, 0}};

AskOptions Reduced(const char* reduce) {
  AskOptions options = kOneView;
  options.reduce = reduce;
  return options;
}

TEST(ReductionTest, ReducedPicturesTakeFewerTokensInEveryTurn) {
  const auto chat = NewChat();
  const Answer first = Ask(*chat, {Picture(), "Read the text."}, Reduced("divprune:16"));
  EXPECT_EQ(first.visual_tokens, 16);
  EXPECT_EQ(first.ledger.cost(StageId::kReduce).tokens, 16u);
  ASSERT_EQ(first.ledger.pictures().size(), 1u);
  EXPECT_EQ(first.ledger.pictures()[0].visual_tokens, 16);
  EXPECT_EQ(first.ledger.pictures()[0].reduction, "divprune:16");
  EXPECT_NE(first.ledger.Table().find("; reduced by divprune:16\n"), std::string::npos) << first.ledger.Table();
  // The next turn finds them in the cache, and says what it would say without one.
  const Answer second = Ask(*chat, {"And now?"}, kOneView);
  EXPECT_GE(second.cached_tokens, first.prompt_tokens);
  EXPECT_EQ(second.visual_tokens, 16);
  const auto replay = NewChat();
  EXPECT_EQ(Ask(*replay, {Picture(), "Read the text."}, Reduced("divprune:16")).text, first.text);
  EXPECT_EQ(Ask(*replay, {"And now?"}, kOneView).text, second.text);
}

TEST(ReductionTest, AllTokensAnswerAsNoReductionDoesAndNoneIsNoPicture) {
  const auto chat = NewChat();
  const auto ask = [&](const char* reduce) {
    chat->Reset();
    return Ask(*chat, {Picture(), "Read the text."}, Reduced(reduce));
  };
  const Answer whole = ask("none");
  for (const char* reduce : {"pool:all", "visionzip:64", "stride:1,global=all", "tome:256"}) {
    const Answer answer = ask(reduce);
    EXPECT_EQ(answer.text, whole.text) << reduce;
    EXPECT_EQ(answer.visual_tokens, 64) << reduce;
  }
  const Answer none = ask("stride:0");
  EXPECT_EQ(none.visual_tokens, 0);
  EXPECT_EQ(none.ledger.cost(StageId::kEncode).runs, 0u);
  EXPECT_EQ(ask("visionzip:16").visual_tokens, 16);
}

// The only reducer that makes the tower's work less: patches are merged in each layer, and given back at its end.
TEST(ReductionTest, TokenMergingMakesTheTowersWorkLess) {
  const Answer whole = Ask(*NewChat(), {Picture(), "Read the text."}, kOneView);
  const Answer merged = Ask(*NewChat(), {Picture(), "Read the text."}, Reduced("tome:25%"));
  EXPECT_EQ(merged.visual_tokens, whole.visual_tokens);
  EXPECT_LT(merged.ledger.cost(StageId::kEncode).flops, whole.ledger.cost(StageId::kEncode).flops * 3 / 4);
  EXPECT_GT(merged.ledger.cost(StageId::kReduce).runs, 0u);
}

TEST(ReductionTest, ClipsKeepWhatChanges) {
  std::vector<Image> images(3, Image{8, 8, std::vector<uint8_t>(192, 40)});
  images[2] = Image{8, 8, std::vector<uint8_t>(192, 200)};
  const auto clip = std::make_shared<const Frames>(*FramesFromImages(std::move(images), 1));
  const auto chat = NewChat();
  const Answer answer = Ask(*chat, {clip, "What happens?"}, Reduced("evs:32"));
  EXPECT_EQ(answer.visual_tokens, 3 * 32);  // the first frame's 64 and what is new in the third one
  const Answer again = Ask(*chat, {clip, "And now?"}, Reduced("evs:32"));
  EXPECT_EQ(again.visual_tokens, 2 * answer.visual_tokens);
  EXPECT_EQ(again.ledger.cost(StageId::kEncode).runs, 0u);
  EXPECT_EQ(Ask(*NewChat(), {clip, "What happens?"}, Reduced("frame-mean:50%")).visual_tokens, 2 * 64);
  const Status status = NewChat()->Ask({Picture(), "What?"}, Reduced("evs:32")).status();
  EXPECT_NE(status.message().find("evs compares the frames of a clip"), std::string::npos) << status.message();
}

// 40 frames of 64 places each are more than the model's 2,048 positions.
TEST(ReductionTest, PositionsThatAreKeptMustBeThere) {
  std::vector<Image> images(40, Image{8, 8, std::vector<uint8_t>(192, 40)});
  const auto clip = std::make_shared<const Frames>(*FramesFromImages(std::move(images), 1));
  const auto chat = NewChat();
  const Status status = chat->Ask({clip, "What happens?"}, Reduced("stride:1,positions=keep")).status();
  EXPECT_EQ(status.code(), StatusCode::kContextFull);
  EXPECT_NE(status.message().find("leave positions=keep out"), std::string::npos) << status.message();
  EXPECT_EQ(*chat->FramesThatFit(40, 40, "What happens?", Reduced("stride:1")), 40);
  EXPECT_LT(*chat->FramesThatFit(40, 40, "What happens?", kOneView), 30);
}

// A question that was asked before is read from the cache, whatever the picture.
TEST(ReductionTest, QuestionsThatComeFirstAreCached) {
  AskOptions options = kOneView;
  options.question_first = true;
  const auto chat = NewChat();
  const Answer first = Ask(*chat, {Picture(), "How many lines of text are there?"}, options);
  EXPECT_EQ(first.cached_tokens, 0);
  chat->Reset();
  const auto blank = std::make_shared<const Image>(Image{64, 64, std::vector<uint8_t>(64 * 64 * 3, 255)});
  const Answer second = Ask(*chat, {blank, "How many lines of text are there?"}, options);
  // All but the picture, its markers and the end of the turn.
  EXPECT_GE(second.cached_tokens, 8);
  EXPECT_GE(second.cached_tokens, second.prompt_tokens - 64 - 8);
}

// What stays of a picture has the positions that it has in the whole prompt, and so has the text behind it.
TEST(ReductionTest, TokensThatStayKeepTheirPositions) {
  auto backend = CreateBackend({.name = "portable", .threads = 1});
  ASSERT_TRUE(backend.ok());
  Ledger ledger;
  auto model = LoadModel({.model = {.path = kModel}}, **backend, ledger);
  ASSERT_TRUE(model.ok()) << model.status().message();
  const auto picture = std::make_shared<const Image>(Image{400, 200, std::vector<uint8_t>(400 * 200 * 3)});
  for (const char* policy : {"", ",positions=renumber"}) {
    Conversation conversation(**model);
    const auto reduce = ParseReduceSpec(std::string("stride:2,global=0").append(policy));
    ASSERT_TRUE(conversation.Add(Message::User({picture, "What?"}), PictureDetail(), *reduce).ok());
    Visual& visual = conversation.visuals()[0];
    ASSERT_EQ(visual.tile_tokens, (std::vector<int64_t>{2, 2, 0}));
    visual.slots = {5, 40, 64 + 5, 64 + 40};
    auto plan = conversation.Plan();
    ASSERT_TRUE(plan.ok()) << plan.status().message();
    conversation.SetPositions(*plan);
    if (*policy != 0) {
      EXPECT_TRUE(plan->positions.empty());
      EXPECT_EQ(plan->position_end, static_cast<int64_t>(plan->ids.size()));
      continue;
    }
    ASSERT_EQ(plan->positions.size(), plan->ids.size());
    ASSERT_EQ(plan->runs.size(), 3u);
    const auto position = [&](int64_t place) { return plan->positions[static_cast<size_t>(place)]; };
    const int64_t first = plan->runs[0].position;
    const int64_t second = plan->runs[1].position;
    EXPECT_EQ(position(first - 1), first - 1);
    EXPECT_EQ(position(first), first + 5);
    EXPECT_EQ(position(first + 1), first + 40);
    EXPECT_EQ(position(first + 2), first + 64);  // the next tile's marker
    EXPECT_EQ(position(second), second + 62 + 5);
    EXPECT_EQ(position(plan->runs[2].position), plan->runs[2].position + 2 * 62 + 64);  // behind a tile without tokens
    EXPECT_EQ(plan->position_end, static_cast<int64_t>(plan->ids.size()) + 2 * 62 + 64);
  }
}

}  // namespace
}  // namespace eyeshot
