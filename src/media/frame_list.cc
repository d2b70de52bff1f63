#include "media/frame_list.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"

namespace eyeshot::media {
namespace {

constexpr std::string_view kBlank = " \t\r";

std::string_view Trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

Status LimitOfFrames() {
  return LimitError(fmt::format("more than {} frames", limits::kMaxFrameListEntries), "list fewer");
}

FrameFile ParseLine(std::string_view line, const std::string& folder) {
  FrameFile frame;
  const size_t blank = line.find_first_of(kBlank);
  if (blank != std::string_view::npos) {
    const Result<double> seconds = ParseClock(line.substr(0, blank));
    if (seconds.ok()) {
      frame.seconds = *seconds;
      line = Trim(line.substr(blank));
    }
  }
  frame.path = line.front() == '/' ? std::string(line) : JoinPath(folder, std::string(line));
  return frame;
}

}  // namespace

Result<double> ParseClock(std::string_view text) {
  const Status wrong = InvalidArgumentError(fmt::format("'{}' is no time", text.substr(0, 40)),
                                            "write seconds, or minutes and seconds: 83.5 or 1:23.5");
  double total = 0;
  int parts = 0;
  std::string_view rest = text;
  while (true) {
    const size_t colon = rest.find(':');
    const std::string_view part = rest.substr(0, colon);
    double value = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value, std::chars_format::fixed);
    const bool last = colon == std::string_view::npos;
    const bool digits = part.find_first_not_of(last ? "0123456789." : "0123456789") == std::string_view::npos;
    if (!digits || error != std::errc() || end != part.data() + part.size()) return wrong;
    if (parts > 0 && value >= 60) return wrong;
    if (++parts > 3) return wrong;
    total = total * 60 + value;
    if (last) break;
    rest.remove_prefix(colon + 1);
  }
  if (total > static_cast<double>(limits::kMaxVideoSeconds)) {
    return LimitError(fmt::format("a time of {:.0f} s, the limit is {}", total, limits::kMaxVideoSeconds),
                      "give an earlier one");
  }
  return total;
}

Result<std::vector<FrameFile>> ParseFrameList(std::string_view text, const std::string& folder) {
  std::vector<FrameFile> frames;
  int number = 0;
  while (!text.empty()) {
    ++number;
    const size_t end = text.find('\n');
    const std::string_view line = Trim(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.empty() || line.front() == '#') continue;
    if (frames.size() == limits::kMaxFrameListEntries) return LimitOfFrames().At(fmt::format("line {}", number));
    FrameFile frame = ParseLine(line, folder);
    if (!frames.empty() && frames.back().seconds.has_value() != frame.seconds.has_value()) {
      return CorruptError(fmt::format("line {}: some frames have a time and others don't", number),
                          "give all of them one, or none");
    }
    if (!frames.empty() && frame.seconds && *frame.seconds < *frames.back().seconds) {
      return CorruptError(fmt::format("line {}: {} s comes after {} s", number, *frame.seconds, *frames.back().seconds),
                          "list the frames in the order in which they are shown");
    }
    frames.push_back(std::move(frame));
  }
  if (frames.empty()) return NotFoundError("it lists no frame", "write a path on each line");
  return frames;
}

Result<std::vector<FrameFile>> ListFrames(const std::string& folder) {
  std::error_code error;
  std::filesystem::directory_iterator entry(folder, error);
  std::vector<std::string> names;
  for (const std::filesystem::directory_iterator end; !error && entry != end; entry.increment(error)) {
    std::string name = entry->path().filename().string();
    if (name.front() == '.' || entry->is_directory(error)) continue;
    if (names.size() == limits::kMaxFrameListEntries) return LimitOfFrames().At(folder);
    names.push_back(std::move(name));
  }
  if (error) return IoError(fmt::format("{}: can't be listed ({})", folder, error.message()), "check the folder");
  if (names.empty()) return NotFoundError(fmt::format("{}: there is no picture in it", folder), "name another folder");
  std::sort(names.begin(), names.end(), [](const std::string& a, const std::string& b) {
    const int order = strverscmp(a.c_str(), b.c_str());
    return order != 0 ? order < 0 : a < b;
  });
  std::vector<FrameFile> frames;
  frames.reserve(names.size());
  for (const std::string& name : names) frames.push_back({JoinPath(folder, name), std::nullopt});
  return frames;
}

}  // namespace eyeshot::media
