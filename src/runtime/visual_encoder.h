// VisualEncoder: pictures and clips through preprocessing, tower, connector and reducer, in one go or piece by piece.
#ifndef EYESHOT_RUNTIME_VISUAL_ENCODER_H_
#define EYESHOT_RUNTIME_VISUAL_ENCODER_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/threads.h"
#include "eyeshot/ledger.h"
#include "models/model.h"
#include "reduce/reducer.h"
#include "runtime/conversation.h"

namespace eyeshot {

// The tiles of a picture or clip. Charges `preprocess`. Errors: those of ImageProcessor.
Status PreprocessVisual(const VisionLanguageModel& model, const Visual& visual, ThreadPool& pool, Tiles& tiles,
                        Ledger& ledger);

// Whether they are of one kind, reduced alike, and seen with the same question.
bool EncodedTogether(const Visual& a, const Visual& b);

// One group of visuals on their way. Each gets a buffer of its own.
class VisualEncoder {
 public:
  // Visuals that can be EncodedTogether(), whose tiles are `tiles`, one visual's behind the other's. `query` is that of
  // their question (EncodeWork::query). All live longer. Error: kOutOfMemory.
  static Result<std::unique_ptr<VisualEncoder>> Begin(VisionLanguageModel& model, ThreadPool& pool,
                                                      std::vector<Visual*> visuals, Tiles tiles, ConstMatrixView query);

  // As VisionLanguageModel::EncodeSome(). When it is true the visuals are encoded and reduced; those that weren't
  // `counted` have their tile_tokens then. Charges `encode`, `connect` and `reduce`.
  Result<bool> Some(Stream& stream, int64_t parts, int64_t group, Ledger& ledger);

  int64_t tiles() const { return work_.tiles; }
  int64_t tiles_done() const { return place_.tiles; }
  // Of the group that is under way; 0: none.
  int64_t parts_done() const { return place_.parts; }
  int64_t tiles_under_way() const {
    return place_.parts == 0 ? 0 : static_cast<int64_t>(place_.runs.cu_tokens.size()) - 1;
  }

 private:
  VisualEncoder(VisionLanguageModel& model, ThreadPool& pool, std::vector<Visual*> visuals, Tiles tiles)
      : model_(model), pool_(pool), visuals_(std::move(visuals)), tiles_(std::move(tiles)) {}
  Status Deliver(Stream& stream, Ledger& ledger);
  Status Reduce(Stream& stream, Visual& visual, int64_t first_token, Ledger& ledger);

  VisionLanguageModel& model_;
  ThreadPool& pool_;
  std::vector<Visual*> visuals_;
  Tiles tiles_;
  Buffer buffer_;  // of all visuals' tokens
  TowerSignals signals_;
  std::unique_ptr<LayerHook> hook_;
  EncodeWork work_;
  EncodePlace place_;
};

}  // namespace eyeshot

#endif  // EYESHOT_RUNTIME_VISUAL_ENCODER_H_
