// The ledger: what each stage of a run cost in time, bytes, arithmetic and energy.
#ifndef EYESHOT_LEDGER_H_
#define EYESHOT_LEDGER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eyeshot/export.h"

namespace eyeshot {

// The stages of a run, in the order of the data. The names are stable: they appear in JSON output.
enum class StageId {
  kLoad,         // "load": mapping the checkpoint and packing the weights
  kDecodeImage,  // "decode_image": JPEG/PNG/WebP/GIF to RGB pixels
  kPreprocess,   // "preprocess": resizing and cutting into tiles
  kEncode,       // "encode": the vision tower
  kConnect,      // "connect": pixel shuffle and projection
  kReduce,       // "reduce": visual token reduction
  kPrefill,      // "prefill": the prompt through the decoder
  kDecode,       // "decode": generating tokens, one step each
  kDetokenize,   // "detokenize": token ids to text
};
inline constexpr size_t kStageCount = 9;
EYESHOT_EXPORT std::string_view StageName(StageId id);

// Where a figure of energy comes from. A measured joule and an estimated one are never mixed.
enum class EnergySource { kNone, kRapl, kNvmlCounter, kNvmlPower, kModel };
EYESHOT_EXPORT std::string_view EnergySourceName(EnergySource source);  // "none", "rapl", ...

// Energy with its uncertainty: the true value lies in [low, high]. With source kNone nothing was
// measured nor estimated, and all three are 0.
struct Joules {
  double value = 0;
  double low = 0;
  double high = 0;
  EnergySource source = EnergySource::kNone;
};

// {"value", "low", "high", "source"}; null and "none" where there is no source.
EYESHOT_EXPORT std::string JoulesAsJson(const Joules& joules);

// What one stage cost, added up over its runs.
struct StageCost {
  uint64_t wall_ns = 0;
  uint64_t device_ns = 0;  // that a GPU was at it, by its own clock; 0: the work was the CPU's
  uint64_t bytes = 0;   // read and written by the operations: weights, activations, files; not cache traffic
  uint64_t flops = 0;   // a multiply-add counts as two
  uint64_t tokens = 0;  // of the stage: patches in encode, visual tokens out of connect, text tokens in decode
  uint64_t runs = 0;    // 0: the stage did not happen
  Joules joules;
};

// One run of a stage, by the steady clock.
struct StageRun {
  StageId id = StageId::kLoad;
  uint64_t begin_ns = 0;
  uint64_t end_ns = 0;
};

// What a picture or clip became, and what the reference would have made of it.
struct PictureCost {
  int width = 0;  // of the file, upright
  int height = 0;
  int rows = 0;  // of tiles; 0 x 0: one view
  int cols = 0;
  int frames = 0;  // of a clip, one view each; 0: a picture
  int64_t visual_tokens = 0;
  int64_t reference_visual_tokens = 0;  // with the detail "reference"
  bool shrunk = false;  // made smaller by "auto" so that the prompt fits into the context
  std::string reduction;  // what made its visual tokens fewer: "stride:16"; empty: nothing did

  int64_t saved() const { return reference_visual_tokens - visual_tokens; }
};

// What a GPU's management library said at one moment; empty: it didn't say.
struct GpuReading {
  uint64_t at_ns = 0;  // by the steady clock
  std::optional<double> energy_j;  // of a counter that began some time ago
  std::optional<double> power_w;   // of the whole board
  std::optional<uint32_t> sm_clock_mhz;
  std::optional<uint32_t> memory_clock_mhz;
  std::optional<uint32_t> temperature_c;
  std::optional<uint64_t> throttle_reasons;  // bits of nvmlClocksEventReasons
  std::optional<uint64_t> memory_used_bytes;  // by all programs
  std::optional<uint32_t> busy_percent;  // of the last second or less, in which a kernel ran
  std::optional<uint32_t> memory_busy_percent;  // of the same time, in which memory was read or written
};

// The GPU before and after a run, and what it took in between: of the whole board, whoever else works on it.
struct GpuCost {
  GpuReading before;
  GpuReading after;
  Joules joules;
  uint64_t allocated_bytes = 0;  // the most that this program had taken at a time
};

// Is told of each stage as it begins, by the thread that enqueues its work: of decoding for each token, of a GPU before
// the GPU is at it. May neither block nor allocate.
class StageObserver {
 public:
  virtual ~StageObserver() = default;
  virtual void OnStage(StageId id) noexcept = 0;
};

// The costs of one run, by stage. A plain value: copy it freely. Not synchronized.
class EYESHOT_EXPORT Ledger {
 public:
  // `observer` is told of stages from now on, and has to live as long; null: nobody.
  void Observe(StageObserver* observer) { observer_ = observer; }
  void Begin(StageId id) const {
    if (observer_ != nullptr) observer_->OnStage(id);
  }

  void Add(StageId id, const StageCost& cost);
  // Adds all that another ledger has to this one.
  void Add(const Ledger& other);
  // Its stages alone: of sums over many questions, whose pictures and runs would make this grow for ever.
  void AddStages(const Ledger& other);

  const StageCost& cost(StageId id) const { return costs_[static_cast<size_t>(id)]; }
  void SetJoules(StageId id, const Joules& joules) { costs_[static_cast<size_t>(id)].joules = joules; }

  // From now on runs of stages are kept, so that a meter's joules can be told apart later: the first `most` of them, at
  // most limits::kMaxStageRuns. Their memory is taken at once.
  void KeepRuns(size_t most);
  // Neither allocates nor locks.
  void AddRun(const StageRun& run) {
    if (runs_.size() < runs_.capacity()) {
      runs_.push_back(run);
    } else if (runs_.capacity() > 0) {
      ++dropped_runs_;
    }
  }
  const std::vector<StageRun>& runs() const { return runs_; }
  size_t dropped_runs() const { return dropped_runs_; }  // for lack of room: their energy is nobody's
  uint64_t total_wall_ns() const;
  // Of all stages that have any. Of a run that was measured, estimates are shares of what was: the sum is then
  // measured.
  Joules total_joules() const;

  // The pictures and clips that a question brought, in order.
  void AddPicture(const PictureCost& picture) { pictures_.push_back(picture); }
  const std::vector<PictureCost>& pictures() const { return pictures_; }

  // Of a run on a GPU. Its readings are empty where the meter could not be read.
  void SetGpu(const GpuCost& gpu) { gpu_ = gpu; }
  const std::optional<GpuCost>& gpu() const { return gpu_; }

  // A table for a terminal: a line for each stage that happened, and their sum; then the pictures, where any differs
  // from what the reference would have made of it.
  std::string Table() const;
  // A JSON array of the pictures and clips: [{"width", "height", "rows", "cols", "frames", "visual_tokens",
  // "reference_visual_tokens", "reduction" (or null), "shrunk"}, ...].
  std::string PicturesJson() const;
  // A JSON object of the GPU, or null.
  std::string GpuJson() const;
  // A JSON array: [{"name", "wall_ms", "device_ms" (or null), "flops", "bytes", "tokens", "joules": {...} or null},
  // ...], all stages.
  std::string Json() const;

 private:
  std::array<StageCost, kStageCount> costs_{};
  std::vector<PictureCost> pictures_;
  std::optional<GpuCost> gpu_;
  std::vector<StageRun> runs_;
  size_t dropped_runs_ = 0;
  StageObserver* observer_ = nullptr;
};

}  // namespace eyeshot

#endif  // EYESHOT_LEDGER_H_
