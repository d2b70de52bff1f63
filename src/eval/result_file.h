// Files of results: a line that says what was asked of which model and how, then a line a question. They grow as
// questions are answered, so that a run that was killed goes on where it was.
#ifndef EYESHOT_EVAL_RESULT_FILE_H_
#define EYESHOT_EVAL_RESULT_FILE_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file_handle.h"
#include "eval/record.h"
#include "eyeshot/status.h"

namespace eyeshot::eval {

// The first key of each header, and its value: the version of this format.
inline constexpr char kHeaderKey[] = "eyeshot_eval";
inline constexpr int kHeaderVersion = 1;

struct Results {
  OrderedJson header;
  std::string scorer;  // of the header; "": it names none
  std::vector<Record> records;
};

// What a file holds. A last line without a line break is one that was being written when the program ended: left out.
// `whole` (may be null) takes the number of bytes before it. Errors name the line: kCorrupt, kLimitExceeded.
Result<Results> ParseResults(std::string_view text, const std::string& path, size_t* whole);
Result<Results> LoadResults(const std::string& path);

class ResultFile {
 public:
  // Creates the file with `header`, or goes on with one that has the same header. Error: kInvalidArgument (says what
  // differs, or that another program writes it), kIo, those of ParseResults(), an id that stands twice at one point.
  static Result<ResultFile> Open(const std::string& path, const OrderedJson& header);

  // What was there.
  const std::vector<Record>& records() const { return records_; }
  // Writes a line and hands it to the system: a kill from now on loses nothing. Error: kIo.
  Status Append(const Record& record);

 private:
  ResultFile(FileHandle file, std::string path) : file_(std::move(file)), path_(std::move(path)) {}
  Status Lock();
  Status Begin(const OrderedJson& header);
  Status Write(const std::string& line);

  FileHandle file_;
  std::string path_;
  std::vector<Record> records_;
};

}  // namespace eyeshot::eval

#endif  // EYESHOT_EVAL_RESULT_FILE_H_
