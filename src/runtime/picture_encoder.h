// PictureEncoder: the pictures of a scheduler's requests through the tower, several requests' together, either in
// slices between the decoding steps of others or, where a device has a queue for it, beside them.
#ifndef EYESHOT_RUNTIME_PICTURE_ENCODER_H_
#define EYESHOT_RUNTIME_PICTURE_ENCODER_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "runtime/decoder_runner.h"
#include "runtime/image_cache.h"
#include "runtime/query_encoder.h"
#include "runtime/running_mean.h"
#include "runtime/scheduler_request.h"
#include "runtime/visual_encoder.h"

namespace eyeshot {

// Thread-safety: none; all calls come from the thread that runs the model.
class PictureEncoder {
 public:
  struct Options {
    int64_t context = 0;  // of the engine
    bool beside = false;  // on a queue beside the others, if the backend has one
    StageObserver* observer = nullptr;
  };

  // `images`, guarded by `mutex`, keeps what was encoded. All live longer. Error: kOutOfMemory.
  static Result<std::unique_ptr<PictureEncoder>> Create(VisionLanguageModel& model, ThreadPool& pool,
                                                        ImageCache& images, std::mutex& mutex, const Options& options);

  // Takes the waiting visuals of the first request that has any, as far as they can be encoded together, and with them
  // those of later ones, as far as the tower takes them together anyway. What was encoded since they were prepared
  // isn't encoded again. Visuals that were taken are in their request's `encoding` until all of them are done. Runs
  // questions that they are looked at with through `runner`. REQUIRES: !active().
  Status Begin(std::span<const std::shared_ptr<ScheduledRequest>> requests, Stream& stream, DecoderRunner& runner);
  bool active() const { return encoder_ != nullptr; }

  // REQUIRES: active() for both. The next piece of work, of about budget_s, on the others' stream.
  Status Slice(Stream& stream, double budget_s);
  // Sees to it that the device has the next tiles to encode, once it is done with those before: when they are, where it
  // `waits`, and otherwise so that others' work finds room beside it. REQUIRES: beside().
  Status GoOn(bool waits);
  // Whether there is a queue beside the others.
  bool beside() const { return beside_ != nullptr; }

  // Memory that isn't needed any more; to free it at once might wait for the device.
  void Retire(std::shared_ptr<Buffer> buffer);
  // After an error: the visuals that were taken are lost.
  void Drop();

 private:
  PictureEncoder(VisionLanguageModel& model, ThreadPool& pool, ImageCache& images, std::mutex& mutex,
                 StageObserver* observer)
      : model_(model), pool_(pool), images_(images), mutex_(mutex), observer_(observer) {}
  Result<ConstMatrixView> EncodeQuery(const std::string& question, Stream& stream, DecoderRunner& runner);
  void Charge(const Ledger& slice);
  void End();

  VisionLanguageModel& model_;
  ThreadPool& pool_;
  ImageCache& images_;
  std::mutex& mutex_;
  StageObserver* observer_;
  std::unique_ptr<Stream> beside_;
  std::unique_ptr<QueryEncoder> query_encoder_;  // null: visual tokens don't depend on what is asked

  std::unique_ptr<VisualEncoder> encoder_;
  std::vector<std::shared_ptr<ScheduledRequest>> requests_;
  bool enqueued_ = false;  // beside_ has work
  bool enqueued_all_ = false;
  std::vector<std::shared_ptr<Buffer>> retired_;
  RunningMean part_s_{0.005};  // a part of the tower, for one tile
};

}  // namespace eyeshot

#endif  // EYESHOT_RUNTIME_PICTURE_ENCODER_H_
