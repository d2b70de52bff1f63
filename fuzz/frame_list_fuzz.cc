// Any text as a list of frames and as a time.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "media/frame_list.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto seconds = eyeshot::media::ParseClock(text);
  if (seconds.ok() && !(*seconds >= 0 && *seconds <= 86400)) std::abort();
  const auto frames = eyeshot::media::ParseFrameList(text, "folder");
  if (!frames.ok()) return 0;
  for (size_t i = 0; i < frames->size(); ++i) {
    if ((*frames)[i].path.empty()) std::abort();
    if ((*frames)[i].seconds.has_value() != frames->front().seconds.has_value()) std::abort();
    if (i > 0 && (*frames)[i].seconds && *(*frames)[i].seconds < *(*frames)[i - 1].seconds) std::abort();
  }
  return 0;
}
