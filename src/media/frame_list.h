// Clips that are given as pictures: folders, and texts that list them.
#ifndef EYESHOT_MEDIA_FRAME_LIST_H_
#define EYESHOT_MEDIA_FRAME_LIST_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eyeshot/status.h"

namespace eyeshot::media {

struct FrameFile {
  std::string path;
  std::optional<double> seconds;  // when it is shown, from the start of the clip
};

// Seconds of "83.5", "1:23.5" or "0:01:23.5". Error: kInvalidArgument.
Result<double> ParseClock(std::string_view text);

// One frame a line: its path, or when it is shown and its path. Paths are relative to `folder`; empty lines and those
// that begin with '#' don't count. Errors, with the line's number: kCorrupt (times that go backwards, or are there for
// some lines only), kLimitExceeded; kNotFound if there is no frame.
Result<std::vector<FrameFile>> ParseFrameList(std::string_view text, const std::string& folder);

// The files of a folder, hidden ones left out, by name; numbers in names count as numbers: 2.png comes before 10.png.
// Errors: kNotFound (none), kIo, kLimitExceeded.
Result<std::vector<FrameFile>> ListFrames(const std::string& folder);

}  // namespace eyeshot::media

#endif  // EYESHOT_MEDIA_FRAME_LIST_H_
