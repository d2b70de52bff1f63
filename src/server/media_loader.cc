#include "server/media_loader.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/base64.h"
#include "base/error.h"
#include "ledger/stage.h"
#include "media/frame_sampling.h"
#include "server/ascii.h"
#include "server/data_url.h"
#include "server/fetch.h"

namespace eyeshot::server {
namespace {

// vLLM's way to send a clip as pictures: data:video/jpeg;base64,FRAME,FRAME,...
constexpr std::string_view kFrameListType = "video/jpeg";

uint64_t BytesOf(const Image& image) { return image.rgb.size(); }
uint64_t BytesOf(const Frames& frames) {
  uint64_t bytes = 0;
  for (const Image& image : frames.images) bytes += BytesOf(image);
  return bytes;
}

// One may follow the last comma.
int64_t CountFrames(std::string_view data) {
  const int64_t commas = std::count(data.begin(), data.end(), ',');
  return data.empty() || data.ends_with(',') ? commas : commas + 1;
}

// Which frames of a list are taken: all, or evenly as many as the request says.
Result<std::vector<int64_t>> ChooseFrames(int64_t count, int max_frames, const std::string& where) {
  const auto limit = static_cast<int64_t>(max_frames > 0 ? limits::kMaxFrameListEntries : limits::kMaxFramesPerPrompt);
  if (count > limit) {
    return LimitError(fmt::format("{}: {} frames, the limit is {}", where, count, limit),
                      "send fewer, or say \"max_frames\"");
  }
  if (count == 0) return InvalidArgumentError(fmt::format("{}: a clip without a frame", where), "send at least one");
  const auto wanted = static_cast<int>(max_frames > 0 ? std::min<int64_t>(count, max_frames) : count);
  return media::UniformFrames(count, wanted, /*stream_fps=*/1, /*fps=*/1, wanted, /*skip_ends=*/false);
}

}  // namespace

Status MediaLoader::CheckRequest(uint64_t bytes, const std::string& where) const {
  if (bytes <= options_.max_media_bytes) return Status::Ok();
  return LimitError(fmt::format("{}: {} bytes of pictures are decoded for this request, the limit is {}", where, bytes,
                                options_.max_media_bytes),
                    "send fewer, or smaller ones");
}

// Counts what is decoded for as long as anybody holds it.
template <typename T>
Result<ContentPart> MediaLoader::Share(T media, const std::string& where, Loading& loading) {
  const uint64_t bytes = BytesOf(media);
  EYESHOT_RETURN_IF_ERROR(CheckRequest(loading.bytes + bytes, where));
  auto owned = std::make_unique<const T>(std::move(media));
  const uint64_t before = bytes_->fetch_add(bytes);
  std::shared_ptr<const T> shared(owned.release(), [count = bytes_, bytes](const T* object) {
    delete object;
    *count -= bytes;
  });
  if (before + bytes > options_.max_media_bytes) {
    return OutOfMemoryError(fmt::format("{}: {} bytes of pictures are decoded for other requests, and {} more would be "
                                        "over the limit of {}",
                                        where, before - loading.bytes, loading.bytes + bytes, options_.max_media_bytes),
                            "try again when they have ended");
  }
  loading.bytes += bytes;
  return ContentPart(std::move(shared));
}

Result<std::vector<uint8_t>> MediaLoader::Fetch(const std::string& url) const {
  if (IsDataUrl(url)) {
    EYESHOT_ASSIGN_OR_RETURN(const DataUrl data, ParseDataUrl(url));
    return DecodeData(data);
  }
  if (StartsWithInAnyCase(url, "http://") || StartsWithInAnyCase(url, "https://")) {
    return FetchUrl(url, {.hosts = options_.allowed_hosts, .max_bytes = options_.max_bytes});
  }
  if (StartsWithInAnyCase(url, "file://")) return ReadFileUrl(url, options_.allowed_folder, options_.max_bytes);
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

DecodeOptions MediaLoader::Within(DecodeOptions options) const {
  options.limits.max_pixels = std::min(options.limits.max_pixels, options_.max_pixels);
  return options;
}

Result<ContentPart> MediaLoader::DecodePicture(const std::vector<uint8_t>& bytes, const std::string& where,
                                               Loading& loading) {
  const DecodeOptions options = needs_.decoding ? needs_.decoding(loading.detail) : DecodeOptions();
  EYESHOT_ASSIGN_OR_RETURN(Image image, DecodeImage(bytes, where, Within(options)));
  return Share(std::move(image), where, loading);
}

Result<ContentPart> MediaLoader::DecodeClip(const std::vector<uint8_t>& bytes, const MediaReference& media,
                                            const std::string& where, Loading& loading) {
  EYESHOT_ASSIGN_OR_RETURN(const VideoOptions options, OptionsOf(media));
  EYESHOT_ASSIGN_OR_RETURN(Frames frames, DecodeVideo(bytes, where, options));
  return Share(std::move(frames), where, loading);
}

Result<Image> MediaLoader::DecodeFrame(std::string_view base64, const VideoOptions& options, const std::string& name,
                                       VideoInfo& source) const {
  Result<std::vector<uint8_t>> bytes = DecodeBase64(base64);
  if (!bytes.ok()) return bytes.status().At(name);
  EYESHOT_ASSIGN_OR_RETURN(Image image, DecodeImage(*bytes, name, Within({})));
  if (source.width == 0) std::tie(source.width, source.height) = std::pair(image.width, image.height);
  if (!options.prepare) return image;
  return options.prepare(image);
}

Result<ContentPart> MediaLoader::DecodeFrameList(std::string_view data, const MediaReference& media,
                                                 const std::string& where, Loading& loading) {
  EYESHOT_ASSIGN_OR_RETURN(const VideoOptions options, OptionsOf(media));
  const int64_t count = CountFrames(data);
  EYESHOT_ASSIGN_OR_RETURN(const std::vector<int64_t> taken, ChooseFrames(count, media.max_frames, where));
  Frames frames;
  frames.duration_s = static_cast<double>(count) / options.fps;
  if (options.prepare) frames.tile_side = options.tile_side;
  uint64_t bytes = loading.bytes;
  for (int64_t i = 0; frames.images.size() < taken.size(); ++i) {
    const size_t comma = std::min(data.find(','), data.size());
    const std::string_view frame = data.substr(0, comma);
    data.remove_prefix(std::min(comma + 1, data.size()));
    if (i != taken[frames.images.size()]) continue;
    const std::string name = fmt::format("{}, frame {}", where, i);
    EYESHOT_ASSIGN_OR_RETURN(Image image, DecodeFrame(frame, options, name, frames.source));
    bytes += BytesOf(image);
    EYESHOT_RETURN_IF_ERROR(CheckRequest(bytes, name));
    frames.images.push_back(std::move(image));
    frames.timestamps_s.push_back(static_cast<double>(i) / options.fps);
  }
  return Share(std::move(frames), where, loading);
}

Result<ContentPart> MediaLoader::LoadOne(const MediaReference& media, const std::string& where, Loading& loading) {
  if (!needs_.has_vision) {
    return UnsupportedError(fmt::format("{}: a picture for a model that reads text alone", where),
                            "ask a server with a SmolVLM, or leave the picture out");
  }
  Stage stage(loading.ledger, StageId::kDecodeImage);
  if (media.video && IsDataUrl(media.url)) {
    const Result<DataUrl> data = ParseDataUrl(media.url);
    if (data.ok() && data->base64 && data->media_type == kFrameListType) {
      stage.AddBytes(data->data.size() / 4 * 3);
      return DecodeFrameList(data->data, media, where, loading);
    }
  }
  Result<std::vector<uint8_t>> bytes = Fetch(media.url);
  if (!bytes.ok()) return bytes.status().At(where);
  stage.AddBytes(bytes->size());
  return media.video ? DecodeClip(*bytes, media, where, loading) : DecodePicture(*bytes, where, loading);
}

Result<std::vector<Message>> MediaLoader::Load(GenerationRequest& request, Ledger& ledger) {
  std::vector<Message> messages;
  Loading loading{.detail = request.options.detail, .ledger = ledger};
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
      EYESHOT_ASSIGN_OR_RETURN(ContentPart part, LoadOne(media, where, loading));
      message.parts.push_back(std::move(part));
      media = {};  // the URL has the whole file
    }
    messages.push_back(std::move(message));
  }
  return messages;
}

}  // namespace eyeshot::server
