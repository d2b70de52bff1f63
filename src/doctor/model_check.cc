#include "doctor/model_check.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "doctor/model_run.h"
#include "formats/generation_config.h"
#include "formats/packed_weights.h"
#include "formats/processor_config.h"
#include "formats/safetensors.h"
#include "models/seeded_checkpoint.h"

namespace eyeshot {
namespace {

constexpr size_t kNamesShown = 5;

Examination Found(std::string step, std::string what) {
  return {.step = std::move(step), .what = std::move(what), .measure = {}, .bound = {}, .note = {}};
}

Examination Wrong(std::string step, std::string what, std::string note) {
  Examination examination = Found(std::move(step), std::move(what));
  examination.finding = Finding::kParts;
  examination.note = std::move(note);
  return examination;
}

Examination Skipped(std::string step, std::string note) {
  Examination examination = Found(std::move(step), {});
  examination.finding = Finding::kSkipped;
  examination.note = std::move(note);
  return examination;
}

// "a, b, c and 7 more"
std::string SomeOf(const std::vector<std::string>& names) {
  const size_t shown = std::min(names.size(), kNamesShown);
  std::string text =
      fmt::format("{}", fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), ", "));
  if (names.size() > shown) text += fmt::format(" and {} more", names.size() - shown);
  return text;
}

Examination CheckConfig(const Result<ModelSource>& source, ModelParts& parts) {
  if (!source.ok()) return Wrong("configuration", "config.json", source.status().message());
  const Result<const ModelFamily*> family = FindModelFamily(source->config().model_type);
  if (!family.ok()) return Wrong("configuration", "config.json", family.status().message());
  parts.config = source->config();
  if (!parts.config->has_vision()) {
    return Found("configuration", fmt::format("{}: decoder {} x {}, no vision tower", parts.config->model_type,
                                              parts.config->text.num_layers, parts.config->text.hidden_size));
  }
  const ModelConfig& c = *parts.config;
  return Found("configuration",
               fmt::format("{}: tower {} x {}, decoder {} x {}, tiles of {} pixels, {} visual tokens each",
                           c.model_type, c.vision.num_layers, c.vision.hidden_size, c.text.num_layers,
                           c.text.hidden_size, c.vision.image_size, c.visual_tokens_per_tile()));
}

Examination CheckProcessing(const std::string& dir, const Result<ModelSource>& source, bool pillow13_order,
                            ModelParts& parts) {
  const std::string what = "preprocessor_config.json, processor_config.json";
  if (parts.config && !parts.config->has_vision()) return Skipped("pictures", "the model reads text alone");
  Result<ImageProcessorConfig> config = source.ok() ? source->Processor() : LoadProcessorConfig(dir);
  if (!config.ok()) return Wrong("pictures", what, config.status().message());
  config->pillow13_order = pillow13_order;
  const Result<ImageProcessor> processor = ImageProcessor::Create(*config);
  if (!processor.ok()) return Wrong("pictures", what, processor.status().message());
  parts.processing = *config;
  if (parts.config && config->max_image_edge != parts.config->vision.image_size) {
    return Wrong("pictures", what,
                 fmt::format("tiles are cut at {} pixels, and the tower of config.json takes {}",
                             config->max_image_edge, parts.config->vision.image_size));
  }
  if (parts.config && config->image_seq_len != 0 && config->image_seq_len != parts.config->visual_tokens_per_tile()) {
    return Wrong("pictures", what,
                 fmt::format("image_seq_len is {}, and config.json gives {} visual tokens a tile",
                             config->image_seq_len, parts.config->visual_tokens_per_tile()));
  }
  return Found("pictures", fmt::format("longest edge {}, tiles of {}, {}", config->longest_edge, config->max_image_edge,
                                       config->has_video() ? "clips too" : "no settings for clips"));
}

Examination CheckTokenizer(const std::string& dir, const Result<ModelSource>& source, ModelParts& parts) {
  Result<Tokenizer> tokenizer = source.ok() ? source->ReadTokenizer() : Tokenizer::Load(dir);
  if (!tokenizer.ok()) return Wrong("tokenizer", "tokenizer.json", tokenizer.status().message());
  parts.tokenizer = *std::move(tokenizer);
  const std::string tokens = fmt::format("{} tokens", parts.tokenizer->vocab_size());
  if (!parts.config) return Found("tokenizer", tokens);
  if (!parts.config->has_vision()) return Found("tokenizer", tokens);
  const auto image = parts.tokenizer->TokenId("<image>");
  if (image != parts.config->image_token_id) {
    return Wrong("tokenizer", "tokenizer.json",
                 fmt::format("<image> is {}, and image_token_id of config.json {}",
                             image ? fmt::format("token {}", *image) : "no token", parts.config->image_token_id));
  }
  Examination examination = Found("tokenizer", fmt::format("{}, <image> is {}", tokens, *image));
  if (parts.tokenizer->vocab_size() > parts.config->text.vocab_size) {  // granite-docling's has one
    examination.finding = Finding::kWarning;
    examination.note =
        fmt::format("it has ids up to {}, the model's embedding {} rows: what uses the others is refused",
                    parts.tokenizer->vocab_size() - 1, parts.config->text.vocab_size);
  }
  return examination;
}

Examination CheckTemplate(const Result<ModelSource>& source, ModelParts& parts) {
  if (!parts.config || !parts.tokenizer) return Skipped("template", "");
  Result<PromptFormat> format = source->ReadPromptFormat(*parts.tokenizer);
  if (!format.ok()) return Wrong("template", "the chat template", format.status().message());
  parts.format = *std::move(format);
  return Found("template", "the chat template");
}

Examination CheckGeneration(const std::string& dir, const Result<ModelSource>& source, const ModelParts& parts) {
  const Result<GenerationConfig> generation = source.ok() ? source->Generation() : LoadGenerationConfig(dir);
  if (!generation.ok()) return Wrong("generation", "generation_config.json", generation.status().message());
  std::vector<std::string> stops;
  for (const int32_t id : generation->eos_token_ids) {
    stops.push_back(parts.tokenizer ? fmt::format("{} {}", id, parts.tokenizer->TokenBytes(id)) : std::to_string(id));
  }
  Examination examination = Found("generation", fmt::format("answers end with {}", SomeOf(stops)));
  const bool template_ends = parts.tokenizer && parts.tokenizer->TokenId("<end_of_utterance>");
  if (stops.empty() && !template_ends) {
    examination.what = "generation_config.json";
    examination.finding = Finding::kWarning;
    examination.note = "no token ends an answer: each will be as long as --max-tokens allows";
  }
  return examination;
}

bool SameShape(const HostTensor& tensor, const TensorSpec& spec) { return tensor.shape == spec.shape; }

// Their tensors are checked as they are opened.
Examination CheckGguf(const ModelSource& source) {
  Examination examination = Found("tensors", "GGUF files");
  const std::vector<std::string> notes = source.notes();
  if (!notes.empty()) {
    examination.finding = Finding::kWarning;
    examination.note = fmt::format("{}", fmt::join(notes, "; "));
  }
  return examination;
}

Examination CheckTensors(const std::string& dir, const Result<ModelSource>& source, const ModelParts& parts) {
  if (source.ok() && source->gguf() != nullptr) return CheckGguf(*source);
  if (FileExists(JoinPath(dir, kPackedWeightsFile))) {
    const Result<PackedWeights> packed = PackedWeights::Open(JoinPath(dir, kPackedWeightsFile));
    if (!packed.ok()) return Wrong("tensors", kPackedWeightsFile, packed.status().message());
    return Found("tensors", fmt::format("{}: {} packed weights, {}", kPackedWeightsFile, packed->entries().size(),
                                        packed->precision()));
  }
  const Result<Checkpoint> checkpoint = Checkpoint::Open(dir);
  if (!checkpoint.ok()) return Wrong("tensors", "*.safetensors", checkpoint.status().message());
  const std::string what = fmt::format("{} tensors in {} file{}", checkpoint->tensors().size(),
                                       checkpoint->files().size(), checkpoint->files().size() == 1 ? "" : "s");
  Examination examination = Found("tensors", what);
  if (!parts.config || !parts.config->has_vision()) return examination;
  std::vector<std::string> missing;
  std::vector<std::string> misshapen;
  for (const TensorSpec& spec : SeededTensors(*parts.config, DType::kBF16)) {
    const HostTensor* tensor = checkpoint->Find(spec.name);
    if (tensor == nullptr && spec.name == "lm_head.weight" && parts.config->tie_word_embeddings) continue;
    if (tensor == nullptr) missing.push_back(spec.name);
    if (tensor != nullptr && !SameShape(*tensor, spec)) {
      misshapen.push_back(fmt::format("{} is [{}] instead of [{}]", spec.name, fmt::join(tensor->shape, ", "),
                                      fmt::join(spec.shape, ", ")));
    }
  }
  if (!missing.empty())
    return Wrong("tensors", what, fmt::format("{} are missing: {}", missing.size(), SomeOf(missing)));
  if (!misshapen.empty()) return Wrong("tensors", what, "of another shape: " + SomeOf(misshapen));
  examination.measure = "all there, all shapes right";
  return examination;
}

// What the system could give, in bytes; 0: it doesn't say.
uint64_t AvailableMemory() {
  std::ifstream info("/proc/meminfo");
  std::string key;
  while (info >> key) {
    uint64_t kib = 0;
    if (key == "MemAvailable:" && info >> kib) return kib * 1024;
    std::getline(info, key);
  }
  return 0;
}

Examination CheckMemory(const ModelParts& parts, const ModelPrecision& precision, const Backend& backend) {
  Examination examination = Found("memory", "the plan with a full context");
  if (!parts.config || !parts.processing) return Skipped("memory", "");
  const Result<const ModelFamily*> family = FindModelFamily(parts.config->model_type);
  const Result<ImageProcessor> processor = ImageProcessor::Create(*parts.processing);
  if (!family.ok() || !processor.ok()) return Skipped("memory", "");
  const int edge = parts.processing->longest_edge;
  const int tiles = processor->Plan(edge, edge, parts.processing->do_image_splitting).tiles();
  const MemoryPlan plan = (*family)->plan(*parts.config, backend, precision, parts.config->text.max_positions, tiles);
  const uint64_t available = AvailableMemory();
  examination.measure = fmt::format("{:.0f} MB", static_cast<double>(plan.total()) / 1e6);
  if (available > 0) examination.bound = fmt::format("{:.0f} MB are available", static_cast<double>(available) / 1e6);
  if (available > 0 && plan.total() > available) {
    examination.finding = Finding::kWarning;
    examination.note = "it may not fit: take a smaller --context or --precision (`eyeshot inspect MODEL --plan`)";
  }
  return examination;
}

// Bands and ramps: no two tiles alike.
std::shared_ptr<const Image> TestPicture() {
  constexpr int kWidth = 96;
  constexpr int kHeight = 64;
  auto image = std::make_shared<Image>();
  image->width = kWidth;
  image->height = kHeight;
  for (int i = 0; i < kWidth * kHeight * 3; ++i) image->rgb.push_back(static_cast<uint8_t>(7 * i + (i >> 5)));
  return image;
}

bool AllFinite(const std::vector<std::vector<float>>& rows) {
  return std::all_of(rows.begin(), rows.end(), [](const std::vector<float>& row) {
    return std::all_of(row.begin(), row.end(), [](float value) { return std::isfinite(value); });
  });
}

}  // namespace

ModelParts CheckModel(const ModelLocation& location, const Result<ModelSource>& source, const ModelPrecision& precision,
                      bool pillow13_order, Backend& backend, std::vector<Examination>& examinations) {
  const std::string& dir = location.path;
  ModelParts parts;
  examinations.push_back(CheckConfig(source, parts));
  examinations.push_back(CheckProcessing(dir, source, pillow13_order, parts));
  examinations.push_back(CheckTokenizer(dir, source, parts));
  examinations.push_back(CheckTemplate(source, parts));
  examinations.push_back(CheckGeneration(dir, source, parts));
  examinations.push_back(CheckTensors(dir, source, parts));
  examinations.push_back(CheckMemory(parts, precision, backend));
  Ledger ledger;
  Result<std::unique_ptr<VisionLanguageModel>> model = LoadModel(
      {.model = location, .precision = precision, .pillow13_order = pillow13_order, .on_progress = {}, .on_weight = {}},
      backend, ledger);
  if (model.ok()) {
    parts.model = *std::move(model);
    return parts;
  }
  // Usually one of the above; if none was wrong, this is news.
  Examination run = Found("run", "loading the model");
  const bool known = std::any_of(examinations.begin(), examinations.end(),
                                 [](const Examination& earlier) { return earlier.finding == Finding::kParts; });
  run.finding = known ? Finding::kSkipped : Finding::kParts;
  run.note = known ? "it can't be loaded, because of the above" : model.status().message();
  examinations.push_back(std::move(run));
  return parts;
}

Examination CheckRun(VisionLanguageModel& model) {
  if (!model.config().has_vision()) return Skipped("run", "the model reads text alone");
  const std::string what = "a small picture, one view, and a question";
  const Result<RunOutputs> outputs =
      RunModel(model, TestPicture(), "Describe the image.", false, {{0}, {0}, {0, 1}}, std::vector<int32_t>{0, 0});
  if (!outputs.ok()) return Wrong("run", what, outputs.status().message());
  for (const auto& [name, rows] :
       {std::pair{"the vision tower", &outputs->tower}, std::pair{"the connector", &outputs->connector},
        std::pair{"the decoder", &outputs->logits}, std::pair{"the decoder", &outputs->answer}}) {
    if (!AllFinite(*rows)) return Wrong("run", what, fmt::format("{} gives values that are not finite", name));
  }
  Examination examination = Found("run", what);
  examination.measure = "all values finite";
  return examination;
}

}  // namespace eyeshot
