#include "plan/cost.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "energy/simulator/power.h"

namespace eyeshot::plan {
namespace {

// What stands around a question in SmolVLM's template, and around each picture and tile, where no tokenizer says:
// "<|im_start|>User:", "<end_of_utterance>\nAssistant:" and the markers of docs/prompts.md.
constexpr int64_t kTemplateTokens = 8;
constexpr int64_t kTileMarkers = 2;
constexpr int64_t kPictureMarkers = 4;
// "\nFrame from 00:01:" with its marker, and what the model is told of the clip.
constexpr int64_t kFrameMarkers = 12;
constexpr int64_t kClipText = 40;
// Of what follows the last picture when the question comes first: the end of the turn and "Assistant:".
constexpr int64_t kAfterPictures = 5;

// Program, libraries, tokenizer and the pool's stacks (`eyeshot ask` with the built-in model, its weights and scratch
// memory taken off).
constexpr double kProgramBytes = 24e6;
// A vocabulary's strings, ranks and tables.
constexpr double kTokenBytes = 300;

constexpr double kModelError = 0.5;  // of a power that nobody measured

int64_t VisualTokens(const ModelConfig& config, const Variant& variant, const std::vector<TileGrid>& grids) {
  const auto kept = [&](int64_t keep) { return keep == 0 ? config.visual_tokens_per_tile() : keep; };
  int64_t tokens = 0;
  for (const TileGrid& grid : grids) {
    tokens += (grid.tiles() - 1) * kept(variant.keep) + kept(variant.keep_global.value_or(variant.keep));
  }
  return tokens;
}

int64_t EstimatedText(const std::vector<TileGrid>& grids) {
  int64_t tokens = kTemplateTokens;
  for (const TileGrid& grid : grids) {
    tokens += kPictureMarkers + kTileMarkers * grid.rows * grid.cols + grid.rows;  // a line break a row
  }
  return tokens;
}

int64_t Frames(const Workload& workload) {
  return std::accumulate(workload.clips.begin(), workload.clips.end(), int64_t{0});
}

// Tokens of the prompt without the question and with every visual token.
Result<int64_t> PromptTokens(const ModelAtHand& model, const std::vector<TileGrid>& grids, int64_t tiles) {
  const int64_t visual = tiles * model.config.visual_tokens_per_tile();
  if (!model.format) return EstimatedText(grids) + visual;
  PromptMessage message{Role::kUser, {}};
  for (const TileGrid& grid : grids) message.parts.emplace_back(PromptImage{grid.rows, grid.cols});
  if (grids.empty()) message.parts.emplace_back(std::string("."));
  EYESHOT_ASSIGN_OR_RETURN(const Prompt prompt, model.format->Render({&message, 1}, true));
  return static_cast<int64_t>(prompt.ids.size());
}

Status CheckKeep(const ModelAtHand& model, const Variant& variant) {
  const int64_t all = model.config.visual_tokens_per_tile();
  for (const int64_t keep : {variant.keep, variant.keep_global.value_or(0)}) {
    if (keep >= 0 && keep <= all) continue;
    return InvalidArgumentError(fmt::format("{} visual tokens of a tile are to be kept of {}", keep, model.name),
                                fmt::format("keep 1 to {}, or 0 for all", all));
  }
  return Status::Ok();
}

// Of weights that are `format` in place of the two bytes that the simulator takes.
double ByteRatio(const ModelConfig& config, const Backend& backend, WeightFormat format) {
  const int64_t width = config.text.hidden_size;
  return static_cast<double>(backend.PackedLinearBytes(width, width, format)) /
         static_cast<double>(backend.PackedLinearBytes(width, width, WeightFormat::kBf16));
}

simulator::ModelShape ShapeOf(const ModelAtHand& model) {
  const VisionConfig& v = model.config.vision;
  const TextConfig& t = model.config.text;
  const auto number = [](int64_t value) { return static_cast<double>(value); };
  simulator::ModelShape shape{};
  shape.name = model.name;
  shape.source = "config.json";
  if (model.config.has_vision()) {
    shape.vision = {number(v.num_layers),
                    number(v.hidden_size),
                    number(v.intermediate_size),
                    2,
                    number(v.patches()),
                    number(v.patches()),
                    number(model.config.visual_tokens_per_tile())};
  }
  shape.text = {number(t.num_layers),
                number(t.hidden_size),
                number(t.intermediate_size),
                number(t.num_heads * t.head_dim),
                number(t.num_kv_heads * t.head_dim),
                number(t.vocab_size)};
  return shape;
}

constexpr std::pair<simulator::Stage, StageId> kSimulated[] = {{simulator::Stage::kEncode, StageId::kEncode},
                                                               {simulator::Stage::kPrefill, StageId::kPrefill},
                                                               {simulator::Stage::kDecode, StageId::kDecode}};

// One step of a stage, with weights as the variant has them.
simulator::Work SimulatedWork(simulator::Stage stage, const ModelAtHand& model, const Variant& variant,
                              const Place& place, const simulator::Request& request) {
  const simulator::ModelShape shape = ShapeOf(model);
  const auto batch = static_cast<double>(variant.batch);
  simulator::Work work = simulator::StageWork(stage, shape, *place.software, request, batch);
  const double weights = simulator::StageWork(stage, shape, *place.software, {}, 0).stream_bytes;
  const bool tower = stage == simulator::Stage::kEncode;
  const WeightFormat format = tower ? variant.precision.tower : variant.precision.decoder;
  work.stream_bytes += weights * (ByteRatio(model.config, *place.backend, format) - 1);
  return work;
}

void Simulate(const ModelAtHand& model, const Variant& variant, const Place& place, const Workload& workload,
              CostEstimate& estimate) {
  const Request& request = estimate.request;
  const auto batch = static_cast<double>(variant.batch);
  const double clock = variant.clock_mhz > 0 ? variant.clock_mhz : place.machine->clock_max_mhz;
  const auto text = static_cast<double>(request.prompt_tokens - request.cached_tokens - request.visual_tokens);
  simulator::Request run{static_cast<double>(request.tiles), static_cast<double>(request.visual_tokens), text,
                         static_cast<double>(workload.output_tokens)};
  for (const auto& [stage, id] : kSimulated) {
    // What is cached isn't read, but looked at by every later step.
    if (stage == simulator::Stage::kDecode) run.text_tokens += static_cast<double>(request.cached_tokens);
    const double steps = simulator::StageSteps(stage, run);
    if (steps <= 0) continue;
    const simulator::Point point =
        simulator::RunAt(*place.machine, SimulatedWork(stage, model, variant, place, run), clock);
    StageCost cost = estimate.ledger.cost(id);
    cost.wall_ns = static_cast<uint64_t>(1e9 * steps * point.seconds / batch);
    const Joules joules = simulator::SimulatedJoules(steps * point.joules() / batch);
    estimate.ledger.Add(id, {.wall_ns = cost.wall_ns});
    estimate.ledger.SetJoules(id, joules);
    estimate.batch_s += steps * point.seconds;
    if (stage != simulator::Stage::kDecode) estimate.first_token_s += steps * point.seconds;
    if (stage == simulator::Stage::kDecode) estimate.first_token_s += point.seconds;
  }
}

Status AddPreprocess(const ModelAtHand& model, const Workload& workload, const Variant& variant, const Place& place,
                     const std::vector<TileGrid>& grids, Ledger& ledger) {
  EYESHOT_ASSIGN_OR_RETURN(const ImageProcessor processor, ImageProcessor::Create(model.processing));
  double seconds = 0;
  double bytes = 0;
  for (size_t i = 0; i < grids.size(); ++i) {
    const auto& [width, height] = workload.pictures[i];
    const double side = model.processing.max_image_edge;
    bytes += 3 * (static_cast<double>(width) * height + grids[i].tiles() * side * side);
    if (place.speed == nullptr) continue;
    Image size;
    size.width = width;
    size.height = height;
    EYESHOT_ASSIGN_OR_RETURN(const TileBudget budget, processor.Budget(size, variant.detail));
    seconds +=
        place.speed->Seconds(kPreprocess, PreprocessFeatures(processor, model.processing, width, height, budget));
  }
  ledger.Add(StageId::kPreprocess, {.wall_ns = static_cast<uint64_t>(1e9 * seconds),
                                    .bytes = static_cast<uint64_t>(bytes),
                                    .runs = workload.pictures.empty() ? 0u : 1u});
  return Status::Ok();
}

uint64_t TokensOf(StageId id, const Request& request, const ModelConfig& config) {
  switch (id) {
    case StageId::kEncode: return static_cast<uint64_t>(request.tiles * config.vision.patches());
    case StageId::kConnect: return static_cast<uint64_t>(request.tiles * config.visual_tokens_per_tile());
    case StageId::kReduce: return static_cast<uint64_t>(request.visual_tokens);
    case StageId::kPrefill: return static_cast<uint64_t>(request.prompt_tokens - request.cached_tokens);
    case StageId::kDecode: return static_cast<uint64_t>(request.output_tokens);
    default: return 0;
  }
}

void AddOperations(const ModelAtHand& model, const Variant& variant, const Place& place, CostEstimate& estimate) {
  const StageOperations stages = OperationsOf(model.config, *place.backend, variant.precision, estimate.request);
  for (size_t i = 0; i < kStageCount; ++i) {
    if (stages[i].empty()) continue;
    const auto id = static_cast<StageId>(i);
    const bool tower = id < StageId::kPrefill;
    const WeightFormat format = tower ? variant.precision.tower : variant.precision.decoder;
    const double seconds = place.speed != nullptr ? place.speed->Seconds(id, format, stages[i]) : 0;
    estimate.ledger.Add(id, {.wall_ns = static_cast<uint64_t>(1e9 * seconds),
                             .bytes = static_cast<uint64_t>(TotalBytes(stages[i])),
                             .flops = static_cast<uint64_t>(TotalFlops(stages[i])),
                             .tokens = TokensOf(id, estimate.request, model.config),
                             .runs = 1});
  }
}

// Power times time, where the power is known or said.
void AddJoules(const Place& place, Ledger& ledger) {
  const bool measured = place.watts <= 0 && place.speed != nullptr && place.speed->busy_watts > 0;
  const double watts = measured ? place.speed->busy_watts : place.watts;
  if (watts <= 0) return;
  // Of a counter's power what is left to err is the time.
  constexpr double kTimeError = 0.2;
  const double error = measured ? kTimeError : kModelError;
  for (size_t i = 0; i < kStageCount; ++i) {
    const auto id = static_cast<StageId>(i);
    const double joules = watts * static_cast<double>(ledger.cost(id).wall_ns) / 1e9;
    if (joules > 0) ledger.SetJoules(id, {joules, joules * (1 - error), joules * (1 + error), EnergySource::kModel});
  }
}

Result<MemoryEstimate> EstimateMemory(const ModelAtHand& model, const Workload& workload, const Variant& variant,
                                      const Place& place, const CutRequest& cut) {
  const Request& request = cut.request;
  EYESHOT_ASSIGN_OR_RETURN(const ModelFamily* family, FindModelFamily(model.config.model_type));
  const int64_t context = request.prompt_tokens + request.output_tokens;
  const MemoryPlan plan = family->plan(model.config, *place.backend, variant.precision, context, request.tiles);
  const auto bytes = [](size_t value) { return static_cast<double>(value); };
  MemoryEstimate memory;
  const auto vocabulary = static_cast<double>(model.config.text.vocab_size);
  memory.program = kProgramBytes + kTokenBytes * vocabulary;
  memory.weights = bytes(plan.tower_weights + plan.connector_weights + plan.decoder_weights);
  // Of the tower's memory, what its tiles touch.
  const double group = std::max(1, place.backend->info().tower_group);
  const double touched = std::min(1.0, static_cast<double>(request.tiles) / group);
  memory.workspace = bytes(plan.decoder_workspace) + touched * bytes(plan.tower_workspace);
  memory.kv_cache = static_cast<double>(variant.batch) * bytes(plan.kv_cache);
  memory.pictures = bytes(plan.pictures);
  // The picture as it was decoded, and resized: an allocator seldom gives back what it has.
  for (const auto& [width, height] : workload.pictures) memory.pictures += 3.0 * width * height;
  double largest = 0;
  for (const TileGrid& grid : cut.grids) largest = std::max(largest, 3.0 * grid.resized_width * grid.resized_height);
  memory.pictures += largest;
  return memory;
}

}  // namespace

double DecoderParameters(const ModelConfig& config) {
  const TextConfig& t = config.text;
  const auto width = static_cast<double>(t.hidden_size);
  const auto q = static_cast<double>(t.num_heads * t.head_dim);
  const auto kv = static_cast<double>(t.num_kv_heads * t.head_dim);
  const double layer = width * (2 * q + 2 * kv) + 3 * width * static_cast<double>(t.intermediate_size);
  return static_cast<double>(t.num_layers) * layer + width * static_cast<double>(t.vocab_size);
}

double VisionParameters(const ModelConfig& config) {
  if (!config.has_vision()) return 0;
  const VisionConfig& v = config.vision;
  const auto width = static_cast<double>(v.hidden_size);
  const double layer = 4 * width * width + 2 * width * static_cast<double>(v.intermediate_size);
  const auto depth = static_cast<double>(v.num_channels * v.patch_size * v.patch_size);
  const auto shuffled = width * static_cast<double>(config.scale_factor * config.scale_factor);
  return static_cast<double>(v.num_layers) * layer + width * (depth + static_cast<double>(v.patches())) +
         shuffled * static_cast<double>(config.text.hidden_size);
}

Result<std::vector<TileGrid>> GridsOf(const ModelAtHand& model, const Workload& workload, const PictureDetail& detail) {
  std::vector<TileGrid> grids;
  if (workload.pictures.empty()) return grids;
  if (!model.config.has_vision()) {
    return InvalidArgumentError(fmt::format("pictures for {}, which reads text alone", model.name),
                                "take a vision-language model, or no pictures");
  }
  EYESHOT_ASSIGN_OR_RETURN(const ImageProcessor processor, ImageProcessor::Create(model.processing));
  for (const auto& [width, height] : workload.pictures) {
    Image size;  // no pixels: only the sides are looked at
    size.width = width;
    size.height = height;
    EYESHOT_ASSIGN_OR_RETURN(const TileBudget budget, processor.Budget(size, detail));
    grids.push_back(processor.Plan(width, height, budget));
  }
  return grids;
}

Result<CutRequest> CutRequestOf(const ModelAtHand& model, const Workload& workload, const Variant& variant) {
  EYESHOT_RETURN_IF_ERROR(CheckKeep(model, variant));
  CutRequest cut;
  EYESHOT_ASSIGN_OR_RETURN(cut.grids, GridsOf(model, workload, variant.detail));
  Request& request = cut.request;
  for (const TileGrid& grid : cut.grids) request.tiles += grid.tiles();
  EYESHOT_ASSIGN_OR_RETURN(int64_t whole, PromptTokens(model, cut.grids, request.tiles));
  const int64_t all = request.tiles * model.config.visual_tokens_per_tile();
  request.visual_tokens = VisualTokens(model.config, variant, cut.grids);
  if (const int64_t frames = Frames(workload); frames > 0) {
    const int64_t each = variant.keep == 0 ? model.config.visual_tokens_per_tile() : variant.keep;
    request.tiles += frames;
    request.visual_tokens += variant.clip_tokens.value_or(frames * each);
    whole += frames * kFrameMarkers + static_cast<int64_t>(workload.clips.size()) * kClipText;
  }
  request.prompt_tokens = workload.history_tokens + whole - all + request.visual_tokens + workload.question_tokens;
  request.output_tokens = workload.output_tokens;
  request.tower_patches = variant.tower_patches;
  request.cached_tokens = workload.history_tokens;
  if (workload.cached_question) {
    const int64_t text = request.prompt_tokens - request.cached_tokens - request.visual_tokens;
    request.cached_tokens += std::clamp<int64_t>(workload.question_tokens, 0, text - kAfterPictures);
  }
  const int64_t longest = model.config.text.max_positions;
  if (request.prompt_tokens + 1 > longest) {
    return ContextFullError(fmt::format("{} tokens for {}, which reads {}", request.prompt_tokens, model.name, longest),
                            "use fewer or smaller pictures, fewer tiles, or keep fewer visual tokens");
  }
  return cut;
}

Result<CostEstimate> EstimateCost(const ModelAtHand& model, const Workload& workload, const Variant& variant,
                                  const Place& place) {
  EYESHOT_ASSIGN_OR_RETURN(const CutRequest cut, CutRequestOf(model, workload, variant));
  return EstimateCost(model, workload, variant, place, cut);
}

Result<CostEstimate> EstimateCost(const ModelAtHand& model, const Workload& workload, const Variant& variant,
                                  const Place& place, const CutRequest& cut) {
  if (variant.batch != 1 && !place.simulated()) {
    return InvalidArgumentError(fmt::format("a batch of {} on this machine", variant.batch),
                                "use a batch of 1: requests are answered one after the other here");
  }
  CostEstimate estimate;
  estimate.simulated = place.simulated();
  estimate.request = cut.request;
  AddOperations(model, variant, place, estimate);
  EYESHOT_RETURN_IF_ERROR(AddPreprocess(model, workload, variant, place, cut.grids, estimate.ledger));
  if (place.simulated()) {
    Simulate(model, variant, place, workload, estimate);
  } else {
    AddJoules(place, estimate.ledger);
    estimate.batch_s = estimate.seconds();
    const double decode = static_cast<double>(estimate.ledger.cost(StageId::kDecode).wall_ns) / 1e9;
    estimate.first_token_s = estimate.seconds() - decode;
  }
  estimate.kv_bytes = static_cast<double>(estimate.request.prompt_tokens + estimate.request.output_tokens) *
                      CacheBytesPerToken(model.config, *place.backend, variant.precision.kv_cache);
  EYESHOT_ASSIGN_OR_RETURN(estimate.memory, EstimateMemory(model, workload, variant, place, cut));
  return estimate;
}

}  // namespace eyeshot::plan
