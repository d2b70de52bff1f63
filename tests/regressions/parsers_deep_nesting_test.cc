// A reader that calls itself for what is nested runs out of stack on some hundred kilobytes of brackets. Each of ours
// stops at a limit.
#include "formats/json.h"
#include "small_gguf.h"
#include "text/doctags.h"
#include "text/jinja.h"

namespace eyeshot::testing {
namespace {

constexpr size_t kDepth = 100'000;

std::string Repeat(std::string_view part) {
  std::string text;
  for (size_t i = 0; i < kDepth; ++i) text += part;
  return text;
}

TEST(DeepNesting, GgufArrays) {
  const std::string array = GgufBuilder::Number(static_cast<uint32_t>(GgufType::kArray), 4) + GgufBuilder::Number(1, 8);
  const std::string file = GgufBuilder().Raw("k", GgufType::kArray, Repeat(array)).Bytes();
  ExpectError(ParseGguf(file), StatusCode::kLimitExceeded, {"k nests arrays"});
}

TEST(DeepNesting, Json) {
  for (const char* open : {"[", "{\"a\":"}) {
    ExpectError(ParseJsonTree(Repeat(open), "x.json").status(), StatusCode::kLimitExceeded, {"x.json"});
  }
}

TEST(DeepNesting, ChatTemplates) {
  for (const std::string& text : {"{{ " + Repeat("("), "{{ " + Repeat("not "), "{{ " + Repeat("["), "{{ " + Repeat("-"),
                                  Repeat("{% if a %}"), "{{ a" + Repeat(".a") + "}}"}) {
    const auto parsed = JinjaTemplate::Parse(text, "x.jinja");
    EXPECT_FALSE(parsed.ok() && parsed->Render({}).ok()) << text.substr(0, 20);
  }
}

TEST(DeepNesting, DocTags) {
  const auto html = DocTagsToHtml(Repeat("<unordered_list>"));
  EXPECT_TRUE(html.ok() || !html.status().mend().empty());
}

}  // namespace
}  // namespace eyeshot::testing
