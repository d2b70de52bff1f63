// JSON of untrusted files: bounded parsing, and accessors whose errors name the file, the key, the value and the mend.
#ifndef EYESHOT_FORMATS_JSON_H_
#define EYESHOT_FORMATS_JSON_H_

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/limits.h"
#include "eyeshot/status.h"

namespace eyeshot {

using Json = nlohmann::json;

// What is expected of a JSON text, and what its sender is told to do about errors: the defaults are those of files.
struct JsonRules {
  size_t max_values = limits::kMaxJsonValues;
  const char* mend = "correct the file or download it again";
  const char* mend_missing = "add the key or download the file again";
};

// Receives the values of a JSON text one after the other, without a tree being built. The virtual functions are
// nlohmann's (json_sax): each returns whether to go on. One that stops says why with Fail().
class JsonHandler : public nlohmann::json_sax<Json> {
 public:
  explicit JsonHandler(const JsonRules& rules = {}) : rules_(rules) {}
  const Status& status() const { return status_; }
  const JsonRules& rules() const { return rules_; }

  bool binary(binary_t& value) override;
  bool parse_error(std::size_t position, const std::string& token, const nlohmann::json::exception& error) override;

 protected:
  // Ends the parse with an error about `file`. Always false.
  bool Fail(Status status);

 private:
  JsonRules rules_;
  Status status_;
};

// Feeds a whole text to `handler`. Errors: kCorrupt (not JSON; says at which byte), or what the handler says.
// `file` names the text in errors.
Status ParseJson(std::string_view text, const std::string& file, JsonHandler& handler);

// Builds a tree. Nesting and number of values are bounded, a key that stands twice in an object is refused.
class JsonTreeBuilder : public JsonHandler {
 public:
  using JsonHandler::JsonHandler;
  bool null() override;
  bool boolean(bool value) override;
  bool number_integer(int64_t value) override;
  bool number_unsigned(uint64_t value) override;
  bool number_float(double value, const std::string& text) override;
  bool string(std::string& value) override;
  bool start_object(std::size_t size) override;
  bool key(std::string& value) override;
  bool end_object() override;
  bool start_array(std::size_t size) override;
  bool end_array() override;

  Json& root() { return root_; }

 protected:
  // Whether the next value is root[first][second].
  bool IsAt(std::string_view first, std::string_view second) const;

 private:
  struct Level {
    Json* container = nullptr;
    std::string key;  // of the member that comes next; unused in arrays
  };
  // Puts a value into the innermost container; nullptr if that failed.
  Json* Add(Json value);
  bool Open(Json container);
  bool Close();

  Json root_;
  std::vector<Level> open_;
  size_t values_ = 0;
};

// The tree of a whole text. Errors: kCorrupt (not JSON, or a key twice), kLimitExceeded.
Result<Json> ParseJsonTree(std::string_view text, const std::string& file, const JsonRules& rules = {});

// The text of a configuration file; empty if there is no such file. Errors: kIo, kLimitExceeded.
Result<std::string> ReadConfigIfThere(const std::string& path);

// An object of a JSON tree that knows its file and place. The tree must outlive it.
//
// Required values: kNotFound if the key is absent, kCorrupt if the value is of another type, kLimitExceeded if it is
// outside of the range. The ...Or variants take the fallback where the key is absent or null.
class JsonObject {
 public:
  // kCorrupt if `tree` is no object.
  static Result<JsonObject> Root(const Json& tree, const std::string& file, const JsonRules& rules = {});

  // Whether the key is there and not null.
  bool Has(const std::string& key) const { return Find(key) != nullptr; }
  // The value, or nullptr if the key is absent or null.
  const Json* Find(const std::string& key) const;

  Result<JsonObject> Object(const std::string& key) const;
  // nullopt if the key is absent or null.
  Result<std::optional<JsonObject>> OptionalObject(const std::string& key) const;

  Result<int64_t> Integer(const std::string& key, int64_t min, int64_t max) const;
  Result<int64_t> IntegerOr(const std::string& key, int64_t min, int64_t max, int64_t fallback) const;
  // An integer or a fraction.
  Result<double> Number(const std::string& key, double min, double max) const;
  Result<double> NumberOr(const std::string& key, double min, double max, double fallback) const;
  Result<bool> BoolOr(const std::string& key, bool fallback) const;
  Result<std::string> String(const std::string& key) const;
  Result<std::string> StringOr(const std::string& key, const std::string& fallback) const;

  // "file: path.key is VALUE, expected EXPECTED: mend", for what the accessors above can't check.
  Status Error(StatusCode code, const std::string& key, const std::string& expected, const std::string& mend) const;

  // "text_config.hidden_size"
  std::string PathOf(const std::string& key) const;
  const std::string& file() const { return file_; }
  const Json& json() const { return *json_; }

 private:
  JsonObject(const Json& json, std::string file, std::string path, const JsonRules& rules)
      : json_(&json), file_(std::move(file)), path_(std::move(path)), rules_(rules) {}
  Result<const Json*> Required(const std::string& key, const std::string& expected) const;

  const Json* json_;
  std::string file_;
  std::string path_;  // of this object: empty for the root
  JsonRules rules_;
};

}  // namespace eyeshot

#endif  // EYESHOT_FORMATS_JSON_H_
