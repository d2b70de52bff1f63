#include "text/jinja.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "base/limits.h"
#include "text/jinja_filters.h"
#include "text/jinja_parser.h"
#include "text/utf8.h"

namespace eyeshot {
namespace {

using Kind = JinjaNode::Kind;
using Dict = JinjaValue::Dict;
using List = JinjaValue::List;

constexpr char kMend[] = "check the messages and the chat template";
constexpr char kMendTemplate[] = "use a chat template with the constructs that docs/prompts.md lists";

Status WrongTypes(std::string_view op, const JinjaValue& a, const JinjaValue& b) {
  return InvalidArgumentError(fmt::format("'{}' between {} and {}", op, a.TypeName(), b.TypeName()), kMend);
}

Status TooLarge(std::string_view op) {
  return LimitError(fmt::format("the result of '{}' does not fit into 64 bits", op), kMend);
}

// Python's // and % round down.
int64_t FloorDivide(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a % b < 0) != (b < 0) ? 1 : 0); }

Result<JinjaValue> IntegerMath(std::string_view op, int64_t a, int64_t b) {
  int64_t result = 0;
  bool overflows = false;
  if (op == "+") overflows = __builtin_add_overflow(a, b, &result);
  if (op == "-") overflows = __builtin_sub_overflow(a, b, &result);
  if (op == "*") overflows = __builtin_mul_overflow(a, b, &result);
  if (op == "//" || op == "%") {
    overflows = b == -1 && a == INT64_MIN;
    if (!overflows) result = op == "//" ? FloorDivide(a, b) : a - FloorDivide(a, b) * b;
  }
  if (overflows) return TooLarge(op);
  return JinjaValue::Int(result);
}

Result<JinjaValue> NumberMath(std::string_view op, const JinjaValue& a, const JinjaValue& b) {
  if ((op == "/" || op == "//" || op == "%") && b.AsFloat() == 0) return InvalidArgumentError("a division by 0", kMend);
  if (op != "/" && a.is_integer() && b.is_integer()) return IntegerMath(op, a.AsInt(), b.AsInt());
  const double x = a.AsFloat();
  const double y = b.AsFloat();
  if (op == "+") return JinjaValue::Float(x + y);
  if (op == "-") return JinjaValue::Float(x - y);
  if (op == "*") return JinjaValue::Float(x * y);
  if (op == "/") return JinjaValue::Float(x / y);
  if (op == "//") return JinjaValue::Float(std::floor(x / y));
  return JinjaValue::Float(x - std::floor(x / y) * y);
}

// The positions that [begin:end:step] takes of `size` items, as Python counts them.
Result<std::vector<size_t>> SlicePositions(int64_t size, const JinjaValue& begin, const JinjaValue& end,
                                           const JinjaValue& step) {
  for (const JinjaValue* part : {&begin, &end, &step}) {
    if (!part->is_none() && !part->is_integer()) {
      return InvalidArgumentError(fmt::format("a slice with {}", part->TypeName()), kMend);
    }
  }
  const int64_t stride = step.is_none() ? 1 : step.AsInt();
  if (stride == 0) return InvalidArgumentError("a slice with step 0", kMend);
  const int64_t lowest = stride > 0 ? 0 : -1;
  const int64_t highest = stride > 0 ? size : size - 1;
  const auto bound = [&](const JinjaValue& value, int64_t fallback) {
    if (value.is_none()) return fallback;
    const int64_t at = value.AsInt();
    return std::clamp(at < 0 ? std::max(at, -size - 1) + size : at, lowest, highest);
  };
  int64_t at = bound(begin, stride > 0 ? 0 : size - 1);
  const int64_t stop = bound(end, stride > 0 ? size : -1);
  std::vector<size_t> positions;
  while (stride > 0 ? at < stop : at > stop) {
    positions.push_back(static_cast<size_t>(at));
    if (__builtin_add_overflow(at, stride, &at)) break;
  }
  return positions;
}

// Runs a tree. Every evaluation spends a step.
class Renderer {
 public:
  Renderer(const JinjaTree& tree, const Dict& variables) : tree_(tree), scopes_{variables} {}

  Result<std::string> Run() {
    std::string out;
    EYESHOT_RETURN_IF_ERROR(RunBody(tree_.body, out).status());
    return out;
  }

 private:
  enum class Flow { kOn, kBreak, kContinue };

  const JinjaNode& Node(JinjaNodeId id) const { return tree_.nodes[id]; }

  // The error with the line of the node at which it came up, unless it has one already.
  Status Located(const JinjaNode& node, const Status& status) {
    if (located_) return status;
    located_ = true;
    return status.At(fmt::format("line {}", node.line));
  }

  // ---- Statements ----

  Result<Flow> RunBody(const std::vector<JinjaNodeId>& body, std::string& out) {
    for (const JinjaNodeId id : body) {
      Result<Flow> flow = RunStatement(Node(id), out);
      if (!flow.ok()) return Located(Node(id), flow.status());
      if (*flow != Flow::kOn) return *flow;
    }
    return Flow::kOn;
  }

  Status Write(std::string_view text, std::string& out) {
    EYESHOT_RETURN_IF_ERROR(budget_.SpendText(text.size()));
    if (text.size() > limits::kMaxPromptBytes - out.size()) {
      return LimitError(fmt::format("the prompt is longer than {} bytes", limits::kMaxPromptBytes),
                        "send less text or fewer pictures");
    }
    out += text;
    return Status::Ok();
  }

  Result<Flow> RunStatement(const JinjaNode& node, std::string& out) {
    switch (node.kind) {
      case Kind::kText: EYESHOT_RETURN_IF_ERROR(Write(node.text, out)); return Flow::kOn;
      case Kind::kPrint: {
        EYESHOT_ASSIGN_OR_RETURN(const JinjaValue value, Evaluate(node.parts[0]));
        EYESHOT_ASSIGN_OR_RETURN(const std::string text, JinjaToText(value));
        EYESHOT_RETURN_IF_ERROR(Write(text, out));
        return Flow::kOn;
      }
      case Kind::kIf: return RunIf(node, out);
      case Kind::kFor: return RunFor(node, out);
      case Kind::kSet: EYESHOT_RETURN_IF_ERROR(RunSet(node)); return Flow::kOn;
      case Kind::kSetField: EYESHOT_RETURN_IF_ERROR(RunSetField(node)); return Flow::kOn;
      case Kind::kGroup: return RunBody(node.bodies[0], out);
      case Kind::kBreak: return Flow::kBreak;
      default: return Flow::kContinue;
    }
  }

  Result<Flow> RunIf(const JinjaNode& node, std::string& out) {
    for (size_t i = 0; i < node.parts.size(); ++i) {
      EYESHOT_ASSIGN_OR_RETURN(const JinjaValue condition, Evaluate(node.parts[i]));
      if (condition.IsTrue()) return RunBody(node.bodies[i], out);
    }
    if (node.bodies.size() > node.parts.size()) return RunBody(node.bodies.back(), out);
    return Flow::kOn;
  }

  // Names of a scope of their own for the time of a body.
  class Scope {
   public:
    explicit Scope(std::vector<Dict>& scopes) : scopes_(scopes) { scopes_.emplace_back(); }
    ~Scope() { scopes_.pop_back(); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    std::vector<Dict>& scopes_;
  };

  Result<Flow> RunFor(const JinjaNode& node, std::string& out) {
    EYESHOT_ASSIGN_OR_RETURN(const JinjaValue over, Evaluate(node.parts[0]));
    EYESHOT_ASSIGN_OR_RETURN(List items, JinjaItems(over, budget_));
    if (node.parts.size() > 1) EYESHOT_RETURN_IF_ERROR(Filter(node, items));
    bool completed = false;  // a pass that neither break nor continue cut short; without one, jinja2 runs the else
    for (size_t i = 0; i < items.size(); ++i) {
      const Scope scope(scopes_);
      EYESHOT_RETURN_IF_ERROR(Assign(node.names, items[i]));
      EYESHOT_ASSIGN_OR_RETURN(JinjaValue loop, Loop(items, i));
      EYESHOT_RETURN_IF_ERROR(Set("loop", std::move(loop)));
      EYESHOT_ASSIGN_OR_RETURN(const Flow flow, RunBody(node.bodies[0], out));
      if (flow == Flow::kBreak) break;
      completed = completed || flow == Flow::kOn;
    }
    if (!completed && node.bodies.size() > 1) {
      const Scope scope(scopes_);
      return RunBody(node.bodies[1], out);
    }
    return Flow::kOn;
  }

  // Keeps the items for which the loop's condition holds.
  Status Filter(const JinjaNode& node, List& items) {
    List kept;
    for (JinjaValue& item : items) {
      const Scope scope(scopes_);
      EYESHOT_RETURN_IF_ERROR(Assign(node.names, item));
      EYESHOT_ASSIGN_OR_RETURN(const JinjaValue holds, Evaluate(node.parts[1]));
      if (holds.IsTrue()) kept.push_back(std::move(item));
    }
    items = std::move(kept);
    return Status::Ok();
  }

  Result<JinjaValue> Loop(const List& items, size_t i) {
    EYESHOT_RETURN_IF_ERROR(budget_.Spend(8));
    const auto number = [](size_t value) { return JinjaValue::Int(static_cast<int64_t>(value)); };
    Dict loop = {{"index", number(i + 1)},
                 {"index0", number(i)},
                 {"revindex", number(items.size() - i)},
                 {"revindex0", number(items.size() - i - 1)},
                 {"first", JinjaValue::Bool(i == 0)},
                 {"last", JinjaValue::Bool(i + 1 == items.size())},
                 {"length", number(items.size())}};
    if (i > 0) loop.emplace_back("previtem", items[i - 1]);
    if (i + 1 < items.size()) loop.emplace_back("nextitem", items[i + 1]);
    return JinjaValue::FromDict(std::move(loop));
  }

  Status RunSet(const JinjaNode& node) {
    if (!node.parts.empty()) {
      EYESHOT_ASSIGN_OR_RETURN(const JinjaValue value, Evaluate(node.parts[0]));
      return Assign(node.names, value);
    }
    std::string text;
    {
      const Scope scope(scopes_);
      EYESHOT_RETURN_IF_ERROR(RunBody(node.bodies[0], text).status());
    }
    return Set(node.names[0], JinjaValue::Text(std::move(text)));
  }

  Status RunSetField(const JinjaNode& node) {
    EYESHOT_ASSIGN_OR_RETURN(const JinjaValue value, Evaluate(node.parts[0]));
    EYESHOT_ASSIGN_OR_RETURN(const JinjaValue target, Lookup(node.names[0]));
    if (target.name_space() == nullptr) {
      return InvalidArgumentError(
          fmt::format("'{}.{}' is set, and {} is {}", node.names[0], node.text, node.names[0], target.TypeName()),
          kMendTemplate);
    }
    return SetField(*target.name_space(), node.text, value);
  }

  Status SetField(Dict& fields, const std::string& name, const JinjaValue& value) {
    if (value.name_space() != nullptr) {
      return UnsupportedError("a namespace inside of another value", "use a template that keeps it in a variable");
    }
    return SetIn(fields, name, value);
  }

  Status SetIn(Dict& names, const std::string& name, JinjaValue value) {
    EYESHOT_RETURN_IF_ERROR(budget_.Spend(1 + names.size()));
    const auto found = std::find_if(names.begin(), names.end(), [&](const auto& item) { return item.first == name; });
    if (found != names.end()) {
      found->second = std::move(value);
    } else {
      names.emplace_back(name, std::move(value));
    }
    return Status::Ok();
  }

  Status Set(const std::string& name, JinjaValue value) { return SetIn(scopes_.back(), name, std::move(value)); }

  Status Assign(const std::vector<std::string>& names, const JinjaValue& value) {
    if (names.size() == 1) return Set(names[0], value);
    EYESHOT_ASSIGN_OR_RETURN(const List items, JinjaItems(value, budget_));
    if (items.size() != names.size()) {
      return InvalidArgumentError(fmt::format("{} values for {} names", items.size(), names.size()), kMend);
    }
    for (size_t i = 0; i < names.size(); ++i) EYESHOT_RETURN_IF_ERROR(Set(names[i], items[i]));
    return Status::Ok();
  }

  Result<JinjaValue> Lookup(const std::string& name) {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      EYESHOT_RETURN_IF_ERROR(budget_.Spend(1));
      for (const auto& [key, value] : *scope) {
        if (key == name) return value;
      }
    }
    return JinjaValue();
  }

  // ---- Expressions ----

  Result<JinjaValue> Evaluate(JinjaNodeId id) {
    const JinjaNode& node = Node(id);
    Result<JinjaValue> value = Dispatch(node);
    if (!value.ok()) return Located(node, value.status());
    return value;
  }

  Result<JinjaValue> Dispatch(const JinjaNode& node) {
    EYESHOT_RETURN_IF_ERROR(budget_.Spend(1));
    switch (node.kind) {
      case Kind::kLiteral: return node.value;
      case Kind::kName: return Lookup(node.text);
      case Kind::kAttribute: return Attribute(node);
      case Kind::kItem: return Item(node);
      case Kind::kSlice: return Slice(node);
      case Kind::kCall: return Call(node);
      case Kind::kFilter: return FilterOrTest(node);
      case Kind::kTest: return FilterOrTest(node);
      case Kind::kUnary: return Unary(node);
      case Kind::kBinary: return Binary(node);
      case Kind::kCompare: return Compare(node);
      case Kind::kChoice: return Choice(node);
      case Kind::kList: return ListOf(node);
      default: return DictOf(node);
    }
  }

  Status CheckDefined(const JinjaNode& node, const JinjaValue& value) {
    if (!value.is_undefined()) return Status::Ok();
    const JinjaNode& owner = Node(node.parts[0]);
    const std::string name = owner.text.empty() ? "a value" : fmt::format("'{}'", owner.text);
    return InvalidArgumentError(fmt::format("{} is undefined, and a part of it is read", name), kMend);
  }

  Result<JinjaValue> Attribute(const JinjaNode& node) {
    EYESHOT_ASSIGN_OR_RETURN(const JinjaValue owner, Evaluate(node.parts[0]));
    EYESHOT_RETURN_IF_ERROR(CheckDefined(node, owner));
    return owner.Get(node.text);
  }

  Result<JinjaValue> Item(const JinjaNode& node) {
    EYESHOT_ASSIGN_OR_RETURN(const JinjaValue owner, Evaluate(node.parts[0]));
    EYESHOT_RETURN_IF_ERROR(CheckDefined(node, owner));
    EYESHOT_ASSIGN_OR_RETURN(const JinjaValue key, Evaluate(node.parts[1]));
    if (key.is_text()) return owner.Get(*key.text());
    if (!key.is_integer() || (owner.list() == nullptr && !owner.is_text())) return JinjaValue();
    const List* items = owner.list();
    List characters;
    if (items == nullptr) {
      EYESHOT_ASSIGN_OR_RETURN(characters, JinjaItems(owner, budget_));
      items = &characters;
    }
    const auto size = static_cast<int64_t>(items->size());
    const int64_t at = key.AsInt();
    if (at < -size || at >= size) return JinjaValue();
    return (*items)[static_cast<size_t>(at < 0 ? at + size : at)];
  }

  Result<JinjaValue> Slice(const JinjaNode& node) {
    EYESHOT_ASSIGN_OR_RETURN(const JinjaValue owner, Evaluate(node.parts[0]));
    EYESHOT_RETURN_IF_ERROR(CheckDefined(node, owner));
    if (owner.list() == nullptr && !owner.is_text()) {
      return InvalidArgumentError(fmt::format("a slice of {}", owner.TypeName()), kMend);
    }
    EYESHOT_ASSIGN_OR_RETURN(const JinjaValue begin, Evaluate(node.parts[1]));
    EYESHOT_ASSIGN_OR_RETURN(const JinjaValue end, Evaluate(node.parts[2]));
    EYESHOT_ASSIGN_OR_RETURN(const JinjaValue step, Evaluate(node.parts[3]));
    EYESHOT_ASSIGN_OR_RETURN(const List items, JinjaItems(owner, budget_));
    EYESHOT_ASSIGN_OR_RETURN(const std::vector<size_t> positions,
                             SlicePositions(static_cast<int64_t>(items.size()), begin, end, step));
    List kept;
    std::string text;
    for (const size_t at : positions) {
      if (owner.is_text()) {
        text += *items[at].text();
      } else {
        kept.push_back(items[at]);
      }
    }
    if (owner.is_text()) return JinjaValue::Text(std::move(text));
    return JinjaValue::FromList(std::move(kept));
  }

  // The operands of a node but the first, which is what they are applied to.
  Result<JinjaArguments> Arguments(const JinjaNode& node) {
    JinjaArguments arguments;
    for (size_t i = 1; i < node.parts.size(); ++i) {
      EYESHOT_ASSIGN_OR_RETURN(JinjaValue value, Evaluate(node.parts[i]));
      arguments.values.push_back(std::move(value));
    }
    for (const auto& [name, id] : node.named) {
      EYESHOT_ASSIGN_OR_RETURN(JinjaValue value, Evaluate(id));
      arguments.named.emplace_back(name, std::move(value));
    }
    return arguments;
  }

  Result<JinjaValue> FilterOrTest(const JinjaNode& node) {
    EYESHOT_ASSIGN_OR_RETURN(const JinjaValue value, Evaluate(node.parts[0]));
    EYESHOT_ASSIGN_OR_RETURN(const JinjaArguments arguments, Arguments(node));
    if (node.kind == Kind::kFilter) return ApplyJinjaFilter(node.text, value, arguments, budget_);
    EYESHOT_ASSIGN_OR_RETURN(const bool holds, ApplyJinjaTest(node.text, value, arguments, budget_));
    return JinjaValue::Bool(holds);
  }

  Result<JinjaValue> Call(const JinjaNode& node) {
    const JinjaNode& callee = Node(node.parts[0]);
    if (callee.kind == Kind::kAttribute) {
      EYESHOT_ASSIGN_OR_RETURN(const JinjaValue owner, Evaluate(callee.parts[0]));
      EYESHOT_RETURN_IF_ERROR(CheckDefined(callee, owner));
      EYESHOT_ASSIGN_OR_RETURN(const JinjaArguments arguments, Arguments(node));
      return CallJinjaMethod(owner, callee.text, arguments, budget_);
    }
    if (callee.kind != Kind::kName) return UnsupportedError("a call of something without a name", kMendTemplate);
    EYESHOT_ASSIGN_OR_RETURN(const JinjaArguments arguments, Arguments(node));
    if (callee.text == "raise_exception") return Raise(arguments);
    if (callee.text == "namespace") return NewNamespace(arguments);
    if (callee.text == "range") return Range(arguments);
    if (callee.text == "dict" && arguments.values.empty()) return JinjaValue::FromDict(arguments.named);
    return UnsupportedError(fmt::format("the function '{}'", callee.text.substr(0, 40)), kMendTemplate);
  }

  static Result<JinjaValue> Raise(const JinjaArguments& arguments) {
    EYESHOT_ASSIGN_OR_RETURN(const std::string words, JinjaToText(arguments.Get(0, "message")));
    return InvalidArgumentError(fmt::format("the chat template refuses this conversation: {}", words.substr(0, 400)),
                                "change the messages as it says");
  }

  Result<JinjaValue> NewNamespace(const JinjaArguments& arguments) {
    if (!arguments.values.empty()) return UnsupportedError("a namespace of values without names", kMendTemplate);
    const JinjaValue made = JinjaValue::Namespace();
    for (const auto& [name, value] : arguments.named) {
      EYESHOT_RETURN_IF_ERROR(SetField(*made.name_space(), name, value));
    }
    return made;
  }

  Result<JinjaValue> Range(const JinjaArguments& arguments) {
    const size_t count = arguments.values.size();
    const auto is_integer = [](const JinjaValue& value) { return value.is_integer(); };
    if (count < 1 || count > 3 || !std::all_of(arguments.values.begin(), arguments.values.end(), is_integer)) {
      return InvalidArgumentError("a range of something else than one to three integers", kMend);
    }
    int64_t at = count == 1 ? 0 : arguments.values[0].AsInt();
    const int64_t end = arguments.values[count == 1 ? 0 : 1].AsInt();
    const int64_t step = count == 3 ? arguments.values[2].AsInt() : 1;
    if (step == 0) return InvalidArgumentError("a range with step 0", kMend);
    List numbers;
    while (step > 0 ? at < end : at > end) {
      EYESHOT_RETURN_IF_ERROR(budget_.Spend(1));
      numbers.push_back(JinjaValue::Int(at));
      if (__builtin_add_overflow(at, step, &at)) break;
    }
    return JinjaValue::FromList(std::move(numbers));
  }

  Result<JinjaValue> Unary(const JinjaNode& node) {
    EYESHOT_ASSIGN_OR_RETURN(const JinjaValue value, Evaluate(node.parts[0]));
    if (node.text == "not") return JinjaValue::Bool(!value.IsTrue());
    if (!value.is_number()) {
      return InvalidArgumentError(fmt::format("'{}' before {}", node.text, value.TypeName()), kMend);
    }
    if (node.text == "+") return value;
    if (value.is_float()) return JinjaValue::Float(-value.AsFloat());
    return IntegerMath("-", 0, value.AsInt());
  }

  Result<JinjaValue> Binary(const JinjaNode& node) {
    EYESHOT_ASSIGN_OR_RETURN(const JinjaValue left, Evaluate(node.parts[0]));
    if (node.text == "and" && !left.IsTrue()) return left;
    if (node.text == "or" && left.IsTrue()) return left;
    EYESHOT_ASSIGN_OR_RETURN(const JinjaValue right, Evaluate(node.parts[1]));
    if (node.text == "and" || node.text == "or") return right;
    if (node.text == "~") return Concat(left, right);
    if (left.is_number() && right.is_number()) return NumberMath(node.text, left, right);
    if (node.text == "+" && left.is_text() && right.is_text()) return Concat(left, right);
    if (node.text == "+" && left.list() != nullptr && right.list() != nullptr) {
      EYESHOT_ASSIGN_OR_RETURN(List items, JinjaItems(left, budget_));
      EYESHOT_ASSIGN_OR_RETURN(const List more, JinjaItems(right, budget_));
      items.insert(items.end(), more.begin(), more.end());
      return JinjaValue::FromList(std::move(items));
    }
    if (node.text == "*" && left.is_text() && right.is_integer()) return Repeat(*left.text(), right.AsInt());
    if (node.text == "*" && left.is_integer() && right.is_text()) return Repeat(*right.text(), left.AsInt());
    if (node.text == "%" && left.is_text()) return UnsupportedError("'%' behind a text", kMendTemplate);
    return WrongTypes(node.text, left, right);
  }

  Result<JinjaValue> Concat(const JinjaValue& left, const JinjaValue& right) {
    EYESHOT_ASSIGN_OR_RETURN(std::string text, JinjaToText(left));
    EYESHOT_ASSIGN_OR_RETURN(const std::string more, JinjaToText(right));
    EYESHOT_RETURN_IF_ERROR(budget_.SpendText(text.size() + more.size()));
    return JinjaValue::Text(text.append(more));
  }

  Result<JinjaValue> Repeat(const std::string& text, int64_t times) {
    std::string out;
    for (int64_t i = 0; i < times; ++i) {
      EYESHOT_RETURN_IF_ERROR(budget_.SpendText(text.size()));
      out += text;
    }
    return JinjaValue::Text(std::move(out));
  }

  Result<JinjaValue> Compare(const JinjaNode& node) {
    EYESHOT_ASSIGN_OR_RETURN(JinjaValue left, Evaluate(node.parts[0]));
    for (size_t i = 0; i < node.names.size(); ++i) {
      EYESHOT_ASSIGN_OR_RETURN(JinjaValue right, Evaluate(node.parts[i + 1]));
      EYESHOT_ASSIGN_OR_RETURN(const bool holds, Holds(node.names[i], left, right));
      if (!holds) return JinjaValue::Bool(false);
      left = std::move(right);
    }
    return JinjaValue::Bool(true);
  }

  Result<bool> Holds(std::string_view op, const JinjaValue& left, const JinjaValue& right) {
    if (op == "in" || op == "not in") {
      EYESHOT_ASSIGN_OR_RETURN(const bool found, JinjaContains(right, left, budget_));
      return found == (op == "in");
    }
    if (op == "==" || op == "!=") {
      EYESHOT_ASSIGN_OR_RETURN(const bool equal, JinjaEquals(left, right, budget_));
      return equal == (op == "==");
    }
    EYESHOT_ASSIGN_OR_RETURN(const int order, JinjaOrder(left, right, budget_));
    if (op == "<") return order < 0;
    if (op == "<=") return order <= 0;
    return op == ">" ? order > 0 : order >= 0;
  }

  Result<JinjaValue> Choice(const JinjaNode& node) {
    EYESHOT_ASSIGN_OR_RETURN(const JinjaValue condition, Evaluate(node.parts[1]));
    if (condition.IsTrue()) return Evaluate(node.parts[0]);
    if (node.parts.size() > 2) return Evaluate(node.parts[2]);
    return JinjaValue();
  }

  Result<JinjaValue> ListOf(const JinjaNode& node) {
    List items;
    for (const JinjaNodeId id : node.parts) {
      EYESHOT_ASSIGN_OR_RETURN(JinjaValue item, Evaluate(id));
      items.push_back(std::move(item));
    }
    return JinjaValue::FromList(std::move(items));
  }

  Result<JinjaValue> DictOf(const JinjaNode& node) {
    Dict dict;
    for (size_t i = 0; i < node.parts.size(); i += 2) {
      EYESHOT_ASSIGN_OR_RETURN(const JinjaValue key, Evaluate(node.parts[i]));
      if (!key.is_text()) return UnsupportedError(fmt::format("{} as a key", key.TypeName()), kMendTemplate);
      EYESHOT_ASSIGN_OR_RETURN(JinjaValue value, Evaluate(node.parts[i + 1]));
      EYESHOT_RETURN_IF_ERROR(SetIn(dict, *key.text(), std::move(value)));
    }
    return JinjaValue::FromDict(std::move(dict));
  }

  const JinjaTree& tree_;
  JinjaBudget budget_{limits::kMaxTemplateSteps};
  std::vector<Dict> scopes_;  // the innermost is the last
  bool located_ = false;      // an error has its line
};

}  // namespace

Result<JinjaTemplate> JinjaTemplate::Parse(std::string_view text, std::string where) {
  Result<JinjaTree> tree = ParseJinja(text);
  if (!tree.ok()) return tree.status().At(where);
  return JinjaTemplate(std::make_shared<const JinjaTree>(std::move(tree).value()), std::move(where));
}

Result<std::string> JinjaTemplate::Render(const JinjaValue::Dict& variables) const {
  Result<std::string> text = Renderer(*tree_, variables).Run();
  if (!text.ok()) return text.status().At(where_);
  return text;
}

}  // namespace eyeshot
