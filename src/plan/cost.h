// What a request costs, stage by stage, before it is run: arithmetic, bytes, memory, seconds and joules, for a model of
// which only the shapes are known, on this machine as it was calibrated or on one that is simulated.
#ifndef EYESHOT_PLAN_COST_H_
#define EYESHOT_PLAN_COST_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "energy/simulator/machine.h"
#include "energy/simulator/work.h"
#include "eyeshot/ledger.h"
#include "eyeshot/media.h"
#include "eyeshot/status.h"
#include "formats/model_config.h"
#include "formats/processor_config.h"
#include "kernels/backend.h"
#include "models/model.h"
#include "plan/operations.h"
#include "plan/speed.h"
#include "text/prompt.h"

namespace eyeshot::plan {

// A model as far as a plan needs it. No weights are read.
struct ModelAtHand {
  std::string name;
  std::string path;
  ModelConfig config;
  ImageProcessorConfig processing;  // without meaning for a model of text alone
  std::optional<PromptFormat> format;  // where there is a tokenizer; else tokens beside the visual ones are estimated
};

// Parameters of the decoder's layers and head, embeddings that are only looked up left out: N of scaling laws.
double DecoderParameters(const ModelConfig& config);
// Those of tower and connector.
double VisionParameters(const ModelConfig& config);

// What is asked.
struct Workload {
  std::vector<std::pair<int, int>> pictures;  // width, height
  std::vector<int64_t> clips;  // frames of each, a tile a frame; their decoding and resizing cost nothing here
  int64_t question_tokens = 32;
  // The question comes first and its keys and values are there already, as with a fixed instruction: Q = 0. The
  // prompt is then as long as ever, but what stands before the pictures isn't run.
  bool cached_question = false;
  int64_t output_tokens = 64;
  int64_t history_tokens = 0;  // of earlier turns: not run again, but looked at by each step
};

// How a model is run.
struct Variant {
  PictureDetail detail;
  int64_t keep = 0;  // visual tokens of a tile that a reducer leaves; 0: all
  std::optional<int64_t> keep_global;  // of the view of a whole picture, 0: all; as `keep` without it
  std::optional<int64_t> clip_tokens;  // visual tokens of all clips; without it `keep` of each frame
  int64_t tower_keep = 0;  // patches of a tile that a reducer in the tower leaves at its end; 0: all
  std::vector<int64_t> tower_patches;  // and behind each layer's attention (Request); empty: all

  bool reduced() const { return keep > 0 || !tower_patches.empty(); }
  ModelPrecision precision;
  int64_t batch = 1;  // requests at a time; more than 1 on a simulated machine only
  double clock_mhz = 0;  // of a simulated machine; 0: its highest
};

// Where it runs: `speed`, or `machine` with `software`.
struct Place {
  const Backend* backend = nullptr;  // how weights and steps are laid out; never null
  const MachineSpeed* speed = nullptr;
  double watts = 0;  // of this machine at work, as the user says it; 0: as `speed` knows
  const simulator::Machine* machine = nullptr;
  const simulator::Software* software = nullptr;

  bool simulated() const { return machine != nullptr; }
};

// Bytes that are resident at most.
struct MemoryEstimate {
  double program = 0;  // code, tokenizer, libraries
  double weights = 0;
  double workspace = 0;
  double pictures = 0;  // pixels before and after they are cut, and visual tokens
  double kv_cache = 0;
  double total() const { return program + weights + workspace + pictures + kv_cache; }
};

struct CostEstimate {
  Request request;
  // Time, arithmetic, bytes, tokens and joules of one request of the batch. Joules are always estimates
  // (EnergySource::kModel), or kNone where nothing is known of the machine's power.
  Ledger ledger;
  MemoryEstimate memory;
  double kv_bytes = 0;  // of the request's own keys and values
  double batch_s = 0;  // until the whole batch is answered; of a batch of 1 the sum of the stages
  double first_token_s = 0;
  bool simulated = false;

  double seconds() const { return static_cast<double>(ledger.total_wall_ns()) / 1e9; }
  Joules joules() const { return ledger.total_joules(); }
};

// The grid of each picture, by the real tiling code. Errors: those of ImageProcessor::Create and Budget.
Result<std::vector<TileGrid>> GridsOf(const ModelAtHand& model, const Workload& workload, const PictureDetail& detail);

// What a model gets of a workload: alike in every precision, batch and clock.
struct CutRequest {
  std::vector<TileGrid> grids;  // of each picture
  Request request;
};

// Tokens of the prompt and tiles of the pictures, at the variant's detail and number of tokens. Errors: those of
// GridsOf; kInvalidArgument (no visual tokens are to be kept, more than a tile has, or pictures for a model of text
// alone), kContextFull (more tokens than the model reads).
Result<CutRequest> CutRequestOf(const ModelAtHand& model, const Workload& workload, const Variant& variant);

// `cut` is CutRequestOf() of the same three, or of a variant that differs in precision, batch and clock alone. Errors:
// those of GridsOf; kInvalidArgument (a batch on this machine).
Result<CostEstimate> EstimateCost(const ModelAtHand& model, const Workload& workload, const Variant& variant,
                                  const Place& place, const CutRequest& cut);
// Errors: also those of CutRequestOf.
Result<CostEstimate> EstimateCost(const ModelAtHand& model, const Workload& workload, const Variant& variant,
                                  const Place& place);

}  // namespace eyeshot::plan

#endif  // EYESHOT_PLAN_COST_H_
