#include "formats/gguf_model.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <optional>
#include <set>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"

namespace eyeshot {
namespace {

constexpr const char* kMendModel = "use a model of the SmolVLM family, or a decoder of its kind (llama)";
constexpr const char* kMendPair = "take text file and mmproj file of one model";
constexpr double kMaxRopeTheta = 1e9;
constexpr std::string_view kImageToken = "<image>";
// transformers' SmolVLMVisionConfig, for configurations without the key; the converter then writes 1e-5.
constexpr float kReferenceLayerNormEpsilon = 1e-6f;
constexpr float kConverterLayerNormEpsilon = 1e-5f;
// Every published SmolVLM resizes a picture's longer side to so many tiles.
constexpr int kTilesOfLongestEdge = 4;
// Types of tokens, as the file numbers them.
constexpr int kControlToken = 3;
constexpr int kUserDefinedToken = 4;

// How text is cut before merges are applied, by the name that llama.cpp gives it.
struct PreTokenizer {
  std::string_view name;
  bool digits_alone;
  WordPattern words;
};
constexpr std::array<PreTokenizer, 4> kPreTokenizers = {{{"smollm", true, WordPattern::kGpt2},
                                                         {"gpt-2", false, WordPattern::kGpt2},
                                                         {"granite-docling", false, WordPattern::kGpt4},
                                                         {"qwen2", false, WordPattern::kQwen2}}};

bool IsGgufName(const std::filesystem::path& path) { return path.extension() == ".gguf"; }
bool IsMmprojName(const std::filesystem::path& path) {
  return path.filename().string().find("mmproj") != std::string::npos;
}

// The .gguf files of a folder, in the order of their names.
std::vector<std::filesystem::path> GgufFilesOf(const std::filesystem::path& dir) {
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (std::filesystem::directory_iterator it(dir, error), end; !error && it != end; it.increment(error)) {
    if (IsGgufName(it->path()) && it->is_regular_file(error)) files.push_back(it->path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string NamesOf(const std::vector<std::filesystem::path>& files) {
  std::string names;
  for (const auto& file : files) names += (names.empty() ? "" : ", ") + file.filename().string();
  return names;
}

}  // namespace

bool IsGgufModel(const std::string& path) {
  if (!IsDirectory(path)) return IsGgufName(path);
  return !FileExists(JoinPath(path, "config.json")) && !GgufFilesOf(path).empty();
}

Result<GgufPaths> FindGgufFiles(const std::string& path, const std::string& mmproj) {
  const bool is_dir = IsDirectory(path);
  std::filesystem::path dir = is_dir ? std::filesystem::path(path) : std::filesystem::path(path).parent_path();
  if (dir.empty()) dir = ".";
  std::vector<std::filesystem::path> texts;
  std::vector<std::filesystem::path> towers;
  for (const auto& file : GgufFilesOf(dir)) (IsMmprojName(file) ? towers : texts).push_back(file);

  GgufPaths paths{.text = path};
  if (is_dir) {
    if (texts.size() != 1) {
      return NotFoundError(texts.empty() ? fmt::format("{}: has no GGUF file besides those of a vision tower", path)
                                         : fmt::format("{}: has several GGUF files: {}", path, NamesOf(texts)),
                           "name the file of the model that is meant");
    }
    paths.text = texts[0].string();
  }
  if (mmproj == "none") return paths;
  paths.mmproj = mmproj;
  if (!mmproj.empty()) return paths;
  if (towers.size() > 1) {
    return NotFoundError(fmt::format("{}: has several mmproj files: {}", dir.string(), NamesOf(towers)),
                         "name one with --mmproj FILE, or --mmproj none for text alone");
  }
  if (towers.size() == 1) paths.mmproj = towers[0].string();
  return paths;
}

Result<std::unique_ptr<GgufModel>> GgufModel::Open(const GgufPaths& paths, const GgufModelOptions& options) {
  EYESHOT_ASSIGN_OR_RETURN(GgufFile text, GgufFile::Open(paths.text));
  std::unique_ptr<GgufFile> mmproj;
  if (!paths.mmproj.empty()) {
    EYESHOT_ASSIGN_OR_RETURN(GgufFile tower, GgufFile::Open(paths.mmproj));
    mmproj = std::make_unique<GgufFile>(std::move(tower));
  }
  return Create(std::move(text), std::move(mmproj), options);
}

Result<std::unique_ptr<GgufModel>> GgufModel::Create(GgufFile text, std::unique_ptr<GgufFile> mmproj,
                                                     const GgufModelOptions& options) {
  std::unique_ptr<GgufModel> model(new GgufModel(std::move(text), std::move(mmproj)));
  EYESHOT_RETURN_IF_ERROR(model->Read(options));
  return model;
}

Status GgufModel::Read(const GgufModelOptions& options) {
  config_.model_type = mmproj_ != nullptr ? "smolvlm" : "llama";
  EYESHOT_RETURN_IF_ERROR(ReadText());
  EYESHOT_RETURN_IF_ERROR(ReadVocabulary());
  if (mmproj_ == nullptr) {
    config_.image_token_id = -1;
  } else {
    EYESHOT_RETURN_IF_ERROR(ReadVision(options));
    EYESHOT_RETURN_IF_ERROR(ReadProcessor());
    EYESHOT_RETURN_IF_ERROR(CheckTogether());
  }
  NoteWeights();
  return Status::Ok();
}

Status GgufModel::ReadText() {
  EYESHOT_ASSIGN_OR_RETURN(const std::string architecture, text_.String("general.architecture"));
  if (architecture == "clip") {
    return text_.Error(StatusCode::kUnsupported, "general.architecture", "\"llama\"",
                       "this is the vision tower: name the text file, and this one with --mmproj");
  }
  if (architecture != "llama") {
    return text_.Error(StatusCode::kUnsupported, "general.architecture", "\"llama\"", kMendModel);
  }
  TextConfig& text = config_.text;
  const auto size = [&](const char* key, int64_t max) { return text_.Integer(key, 1, max); };
  EYESHOT_ASSIGN_OR_RETURN(text.num_layers, size("llama.block_count", limits::kMaxLayers));
  EYESHOT_ASSIGN_OR_RETURN(text.max_positions, size("llama.context_length", limits::kMaxContext));
  EYESHOT_ASSIGN_OR_RETURN(text.hidden_size, size("llama.embedding_length", limits::kMaxWidth));
  EYESHOT_ASSIGN_OR_RETURN(text.intermediate_size, size("llama.feed_forward_length", limits::kMaxWidth));
  EYESHOT_ASSIGN_OR_RETURN(text.num_heads, size("llama.attention.head_count", limits::kMaxHeads));
  EYESHOT_ASSIGN_OR_RETURN(text.num_kv_heads,
                           text_.IntegerOr("llama.attention.head_count_kv", 1, limits::kMaxHeads, text.num_heads));
  EYESHOT_ASSIGN_OR_RETURN(const double epsilon, text_.NumberOr("llama.attention.layer_norm_rms_epsilon", 0, 1,
                                                                static_cast<double>(text.rms_norm_eps)));
  text.rms_norm_eps = static_cast<float>(epsilon);
  const std::string mend = "convert the model again";
  if (text.hidden_size % text.num_heads != 0 || text.num_heads % text.num_kv_heads != 0) {
    return text_.Error(StatusCode::kCorrupt, "llama.attention.head_count",
                       fmt::format("a divisor of {} (llama.embedding_length) and a multiple of {} (head_count_kv)",
                                   text.hidden_size, text.num_kv_heads),
                       mend);
  }
  EYESHOT_ASSIGN_OR_RETURN(text.head_dim,
                           text_.IntegerOr("llama.attention.key_length", 2, limits::kMaxHeadDim,
                                           std::min(limits::kMaxHeadDim, text.hidden_size / text.num_heads)));
  EYESHOT_ASSIGN_OR_RETURN(const int64_t value_dim,
                           text_.IntegerOr("llama.attention.value_length", 1, limits::kMaxHeadDim, text.head_dim));
  if (value_dim != text.head_dim || text.head_dim % 2 != 0) {
    return text_.Error(StatusCode::kUnsupported, "llama.attention.value_length",
                       fmt::format("{} (llama.attention.key_length), an even number", text.head_dim), kMendModel);
  }
  return ReadRope();
}

Status GgufModel::ReadRope() {
  TextConfig& text = config_.text;
  EYESHOT_ASSIGN_OR_RETURN(text.rope_theta, text_.NumberOr("llama.rope.freq_base", 1, kMaxRopeTheta, text.rope_theta));
  EYESHOT_ASSIGN_OR_RETURN(const int64_t rotated,
                           text_.IntegerOr("llama.rope.dimension_count", 1, limits::kMaxHeadDim, text.head_dim));
  if (rotated != text.head_dim) {
    return text_.Error(StatusCode::kUnsupported, "llama.rope.dimension_count",
                       fmt::format("the whole head ({})", text.head_dim), kMendModel);
  }
  EYESHOT_ASSIGN_OR_RETURN(const std::string scaling, text_.StringOr("llama.rope.scaling.type", "none"));
  if (scaling != "none") {
    return text_.Error(StatusCode::kUnsupported, "llama.rope.scaling.type", "\"none\"", kMendModel);
  }
  if (text_.FindTensor("rope_freqs.weight") == nullptr) return Status::Ok();
  return UnsupportedError(fmt::format("{}: has a tensor rope_freqs.weight: scaled rotary embeddings", text_.file()),
                          kMendModel);
}

Status GgufModel::ReadVocabulary() {
  EYESHOT_ASSIGN_OR_RETURN(const std::vector<std::string_view> tokens,
                           text_.Strings("tokenizer.ggml.tokens", limits::kMaxVocabulary, limits::kMaxTokenBytes));
  const HostTensor* const embedding = text_.FindTensor("token_embd.weight");
  const int64_t rows = embedding == nullptr || embedding->shape.size() != 2 ? 0 : embedding->shape[0];
  if (embedding == nullptr || rows < static_cast<int64_t>(tokens.size()) ||
      rows > static_cast<int64_t>(limits::kMaxVocabulary)) {
    return CorruptError(fmt::format("{}: the vocabulary has {} tokens, token_embd.weight has {} rows", text_.file(),
                                    tokens.size(), rows),
                        "download the file again");
  }
  config_.text.vocab_size = rows;
  if (rows > static_cast<int64_t>(tokens.size())) {
    notes_.push_back(
        fmt::format("the embedding has {} rows for {} tokens: the others have no text", rows, tokens.size()));
  }
  config_.tie_word_embeddings = text_.FindTensor("output.weight") == nullptr;

  const auto found = std::find(tokens.begin(), tokens.end(), kImageToken);
  config_.image_token_id = found == tokens.end() ? -1 : static_cast<int32_t>(found - tokens.begin());
  const auto last = static_cast<int64_t>(tokens.size()) - 1;
  for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"}) {
    if (!text_.Has(key)) continue;
    EYESHOT_ASSIGN_OR_RETURN(const int64_t id, text_.Integer(key, 0, last));
    generation_.eos_token_ids.push_back(static_cast<int32_t>(id));
    if (eos_token_.empty()) eos_token_ = tokens[static_cast<size_t>(id)];
  }
  if (text_.Has("tokenizer.ggml.bos_token_id")) {
    EYESHOT_ASSIGN_OR_RETURN(const int64_t id, text_.Integer("tokenizer.ggml.bos_token_id", 0, last));
    generation_.bos_token_id = static_cast<int32_t>(id);
    bos_token_ = tokens[static_cast<size_t>(id)];
  }
  EYESHOT_ASSIGN_OR_RETURN(chat_template_, text_.StringOr("tokenizer.chat_template", ""));
  if (chat_template_.size() > limits::kMaxConfigBytes) {
    return LimitError(fmt::format("{}: the chat template has {} bytes, the limit is {}", text_.file(),
                                  chat_template_.size(), limits::kMaxConfigBytes),
                      "download the file again");
  }
  if (chat_template_.empty()) notes_.emplace_back("there is no chat template: SmolVLM's own is taken");
  return Status::Ok();
}

Status GgufModel::ReadVision(const GgufModelOptions& options) {
  const GgufFile& file = *mmproj_;
  EYESHOT_ASSIGN_OR_RETURN(const std::string architecture, file.String("general.architecture"));
  if (architecture != "clip") {
    return file.Error(StatusCode::kUnsupported, "general.architecture", "\"clip\": the file of a vision tower",
                      kMendPair);
  }
  EYESHOT_ASSIGN_OR_RETURN(const std::string projector, file.StringOr("clip.projector_type", "mlp"));
  if (projector != "idefics3") {
    return file.Error(StatusCode::kUnsupported, "clip.projector_type", "\"idefics3\"", kMendModel);
  }
  VisionConfig& vision = config_.vision;
  const auto size = [&](const char* key, int64_t max) { return file.Integer(key, 1, max); };
  EYESHOT_ASSIGN_OR_RETURN(vision.image_size, size("clip.vision.image_size", limits::kMaxTileSide));
  EYESHOT_ASSIGN_OR_RETURN(vision.patch_size, size("clip.vision.patch_size", limits::kMaxPatchSize));
  EYESHOT_ASSIGN_OR_RETURN(vision.hidden_size, size("clip.vision.embedding_length", limits::kMaxWidth));
  EYESHOT_ASSIGN_OR_RETURN(vision.intermediate_size, size("clip.vision.feed_forward_length", limits::kMaxWidth));
  EYESHOT_ASSIGN_OR_RETURN(vision.num_layers, size("clip.vision.block_count", limits::kMaxLayers));
  EYESHOT_ASSIGN_OR_RETURN(vision.num_heads, size("clip.vision.attention.head_count", limits::kMaxHeads));
  if (vision.hidden_size % vision.num_heads != 0 || vision.head_dim() > limits::kMaxHeadDim) {
    return file.Error(StatusCode::kCorrupt, "clip.vision.attention.head_count",
                      fmt::format("a divisor of {} (clip.vision.embedding_length), heads at most {} wide",
                                  vision.hidden_size, limits::kMaxHeadDim),
                      "convert the model again");
  }
  if (vision.patch_size > vision.image_size) {
    return file.Error(StatusCode::kCorrupt, "clip.vision.patch_size",
                      fmt::format("at most {} (clip.vision.image_size)", vision.image_size), "convert the model again");
  }
  EYESHOT_RETURN_IF_ERROR(ReadEpsilon(options));
  // The input of what is called ffn_down is as wide as the tower: then it is the first product.
  const HostTensor* const down = file.FindTensor("v.blk.0.ffn_down.weight");
  swapped_mlp_ = vision.intermediate_size != vision.hidden_size && down != nullptr && down->shape.size() == 2 &&
                 down->shape[1] == vision.hidden_size;
  if (swapped_mlp_) notes_.emplace_back("ffn_up and ffn_down of the tower are swapped, as in early files: put right");
  return ReadScale();
}

Status GgufModel::ReadEpsilon(const GgufModelOptions& options) {
  VisionConfig& vision = config_.vision;
  EYESHOT_ASSIGN_OR_RETURN(const double epsilon, mmproj_->NumberOr("clip.vision.attention.layer_norm_epsilon", 0, 1,
                                                                   static_cast<double>(kReferenceLayerNormEpsilon)));
  vision.layer_norm_eps = static_cast<float>(epsilon);
  if (vision.layer_norm_eps != kConverterLayerNormEpsilon) return Status::Ok();
  if (options.reference_defaults) vision.layer_norm_eps = kReferenceLayerNormEpsilon;
  notes_.push_back(
      fmt::format("the tower's layer norms have the epsilon 1e-05, which the converter writes where config.json is "
                  "silent; transformers then takes 1e-06{}",
                  options.reference_defaults ? ", and so does this run" : " (--hf-defaults does the same)"));
  return Status::Ok();
}

Status GgufModel::ReadScale() {
  const VisionConfig& vision = config_.vision;
  const HostTensor* const connector = mmproj_->FindTensor("mm.model.fc.weight");
  if (connector == nullptr || connector->shape.size() != 2) {
    return NotFoundError(fmt::format("{}: has no tensor mm.model.fc.weight, the connector", mmproj_->file()),
                         "download the file again");
  }
  // Of old files without the key: the connector takes scale^2 patches.
  const int64_t inferred = std::clamp<int64_t>(
      std::lround(std::sqrt(static_cast<double>(connector->shape[1]) / static_cast<double>(vision.hidden_size))), 1,
      limits::kMaxScaleFactor);
  constexpr const char* kKey = "clip.vision.projector.scale_factor";
  if (!mmproj_->Has(kKey)) {
    notes_.push_back(fmt::format("there is no {}: {}, by the connector's width", kKey, inferred));
  }
  EYESHOT_ASSIGN_OR_RETURN(config_.scale_factor, mmproj_->IntegerOr(kKey, 1, limits::kMaxScaleFactor, inferred));
  if (connector->shape[1] != vision.hidden_size * config_.scale_factor * config_.scale_factor) {
    return CorruptError(
        fmt::format("{}: mm.model.fc.weight takes {} values, {} patches of {} have {}", mmproj_->file(),
                    connector->shape[1], config_.scale_factor * config_.scale_factor, vision.hidden_size,
                    vision.hidden_size * config_.scale_factor * config_.scale_factor),
        "convert the model again");
  }
  return Status::Ok();
}

Status GgufModel::ReadProcessor() {
  constexpr const char* kEdge = "clip.vision.preproc_image_size";
  processor_.max_image_edge = static_cast<int>(config_.vision.image_size);
  const int64_t inferred = std::min(kTilesOfLongestEdge * config_.vision.image_size, limits::kMaxLongestEdge);
  EYESHOT_ASSIGN_OR_RETURN(const int64_t longest, mmproj_->IntegerOr(kEdge, 0, limits::kMaxLongestEdge, inferred));
  processor_.longest_edge = static_cast<int>(longest == 0 ? inferred : longest);
  if (!mmproj_->Has(kEdge) || longest == 0) {
    notes_.push_back(fmt::format(
        "there is no {} (files made before September 2025): pictures are resized to {} pixels, {} tiles, as "
        "every published SmolVLM does",
        kEdge, processor_.longest_edge, kTilesOfLongestEdge));
  }
  for (const auto& [key, channels] :
       {std::pair{"clip.vision.image_mean", &processor_.mean}, std::pair{"clip.vision.image_std", &processor_.std}}) {
    if (!mmproj_->Has(key)) continue;
    EYESHOT_ASSIGN_OR_RETURN(const std::vector<double> numbers, mmproj_->Numbers(key, channels->size()));
    const bool wrong = numbers.size() != channels->size() ||
                       std::any_of(numbers.begin(), numbers.end(), [](double x) { return !(x >= 0 && x <= 1); });
    if (wrong || (channels == &processor_.std && *std::min_element(numbers.begin(), numbers.end()) <= 0)) {
      return mmproj_->Error(StatusCode::kCorrupt, key, "three numbers in [0, 1], deviations more than 0",
                            "convert the model again");
    }
    std::transform(numbers.begin(), numbers.end(), channels->begin(), [](double x) { return static_cast<float>(x); });
  }
  // GGUF has no place for these; what the reference makes of SmolVLM2's own.
  processor_.video_longest_edge = processor_.longest_edge;
  processor_.video_max_frames = 64;
  processor_.video_fps = 1;
  processor_.image_seq_len = static_cast<int>(config_.visual_tokens_per_tile());
  return Status::Ok();
}

Status GgufModel::CheckTogether() const {
  const int64_t side = config_.vision.patches_per_side();
  if (side % config_.scale_factor != 0) {
    return mmproj_->Error(StatusCode::kCorrupt, "clip.vision.projector.scale_factor",
                          fmt::format("a divisor of the {} patches of a tile's side", side), "convert the model again");
  }
  const HostTensor* const connector = mmproj_->FindTensor("mm.model.fc.weight");
  if (connector->shape[0] != config_.text.hidden_size) {
    return CorruptError(fmt::format("{}: makes visual tokens of width {}, the decoder of {} has width {}",
                                    mmproj_->file(), connector->shape[0], text_.file(), config_.text.hidden_size),
                        fmt::format("{}, or pass --mmproj none for text alone", kMendPair));
  }
  if (config_.image_token_id >= 0) return Status::Ok();
  return CorruptError(fmt::format("{}: the vocabulary has no token {}", text_.file(), kImageToken), kMendPair);
}

void GgufModel::NoteWeights() {
  constexpr int64_t kSuperBlock = 256;
  size_t matrices = 0;
  std::set<int64_t> widths;
  std::set<std::string_view> types;
  bool has_k_types = false;
  for (const HostTensor& tensor : text_.tensors()) {
    if (tensor.shape.size() != 2) continue;
    if (DTypeBlock(tensor.dtype) == kSuperBlock) {
      has_k_types = true;
    } else if (tensor.shape[1] % kSuperBlock != 0 && tensor.dtype != DType::kF32) {
      ++matrices;
      widths.insert(tensor.shape[1]);
      types.insert(DTypeName(tensor.dtype));
    }
  }
  if (!has_k_types || matrices == 0) return;
  notes_.push_back(fmt::format(
      "{} matrices have rows ({}) that are no multiples of {}, which K types need: they are stored as {} instead",
      matrices, fmt::join(widths, ", "), kSuperBlock, fmt::join(types, ", ")));
}

Result<TokenizerFile> GgufModel::ReadTokenizer() const {
  EYESHOT_ASSIGN_OR_RETURN(const std::string model, text_.String("tokenizer.ggml.model"));
  const std::string mend = "use a model with a byte-level BPE tokenizer as SmolVLM's";
  if (model != "gpt2") return text_.Error(StatusCode::kUnsupported, "tokenizer.ggml.model", "\"gpt2\"", mend);
  EYESHOT_ASSIGN_OR_RETURN(const std::string pre, text_.StringOr("tokenizer.ggml.pre", "smollm"));
  const auto known = std::find_if(kPreTokenizers.begin(), kPreTokenizers.end(),
                                  [&](const PreTokenizer& entry) { return entry.name == pre; });
  if (known == kPreTokenizers.end()) {
    std::string names;
    for (const PreTokenizer& entry : kPreTokenizers)
      names += fmt::format("{}{}", names.empty() ? "" : ", ", entry.name);
    return text_.Error(StatusCode::kUnsupported, "tokenizer.ggml.pre", "one of " + names, mend);
  }
  EYESHOT_ASSIGN_OR_RETURN(const std::vector<std::string_view> tokens,
                           text_.Strings("tokenizer.ggml.tokens", limits::kMaxVocabulary, limits::kMaxTokenBytes));
  EYESHOT_ASSIGN_OR_RETURN(const std::vector<std::string_view> merges,
                           text_.Strings("tokenizer.ggml.merges", limits::kMaxMerges, limits::kMaxTokenBytes));
  std::vector<double> types;
  if (text_.Has("tokenizer.ggml.token_type")) {
    EYESHOT_ASSIGN_OR_RETURN(types, text_.Numbers("tokenizer.ggml.token_type", limits::kMaxVocabulary));
    if (types.size() != tokens.size()) {
      return text_.Error(StatusCode::kCorrupt, "tokenizer.ggml.token_type",
                         fmt::format("one for each of the {} tokens", tokens.size()), "download the file again");
    }
  }
  std::vector<AddedToken> added;
  for (size_t id = 0; id < types.size(); ++id) {
    if (types[id] != kControlToken && types[id] != kUserDefinedToken) continue;
    added.push_back(
        {.id = static_cast<int32_t>(id), .content = std::string(tokens[id]), .special = types[id] == kControlToken});
  }
  EYESHOT_ASSIGN_OR_RETURN(TokenizerFile file, MakeTokenizerFile(tokens, merges, std::move(added), text_.file()));
  file.split_digits = file.individual_digits = known->digits_alone;
  file.words = known->words;
  return file;
}

namespace {

// The name of a decoder's tensor within a layer: {Hugging Face's, GGUF's}.
constexpr std::array<std::pair<std::string_view, std::string_view>, 9> kTextLayer = {{
    {"input_layernorm.weight", "attn_norm.weight"},
    {"post_attention_layernorm.weight", "ffn_norm.weight"},
    {"self_attn.q_proj.weight", "attn_q.weight"},
    {"self_attn.k_proj.weight", "attn_k.weight"},
    {"self_attn.v_proj.weight", "attn_v.weight"},
    {"self_attn.o_proj.weight", "attn_output.weight"},
    {"mlp.gate_proj.weight", "ffn_gate.weight"},
    {"mlp.up_proj.weight", "ffn_up.weight"},
    {"mlp.down_proj.weight", "ffn_down.weight"},
}};
// Of a tower's, without ".weight" or ".bias".
constexpr std::array<std::pair<std::string_view, std::string_view>, 8> kVisionLayer = {{
    {"layer_norm1", "ln1"},
    {"layer_norm2", "ln2"},
    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.out_proj", "attn_out"},
    {"mlp.fc1", "ffn_up"},
    {"mlp.fc2", "ffn_down"},
}};

bool EatPrefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// The number at the start and the point behind it.
std::optional<int> EatIndex(std::string_view& text) {
  int index = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
  if (error != std::errc() || end == text.data() + text.size() || *end != '.') return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end + 1 - text.data()));
  return index;
}

std::string TextName(std::string_view name) {
  if (name == "lm_head.weight") return "output.weight";
  if (!EatPrefix(name, "model.")) return "";
  EatPrefix(name, "text_model.");
  if (name == "embed_tokens.weight") return "token_embd.weight";
  if (name == "norm.weight") return "output_norm.weight";
  if (!EatPrefix(name, "layers.")) return "";
  const std::optional<int> layer = EatIndex(name);
  for (const auto& [theirs, ours] : kTextLayer) {
    if (layer && name == theirs) return fmt::format("blk.{}.{}", *layer, ours);
  }
  return "";
}

std::string VisionName(std::string_view name, bool swapped_mlp) {
  if (name == "model.connector.modality_projection.proj.weight") return "mm.model.fc.weight";
  if (!EatPrefix(name, "model.vision_model.")) return "";
  const size_t point = name.rfind('.');
  if (point == std::string_view::npos) return "";
  const std::string_view kind = name.substr(point);  // ".weight"
  if (name.starts_with("embeddings.patch_embedding.")) return fmt::format("v.patch_embd{}", kind);
  if (name == "embeddings.position_embedding.weight") return "v.position_embd.weight";
  if (name.starts_with("post_layernorm.")) return fmt::format("v.post_ln{}", kind);
  if (!EatPrefix(name, "encoder.layers.")) return "";
  const std::optional<int> layer = EatIndex(name);
  for (auto [theirs, ours] : kVisionLayer) {
    if (!layer || name.substr(0, name.rfind('.')) != theirs) continue;
    if (swapped_mlp && ours.starts_with("ffn_")) ours = ours == "ffn_up" ? "ffn_down" : "ffn_up";
    return fmt::format("v.blk.{}.{}{}", *layer, ours, kind);
  }
  return "";
}

}  // namespace

GgufModel::Place GgufModel::Find(std::string_view name) const {
  Place place;
  place.name = TextName(name);
  place.file = &text_;
  if (place.name.empty() && mmproj_ != nullptr) {
    place.name = VisionName(name, swapped_mlp_);
    place.file = mmproj_.get();
  }
  place.tensor = place.name.empty() ? nullptr : place.file->FindTensor(place.name);
  if (place.file != &text_) return place;
  if (place.name.ends_with("attn_q.weight")) place.rotary_heads = config_.text.num_heads;
  if (place.name.ends_with("attn_k.weight")) place.rotary_heads = config_.text.num_kv_heads;
  return place;
}

bool GgufModel::Has(std::string_view name) const { return Find(name).tensor != nullptr; }

Result<HostTensor> GgufModel::Get(std::string_view name) const {
  const Place place = Find(name);
  if (place.tensor == nullptr) {
    return NotFoundError(fmt::format("{}: has no tensor '{}' ({} others), which is {} of Hugging Face's checkpoints",
                                     place.file->file(), place.name, place.file->tensors().size(), name),
                         "download the file again, or convert the model again");
  }
  HostTensor tensor = *place.tensor;
  tensor.name = std::string(name);
  const int64_t rows = tensor.shape.empty() ? 1 : tensor.shape[0];
  // Another number of rows is the caller's to refuse.
  if (place.rotary_heads == 0 || rows != place.rotary_heads * config_.text.head_dim) return tensor;
  if (tensor.bytes() == 0) return tensor;  // rows of no columns, refused there too

  // The converter interleaves the halves of each head, for rotary embeddings of neighbouring pairs: row 2 i + j of a
  // head is row j * half + i of the original. Whole rows move, so that blocks stay what they are.
  const size_t row_bytes = tensor.bytes() / static_cast<size_t>(rows);
  const auto half = static_cast<size_t>(config_.text.head_dim / 2);
  std::vector<uint8_t>& bytes = reordered_[tensor.name];
  bytes.resize(tensor.bytes());
  for (size_t head = 0; head < static_cast<size_t>(place.rotary_heads); ++head) {
    for (size_t i = 0; i < 2 * half; ++i) {
      const size_t from = head * 2 * half + i;
      const size_t to = head * 2 * half + i % 2 * half + i / 2;
      std::memcpy(bytes.data() + to * row_bytes, tensor.data + from * row_bytes, row_bytes);
    }
  }
  tensor.data = bytes.data();
  return tensor;
}

void GgufModel::Release(const HostTensor& tensor) const {
  const Place place = Find(tensor.name);
  if (place.tensor != nullptr) place.file->Release(*place.tensor);
  const auto copy = reordered_.find(tensor.name);
  if (copy != reordered_.end()) reordered_.erase(copy);
}

uint64_t GgufModel::bytes() const { return text_.bytes() + (mmproj_ == nullptr ? 0 : mmproj_->bytes()); }

}  // namespace eyeshot
