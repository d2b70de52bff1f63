#include "text/jinja_filters.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "base/error.h"
#include "text/utf8.h"

namespace eyeshot {
namespace {

constexpr char kMend[] = "check the messages and the chat template";
constexpr char kMendTemplate[] = "use a chat template with the constructs that docs/prompts.md lists";

using Arguments = JinjaArguments;
using List = JinjaValue::List;

Status Unknown(std::string_view kind, std::string_view name) {
  return UnsupportedError(fmt::format("the {} '{}'", kind, name.substr(0, 40)), kMendTemplate);
}

Status WrongType(std::string_view what, const JinjaValue& value) {
  return InvalidArgumentError(fmt::format("{} of {}", what, value.TypeName()), kMend);
}

Result<JinjaValue> NewText(std::string text, JinjaBudget& budget) {
  EYESHOT_RETURN_IF_ERROR(budget.SpendText(text.size()));
  return JinjaValue::Text(std::move(text));
}

Result<std::vector<std::string_view>> Characters(std::string_view text, JinjaBudget& budget) {
  EYESHOT_RETURN_IF_ERROR(budget.Spend(1 + text.size()));
  std::vector<std::string_view> characters;
  while (!text.empty()) {
    const size_t bytes = DecodeUtf8(text).bytes;
    characters.push_back(text.substr(0, bytes));
    text.remove_prefix(bytes);
  }
  return characters;
}

// ---- Case, of ASCII alone: Python's rules for the rest of Unicode are long, and roles are ASCII ----

char Upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }
char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// kTitle: each letter that follows none, as Python's title(); kTitleWords: as jinja2's filter.
enum class Case { kUpper, kLower, kCapitalized, kTitle, kTitleWords };

Result<JinjaValue> ChangeCase(const std::string& text, Case kind, JinjaBudget& budget) {
  std::string out = text;
  bool starts = true;
  for (char& c : out) {
    if (static_cast<uint8_t>(c) >= 0x80) {
      return UnsupportedError("upper and lower case of a text that is not ASCII",
                              "use a template that leaves texts alone");
    }
    const bool upper = kind == Case::kUpper || (kind != Case::kLower && starts);
    c = upper ? Upper(c) : Lower(c);
    if (kind == Case::kTitle) starts = Lower(c) < 'a' || Lower(c) > 'z';
    if (kind == Case::kTitleWords) starts = std::string_view("-({[< \t\n\r\f\v").find(c) != std::string_view::npos;
    if (kind == Case::kCapitalized) starts = false;
  }
  return NewText(std::move(out), budget);
}

// ---- Texts ----

// The characters that strip() takes away; undefined or none: white space.
Result<JinjaValue> Strip(const std::string& text, const JinjaValue& characters, bool left, bool right,
                         JinjaBudget& budget) {
  std::string_view rest = text;
  if (characters.is_undefined() || characters.is_none()) {
    if (left) rest.remove_prefix(JinjaLeadingSpace(rest));
    if (right) rest.remove_suffix(JinjaTrailingSpace(rest));
    return NewText(std::string(rest), budget);
  }
  if (!characters.is_text()) return WrongType("strip with the characters", characters);
  EYESHOT_ASSIGN_OR_RETURN(const std::vector<std::string_view> set, Characters(*characters.text(), budget));
  EYESHOT_ASSIGN_OR_RETURN(const std::vector<std::string_view> all, Characters(text, budget));
  size_t begin = 0;
  size_t end = all.size();
  const auto strips = [&](std::string_view c) { return std::find(set.begin(), set.end(), c) != set.end(); };
  EYESHOT_RETURN_IF_ERROR(budget.Spend(set.size() * all.size()));
  while (left && begin < end && strips(all[begin])) ++begin;
  while (right && begin < end && strips(all[end - 1])) --end;
  std::string out;
  for (size_t i = begin; i < end; ++i) out += all[i];
  return NewText(std::move(out), budget);
}

Result<JinjaValue> Replace(const std::string& text, const Arguments& arguments, JinjaBudget& budget) {
  const JinjaValue before = arguments.Get(0, "old");
  const JinjaValue after = arguments.Get(1, "new");
  const JinjaValue count = arguments.Get(2, "count");
  if (!before.is_text() || !after.is_text()) return WrongType("replace", before.is_text() ? after : before);
  if (before.text()->empty()) return UnsupportedError("replace of an empty text", kMendTemplate);
  int64_t left = count.is_integer() ? count.AsInt() : -1;
  std::string out;
  std::string_view rest = text;
  for (size_t at = rest.find(*before.text()); at != std::string_view::npos && left != 0;
       at = rest.find(*before.text())) {
    EYESHOT_RETURN_IF_ERROR(budget.SpendText(at + after.text()->size()));
    out.append(rest.substr(0, at)).append(*after.text());
    rest.remove_prefix(at + before.text()->size());
    --left;
  }
  return NewText(out.append(rest), budget);
}

Result<JinjaValue> Split(const std::string& text, const Arguments& arguments, JinjaBudget& budget) {
  const JinjaValue separator = arguments.Get(0, "sep");
  const JinjaValue most = arguments.Get(1, "maxsplit");
  int64_t left = most.is_integer() ? most.AsInt() : -1;
  EYESHOT_RETURN_IF_ERROR(budget.SpendText(text.size()));
  List parts;
  std::string_view rest = text;
  const bool by_space = separator.is_undefined() || separator.is_none();
  if (!by_space && (!separator.is_text() || separator.text()->empty())) return WrongType("split at a part", separator);
  while (true) {
    EYESHOT_RETURN_IF_ERROR(budget.Spend(1));
    size_t end = 0;
    size_t skip = 0;
    if (by_space) {
      rest.remove_prefix(JinjaLeadingSpace(rest));
      if (rest.empty()) break;
      while (end < rest.size() && JinjaLeadingSpace(rest.substr(end)) == 0) end += DecodeUtf8(rest.substr(end)).bytes;
    } else {
      end = std::min(rest.find(*separator.text()), rest.size());
      skip = separator.text()->size();
    }
    if (left == 0) {
      parts.push_back(JinjaValue::Text(std::string(rest)));
      break;
    }
    parts.push_back(JinjaValue::Text(std::string(rest.substr(0, end))));
    --left;
    if (end == rest.size() && !by_space) break;
    rest.remove_prefix(end + skip);
  }
  return JinjaValue::FromList(std::move(parts));
}

// startswith or endswith, of a text or one of a list of texts.
Result<JinjaValue> HasAffix(const std::string& text, const JinjaValue& affix, bool at_start) {
  const auto has = [&](const std::string& part) { return at_start ? text.starts_with(part) : text.ends_with(part); };
  if (affix.is_text()) return JinjaValue::Bool(has(*affix.text()));
  if (affix.list() == nullptr) return WrongType(at_start ? "startswith" : "endswith", affix);
  const auto matches = [&](const JinjaValue& item) { return item.is_text() && has(*item.text()); };
  return JinjaValue::Bool(std::any_of(affix.list()->begin(), affix.list()->end(), matches));
}

Result<JinjaValue> TextMethod(const JinjaValue& value, std::string_view name, const Arguments& arguments,
                              JinjaBudget& budget) {
  const std::string& text = *value.text();
  const JinjaValue first = arguments.Get(0, "");
  if (name == "strip") return Strip(text, first, true, true, budget);
  if (name == "lstrip") return Strip(text, first, true, false, budget);
  if (name == "rstrip") return Strip(text, first, false, true, budget);
  if (name == "split") return Split(text, arguments, budget);
  if (name == "replace") return Replace(text, arguments, budget);
  if (name == "startswith") return HasAffix(text, first, /*at_start=*/true);
  if (name == "endswith") return HasAffix(text, first, /*at_start=*/false);
  if (name == "upper") return ChangeCase(text, Case::kUpper, budget);
  if (name == "lower") return ChangeCase(text, Case::kLower, budget);
  if (name == "capitalize") return ChangeCase(text, Case::kCapitalized, budget);
  if (name == "title") return ChangeCase(text, Case::kTitle, budget);
  return Unknown("method", name);
}

// ---- Lists and dictionaries ----

Result<JinjaValue> Pairs(const JinjaValue::Dict& dict, JinjaBudget& budget) {
  List pairs;
  for (const auto& [key, value] : dict) {
    EYESHOT_RETURN_IF_ERROR(budget.SpendText(key.size()));
    EYESHOT_ASSIGN_OR_RETURN(JinjaValue pair, JinjaValue::FromList({JinjaValue::Text(key), value}));
    pairs.push_back(std::move(pair));
  }
  return JinjaValue::FromList(std::move(pairs));
}

Result<JinjaValue> DictMethod(const JinjaValue& value, std::string_view name, const Arguments& arguments,
                              JinjaBudget& budget) {
  const JinjaValue::Dict& dict = *value.dict();
  EYESHOT_RETURN_IF_ERROR(budget.Spend(dict.size()));
  if (name == "items") return Pairs(dict, budget);
  if (name == "keys") {
    EYESHOT_ASSIGN_OR_RETURN(List keys, JinjaItems(value, budget));
    return JinjaValue::FromList(std::move(keys));
  }
  if (name == "values") {
    List values;
    for (const auto& item : dict) values.push_back(item.second);
    return JinjaValue::FromList(std::move(values));
  }
  if (name == "get") {
    const JinjaValue key = arguments.Get(0, "key");
    if (!key.is_text()) return WrongType("get with the key", key);
    const JinjaValue found = value.Get(*key.text());
    if (!found.is_undefined()) return found;
    const JinjaValue fallback = arguments.Get(1, "default");
    return fallback.is_undefined() ? JinjaValue::None() : fallback;
  }
  return Unknown("method", name);
}

// value.a.b for the attribute "a.b".
JinjaValue Attribute(JinjaValue value, std::string_view path) {
  while (!path.empty()) {
    const size_t end = std::min(path.find('.'), path.size());
    value = value.Get(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return value;
}

// select, reject, selectattr, rejectattr: the items for which a test holds, or does not. The first `skip` arguments are
// not the test's.
Result<JinjaValue> Select(const JinjaValue& value, const Arguments& arguments, bool by_attribute, bool wanted,
                          JinjaBudget& budget) {
  const size_t skip = by_attribute ? 1 : 0;
  const JinjaValue attribute = arguments.Get(0, "");
  if (by_attribute && !attribute.is_text()) return WrongType("selectattr with the attribute", attribute);
  const JinjaValue test = arguments.Get(skip, "");
  Arguments rest;
  if (arguments.values.size() > skip + 1)
    rest.values.assign(arguments.values.begin() + static_cast<ptrdiff_t>(skip) + 1, arguments.values.end());
  EYESHOT_ASSIGN_OR_RETURN(const List items, JinjaItems(value, budget));
  List kept;
  for (const JinjaValue& item : items) {
    EYESHOT_RETURN_IF_ERROR(budget.Spend(1));
    const JinjaValue subject = by_attribute ? Attribute(item, *attribute.text()) : item;
    bool holds = subject.IsTrue();
    if (test.is_text()) {
      EYESHOT_ASSIGN_OR_RETURN(holds, ApplyJinjaTest(*test.text(), subject, rest, budget));
    }
    if (holds == wanted) kept.push_back(item);
  }
  return JinjaValue::FromList(std::move(kept));
}

// map(attribute="name") or map("filter").
Result<JinjaValue> Map(const JinjaValue& value, const Arguments& arguments, JinjaBudget& budget) {
  const JinjaValue filter = arguments.Get(0, "");
  const JinjaValue attribute = arguments.Get(SIZE_MAX, "attribute");
  if (!filter.is_text() && !attribute.is_text()) return WrongType("map with a filter", filter);
  Arguments rest;
  if (arguments.values.size() > 1) rest.values.assign(arguments.values.begin() + 1, arguments.values.end());
  EYESHOT_ASSIGN_OR_RETURN(const List items, JinjaItems(value, budget));
  List out;
  for (const JinjaValue& item : items) {
    EYESHOT_RETURN_IF_ERROR(budget.Spend(1));
    if (attribute.is_text()) {
      out.push_back(Attribute(item, *attribute.text()));
    } else {
      EYESHOT_ASSIGN_OR_RETURN(JinjaValue mapped, ApplyJinjaFilter(*filter.text(), item, rest, budget));
      out.push_back(std::move(mapped));
    }
  }
  return JinjaValue::FromList(std::move(out));
}

Result<JinjaValue> Join(const JinjaValue& value, const Arguments& arguments, JinjaBudget& budget) {
  const JinjaValue between = arguments.Get(0, "d");
  const JinjaValue attribute = arguments.Get(1, "attribute");
  EYESHOT_ASSIGN_OR_RETURN(const std::string glue, JinjaToText(between));
  EYESHOT_ASSIGN_OR_RETURN(const List items, JinjaItems(value, budget));
  std::string out;
  for (size_t i = 0; i < items.size(); ++i) {
    const JinjaValue item = attribute.is_text() ? Attribute(items[i], *attribute.text()) : items[i];
    EYESHOT_ASSIGN_OR_RETURN(const std::string text, JinjaToText(item));
    EYESHOT_RETURN_IF_ERROR(budget.SpendText(glue.size() + text.size()));
    out.append(i == 0 ? "" : glue).append(text);
  }
  return JinjaValue::Text(std::move(out));
}

Result<JinjaValue> Length(const JinjaValue& value, JinjaBudget& budget) {
  if (value.is_none() || value.is_number() || value.name_space() != nullptr) return WrongType("the length", value);
  EYESHOT_ASSIGN_OR_RETURN(const List items, JinjaItems(value, budget));
  return JinjaValue::Int(static_cast<int64_t>(items.size()));
}

Result<JinjaValue> Reversed(const JinjaValue& value, JinjaBudget& budget) {
  EYESHOT_ASSIGN_OR_RETURN(List items, JinjaItems(value, budget));
  std::reverse(items.begin(), items.end());
  if (!value.is_text()) return JinjaValue::FromList(std::move(items));
  std::string out;
  for (const JinjaValue& item : items) out += *item.text();
  return NewText(std::move(out), budget);
}

Result<JinjaValue> ToInt(const JinjaValue& value, const Arguments& arguments) {
  if (value.is_integer()) return JinjaValue::Int(value.AsInt());
  if (value.is_float()) {
    const double number = value.AsFloat();
    if (number > -9e18 && number < 9e18) return JinjaValue::Int(static_cast<int64_t>(number));
  }
  if (value.is_undefined()) return WrongType("the integer", value);
  if (value.is_text()) {
    std::string_view text = *value.text();
    text.remove_prefix(JinjaLeadingSpace(text));
    text.remove_suffix(JinjaTrailingSpace(text));
    double number = 0;  // the digits of an int64 that a double lacks are no message's
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const bool fits = error == std::errc() && number > -9e15 && number < 9e15;
    if (fits && end == text.data() + text.size()) return JinjaValue::Int(static_cast<int64_t>(number));
  }
  const JinjaValue fallback = arguments.Get(0, "default");
  return fallback.is_undefined() ? JinjaValue::Int(0) : fallback;
}

Result<JinjaValue> ToJson(const JinjaValue& value, const Arguments& arguments, JinjaBudget& budget) {
  const JinjaValue indent = arguments.Get(2, "indent");  // transformers' own filter: (ensure_ascii, indent, ...)
  for (const auto& [name, argument] : arguments.named) {
    const bool known = name == "indent" || (name == "ensure_ascii" && !argument.IsTrue());
    if (!known) return UnsupportedError(fmt::format("tojson with {}", name), kMendTemplate);
  }
  if (!arguments.values.empty()) return UnsupportedError("tojson with arguments that have no name", kMendTemplate);
  if (indent.is_integer() && (indent.AsInt() < 0 || indent.AsInt() > 16)) {
    return UnsupportedError(fmt::format("tojson with an indent of {}", indent.AsInt()), kMendTemplate);
  }
  std::string out;
  const std::optional<int64_t> spaces = indent.is_integer() ? std::optional(indent.AsInt()) : std::nullopt;
  EYESHOT_RETURN_IF_ERROR(JinjaToJson(value, spaces, budget, out));
  return JinjaValue::Text(std::move(out));
}

Result<JinjaValue> FirstOrLast(const JinjaValue& value, bool first, JinjaBudget& budget) {
  EYESHOT_ASSIGN_OR_RETURN(const List items, JinjaItems(value, budget));
  if (items.empty()) return JinjaValue();
  return first ? items.front() : items.back();
}

// Filters that need a text, and turn everything else into one as jinja2 does.
Result<JinjaValue> TextFilter(std::string_view name, const JinjaValue& value, const Arguments& arguments,
                              JinjaBudget& budget) {
  constexpr std::array<std::string_view, 8> kNames = {"string", "safe",  "trim",       "replace",
                                                      "upper",  "lower", "capitalize", "title"};
  if (std::find(kNames.begin(), kNames.end(), name) == kNames.end()) return Unknown("filter", name);
  EYESHOT_ASSIGN_OR_RETURN(const std::string text, JinjaToText(value));
  if (name == "string" || name == "safe") return NewText(text, budget);
  if (name == "trim") return Strip(text, arguments.Get(0, "chars"), true, true, budget);
  if (name == "replace") return Replace(text, arguments, budget);
  if (name == "upper") return ChangeCase(text, Case::kUpper, budget);
  if (name == "lower") return ChangeCase(text, Case::kLower, budget);
  if (name == "capitalize") return ChangeCase(text, Case::kCapitalized, budget);
  return ChangeCase(text, Case::kTitleWords, budget);
}

}  // namespace

JinjaValue JinjaArguments::Get(size_t position, std::string_view name) const {
  if (position < values.size()) return values[position];
  const auto found = std::find_if(named.begin(), named.end(), [&](const auto& item) { return item.first == name; });
  return found == named.end() ? JinjaValue() : found->second;
}

Result<JinjaValue> ApplyJinjaFilter(std::string_view name, const JinjaValue& value, const JinjaArguments& arguments,
                                    JinjaBudget& budget) {
  EYESHOT_RETURN_IF_ERROR(budget.Spend(1));
  if (name == "default" || name == "d") {
    const bool also_false = arguments.Get(1, "boolean").IsTrue();
    const bool replaced = value.is_undefined() || (also_false && !value.IsTrue());
    if (!replaced) return value;
    const JinjaValue fallback = arguments.Get(0, "default_value");
    return fallback.is_undefined() ? JinjaValue::Text("") : fallback;
  }
  if (name == "tojson") return ToJson(value, arguments, budget);
  if (name == "length" || name == "count") return Length(value, budget);
  if (name == "first" || name == "last") return FirstOrLast(value, name == "first", budget);
  if (name == "join") return Join(value, arguments, budget);
  if (name == "selectattr" || name == "rejectattr") return Select(value, arguments, true, name[0] == 's', budget);
  if (name == "select" || name == "reject") return Select(value, arguments, false, name[0] == 's', budget);
  if (name == "map") return Map(value, arguments, budget);
  if (name == "reverse") return Reversed(value, budget);
  if (name == "int") return ToInt(value, arguments);
  if (name == "items") {
    if (value.is_undefined()) return JinjaValue::FromList({});
    return value.dict() != nullptr ? Pairs(*value.dict(), budget) : WrongType("the items", value);
  }
  if (name == "list") {
    EYESHOT_ASSIGN_OR_RETURN(List items, JinjaItems(value, budget));
    return JinjaValue::FromList(std::move(items));
  }
  return TextFilter(name, value, arguments, budget);
}

Result<bool> ApplyJinjaTest(std::string_view name, const JinjaValue& value, const JinjaArguments& arguments,
                            JinjaBudget& budget) {
  EYESHOT_RETURN_IF_ERROR(budget.Spend(1));
  const JinjaValue argument = arguments.Get(0, "");
  if (name == "defined") return !value.is_undefined();
  if (name == "undefined") return value.is_undefined();
  if (name == "none") return value.is_none();
  if (name == "string") return value.is_text();
  if (name == "mapping") return value.dict() != nullptr;
  if (name == "iterable" || name == "sequence") {
    return value.is_text() || value.list() != nullptr || value.dict() != nullptr || value.is_undefined();
  }
  if (name == "number") return value.is_number();
  if (name == "integer") return value.is_int();
  if (name == "float") return value.is_float();
  if (name == "boolean") return value.is_bool();
  if (name == "true") return value.is_bool() && value.IsTrue();
  if (name == "false") return value.is_bool() && !value.IsTrue();
  if (name == "callable") return false;
  if (name == "equalto" || name == "eq" || name == "sameas") return JinjaEquals(value, argument, budget);
  if (name == "ne") {
    EYESHOT_ASSIGN_OR_RETURN(const bool equal, JinjaEquals(value, argument, budget));
    return !equal;
  }
  if (name == "in") return JinjaContains(argument, value, budget);
  if (name == "even" || name == "odd") {
    if (!value.is_integer()) return WrongType(name, value);
    return (value.AsInt() % 2 == 0) == (name == "even");
  }
  if (name == "divisibleby") {
    if (!value.is_integer() || !argument.is_integer() || argument.AsInt() == 0) return WrongType(name, argument);
    return argument.AsInt() == -1 || value.AsInt() % argument.AsInt() == 0;
  }
  return Unknown("test", name);
}

Result<JinjaValue> CallJinjaMethod(const JinjaValue& value, std::string_view name, const JinjaArguments& arguments,
                                   JinjaBudget& budget) {
  EYESHOT_RETURN_IF_ERROR(budget.Spend(1));
  if (value.is_text()) return TextMethod(value, name, arguments, budget);
  if (value.dict() != nullptr) return DictMethod(value, name, arguments, budget);
  return UnsupportedError(fmt::format("the method '{}' of {}", name.substr(0, 40), value.TypeName()), kMendTemplate);
}

Result<JinjaValue::List> JinjaItems(const JinjaValue& value, JinjaBudget& budget) {
  List items;
  if (value.is_undefined()) return items;
  if (value.list() != nullptr) {
    EYESHOT_RETURN_IF_ERROR(budget.Spend(value.list()->size()));
    return *value.list();
  }
  if (value.dict() != nullptr) {
    for (const auto& item : *value.dict()) {
      EYESHOT_RETURN_IF_ERROR(budget.SpendText(item.first.size()));
      items.push_back(JinjaValue::Text(item.first));
    }
    return items;
  }
  if (!value.is_text()) return WrongType("the items", value);
  EYESHOT_ASSIGN_OR_RETURN(const std::vector<std::string_view> characters, Characters(*value.text(), budget));
  for (const std::string_view c : characters) items.push_back(JinjaValue::Text(std::string(c)));
  return items;
}

Result<bool> JinjaContains(const JinjaValue& container, const JinjaValue& value, JinjaBudget& budget) {
  if (container.is_undefined()) return false;
  if (container.is_text()) {
    if (!value.is_text()) return WrongType("the search in a text", value);
    EYESHOT_RETURN_IF_ERROR(budget.SpendText(container.text()->size()));
    return container.text()->find(*value.text()) != std::string::npos;
  }
  if (container.dict() != nullptr) {
    EYESHOT_RETURN_IF_ERROR(budget.Spend(container.dict()->size()));
    const auto is_key = [&](const auto& item) { return value.is_text() && item.first == *value.text(); };
    return std::any_of(container.dict()->begin(), container.dict()->end(), is_key);
  }
  if (container.list() == nullptr) return WrongType("'in'", container);
  for (const JinjaValue& item : *container.list()) {
    EYESHOT_ASSIGN_OR_RETURN(const bool equal, JinjaEquals(item, value, budget));
    if (equal) return true;
  }
  return false;
}

Result<int> JinjaOrder(const JinjaValue& a, const JinjaValue& b, JinjaBudget& budget) {
  if (a.is_integer() && b.is_integer()) return a.AsInt() < b.AsInt() ? -1 : a.AsInt() > b.AsInt() ? 1 : 0;
  if (a.is_number() && b.is_number()) return a.AsFloat() < b.AsFloat() ? -1 : a.AsFloat() > b.AsFloat() ? 1 : 0;
  if (!a.is_text() || !b.is_text()) {
    return InvalidArgumentError(fmt::format("the order of {} and {}", a.TypeName(), b.TypeName()), kMend);
  }
  EYESHOT_RETURN_IF_ERROR(budget.SpendText(std::min(a.text()->size(), b.text()->size())));
  const int order = a.text()->compare(*b.text());  // bytes of UTF-8 have the order of code points
  return order < 0 ? -1 : order > 0 ? 1 : 0;
}

}  // namespace eyeshot
