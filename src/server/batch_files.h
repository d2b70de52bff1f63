// The files of a batch: its requests, read a line at a time, and its answers, which only grow.
#ifndef EYESHOT_SERVER_BATCH_FILES_H_
#define EYESHOT_SERVER_BATCH_FILES_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/file_handle.h"
#include "eyeshot/status.h"
#include "server/batch_lines.h"

namespace eyeshot::server {

// Reads lines of a file from its beginning. Memory is taken for the longest line, not for the file.
class LineReader {
 public:
  // `file` stays open as long. `path` is for errors.
  LineReader(int file, std::string path, uint64_t max_line_bytes)
      : file_(file), path_(std::move(path)), max_line_bytes_(max_line_bytes) {}

  // The next line without its line break; false: there is none. `line` lives until the next call. Errors: kIo,
  // kLimitExceeded (names the line).
  Result<bool> Next(std::string_view& line);

  // Of the line that was read last: the first has 1; whether a line break ended it; where the next one begins.
  int64_t number() const { return number_; }
  bool whole() const { return whole_; }
  uint64_t end() const { return end_; }
  // "in.jsonl:3"
  std::string Where() const;

 private:
  Result<bool> ReadMore();

  int file_;
  std::string path_;
  uint64_t max_line_bytes_;
  std::string buffer_;
  size_t begin_ = 0;     // of what no call has returned
  size_t searched_ = 0;  // no line break stands in [begin_, searched_)
  uint64_t read_ = 0;    // bytes of the file
  uint64_t end_ = 0;
  int64_t number_ = 0;
  bool whole_ = false;
};

class BatchInput {
 public:
  // Errors: kNotFound, kIo, kInvalidArgument (no regular file: it is read twice).
  static Result<BatchInput> Open(const std::string& path);

  const std::string& path() const { return path_; }
  int file() const { return file_.get(); }
  // Lines from the first on.
  LineReader Lines(uint64_t max_line_bytes) const { return {file(), path_, max_line_bytes}; }

 private:
  BatchInput(FileHandle file, std::string path) : file_(std::move(file)), path_(std::move(path)) {}

  FileHandle file_;
  std::string path_;
};

class BatchOutput {
 public:
  // Creates the file, or goes on with one. No other batch can open it meanwhile. What is no regular file (a pipe) is
  // written alone. Errors: kIo, kInvalidArgument (it is `input`; another batch writes it).
  static Result<BatchOutput> Open(const std::string& path, const BatchInput& input);

  // Calls `take` with each answer that is there. A last line without a line break, which was being written when the
  // program or the machine ended, is left out and cut off by the first Append(). Errors: kCorrupt (something else
  // stands there), kLimitExceeded, kIo, those of `take`.
  Status Read(const std::function<Status(const BatchAnswer&, const std::string& where)>& take);

  // Adds a line. What was handed to the system survives a kill; each second it is handed to the disk too. An error
  // (kIo: a full disk) leaves no part of the line.
  Status Append(std::string_view line);
  // Hands all to the disk. Error: kIo.
  Status Sync();

 private:
  BatchOutput(FileHandle file, std::string path) : file_(std::move(file)), path_(std::move(path)) {}
  Status Lock() const;
  Status Cut(uint64_t bytes) const;
  Status SystemError(std::string_view what) const;

  FileHandle file_;
  std::string path_;
  bool regular_ = false;
  bool torn_ = false;   // more than bytes_ is there
  uint64_t bytes_ = 0;  // of whole lines
  std::chrono::steady_clock::time_point synced_;
};

}  // namespace eyeshot::server

#endif  // EYESHOT_SERVER_BATCH_FILES_H_
