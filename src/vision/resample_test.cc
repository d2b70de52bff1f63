#include "vision/resample.h"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <string>
#include <vector>

#include "base/sha256.h"
#include "vision/resample_test_pictures.h"
#include "vision/resample_weights.h"

namespace eyeshot {
namespace {

using testing_pictures::Noise;
using testing_pictures::ReadGolden;
using testing_pictures::Smooth;

ResampleFilter FilterNamed(const std::string& name) {
  if (name == "lanczos") return ResampleFilter::kLanczos;
  return name == "bicubic" ? ResampleFilter::kBicubic : ResampleFilter::kBilinear;
}

std::vector<uint8_t> Resized(const Image& image, int width, int height, ResampleFilter filter,
                             ResampleArithmetic arithmetic, ThreadPool& pool) {
  std::vector<uint8_t> out(static_cast<size_t>(width) * static_cast<size_t>(height) * 3);
  Resize({image.rgb.data(), image.width, image.height}, width, height, filter, arithmetic, pool, out.data());
  return out;
}

// Every case of a section of pillow_resize.json.
void ExpectGoldens(const std::string& section, ResampleArithmetic arithmetic) {
  ThreadPool pool(2);
  size_t cases = 0;
  const auto goldens = ReadGolden("media/pillow_resize.json");
  for (const auto& golden : goldens.at(section)) {
    const int width = golden.at("from")[0], height = golden.at("from")[1];
    const Image image = golden.at("seed").is_null() ? Smooth(width, height) : Noise(golden.at("seed"), width, height);
    const auto resized =
        Resized(image, golden.at("to")[0], golden.at("to")[1], FilterNamed(golden.at("filter")), arithmetic, pool);
    EXPECT_EQ(Sha256Hex(resized), golden.at("sha256").get<std::string>()) << golden;
    ++cases;
  }
  EXPECT_GE(cases, 50u);
}

TEST(Resample, EqualsPillowToTheByte) { ExpectGoldens("pillow", ResampleArithmetic::kPillow); }

TEST(Resample, EqualsPillow13ToTheByte) { ExpectGoldens("pillow13", ResampleArithmetic::kPillow13); }

TEST(Resample, EqualsTorchToTheByte) { ExpectGoldens("torch", ResampleArithmetic::kTorch); }

TEST(Resample, DoesNotDependOnTheInstructionSet) {
  ThreadPool pool(1);
  const Image image = Noise(7, 211, 97);
  const auto expected = Resized(image, 333, 45, ResampleFilter::kLanczos, ResampleArithmetic::kPillow, pool);
  const int64_t supported = hwy::SupportedTargets();
  for (int64_t rest = supported; rest != 0; rest &= rest - 1) {
    hwy::SetSupportedTargetsForTest(rest & -rest);
    EXPECT_EQ(Resized(image, 333, 45, ResampleFilter::kLanczos, ResampleArithmetic::kPillow, pool), expected)
        << hwy::TargetName(rest & -rest);
  }
  hwy::SetSupportedTargetsForTest(0);
}

TEST(Resample, DoesNotDependOnTheNumberOfThreads) {
  const Image image = Noise(3, 300, 500);
  ThreadPool one(1), three(3);
  EXPECT_EQ(Resized(image, 128, 400, ResampleFilter::kBicubic, ResampleArithmetic::kPillow, one),
            Resized(image, 128, 400, ResampleFilter::kBicubic, ResampleArithmetic::kPillow, three));
}

TEST(Resample, KeepsAUniformPictureUniform) {
  ThreadPool pool(1);
  Image image = testing_pictures::Blank(37, 23);
  std::fill(image.rgb.begin(), image.rgb.end(), uint8_t{201});
  for (const int width : {1, 20, 37, 200}) {
    const auto out = Resized(image, width, 50, ResampleFilter::kLanczos, ResampleArithmetic::kPillow, pool);
    EXPECT_EQ(out, std::vector<uint8_t>(out.size(), 201)) << width;
  }
}

TEST(ResampleWeights, AddUpToOneWithinRounding) {
  for (const auto arithmetic : {ResampleArithmetic::kPillow, ResampleArithmetic::kTorch}) {
    const ResampleWeights weights = ComputeWeights(1000, 77, ResampleFilter::kLanczos, arithmetic);
    for (size_t i = 0; i < 77; ++i) {
      int64_t sum = 0;
      for (int t = 0; t < weights.stride; ++t)
        sum += weights.weights[i * static_cast<size_t>(weights.stride) + static_cast<size_t>(t)];
      EXPECT_NEAR(static_cast<double>(sum) / (1 << weights.precision), 1.0, 0.01);
    }
  }
}

TEST(ResampleWeights, TorchsFitSixteenBits) {
  for (const int from : {1, 10, 100, 2000}) {
    const ResampleWeights weights = ComputeWeights(from, 64, ResampleFilter::kLanczos, ResampleArithmetic::kTorch);
    for (const int32_t weight : weights.weights) EXPECT_LT(std::abs(weight), 1 << 15) << from;
  }
}

}  // namespace
}  // namespace eyeshot
