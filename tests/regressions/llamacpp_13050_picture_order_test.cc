// llama.cpp's users saw SmolVLM's answers change with the place of the picture in the prompt (13050); mlx-vlm put
// pictures last wherever they were said (133).
#include "kernels/backend.h"
#include "models/model.h"
#include "runtime/conversation.h"
#include "small_gguf.h"

namespace eyeshot::testing {
namespace {

// What a conversation shows in order: words, and of each run of visual tokens the width of its picture.
std::string Seen(const VisionLanguageModel& model, std::vector<ContentPart> parts) {
  Conversation conversation(model);
  EXPECT_TRUE(conversation.Add(Message::User(std::move(parts)), {PictureDetail::Kind::kLow, 0}).ok());
  const PromptPlan plan = conversation.Plan().value();
  std::string seen;
  size_t position = 0;
  for (const VisualRun& run : plan.runs) {
    const auto begin = static_cast<size_t>(run.position);
    seen += model.tokenizer().Decode(std::span(plan.ids).subspan(position, begin - position), true);
    seen.append("{")
        .append(std::to_string(conversation.visuals()[static_cast<size_t>(run.visual)].image->width))
        .append("}");
    EXPECT_EQ(run.row, 0);
    EXPECT_EQ(run.count, 64);
    for (position = begin; position < begin + 64; ++position) {
      EXPECT_EQ(plan.ids[position], model.config().image_token_id);
    }
  }
  return seen + model.tokenizer().Decode(std::span(plan.ids).subspan(position), true);
}

TEST(LlamaCpp13050, PicturesStandWhereTheyWereSaid) {
  const auto backend = CreateBackend({.name = "portable", .threads = 1}).value();
  Ledger ledger;
  const auto model = LoadModel({.model = {.path = TinyModelDir()}}, *backend, ledger).value();
  const auto a = Plain(11, 9), b = Plain(22, 9);
  EXPECT_EQ(Seen(*model, {a, "then", b, "what?"}), "User:{11}then{22}what?\nAssistant:");
  EXPECT_EQ(Seen(*model, {b, "then", a, "what?"}), "User:{22}then{11}what?\nAssistant:");
  EXPECT_EQ(Seen(*model, {"what?", a, b, a}), "User: what?{11}{22}{11}\nAssistant:");
  EXPECT_EQ(Seen(*model, {"a", b, "b", a, "c"}), "User: a{22}b{11}c\nAssistant:");
}

}  // namespace
}  // namespace eyeshot::testing
