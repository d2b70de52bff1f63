#include "plan/calibrate.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "base/cpu.h"
#include "base/error.h"
#include "base/large_array.h"
#include "base/median.h"
#include "base/threads.h"
#include "energy/meters/find.h"
#include "kernels/few_rows.h"
#include "plan/calibration_points.h"
#include "plan/mini_decoder.h"

namespace eyeshot::plan {
namespace {

// Other programs make calls slower and never faster; a fifth of the rounds are taken to be free of them.
constexpr size_t kUndisturbed = 5;

// The time that a fifth of the rounds stay below.
double Undisturbed(std::vector<double> times) {
  const auto place = times.begin() + static_cast<std::ptrdiff_t>(times.size() / kUndisturbed);
  std::nth_element(times.begin(), place, times.end());
  return *place;
}

class Calibrator {
 public:
  Calibrator(Backend& backend, const CalibrationOptions& options)
      : backend_(backend), stream_(backend.NewStream()), options_(options), maker_(backend, options.shrink) {}

  Result<Calibration> Run();

 private:
  Status MeasureProducts();
  Status MeasureAttention();
  Status MeasureSmallOperations();
  // How much longer prompts take than their operations one by one, which must have been fitted.
  Status MeasurePrompts(WeightFormat format, double share);
  Status MeasurePreparation(double share);

  // Measures the points of a group, whose share of all work is `share`, and fits each class.
  Status Measure(CallGroup group, double share);
  Result<double> Time(const std::function<Status()>& once);
  void Fit(std::vector<CalibrationPoint> points);
  void SayHowWellItFits();
  Status Report(double share);

  Backend& backend_;
  std::unique_ptr<Stream> stream_;
  const CalibrationOptions& options_;
  PointMaker maker_;
  double done_ = 0;
  Calibration result_;
};

Status Calibrator::Report(double share) {
  const auto& report = options_.on_progress;
  return !report || report(std::min(1.0, done_ + share)) ? Status::Ok() : CancelledError("cancelled");
}

Result<double> Calibrator::Time(const std::function<Status()>& once) {
  std::vector<double> times;
  for (int round = -1; round < options_.rounds; ++round) {
    const auto begin = std::chrono::steady_clock::now();
    EYESHOT_RETURN_IF_ERROR(once());
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
    if (round >= 0) times.push_back(time.count());
  }
  return Undisturbed(std::move(times));
}

Status Calibrator::MeasurePrompts(WeightFormat format, double share) {
  constexpr int64_t kShort = 80;
  constexpr auto kStage = static_cast<size_t>(StageId::kPrefill);
  EYESHOT_ASSIGN_OR_RETURN(const std::unique_ptr<MiniDecoder> model,
                           MiniDecoder::Create(backend_, format, options_.shrink == 1 ? 8 : 1));
  const ModelPrecision precision{.tower = format, .decoder = format};
  std::vector<CalibrationPoint> points;
  for (const int64_t tokens : {kShort, MiniDecoder::kMostTokens}) {
    EYESHOT_ASSIGN_OR_RETURN(const double seconds, Time([&] { return model->Prompt(*stream_, tokens); }));
    std::vector<Operation> operations =
        OperationsOf(model->config(), backend_, precision, {.prompt_tokens = tokens, .output_tokens = 1})[kStage];
    std::erase_if(operations, [](const Operation& op) { return op.kind == OperationKind::kFresh; });  // the cache stays
    double calls = 0;
    for (const Operation& op : operations) calls += op.times;
    points.push_back({StageClassOf(StageId::kPrefill, format),
                      fmt::format("{} tokens", tokens),
                      {calls, result_.speed.Seconds(operations) * 1e12},
                      seconds,
                      0});
  }
  done_ += share;
  Fit(std::move(points));
  return Report(0);
}

Status Calibrator::Measure(CallGroup group, double share) {
  std::vector<std::vector<double>> times(group.points.size());
  for (int round = -1; round < options_.rounds; ++round) {  // the first one warms up
    for (size_t i = 0; i < group.points.size(); ++i) {
      const auto begin = std::chrono::steady_clock::now();
      for (const CalibrationCall& call : group.points[i].calls) call(*stream_);
      EYESHOT_RETURN_IF_ERROR(backend_.Sync(*stream_));
      const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
      if (round >= 0) times[i].push_back(time.count() / static_cast<double>(group.points[i].calls.size()));
    }
    EYESHOT_RETURN_IF_ERROR(Report(share * (round + 2) / (options_.rounds + 1)));
  }
  done_ += share;
  std::map<std::string, std::vector<CalibrationPoint>> by_class;
  for (size_t i = 0; i < group.points.size(); ++i) {
    const TimedCalls& point = group.points[i];
    by_class[point.class_name].push_back(
        {point.class_name, point.shape, point.features, Undisturbed(std::move(times[i])), 0});
  }
  for (auto& [name, points] : by_class) Fit(std::move(points));
  return Status::Ok();
}

void Calibrator::Fit(std::vector<CalibrationPoint> points) {
  std::vector<Features> rows;
  std::vector<double> seconds;
  for (const CalibrationPoint& point : points) {
    rows.push_back(point.features);
    seconds.push_back(point.seconds);
  }
  const std::string& name = points.front().class_name;
  result_.speed.picoseconds[name] = FitPicoseconds(rows, seconds);
  for (CalibrationPoint& point : points) {
    point.fitted_seconds = result_.speed.Seconds(name, point.features);
    result_.points.push_back(point);
  }
}

// Pictures of several sizes and ratios, cut for small tiles and large ones.
Status Calibrator::MeasurePreparation(double share) {
  struct Case {
    int width, height, longest_edge, tile;
    bool split;
  };
  constexpr Case kCases[] = {{800, 600, 2048, 512, true},    {2000, 2000, 2048, 512, true},
                             {2400, 600, 1536, 384, true},   {1000, 1000, 1536, 384, true},
                             {1600, 1200, 2048, 512, false}, {600, 900, 1024, 256, true},
                             {2048, 512, 2048, 512, true},   {3000, 2250, 1536, 384, true}};
  ThreadPool pool(backend_.info().threads);
  std::vector<CalibrationPoint> points;
  std::vector<std::vector<double>> times(std::size(kCases));
  std::vector<Image> pictures;
  points.reserve(std::size(kCases));
  pictures.reserve(std::size(kCases));
  for (const Case& c : kCases) {
    Image image{static_cast<int>(maker_.Shrunk(c.width, 1)), static_cast<int>(maker_.Shrunk(c.height, 1)), {}};
    image.rgb.resize(static_cast<size_t>(image.width) * static_cast<size_t>(image.height) * 3);
    for (size_t i = 0; i < image.rgb.size(); ++i) image.rgb[i] = static_cast<uint8_t>(i * 7 + (i >> 8));
    pictures.push_back(std::move(image));
  }
  for (int round = -1; round < options_.rounds; ++round) {
    for (size_t i = 0; i < std::size(kCases); ++i) {
      const Case& c = kCases[i];
      const ImageProcessorConfig config{.longest_edge = static_cast<int>(maker_.Shrunk(c.longest_edge, 1)),
                                        .max_image_edge = static_cast<int>(maker_.Shrunk(c.tile, 1))};
      EYESHOT_ASSIGN_OR_RETURN(const ImageProcessor processor, ImageProcessor::Create(config));
      const TileBudget budget = processor.Budget(c.split);
      Tiles tiles;
      ReturnFreedMemory();  // of earlier rounds: between two questions much else is allocated
      const auto begin = std::chrono::steady_clock::now();
      EYESHOT_RETURN_IF_ERROR(processor.Append(pictures[i], budget, pool, tiles));
      const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
      if (round >= 0) {
        times[i].push_back(time.count());
        continue;
      }
      points.push_back({std::string(kPreprocess), fmt::format("{} x {}", c.width, c.height),
                        PreprocessFeatures(processor, config, pictures[i].width, pictures[i].height, budget), 0, 0});
    }
    EYESHOT_RETURN_IF_ERROR(Report(share * (round + 2) / (options_.rounds + 1)));
  }
  done_ += share;
  for (size_t i = 0; i < points.size(); ++i) points[i].seconds = Undisturbed(std::move(times[i]));
  Fit(std::move(points));
  return Status::Ok();
}

// The sum of the packages and of memory that a counter covers; nothing where none can be read.
std::optional<double> ReadJoules(FoundMeters& found) {
  std::optional<double> sum;
  for (const std::unique_ptr<Meter>& meter : found.meters) {
    if (OverlapsOthers(meter->info().domain)) continue;
    const Result<EnergySample> sample = meter->Read();
    if (sample.ok()) sum = sum.value_or(0) + sample->joules;
  }
  return sum;
}

constexpr WeightFormat kFormats[] = {WeightFormat::kExact, WeightFormat::kBf16, WeightFormat::kInt8, WeightFormat::kQ8,
                                     WeightFormat::kInt4,  WeightFormat::kQ4,   WeightFormat::kFp8};

// Widths between those of models, on both sides of where kernels cut depths and rows.
Status Calibrator::MeasureProducts() {
  constexpr PointMaker::LinearShape kMany[] = {{.rows = 1024, .outputs = 896, .inputs = 832},
                                               {.rows = 1024, .outputs = 2816, .inputs = 704, .gelu = true},
                                               {.rows = 1458, .outputs = 832, .inputs = 3328, .residual = true},
                                               {.rows = 512, .outputs = 640, .inputs = 1280},
                                               {.rows = 512, .outputs = 1792, .inputs = 1792, .residual = true},
                                               {.rows = 512, .outputs = 3584, .inputs = 1024, .gated = true},
                                               {.rows = 256, .outputs = 1280, .inputs = 5120, .residual = true},
                                               {.rows = 80, .outputs = 896, .inputs = 896},
                                               {.rows = 80, .outputs = 2816, .inputs = 704, .gated = true},
                                               {.rows = 80, .outputs = 2304, .inputs = 2304},
                                               {.rows = 128, .outputs = 704, .inputs = 7168},
                                               {.rows = 144, .outputs = 1536, .inputs = 11264},
                                               {.rows = 24, .outputs = 1024, .inputs = 1024},
                                               {.rows = 24, .outputs = 512, .inputs = 2048}};
  constexpr PointMaker::LinearShape kFew[] = {{.rows = 1, .outputs = 448, .inputs = 448},
                                              {.rows = 1, .outputs = 896, .inputs = 640},
                                              {.rows = 1, .outputs = 2816, .inputs = 704, .gated = true},
                                              {.rows = 1, .outputs = 768, .inputs = 2304, .residual = true},
                                              {.rows = 1, .outputs = 4096, .inputs = 2048}};
  // Where arithmetic counts beside the weights' way: of one row the two can't be told apart.
  constexpr PointMaker::LinearShape kMostOfFew = {.outputs = 2816, .inputs = 704};
  constexpr double kShare = 0.07;
  for (const WeightFormat format : kFormats) {
    if (!backend_.Supports(format)) continue;
    CallGroup group;
    for (const auto& shape : kMany) EYESHOT_RETURN_IF_ERROR(maker_.AddLinear(format, shape, group));
    for (const auto& shape : kFew) EYESHOT_RETURN_IF_ERROR(maker_.AddLinear(format, shape, group));
    PointMaker::LinearShape most = kMostOfFew;
    most.rows = FewRows(backend_, format);
    EYESHOT_RETURN_IF_ERROR(maker_.AddLinear(format, most, group));
    EYESHOT_RETURN_IF_ERROR(Measure(std::move(group), kShare));
  }
  return Status::Ok();
}

Status Calibrator::MeasureAttention() {
  constexpr PointMaker::PagedShape kPaged[] = {
      {512, 512, 9, 3}, {512, 1024, 9, 3}, {512, 512, 16, 16}, {256, 1280, 12, 4}, {96, 96, 9, 3},   {96, 608, 16, 16},
      {1, 64, 9, 3},    {1, 512, 9, 3},    {1, 1536, 12, 4},   {1, 512, 24, 24},   {1, 1536, 24, 24}};
  for (const bool reduced : {false, true}) {
    CallGroup group;
    EYESHOT_RETURN_IF_ERROR(maker_.AddEncodeAttention(reduced, 2, 1024, 6, 64, group));
    EYESHOT_RETURN_IF_ERROR(maker_.AddEncodeAttention(reduced, 2, 729, 6, 72, group));
    EYESHOT_RETURN_IF_ERROR(maker_.AddEncodeAttention(reduced, 1, 576, 10, 64, group));
    EYESHOT_RETURN_IF_ERROR(maker_.AddEncodeAttention(reduced, 1, 256, 8, 64, group));
    EYESHOT_RETURN_IF_ERROR(maker_.AddEncodeAttention(reduced, 2, 400, 6, 80, group));
    EYESHOT_RETURN_IF_ERROR(Measure(std::move(group), 0.02));
    for (const KvFormat format : {KvFormat::kHalf, KvFormat::kInt8}) {
      if (!backend_.SupportsCache(format)) continue;
      CallGroup paged;
      for (const auto& shape : kPaged) EYESHOT_RETURN_IF_ERROR(maker_.AddPaged(reduced, format, shape, paged));
      EYESHOT_RETURN_IF_ERROR(Measure(std::move(paged), 0.03));
    }
  }
  return Status::Ok();
}

Status Calibrator::MeasureSmallOperations() {
  CallGroup group;
  for (const OperationKind kind : {OperationKind::kNorm, OperationKind::kCopy, OperationKind::kRotary}) {
    EYESHOT_RETURN_IF_ERROR(maker_.AddPlain(kind, 1, 576, group));
    EYESHOT_RETURN_IF_ERROR(maker_.AddPlain(kind, 1, 2048, group));
    EYESHOT_RETURN_IF_ERROR(maker_.AddPlain(kind, 512, 1024, group));
  }
  EYESHOT_RETURN_IF_ERROR(maker_.AddSample(16384, group));
  EYESHOT_RETURN_IF_ERROR(maker_.AddSample(49152, group));
  EYESHOT_RETURN_IF_ERROR(maker_.AddFresh(group));
  return Measure(std::move(group), 0.02);
}

void Calibrator::SayHowWellItFits() {
  std::vector<double> errors;
  errors.reserve(result_.points.size());
  for (const CalibrationPoint& point : result_.points) {
    errors.push_back(std::abs(point.fitted_seconds / point.seconds - 1));
  }
  result_.speed.fit_worst = *std::max_element(errors.begin(), errors.end());
  result_.speed.fit_median = Median(std::move(errors));
}

Result<Calibration> Calibrator::Run() {
  if (backend_.packed_layout().empty()) {
    return UnsupportedError(fmt::format("calibration of the {} backend", backend_.info().name),
                            "use the portable backend, on a CPU");
  }
  EYESHOT_RETURN_IF_ERROR(Report(0));
  FoundMeters meters = FindCpuMeters("/sys");
  const std::optional<double> joules_before = ReadJoules(meters);
  const auto begin = std::chrono::steady_clock::now();
  EYESHOT_RETURN_IF_ERROR(MeasureProducts());
  EYESHOT_RETURN_IF_ERROR(MeasureAttention());
  EYESHOT_RETURN_IF_ERROR(MeasureSmallOperations());
  for (const WeightFormat format : kFormats) {
    if (backend_.Supports(format)) EYESHOT_RETURN_IF_ERROR(MeasurePrompts(format, 0.05));
  }
  EYESHOT_RETURN_IF_ERROR(MeasurePreparation(0.08));

  MachineSpeed& speed = result_.speed;
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
  const std::optional<double> joules_after = ReadJoules(meters);
  if (joules_before && joules_after) {
    speed.busy_watts = (*joules_after - *joules_before) / time.count();
    speed.watts_source = EnergySource::kRapl;
  }
  speed.cpu = CpuName();
  speed.isa = backend_.info().isa;
  speed.threads = backend_.info().threads;
  SayHowWellItFits();
  return std::move(result_);
}

}  // namespace

Result<Calibration> Calibrate(Backend& backend, const CalibrationOptions& options) {
  return Calibrator(backend, options).Run();
}

}  // namespace eyeshot::plan
