// The input is a chat template, and, behind a NUL, a text that its messages hold. Whatever it does, it ends within its
// limits: a text of bounded size, or an error that says what to do.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/limits.h"
#include "text/jinja.h"

namespace {

using eyeshot::JinjaValue;

JinjaValue Fields(JinjaValue::Dict fields) { return JinjaValue::FromDict(std::move(fields)).value(); }
JinjaValue Items(JinjaValue::List items) { return JinjaValue::FromList(std::move(items)).value(); }

JinjaValue::Dict Variables(std::string_view text) {
  const JinjaValue words = JinjaValue::Text(std::string(text));
  const JinjaValue part = Fields({{"type", JinjaValue::Text("text")}, {"text", words}});
  const JinjaValue image = Fields({{"type", JinjaValue::Text("image")}});
  const JinjaValue first = Fields({{"role", JinjaValue::Text("system")}, {"content", words}});
  const JinjaValue second = Fields({{"role", JinjaValue::Text("user")}, {"content", Items({image, part})}});
  return {{"messages", Items({first, second})}, {"add_generation_prompt", JinjaValue::Bool(true)},
          {"tools", JinjaValue::None()},        {"n", JinjaValue::Int(7)},
          {"x", JinjaValue::Float(-0.5)},       {"bos_token", JinjaValue::Text("<s>")}};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t end = std::min(input.find('\0'), input.size());
  const auto parsed = eyeshot::JinjaTemplate::Parse(input.substr(0, end), "template");
  if (!parsed.ok()) {
    EYESHOT_CHECK(!parsed.status().mend().empty());
    return 0;
  }
  const auto rendered = parsed->Render(Variables(input.substr(std::min(end + 1, input.size()))));
  if (rendered.ok()) {
    EYESHOT_CHECK(rendered->size() <= eyeshot::limits::kMaxPromptBytes);
  } else {
    EYESHOT_CHECK(!rendered.status().mend().empty());
  }
  return 0;
}
