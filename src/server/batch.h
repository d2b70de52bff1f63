// `eyeshot batch`: the requests of a file through a scheduler, side by side, and their answers into another file.
//
// It can be killed at any time and begun again: what was answered stays answered, the rest is asked.
#ifndef EYESHOT_SERVER_BATCH_H_
#define EYESHOT_SERVER_BATCH_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/limits.h"
#include "eyeshot/engine.h"
#include "eyeshot/ledger.h"
#include "eyeshot/scheduler.h"
#include "eyeshot/status.h"
#include "server/media_loader.h"
#include "server/request_plan.h"

namespace eyeshot::server {

// How far a batch is.
struct BatchReport {
  int64_t requests = 0;         // in the file
  int64_t answered_before = 0;  // by earlier runs
  int64_t answered = 0;         // by this one
  int64_t failed = 0;           // of both: what was answered with an error
  int64_t put_off = 0;          // might be answered another time: not in the file of answers
  Status why_put_off;           // of the first of these
  bool stopped = false;         // by `stop`
  int64_t prompt_tokens = 0;    // of what this run answered
  int64_t completion_tokens = 0;
  Ledger ledger;

  int64_t done() const { return answered_before + answered; }
};

struct BatchOptions {
  MediaOptions media;
  AskOptions defaults;  // of requests that say nothing
  RequestPlanner planner = NoRequestPlanner();  // of requests with a budget
  std::string settings;  // what else the answers depend on, such as how the model was loaded
  int under_way = 16;   // requests that the scheduler has, at most; its queue must have room for them
  const std::atomic<bool>* stop = nullptr;  // when it becomes true, the batch ends soon; null: never
  std::function<void(const BatchReport&)> on_progress;  // is called several times a second; may be empty
  std::function<void(std::string_view)> log;  // is called with a line about plans that were off; may be empty
};

// Answers the requests of `input` that `output` has no answer to. Requests are read twice: once whole, so that a bad
// line is known before anything is asked, and then as there is room for them. Answers are written in the order in which
// they come. An answer with an error is an answer, but for errors that another try may not have (out of memory, a file
// or host that can't be read now).
//
// Errors: those of BatchInput, BatchOutput and ParseBatchRequest(); a custom_id that stands twice, kLimitExceeded (more
// than kMaxBatchLines), an answer in `output` to another request or of another model or setting. What was answered
// before an error is in the file.
Result<BatchReport> RunBatch(Scheduler& scheduler, const MediaNeeds& needs, const BatchOptions& options,
                             const std::string& input, const std::string& output);

}  // namespace eyeshot::server

#endif  // EYESHOT_SERVER_BATCH_H_
