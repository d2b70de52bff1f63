// Conversations with the built-in model: what include/eyeshot/engine.h promises.
#include "eyeshot/engine.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/allocation_counter.h"

namespace eyeshot {
namespace {

const std::string kImages = EYESHOT_SOURCE_DIR "/tests/data/golden/eyeshot-tiny/images/";

Engine& TheEngine() {
  static const std::shared_ptr<Engine> engine = [] {
    auto loaded = Engine::Load({.model = EYESHOT_SOURCE_DIR "/models/eyeshot-tiny", .on_progress = {}});
    if (!loaded.ok()) throw std::runtime_error(loaded.status().message());
    return *std::move(loaded);
  }();
  return *engine;
}

std::unique_ptr<Chat> NewChat(std::string_view system = {}) {
  auto chat = TheEngine().NewChat(system);
  if (!chat.ok()) throw std::runtime_error(chat.status().message());
  return *std::move(chat);
}

// One view instead of tiles, for what has nothing to do with them: sanitizers take minutes for five.
const PictureDetail kOneView{PictureDetail::Kind::kLow, 0};

// A picture of the model's goldens: text on a plain ground.
std::shared_ptr<const Image> Picture() {
  auto image = LoadImage(kImages + "dev_0002_0.png");
  if (!image.ok()) throw std::runtime_error(image.status().message());
  return std::make_shared<const Image>(*std::move(image));
}

Answer Ask(Chat& chat, std::vector<ContentPart> parts, const AskOptions& options = {}) {
  auto answer = chat.Ask(std::move(parts), options);
  if (!answer.ok()) throw std::runtime_error(answer.status().message());
  return *std::move(answer);
}

TEST(EngineTest, SecondTurnReusesCacheAndPicture) {
  const auto chat = NewChat();
  const Answer first = Ask(*chat, {Picture(), "How many lines of text are there?"});
  EXPECT_EQ(first.cached_tokens, 0);
  EXPECT_EQ(first.visual_tokens, first.tiles * 64);
  EXPECT_EQ(first.ledger.cost(StageId::kEncode).tokens, static_cast<uint64_t>(first.tiles) * 256);

  const Answer second = Ask(*chat, {"Read the text."});
  EXPECT_GE(second.cached_tokens, first.prompt_tokens);
  EXPECT_EQ(second.ledger.cost(StageId::kEncode).runs, 0u);
  EXPECT_EQ(second.ledger.cost(StageId::kPrefill).tokens,
            static_cast<uint64_t>(second.prompt_tokens - second.cached_tokens));
  EXPECT_EQ(second.visual_tokens, first.visual_tokens);
  ASSERT_EQ(chat->messages().size(), 4u);

  // The same conversation from scratch, in one prompt, gives the same answer.
  const auto replay = NewChat();
  Ask(*replay, {Picture(), "How many lines of text are there?"});
  EXPECT_EQ(Ask(*replay, {"Read the text."}).text, second.text);
}

TEST(EngineTest, ResetForgetsAllButTheSystemMessage) {
  const auto chat = NewChat("Answer briefly.");
  const Answer first = Ask(*chat, {"Hello"}, {.max_tokens = 4});
  chat->Reset();
  ASSERT_EQ(chat->messages().size(), 1u);
  const Answer again = Ask(*chat, {"Hello"}, {.max_tokens = 4});
  EXPECT_EQ(again.text, first.text);
  EXPECT_EQ(again.prompt_tokens, first.prompt_tokens);
}

TEST(EngineTest, ResetForgetsPictures) {
  const auto chat = NewChat();
  EXPECT_EQ(Ask(*chat, {Picture(), "Read the text."}, {.max_tokens = 4, .detail = kOneView}).visual_tokens, 64);
  chat->Reset();
  EXPECT_EQ(Ask(*chat, {"Hello"}, {.max_tokens = 4}).visual_tokens, 0);
}

TEST(EngineTest, StreamedPiecesMakeTheAnswer) {
  std::string streamed;
  AskOptions options;
  options.on_text = [&](std::string_view piece) {
    streamed += piece;
    return true;
  };
  const Answer answer = Ask(*NewChat(), {Picture(), "Read the text."}, options);
  EXPECT_EQ(streamed, answer.text);
  EXPECT_FALSE(answer.text.empty());
  EXPECT_EQ(answer.finish_reason, FinishReason::kStop);
}

TEST(EngineTest, SpecialTokensStayIfAskedFor) {
  AskOptions options{.max_tokens = 24, .ignore_end = true};  // after its end the model says special tokens
  const std::string plain = Ask(*NewChat(), {"Hello"}, options).text;
  options.special_tokens = true;
  const std::string raw = Ask(*NewChat(), {"Hello"}, options).text;
  EXPECT_EQ(plain.find("<end_of_utterance>"), std::string::npos) << plain;
  EXPECT_NE(raw.find("<end_of_utterance>"), std::string::npos) << raw;
}

TEST(EngineTest, AnAnswerCanBeBegun) {
  const auto chat = NewChat();
  const Answer plain = Ask(*chat, {"Hello"}, {.max_tokens = 2});
  chat->Reset();
  const Answer begun = Ask(*chat, {"Hello"}, {.max_tokens = 2, .answer_start = "Answer:"});
  EXPECT_GT(begun.prompt_tokens, plain.prompt_tokens);
  EXPECT_EQ(std::get<std::string>(chat->messages().back().parts[0]), "Answer: " + begun.text);
}

TEST(EngineTest, SeedsRepeatAndDiffer) {
  AskOptions options{.max_tokens = 24, .detail = kOneView};
  options.sampling = {.temperature = 1.5f, .seed = 7};
  const auto ask = [&] { return Ask(*NewChat(), {Picture(), "Read the text."}, options).text; };
  const std::string first = ask();
  EXPECT_EQ(ask(), first);
  options.sampling.seed = 8;
  EXPECT_NE(ask(), first);
}

TEST(EngineTest, RepetitionPenaltyCountsThePrompt) {
  AskOptions options{.max_tokens = 8};
  const auto ask = [&] { return Ask(*NewChat(), {Picture(), "Read the text."}, options).text; };
  const std::string plain = ask();
  options.sampling.repetition_penalty = 100.0f;
  EXPECT_NE(ask(), plain);
}

TEST(EngineTest, EndsAtMaxTokensAndAtStopStrings) {
  const auto picture = Picture();
  const Answer whole = Ask(*NewChat(), {picture, "Read the text."}, {.detail = kOneView});
  const Answer cut = Ask(*NewChat(), {picture, "Read the text."}, {.max_tokens = 3, .detail = kOneView});
  EXPECT_EQ(cut.finish_reason, FinishReason::kLength);
  EXPECT_EQ(cut.completion_tokens, 3);
  EXPECT_TRUE(whole.text.starts_with(cut.text));

  const size_t space = whole.text.find(' ');
  ASSERT_NE(space, std::string::npos);
  const Answer stopped = Ask(*NewChat(), {picture, "Read the text."}, {.detail = kOneView, .stop = {" "}});
  EXPECT_EQ(stopped.text, whole.text.substr(0, space));
  EXPECT_EQ(stopped.finish_reason, FinishReason::kStop);
}

TEST(EngineTest, CancelsBetweenTokensAndBeforeThem) {
  std::atomic<bool> cancel{false};
  AskOptions options{.detail = kOneView};
  options.cancel = &cancel;
  options.on_text = [&](std::string_view) {
    cancel = true;
    return true;
  };
  const auto chat = NewChat();
  const Answer answer = Ask(*chat, {Picture(), "Read the text."}, options);
  EXPECT_EQ(answer.finish_reason, FinishReason::kCancelled);
  EXPECT_LT(answer.completion_tokens, 4);

  Image other = *Picture();
  other.rgb[0] ^= 1;  // one that has to be encoded
  const auto refused = chat->Ask({std::make_shared<const Image>(std::move(other)), "And this?"}, options);  // still set
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), StatusCode::kCancelled);
  EXPECT_EQ(chat->messages().size(), 2u);  // as before the refused question
}

TEST(EngineTest, PromptsThatDoNotFitAreRefusedWithNumbersAndLeaveTheChatAsItWas) {
  const auto chat = NewChat();
  Ask(*chat, {"Hello"}, {.max_tokens = 2});
  std::vector<ContentPart> parts(12, ContentPart(Picture()));
  parts.emplace_back("What is the same in all of them?");
  const auto answer = chat->Ask(parts);
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.status().code(), StatusCode::kContextFull);
  const std::string message = answer.status().message();
  EXPECT_NE(message.find("2304 of them visual, of 36 tiles"), std::string::npos) << message;
  EXPECT_NE(message.find("the context holds 2048"), std::string::npos) << message;
  EXPECT_NE(message.find("use fewer pictures, or the detail auto or low"), std::string::npos) << message;
  EXPECT_EQ(chat->messages().size(), 2u);
  EXPECT_GT(Ask(*chat, {"Hello again"}, {.max_tokens = 2}).cached_tokens, 0);
}

TEST(EngineTest, AnswersEndWhereTheContextEnds) {
  auto engine = Engine::Load(
      {.model = EYESHOT_SOURCE_DIR "/models/eyeshot-tiny", .threads = 1, .context_tokens = 24, .on_progress = {}});
  ASSERT_TRUE(engine.ok()) << engine.status().message();
  auto chat = (*engine)->NewChat();
  ASSERT_TRUE(chat.ok());
  const Answer answer = Ask(**chat, {"Hello"}, {.ignore_end = true});
  EXPECT_EQ(answer.finish_reason, FinishReason::kContext);
  EXPECT_EQ(answer.prompt_tokens + answer.completion_tokens, 24);
}

TEST(EngineTest, BadOptionsAreNamed) {
  const auto chat = NewChat();
  const auto message = [&](const AskOptions& options) { return chat->Ask({"Hi"}, options).status().message(); };
  EXPECT_EQ(message({.max_tokens = 0}), "max_tokens is 0: use at least 1");
  AskOptions options;
  options.sampling.top_p = 1.5f;
  EXPECT_EQ(message(options), "top_p is 1.5: use more than 0, at most 1 (off)");
  EXPECT_FALSE(chat->Ask({}).ok());
  EXPECT_FALSE(chat->Ask({std::shared_ptr<const Image>()}).ok());
  EXPECT_TRUE(chat->messages().empty());
}

TEST(EngineTest, OneViewInsteadOfTilesOnRequest) {
  const Answer answer = Ask(*NewChat(), {Picture(), "Read the text."}, {.max_tokens = 2, .detail = kOneView});
  EXPECT_EQ(answer.tiles, 1);
  EXPECT_EQ(answer.visual_tokens, 64);
}

TEST(EngineTest, ALedgerSaysWhatPicturesBecame) {
  const auto picture = Picture();
  const Answer low = Ask(*NewChat(), {picture, picture, "Which one?"}, {.max_tokens = 1, .detail = kOneView});
  ASSERT_EQ(low.ledger.pictures().size(), 2u);
  const PictureCost& cost = low.ledger.pictures()[0];
  EXPECT_EQ(cost.width, picture->width);
  EXPECT_EQ(cost.rows, 0);
  EXPECT_EQ(cost.visual_tokens, 64);
  EXPECT_FALSE(cost.shrunk);
  const Answer reference = Ask(*NewChat(), {picture, "Which one?"}, {.max_tokens = 1});
  EXPECT_EQ(cost.reference_visual_tokens, reference.visual_tokens);
  EXPECT_EQ(reference.ledger.pictures()[0].saved(), 0);
  EXPECT_NE(low.ledger.Table().find("one view: 64 visual tokens, the reference takes"), std::string::npos);
  EXPECT_EQ(reference.ledger.Table().find("picture 1"), std::string::npos) << "nothing differs";
}

// Only "auto" makes pictures smaller to fit, the one with most tiles first, and says so.
TEST(EngineTest, AutomaticDetailFitsTheContext) {
  auto engine = Engine::Load({.model = EYESHOT_SOURCE_DIR "/models/eyeshot-tiny", .context_tokens = 512});
  ASSERT_TRUE(engine.ok()) << engine.status().message();
  const auto large = std::make_shared<const Image>(Image{600, 600, std::vector<uint8_t>(600 * 600 * 3, 90)});
  const auto ask = [&](PictureDetail::Kind kind) {
    return (*(*engine)->NewChat())->Ask({large, large, "What changed?"}, {.max_tokens = 1, .detail = {kind, 0}});
  };
  EXPECT_EQ(ask(PictureDetail::Kind::kReference).status().code(), StatusCode::kContextFull);
  const auto answer = ask(PictureDetail::Kind::kAuto);
  ASSERT_TRUE(answer.ok()) << answer.status().message();
  ASSERT_EQ(answer->ledger.pictures().size(), 2u);
  EXPECT_TRUE(answer->ledger.pictures()[0].shrunk);
  EXPECT_EQ(answer->ledger.pictures()[0].visual_tokens, 64);
  EXPECT_FALSE(answer->ledger.pictures()[1].shrunk);
  EXPECT_EQ(answer->ledger.pictures()[1].visual_tokens, 320);
  EXPECT_NE(answer->ledger.Table().find("made smaller to fit"), std::string::npos);
}

// Frames that don't fit keep fewer visual tokens, and the ledger says so; a clip that fits keeps them all.
TEST(EngineTest, AutomaticDetailFitsFramesIntoTheContext) {
  std::vector<Image> images;
  images.reserve(4);
  for (int i = 0; i < 4; ++i) images.push_back({8, 8, std::vector<uint8_t>(192, static_cast<uint8_t>(32 * i))});
  const auto clip = std::make_shared<const Frames>(*FramesFromImages(std::move(images), 1));
  const AskOptions options{.max_tokens = 1, .detail = {PictureDetail::Kind::kAuto, 0}};
  const auto small = Engine::Load({.model = EYESHOT_SOURCE_DIR "/models/eyeshot-tiny", .context_tokens = 200});
  ASSERT_TRUE(small.ok());
  const std::unique_ptr<Chat> chat = *(*small)->NewChat("");
  EXPECT_EQ(chat->Ask({clip, "What happens?"}, {.max_tokens = 1}).status().code(), StatusCode::kContextFull);
  const Answer answer = Ask(*chat, {clip, "What happens?"}, options);
  EXPECT_EQ(answer.tiles, 4);
  EXPECT_EQ(answer.visual_tokens, 4 * 16);
  EXPECT_EQ(answer.ledger.cost(StageId::kReduce).tokens, 4u * 16);
  ASSERT_EQ(answer.ledger.pictures().size(), 1u);
  EXPECT_EQ(answer.ledger.pictures()[0].frames, 4);
  EXPECT_EQ(answer.ledger.pictures()[0].saved(), 4 * 48);
  EXPECT_TRUE(answer.ledger.pictures()[0].shrunk);
  EXPECT_NE(answer.ledger.Table().find("clip 1: 4 frames: 64 visual tokens, the reference takes 256; reduced by "
                                       "stride:16,positions=renumber; made smaller to fit into the context"),
            std::string::npos);

  std::vector<Image> few(2, Image{8, 8, std::vector<uint8_t>(192, 1)});
  const Answer whole =
      Ask(*NewChat(), {std::make_shared<const Frames>(*FramesFromImages(std::move(few), 1)), "Which?"}, options);
  EXPECT_EQ(whole.visual_tokens, 128);
  EXPECT_EQ(whole.ledger.cost(StageId::kReduce).runs, 0u);
  EXPECT_EQ(whole.ledger.Table().find("clip 1"), std::string::npos);
}

// By content: another object with the same pixels, in another turn or in the same.
TEST(EngineTest, APictureIsEncodedOnce) {
  const auto picture = Picture();
  const auto copy = std::make_shared<const Image>(*picture);
  const auto chat = NewChat();
  const AskOptions options{.max_tokens = 2, .detail = kOneView};
  const Answer first = Ask(*chat, {picture, copy, "Which one?"}, options);
  EXPECT_EQ(first.tiles, 2);
  EXPECT_EQ(first.ledger.cost(StageId::kPreprocess).tokens, 1u);
  const Answer second = Ask(*chat, {"And this?", copy}, options);
  EXPECT_EQ(second.ledger.cost(StageId::kEncode).runs, 0u);
  EXPECT_EQ(second.tiles, 3);
  // With another detail it's another picture.
  const Answer third = Ask(*chat, {copy, "And now?"}, {.max_tokens = 2});
  EXPECT_EQ(third.ledger.cost(StageId::kPreprocess).tokens, static_cast<uint64_t>(third.tiles - second.tiles));
  EXPECT_GT(third.tiles, second.tiles + 1);

  // The same as if each had been encoded.
  Image other = *picture;
  other.rgb[0] ^= 1;
  const auto apart = NewChat();
  const Answer two = Ask(*apart, {picture, std::make_shared<const Image>(std::move(other)), "Which one?"}, options);
  EXPECT_EQ(two.ledger.cost(StageId::kPreprocess).tokens, 2u);
}

TEST(EngineTest, PicturesStandWhereTheyWereSaid) {
  const auto picture = Picture();
  const AskOptions options{.max_tokens = 1, .detail = kOneView};
  const Answer before = Ask(*NewChat(), {picture, picture, "Which one?"}, options);
  const Answer around = Ask(*NewChat(), {picture, "and", picture, "Which one?"}, options);
  EXPECT_EQ(before.visual_tokens, around.visual_tokens);
  EXPECT_EQ(before.tiles, 2 * Ask(*NewChat(), {picture}, options).tiles);
  EXPECT_GT(around.prompt_tokens, before.prompt_tokens);
}

// In each kind of product, with a cache of 8 bits too.
class EnginePrecisionTest : public ::testing::TestWithParam<const char*> {};

TEST_P(EnginePrecisionTest, DecodeLoopDoesNotAllocate) {
  const auto engine = Engine::Load({.model = EYESHOT_SOURCE_DIR "/models/eyeshot-tiny",
                                    .precision = GetParam(),
                                    .kv_cache = std::string_view(GetParam()) == "int8" ? "int8" : "f16",
                                    .on_progress = {}});
  ASSERT_TRUE(engine.ok()) << engine.status().message();
  uint64_t first = 0;
  uint64_t last = 0;
  int pieces = 0;
  AskOptions options{.max_tokens = 64, .detail = kOneView, .ignore_end = true};
  options.sampling = {.temperature = 1.0f, .top_k = 40, .top_p = 0.95f, .repetition_penalty = 1.1f};
  options.on_text = [&](std::string_view) {
    last = eyeshot::testing::Allocations();
    if (pieces++ == 0) first = last;
    return true;
  };
  const auto chat = (*engine)->NewChat();
  ASSERT_TRUE(chat.ok()) << chat.status().message();
  Ask(**chat, {Picture(), "Read the text."}, options);
  EXPECT_GT(pieces, 20);
  EXPECT_EQ(last - first, 0u) << "over " << pieces << " tokens";
}

INSTANTIATE_TEST_SUITE_P(Precisions, EnginePrecisionTest, ::testing::Values("exact", "int8", "int4"));

}  // namespace
}  // namespace eyeshot
