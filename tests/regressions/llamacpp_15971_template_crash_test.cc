// llama.cpp's server tried SmolVLM2's own chat template with a message whose content is null, and the exception ended
// it: "Value is not callable: null", a core dump for everyone who loads that model (15971).
#include "small_gguf.h"
#include "text/jinja.h"

namespace eyeshot::testing {
namespace {

// A word of its own keeps it from being recognized, so that it is run.
std::string SmolVlm2Template() { return "{# run #}" + ReadAll(TinyModelDir() + "/chat_template.jinja"); }

TEST(LlamaCpp15971, ContentThatIsNoListIsNoException) {
  const auto parsed = JinjaTemplate::Parse(SmolVlm2Template(), "x.jinja");
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  const auto render = [&](const JinjaValue& content) {
    const auto message = JinjaValue::FromDict({{"role", JinjaValue::Text("user")}, {"content", content}});
    return parsed->Render({{"messages", JinjaValue::FromList({message.value()}).value()}}).status();
  };
  for (const JinjaValue& content : {JinjaValue::None(), JinjaValue(), JinjaValue::Int(7)}) {
    ExpectError(render(content), StatusCode::kInvalidArgument, {"x.jinja", "line 1"});
  }
}

TEST(LlamaCpp15971, ModelsWithItAnswer) {
  const auto engine = SmallGguf({.chat_template = SmolVlm2Template()}).Load();
  for (const auto& parts : {std::vector<ContentPart>{"Hi"}, {Plain(40, 30)}, {"", Plain(40, 30)}}) {
    EXPECT_EQ(Ask(engine, parts, {.max_tokens = 2, .ignore_end = true}).completion_tokens, 2);
  }
}

}  // namespace
}  // namespace eyeshot::testing
