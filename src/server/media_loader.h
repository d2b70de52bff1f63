// From references of a request to decoded pictures and frames, within limits of bytes, pixels and memory.
#ifndef EYESHOT_SERVER_MEDIA_LOADER_H_
#define EYESHOT_SERVER_MEDIA_LOADER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/limits.h"
#include "eyeshot/chat.h"
#include "eyeshot/ledger.h"
#include "eyeshot/media.h"
#include "eyeshot/status.h"
#include "server/protocol.h"

namespace eyeshot::server {

struct MediaOptions {
  std::vector<std::string> allowed_hosts;  // whose http:// and https:// URLs are fetched; empty: none
  std::string allowed_folder;              // below which file:// URLs are read; empty: none
  uint64_t max_bytes = limits::kMaxBodyBytes;      // of an encoded picture or video
  uint64_t max_pixels = limits::kMaxRequestPixels;  // of a picture
  uint64_t max_media_bytes = limits::kMaxMediaBytes;  // of decoded pictures and frames, of all requests; tests lower it
};

// How the model wants its media (Engine::VideoDefaults(), Engine::ScaledDecoding()).
struct MediaNeeds {
  bool has_vision = true;  // false: pictures and videos are refused
  VideoOptions video;
  std::function<DecodeOptions(const PictureDetail&)> decoding;  // empty: as the reference
};

// Thread-safe.
class MediaLoader {
 public:
  MediaLoader(MediaOptions options, MediaNeeds needs) : options_(std::move(options)), needs_(std::move(needs)) {}

  // The messages with all pictures and videos decoded; `decode_image` is charged to `ledger`. Takes the strings out of
  // `request`. Errors: kUnsupported (no picture of a known kind, a model without vision), kCorrupt,
  // kLimitExceeded (the pictures together too), kInvalidArgument (a host or folder that is not allowed, a scheme that
  // is not served), kNotFound, kIo, kOutOfMemory (too much is decoded for other requests).
  Result<std::vector<Message>> Load(GenerationRequest& request, Ledger& ledger);

  // Of decoded media that live, in all requests.
  uint64_t bytes() const { return *bytes_; }

 private:
  // One request's media.
  struct Loading {
    const PictureDetail& detail;
    Ledger& ledger;
    uint64_t bytes = 0;  // decoded by now
  };
  Result<std::vector<uint8_t>> Fetch(const std::string& url) const;
  Result<ContentPart> LoadOne(const MediaReference& media, const std::string& where, Loading& loading);
  Result<ContentPart> DecodePicture(const std::vector<uint8_t>& bytes, const std::string& where, Loading& loading);
  Result<ContentPart> DecodeClip(const std::vector<uint8_t>& bytes, const MediaReference& media,
                                 const std::string& where, Loading& loading);
  Result<ContentPart> DecodeFrameList(std::string_view data, const MediaReference& media, const std::string& where,
                                      Loading& loading);
  // The size of a clip's first frame goes to `source`.
  Result<Image> DecodeFrame(std::string_view base64, const VideoOptions& options, const std::string& name,
                            VideoInfo& source) const;
  DecodeOptions Within(DecodeOptions options) const;
  Result<VideoOptions> OptionsOf(const MediaReference& media) const;
  // Whether one request may have so much decoded. Error: kLimitExceeded.
  Status CheckRequest(uint64_t bytes, const std::string& where) const;
  template <typename T>
  Result<ContentPart> Share(T media, const std::string& where, Loading& loading);

  const MediaOptions options_;
  const MediaNeeds needs_;
  std::shared_ptr<std::atomic<uint64_t>> bytes_ = std::make_shared<std::atomic<uint64_t>>(0);
};

}  // namespace eyeshot::server

#endif  // EYESHOT_SERVER_MEDIA_LOADER_H_
