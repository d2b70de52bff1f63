#include "text/jinja_parser.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <span>
#include <type_traits>
#include <utility>

#include "base/error.h"
#include "base/limits.h"
#include "text/jinja_lexer.h"

namespace eyeshot {
namespace {

using Token = JinjaToken;
using Kind = JinjaNode::Kind;
using Body = std::vector<JinjaNodeId>;
using Words = std::span<const std::string_view>;

constexpr char kMend[] = "check the chat template";

// Recursive descent, with jinja2's order of operators.
class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  Result<JinjaTree> Run() {
    EYESHOT_ASSIGN_OR_RETURN(tree_.body, Statements({}));
    return std::move(tree_);
  }

 private:
  // Counts nested calls, so that hostile nesting ends in an error and not at the end of the stack.
  class Nesting {
   public:
    explicit Nesting(int& depth) : depth_(depth) { ++depth_; }
    ~Nesting() { --depth_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

   private:
    int& depth_;
  };

  const Token& Now() const { return tokens_[at_]; }
  const Token& Next() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  // Steps over a token; the last one, the end, stays.
  void Advance() { at_ = std::min(at_ + 1, tokens_.size() - 1); }
  bool IsOperator(std::string_view op) const { return Now().kind == Token::Kind::kOperator && Now().text == op; }
  bool IsName(std::string_view name) const { return Now().kind == Token::Kind::kName && Now().text == name; }
  bool Take(std::string_view op) {
    if (!IsOperator(op)) return false;
    Advance();
    return true;
  }
  bool TakeName(std::string_view name) {
    if (!IsName(name)) return false;
    Advance();
    return true;
  }

  std::string Found() const {
    switch (Now().kind) {
      case Token::Kind::kEnd: return "the end of the template";
      case Token::Kind::kData: return "text";
      case Token::Kind::kVariableBegin: return "'{{'";
      case Token::Kind::kVariableEnd: return "'}}'";
      case Token::Kind::kBlockBegin: return "'{%'";
      case Token::Kind::kBlockEnd: return "'%}'";
      default: return fmt::format("'{}'", std::string_view(Now().text).substr(0, 40));
    }
  }
  Status Expected(std::string_view what) const {
    return CorruptError(fmt::format("line {}: {} where {} is expected", Now().line, Found(), what), kMend);
  }
  Status Unsupported(const std::string& what) const {
    return UnsupportedError(fmt::format("line {}: {}", Now().line, what),
                            "use a chat template with the constructs that docs/prompts.md lists");
  }
  Status Need(std::string_view op) { return Take(op) ? Status::Ok() : Expected(fmt::format("'{}'", op)); }
  Status NeedKind(Token::Kind kind, std::string_view what) {
    if (Now().kind != kind) return Expected(what);
    Advance();
    return Status::Ok();
  }
  Result<std::string> NeedName() {
    if (Now().kind != Token::Kind::kName) return Expected("a name");
    std::string name = Now().text;
    Advance();
    return name;
  }
  Status CheckNesting() const {
    if (nesting_ <= limits::kMaxTemplateDepth) return Status::Ok();
    return LimitError(fmt::format("line {}: nested deeper than {}", Now().line, limits::kMaxTemplateDepth), kMend);
  }

  int DepthOf(const Body& body) const {
    int depth = 0;
    for (const JinjaNodeId id : body) depth = std::max(depth, tree_.nodes[id].depth);
    return depth;
  }

  Result<JinjaNodeId> Add(JinjaNode node) {
    int depth = DepthOf(node.parts);
    for (const auto& [name, id] : node.named) depth = std::max(depth, tree_.nodes[id].depth);
    for (const Body& body : node.bodies) depth = std::max(depth, DepthOf(body));
    node.depth = depth + 1;
    if (node.depth > limits::kMaxTemplateDepth) {
      return LimitError(
          fmt::format("line {}: an expression or block of more than {} levels", node.line, limits::kMaxTemplateDepth),
          kMend);
    }
    if (tree_.nodes.size() >= limits::kMaxTemplateNodes) {
      return LimitError(fmt::format("line {}: more than {} parts", node.line, limits::kMaxTemplateNodes), kMend);
    }
    tree_.nodes.push_back(std::move(node));
    return static_cast<JinjaNodeId>(tree_.nodes.size() - 1);
  }
  Result<JinjaNodeId> Add(Kind kind, int line, std::vector<JinjaNodeId> parts, std::string text = {}) {
    return Add(JinjaNode{.kind = kind, .line = line, .text = std::move(text), .parts = std::move(parts)});
  }
  Result<JinjaNodeId> AddLiteral(int line, JinjaValue value) {
    return Add(JinjaNode{.kind = Kind::kLiteral, .line = line, .value = std::move(value)});
  }

  // ---- Statements ----

  // Up to a block that begins with one of `ends`, whose word is the current token then; of none: up to the end.
  Result<Body> Statements(Words ends) {
    const Nesting nesting(nesting_);
    EYESHOT_RETURN_IF_ERROR(CheckNesting());
    Body body;
    while (Now().kind != Token::Kind::kEnd) {
      if (Now().kind == Token::Kind::kBlockBegin) {
        Advance();
        const bool is_name = Now().kind == Token::Kind::kName;
        if (is_name && std::find(ends.begin(), ends.end(), Now().text) != ends.end()) return body;
      }
      EYESHOT_ASSIGN_OR_RETURN(const JinjaNodeId id, Statement());
      body.push_back(id);
    }
    if (!ends.empty()) return Expected(fmt::format("'{{% {} %}}'", ends.back()));
    return body;
  }

  // A text, {{ an expression }}, or a block whose '{%' was taken.
  Result<JinjaNodeId> Statement() {
    const int line = Now().line;
    if (Now().kind == Token::Kind::kData) {
      std::string text = Now().text;
      Advance();
      return Add(Kind::kText, line, {}, std::move(text));
    }
    if (Now().kind == Token::Kind::kVariableBegin) {
      Advance();
      EYESHOT_ASSIGN_OR_RETURN(const JinjaNodeId value, TupleOrExpression());
      EYESHOT_RETURN_IF_ERROR(NeedKind(Token::Kind::kVariableEnd, "'}}'"));
      return Add(Kind::kPrint, line, {value});
    }
    EYESHOT_ASSIGN_OR_RETURN(const std::string word, NeedName());
    if (word == "if") return If(line);
    if (word == "for") return For(line);
    if (word == "set") return Set(line);
    if (word == "generation") return Generation(line);
    if (word == "break" || word == "continue") {
      if (loops_ == 0) return CorruptError(fmt::format("line {}: '{}' outside of a loop", line, word), kMend);
      EYESHOT_RETURN_IF_ERROR(EndBlock());
      return Add(word == "break" ? Kind::kBreak : Kind::kContinue, line, {});
    }
    if (word.starts_with("end") || word == "else" || word == "elif") {
      return CorruptError(fmt::format("line {}: '{}' without its beginning", line, word.substr(0, 40)), kMend);
    }
    return Unsupported(fmt::format("the statement '{}'", word.substr(0, 40)));
  }

  Status EndBlock() { return NeedKind(Token::Kind::kBlockEnd, "'%}'"); }

  Result<JinjaNodeId> If(int line) {
    static constexpr std::array<std::string_view, 3> kEnds = {"elif", "else", "endif"};
    static constexpr std::array<std::string_view, 1> kLast = {"endif"};
    JinjaNode node{.kind = Kind::kIf, .line = line};
    while (true) {
      EYESHOT_ASSIGN_OR_RETURN(const JinjaNodeId condition, Expression());
      node.parts.push_back(condition);
      EYESHOT_RETURN_IF_ERROR(EndBlock());
      EYESHOT_ASSIGN_OR_RETURN(Body body, Statements(kEnds));
      node.bodies.push_back(std::move(body));
      if (!TakeName("elif")) break;
    }
    if (TakeName("else")) {
      EYESHOT_RETURN_IF_ERROR(EndBlock());
      EYESHOT_ASSIGN_OR_RETURN(Body body, Statements(kLast));
      node.bodies.push_back(std::move(body));
    }
    Advance();  // endif
    EYESHOT_RETURN_IF_ERROR(EndBlock());
    return Add(std::move(node));
  }

  // NAME or NAME, NAME...
  Result<std::vector<std::string>> Targets() {
    std::vector<std::string> names;
    const bool in_brackets = Take("(");
    do {
      EYESHOT_ASSIGN_OR_RETURN(std::string name, NeedName());
      names.push_back(std::move(name));
    } while (Take(","));
    if (in_brackets) EYESHOT_RETURN_IF_ERROR(Need(")"));
    return names;
  }

  Result<JinjaNodeId> For(int line) {
    static constexpr std::array<std::string_view, 2> kEnds = {"else", "endfor"};
    static constexpr std::array<std::string_view, 1> kLast = {"endfor"};
    JinjaNode node{.kind = Kind::kFor, .line = line};
    EYESHOT_ASSIGN_OR_RETURN(node.names, Targets());
    if (!TakeName("in")) return Expected("'in'");
    EYESHOT_ASSIGN_OR_RETURN(const JinjaNodeId items, TupleOrExpression(/*with_choice=*/false));
    node.parts.push_back(items);
    if (TakeName("if")) {
      EYESHOT_ASSIGN_OR_RETURN(const JinjaNodeId condition, Expression());
      node.parts.push_back(condition);
    }
    if (IsName("recursive")) return Unsupported("a recursive loop");
    EYESHOT_RETURN_IF_ERROR(EndBlock());
    ++loops_;
    Result<Body> body = Statements(kEnds);
    --loops_;
    EYESHOT_ASSIGN_OR_RETURN(Body statements, std::move(body));
    node.bodies.push_back(std::move(statements));
    if (TakeName("else")) {
      EYESHOT_RETURN_IF_ERROR(EndBlock());
      EYESHOT_ASSIGN_OR_RETURN(Body otherwise, Statements(kLast));
      node.bodies.push_back(std::move(otherwise));
    }
    Advance();  // endfor
    EYESHOT_RETURN_IF_ERROR(EndBlock());
    return Add(std::move(node));
  }

  Result<JinjaNodeId> Set(int line) {
    static constexpr std::array<std::string_view, 1> kEnds = {"endset"};
    JinjaNode node{.kind = Kind::kSet, .line = line};
    EYESHOT_ASSIGN_OR_RETURN(node.names, Targets());
    if (node.names.size() == 1 && Take(".")) {
      node.kind = Kind::kSetField;
      EYESHOT_ASSIGN_OR_RETURN(node.text, NeedName());
    }
    if (Take("=")) {
      EYESHOT_ASSIGN_OR_RETURN(const JinjaNodeId value, TupleOrExpression());
      node.parts.push_back(value);
      EYESHOT_RETURN_IF_ERROR(EndBlock());
      return Add(std::move(node));
    }
    if (node.kind == Kind::kSetField || node.names.size() > 1) return Expected("'='");
    if (IsOperator("|")) return Unsupported("a set block with a filter");
    EYESHOT_RETURN_IF_ERROR(EndBlock());
    // A break in here would leave the block before its text is known.
    const int loops = std::exchange(loops_, 0);
    Result<Body> body = Statements(kEnds);
    loops_ = loops;
    EYESHOT_ASSIGN_OR_RETURN(Body statements, std::move(body));
    node.bodies.push_back(std::move(statements));
    Advance();  // endset
    EYESHOT_RETURN_IF_ERROR(EndBlock());
    return Add(std::move(node));
  }

  // transformers' mark for what an assistant wrote.
  Result<JinjaNodeId> Generation(int line) {
    static constexpr std::array<std::string_view, 1> kEnds = {"endgeneration"};
    JinjaNode node{.kind = Kind::kGroup, .line = line};
    EYESHOT_RETURN_IF_ERROR(EndBlock());
    const int loops = std::exchange(loops_, 0);
    Result<Body> body = Statements(kEnds);
    loops_ = loops;
    EYESHOT_ASSIGN_OR_RETURN(Body statements, std::move(body));
    node.bodies.push_back(std::move(statements));
    Advance();  // endgeneration
    EYESHOT_RETURN_IF_ERROR(EndBlock());
    return Add(std::move(node));
  }

  // ---- Expressions, from the loosest to the tightest ----

  // a, b is a list. with_choice: "x if y" is one expression.
  Result<JinjaNodeId> TupleOrExpression(bool with_choice = true) {
    const int line = Now().line;
    EYESHOT_ASSIGN_OR_RETURN(const JinjaNodeId first, with_choice ? Expression() : Or());
    if (!IsOperator(",")) return first;
    std::vector<JinjaNodeId> items = {first};
    while (Take(",")) {
      const bool ends = Now().kind == Token::Kind::kVariableEnd || Now().kind == Token::Kind::kBlockEnd;
      if (ends) break;
      EYESHOT_ASSIGN_OR_RETURN(const JinjaNodeId item, with_choice ? Expression() : Or());
      items.push_back(item);
    }
    return Add(Kind::kList, line, std::move(items));
  }

  Result<JinjaNodeId> Expression() {
    const Nesting nesting(nesting_);
    EYESHOT_RETURN_IF_ERROR(CheckNesting());
    const int line = Now().line;
    EYESHOT_ASSIGN_OR_RETURN(JinjaNodeId value, Or());
    while (TakeName("if")) {
      EYESHOT_ASSIGN_OR_RETURN(const JinjaNodeId condition, Or());
      std::vector<JinjaNodeId> parts = {value, condition};
      if (TakeName("else")) {
        EYESHOT_ASSIGN_OR_RETURN(const JinjaNodeId otherwise, Expression());
        parts.push_back(otherwise);
      }
      EYESHOT_ASSIGN_OR_RETURN(value, Add(Kind::kChoice, line, std::move(parts)));
    }
    return value;
  }

  Result<JinjaNodeId> Or() {
    EYESHOT_ASSIGN_OR_RETURN(JinjaNodeId left, And());
    while (IsName("or")) {
      EYESHOT_ASSIGN_OR_RETURN(left, Binary(left, &Parser::And));
    }
    return left;
  }

  Result<JinjaNodeId> And() {
    EYESHOT_ASSIGN_OR_RETURN(JinjaNodeId left, Not());
    while (IsName("and")) {
      EYESHOT_ASSIGN_OR_RETURN(left, Binary(left, &Parser::Not));
    }
    return left;
  }

  // `left`, the current token and what comes after it.
  Result<JinjaNodeId> Binary(JinjaNodeId left, Result<JinjaNodeId> (Parser::*operand)()) {
    const Token token = Now();
    Advance();
    EYESHOT_ASSIGN_OR_RETURN(const JinjaNodeId right, (this->*operand)());
    return Add(Kind::kBinary, token.line, {left, right}, token.text);
  }

  Result<JinjaNodeId> Not() {
    const Nesting nesting(nesting_);
    EYESHOT_RETURN_IF_ERROR(CheckNesting());
    const int line = Now().line;
    if (!IsName("not") || (Next().kind == Token::Kind::kName && Next().text == "in")) return Compare();
    Advance();
    EYESHOT_ASSIGN_OR_RETURN(const JinjaNodeId operand, Not());
    return Add(Kind::kUnary, line, {operand}, "not");
  }

  // The comparison at the current token, taken; empty: there is none.
  std::string TakeComparison() {
    for (const std::string_view op : {"==", "!=", "<=", ">=", "<", ">"}) {
      if (Take(op)) return std::string(op);
    }
    if (TakeName("in")) return "in";
    if (IsName("not") && Next().kind == Token::Kind::kName && Next().text == "in") {
      Advance();
      Advance();
      return "not in";
    }
    return {};
  }

  Result<JinjaNodeId> Compare() {
    JinjaNode node{.kind = Kind::kCompare, .line = Now().line};
    EYESHOT_ASSIGN_OR_RETURN(const JinjaNodeId first, Sum());
    node.parts.push_back(first);
    while (true) {
      std::string op = TakeComparison();
      if (op.empty()) break;
      node.names.push_back(std::move(op));
      EYESHOT_ASSIGN_OR_RETURN(const JinjaNodeId next, Sum());
      node.parts.push_back(next);
    }
    if (node.names.empty()) return first;
    return Add(std::move(node));
  }

  Result<JinjaNodeId> Sum() {
    EYESHOT_ASSIGN_OR_RETURN(JinjaNodeId left, Concat());
    while (IsOperator("+") || IsOperator("-")) {
      EYESHOT_ASSIGN_OR_RETURN(left, Binary(left, &Parser::Concat));
    }
    return left;
  }

  Result<JinjaNodeId> Concat() {
    EYESHOT_ASSIGN_OR_RETURN(JinjaNodeId left, Product());
    while (IsOperator("~")) {
      EYESHOT_ASSIGN_OR_RETURN(left, Binary(left, &Parser::Product));
    }
    return left;
  }

  Result<JinjaNodeId> Product() {
    EYESHOT_ASSIGN_OR_RETURN(JinjaNodeId left, Unary(/*with_filters=*/true));
    while (IsOperator("*") || IsOperator("/") || IsOperator("//") || IsOperator("%")) {
      EYESHOT_ASSIGN_OR_RETURN(left, Binary(left, &Parser::Factor));
    }
    if (IsOperator("**")) return Unsupported("the operator '**'");
    return left;
  }
  Result<JinjaNodeId> Factor() { return Unary(/*with_filters=*/true); }

  Result<JinjaNodeId> Unary(bool with_filters) {
    const Nesting nesting(nesting_);
    EYESHOT_RETURN_IF_ERROR(CheckNesting());
    const Token token = Now();
    JinjaNodeId value = 0;
    if (Take("-") || Take("+")) {
      EYESHOT_ASSIGN_OR_RETURN(const JinjaNodeId operand, Unary(/*with_filters=*/false));
      EYESHOT_ASSIGN_OR_RETURN(value, Add(Kind::kUnary, token.line, {operand}, token.text));
    } else {
      EYESHOT_ASSIGN_OR_RETURN(const JinjaNodeId primary, Primary());
      EYESHOT_ASSIGN_OR_RETURN(value, Postfix(primary));
    }
    return with_filters ? Filters(value) : value;
  }

  Result<JinjaNodeId> Postfix(JinjaNodeId value) {
    while (true) {
      const int line = Now().line;
      if (Take(".")) {
        if (Now().kind == Token::Kind::kInteger) return Unsupported("an attribute that is a number");
        EYESHOT_ASSIGN_OR_RETURN(std::string name, NeedName());
        EYESHOT_ASSIGN_OR_RETURN(value, Add(Kind::kAttribute, line, {value}, std::move(name)));
      } else if (Take("[")) {
        EYESHOT_ASSIGN_OR_RETURN(value, Subscript(value, line));
      } else if (IsOperator("(")) {
        JinjaNode call{.kind = Kind::kCall, .line = line, .parts = {value}};
        EYESHOT_RETURN_IF_ERROR(Arguments(call));
        EYESHOT_ASSIGN_OR_RETURN(value, Add(std::move(call)));
      } else {
        return value;
      }
    }
  }

  // Behind "[".
  Result<JinjaNodeId> Subscript(JinjaNodeId value, int line) {
    std::vector<JinjaNodeId> parts = {value};
    bool is_slice = false;
    for (size_t i = 0; i < 3; ++i) {
      const bool is_left_out = IsOperator(":") || IsOperator("]");
      if (is_left_out && IsOperator("]") && !is_slice) return Expected("an index");
      EYESHOT_ASSIGN_OR_RETURN(const JinjaNodeId part,
                               is_left_out ? AddLiteral(line, JinjaValue::None()) : Expression());
      parts.push_back(part);
      if (!is_slice && Take("]")) return Add(Kind::kItem, line, std::move(parts));
      if (i < 2 && Take(":")) is_slice = true;
    }
    EYESHOT_RETURN_IF_ERROR(Need("]"));
    return Add(Kind::kSlice, line, std::move(parts));
  }

  // "(a, b, name=c)", behind which the parts of `node` go.
  Status Arguments(JinjaNode& node) {
    EYESHOT_RETURN_IF_ERROR(Need("("));
    while (!Take(")")) {
      if (IsOperator("*") || IsOperator("**")) return Unsupported("'*' before an argument");
      std::string name;
      if (Now().kind == Token::Kind::kName && Next().kind == Token::Kind::kOperator && Next().text == "=") {
        name = Now().text;
        Advance();
        Advance();
      }
      EYESHOT_ASSIGN_OR_RETURN(const JinjaNodeId value, Expression());
      if (name.empty()) {
        if (!node.named.empty()) return Expected("an argument with a name");
        node.parts.push_back(value);
      } else {
        node.named.emplace_back(std::move(name), value);
      }
      if (!IsOperator(")")) EYESHOT_RETURN_IF_ERROR(Need(","));
    }
    return Status::Ok();
  }

  // "| filter" and "is test", one after the other.
  Result<JinjaNodeId> Filters(JinjaNodeId value) {
    while (true) {
      const int line = Now().line;
      if (Take("|")) {
        JinjaNode filter{.kind = Kind::kFilter, .line = line, .parts = {value}};
        EYESHOT_ASSIGN_OR_RETURN(filter.text, NeedName());
        if (IsOperator("(")) EYESHOT_RETURN_IF_ERROR(Arguments(filter));
        EYESHOT_ASSIGN_OR_RETURN(value, Add(std::move(filter)));
      } else if (TakeName("is")) {
        EYESHOT_ASSIGN_OR_RETURN(value, Test(value, line));
      } else {
        return value;
      }
    }
  }

  // Behind "is".
  Result<JinjaNodeId> Test(JinjaNodeId value, int line) {
    const bool negated = TakeName("not");
    JinjaNode test{.kind = Kind::kTest, .line = line, .parts = {value}};
    EYESHOT_ASSIGN_OR_RETURN(test.text, NeedName());
    if (IsOperator("(")) {
      EYESHOT_RETURN_IF_ERROR(Arguments(test));
      if (!test.named.empty()) return Unsupported("an argument with a name for a test");
    } else if (StartsArgument()) {
      EYESHOT_ASSIGN_OR_RETURN(const JinjaNodeId primary, Primary());
      EYESHOT_ASSIGN_OR_RETURN(const JinjaNodeId argument, Postfix(primary));
      test.parts.push_back(argument);
    }
    EYESHOT_ASSIGN_OR_RETURN(const JinjaNodeId id, Add(std::move(test)));
    if (!negated) return id;
    return Add(Kind::kUnary, line, {id}, "not");
  }

  // Whether an argument of a test without brackets begins here.
  bool StartsArgument() const {
    switch (Now().kind) {
      case Token::Kind::kString:
      case Token::Kind::kInteger:
      case Token::Kind::kFloat: return true;
      case Token::Kind::kOperator: return Now().text == "[" || Now().text == "{";
      case Token::Kind::kName: {
        constexpr std::array<std::string_view, 7> kWords = {"else", "or", "and", "is", "if", "in", "not"};
        return std::find(kWords.begin(), kWords.end(), Now().text) == kWords.end();
      }
      default: return false;
    }
  }

  Result<JinjaNodeId> Primary() {
    const Nesting nesting(nesting_);
    EYESHOT_RETURN_IF_ERROR(CheckNesting());
    const int line = Now().line;
    switch (Now().kind) {
      case Token::Kind::kName: return Name();
      case Token::Kind::kString: {
        std::string text;
        for (; Now().kind == Token::Kind::kString; Advance()) text += Now().text;  // "a" "b" is "ab"
        return AddLiteral(line, JinjaValue::Text(std::move(text)));
      }
      case Token::Kind::kInteger: return Number<int64_t>();
      case Token::Kind::kFloat: return Number<double>();
      default: break;
    }
    if (Take("(")) return Brackets(line);
    if (Take("[")) return Sequence(line, "]");
    if (Take("{")) return Dictionary(line);
    return Expected("a value");
  }

  Result<JinjaNodeId> Name() {
    const Token token = Now();
    Advance();
    if (token.text == "true" || token.text == "True") return AddLiteral(token.line, JinjaValue::Bool(true));
    if (token.text == "false" || token.text == "False") return AddLiteral(token.line, JinjaValue::Bool(false));
    if (token.text == "none" || token.text == "None") return AddLiteral(token.line, JinjaValue::None());
    return Add(Kind::kName, token.line, {}, token.text);
  }

  template <typename T>
  Result<JinjaNodeId> Number() {
    const Token token = Now();
    T value = 0;
    const auto [end, error] = std::from_chars(token.text.data(), token.text.data() + token.text.size(), value);
    if (error != std::errc()) {
      return LimitError(fmt::format("line {}: the number {} is too large", token.line, token.text.substr(0, 40)),
                        kMend);
    }
    Advance();
    if constexpr (std::is_same_v<T, double>) return AddLiteral(token.line, JinjaValue::Float(value));
    return AddLiteral(token.line, JinjaValue::Int(static_cast<int64_t>(value)));
  }

  // Behind "(": an expression, or a tuple, which is a list here.
  Result<JinjaNodeId> Brackets(int line) {
    if (Take(")")) return Add(Kind::kList, line, {});
    EYESHOT_ASSIGN_OR_RETURN(const JinjaNodeId first, Expression());
    if (Take(")")) return first;
    EYESHOT_RETURN_IF_ERROR(Need(","));
    return Sequence(line, ")", {first});
  }

  // The rest of a list up to `end`.
  Result<JinjaNodeId> Sequence(int line, std::string_view end, std::vector<JinjaNodeId> items = {}) {
    while (!Take(end)) {
      EYESHOT_ASSIGN_OR_RETURN(const JinjaNodeId item, Expression());
      items.push_back(item);
      if (!IsOperator(end)) EYESHOT_RETURN_IF_ERROR(Need(","));
    }
    return Add(Kind::kList, line, std::move(items));
  }

  Result<JinjaNodeId> Dictionary(int line) {
    std::vector<JinjaNodeId> items;
    while (!Take("}")) {
      EYESHOT_ASSIGN_OR_RETURN(const JinjaNodeId key, Expression());
      EYESHOT_RETURN_IF_ERROR(Need(":"));
      EYESHOT_ASSIGN_OR_RETURN(const JinjaNodeId value, Expression());
      items.insert(items.end(), {key, value});
      if (!IsOperator("}")) EYESHOT_RETURN_IF_ERROR(Need(","));
    }
    return Add(Kind::kDict, line, std::move(items));
  }

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int nesting_ = 0;
  int loops_ = 0;  // that a break would leave
  JinjaTree tree_;
};

}  // namespace

Result<JinjaTree> ParseJinja(std::string_view text) {
  if (text.size() > limits::kMaxTemplateBytes) {
    return LimitError(fmt::format("{} bytes of template, the limit is {}", text.size(), limits::kMaxTemplateBytes),
                      kMend);
  }
  EYESHOT_ASSIGN_OR_RETURN(std::vector<JinjaToken> tokens, LexJinja(text));
  return Parser(std::move(tokens)).Run();
}

}  // namespace eyeshot
