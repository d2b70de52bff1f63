#include "vision/connector.h"

#include <utility>

#include "base/error.h"
#include "vision/quecc_connector.h"

namespace eyeshot {
namespace {

// The projection of scale_factor x scale_factor patches. Idefics3, arXiv 2408.12637.
class PixelShuffleConnector final : public Connector {
 public:
  PixelShuffleConnector(Backend& backend, const ModelConfig& config, PackedWeightPtr weight)
      : backend_(backend),
        grid_(config.vision.patches_per_side()),
        scale_(config.scale_factor),
        weight_(std::move(weight)) {}

  void Run(Stream& stream, const ConnectorInput& input, MatrixView out) override {
    backend_.PixelShuffleLinear(stream,
                                {.x = input.tower, .grid = grid_, .scale = scale_, .weight = weight_.get(), .y = out});
  }

 private:
  Backend& backend_;
  int64_t grid_;
  int64_t scale_;
  PackedWeightPtr weight_;
};

int64_t ShuffledWidth(const ModelConfig& config) {
  return config.vision.hidden_size * config.scale_factor * config.scale_factor;
}

}  // namespace

Result<std::unique_ptr<Connector>> LoadConnector(WeightLoader& loader, Backend& backend, const ModelConfig& config,
                                                 const std::string& prefix, int64_t tiles) {
  if (config.connector.type == ConnectorConfig::Type::kQuecc) {
    return QueccConnector::Load(loader, backend, config, prefix, tiles);
  }
  EYESHOT_ASSIGN_OR_RETURN(PackedWeightPtr weight, loader.Linear({prefix + "modality_projection.proj.weight"},
                                                                 {config.text.hidden_size}, ShuffledWidth(config)));
  return std::unique_ptr<Connector>(std::make_unique<PixelShuffleConnector>(backend, config, std::move(weight)));
}

ConnectorBytes PlanConnector(const ModelConfig& config, const Backend& backend, WeightFormat format, int64_t tiles) {
  if (config.connector.type == ConnectorConfig::Type::kQuecc) {
    return QueccConnector::Plan(config, backend, format, tiles);
  }
  return {.weights = backend.PackedLinearBytes(config.text.hidden_size, ShuffledWidth(config), format)};
}

}  // namespace eyeshot
