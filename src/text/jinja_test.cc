#include "text/jinja.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/limits.h"
#include "formats/testing.h"

namespace eyeshot {
namespace {

using json = nlohmann::ordered_json;
using testing::ExpectError;

JinjaValue FromJson(const json& value) {
  if (value.is_null()) return JinjaValue::None();
  if (value.is_boolean()) return JinjaValue::Bool(value.get<bool>());
  if (value.is_number_integer()) return JinjaValue::Int(value.get<int64_t>());
  if (value.is_number()) return JinjaValue::Float(value.get<double>());
  if (value.is_string()) return JinjaValue::Text(value.get<std::string>());
  if (value.is_array()) {
    JinjaValue::List list;
    for (const json& item : value) list.push_back(FromJson(item));
    return JinjaValue::FromList(std::move(list)).value();
  }
  JinjaValue::Dict dict;
  for (const auto& [key, item] : value.items()) dict.emplace_back(key, FromJson(item));
  return JinjaValue::FromDict(std::move(dict)).value();
}

// What transformers made of templates (tests/golden/templates.py).
const json& Golden() {
  static const json golden = json::parse(testing::ReadAll(testing::UnpackedPath("golden/templates.json")));
  return golden;
}

Result<std::string> Render(const std::string& text, const JinjaValue::Dict& variables = {}) {
  const Result<JinjaTemplate> parsed = JinjaTemplate::Parse(text, "here");
  if (!parsed.ok()) return parsed.status();
  return parsed->Render(variables);
}

TEST(JinjaGoldens, EveryTemplateOfTheCheckpoints) {
  size_t same = 0;
  for (const json& c : Golden().at("cases")) {
    const std::string name = c.at("template");
    SCOPED_TRACE(name + " " + c.at("variables").dump().substr(0, 200));
    const std::string text = Golden().at("templates").at(name);
    const Result<std::string> got = Render(text, *FromJson(c.at("variables")).dict());
    if (c.contains("text")) {
      ASSERT_TRUE(got.ok()) << got.status().message();
      EXPECT_EQ(*got, c.at("text").get<std::string>());
    } else {
      EXPECT_FALSE(got.ok()) << *got;
      if (c.contains("words")) ExpectError(got.status(), StatusCode::kInvalidArgument, {c.at("words")});
    }
    ++same;
  }
  EXPECT_GE(same, 200u);
}

TEST(JinjaGoldens, SmallTemplates) {
  const JinjaValue values = FromJson(Golden().at("values"));
  for (const json& c : Golden().at("snippets")) {
    const std::string text = c.at("text");
    SCOPED_TRACE(text);
    const Result<std::string> got = Render(text, *values.dict());
    if (c.contains("expected_text")) {
      EXPECT_EQ(got.ok() ? *got : got.status().message(), c.at("expected_text").get<std::string>());
      continue;
    }
    EXPECT_FALSE(got.ok()) << *got;
    const bool is_syntax = c.at("expected_error") == "syntax";
    EXPECT_EQ(got.status().code(), is_syntax ? StatusCode::kCorrupt : StatusCode::kInvalidArgument)
        << got.status().message();
  }
}

// The error of a template that must fail.
Status ErrorOf(const std::string& text) { return Render(text, *FromJson(Golden().at("values")).dict()).status(); }

TEST(JinjaTest, UnknownConstructsAreNamedWithTheirLine) {
  constexpr auto kUnsupported = StatusCode::kUnsupported;
  ExpectError(ErrorOf("a\n\n{% macro m() %}{% endmacro %}"), kUnsupported, {"here", "line 3", "statement 'macro'"});
  ExpectError(ErrorOf("{% include 'x' %}"), kUnsupported, {"line 1", "'include'"});
  ExpectError(ErrorOf("\n{% raw %}{{ x }}{% endraw %}"), kUnsupported, {"line 2", "raw"});
  ExpectError(ErrorOf("{{ 2 ** 3 }}"), kUnsupported, {"'**'"});
  ExpectError(ErrorOf("\n{{ l | shuffle }}"), kUnsupported, {"line 2", "filter 'shuffle'"});
  ExpectError(ErrorOf("{{ n is prime }}"), kUnsupported, {"test 'prime'"});
  ExpectError(ErrorOf("{{ strftime_now('%Y') }}"), kUnsupported, {"function 'strftime_now'"});
  ExpectError(ErrorOf("{{ s.swapcase() }}"), kUnsupported, {"method 'swapcase'"});
  ExpectError(ErrorOf("{{ l.append(1) }}"), kUnsupported, {"method 'append'", "a list"});
  ExpectError(ErrorOf("{{ l }}"), kUnsupported, {"a list written as text"});
  ExpectError(ErrorOf("{{ u | upper }}"), kUnsupported, {"not ASCII"});
  ExpectError(ErrorOf("{% set ns = namespace() %}{% set ns.x = ns %}"), kUnsupported, {"namespace inside"});
  ExpectError(ErrorOf("{% for x in l recursive %}{% endfor %}"), kUnsupported, {"recursive"});
}

TEST(JinjaTest, WhatPythonRefusesIsSaidWithItsLine) {
  constexpr auto kInvalid = StatusCode::kInvalidArgument;
  ExpectError(ErrorOf("\n\n{{ missing.x }}"), kInvalid, {"line 3", "'missing' is undefined"});
  ExpectError(ErrorOf("{{ 'a' + n }}"), kInvalid, {"'+' between a text and a number"});
  ExpectError(ErrorOf("{% for x in l %}\n{% if x == 2 %}\n{{ raise_exception('Two: ' ~ x) }}{% endif %}{% endfor %}"),
              kInvalid, {"line 3", "refuses this conversation: Two: 2"});
}

// Templates that would run for ever or take all memory.
TEST(JinjaTest, EveryTemplateEnds) {
  constexpr auto kLimit = StatusCode::kLimitExceeded;
  ExpectError(ErrorOf("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"), kLimit,
              {"steps"});
  ExpectError(ErrorOf("{{ range(9999999999999) | length }}"), kLimit, {"steps"});
  ExpectError(ErrorOf("{{ 'abcdefgh' * 999999999999 }}"), kLimit, {"steps"});
  std::string doubling =
      "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(64) %}{% set ns.x = ns.x + ns.x %}{% endfor %}";
  ExpectError(ErrorOf(doubling), kLimit, {"steps"});
  ExpectError(
      ErrorOf("{% set ns = namespace(x=[1]) %}{% for i in range(999) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}"),
      kLimit, {"nested deeper than 200"});
  ExpectError(ErrorOf("{% for i in range(99999) %}" + std::string(200, 'a') + "{% endfor %}"), kLimit,
              {"4194304 bytes"});
  ExpectError(ErrorOf("{{ 9223372036854775807 + 1 }}"), kLimit, {"64 bits"});
  ExpectError(ErrorOf("{{ 9223372036854775808 }}"), kLimit, {"too large"});
}

TEST(JinjaTest, RefusesHugeTemplates) {
  constexpr auto kLimit = StatusCode::kLimitExceeded;
  ExpectError(ErrorOf(std::string(limits::kMaxTemplateBytes + 1, 'a')), kLimit, {"262145 bytes", "262144"});
  std::string many;
  for (size_t i = 0; i <= limits::kMaxTemplateNodes / 2; ++i) many += "{{1}}";
  ExpectError(ErrorOf(many), kLimit, {"65536 parts"});
  const auto times = [](const char* part) {
    std::string text;
    for (int i = 0; i < 5000; ++i) text += part;
    return text;
  };
  const std::string nested[] = {"{{ " + times("(") + "1" + times(")") + " }}",
                                "{{ " + times("[") + times("]") + " }}",
                                "{{ " + times("not ") + "1 }}",
                                "{{ " + times("-") + "1 }}",
                                times("{% if t %}"),
                                times("{% for x in l %}")};
  for (const std::string& text : nested) ExpectError(ErrorOf(text), kLimit, {"nested deeper than 200"});
  for (const char* chain : {" + 1", " and 1", ".a", "[0]", " | string", " if 1 else 1", " is true"}) {
    ExpectError(ErrorOf("{{ 1" + times(chain) + " }}"), kLimit, {"200"});
  }
}

}  // namespace
}  // namespace eyeshot
