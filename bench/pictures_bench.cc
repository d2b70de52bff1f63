// What a picture costs before the vision tower sees it: decoding, and resizing and cutting into tiles.
//
//   pictures_bench [--benchmark_filter=Preprocess]     at SmolVLM-256M's settings; EYESHOT_ISA does not matter here
//
// The pictures are a photograph of tests/data, enlarged and compressed on the spot.
#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <utility>
#include <vector>

// clang-format off: jpeglib.h needs size_t and FILE from those above.
#include <jpeglib.h>
// clang-format on

#include "eyeshot/media.h"
#include "vision/image_processor.h"

namespace eyeshot {
namespace {

constexpr const char* kPhotograph = EYESHOT_SOURCE_DIR "/tests/data/media/photos/astronaut.png";

template <typename T>
T Must(Result<T> result) {
  if (result.ok()) return std::move(result).value();
  std::fprintf(stderr, "%s\n", result.status().message().c_str());
  std::exit(1);
}

std::vector<uint8_t> EncodeJpeg(const Image& image) {
  constexpr int kQuality = 90;
  jpeg_error_mgr errors;
  jpeg_compress_struct encoder;
  encoder.err = jpeg_std_error(&errors);
  jpeg_create_compress(&encoder);
  unsigned char* data = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&encoder, &data, &size);
  encoder.image_width = static_cast<JDIMENSION>(image.width);
  encoder.image_height = static_cast<JDIMENSION>(image.height);
  encoder.input_components = 3;
  encoder.in_color_space = JCS_RGB;
  jpeg_set_defaults(&encoder);
  jpeg_set_quality(&encoder, kQuality, TRUE);
  jpeg_start_compress(&encoder, TRUE);
  while (encoder.next_scanline < encoder.image_height) {
    JSAMPROW row = const_cast<uint8_t*>(&image.rgb[size_t{encoder.next_scanline} * encoder.image_width * 3]);
    jpeg_write_scanlines(&encoder, &row, 1);
  }
  jpeg_finish_compress(&encoder);
  std::vector<uint8_t> jpeg(data, data + size);
  jpeg_destroy_compress(&encoder);
  std::free(data);
  return jpeg;
}

// A JPEG of that size.
const std::vector<uint8_t>& Jpeg(int width, int height) {
  static std::map<std::pair<int, int>, std::vector<uint8_t>> made;
  std::vector<uint8_t>& jpeg = made[{width, height}];
  if (jpeg.empty()) {
    const Image photo = Must(LoadImage(kPhotograph));
    Image enlarged{width, height, std::vector<uint8_t>(static_cast<size_t>(width) * static_cast<size_t>(height) * 3)};
    ThreadPool pool(0);
    Resize({photo.rgb.data(), photo.width, photo.height}, width, height, ResampleFilter::kBicubic,
           ResampleArithmetic::kPillow, pool, enlarged.rgb.data());
    jpeg = EncodeJpeg(enlarged);
  }
  return jpeg;
}

int Side(const benchmark::State& state, size_t index) { return static_cast<int>(state.range(index)); }

// longest: DecodeOptions::jpeg_long_side.
void Decode(benchmark::State& state) {
  const std::vector<uint8_t>& jpeg = Jpeg(Side(state, 0), Side(state, 1));
  DecodeOptions options;
  options.jpeg_long_side = Side(state, 2);
  while (state.KeepRunning()) benchmark::DoNotOptimize(Must(DecodeImage(jpeg, "photo.jpg", options)));
}
BENCHMARK(Decode)
    ->Args({1920, 1080, 0})
    ->Args({1920, 1080, 512})
    ->Args({4032, 3024, 0})
    ->Args({4032, 3024, 2016})
    ->Args({4032, 3024, 512})
    ->ArgNames({"width", "height", "longest"})
    ->Unit(benchmark::kMillisecond);

void Preprocess(benchmark::State& state) {
  const Image image = Must(DecodeImage(Jpeg(Side(state, 0), Side(state, 1)), "photo.jpg"));
  ThreadPool pool(Side(state, 2));
  const ImageProcessor processor =
      Must(ImageProcessor::Create(ImageProcessorConfig{.longest_edge = 2048, .max_image_edge = 512}));
  while (state.KeepRunning()) {
    Tiles tiles;
    if (!processor.Append(image, /*split=*/true, pool, tiles).ok()) std::abort();
    benchmark::DoNotOptimize(tiles.rgb.data());
  }
}
BENCHMARK(Preprocess)
    ->Args({1920, 1080, 1})
    ->Args({1920, 1080, 2})
    ->Args({4032, 3024, 1})
    ->Args({4032, 3024, 2})
    ->ArgNames({"width", "height", "threads"})
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace eyeshot

BENCHMARK_MAIN();
