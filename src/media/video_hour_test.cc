// A video of an hour, made of a clip of five seconds said over and over, takes memory for what is sampled alone.
#include <gtest/gtest.h>

extern "C" {
#include <libavformat/avformat.h>
}

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "eyeshot/media.h"

namespace eyeshot {
namespace {

// Writes `from` `times` times, one after the other, packet by packet.
void WriteRepeated(const std::string& from, int times, const std::string& to) {
  AVFormatContext* in = nullptr;
  AVFormatContext* out = nullptr;
  ASSERT_GE(avformat_open_input(&in, from.c_str(), nullptr, nullptr), 0);
  ASSERT_GE(avformat_find_stream_info(in, nullptr), 0);
  ASSERT_GE(avformat_alloc_output_context2(&out, nullptr, "mp4", to.c_str()), 0);
  AVStream* stream = avformat_new_stream(out, nullptr);
  ASSERT_GE(avcodec_parameters_copy(stream->codecpar, in->streams[0]->codecpar), 0);
  stream->time_base = in->streams[0]->time_base;
  ASSERT_GE(avio_open(&out->pb, to.c_str(), AVIO_FLAG_WRITE), 0);
  ASSERT_GE(avformat_write_header(out, nullptr), 0);
  AVPacket* packet = av_packet_alloc();
  for (int i = 0; i < times; ++i) {
    ASSERT_GE(avformat_seek_file(in, 0, INT64_MIN, 0, 0, 0), 0);
    while (av_read_frame(in, packet) >= 0) {
      packet->pts += i * in->streams[0]->duration;
      packet->dts += i * in->streams[0]->duration;
      av_packet_rescale_ts(packet, in->streams[0]->time_base, stream->time_base);
      packet->pos = -1;
      ASSERT_GE(av_interleaved_write_frame(out, packet), 0);
    }
  }
  ASSERT_EQ(av_write_trailer(out), 0);
  av_packet_free(&packet);
  avio_closep(&out->pb);
  avformat_free_context(out);
  avformat_close_input(&in);
}

// "VmHWM" (the most memory so far) or "VmRSS" (now) of this process, in bytes.
uint64_t Memory(const std::string& key) {
  std::ifstream status("/proc/self/status");
  std::string word;
  uint64_t kib = 0;
  while (status >> word) {
    if (word == key + ":" && status >> kib) return kib * 1024;
  }
  return 0;
}

TEST(VideoOfAnHour, TakesMemoryForItsSampledFramesAlone) {
  const std::string path = ::testing::TempDir() + "/eyeshot_video_hour_test.mp4";
  WriteRepeated(EYESHOT_SOURCE_DIR "/tests/data/media/video/five_seconds.mp4", 690, path);
  std::ofstream("/proc/self/clear_refs") << 5;  // the most memory starts anew
  const uint64_t before = Memory("VmRSS");
  const Result<Frames> frames = LoadVideo(path);
  ASSERT_TRUE(frames.ok()) << frames.status().message();
  EXPECT_GT(frames->duration_s, 3600);
  EXPECT_EQ(frames->source.frames, 690 * 132);
  EXPECT_EQ(frames->images.size(), 64u);
  EXPECT_EQ(frames->indices.front(), 25);  // the first second is left out, as is the last
  const uint64_t taken = Memory("VmHWM") - before;
  const uint64_t file = std::filesystem::file_size(path);
  std::printf("a file of %.1f MB, %.1f MB taken\n", static_cast<double>(file) * 1e-6,
              static_cast<double>(taken) * 1e-6);
  // 64 frames of 110 kB, a decoder with a frame queue, an index of the file's packets; 91,080 frames would be 10 GB.
  EXPECT_LT(taken, 100'000'000u);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace eyeshot
