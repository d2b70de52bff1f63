// SmolVLM: vision tower -> pixel shuffle and projection -> visual tokens in place of the image tokens of a prompt
// -> Llama decoder. Sources: SmolVLM, arXiv 2504.05299; Idefics3, arXiv 2408.12637; transformers,
// models/smolvlm/modeling_smolvlm.py.
#include "models/smolvlm.h"

#include <algorithm>
#include <array>
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
                const std::function<bool(double)>& on_progress, LayerHook* hook, ConstMatrixView query) override;
  std::span<const float> scale_embeddings() const override { return scale_embeddings_; }

  // Keeps the file that weights lie in. Called once, after loading.
  void Keep(std::unique_ptr<PackedWeights> packed) { packed_ = std::move(packed); }
  // Takes the workspace of the tower. Called once, after loading.
  Status Prepare();

 private:
  Status EncodeGroup(Stream& stream, const uint8_t* pixels, int64_t tiles, TileKind kind, MatrixView out,
                     Ledger& ledger, LayerHook* hook, ConstMatrixView query);
  Status RunTower(Stream& stream, TokenRuns& runs, LayerHook* hook);

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
                       Ledger& ledger, const std::function<bool(double)>& on_progress, LayerHook* hook,
                       ConstMatrixView query) {
  EYESHOT_CHECK(hook != nullptr || out.rows == tiles * config_.visual_tokens_per_tile());
  const int64_t side = config_.vision.image_size;
  for (int64_t first = 0; first < tiles; first += workspace_.tiles) {
    const int64_t count = std::min(workspace_.tiles, tiles - first);
    const int64_t tokens = config_.visual_tokens_per_tile();
    EYESHOT_RETURN_IF_ERROR(EncodeGroup(stream, pixels + first * side * side * 3, count, kind,
                                        out.Rows(first * tokens, count * tokens), ledger, hook, query));
    const double done = static_cast<double>(first + count) / static_cast<double>(tiles);
    if (on_progress && !on_progress(done)) {
      return CancelledError(fmt::format("cancelled after encoding {} of {} tiles", first + count, tiles));
    }
  }
  return Status::Ok();
}

// All layers, with a stop at each hidden state that the connector wants.
Status SmolVlm::RunTower(Stream& stream, TokenRuns& runs, LayerHook* hook) {
  int64_t done = 0;
  const std::span<const int64_t> states = connector_->states();
  for (size_t i = 0; i < states.size(); ++i) {
    EYESHOT_RETURN_IF_ERROR(tower_.RunLayers(stream, workspace_, runs, done, states[i], hook));
    done = states[i];
    if (runs.x.rows % config_.vision.patches() != 0 || runs.cu_tokens[1] != config_.vision.patches()) {
      return UnsupportedError("a reducer of patches in the tower, and a connector that reads the tower's layers",
                              "use a reducer of visual tokens (stride), or none");
    }
    connector_->KeepState(stream, i, runs.x);
  }
  return tower_.RunLayers(stream, workspace_, runs, done, config_.vision.num_layers, hook);
}

Status SmolVlm::EncodeGroup(Stream& stream, const uint8_t* pixels, int64_t tiles, TileKind kind, MatrixView out,
                            Ledger& ledger, LayerHook* hook, ConstMatrixView query) {
  constexpr size_t kTable = 3 * 256;
  const float* table =
      static_cast<const float*>(normalization_buffer_.data()) + (kind == TileKind::kFrame ? kTable : 0);
  TokenRuns runs;
  {
    Stage stage(ledger, StageId::kEncode, &stream);
    runs = tower_.Begin(stream, workspace_, pixels, tiles, {table, kTable});
    stage.AddTokens(static_cast<uint64_t>(runs.x.rows));
    EYESHOT_RETURN_IF_ERROR(RunTower(stream, runs, hook));
    tower_.Finish(stream, runs);
    if (hook != nullptr) EYESHOT_RETURN_IF_ERROR(hook->AfterTower(backend_, stream, runs));
  }
  Stage stage(ledger, StageId::kConnect, &stream);
  connector_->Run(stream, {.tower = runs.x, .query = query}, out);
  stage.AddTokens(static_cast<uint64_t>(out.rows));
  return Status::Ok();
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
