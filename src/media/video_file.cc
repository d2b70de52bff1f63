// The calls follow those of torchcodec, the reference's decoder: counts and times come from a walk over all packets,
// and a frame is the first one that is shown at its packet's time or later.
#include "media/video_file.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/display.h>
}

#include <algorithm>
#include <array>
#include <cmath>
#include <mutex>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/limits.h"
#include "base/threads.h"
#include "media/media_kind.h"

namespace eyeshot::media {
namespace {

// More threads keep more frames under way, of 3 MB each at 1080p, and are seldom faster. Frames of fewer pixels than
// 360p are decoded in less time than threads take to hand them over, above all where other programs want the cores.
constexpr int kMostDecoderThreads = 4;
constexpr int kThreadedPixels = 640 * 360;
constexpr size_t kIoBufferBytes = 1 << 16;

// The decoders that may run: those of the formats that cameras, phones and the web use.
constexpr char kDecoders[] = "h264,hevc,vp8,vp9,libdav1d,mpeg4,mjpeg,prores,gif";

constexpr char kMendDamaged[] = "the file is damaged or cut off; copy or download it again";
constexpr char kMendConvert[] = "convert it to MP4 with H.264";

std::string Reason(int code) {
  std::array<char, AV_ERROR_MAX_STRING_SIZE> text{};
  av_strerror(code, text.data(), text.size());
  return text.data();
}

Status Damaged(std::string found) { return CorruptError(std::move(found), kMendDamaged); }

// Of the whole process: FFmpeg writes to standard error, and takes whatever memory a file asks for.
void TameFfmpeg() {
  static std::once_flag once;
  std::call_once(once, [] {
    av_log_set_level(AV_LOG_QUIET);
    av_max_alloc(limits::kMaxVideoAllocation);
  });
}

struct PacketDeleter {
  void operator()(AVPacket* packet) const { av_packet_free(&packet); }
};
struct FrameDeleter {
  void operator()(AVFrame* frame) const { av_frame_free(&frame); }
};
struct CodecDeleter {
  void operator()(AVCodecContext* context) const { avcodec_free_context(&context); }
};
struct IoDeleter {
  void operator()(AVIOContext* io) const {
    av_freep(static_cast<void*>(&io->buffer));
    avio_context_free(&io);
  }
};
struct FormatDeleter {
  void operator()(AVFormatContext* format) const { avformat_close_input(&format); }
};

// What FFmpeg reads through.
struct Cursor {
  ByteSource source;
  int64_t offset = 0;

  static int Read(void* self, uint8_t* out, int count) {
    auto* cursor = static_cast<Cursor*>(self);
    const int64_t got = cursor->source.Read(static_cast<uint64_t>(cursor->offset), out, static_cast<size_t>(count));
    if (got < 0) return AVERROR(EIO);
    if (got == 0) return AVERROR_EOF;
    cursor->offset += got;
    return static_cast<int>(got);
  }

  static int64_t Seek(void* self, int64_t offset, int whence) {
    auto* cursor = static_cast<Cursor*>(self);
    const auto size = static_cast<int64_t>(cursor->source.size());
    if (whence == AVSEEK_SIZE) return size;
    const int kind = whence & ~AVSEEK_FORCE;
    const int64_t base = kind == SEEK_END ? size : kind == SEEK_CUR ? cursor->offset : 0;
    int64_t target = 0;
    if (__builtin_add_overflow(base, offset, &target) || target < 0) return AVERROR(EINVAL);
    cursor->offset = target;
    return target;
  }
};

// A file may name other files or addresses: none is opened.
int RefuseToOpen(AVFormatContext*, AVIOContext**, const char*, int, AVDictionary**) { return AVERROR(EPERM); }

int64_t ShownAt(const AVPacket& packet) { return packet.pts == AV_NOPTS_VALUE ? packet.dts : packet.pts; }
int64_t ShownAt(const AVFrame& frame) { return frame.pts == AV_NOPTS_VALUE ? frame.pkt_dts : frame.pts; }

double Seconds(int64_t pts, AVRational time_base) { return static_cast<double>(pts) * time_base.num / time_base.den; }

// Of a stream whose frames have a size.
Status CheckFrameSize(const AVCodecParameters& parameters, const VideoLimits& limits) {
  const auto width = static_cast<uint64_t>(std::max(parameters.width, 0));
  const auto height = static_cast<uint64_t>(std::max(parameters.height, 0));
  if (width * height <= limits.max_pixels) return Status::Ok();
  return LimitError(
      fmt::format("frames of {} x {} = {} pixels, the limit is {}", width, height, width * height, limits.max_pixels),
      "scale the video down");
}

// Degrees clockwise, to the nearest quarter, that make the stored frames upright.
int ClockwiseTurn(const AVStream& stream) {
  size_t size = 0;
  const uint8_t* matrix = av_stream_get_side_data(&stream, AV_PKT_DATA_DISPLAYMATRIX, &size);
  if (matrix == nullptr || size < 9 * sizeof(int32_t)) return 0;
  const double counterclockwise = av_display_rotation_get(reinterpret_cast<const int32_t*>(matrix));
  if (std::isnan(counterclockwise)) return 0;
  const int quarters = static_cast<int>(std::lround(-counterclockwise / 90.0));
  return ((quarters % 4) + 4) % 4 * 90;
}

}  // namespace

class VideoFile::Impl {
 public:
  static Result<std::unique_ptr<Impl>> Open(ByteSource source, const VideoLimits& limits);

  const VideoInfo& info() const { return info_; }
  double StartSeconds(int64_t index) const {
    return Seconds(shown_at_[static_cast<size_t>(index)] - shown_at_.front(), stream_->time_base);
  }
  Status Decode(std::span<const int64_t> indices, const FrameSink& sink);

 private:
  explicit Impl(ByteSource source) : cursor_{std::move(source)} {}

  Status OpenFormat(const Container& container);
  Status FindStreams(const VideoLimits& limits);
  Status ChooseStream(const VideoLimits& limits);
  Status OpenDecoder(const VideoLimits& limits);
  Status ReadPackets(const VideoLimits& limits);
  Status FillInfo(const Container& container);
  // Moves to the last key frame that is shown at `pts` or before.
  Status SeekTo(int64_t pts);
  bool JumpPays(int64_t index) const;
  // Decodes on to the first frame shown at `pts` or later.
  Status NextFrame(int64_t pts, AVFrame& frame);
  Status SendPacket();

  Cursor cursor_;
  std::unique_ptr<AVIOContext, IoDeleter> io_;
  std::unique_ptr<AVFormatContext, FormatDeleter> format_;
  std::unique_ptr<AVCodecContext, CodecDeleter> codec_;
  std::unique_ptr<AVPacket, PacketDeleter> packet_{av_packet_alloc()};
  const AVStream* stream_ = nullptr;
  const AVCodec* decoder_ = nullptr;
  std::vector<int64_t> shown_at_;    // of each frame, ascending, in the stream's time base
  std::vector<int64_t> key_frames_;  // when those are shown, ascending
  int64_t end_ = 0;                  // when the last frame ends
  int64_t last_index_ = -1;          // of the frame that was given out last
  bool at_end_ = false;              // the decoder was told that there are no more packets
  VideoInfo info_;
};

Result<std::unique_ptr<VideoFile::Impl>> VideoFile::Impl::Open(ByteSource source, const VideoLimits& limits) {
  TameFfmpeg();
  const Container container = DetectContainer(source.Head(kContainerHeadBytes));
  if (container.demuxer == nullptr) {
    return UnsupportedError("no kind of video that is known; MP4, QuickTime, Matroska, WebM and GIF are",
                            std::string(kMendConvert));
  }
  std::unique_ptr<Impl> file(new Impl(std::move(source)));
  EYESHOT_RETURN_IF_ERROR(file->OpenFormat(container));
  EYESHOT_RETURN_IF_ERROR(file->FindStreams(limits));
  EYESHOT_RETURN_IF_ERROR(file->ChooseStream(limits));
  EYESHOT_RETURN_IF_ERROR(file->ReadPackets(limits));
  EYESHOT_RETURN_IF_ERROR(file->FillInfo(container));
  EYESHOT_RETURN_IF_ERROR(file->OpenDecoder(limits));
  return file;
}

Status VideoFile::Impl::OpenFormat(const Container& container) {
  auto* buffer = static_cast<uint8_t*>(av_malloc(kIoBufferBytes));
  io_.reset(avio_alloc_context(buffer, kIoBufferBytes, 0, &cursor_, Cursor::Read, nullptr, Cursor::Seek));
  AVFormatContext* format = avformat_alloc_context();
  if (io_ == nullptr || format == nullptr || packet_ == nullptr) {
    avformat_free_context(format);
    return OutOfMemoryError("no memory to open a video", "close other programs");
  }
  format->pb = io_.get();
  format->io_open = RefuseToOpen;
  format->max_streams = limits::kMaxVideoStreams;
  format->probesize = limits::kMaxVideoProbeBytes;
  format->codec_whitelist = av_strdup(kDecoders);
  format->format_whitelist = av_strdup("mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,gif");
  const int code = avformat_open_input(&format, nullptr, av_find_input_format(container.demuxer), nullptr);
  if (code < 0) return Damaged(fmt::format("the {} header can't be read ({})", container.name, Reason(code)));
  format_.reset(format);
  return Status::Ok();
}

Status VideoFile::Impl::FindStreams(const VideoLimits& limits) {
  const auto streams = static_cast<size_t>(format_->nb_streams);
  for (size_t i = 0; i < streams; ++i) EYESHOT_RETURN_IF_ERROR(CheckFrameSize(*format_->streams[i]->codecpar, limits));
  // Decoders open while streams are looked at: the sizes of their frames have the same limit there.
  std::vector<AVDictionary*> options(streams, nullptr);
  for (AVDictionary*& one : options) {
    av_dict_set_int(&one, "max_pixels", static_cast<int64_t>(limits.max_pixels), 0);
  }
  const int code = avformat_find_stream_info(format_.get(), options.data());
  for (AVDictionary*& one : options) av_dict_free(&one);
  if (code < 0) return Damaged(fmt::format("its streams can't be read ({})", Reason(code)));
  return Status::Ok();
}

Status VideoFile::Impl::ChooseStream(const VideoLimits& limits) {
  const int index = av_find_best_stream(format_.get(), AVMEDIA_TYPE_VIDEO, -1, -1, nullptr, 0);
  if (index < 0 || (format_->streams[index]->disposition & AV_DISPOSITION_ATTACHED_PIC) != 0) {
    return UnsupportedError("there is no video in it", "name a file with one; sound is not used");
  }
  stream_ = format_->streams[index];
  const AVCodecParameters& parameters = *stream_->codecpar;
  decoder_ = avcodec_find_decoder(parameters.codec_id);
  const std::string list = fmt::format(",{},", kDecoders);
  if (decoder_ == nullptr || list.find(fmt::format(",{},", decoder_->name)) == std::string::npos) {
    return UnsupportedError(
        fmt::format("its video is {}, which is not decoded here", avcodec_get_name(parameters.codec_id)),
        std::string(kMendConvert));
  }
  if (parameters.width <= 0 || parameters.height <= 0) {
    return Damaged(fmt::format("its frames have {} x {} pixels", parameters.width, parameters.height));
  }
  EYESHOT_RETURN_IF_ERROR(CheckFrameSize(parameters, limits));
  if (stream_->time_base.num <= 0 || stream_->time_base.den <= 0) return Damaged("its clock has no rate");
  for (unsigned i = 0; i < format_->nb_streams; ++i) {
    if (static_cast<int>(i) != index) format_->streams[i]->discard = AVDISCARD_ALL;
  }
  return Status::Ok();
}

Status VideoFile::Impl::OpenDecoder(const VideoLimits& limits) {
  codec_.reset(avcodec_alloc_context3(decoder_));
  if (codec_ == nullptr) return OutOfMemoryError("no memory for a video decoder", "close other programs");
  int code = avcodec_parameters_to_context(codec_.get(), stream_->codecpar);
  if (code < 0) return Damaged(fmt::format("its parameters can't be used ({})", Reason(code)));
  const bool threaded = int64_t{codec_->width} * codec_->height >= kThreadedPixels;
  codec_->thread_count = threaded ? std::min(AvailableCores(), kMostDecoderThreads) : 1;
  codec_->pkt_timebase = stream_->time_base;
  codec_->max_pixels = static_cast<int64_t>(limits.max_pixels);
  code = avcodec_open2(codec_.get(), decoder_, nullptr);
  if (code < 0) return Damaged(fmt::format("its {} decoder does not start ({})", decoder_->name, Reason(code)));
  return Status::Ok();
}

Status VideoFile::Impl::ReadPackets(const VideoLimits& limits) {
  while (true) {
    const int code = av_read_frame(format_.get(), packet_.get());
    if (code == AVERROR_EOF) break;
    if (code < 0) return Damaged(fmt::format("it can't be read behind frame {} ({})", shown_at_.size(), Reason(code)));
    const AVPacket& packet = *packet_;
    const bool ours = packet.stream_index == stream_->index && (packet.flags & AV_PKT_FLAG_DISCARD) == 0;
    if (ours) {
      if (shown_at_.size() == limits.max_frames) {
        return LimitError(fmt::format("more than {} frames", limits.max_frames), "cut the video");
      }
      const int64_t at = ShownAt(packet);
      int64_t end = 0;
      if (at == AV_NOPTS_VALUE || __builtin_add_overflow(at, packet.duration, &end)) {
        return Damaged(fmt::format("frame {} has no time", shown_at_.size()));
      }
      end_ = shown_at_.empty() ? end : std::max(end_, end);
      shown_at_.push_back(at);
      if ((packet.flags & AV_PKT_FLAG_KEY) != 0) key_frames_.push_back(at);
    }
    av_packet_unref(packet_.get());
  }
  if (shown_at_.empty()) return Damaged("its video has no frames");
  std::sort(shown_at_.begin(), shown_at_.end());
  std::sort(key_frames_.begin(), key_frames_.end());
  const int code = avformat_seek_file(format_.get(), 0, INT64_MIN, 0, 0, 0);
  if (code < 0) return Damaged(fmt::format("it can't be read from the start again ({})", Reason(code)));
  return Status::Ok();
}

Status VideoFile::Impl::FillInfo(const Container& container) {
  const double begin = Seconds(shown_at_.front(), stream_->time_base);
  info_.container = container.name;
  info_.codec = avcodec_get_name(stream_->codecpar->codec_id);
  info_.frames = static_cast<int64_t>(shown_at_.size());
  info_.duration_s = Seconds(end_, stream_->time_base) - begin;
  info_.rotation = ClockwiseTurn(*stream_);
  info_.width = stream_->codecpar->width;
  info_.height = stream_->codecpar->height;
  if (info_.rotation % 180 != 0) std::swap(info_.width, info_.height);
  if (!(info_.duration_s >= 0)) return Damaged(fmt::format("it lasts {} s", info_.duration_s));
  if (info_.duration_s > static_cast<double>(limits::kMaxVideoSeconds)) {
    return LimitError(fmt::format("it lasts {:.0f} s, the limit is {}", info_.duration_s, limits::kMaxVideoSeconds),
                      "cut the video");
  }
  if (info_.duration_s > 0) {
    info_.fps = static_cast<double>(info_.frames) / info_.duration_s;
  } else if (stream_->r_frame_rate.num > 0 && stream_->r_frame_rate.den > 0) {
    info_.fps = av_q2d(stream_->r_frame_rate);
  } else if (info_.frames == 1) {
    info_.fps = 1;  // of no account: the only frame is shown at 0
  }
  if (!(info_.fps > 0)) return Damaged("all its frames are shown at the same time");
  return Status::Ok();
}

Status VideoFile::Impl::SeekTo(int64_t pts) {
  const auto after = std::upper_bound(key_frames_.begin(), key_frames_.end(), pts);
  const int64_t target = after == key_frames_.begin() ? pts : *std::prev(after);
  const int code = avformat_seek_file(format_.get(), stream_->index, INT64_MIN, target, target, 0);
  if (code < 0) return Damaged(fmt::format("it can't be read from its middle ({})", Reason(code)));
  avcodec_flush_buffers(codec_.get());
  at_end_ = false;
  return Status::Ok();
}

// Frames in the decoder's queue would be thrown away by a jump: it must leave out more than those.
bool VideoFile::Impl::JumpPays(int64_t index) const {
  const auto after = std::upper_bound(key_frames_.begin(), key_frames_.end(), shown_at_[static_cast<size_t>(index)]);
  if (after == key_frames_.begin()) return false;
  const auto key = std::lower_bound(shown_at_.begin(), shown_at_.end(), *std::prev(after)) - shown_at_.begin();
  return key - std::max<int64_t>(last_index_, 0) > codec_->has_b_frames + codec_->thread_count;
}

// Sends the next packet of the video, or the end.
Status VideoFile::Impl::SendPacket() {
  int code = 0;
  while ((code = av_read_frame(format_.get(), packet_.get())) >= 0 && packet_->stream_index != stream_->index) {
    av_packet_unref(packet_.get());
  }
  if (code < 0 && code != AVERROR_EOF) return Damaged(fmt::format("it can't be read on ({})", Reason(code)));
  at_end_ = code == AVERROR_EOF;
  code = avcodec_send_packet(codec_.get(), at_end_ ? nullptr : packet_.get());
  av_packet_unref(packet_.get());
  if (code < 0) return Damaged(fmt::format("a frame behind frame {} can't be decoded ({})", last_index_, Reason(code)));
  return Status::Ok();
}

Status VideoFile::Impl::NextFrame(int64_t pts, AVFrame& frame) {
  while (true) {
    const int code = avcodec_receive_frame(codec_.get(), &frame);
    if (code == 0) {
      if (ShownAt(frame) >= pts) return Status::Ok();
      av_frame_unref(&frame);
    } else if (code == AVERROR(EAGAIN) && !at_end_) {
      EYESHOT_RETURN_IF_ERROR(SendPacket());
    } else {
      return Damaged(code == AVERROR_EOF
                         ? fmt::format("no frame is left behind frame {}", last_index_)
                         : fmt::format("a frame behind frame {} can't be decoded ({})", last_index_, Reason(code)));
    }
  }
}

Status VideoFile::Impl::Decode(std::span<const int64_t> indices, const FrameSink& sink) {
  const std::unique_ptr<AVFrame, FrameDeleter> frame(av_frame_alloc());
  if (frame == nullptr) return OutOfMemoryError("no memory for a frame", "close other programs");
  if (last_index_ >= 0) EYESHOT_RETURN_IF_ERROR(SeekTo(shown_at_.front()));
  last_index_ = -1;
  // The frame behind the last one is simply the next, whatever its time.
  int64_t pts = INT64_MIN;
  for (size_t i = 0; i < indices.size(); ++i) {
    const int64_t index = indices[i];
    if (index != last_index_ + 1) {
      pts = shown_at_[static_cast<size_t>(index)];
      if (JumpPays(index)) EYESHOT_RETURN_IF_ERROR(SeekTo(pts));
    }
    EYESHOT_RETURN_IF_ERROR(NextFrame(pts, *frame));
    last_index_ = index;
    EYESHOT_RETURN_IF_ERROR(sink(i, *frame));
    av_frame_unref(frame.get());
  }
  return Status::Ok();
}

VideoFile::VideoFile(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
VideoFile::VideoFile(VideoFile&&) noexcept = default;
VideoFile::~VideoFile() = default;

Result<VideoFile> VideoFile::Open(ByteSource source, const VideoLimits& limits) {
  EYESHOT_ASSIGN_OR_RETURN(std::unique_ptr<Impl> impl, Impl::Open(std::move(source), limits));
  return VideoFile(std::move(impl));
}

const VideoInfo& VideoFile::info() const { return impl_->info(); }
double VideoFile::StartSeconds(int64_t index) const { return impl_->StartSeconds(index); }
Status VideoFile::Decode(std::span<const int64_t> indices, const FrameSink& sink) {
  return impl_->Decode(indices, sink);
}

}  // namespace eyeshot::media
