#include "server/media_loader.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "ledger/stage.h"
#include "server/data_url.h"
#include "server/fetch.h"

namespace eyeshot::server {
namespace {

// vLLM's way to send a clip as pictures: data:video/jpeg;base64,FRAME,FRAME,...
constexpr std::string_view kFrameListType = "video/jpeg";

bool HasScheme(std::string_view url, std::string_view scheme) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return url.size() >= scheme.size() &&
         std::equal(scheme.begin(), scheme.end(), url.begin(), [&](char a, char b) { return a == lower(b); });
}

uint64_t BytesOf(const Image& image) { return image.rgb.size(); }
uint64_t BytesOf(const Frames& frames) {
  uint64_t bytes = 0;
  for (const Image& image : frames.images) bytes += BytesOf(image);
  return bytes;
}

}  // namespace

// Counts what is decoded for as long as anybody holds it.
template <typename T>
Result<ContentPart> MediaLoader::Share(T media, uint64_t bytes, const std::string& where) {
  if (*bytes_ + bytes > limits::kMaxMediaBytes) {
    return OutOfMemoryError(fmt::format("{}: {} bytes of pictures are decoded for other requests, and {} more would be "
                                        "over the limit of {}",
                                        where, bytes_->load(), bytes, limits::kMaxMediaBytes),
                            "try again when they have ended");
  }
  *bytes_ += bytes;
  return ContentPart(std::shared_ptr<const T>(new T(std::move(media)), [count = bytes_, bytes](const T* object) {
    delete object;
    *count -= bytes;
  }));
}

Result<std::vector<uint8_t>> MediaLoader::Fetch(const std::string& url) const {
  if (IsDataUrl(url)) {
    EYESHOT_ASSIGN_OR_RETURN(const DataUrl data, ParseDataUrl(url));
    return DecodeData(data);
  }
  if (HasScheme(url, "http://") || HasScheme(url, "https://")) {
    return FetchUrl(url, {.hosts = options_.allowed_hosts,
                          .max_bytes = options_.max_bytes,
                          .allow_private_addresses = options_.allow_private_addresses});
  }
  if (HasScheme(url, "file://")) return ReadFileUrl(url, options_.allowed_folder, options_.max_bytes);
  return InvalidArgumentError("a URL that begins neither with data: nor with https://, http:// or file://",
                              "send the bytes as data:image/png;base64,...");
}

Result<VideoOptions> MediaLoader::OptionsOf(const MediaReference& media) const {
  VideoOptions options = needs_.video;
  if (media.fps > 0) options.fps = media.fps;
  if (media.max_frames > 0) options.max_frames = media.max_frames;
  options.limits.max_bytes = std::min(options.limits.max_bytes, options_.max_bytes);
  options.limits.max_frames = std::min(options.limits.max_frames, limits::kMaxRequestVideoFrames);
  return options;
}

Result<ContentPart> MediaLoader::DecodePicture(const std::vector<uint8_t>& bytes, const PictureDetail& detail,
                                               const std::string& where) {
  DecodeOptions options = needs_.decoding ? needs_.decoding(detail) : DecodeOptions();
  options.limits.max_pixels = std::min(options.limits.max_pixels, options_.max_pixels);
  EYESHOT_ASSIGN_OR_RETURN(Image image, DecodeImage(bytes, where, options));
  const uint64_t size = BytesOf(image);
  return Share(std::move(image), size, where);
}

Result<ContentPart> MediaLoader::DecodeClip(const std::vector<uint8_t>& bytes, const MediaReference& media,
                                            const std::string& where) {
  EYESHOT_ASSIGN_OR_RETURN(const VideoOptions options, OptionsOf(media));
  EYESHOT_ASSIGN_OR_RETURN(Frames frames, DecodeVideo(bytes, where, options));
  const uint64_t size = BytesOf(frames);
  return Share(std::move(frames), size, where);
}

Result<ContentPart> MediaLoader::DecodeFrameList(std::string_view data, const MediaReference& media,
                                                 const std::string& where) {
  EYESHOT_ASSIGN_OR_RETURN(const VideoOptions options, OptionsOf(media));
  std::vector<Image> images;
  int width = 0, height = 0;
  DecodeOptions decoding;
  decoding.limits.max_pixels = std::min(decoding.limits.max_pixels, options_.max_pixels);
  while (!data.empty()) {
    const size_t comma = std::min(data.find(','), data.size());
    if (images.size() == limits::kMaxFramesPerPrompt) {
      return LimitError(fmt::format("{}: more than {} frames", where, limits::kMaxFramesPerPrompt), "send fewer");
    }
    const std::string name = fmt::format("{}, frame {}", where, images.size());
    Result<std::vector<uint8_t>> bytes = DecodeBase64(data.substr(0, comma));
    if (!bytes.ok()) return bytes.status().At(name);
    EYESHOT_ASSIGN_OR_RETURN(Image image, DecodeImage(*bytes, name, decoding));
    if (images.empty()) std::tie(width, height) = std::pair(image.width, image.height);
    if (options.prepare) {
      EYESHOT_ASSIGN_OR_RETURN(image, options.prepare(image));
    }
    images.push_back(std::move(image));
    data.remove_prefix(std::min(comma + 1, data.size()));
  }
  EYESHOT_ASSIGN_OR_RETURN(Frames frames, FramesFromImages(std::move(images), options.fps));
  frames.source.width = width;
  frames.source.height = height;
  if (options.prepare) frames.tile_side = options.tile_side;
  const uint64_t size = BytesOf(frames);
  return Share(std::move(frames), size, where);
}

Result<ContentPart> MediaLoader::LoadOne(const MediaReference& media, const PictureDetail& detail,
                                         const std::string& where, Ledger& ledger) {
  Stage stage(ledger, StageId::kDecodeImage);
  if (media.video && IsDataUrl(media.url)) {
    const Result<DataUrl> data = ParseDataUrl(media.url);
    if (data.ok() && data->base64 && data->media_type == kFrameListType) {
      stage.AddBytes(data->data.size() / 4 * 3);
      return DecodeFrameList(data->data, media, where);
    }
  }
  Result<std::vector<uint8_t>> bytes = Fetch(media.url);
  if (!bytes.ok()) return bytes.status().At(where);
  stage.AddBytes(bytes->size());
  return media.video ? DecodeClip(*bytes, media, where) : DecodePicture(*bytes, detail, where);
}

Result<std::vector<Message>> MediaLoader::Load(GenerationRequest& request, Ledger& ledger) {
  std::vector<Message> messages;
  for (size_t i = 0; i < request.messages.size(); ++i) {
    RequestMessage& from = request.messages[i];
    Message message{.role = from.role};
    for (size_t j = 0; j < from.parts.size(); ++j) {
      if (auto* const text = std::get_if<std::string>(&from.parts[j])) {
        message.parts.emplace_back(std::move(*text));
        continue;
      }
      MediaReference& media = std::get<MediaReference>(from.parts[j]);
      const std::string where = fmt::format("messages[{}].content[{}]", i, j);
      EYESHOT_ASSIGN_OR_RETURN(ContentPart part, LoadOne(media, request.options.detail, where, ledger));
      message.parts.push_back(std::move(part));
      media = {};  // the URL has the whole file
    }
    messages.push_back(std::move(message));
  }
  return messages;
}

}  // namespace eyeshot::server
