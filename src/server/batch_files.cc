#include "server/batch_files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/limits.h"

namespace eyeshot::server {
namespace {

constexpr size_t kPieceBytes = 256 << 10;  // of a read
// A crash of the machine, not of the program, can lose what was written in this time: it is answered again then.
constexpr std::chrono::seconds kSyncTime{1};

}  // namespace

std::string LineReader::Where() const { return fmt::format("{}:{}", path_, number_); }

Result<bool> LineReader::ReadMore() {
  buffer_.erase(0, begin_);
  searched_ -= std::exchange(begin_, 0);
  const size_t before = buffer_.size();
  buffer_.resize(before + kPieceBytes);
  ssize_t got = -1;
  do {
    got = ::pread(file_, buffer_.data() + before, kPieceBytes, static_cast<off_t>(read_));
  } while (got < 0 && errno == EINTR);
  buffer_.resize(before + static_cast<size_t>(std::max<ssize_t>(got, 0)));
  if (got < 0) return IoError(fmt::format("{} can't be read: {}", path_, std::strerror(errno)), "check the disk");
  read_ += static_cast<uint64_t>(got);
  return got > 0;
}

Result<bool> LineReader::Next(std::string_view& line) {
  while (true) {
    const size_t found = buffer_.find('\n', searched_);
    whole_ = found != std::string::npos;
    searched_ = whole_ ? found : buffer_.size();
    if (searched_ - begin_ > max_line_bytes_) {
      ++number_;
      return LimitError(fmt::format("{}: a line of more than {} bytes", Where(), max_line_bytes_),
                        "send smaller pictures, or allow more with --max-body");
    }
    if (whole_) break;
    EYESHOT_ASSIGN_OR_RETURN(const bool more, ReadMore());
    if (more) continue;
    if (begin_ == buffer_.size()) return false;
    break;
  }
  ++number_;
  line = std::string_view(buffer_).substr(begin_, searched_ - begin_);
  const size_t bytes = line.size() + (whole_ ? 1 : 0);
  begin_ += bytes;
  searched_ = begin_;
  end_ += bytes;
  return true;
}

Result<BatchInput> BatchInput::Open(const std::string& path) {
  FileHandle file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.ok()) {
    const std::string found = fmt::format("{} can't be opened: {}", path, std::strerror(errno));
    const std::string mend = "name a file with a request a line: docs/batch.md says what it holds";
    return errno == ENOENT ? NotFoundError(found, mend) : IoError(found, mend);
  }
  struct stat info = {};
  if (::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return InvalidArgumentError(fmt::format("{} is no regular file, and requests are read twice", path),
                                "write them into a file first");
  }
  return BatchInput(std::move(file), path);
}

Status BatchOutput::SystemError(std::string_view what) const {
  return IoError(fmt::format("{} can't be {}: {}", path_, what, std::strerror(errno)),
                 "check the folder, its permissions and the space left");
}

Result<BatchOutput> BatchOutput::Open(const std::string& path, const BatchInput& input) {
  BatchOutput output(FileHandle(::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666)), path);
  if (!output.file_.ok()) return output.SystemError("opened");
  struct stat own = {};
  struct stat other = {};
  if (::fstat(output.file_.get(), &own) != 0 || ::fstat(input.file(), &other) != 0) return output.SystemError("read");
  if (own.st_dev == other.st_dev && own.st_ino == other.st_ino) {
    return InvalidArgumentError(fmt::format("{} has the requests, and can't have the answers too", path),
                                "name another file for the answers");
  }
  output.regular_ = S_ISREG(own.st_mode);
  if (output.regular_) EYESHOT_RETURN_IF_ERROR(output.Lock());
  return output;
}

// Two batches into one file would ask every question twice.
Status BatchOutput::Lock() const {
  if (::flock(file_.get(), LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return Status::Ok();
  return InvalidArgumentError(fmt::format("{}: another batch writes it", path_), "wait for that, or name another file");
}

Status BatchOutput::Read(const std::function<Status(const BatchAnswer&, const std::string&)>& take) {
  if (!regular_) return Status::Ok();
  LineReader lines(file_.get(), path_, limits::kMaxBodyBytes);
  std::string_view line;
  while (true) {
    EYESHOT_ASSIGN_OR_RETURN(const bool more, lines.Next(line));
    if (!more) return Status::Ok();
    if (!lines.whole()) break;
    EYESHOT_ASSIGN_OR_RETURN(const BatchAnswer answer, ParseBatchAnswer(line, lines.Where()));
    EYESHOT_RETURN_IF_ERROR(take(answer, lines.Where()));
    bytes_ = lines.end();
  }
  // A file of somebody else's is not cut.
  const size_t common = std::min(line.size(), kBatchAnswerStart.size());
  if (line.substr(0, common) != kBatchAnswerStart.substr(0, common)) {
    return CorruptError(fmt::format("{}: no answer of a batch", lines.Where()),
                        "name another file for the answers: this one has something else");
  }
  torn_ = true;
  return Status::Ok();
}

Status BatchOutput::Cut(uint64_t bytes) const {
  return ::ftruncate(file_.get(), static_cast<off_t>(bytes)) == 0 ? Status::Ok() : SystemError("cut");
}

Status BatchOutput::Append(std::string_view line) {
  if (torn_) EYESHOT_RETURN_IF_ERROR(Cut(bytes_));
  torn_ = false;
  for (size_t done = 0; done < line.size();) {
    const ssize_t written = ::write(file_.get(), line.data() + done, line.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      const Status error = SystemError("written");
      // If this fails too, the next run does it.
      if (regular_ && done > 0) static_cast<void>(Cut(bytes_));
      return error;
    }
    done += static_cast<size_t>(written);
  }
  bytes_ += line.size();
  return std::chrono::steady_clock::now() - synced_ > kSyncTime ? Sync() : Status::Ok();
}

Status BatchOutput::Sync() {
  synced_ = std::chrono::steady_clock::now();
  return !regular_ || ::fdatasync(file_.get()) == 0 ? Status::Ok() : SystemError("written");
}

}  // namespace eyeshot::server
