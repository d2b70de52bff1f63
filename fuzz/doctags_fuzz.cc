// The input is an answer in DocTags. Nothing of it may come through as markup: what HTML is made of it has our tags
// alone, each closed, and Markdown has no tag outside of code.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "text/doctags.h"

namespace {

bool IsKnown(std::string_view name) {
  constexpr std::array<std::string_view, 21> kNames = {"h1",    "h2",      "h3", "h4",     "h5",         "h6",  "p",
                                                       "ul",    "ol",      "li", "pre",    "td",         "th",  "table",
                                                       "tbody", "caption", "tr", "figure", "figcaption", "div", "span"};
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end() || name == "code" || name == "strong";
}

bool IsVoid(std::string_view name) { return name == "hr" || name == "br" || name == "input"; }

void CheckHtml(std::string_view html) {
  std::vector<std::string_view> open;
  for (size_t at = html.find('<'); at != std::string_view::npos; at = html.find('<', at + 1)) {
    const size_t end = html.find('>', at);
    EYESHOT_CHECK(end != std::string_view::npos);
    std::string_view tag = html.substr(at + 1, end - at - 1);
    if (tag.starts_with('/')) {
      EYESHOT_CHECK(!open.empty() && open.back() == tag.substr(1));
      open.pop_back();
      continue;
    }
    const std::string_view name = tag.substr(0, tag.find(' '));
    EYESHOT_CHECK(IsKnown(name) || IsVoid(name));
    EYESHOT_CHECK(std::count(tag.begin(), tag.end(), '"') % 2 == 0);
    if (!IsVoid(name)) open.push_back(name);
  }
  EYESHOT_CHECK(open.empty());
}

// Of documents without code: a '<' begins one of our two comments, or stands in a formula where no tag can begin.
void CheckMarkdown(std::string_view markdown) {
  for (size_t at = markdown.find('<'); at != std::string_view::npos; at = markdown.find('<', at + 1)) {
    const std::string_view rest = markdown.substr(at);
    if (rest.starts_with("<!-- image -->") || rest.starts_with("<!-- page break -->")) continue;
    const char next = rest.size() > 1 ? rest[1] : ' ';
    const bool is_letter = (next >= 'a' && next <= 'z') || (next >= 'A' && next <= 'Z');
    EYESHOT_CHECK(!is_letter && next != '/' && next != '!' && next != '?');
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto html = eyeshot::DocTagsToHtml(text);
  if (html.ok()) CheckHtml(*html);
  const auto markdown = eyeshot::DocTagsToMarkdown(text);
  const bool has_code =
      text.find("<code>") != std::string_view::npos || text.find("<smiles>") != std::string_view::npos;
  if (markdown.ok() && !has_code) CheckMarkdown(*markdown);
  return 0;
}
