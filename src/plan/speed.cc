#include "plan/speed.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <functional>
#include <numeric>

#include "base/check.h"
#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "formats/json.h"

namespace eyeshot::plan {
namespace {

constexpr double kPico = 1e-12;
constexpr int kFileVersion = 1;
// As the portable kernels: attention of so many queries at most waits for the cache.
constexpr double kFewQueries = 4;
// Inputs from which on a product is cut into slabs, or fewer and fewer of its rows stay in L2.
constexpr double kDeep = 4608;
// Channels of a head and columns of a panel are computed in vectors of so many.
constexpr double kLanes = 32;
// Rows of queries for which a prompt's keys and values are packed once.
constexpr double kQueryRows = 192;
// Lanczos's support on both sides, in pixels of the smaller picture.
constexpr double kTaps = 6;

constexpr std::string_view kLinearNames[] = {"call",   "multiply_add", "input", "output",
                                             "weight", "gelu",         "gate",  "deep"};
constexpr std::string_view kFewNames[] = {"call", "weight_byte", "multiply_add"};
constexpr std::string_view kEncodeNames[] = {"call", "multiply_add", "score", "packed"};
constexpr std::string_view kPromptNames[] = {"call", "multiply_add", "score", "packed"};
constexpr std::string_view kDecodeNames[] = {"call", "multiply_add", "cached"};
constexpr std::string_view kPlainNames[] = {"call", "element"};
constexpr std::string_view kStageNames[] = {"call", "operations"};
constexpr std::string_view kPreprocessNames[] = {"call", "across", "down", "pixel"};

double PaddedTo(double value, double step) { return std::ceil(value / step) * step; }

Features LinearFeatures(const Operation& op) {
  if (op.rows <= op.few_rows) return {1, op.weight_bytes, op.rows * op.inputs * op.outputs};
  const double results = op.rows * op.outputs;
  return {1,
          results * op.inputs,
          op.rows * op.inputs,
          results,
          op.inputs * op.outputs,
          op.gelu ? results : 0,
          op.gated ? results : 0,
          results * op.inputs * std::max(0.0, op.inputs / kDeep - 1)};
}

// Multiply-adds of a pass that makes `to` pixels of `from`, each `lines` times.
double PassWork(double from, double to, double lines) {
  return from == to ? 0 : to * kTaps * std::max(1.0, from / to) * lines;
}

// Adds a resize.
void AddResize(double width, double height, double to_width, double to_height, Features& features) {
  features[1] += PassWork(width, to_width, height);
  features[2] += PassWork(height, to_height, to_width);
  features[3] += to_width * to_height;
}

}  // namespace

std::string ClassOf(const Operation& op) {
  const char* rounding = op.reduced ? "reduced" : "exact";
  const char* cache = op.cache == KvFormat::kInt8 ? "int8" : "f16";
  switch (op.kind) {
    case OperationKind::kLinear:
      return fmt::format("{}.{}", op.rows <= op.few_rows ? "few" : "linear", WeightFormatName(op.format));
    case OperationKind::kEncodeAttention: return fmt::format("encode_attention.{}", rounding);
    case OperationKind::kPagedAttention:
      return fmt::format("{}_attention.{}.{}", op.rows <= kFewQueries ? "decode" : "prompt", rounding, cache);
    case OperationKind::kNorm: return "norm";
    case OperationKind::kRotary: return "rotary";
    case OperationKind::kCopy: return "copy";
    case OperationKind::kFresh: return "fresh";
    case OperationKind::kSample: return "sample";
  }
  return "";
}

Features FeaturesOf(const Operation& op) {
  switch (op.kind) {
    case OperationKind::kLinear: return LinearFeatures(op);
    case OperationKind::kEncodeAttention: {
      const double scores = op.heads * op.rows * op.context;
      // Scores are over channels as they are, mixing values over padded ones.
      const double channels = op.head_dim + PaddedTo(op.head_dim, kLanes);
      return {1, scores * channels, scores, op.rows * op.heads * op.head_dim};
    }
    case OperationKind::kPagedAttention: {
      const double scores = op.heads * op.rows * op.keys;
      const double cached = op.kv_heads * op.context * op.head_dim;
      if (op.rows <= kFewQueries) return {1, scores * op.head_dim, cached};
      return {1, scores * op.head_dim, scores, cached * std::ceil(op.rows / kQueryRows)};
    }
    case OperationKind::kNorm:
    case OperationKind::kRotary:
    case OperationKind::kCopy:
    case OperationKind::kFresh:
    case OperationKind::kSample: return {1, op.rows * op.outputs};
  }
  return {};
}

std::span<const std::string_view> FeatureNames(std::string_view class_name) {
  if (class_name.starts_with("linear.")) return kLinearNames;
  if (class_name.starts_with("few.")) return kFewNames;
  if (class_name.starts_with("encode_attention.")) return kEncodeNames;
  if (class_name.starts_with("prompt_attention.")) return kPromptNames;
  if (class_name.starts_with("decode_attention.")) return kDecodeNames;
  if (class_name.starts_with("stage.")) return kStageNames;
  if (class_name == kPreprocess) return kPreprocessNames;
  return kPlainNames;
}

std::string StageClassOf(StageId id, WeightFormat format) {
  return fmt::format("stage.{}.{}", StageName(id), WeightFormatName(format));
}

Features PreprocessFeatures(const ImageProcessor& processor, const ImageProcessorConfig& config, int width, int height,
                            const TileBudget& budget) {
  // Without a split the grid's size is that after the first resize.
  const TileGrid first = processor.Plan(width, height, {budget.longest_edge, false});
  const TileGrid grid = processor.Plan(width, height, budget);
  const double side = config.max_image_edge;
  Features features{1};
  AddResize(width, height, first.resized_width, first.resized_height, features);
  double from_width = first.resized_width;
  double from_height = first.resized_height;
  if (grid.resized_width != first.resized_width || grid.resized_height != first.resized_height) {
    AddResize(from_width, from_height, grid.resized_width, grid.resized_height, features);
    from_width = grid.resized_width;
    from_height = grid.resized_height;
  }
  AddResize(from_width, from_height, side, side, features);
  features[3] += side * side * grid.rows * grid.cols;
  return features;
}

double MachineSpeed::Seconds(std::string_view class_name, const Features& features) const {
  const auto found = picoseconds.find(class_name);
  if (found == picoseconds.end()) return 0;
  return kPico * std::inner_product(features.begin(), features.end(), found->second.begin(), 0.0);
}

double MachineSpeed::Seconds(const Operation& op) const { return Seconds(ClassOf(op), FeaturesOf(op)); }

double MachineSpeed::Seconds(const std::vector<Operation>& operations) const {
  double sum = 0;
  for (const Operation& op : operations) sum += op.times * Seconds(op);
  return sum;
}

double MachineSpeed::Seconds(StageId id, WeightFormat format, const std::vector<Operation>& operations) const {
  const double one_by_one = Seconds(operations);
  const std::string name = StageClassOf(id, format);
  if (!Knows(name)) return one_by_one;
  double calls = 0;
  for (const Operation& op : operations) calls += op.times;
  return Seconds(name, {calls, one_by_one / kPico});
}

std::string MachineSpeedJson(const MachineSpeed& speed) {
  using OrderedJson = nlohmann::ordered_json;
  OrderedJson json = {{"eyeshot_speed", kFileVersion},
                      {"cpu", speed.cpu},
                      {"isa", speed.isa},
                      {"threads", speed.threads},
                      {"version", speed.version},
                      {"date", speed.date},
                      {"busy_watts", speed.busy_watts},
                      {"watts_source", EnergySourceName(speed.watts_source)},
                      {"fit_median", speed.fit_median},
                      {"fit_worst", speed.fit_worst}};
  json["picoseconds"] = OrderedJson::object();
  for (const auto& [name, figures] : speed.picoseconds) {
    OrderedJson entry = OrderedJson::object();
    const auto names = FeatureNames(name);
    for (size_t i = 0; i < names.size(); ++i) entry[std::string(names[i])] = figures[i];
    json["picoseconds"][name] = entry;
  }
  return json.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

namespace {

// The energy sources that a file may name.
Result<EnergySource> SourceOf(const JsonObject& root) {
  EYESHOT_ASSIGN_OR_RETURN(const std::string name, root.StringOr("watts_source", "none"));
  for (const EnergySource source : {EnergySource::kNone, EnergySource::kRapl, EnergySource::kModel}) {
    if (EnergySourceName(source) == name) return source;
  }
  return root.Error(StatusCode::kCorrupt, "watts_source", "none, rapl or model",
                    "measure again: eyeshot plan --calibrate");
}

Status ReadClass(const JsonObject& all, const std::string& name, MachineSpeed& speed) {
  constexpr double kMostPicoseconds = 1e15;  // a quarter of an hour
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject entry, all.Object(name));
  Features figures{};
  const auto names = FeatureNames(name);
  for (size_t i = 0; i < names.size(); ++i) {
    EYESHOT_ASSIGN_OR_RETURN(figures[i], entry.Number(std::string(names[i]), 0, kMostPicoseconds));
  }
  speed.picoseconds[name] = figures;
  return Status::Ok();
}

}  // namespace

Result<MachineSpeed> ParseMachineSpeed(std::string_view text, const std::string& file) {
  constexpr const char* kMend = "measure again: eyeshot plan --calibrate";
  EYESHOT_ASSIGN_OR_RETURN(const Json tree, ParseJsonTree(text, file));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject root, JsonObject::Root(tree, file));
  EYESHOT_ASSIGN_OR_RETURN(const int64_t version, root.Integer("eyeshot_speed", 0, 1 << 20));
  if (version != kFileVersion) {
    return root.Error(StatusCode::kUnsupported, "eyeshot_speed", fmt::format("{}", kFileVersion), kMend);
  }
  MachineSpeed speed;
  EYESHOT_ASSIGN_OR_RETURN(speed.cpu, root.String("cpu"));
  EYESHOT_ASSIGN_OR_RETURN(speed.isa, root.String("isa"));
  EYESHOT_ASSIGN_OR_RETURN(const int64_t threads, root.Integer("threads", 1, limits::kMaxThreads));
  speed.threads = static_cast<int>(threads);
  EYESHOT_ASSIGN_OR_RETURN(speed.version, root.String("version"));
  EYESHOT_ASSIGN_OR_RETURN(speed.date, root.String("date"));
  EYESHOT_ASSIGN_OR_RETURN(speed.busy_watts, root.NumberOr("busy_watts", 0, limits::kMaxCounterWatts, 0));
  EYESHOT_ASSIGN_OR_RETURN(speed.watts_source, SourceOf(root));
  EYESHOT_ASSIGN_OR_RETURN(speed.fit_median, root.NumberOr("fit_median", 0, 1e6, 0));
  EYESHOT_ASSIGN_OR_RETURN(speed.fit_worst, root.NumberOr("fit_worst", 0, 1e6, 0));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject all, root.Object("picoseconds"));
  if (all.json().size() > limits::kMaxSpeedClasses) {
    return root.Error(StatusCode::kLimitExceeded, "picoseconds",
                      fmt::format("at most {} classes", limits::kMaxSpeedClasses), kMend);
  }
  for (const auto& [name, entry] : all.json().items()) EYESHOT_RETURN_IF_ERROR(ReadClass(all, name, speed));
  return speed;
}

Result<MachineSpeed> LoadMachineSpeed(const std::string& path) {
  EYESHOT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, limits::kMaxMachineBytes));
  return ParseMachineSpeed(text, path);
}

Result<std::string> MachineSpeedPath(const std::function<const char*(const char*)>& get, const std::string& cpu,
                                     const std::string& isa, int threads) {
  const auto value = [&](const char* name) {
    const char* found = get(name);
    return std::string(found == nullptr ? "" : found);
  };
  std::string cache = value("XDG_CACHE_HOME");
  if (cache.empty() && !value("HOME").empty()) cache = JoinPath(value("HOME"), ".cache");
  if (cache.empty()) {
    return NotFoundError("neither XDG_CACHE_HOME nor HOME is set", "set one, or name the file with --speed FILE");
  }
  std::string name;
  for (const char c : cpu) name += std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  return JoinPath(cache, fmt::format("eyeshot/speed-{}-{}-{}.json", name, isa, threads));
}

std::vector<std::string> StaleReasons(const MachineSpeed& speed, const std::string& cpu, const std::string& isa,
                                      int threads, const std::string& version) {
  std::vector<std::string> reasons;
  const auto compare = [&](std::string_view what, const std::string& then, const std::string& now) {
    if (then != now) reasons.push_back(fmt::format("it was measured with the {} {}, and here is {}", what, then, now));
  };
  compare("CPU", speed.cpu, cpu);
  compare("instruction set", speed.isa, isa);
  compare("number of threads", fmt::format("{}", speed.threads), fmt::format("{}", threads));
  compare("program", speed.version, version);
  return reasons;
}

Features FitPicoseconds(std::span<const Features> rows, std::span<const double> seconds) {
  EYESHOT_CHECK(rows.size() == seconds.size());
  // Relative errors: each row is divided by its time. Columns are scaled to a length of 1.
  std::vector<Features> scaled(rows.begin(), rows.end());
  Features length{};
  for (size_t r = 0; r < rows.size(); ++r) {
    for (size_t c = 0; c < kMostFeatures; ++c) {
      scaled[r][c] /= seconds[r] / kPico;
      length[c] += scaled[r][c] * scaled[r][c];
    }
  }
  Features solution{};
  std::vector<double> residual(rows.size(), 1.0);
  // Columns are few and rows some dozens: far more rounds than any fit needs take milliseconds.
  constexpr int kRounds = 50'000;
  for (int round = 0; round < kRounds; ++round) {
    double moved = 0;
    for (size_t c = 0; c < kMostFeatures; ++c) {
      if (length[c] <= 0) continue;
      double gradient = 0;
      for (size_t r = 0; r < rows.size(); ++r) gradient += scaled[r][c] * residual[r];
      const double next = std::max(0.0, solution[c] + gradient / length[c]);
      const double step = next - solution[c];
      if (step == 0) continue;
      solution[c] = next;
      for (size_t r = 0; r < rows.size(); ++r) residual[r] -= scaled[r][c] * step;
      moved = std::max(moved, std::abs(step) * std::sqrt(length[c]));
    }
    if (moved < 1e-12) break;
  }
  return solution;
}

}  // namespace eyeshot::plan
