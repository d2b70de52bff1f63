#include "text/jinja_value.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/limits.h"
#include "text/utf8.h"

namespace eyeshot {
namespace {

// Python's repr of a float.
std::string FloatText(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

bool IsPythonSpace(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

void AppendJsonText(std::string_view text, std::string& out) {
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      case '\f': out += "\\f"; break;
      case '\b': out += "\\b"; break;
      default:
        if (static_cast<uint8_t>(c) < 0x20) {
          fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<int>(c));
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

// Writes lists and dictionaries with the line breaks that `indent` asks for.
class JsonWriter {
 public:
  JsonWriter(std::optional<int64_t> indent, JinjaBudget& budget, std::string& out)
      : indent_(indent), budget_(budget), out_(out) {}

  Status Write(const JinjaValue& value, int64_t level) {
    EYESHOT_RETURN_IF_ERROR(budget_.Spend(1));
    if (const JinjaValue::List* list = value.list()) return WriteList(*list, level);
    if (const JinjaValue::Dict* dict = value.dict()) return WriteDict(*dict, level);
    const size_t before = out_.size();
    if (const std::string* text = value.text()) {
      AppendJsonText(*text, out_);
    } else if (value.is_none()) {
      out_ += "null";
    } else if (value.is_bool()) {
      out_ += value.IsTrue() ? "true" : "false";
    } else if (value.is_number()) {
      EYESHOT_ASSIGN_OR_RETURN(const std::string number, JinjaToText(value));
      out_ += number;
    } else {
      return UnsupportedError(fmt::format("tojson of {}", value.TypeName()), "check the chat template");
    }
    return budget_.SpendText(out_.size() - before);
  }

 private:
  Status WriteList(const JinjaValue::List& list, int64_t level) {
    out_ += '[';
    for (size_t i = 0; i < list.size(); ++i) {
      EYESHOT_RETURN_IF_ERROR(Separate(i == 0, level + 1));
      EYESHOT_RETURN_IF_ERROR(Write(list[i], level + 1));
    }
    if (!list.empty()) EYESHOT_RETURN_IF_ERROR(NewLine(level));
    out_ += ']';
    return Status::Ok();
  }

  Status WriteDict(const JinjaValue::Dict& dict, int64_t level) {
    out_ += '{';
    for (size_t i = 0; i < dict.size(); ++i) {
      EYESHOT_RETURN_IF_ERROR(Separate(i == 0, level + 1));
      AppendJsonText(dict[i].first, out_);
      out_ += ": ";
      EYESHOT_RETURN_IF_ERROR(budget_.SpendText(dict[i].first.size()));
      EYESHOT_RETURN_IF_ERROR(Write(dict[i].second, level + 1));
    }
    if (!dict.empty()) EYESHOT_RETURN_IF_ERROR(NewLine(level));
    out_ += '}';
    return Status::Ok();
  }

  Status Separate(bool is_first, int64_t level) {
    if (!is_first) out_ += indent_ ? "," : ", ";
    return NewLine(level);
  }

  Status NewLine(int64_t level) {
    if (!indent_) return Status::Ok();
    const auto spaces = static_cast<size_t>(*indent_ * level);
    EYESHOT_RETURN_IF_ERROR(budget_.SpendText(spaces));
    out_.append(1, '\n').append(spaces, ' ');
    return Status::Ok();
  }

  const std::optional<int64_t> indent_;
  JinjaBudget& budget_;
  std::string& out_;
};

Result<bool> DictsEqual(const JinjaValue& a, const JinjaValue& b, JinjaBudget& budget) {
  if (a.dict()->size() != b.dict()->size()) return false;
  for (const auto& [key, value] : *a.dict()) {
    const JinjaValue other = b.Get(key);
    if (other.is_undefined()) return false;
    EYESHOT_RETURN_IF_ERROR(budget.Spend(b.dict()->size()));  // Get() is a search
    EYESHOT_ASSIGN_OR_RETURN(const bool equal, JinjaEquals(value, other, budget));
    if (!equal) return false;
  }
  return true;
}

}  // namespace

Status JinjaBudget::Spend(uint64_t steps) {
  if (steps <= left_) {
    left_ -= steps;
    return Status::Ok();
  }
  left_ = 0;
  return LimitError(fmt::format("the chat template takes more than {} steps", limits::kMaxTemplateSteps),
                    "send fewer or shorter messages, or check the template");
}

Result<int> JinjaValue::DepthAround(const JinjaValue& value) {
  if (value.name_space() != nullptr) {
    return UnsupportedError("a namespace inside of another value", "use a template that keeps it in a variable");
  }
  if (value.depth() >= limits::kMaxTemplateDepth) {
    return LimitError(fmt::format("a value nested deeper than {}", limits::kMaxTemplateDepth), "check the template");
  }
  return value.depth() + 1;
}

Result<JinjaValue> JinjaValue::FromList(List list) {
  auto shared = std::make_shared<Shared<List>>();
  for (const JinjaValue& item : list) {
    EYESHOT_ASSIGN_OR_RETURN(const int depth, DepthAround(item));
    shared->depth = std::max(shared->depth, depth);
  }
  shared->items = std::move(list);
  return JinjaValue(Data(std::shared_ptr<const Shared<List>>(std::move(shared))));
}

Result<JinjaValue> JinjaValue::FromDict(Dict dict) {
  auto shared = std::make_shared<Shared<Dict>>();
  for (const auto& [key, item] : dict) {
    EYESHOT_ASSIGN_OR_RETURN(const int depth, DepthAround(item));
    shared->depth = std::max(shared->depth, depth);
  }
  shared->items = std::move(dict);
  return JinjaValue(Data(std::shared_ptr<const Shared<Dict>>(std::move(shared))));
}

const std::string* JinjaValue::text() const {
  const auto* const held = std::get_if<std::shared_ptr<const std::string>>(&data_);
  return held == nullptr ? nullptr : held->get();
}

const JinjaValue::List* JinjaValue::list() const {
  const auto* const held = std::get_if<std::shared_ptr<const Shared<List>>>(&data_);
  return held == nullptr ? nullptr : &(*held)->items;
}

const JinjaValue::Dict* JinjaValue::dict() const {
  const auto* const held = std::get_if<std::shared_ptr<const Shared<Dict>>>(&data_);
  return held == nullptr ? nullptr : &(*held)->items;
}

JinjaValue::Dict* JinjaValue::name_space() const {
  const auto* const held = std::get_if<std::shared_ptr<Dict>>(&data_);
  return held == nullptr ? nullptr : held->get();
}

int JinjaValue::depth() const {
  if (const auto* const held = std::get_if<std::shared_ptr<const Shared<List>>>(&data_)) return (*held)->depth;
  if (const auto* const held = std::get_if<std::shared_ptr<const Shared<Dict>>>(&data_)) return (*held)->depth;
  return 0;
}

int64_t JinjaValue::AsInt() const { return is_bool() ? int64_t{std::get<bool>(data_)} : std::get<int64_t>(data_); }

double JinjaValue::AsFloat() const { return is_float() ? std::get<double>(data_) : static_cast<double>(AsInt()); }

bool JinjaValue::IsTrue() const {
  if (is_number()) return AsFloat() != 0;
  if (const std::string* const held = text()) return !held->empty();
  if (const List* const held = list()) return !held->empty();
  if (const Dict* const held = dict()) return !held->empty();
  return name_space() != nullptr;
}

JinjaValue JinjaValue::Get(std::string_view key) const {
  const Dict* const items = dict() != nullptr ? dict() : name_space();
  if (items == nullptr) return {};
  const auto found = std::find_if(items->begin(), items->end(), [&](const auto& item) { return item.first == key; });
  return found == items->end() ? JinjaValue() : found->second;
}

std::string_view JinjaValue::TypeName() const {
  if (is_undefined()) return "something undefined";
  if (is_none()) return "none";
  if (is_bool()) return "true or false";
  if (is_number()) return "a number";
  if (is_text()) return "a text";
  if (list() != nullptr) return "a list";
  return dict() != nullptr ? "a dictionary" : "a namespace";
}

Result<bool> JinjaEquals(const JinjaValue& a, const JinjaValue& b, JinjaBudget& budget) {
  EYESHOT_RETURN_IF_ERROR(budget.Spend(1));
  if (a.is_integer() && b.is_integer()) return a.AsInt() == b.AsInt();
  if (a.is_number() && b.is_number()) return a.AsFloat() == b.AsFloat();
  if (a.is_text() && b.is_text()) {
    EYESHOT_RETURN_IF_ERROR(budget.SpendText(std::min(a.text()->size(), b.text()->size())));
    return *a.text() == *b.text();
  }
  if (a.list() != nullptr && b.list() != nullptr) {
    if (a.list()->size() != b.list()->size()) return false;
    for (size_t i = 0; i < a.list()->size(); ++i) {
      EYESHOT_ASSIGN_OR_RETURN(const bool equal, JinjaEquals((*a.list())[i], (*b.list())[i], budget));
      if (!equal) return false;
    }
    return true;
  }
  if (a.dict() != nullptr && b.dict() != nullptr) return DictsEqual(a, b, budget);
  if (a.name_space() != nullptr) return a.name_space() == b.name_space();
  return (a.is_undefined() && b.is_undefined()) || (a.is_none() && b.is_none());
}

Result<std::string> JinjaToText(const JinjaValue& value) {
  if (value.is_undefined()) return std::string();
  if (value.is_none()) return std::string("None");
  if (value.is_bool()) return std::string(value.IsTrue() ? "True" : "False");
  if (value.is_int()) return fmt::format("{}", value.AsInt());
  if (value.is_float()) return FloatText(value.AsFloat());
  if (value.is_text()) return *value.text();
  return UnsupportedError(fmt::format("{} written as text", value.TypeName()),
                          "use a template that writes its parts, or tojson");
}

Status JinjaToJson(const JinjaValue& value, std::optional<int64_t> indent, JinjaBudget& budget, std::string& out) {
  return JsonWriter(indent, budget, out).Write(value, 0);
}

size_t JinjaLeadingSpace(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const Utf8Char next = DecodeUtf8(text.substr(at));
    if (!IsPythonSpace(next.code_point)) break;
    at += next.bytes;
  }
  return at;
}

size_t JinjaTrailingSpace(std::string_view text) {
  size_t end = text.size();
  while (end > 0) {
    size_t last = end - 1;
    while (last > 0 && (static_cast<uint8_t>(text[last]) & 0xC0) == 0x80) --last;
    if (!IsPythonSpace(DecodeUtf8(text.substr(last)).code_point)) break;
    end = last;
  }
  return text.size() - end;
}

}  // namespace eyeshot
