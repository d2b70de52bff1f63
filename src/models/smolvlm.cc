// SmolVLM: vision tower -> pixel shuffle and projection -> visual tokens in place of the image tokens of a prompt
// -> Llama decoder. Sources: SmolVLM, arXiv 2504.05299; Idefics3, arXiv 2408.12637; transformers,
// models/smolvlm/modeling_smolvlm.py.
#include "models/smolvlm.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "ledger/stage.h"
#include "models/model_source.h"
#include "models/text_model.h"
#include "vision/connector.h"
#include "vision/vision_tower.h"

namespace eyeshot {
namespace {

constexpr const char* kTowerPrefix = "model.vision_model.";
constexpr const char* kConnectorPrefix = "model.connector.";
const DecoderNames& Names() {
  static const DecoderNames names{.prefix = "model.text_model.", .head = "lm_head.weight"};
  return names;
}

// Lets a hook work in the middle of the stage `encode`: what it does is the stage `reduce`.
class StagedHook final : public LayerHook {
 public:
  // `encode` is under way; the hook isn't null.
  StagedHook(LayerHook& hook, Ledger& ledger, std::optional<Stage>& encode)
      : hook_(hook), ledger_(ledger), encode_(encode) {}

  bool WantsColumnMean(int64_t layer) const override { return hook_.WantsColumnMean(layer); }
  bool WantsAttention(int64_t layer) const override { return hook_.WantsAttention(layer); }
  Status AfterAttention(Backend& backend, Stream& stream, int64_t layer, ConstMatrixView keys,
                        TokenRuns& runs) override {
    encode_.reset();
    Status status;
    {
      Stage stage(ledger_, StageId::kReduce, &stream);
      status = hook_.AfterAttention(backend, stream, layer, keys, runs);
    }
    encode_.emplace(ledger_, StageId::kEncode, &stream);
    return status;
  }

 private:
  LayerHook& hook_;
  Ledger& ledger_;
  std::optional<Stage>& encode_;
};

class SmolVlm final : public VisionLanguageModel {
 public:
  SmolVlm(Backend& backend, ModelConfig config, Tokenizer tokenizer, PromptFormat format, ImageProcessor processor,
          GenerationConfig generation, VisionTower tower, std::unique_ptr<Connector> connector,
          std::vector<float> scale_embeddings, LlamaDecoder decoder, int64_t parameters)
      : backend_(backend),
        config_(std::move(config)),
        tokenizer_(std::move(tokenizer)),
        format_(std::move(format)),
        processor_(std::move(processor)),
        generation_(std::move(generation)),
        tower_(std::move(tower)),
        connector_(std::move(connector)),
        scale_embeddings_(std::move(scale_embeddings)),
        decoder_(std::move(decoder)),
        parameters_(parameters) {}

  std::string_view family() const override { return "smolvlm"; }
  const ModelConfig& config() const override { return config_; }
  int64_t parameters() const override { return parameters_; }
  Backend& backend() const override { return backend_; }
  const Tokenizer& tokenizer() const override { return tokenizer_; }
  const PromptFormat& prompt_format() const override { return format_; }
  const ImageProcessor& image_processor() const override { return processor_; }
  const GenerationConfig& generation() const override { return generation_; }
  const LlamaDecoder& decoder() const override { return decoder_; }

  Status Encode(Stream& stream, const uint8_t* pixels, int64_t tiles, TileKind kind, MatrixView out, Ledger& ledger,
                const std::function<bool(double)>& on_progress, LayerHook* hook) override;
  Result<bool> EncodeSome(Stream& stream, const EncodeWork& work, EncodePlace& place, int64_t parts, int64_t group,
                          Ledger& ledger) override;
  int64_t tower_parts() const override { return tower_.parts(); }
  std::span<const float> scale_embeddings() const override { return scale_embeddings_; }

  // Keeps the file that weights lie in. Called once, after loading.
  void Keep(std::unique_ptr<PackedWeights> packed) { packed_ = std::move(packed); }
  // Takes the workspace of the tower. Called once, after loading.
  Status Prepare();

 private:
  Status RunParts(Stream& stream, TokenRuns& runs, int64_t begin, int64_t end, LayerHook* hook);
  void Connect(Stream& stream, const TokenRuns& runs, ConstMatrixView query, MatrixView out, Ledger& ledger);

  Backend& backend_;
  ModelConfig config_;
  Tokenizer tokenizer_;
  PromptFormat format_;
  ImageProcessor processor_;
  GenerationConfig generation_;
  std::unique_ptr<PackedWeights> packed_;  // outlives the weights below
  VisionTower tower_;
  std::unique_ptr<Connector> connector_;
  std::vector<float> scale_embeddings_;
  LlamaDecoder decoder_;
  int64_t parameters_;

  Buffer workspace_buffer_;
  TowerWorkspace workspace_;
  Buffer normalization_buffer_;
};

Status SmolVlm::Prepare() {
  const BackendInfo& info = backend_.info();
  Arena measure;
  TowerWorkspace(measure, config_.vision, info.activation, info.tower_group);
  EYESHOT_ASSIGN_OR_RETURN(workspace_buffer_, backend_.Allocate(measure.used(), "the vision tower's workspace"));
  Arena arena(workspace_buffer_.data(), workspace_buffer_.bytes());
  workspace_ = TowerWorkspace(arena, config_.vision, info.activation, info.tower_group);

  const std::array tables = {processor_.NormalizationTable(), processor_.FrameNormalizationTable()};  // by TileKind
  EYESHOT_ASSIGN_OR_RETURN(normalization_buffer_, backend_.Allocate(sizeof(tables), "the normalization tables"));
  const auto stream = backend_.NewStream();
  backend_.Upload(*stream, tables.data(), normalization_buffer_.data(), sizeof(tables));
  return backend_.Sync(*stream);
}

Status SmolVlm::Encode(Stream& stream, const uint8_t* pixels, int64_t tiles, TileKind kind, MatrixView out,
                       Ledger& ledger, const std::function<bool(double)>& on_progress, LayerHook* hook) {
  const EncodeWork work{.pixels = pixels, .tiles = tiles, .kind = kind, .out = out, .hook = hook};
  EncodePlace place;
  while (place.tiles < tiles) {
    EYESHOT_RETURN_IF_ERROR(EncodeSome(stream, work, place, tower_parts(), 0, ledger).status());
    const double done = static_cast<double>(place.tiles) / static_cast<double>(tiles);
    if (on_progress && !on_progress(done)) {
      return CancelledError(fmt::format("cancelled after encoding {} of {} tiles", place.tiles, tiles));
    }
  }
  return Status::Ok();
}

Result<bool> SmolVlm::EncodeSome(Stream& stream, const EncodeWork& work, EncodePlace& place, int64_t parts,
                                 int64_t group, Ledger& ledger) {
  const int64_t tokens = config_.visual_tokens_per_tile();
  EYESHOT_CHECK(work.out.rows == work.tiles * tokens && parts > 0);
  const int64_t most = group > 0 ? std::min(group, workspace_.tiles) : workspace_.tiles;
  std::optional<Stage> encode;
  encode.emplace(ledger, StageId::kEncode, &stream);
  if (place.parts == 0) {
    constexpr size_t kTable = 3 * 256;
    const float* table =
        static_cast<const float*>(normalization_buffer_.data()) + (work.kind == TileKind::kFrame ? kTable : 0);
    const int64_t side = config_.vision.image_size;
    place.runs = tower_.Begin(stream, workspace_, work.pixels + place.tiles * side * side * 3,
                              std::min(most, work.tiles - place.tiles), {table, kTable});
    encode->AddTokens(static_cast<uint64_t>(place.runs.x.rows));
  }
  std::optional<StagedHook> staged;
  if (work.hook != nullptr) staged.emplace(*work.hook, ledger, encode);
  const int64_t end = std::min(place.parts + parts, tower_parts());
  EYESHOT_RETURN_IF_ERROR(RunParts(stream, place.runs, place.parts, end, staged ? &*staged : nullptr));
  place.parts = end;
  if (end < tower_parts()) return false;
  tower_.Finish(stream, place.runs);
  encode.reset();
  if (work.hook != nullptr) {
    Stage stage(ledger, StageId::kReduce, &stream);
    EYESHOT_RETURN_IF_ERROR(work.hook->AfterTower(backend_, stream, place.runs));
  }
  const int64_t tiles = place.runs.x.rows / config_.vision.patches();
  Connect(stream, place.runs, work.query, work.out.Rows(place.tiles * tokens, tiles * tokens), ledger);
  place = {.tiles = place.tiles + tiles};
  return place.tiles == work.tiles;
}

// Those from `begin` to `end`, with a stop at each hidden state that the connector wants.
Status SmolVlm::RunParts(Stream& stream, TokenRuns& runs, int64_t begin, int64_t end, LayerHook* hook) {
  const std::span<const int64_t> states = connector_->states();
  int64_t done = begin;
  for (size_t i = 0; i < states.size(); ++i) {
    const int64_t state = states[i] * kLayerParts;
    const bool here = state > begin || (state == 0 && begin == 0);
    if (!here || state > end) continue;
    EYESHOT_RETURN_IF_ERROR(tower_.RunParts(stream, workspace_, runs, done, state, hook));
    done = state;
    if (runs.x.rows % config_.vision.patches() != 0 || runs.cu_tokens[1] != config_.vision.patches()) {
      return UnsupportedError("a reducer of patches in the tower, and a connector that reads the tower's layers",
                              "use a reducer of visual tokens (stride), or none");
    }
    connector_->KeepState(stream, i, runs.x);
  }
  return tower_.RunParts(stream, workspace_, runs, done, end, hook);
}

void SmolVlm::Connect(Stream& stream, const TokenRuns& runs, ConstMatrixView query, MatrixView out, Ledger& ledger) {
  Stage stage(ledger, StageId::kConnect, &stream);
  connector_->Run(stream, {.tower = runs.x, .query = query}, out);
  stage.AddTokens(static_cast<uint64_t>(out.rows));
}

// [reduced_tokens, hidden] on the host; empty: the connector isn't elastic.
Result<std::vector<float>> LoadScaleEmbeddings(WeightLoader& loader, Backend& backend, const ModelConfig& config) {
  const auto rows = static_cast<int64_t>(config.connector.reduced_tokens.size());
  const int64_t width = config.text.hidden_size;
  std::vector<float> values(static_cast<size_t>(rows * width));
  if (rows == 0) return values;
  EYESHOT_ASSIGN_OR_RETURN(const PackedWeightPtr table,
                           loader.Table(std::string(kConnectorPrefix) + "scale_embedding.weight", rows, width));
  for (int64_t row = 0; row < rows; ++row) backend.ReadRow(*table, row, values.data() + row * width);
  return values;
}

}  // namespace

Result<std::unique_ptr<VisionLanguageModel>> LoadSmolVlm(ModelSource source, const ModelOptions& options,
                                                         Backend& backend, Ledger& ledger) {
  Stage stage(ledger, StageId::kLoad);
  const ModelConfig& config = source.config();
  EYESHOT_ASSIGN_OR_RETURN(ImageProcessorConfig processor_config, source.Processor());
  processor_config.pillow13_order = options.pillow13_order;
  if (options.frame_edge != 0) processor_config.video_longest_edge = options.frame_edge;
  if (processor_config.max_image_edge != config.vision.image_size) {
    return CorruptError(
        fmt::format("{}: preprocessor_config.json cuts tiles of {} pixels, config.json's tower takes {}", source.path(),
                    processor_config.max_image_edge, config.vision.image_size),
        "take both files from one model");
  }
  EYESHOT_ASSIGN_OR_RETURN(ImageProcessor processor, ImageProcessor::Create(processor_config));
  EYESHOT_ASSIGN_OR_RETURN(Tokenizer tokenizer, source.ReadTokenizer());
  EYESHOT_ASSIGN_OR_RETURN(PromptFormat format, source.ReadPromptFormat(tokenizer));
  if (format.image_token_id() != config.image_token_id) {
    return CorruptError(fmt::format("{}: <image> is token {} in the tokenizer and {} in config.json (image_token_id)",
                                    source.path(), format.image_token_id(), config.image_token_id),
                        "take both files from one model");
  }
  EYESHOT_ASSIGN_OR_RETURN(GenerationConfig generation, source.Generation());

  EYESHOT_RETURN_IF_ERROR(source.OpenWeights(backend));
  WeightLoader loader = source.Loader(options, backend);
  loader.SetFormat(options.precision.tower);
  EYESHOT_ASSIGN_OR_RETURN(VisionTower tower, VisionTower::Load(loader, backend, config.vision, kTowerPrefix));
  EYESHOT_ASSIGN_OR_RETURN(
      std::unique_ptr<Connector> connector,
      LoadConnector(loader, backend, config, kConnectorPrefix, std::max<int64_t>(1, backend.info().tower_group)));
  EYESHOT_ASSIGN_OR_RETURN(std::vector<float> scale_embeddings, LoadScaleEmbeddings(loader, backend, config));
  loader.SetFormat(options.precision.decoder);
  EYESHOT_ASSIGN_OR_RETURN(LlamaDecoder decoder,
                           LlamaDecoder::Load(loader, backend, config.text, Names(), config.tie_word_embeddings));
  stage.AddBytes(loader.source_bytes() + loader.packed_bytes());

  auto model = std::make_unique<SmolVlm>(backend, config, std::move(tokenizer), std::move(format), std::move(processor),
                                         std::move(generation), std::move(tower), std::move(connector),
                                         std::move(scale_embeddings), std::move(decoder), loader.parameters());
  model->Keep(source.TakePacked());
  EYESHOT_RETURN_IF_ERROR(model->Prepare());
  return std::unique_ptr<VisionLanguageModel>(std::move(model));
}

MemoryPlan PlanSmolVlm(const ModelConfig& config, const Backend& backend, const ModelPrecision& precision,
                       int64_t context_tokens, int64_t tiles) {
  const VisionConfig& vision = config.vision;
  const TextConfig& text = config.text;
  const auto linear = [&](int64_t outputs, int64_t inputs) {
    return backend.PackedLinearBytes(outputs, inputs, precision.tower);
  };
  const auto floats = [](int64_t count) { return static_cast<size_t>(count) * sizeof(float); };

  MemoryPlan plan = PlanTextModel(config, backend, precision, context_tokens, tiles);
  const size_t tower_layer =
      linear(3 * vision.hidden_size, vision.hidden_size) + linear(vision.hidden_size, vision.hidden_size) +
      linear(vision.intermediate_size, vision.hidden_size) + linear(vision.hidden_size, vision.intermediate_size) +
      floats(9 * vision.hidden_size + vision.intermediate_size);
  plan.tower_weights = static_cast<size_t>(vision.num_layers) * tower_layer +
                       linear(vision.hidden_size, vision.num_channels * vision.patch_size * vision.patch_size) +
                       backend.PackedTableBytes(vision.patches(), vision.hidden_size) + floats(3 * vision.hidden_size);
  const BackendInfo& info = backend.info();
  const ConnectorBytes connector = PlanConnector(config, backend, precision.tower, info.tower_group);
  plan.connector_weights = connector.weights;
  Arena tower;
  TowerWorkspace(tower, vision, info.activation, info.tower_group);
  plan.tower_workspace = tower.used() + connector.workspace;
  plan.pictures =
      static_cast<size_t>(tiles * vision.image_size * vision.image_size * 3) +
      static_cast<size_t>(tiles * config.visual_tokens_per_tile() * text.hidden_size) * DTypeBytes(info.activation);
  return plan;
}

}  // namespace eyeshot
