// The filters, tests and methods of chat templates.
#ifndef EYESHOT_TEXT_JINJA_FILTERS_H_
#define EYESHOT_TEXT_JINJA_FILTERS_H_

#include <string_view>
#include <vector>

#include "eyeshot/status.h"
#include "text/jinja_value.h"

namespace eyeshot {

struct JinjaArguments {
  std::vector<JinjaValue> values;
  JinjaValue::Dict named;

  // The argument at a position or with a name; undefined if there is neither.
  JinjaValue Get(size_t position, std::string_view name) const;
};

// All spend steps for what they look at and make. Errors: kUnsupported (an unknown name, which the message gives, or a
// value that Python could take and this build can't), kInvalidArgument (what Python refuses too), kLimitExceeded.

// value | name(arguments)
Result<JinjaValue> ApplyJinjaFilter(std::string_view name, const JinjaValue& value, const JinjaArguments& arguments,
                                    JinjaBudget& budget);

// value is name(arguments)
Result<bool> ApplyJinjaTest(std::string_view name, const JinjaValue& value, const JinjaArguments& arguments,
                            JinjaBudget& budget);

// value.name(arguments), for texts and dictionaries.
Result<JinjaValue> CallJinjaMethod(const JinjaValue& value, std::string_view name, const JinjaArguments& arguments,
                                   JinjaBudget& budget);

// What a loop goes over: the items of a list, the keys of a dictionary, the characters of a text, nothing if undefined.
Result<JinjaValue::List> JinjaItems(const JinjaValue& value, JinjaBudget& budget);

// Python's a in b, and a < b (-1), a == b (0), a > b (1) for numbers and for texts.
Result<bool> JinjaContains(const JinjaValue& container, const JinjaValue& value, JinjaBudget& budget);
Result<int> JinjaOrder(const JinjaValue& a, const JinjaValue& b, JinjaBudget& budget);

}  // namespace eyeshot

#endif  // EYESHOT_TEXT_JINJA_FILTERS_H_
