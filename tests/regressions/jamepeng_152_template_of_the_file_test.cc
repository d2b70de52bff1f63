// llama-cpp-python wrote prompts by a template of its own, with another placeholder for pictures than the model's, and
// the model saw other sizes (JamePeng 152). SmolVLM's "<image>" met the same in llama.cpp's server, where the template
// wrote it and the tokenizer looked for another marker (22342).
#include "kernels/backend.h"
#include "models/model.h"
#include "runtime/conversation.h"
#include "small_gguf.h"

namespace eyeshot::testing {
namespace {

TEST(JamePeng152, TheFilesTemplateWritesThePromptAndPlacesPictures) {
  const SmallGguf files{.chat_template =
                            "{% for m in messages %}[{{ m.role }}]{% for p in m.content %}"
                            "{% if p.type == 'image' %}<image>{% else %}{{ p.text }}{% endif %}"
                            "{% endfor %}{% endfor %}[answer]"};
  const TempDir dir;
  files.Write(dir);
  const auto backend = CreateBackend({.name = "portable", .threads = 1}).value();
  Ledger ledger;
  const auto model = LoadModel({.model = {.path = dir.path()}}, *backend, ledger).value();

  Conversation conversation(*model);
  ASSERT_TRUE(conversation.Add(Message::User({"What is ", Plain(60, 30), "?"}), {}).ok());
  const auto plan = conversation.Plan();
  ASSERT_TRUE(plan.ok()) << plan.status().message();
  const std::string text = model->tokenizer().Decode(plan->ids);
  EXPECT_TRUE(text.starts_with("[user]What is <fake_token_around_image><row_1_col_1><image><image>")) << text;
  EXPECT_TRUE(text.ends_with("<image><fake_token_around_image>?[answer]")) << text;
  EXPECT_EQ(conversation.visuals().at(0).grid.cols, 2);
  EXPECT_EQ(plan->visual_tokens, 3 * 4);
}

}  // namespace
}  // namespace eyeshot::testing
