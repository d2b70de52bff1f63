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

}  // namespace
}  // namespace eyeshot
