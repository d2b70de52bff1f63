// QueCC: query-conditioned convolutional cross-attention. A tile's patches are cut into regions of scale x scale; each
// becomes one visual token: a depth-wise convolution over the region of patches to which the embedding of the question
// was added asks, and the region's patches of several layers of the tower answer.
//
// Source: "Inference Optimal VLMs Need Only One Visual Token but Larger Models", arXiv 2411.03312, section 4; with
// W the tower's width, H the decoder's, X and X_multi hidden states, t the query:
//   q = LN(MLP(X + LN(Linear(t)))), k = LN(MLP(X_multi)), v alike; c = convolution of q over each region;
//   token = MLP(attention(c; k and v of the region)).
#ifndef EYESHOT_VISION_QUECC_CONNECTOR_H_
#define EYESHOT_VISION_QUECC_CONNECTOR_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tensor/arena.h"
#include "vision/connector.h"

namespace eyeshot {

class QueccConnector final : public Connector {
 public:
  static Result<std::unique_ptr<Connector>> Load(WeightLoader& loader, Backend& backend, const ModelConfig& config,
                                                 const std::string& prefix, int64_t tiles);
  static ConnectorBytes Plan(const ModelConfig& config, const Backend& backend, WeightFormat format, int64_t tiles);

  std::span<const int64_t> states() const override { return states_; }
  void KeepState(Stream& stream, size_t index, ConstMatrixView x) override;
  // Without a query the embedding of the question is zero. The tower's output isn't looked at.
  void Run(Stream& stream, const ConnectorInput& input, MatrixView out) override;

 private:
  struct Dense {
    PackedWeightPtr weight, bias;
  };
  // Linear, GELU, Linear, layer norm.
  struct Mixer {
    Dense first, second, norm;
  };
  // Rows of patches stand region by region, so that a region is a run of rows.
  struct Workspace {
    DeviceSpan<int32_t> order;      // [m] the patch, row by row of its tile, of each row
    DeviceSpan<int32_t> region_of;  // [m]
    DeviceSpan<int32_t> first_of;   // [regions] the first row of each region
    DeviceSpan<int32_t> cu_tokens;  // [regions + 1]
    MatrixView zero_query;          // [1, H]
    MatrixView query;               // [1, W] t, after its projection
    MatrixView asked;               // [m, W] X, then X + t
    MatrixView keys;                // [m, W * key layers] X_multi
    MatrixView inner;               // [m, W]
    MatrixView mixed;               // [m, W]
    MatrixView qkv;                 // [m, 3 W]
    MatrixView regions;             // [regions, W]
    MatrixView regions_inner;       // [regions, max(W, H)]

    Workspace() = default;
    Workspace(Arena& arena, const ModelConfig& config, DType activation, int64_t tiles);
  };

  QueccConnector(Backend& backend, const ModelConfig& config, bool reduced);
  Status LoadWeights(WeightLoader& loader, const std::string& prefix);
  static Result<Dense> LoadDense(WeightLoader& loader, const std::string& name, int64_t outputs, int64_t inputs);
  static Result<Dense> LoadNorm(WeightLoader& loader, const std::string& name, int64_t width);
  static Result<Mixer> LoadMixer(WeightLoader& loader, const std::string& name, int64_t width, int64_t inputs);
  Status Prepare(int64_t tiles);

  void ProjectQuery(Stream& stream, ConstMatrixView query);
  void Apply(Stream& stream, const Dense& dense, ConstMatrixView x, Activation activation, MatrixView y);
  void Norm(Stream& stream, const Dense& norm, MatrixView x);
  void Mix(Stream& stream, const Mixer& mixer, ConstMatrixView x, MatrixView y);
  void Attend(Stream& stream, int64_t patches, int64_t regions);

  Backend& backend_;
  ModelConfig config_;
  bool reduced_;  // attention may round
  Activation activation_;
  std::vector<int64_t> states_;

  Dense text_, text_norm_;
  Mixer query_mixer_, key_mixer_, value_mixer_;
  Dense downsample_;
  Dense attend_query_, attend_key_, attend_value_, attend_out_;
  Dense project_in_, project_out_;

  Buffer buffer_;
  Workspace workspace_;
};

}  // namespace eyeshot

#endif  // EYESHOT_VISION_QUECC_CONNECTOR_H_
