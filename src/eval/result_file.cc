#include "eval/result_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "formats/json.h"

namespace eyeshot::eval {
namespace {

constexpr char kMendFile[] = "name another file, or remove this one to begin anew";

Status SystemError(const std::string& path, std::string_view what) {
  return IoError(fmt::format("{}: cannot {}: {}", path, what, std::strerror(errno)),
                 "check the folder, its permissions and the space left");
}

std::string LineOf(const OrderedJson& json) {
  return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

// The first value in which two headers differ: "settings.precision".
std::string FirstDifference(const OrderedJson& a, const OrderedJson& b, const std::string& path) {
  if (!a.is_object() || !b.is_object()) return a == b ? "" : path;
  for (const OrderedJson* side : {&a, &b}) {
    for (const auto& [key, value] : side->items()) {
      std::string inner = path;
      if (!inner.empty()) inner += '.';
      inner += key;
      if (!a.contains(key) || !b.contains(key)) return inner;
      std::string found = FirstDifference(a[key], b[key], inner);
      if (!found.empty()) return found;
    }
  }
  return "";
}

std::string ValueAt(const OrderedJson& json, std::string_view path) {
  const OrderedJson* value = &json;
  while (!path.empty()) {
    const size_t dot = path.find('.');
    const std::string key(path.substr(0, dot));
    if (!value->contains(key)) return "nothing";
    value = &(*value)[key];
    path.remove_prefix(dot == std::string_view::npos ? path.size() : dot + 1);
  }
  return value->dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

Status CheckHeader(const OrderedJson& found, const OrderedJson& wanted, const std::string& path) {
  const std::string difference = FirstDifference(found, wanted, "");
  if (difference.empty()) return Status::Ok();
  return InvalidArgumentError(fmt::format("{}: was written with {} {}, and this run has {}", path, difference,
                                          ValueAt(found, difference), ValueAt(wanted, difference)),
                              kMendFile);
}

Status CheckTwice(const std::vector<Record>& records, const std::string& path) {
  std::set<std::pair<Point, std::string>> seen;
  for (const Record& record : records) {
    if (seen.emplace(record.point, record.id).second) continue;
    return CorruptError(fmt::format("{}: question {} stands twice", path, record.id), kMendFile);
  }
  return Status::Ok();
}

Status ParseHeader(std::string_view line, const std::string& path, Results& results) {
  const std::string where = path + ":1";
  EYESHOT_ASSIGN_OR_RETURN(const Json tree, ParseJsonTree(line, where));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject object, JsonObject::Root(tree, where));
  if (!object.Has(kHeaderKey)) {
    return CorruptError(fmt::format("{}: no results of `eyeshot eval --out`", where), kMendFile);
  }
  EYESHOT_RETURN_IF_ERROR(object.Integer(kHeaderKey, kHeaderVersion, kHeaderVersion).status());
  EYESHOT_ASSIGN_OR_RETURN(results.scorer, object.StringOr("scorer", ""));
  results.header = OrderedJson::parse(line, nullptr, false);
  return Status::Ok();
}

}  // namespace

Result<Results> ParseResults(std::string_view text, const std::string& path, size_t* whole) {
  Results results;
  size_t at = 0;
  for (size_t number = 1;; ++number) {
    const size_t end = text.find('\n', at);
    if (end == std::string_view::npos) break;
    const std::string_view line = text.substr(at, end - at);
    at = end + 1;
    if (number == 1) {
      EYESHOT_RETURN_IF_ERROR(ParseHeader(line, path, results));
      continue;
    }
    if (results.records.size() == limits::kMaxEvalRecords) {
      return LimitError(fmt::format("{}: more than kMaxEvalRecords ({}) records", path, limits::kMaxEvalRecords),
                        "write each sweep into a file of its own");
    }
    EYESHOT_ASSIGN_OR_RETURN(Record record, ParseRecord(line, fmt::format("{}:{}", path, number)));
    results.records.push_back(std::move(record));
  }
  if (whole != nullptr) *whole = at;
  return results;
}

Result<Results> LoadResults(const std::string& path) {
  EYESHOT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, limits::kMaxEvalFileBytes));
  EYESHOT_ASSIGN_OR_RETURN(Results results, ParseResults(text, path, nullptr));
  if (results.header.is_null()) {
    return CorruptError(fmt::format("{}: no results of `eyeshot eval --out`", path), "name a file that it wrote");
  }
  EYESHOT_RETURN_IF_ERROR(CheckTwice(results.records, path));
  return results;
}

Result<ResultFile> ResultFile::Open(const std::string& path, const OrderedJson& header) {
  FileHandle handle(::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
  if (!handle.ok()) return SystemError(path, "be opened");
  ResultFile file(std::move(handle), path);
  EYESHOT_RETURN_IF_ERROR(file.Lock());
  EYESHOT_RETURN_IF_ERROR(file.Begin(header));
  return file;
}

// Two runs into one file would ask every question twice.
Status ResultFile::Lock() {
  if (::flock(file_.get(), LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return Status::Ok();
  return InvalidArgumentError(fmt::format("{}: another run writes it", path_), "wait for that, or name another file");
}

Status ResultFile::Begin(const OrderedJson& header) {
  EYESHOT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path_, limits::kMaxEvalFileBytes));
  size_t whole = 0;
  EYESHOT_ASSIGN_OR_RETURN(Results results, ParseResults(text, path_, &whole));
  // A cut first line may be anything: only an empty file is begun.
  if (whole == 0 && !text.empty() && !LineOf(header).starts_with(text)) {
    return CorruptError(fmt::format("{}: no results of `eyeshot eval --out`", path_), kMendFile);
  }
  if (whole < text.size() && ::ftruncate(file_.get(), static_cast<off_t>(whole)) != 0)
    return SystemError(path_, "be cut");
  if (whole == 0) return Write(LineOf(header));
  EYESHOT_RETURN_IF_ERROR(CheckHeader(results.header, header, path_));
  EYESHOT_RETURN_IF_ERROR(CheckTwice(results.records, path_));
  records_ = std::move(results.records);
  return Status::Ok();
}

Status ResultFile::Append(const Record& record) { return Write(LineOf(RecordJson(record))); }

Status ResultFile::Write(const std::string& line) {
  for (size_t done = 0; done < line.size();) {
    const ssize_t written = ::write(file_.get(), line.data() + done, line.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return SystemError(path_, "be written");
    done += static_cast<size_t>(written);
  }
  return Status::Ok();
}

}  // namespace eyeshot::eval
