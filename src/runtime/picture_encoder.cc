#include "runtime/picture_encoder.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "ledger/stage.h"

namespace eyeshot {

Result<std::unique_ptr<PictureEncoder>> PictureEncoder::Create(VisionLanguageModel& model, ThreadPool& pool,
                                                               ImageCache& images, std::mutex& mutex,
                                                               const Options& options) {
  std::unique_ptr<PictureEncoder> encoder(new PictureEncoder(model, pool, images, mutex, options.observer));
  if (model.config().query_conditioned()) {
    EYESHOT_ASSIGN_OR_RETURN(encoder->query_encoder_, QueryEncoder::Create(model, options.context));
  }
  if (options.beside && model.tower_parts() > 0) encoder->beside_ = model.backend().NewStreamBeside();
  return encoder;
}

Status PictureEncoder::Begin(std::span<const std::shared_ptr<ScheduledRequest>> requests, Stream& stream,
                             DecoderRunner& runner) {
  EYESHOT_CHECK(!active());
  std::vector<Visual*> visuals;
  std::set<VisualHash> hashes;
  Tiles tiles;
  const int64_t group = model_.backend().info().tower_group;
  for (const auto& request : requests) {
    std::vector<Visual>& own = request->conversation.visuals();
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      std::erase_if(request->waiting,
                    [&](const auto& visual) { return images_.Fill(request->hashes[visual.index], own[visual.index]); });
    }
    if (request->waiting.empty()) continue;
    const bool first = visuals.empty();
    const Visual& like = first ? own[request->waiting.front().index] : *visuals.front();
    const auto joins = [&](const ScheduledRequest::WaitingVisual& visual) {
      if (hashes.count(request->hashes[visual.index]) > 0) return false;  // it will be in the cache
      return EncodedTogether(own[visual.index], like);
    };
    int64_t more = 0;
    for (const auto& visual : request->waiting) more += visual.tiles.count();
    const auto rest = std::stable_partition(request->waiting.begin(), request->waiting.end(), joins);
    if (!first && (tiles.count() + more > group || rest != request->waiting.end())) break;
    for (auto taken = request->waiting.begin(); taken != rest; ++taken) {
      ScheduledRequest::WaitingVisual& visual = *taken;
      visuals.push_back(&own[visual.index]);
      request->encoding.push_back(visual.index);
      hashes.insert(request->hashes[visual.index]);
      tiles.side = visual.tiles.side;
      tiles.rgb.insert(tiles.rgb.end(), visual.tiles.rgb.begin(), visual.tiles.rgb.end());
      tiles.grids.insert(tiles.grids.end(), visual.tiles.grids.begin(), visual.tiles.grids.end());
    }
    request->waiting.erase(request->waiting.begin(), rest);
    requests_.push_back(request);
  }
  if (visuals.empty()) return Status::Ok();
  EYESHOT_ASSIGN_OR_RETURN(const ConstMatrixView query, EncodeQuery(visuals.front()->question, stream, runner));
  EYESHOT_ASSIGN_OR_RETURN(encoder_, VisualEncoder::Begin(model_, pool_, std::move(visuals), std::move(tiles), query));
  return Status::Ok();
}

// What those that were taken ask, for connectors that look for it.
Result<ConstMatrixView> PictureEncoder::EncodeQuery(const std::string& question, Stream& stream,
                                                    DecoderRunner& runner) {
  if (query_encoder_ == nullptr) return ConstMatrixView();
  Ledger asked;
  EYESHOT_ASSIGN_OR_RETURN(const ConstMatrixView query, query_encoder_->Encode(stream, runner, question, asked));
  EYESHOT_RETURN_IF_ERROR(model_.backend().Sync(stream));
  stream.Collect(asked);
  for (const auto& request : requests_) request->AddShare(asked, 1.0 / static_cast<double>(requests_.size()));
  return query;
}

Status PictureEncoder::Slice(Stream& stream, double budget_s) {
  const uint64_t begin = SteadyNowNs();
  const int64_t all_parts = std::max<int64_t>(1, model_.tower_parts());
  const int64_t best = std::max<int64_t>(1, model_.backend().info().tower_group);
  const int64_t left = encoder_->tiles() - encoder_->tiles_done();
  // Groups are smaller where somebody waits for the next decoding step.
  const auto fitting = static_cast<int64_t>(budget_s / part_s_.value());
  const int64_t group = encoder_->tiles_under_way() > 0 ? encoder_->tiles_under_way()
                                                        : std::clamp<int64_t>(fitting, 1, std::min(best, left));
  const int64_t before = encoder_->parts_done();
  const int64_t parts = std::clamp<int64_t>(fitting / group, 1, all_parts - before);
  Ledger slice;
  slice.Observe(observer_);
  EYESHOT_ASSIGN_OR_RETURN(const bool done, encoder_->Some(stream, parts, group, slice));
  EYESHOT_RETURN_IF_ERROR(model_.backend().Sync(stream));
  stream.Collect(slice);
  part_s_.Add(1e-9 * static_cast<double>(SteadyNowNs() - begin) / static_cast<double>(parts * group));
  Charge(slice);
  if (done) End();
  return Status::Ok();
}

// A group of tiles at a time: its pixels go through pinned memory, which those of the next group would have to wait
// for.
Status PictureEncoder::GoOn(bool waits) {
  Backend& backend = model_.backend();
  Ledger slice;
  if (enqueued_) {
    if (!waits && !backend.IsDone(*beside_)) return Status::Ok();
    EYESHOT_RETURN_IF_ERROR(backend.Sync(*beside_));
    enqueued_ = false;
    retired_.clear();
    beside_->Collect(slice);
    Charge(slice);
    if (enqueued_all_) {
      End();
      return Status::Ok();
    }
  }
  beside_->yields = !waits;
  EYESHOT_ASSIGN_OR_RETURN(enqueued_all_,
                           encoder_->Some(*beside_, std::max<int64_t>(1, model_.tower_parts()), 0, slice));
  enqueued_ = true;
  return Status::Ok();
}

void PictureEncoder::Charge(const Ledger& slice) {
  for (const auto& request : requests_) {
    int64_t own = 0;
    for (const size_t index : request->encoding) own += request->conversation.visuals()[index].tiles;
    request->AddShare(slice, static_cast<double>(own) / static_cast<double>(encoder_->tiles()));
  }
}

void PictureEncoder::End() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& request : requests_) {
      for (const size_t index : request->encoding) {
        images_.Keep(request->hashes[index], request->conversation.visuals()[index]);
      }
      request->encoding.clear();
    }
  }
  encoder_.reset();
  requests_.clear();
}

void PictureEncoder::Retire(std::shared_ptr<Buffer> buffer) {
  if (enqueued_) retired_.push_back(std::move(buffer));
}

void PictureEncoder::Drop() {
  if (beside_ != nullptr) static_cast<void>(model_.backend().Sync(*beside_));
  enqueued_ = false;
  retired_.clear();
  encoder_.reset();
  requests_.clear();
}

}  // namespace eyeshot
