#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "cli/inspect.h"
#include "cli/report.h"
#include "formats/generation_config.h"
#include "formats/model_config.h"
#include "formats/packed_weights.h"
#include "formats/processor_config.h"
#include "formats/safetensors.h"
#include "kernels/backend.h"
#include "models/model_source.h"
#include "text/tokenizer.h"
#include "vision/image_processor.h"

namespace eyeshot::cli {
namespace {

struct Parameters {
  int64_t tower = 0;
  int64_t connector = 0;
  int64_t embedding = 0;
  int64_t decoder = 0;
  int64_t head = 0;
  int64_t other = 0;
  int64_t total() const { return tower + connector + embedding + decoder + head + other; }
};

struct ModelReport {
  std::string dir;
  std::string family;
  ModelConfig config;
  size_t files = 0;
  uint64_t bytes = 0;
  std::string dtypes;  // "bfloat16", or several with commas
  bool wide = false;   // some matrix is in a float type other than bfloat16, so that exact weights may take float32
  std::vector<std::string> notes;
  Parameters parameters;
  int64_t context = 0;
  BackendInfo backend;
  MemoryPlan plan;
  ImageProcessorConfig processing;
  int most_tiles = 0;  // of one picture
  std::vector<std::pair<int32_t, std::string>> stop_tokens;
};

// Plans are a CPU's unless a GPU is named.
Result<std::unique_ptr<Backend>> PlanningBackend(const ModelFlags& flags) {
  return CreateBackend({.name = flags.backend,
                        .device = flags.device == "auto" ? "cpu" : flags.device,
                        .threads = flags.threads,
                        .gpu_memory = flags.gpu_memory});
}

void Count(std::string_view name, int64_t elements, Parameters& counts) {
  const auto has = [&](std::string_view part) { return name.find(part) != std::string_view::npos; };
  const auto begins = [&](std::string_view part) { return name.starts_with(part); };
  // Names of Hugging Face's checkpoints, and of GGUF files.
  int64_t& part = has("vision_model.") || begins("v.")            ? counts.tower
                  : has("connector.") || begins("mm.")            ? counts.connector
                  : has("embed_tokens.") || begins("token_embd.") ? counts.embedding
                  : begins("lm_head.") || begins("output.")       ? counts.head
                  : has("text_model.") || begins("model.layers.") || begins("model.norm.") || begins("blk.") ||
                          begins("output_norm.")
                      ? counts.decoder
                      : counts.other;
  part += elements;
}

void ExamineTensors(const std::vector<HostTensor>& tensors, std::set<std::string, std::less<>>& names,
                    ModelReport& report) {
  for (const HostTensor& tensor : tensors) {
    Count(tensor.name, tensor.elements(), report.parameters);
    names.emplace(DTypeName(tensor.dtype));
    const bool matrix = tensor.shape.size() >= 2;
    report.wide = report.wide || (matrix && (tensor.dtype == DType::kF32 || tensor.dtype == DType::kF16));
  }
}

// Files, bytes, dtypes and parameters, of GGUF files, of packed weights or of a checkpoint.
Status ExamineWeights(const ModelSource& source, ModelReport& report) {
  std::set<std::string, std::less<>> names;
  if (const GgufModel* gguf = source.gguf()) {
    report.files = gguf->mmproj() != nullptr ? 2 : 1;
    report.bytes = gguf->bytes();
    ExamineTensors(gguf->text().tensors(), names, report);
    if (gguf->mmproj() != nullptr) ExamineTensors(gguf->mmproj()->tensors(), names, report);
    report.dtypes = fmt::format("{}", fmt::join(names, ", "));
    return Status::Ok();
  }
  const std::string packed_path = JoinPath(report.dir, kPackedWeightsFile);
  if (FileExists(packed_path)) {
    EYESHOT_ASSIGN_OR_RETURN(const PackedWeights packed, PackedWeights::Open(packed_path));
    report.files = 1;
    report.bytes = packed.bytes();
    for (const auto& [name, entry] : packed.entries()) {
      Count(name, entry.outputs * entry.inputs, report.parameters);
      if (entry.kind == "linear") names.insert(entry.format);
    }
    report.dtypes = fmt::format("packed as {}", fmt::join(names, ", "));
    return Status::Ok();
  }
  EYESHOT_ASSIGN_OR_RETURN(const Checkpoint checkpoint, Checkpoint::Open(report.dir));
  report.files = checkpoint.files().size();
  report.bytes = checkpoint.bytes();
  ExamineTensors(checkpoint.tensors(), names, report);
  report.dtypes = fmt::format("{}", fmt::join(names, ", "));
  return Status::Ok();
}

// Of one picture.
Result<int> MostTiles(const ImageProcessorConfig& config) {
  EYESHOT_ASSIGN_OR_RETURN(const ImageProcessor processor, ImageProcessor::Create(config));
  return processor.Plan(config.longest_edge, config.longest_edge, config.do_image_splitting).tiles();
}

Result<std::vector<std::pair<int32_t, std::string>>> StopTokens(const ModelSource& source) {
  EYESHOT_ASSIGN_OR_RETURN(const GenerationConfig generation, source.Generation());
  EYESHOT_ASSIGN_OR_RETURN(const Tokenizer tokenizer, source.ReadTokenizer());
  std::set<int32_t> ids(generation.eos_token_ids.begin(), generation.eos_token_ids.end());
  if (const auto end = tokenizer.TokenId("<end_of_utterance>")) ids.insert(*end);
  std::vector<std::pair<int32_t, std::string>> tokens;
  tokens.reserve(ids.size());
  for (int32_t id : ids) tokens.emplace_back(id, tokenizer.TokenBytes(id));
  return tokens;
}

// What exact weights take at most: those of a wide checkpoint may need float32.
ModelPrecision AtMost(ModelPrecision precision, bool wide) {
  if (!wide) return precision;
  for (WeightFormat* format : {&precision.tower, &precision.decoder}) {
    if (*format == WeightFormat::kExact) *format = WeightFormat::kFloat32;
  }
  return precision;
}

Result<ModelReport> Examine(const InspectFlags& flags) {
  ModelReport report;
  report.dir = flags.target;
  EYESHOT_ASSIGN_OR_RETURN(const ModelSource source, ModelSource::Open(LocationOf(flags.model, flags.target)));
  report.config = source.config();
  report.notes = source.notes();
  EYESHOT_ASSIGN_OR_RETURN(const ModelFamily* family, FindModelFamily(report.config.model_type));
  report.family = family->name;
  EYESHOT_RETURN_IF_ERROR(ExamineWeights(source, report));

  EYESHOT_ASSIGN_OR_RETURN(const std::unique_ptr<Backend> backend, PlanningBackend(flags.model));
  EYESHOT_ASSIGN_OR_RETURN(ModelPrecision precision, ChoosePrecision(source, flags.model.precision, *backend));
  EYESHOT_ASSIGN_OR_RETURN(precision.kv_cache, ParseKvFormat(flags.model.kv_cache));
  report.backend = backend->info();
  report.backend.precision = PrecisionName(precision, *backend);
  report.context = flags.model.context > 0 ? flags.model.context : report.config.text.max_positions;
  if (report.config.has_vision()) {
    EYESHOT_ASSIGN_OR_RETURN(report.processing, source.Processor());
    EYESHOT_ASSIGN_OR_RETURN(report.most_tiles, MostTiles(report.processing));
  }
  report.plan =
      family->plan(report.config, *backend, AtMost(precision, report.wide), report.context, report.most_tiles);
  EYESHOT_ASSIGN_OR_RETURN(report.stop_tokens, StopTokens(source));
  return report;
}

OrderedJson ShapesJson(const ModelConfig& config) {
  const VisionConfig& vision = config.vision;
  const TextConfig& text = config.text;
  OrderedJson shapes;
  if (config.has_vision()) {
    shapes = {{"vision",
               {{"layers", vision.num_layers},
                {"width", vision.hidden_size},
                {"mlp", vision.intermediate_size},
                {"heads", vision.num_heads},
                {"tile_side", vision.image_size},
                {"patch_side", vision.patch_size},
                {"patches_per_tile", vision.patches()}}},
              {"connector",
               {{"type", ConnectorTypeName(config.connector.type)},
                {"scale_factor", config.scale_factor},
                {"visual_tokens_per_tile", config.visual_tokens_per_tile()},
                {"reduced_tokens", config.connector.reduced_tokens}}}};
  }
  shapes["text"] = {{"layers", text.num_layers},     {"width", text.hidden_size},
                    {"mlp", text.intermediate_size}, {"heads", text.num_heads},
                    {"kv_heads", text.num_kv_heads}, {"head_dim", text.head_dim},
                    {"vocabulary", text.vocab_size}, {"positions", text.max_positions},
                    {"rope_theta", text.rope_theta}, {"tied_head", config.tie_word_embeddings}};
  return shapes;
}

void PrintModelJson(const ModelReport& report) {
  const Parameters& parameters = report.parameters;
  const MemoryPlan& plan = report.plan;
  OrderedJson json = {{"model", report.dir},
                      {"family", report.family},
                      {"model_type", report.config.model_type},
                      {"files", report.files},
                      {"bytes", report.bytes},
                      {"dtype", report.dtypes},
                      {"parameters",
                       {{"total", parameters.total()},
                        {"vision", parameters.tower},
                        {"connector", parameters.connector},
                        {"embedding", parameters.embedding},
                        {"decoder", parameters.decoder},
                        {"head", parameters.head},
                        {"other", parameters.other}}},
                      {"shapes", ShapesJson(report.config)},
                      {"most_tiles", report.most_tiles},
                      {"longest_edge", report.processing.longest_edge}};
  json["notes"] = report.notes;
  json["stop_tokens"] = OrderedJson::array();
  for (const auto& [id, text] : report.stop_tokens) json["stop_tokens"].push_back({{"id", id}, {"text", text}});
  json["memory_plan"] = {{"backend", report.backend.name},
                         {"precision", report.backend.precision},
                         {"context_tokens", report.context},
                         {"tower_weights", plan.tower_weights},
                         {"connector_weights", plan.connector_weights},
                         {"decoder_weights", plan.decoder_weights},
                         {"tower_workspace", plan.tower_workspace},
                         {"decoder_workspace", plan.decoder_workspace},
                         {"pictures", plan.pictures},
                         {"kv_cache", plan.kv_cache},
                         {"total", plan.total()}};
  PrintJson(json);
}

// "pixel shuffle", "elastic (1, 4, 16)".
std::string ConnectorName(const ConnectorConfig& connector) {
  if (connector.type == ConnectorConfig::Type::kPixelShuffle) return "pixel shuffle";
  const std::string_view name = ConnectorTypeName(connector.type);
  if (connector.reduced_tokens.empty()) return std::string(name);
  return fmt::format("{} ({})", name, fmt::join(connector.reduced_tokens, ", "));
}

void PrintVision(const ModelReport& report) {
  const VisionConfig& vision = report.config.vision;
  fmt::print("\nvision tower   {} layers, width {}, MLP {}, {} heads of {}\n", vision.num_layers, vision.hidden_size,
             vision.intermediate_size, vision.num_heads, vision.head_dim());
  fmt::print("tile           {} x {} pixels, {} patches of {} x {}\n", vision.image_size, vision.image_size,
             vision.patches(), vision.patch_size, vision.patch_size);
  fmt::print("connector      {} {} x {}: {} visual tokens a tile, at most {} tiles a picture\n",
             ConnectorName(report.config.connector), report.config.scale_factor, report.config.scale_factor,
             report.config.visual_tokens_per_tile(), report.most_tiles);
}

void PrintShapes(const ModelReport& report) {
  const TextConfig& text = report.config.text;
  if (report.config.has_vision()) {
    PrintVision(report);
  } else {
    fmt::print("\nvision tower   none: text alone\n");
  }
  fmt::print("decoder        {} layers, width {}, MLP {}, {} heads of {}, {} key/value heads\n", text.num_layers,
             text.hidden_size, text.intermediate_size, text.num_heads, text.head_dim, text.num_kv_heads);
  fmt::print("text           {} tokens, {} positions, rotary base {}, head {}\n", text.vocab_size, text.max_positions,
             text.rope_theta, report.parameters.head > 0 ? "of its own" : "tied to the embedding");
  fmt::print("stops at      ");
  for (const auto& [id, content] : report.stop_tokens) fmt::print(" {} ({})", content, id);
  fmt::print("\n");
}

void PrintModelText(const ModelReport& report) {
  const Parameters& parameters = report.parameters;
  fmt::print("{}: {} ({}), {} in {} file{}, {}\n", report.dir, report.config.model_type, report.family,
             BytesText(report.bytes), report.files, report.files == 1 ? "" : "s", report.dtypes);
  PrintShapes(report);
  fmt::print("\nparameters     {:>13}\n", parameters.total());
  const std::pair<const char*, int64_t> parts[] = {
      {"vision tower", parameters.tower}, {"connector", parameters.connector}, {"embedding", parameters.embedding},
      {"decoder", parameters.decoder},    {"head", parameters.head},           {"other", parameters.other}};
  for (const auto& [name, count] : parts) {
    if (count > 0) fmt::print("  {:<13}{:>13}\n", name, count);
  }
  const MemoryPlan& plan = report.plan;
  fmt::print("\nmemory plan    {:>13}   {}, {} backend, a conversation of {} tokens\n", BytesText(plan.total()),
             report.backend.precision, report.backend.name, report.context);
  const std::pair<const char*, size_t> memory[] = {{"vision tower", plan.tower_weights},
                                                   {"connector", plan.connector_weights},
                                                   {"decoder", plan.decoder_weights},
                                                   {"tower scratch", plan.tower_workspace},
                                                   {"decoder scratch", plan.decoder_workspace},
                                                   {"pictures", plan.pictures},
                                                   {"KV cache", plan.kv_cache}};
  for (const auto& [name, bytes] : memory) {
    if (bytes > 0) fmt::print("  {:<13}{:>13}\n", name, BytesText(bytes));
  }
  if (report.notes.empty()) return;
  fmt::print("\nodd about the files\n");
  for (const std::string& note : report.notes) fmt::print("  - {}\n", note);
}

constexpr const char* kPlannedPrecisions[] = {"exact", "bf16", "int8", "auto", "int4"};

struct PlanReport {
  std::string dir;
  BackendInfo backend;
  int64_t context = 0;
  int tiles = 0;
  std::vector<std::pair<std::string, MemoryPlan>> plans;  // by precision, with a cache in f16
  size_t int8_cache = 0;  // 0: the backend has none
};

Result<PlanReport> Plan(const InspectFlags& flags) {
  PlanReport report;
  report.dir = flags.target;
  EYESHOT_ASSIGN_OR_RETURN(const ModelSource source, ModelSource::Open(LocationOf(flags.model, flags.target)));
  const ModelConfig& config = source.config();
  EYESHOT_ASSIGN_OR_RETURN(const ModelFamily* family, FindModelFamily(config.model_type));
  if (config.has_vision()) {
    EYESHOT_ASSIGN_OR_RETURN(const ImageProcessorConfig processing, source.Processor());
    EYESHOT_ASSIGN_OR_RETURN(report.tiles, MostTiles(processing));
  }
  ModelReport weights;
  weights.dir = flags.target;
  EYESHOT_RETURN_IF_ERROR(ExamineWeights(source, weights));
  EYESHOT_ASSIGN_OR_RETURN(const std::unique_ptr<Backend> backend, PlanningBackend(flags.model));
  report.backend = backend->info();
  report.context = flags.model.context > 0 ? flags.model.context : config.text.max_positions;
  for (const char* name : kPlannedPrecisions) {
    Result<ModelPrecision> precision = ParsePrecision(name, *backend);
    if (!precision.ok()) continue;  // the backend lacks it
    precision = AtMost(*precision, weights.wide);
    report.plans.emplace_back(name, family->plan(config, *backend, *precision, report.context, report.tiles));
    if (!backend->SupportsCache(KvFormat::kInt8)) continue;
    precision->kv_cache = KvFormat::kInt8;
    report.int8_cache = family->plan(config, *backend, *precision, report.context, report.tiles).kv_cache;
  }
  return report;
}

// A row of the plan: a part, and how to read it from a plan.
struct PlanRow {
  const char* name;
  const char* key;
  size_t (*bytes)(const MemoryPlan& plan);
};
constexpr PlanRow kPlanRows[] = {
    {"vision tower", "tower_weights", [](const MemoryPlan& p) { return p.tower_weights; }},
    {"connector", "connector_weights", [](const MemoryPlan& p) { return p.connector_weights; }},
    {"decoder", "decoder_weights", [](const MemoryPlan& p) { return p.decoder_weights; }},
    {"tower scratch", "tower_workspace", [](const MemoryPlan& p) { return p.tower_workspace; }},
    {"decoder scratch", "decoder_workspace", [](const MemoryPlan& p) { return p.decoder_workspace; }},
    {"pictures", "pictures", [](const MemoryPlan& p) { return p.pictures; }},
    {"KV cache", "kv_cache", [](const MemoryPlan& p) { return p.kv_cache; }},
    {"total", "total", [](const MemoryPlan& p) { return p.total(); }}};

void PrintPlan(const PlanReport& report, bool json) {
  if (json) {
    OrderedJson object = {{"model", report.dir},
                          {"backend", report.backend.name},
                          {"context_tokens", report.context},
                          {"tiles", report.tiles},
                          {"int8_kv_cache", report.int8_cache}};
    for (const auto& [name, plan] : report.plans) {
      for (const PlanRow& row : kPlanRows) object["plans"][name][row.key] = row.bytes(plan);
    }
    PrintJson(object);
    return;
  }
  fmt::print("{}: {} backend, a conversation of {} tokens, a picture of {} tiles\n\n{:<16}", report.dir,
             report.backend.name, report.context, report.tiles, "precision");
  for (const auto& [name, plan] : report.plans) fmt::print("{:>10}", name);
  for (const PlanRow& row : kPlanRows) {
    fmt::print("\n{:<16}", row.name);
    for (const auto& [name, plan] : report.plans) fmt::print("{:>10}", BytesText(row.bytes(plan)));
  }
  fmt::print(
      "\n\n{}A cache takes memory only as a conversation grows.\nBeside it: the program, its tokenizer, the decoded "
      "picture and scratch memory of kernels.\n",
      report.int8_cache == 0 ? ""
                             : fmt::format("With --kv-cache int8 the cache takes {}. ", BytesText(report.int8_cache)));
}

}  // namespace

Status InspectPlan(const InspectFlags& flags) {
  EYESHOT_ASSIGN_OR_RETURN(const PlanReport report, Plan(flags));
  PrintPlan(report, flags.json);
  return Status::Ok();
}

Status InspectModel(const InspectFlags& flags) {
  EYESHOT_ASSIGN_OR_RETURN(const ModelReport report, Examine(flags));
  if (flags.json) {
    PrintModelJson(report);
  } else {
    PrintModelText(report);
  }
  return Status::Ok();
}

}  // namespace eyeshot::cli
