// What the stages of a model have to do: arithmetic and bytes, from its shape and a request's tokens.
#ifndef EYESHOT_ENERGY_SIMULATOR_WORK_H_
#define EYESHOT_ENERGY_SIMULATOR_WORK_H_

#include <span>
#include <string>
#include <string_view>

#include "eyeshot/status.h"

namespace eyeshot::simulator {

// The stages that are simulated; the others cost an accelerator nothing.
enum class Stage { kEncode, kPrefill, kDecode };
inline constexpr int kStages = 3;
std::string_view StageLabel(Stage stage);

struct VisionShape {
  double layers;
  double width;
  double mlp_width;
  double mlp_matrices;  // 2, or 3 where gated
  double patches;       // of one tile
  double keys;          // that a patch attends to, mean over the layers; less than `patches` with windows
  double tokens;        // visual tokens of one tile
};

struct TextShape {
  double layers;
  double width;
  double mlp_width;
  double query_width;      // heads x head size
  double key_value_width;  // of the keys alone
  double vocabulary;
};

// How many tiles a picture becomes.
enum class Tiling {
  kFixed,    // as many, whatever its size
  kNative,   // one, of as many patches as its pixels fill
  kAnyres,   // a grid that holds all of its pixels, and an overview (LLaVA-OneVision)
  kDynamic,  // a grid of at most twice its pixels, and an overview (InternVL)
};

struct ModelShape {
  std::string_view name;
  VisionShape vision;
  TextShape text;
  double context;          // most tokens
  Tiling tiling;
  double tiles;            // of a usual picture
  std::string_view input;  // that these tiles are
  std::string_view source;
};

std::span<const ModelShape> ModelShapes();
Result<ModelShape> FindModelShape(const std::string& name);

// How an engine runs a model.
struct Software {
  std::string_view name;
  double encode_host_us;   // that the host takes to enqueue one layer, beside the device's work
  double decoder_host_us;
  double kernels;          // of a layer, whose launch nothing hides
  double width_elements;   // of a layer's width, a token, that go through memory between its kernels
  double mlp_elements;     // the same, of its MLP's width
  double step_gap_us;      // after each decoding step, in which the device waits
  double sequence_bytes;   // beside the cache, of each sequence in each decoding step
  std::string_view source;
};
std::span<const Software> Softwares();
Result<Software> FindSoftware(const std::string& name);

// One request, or each of a batch of equal ones.
struct Request {
  double tiles = 0;
  double visual_tokens = 0;
  double text_tokens = 0;
  double output_tokens = 0;
};
Request RequestFor(const ModelShape& model, double tiles, double text_tokens, double output_tokens);

struct Work {
  double gemm_flops = 0;
  double gemm_width = 0;  // of the inner dimension: narrow products reach less of the peak
  double attention_flops = 0;
  double stream_bytes = 0;      // weights and cache, read while products run
  double activation_bytes = 0;  // of kernels that only move
  double kernels = 0;
  double host_s = 0;  // beside the device's work
  double gap_s = 0;   // after it

  double flops() const { return gemm_flops + attention_flops; }
  double bytes() const { return stream_bytes + activation_bytes; }
};

// A multiply-add counts as two; weights have two bytes. Decode is one step at the mean context of the answer.
Work StageWork(Stage stage, const ModelShape& model, const Software& software, const Request& request, double batch);

// Steps of a stage: the output tokens of decode, 1 otherwise; 0 for an encode without tiles.
double StageSteps(Stage stage, const Request& request);

}  // namespace eyeshot::simulator

#endif  // EYESHOT_ENERGY_SIMULATOR_WORK_H_
