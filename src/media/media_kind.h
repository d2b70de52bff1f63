// Tells videos from pictures by their first bytes.
#ifndef EYESHOT_MEDIA_MEDIA_KIND_H_
#define EYESHOT_MEDIA_MEDIA_KIND_H_

#include <cstdint>
#include <span>

namespace eyeshot::media {

// A kind of video file: how FFmpeg calls its reader, and what it is called in reports.
struct Container {
  const char* demuxer;  // nullptr: no video that can be read here
  const char* name;
};

// By the first bytes of a file, at most kContainerHeadBytes of them. A GIF is a video here, of however few frames.
Container DetectContainer(std::span<const uint8_t> head);
inline constexpr size_t kContainerHeadBytes = 4096;

}  // namespace eyeshot::media

#endif  // EYESHOT_MEDIA_MEDIA_KIND_H_
