#include "formats/json.h"

#include <exception>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"

namespace eyeshot {
namespace {

constexpr size_t kMaxExcerptBytes = 60;

std::string Dump(const Json& value) {
  return value.dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace);
}
// Of a long string no more is copied than is shown.
std::string Dump(const std::string& string) { return Dump(Json(string.substr(0, kMaxExcerptBytes))); }

// Appends a value as it stands in the file, until there is more than fits a message.
void AppendExcerpt(const Json& value, std::string& text) {
  if (value.is_string()) {
    text += Dump(value.get_ref<const std::string&>());
  } else if (!value.is_structured()) {
    text += Dump(value);
  } else {
    text += value.is_array() ? '[' : '{';
    for (auto member = value.begin(); member != value.end() && text.size() <= kMaxExcerptBytes; ++member) {
      if (member != value.begin()) text += ',';
      if (value.is_object()) text += Dump(member.key()) + ':';
      AppendExcerpt(*member, text);
    }
    text += value.is_array() ? ']' : '}';
  }
}

// A value as it stands in the file, cut to what fits a message.
std::string Excerpt(const Json& value) {
  std::string text;
  AppendExcerpt(value, text);
  if (text.size() > kMaxExcerptBytes) text = text.substr(0, kMaxExcerptBytes) + "...";
  return text;
}

// nlohmann says "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error while ...".
std::string PlainReason(const std::string& what) {
  const size_t bracket = what.find("] ");
  return bracket == std::string::npos ? what : what.substr(bracket + 2);
}

}  // namespace

bool JsonHandler::Fail(Status status) {
  if (status_.ok()) status_ = std::move(status);
  return false;
}

bool JsonHandler::binary(binary_t& /*value*/) {
  return Fail(CorruptError("a binary value", "JSON text has none; check the file"));
}

bool JsonHandler::parse_error(std::size_t position, const std::string& /*token*/,
                              const nlohmann::json::exception& error) {
  return Fail(
      CorruptError(fmt::format("not valid JSON at byte {}: {}", position, PlainReason(error.what())), rules_.mend));
}

Status ParseJson(std::string_view text, const std::string& file, JsonHandler& handler) {
  try {
    if (Json::sax_parse(text.begin(), text.end(), &handler)) return Status::Ok();
  } catch (const std::exception& error) {
    return CorruptError(fmt::format("{}: can't be read as JSON ({})", file, error.what()), handler.rules().mend);
  }
  if (handler.status().ok()) return CorruptError(fmt::format("{}: not valid JSON", file), handler.rules().mend);
  return handler.status().At(file);
}

bool JsonTreeBuilder::IsAt(std::string_view first, std::string_view second) const {
  return open_.size() == 2 && open_[0].key == first && open_[1].key == second && root_.is_object() &&
         open_[1].container->is_object();
}

Json* JsonTreeBuilder::Add(Json value) {
  if (++values_ > rules().max_values) {
    Fail(LimitError(fmt::format("more than {} values", rules().max_values), rules().mend));
    return nullptr;
  }
  if (open_.empty()) {
    root_ = std::move(value);
    return &root_;
  }
  Level& level = open_.back();
  if (level.container->is_array()) {
    level.container->push_back(std::move(value));
    return &level.container->back();
  }
  auto& members = level.container->get_ref<Json::object_t&>();
  const auto [member, added] = members.emplace(level.key, std::move(value));
  if (!added) {
    Fail(CorruptError(fmt::format("the key {} stands twice in one object", Excerpt(level.key)), "remove one of them"));
    return nullptr;
  }
  return &member->second;
}

bool JsonTreeBuilder::Open(Json container) {
  if (open_.size() >= static_cast<size_t>(limits::kMaxJsonDepth)) {
    return Fail(LimitError(fmt::format("nested deeper than {} levels", limits::kMaxJsonDepth), rules().mend));
  }
  Json* const added = Add(std::move(container));
  if (added == nullptr) return false;
  open_.push_back({added, ""});
  return true;
}

bool JsonTreeBuilder::Close() {
  open_.pop_back();
  return true;
}

bool JsonTreeBuilder::null() { return Add(nullptr) != nullptr; }
bool JsonTreeBuilder::boolean(bool value) { return Add(value) != nullptr; }
bool JsonTreeBuilder::number_integer(int64_t value) { return Add(value) != nullptr; }
bool JsonTreeBuilder::number_unsigned(uint64_t value) { return Add(value) != nullptr; }
bool JsonTreeBuilder::number_float(double value, const std::string& /*text*/) { return Add(value) != nullptr; }
bool JsonTreeBuilder::string(std::string& value) { return Add(std::move(value)) != nullptr; }
bool JsonTreeBuilder::start_object(std::size_t /*size*/) { return Open(Json::object()); }
bool JsonTreeBuilder::start_array(std::size_t /*size*/) { return Open(Json::array()); }
bool JsonTreeBuilder::end_object() { return Close(); }
bool JsonTreeBuilder::end_array() { return Close(); }

bool JsonTreeBuilder::key(std::string& value) {
  open_.back().key = std::move(value);
  return true;
}

Result<Json> ParseJsonTree(std::string_view text, const std::string& file, const JsonRules& rules) {
  JsonTreeBuilder builder(rules);
  EYESHOT_RETURN_IF_ERROR(ParseJson(text, file, builder));
  return std::move(builder.root());
}

Result<std::string> ReadConfigIfThere(const std::string& path) {
  if (!FileExists(path)) return std::string();
  return ReadTextFile(path, limits::kMaxConfigBytes);
}

Result<JsonObject> JsonObject::Root(const Json& tree, const std::string& file, const JsonRules& rules) {
  if (!tree.is_object()) {
    return CorruptError(fmt::format("{}: is {}, expected an object", file, Excerpt(tree)), rules.mend);
  }
  return JsonObject(tree, file, "", rules);
}

const Json* JsonObject::Find(const std::string& key) const {
  const auto found = json_->find(key);
  return found == json_->end() || found->is_null() ? nullptr : &*found;
}

std::string JsonObject::PathOf(const std::string& key) const { return path_.empty() ? key : path_ + "." + key; }

Status JsonObject::Error(StatusCode code, const std::string& key, const std::string& expected,
                         const std::string& mend) const {
  const auto found = json_->find(key);
  if (found == json_->end()) {
    return {code, fmt::format("{}: {} is missing, expected {}", file_, PathOf(key), expected), mend};
  }
  return {code, fmt::format("{}: {} is {}, expected {}", file_, PathOf(key), Excerpt(*found), expected), mend};
}

Result<const Json*> JsonObject::Required(const std::string& key, const std::string& expected) const {
  const auto found = json_->find(key);
  if (found == json_->end()) {
    return Error(StatusCode::kNotFound, key, expected, rules_.mend_missing);
  }
  return &*found;
}

Result<JsonObject> JsonObject::Object(const std::string& key) const {
  EYESHOT_ASSIGN_OR_RETURN(const Json* const value, Required(key, "an object"));
  if (!value->is_object()) return Error(StatusCode::kCorrupt, key, "an object", rules_.mend);
  return JsonObject(*value, file_, PathOf(key), rules_);
}

Result<std::optional<JsonObject>> JsonObject::OptionalObject(const std::string& key) const {
  if (!Has(key)) return std::optional<JsonObject>();
  EYESHOT_ASSIGN_OR_RETURN(JsonObject object, Object(key));
  return std::optional<JsonObject>(std::move(object));
}

Result<int64_t> JsonObject::Integer(const std::string& key, int64_t min, int64_t max) const {
  const std::string expected = fmt::format("an integer in [{}, {}]", min, max);
  EYESHOT_ASSIGN_OR_RETURN(const Json* const value, Required(key, expected));
  if (!value->is_number_integer()) return Error(StatusCode::kCorrupt, key, expected, rules_.mend);
  constexpr auto kMaxSigned = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  const bool too_large = value->is_number_unsigned() && value->get<uint64_t>() > kMaxSigned;
  if (too_large || value->get<int64_t>() < min || value->get<int64_t>() > max) {
    return Error(StatusCode::kLimitExceeded, key, expected, rules_.mend);
  }
  return value->get<int64_t>();
}

Result<int64_t> JsonObject::IntegerOr(const std::string& key, int64_t min, int64_t max, int64_t fallback) const {
  if (!Has(key)) return fallback;
  return Integer(key, min, max);
}

Result<double> JsonObject::Number(const std::string& key, double min, double max) const {
  const std::string expected = fmt::format("a number in [{}, {}]", min, max);
  EYESHOT_ASSIGN_OR_RETURN(const Json* const value, Required(key, expected));
  if (!value->is_number()) return Error(StatusCode::kCorrupt, key, expected, rules_.mend);
  const double number = value->get<double>();
  if (!(number >= min && number <= max)) return Error(StatusCode::kLimitExceeded, key, expected, rules_.mend);
  return number;
}

Result<double> JsonObject::NumberOr(const std::string& key, double min, double max, double fallback) const {
  if (!Has(key)) return fallback;
  return Number(key, min, max);
}

Result<bool> JsonObject::BoolOr(const std::string& key, bool fallback) const {
  const Json* const value = Find(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) return Error(StatusCode::kCorrupt, key, "true or false", rules_.mend);
  return value->get<bool>();
}

Result<std::string> JsonObject::String(const std::string& key) const {
  EYESHOT_ASSIGN_OR_RETURN(const Json* const value, Required(key, "a string"));
  if (!value->is_string()) return Error(StatusCode::kCorrupt, key, "a string", rules_.mend);
  return value->get<std::string>();
}

Result<std::string> JsonObject::StringOr(const std::string& key, const std::string& fallback) const {
  if (!Has(key)) return fallback;
  return String(key);
}

}  // namespace eyeshot
