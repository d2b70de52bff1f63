#include "text/doctags.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

#include "base/limits.h"
#include "formats/testing.h"

namespace eyeshot {
namespace {

using nlohmann::json;
using testing::ExpectError;

std::string Markdown(const std::string& text) {
  const Result<std::string> document = DocTagsToMarkdown(text);
  return document.ok() ? *document : document.status().message();
}

std::string Html(const std::string& text) {
  const Result<std::string> document = DocTagsToHtml(text);
  return document.ok() ? *document : document.status().message();
}

// What Markdown may write in several ways, in one: escapes, white space at the ends of lines and in tables, the
// language of code (which docling leaves out).
std::string Plain(std::string_view markdown) {
  std::string out;
  for (size_t i = 0; i < markdown.size(); ++i) {
    const char c = markdown[i];
    const size_t word = std::min(markdown.find_first_not_of(' ', i), markdown.size());
    const char behind = word < markdown.size() ? markdown[word] : '\n';
    if (c == ' ' && (behind == '\n' || behind == '|' || out.ends_with('|'))) continue;
    if (c == '-' && out.ends_with("|---")) continue;
    if (c >= 'a' && c <= 'z' && out.ends_with("```")) continue;
    const bool escapes =
        c == '\\' && i + 1 < markdown.size() && std::ispunct(static_cast<unsigned char>(markdown[i + 1]));
    out += escapes ? markdown[++i] : c;
  }
  while (out.ends_with('\n')) out.pop_back();
  return out;
}

// With header cells as plain ones, which they are in docling's HTML.
std::string PlainCells(std::string html) {
  for (const std::string tag : {"<th", "</th"}) {
    for (size_t at = html.find(tag); at != std::string::npos; at = html.find(tag, at)) html[at + tag.size() - 1] = 'd';
  }
  return html;
}

TEST(DocTagsGoldens, AsDoclingWritesThem) {
  const json golden = json::parse(testing::ReadAll(EYESHOT_SOURCE_DIR "/tests/data/golden/doctags.json"));
  ASSERT_GE(golden.size(), 10u);
  for (const json& c : golden) {
    const std::string doctags = c.at("doctags");
    SCOPED_TRACE(doctags);
    EXPECT_EQ(Plain(Markdown(doctags)), Plain(c.at("markdown").get<std::string>()));
    const std::string html = PlainCells(Html(doctags));
    for (const json& table : c.at("tables")) EXPECT_NE(html.find(table.get<std::string>()), std::string::npos) << html;
  }
}

TEST(DocTagsTest, HtmlOfEachElement) {
  EXPECT_EQ(Html("<doctag><title>T</title><section_header_level_2>S</section_header_level_2><text>x</text></doctag>"),
            "<h1>T</h1>\n<h3>S</h3>\n<p>x</p>\n");
  EXPECT_EQ(Html("<unordered_list><list_item>a</list_item></unordered_list>"), "<ul>\n<li>a</li>\n</ul>\n");
  EXPECT_EQ(Html("<code><_C++_>a < b</code>"), "<pre><code class=\"language-c++\">a &lt; b</code></pre>\n");
  EXPECT_EQ(Html("<formula>a < b</formula>"), "<div class=\"formula\">\\[a &lt; b\\]</div>\n");
  EXPECT_EQ(Html("<otsl><ched>A<fcel>b<nl></otsl>"), "<table><tbody><tr><th>A</th><td>b</td></tr></tbody></table>\n");
  EXPECT_EQ(Html("<picture><bar_chart><caption>C</caption></picture>"),
            "<figure data-class=\"bar_chart\"><figcaption>C</figcaption></figure>\n");
  EXPECT_EQ(Html("<text>a</text><page_break><text>b</text>"), "<p>a</p>\n<hr>\n<p>b</p>\n");
  EXPECT_EQ(Html("<checkbox_selected>y</checkbox_selected>"), "<p><input type=\"checkbox\" disabled checked> y</p>\n");
}

TEST(DocTagsTest, ListsInListsBelongToTheItemBefore) {
  const char* text =
      "<unordered_list><list_item>one</list_item>\n<ordered_list><list_item>a</list_item><list_item>b</list_item>"
      "</ordered_list><list_item>two<unordered_list><list_item>c</list_item></unordered_list></list_item></"
      "unordered_list>";
  EXPECT_EQ(Markdown(text), "- one\n    1. a\n    2. b\n- two\n    - c\n");
  EXPECT_EQ(Html(text),
            "<ul>\n<li>one<ol>\n<li>a</li>\n<li>b</li>\n</ol>\n</li>\n<li>two<ul>\n<li>c</li>\n</ul>\n</li>\n</ul>\n");
}

TEST(DocTagsTest, ChartsHaveTheirNumbers) {
  for (const char* text : {"<chart><line_chart><caption>C</caption><fcel>x<fcel>y<nl><fcel>1<fcel>2<nl></chart>",
                           "<chart><otsl><fcel>x<fcel>y<nl><fcel>1<fcel>2<nl></otsl><caption>C</caption></chart>"}) {
    EXPECT_EQ(Markdown(text), "C\n\n<!-- image -->\n\n| x | y |\n| --- | --- |\n| 1 | 2 |\n");
  }
}

TEST(DocTagsTest, KeysAndValuesArePairs) {
  const char* text =
      "<key_value_region><key_0><loc_1><loc_2><loc_3><loc_4>Name<link_1></key_0><value_1>Bob</value_1>"
      "<key_2>Age</key_2></key_value_region>";
  EXPECT_EQ(Markdown(text), "- **Name**: Bob\n- **Age**:\n");
  EXPECT_EQ(Html(text), "<ul>\n<li><strong>Name</strong>: Bob</li>\n<li><strong>Age</strong>:</li>\n</ul>\n");
}

// An answer that ends at --max-tokens is a document of what there is.
TEST(DocTagsTest, WhatWasCutOffIsKept) {
  EXPECT_EQ(Markdown("<doctag><text>done</text><text><loc_1><loc_2>cut off he"), "done\n\ncut off he\n");
  EXPECT_EQ(Markdown("<otsl><ched>A<ched>B<nl><fcel>1"), "| A | B |\n| --- | --- |\n| 1 |  |\n");
  EXPECT_EQ(Markdown("<unordered_list><list_item>one</list_item><list_item>tw</list_it"), "- one\n- tw\n");
  EXPECT_EQ(Markdown("<text>a</text><section_hea"), "a\n");
  EXPECT_EQ(Markdown("<text>a <"), "a\n");
  EXPECT_EQ(Markdown("<code>a < b"), "```\na < b\n```\n");
  EXPECT_EQ(Markdown("<text>one<text>two</text>"), "one\n\ntwo\n") << "an end that was forgotten";
  EXPECT_EQ(Markdown("</text></otsl>"), "");
}

TEST(DocTagsTest, AnswersWithoutTagsAreText) {
  EXPECT_EQ(Markdown("A cat, 3 < 4."), "A cat, 3 &lt; 4.\n");
  EXPECT_EQ(Html("A cat, 3 < 4."), "<p>A cat, 3 &lt; 4.</p>\n");
  EXPECT_EQ(Markdown(""), "");
  EXPECT_EQ(Markdown("<text>P < 0.05 and P > 0.01 or a<b></text>"), "P &lt; 0.05 and P &gt; 0.01 or a&lt;b&gt;\n");
}

TEST(DocTagsTest, TextStaysText) {
  EXPECT_EQ(Markdown("<text>a *b* _c_ `d` [e](f) $g$ ~h~ \\</text>"),
            "a \\*b\\* \\_c\\_ \\`d\\` \\[e\\](f) \\$g\\$ \\~h\\~ \\\\\n");
  EXPECT_EQ(Markdown("<text># a\n- b\n12. c\n\n===\n  d</text>"), "\\# a\n\\- b\n12\\. c\n\\===\nd\n");
  EXPECT_EQ(Markdown("<section_header_level_1>a\nb</section_header_level_1>"), "## a b\n");
  EXPECT_EQ(Markdown("<code>a ``` b</code>"), "````\na ``` b\n````\n");
  EXPECT_EQ(Markdown("<formula>a$$b</formula>"), "$$a\\$\\$b$$\n");
}

TEST(DocTagsTest, NothingPassesAsHtml) {
  const std::string attack = "<script>alert(1)</script><img src=x onerror=alert(1)>";
  for (const char* tag : {"text", "title", "caption", "list_item", "footnote", "checkbox_selected", "smiles"}) {
    const std::string text = std::string("<") + tag + ">" + attack + "</" + tag + ">";
    EXPECT_EQ(Html(text).find("<script"), std::string::npos) << Html(text);
    EXPECT_EQ(Html(text).find("<img"), std::string::npos) << Html(text);
    if (std::string_view(tag) != "smiles") {
      EXPECT_EQ(Markdown(text).find("<script"), std::string::npos) << Markdown(text);
    }
  }
  EXPECT_EQ(Html("<code>" + attack + "</code>").find("<script"), std::string::npos);
  EXPECT_EQ(Html("<otsl><fcel>" + attack + "<nl></otsl>").find("<script"), std::string::npos);
  EXPECT_EQ(Markdown("<otsl><fcel>" + attack + "<nl></otsl>").find("<script"), std::string::npos);
  EXPECT_EQ(Markdown("<formula>x<\rscript y</formula>").find("<script"), std::string::npos);
  EXPECT_EQ(Markdown("<formula>" + attack + "</formula>").find("<script"), std::string::npos);
  EXPECT_EQ(Html("<formula>" + attack + "</formula>").find("<script"), std::string::npos);
  EXPECT_EQ(Html("<code><_\"onload=_>x</code>").find("class"), std::string::npos);
}

TEST(DocTagsTest, CodeMayHoldTags) {
  EXPECT_EQ(Markdown("<code><_HTML_><title>T</title>\n<text>x</text></code><text>y</text>"),
            "```html\n<title>T</title>\n<text>x</text>\n```\n\ny\n");
}

TEST(DocTagsTest, TablesWithoutSense) {
  EXPECT_EQ(
      Html("<otsl><lcel><ucel><xcel><nl><fcel>a<nl></otsl>"),
      "<table><tbody><tr><td></td><td></td><td></td></tr><tr><td>a</td><td></td><td></td></tr></tbody></table>\n");
  EXPECT_EQ(Markdown("<otsl><nl><nl></otsl>"), "");
  EXPECT_EQ(Html("<otsl>words<nl></otsl><fcel>x"), "<p>x</p>\n") << "words before any cell belong to none";
}

TEST(DocTagsTest, DeepNestingEnds) {
  std::string text;
  for (int i = 0; i < 20000; ++i) text += "<unordered_list><list_item>";
  EXPECT_TRUE(DocTagsToMarkdown(text).ok());
  EXPECT_TRUE(DocTagsToHtml(text + "x").ok());
}

TEST(DocTagsTest, RefusesTooMuch) {
  const std::string huge(limits::kMaxDocTagsBytes + 1, 'a');
  ExpectError(DocTagsToMarkdown(huge).status(), StatusCode::kLimitExceeded, {"1048577", "1048576"});
  std::string wide = "<otsl>";
  for (int i = 0; i < 1000; ++i) wide += "<fcel>";
  for (int i = 0; i < 1000; ++i) wide += "<nl><fcel>";
  ExpectError(DocTagsToHtml(wide).status(), StatusCode::kLimitExceeded, {"1001 x 1000"});
  std::string wordy = "<otsl><fcel>" + std::string(200000, 'a');
  for (int i = 0; i < 1000; ++i) wordy += "<lcel>";
  ExpectError(DocTagsToMarkdown(wordy).status(), StatusCode::kLimitExceeded, {"document", "16777216"});
}

}  // namespace
}  // namespace eyeshot
