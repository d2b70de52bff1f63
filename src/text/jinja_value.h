// Values of a chat template while it runs.
#ifndef EYESHOT_TEXT_JINJA_VALUE_H_
#define EYESHOT_TEXT_JINJA_VALUE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "eyeshot/status.h"

namespace eyeshot {

// How much a rendering may still do: a step is one evaluation or 16 bytes of new text.
class JinjaBudget {
 public:
  explicit JinjaBudget(uint64_t steps) : left_(steps) {}
  // kLimitExceeded when they are used up; from then on always.
  Status Spend(uint64_t steps);
  Status SpendText(size_t bytes) { return Spend(1 + bytes / 16); }

 private:
  uint64_t left_;
};

// A Python value as Jinja sees it. Copies are cheap: texts, lists and dictionaries are shared and never change, except
// for a namespace, which can't be put into another value and so never holds itself.
class JinjaValue {
 public:
  using List = std::vector<JinjaValue>;
  using Dict = std::vector<std::pair<std::string, JinjaValue>>;  // in the order of insertion

  // Undefined: what a name, key or attribute that does not exist gives.
  JinjaValue() = default;
  static JinjaValue None() { return JinjaValue(Data(NoneType{})); }
  static JinjaValue Bool(bool value) { return JinjaValue(Data(value)); }
  static JinjaValue Int(int64_t value) { return JinjaValue(Data(value)); }
  static JinjaValue Float(double value) { return JinjaValue(Data(value)); }
  static JinjaValue Text(std::string value) {
    return JinjaValue(Data(std::make_shared<const std::string>(std::move(value))));
  }
  // kLimitExceeded: nested too deep. kUnsupported: a namespace inside.
  static Result<JinjaValue> FromList(List list);
  static Result<JinjaValue> FromDict(Dict dict);
  static JinjaValue Namespace() { return JinjaValue(Data(std::make_shared<Dict>())); }

  bool is_undefined() const { return std::holds_alternative<UndefinedType>(data_); }
  bool is_none() const { return std::holds_alternative<NoneType>(data_); }
  bool is_bool() const { return std::holds_alternative<bool>(data_); }
  bool is_int() const { return std::holds_alternative<int64_t>(data_); }
  bool is_float() const { return std::holds_alternative<double>(data_); }
  bool is_number() const { return is_bool() || is_int() || is_float(); }
  bool is_integer() const { return is_bool() || is_int(); }
  bool is_text() const { return text() != nullptr; }

  // nullptr if the value is of another type.
  const std::string* text() const;
  const List* list() const;
  const Dict* dict() const;
  Dict* name_space() const;

  // REQUIRES: is_integer(); is_number().
  int64_t AsInt() const;
  double AsFloat() const;

  // Python's truth of the value.
  bool IsTrue() const;
  // The value of a key of a dictionary or namespace; undefined if there is none.
  JinjaValue Get(std::string_view key) const;
  // "a text", "a list", ... for messages.
  std::string_view TypeName() const;

 private:
  struct UndefinedType {};
  struct NoneType {};
  template <typename T>
  struct Shared {
    T items;
    int depth = 1;
  };
  using Data =
      std::variant<UndefinedType, NoneType, bool, int64_t, double, std::shared_ptr<const std::string>,
                   std::shared_ptr<const Shared<List>>, std::shared_ptr<const Shared<Dict>>, std::shared_ptr<Dict>>;
  explicit JinjaValue(Data data) : data_(std::move(data)) {}
  int depth() const;
  // The depth of something that holds `value`.
  static Result<int> DepthAround(const JinjaValue& value);

  Data data_;
};

// Python's ==. Spends a step for each pair of values.
Result<bool> JinjaEquals(const JinjaValue& a, const JinjaValue& b, JinjaBudget& budget);

// Python's str() of a value: "" if undefined, "True", "None". kUnsupported for lists and dictionaries, whose Python
// form nobody wants in a prompt.
Result<std::string> JinjaToText(const JinjaValue& value);

// Appends Python's json.dumps(value, ensure_ascii=False, indent=indent). Spends steps for what it writes.
Status JinjaToJson(const JinjaValue& value, std::optional<int64_t> indent, JinjaBudget& budget, std::string& out);

// Bytes of white space (Python's str.isspace) at the start and at the end of `text`.
size_t JinjaLeadingSpace(std::string_view text);
size_t JinjaTrailingSpace(std::string_view text);

}  // namespace eyeshot

#endif  // EYESHOT_TEXT_JINJA_VALUE_H_
