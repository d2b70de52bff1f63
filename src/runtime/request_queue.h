// RequestQueue: requests that wait for the scheduler. Those of one client wait behind one another; clients take turns.
#ifndef EYESHOT_RUNTIME_REQUEST_QUEUE_H_
#define EYESHOT_RUNTIME_REQUEST_QUEUE_H_

#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <string>

#include "runtime/scheduler_request.h"

namespace eyeshot {

// Not synchronized.
class RequestQueue {
 public:
  using RequestPtr = std::shared_ptr<ScheduledRequest>;

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  void Push(RequestPtr request);
  // As the next one of all.
  void PushFirst(RequestPtr request);
  // REQUIRES: it isn't empty.
  RequestPtr Take();
  // False: it isn't there.
  bool Remove(const RequestPtr& request);

 private:
  size_t size_ = 0;
  std::map<std::string, std::deque<RequestPtr>> by_client_;  // none is empty
  std::deque<std::string> turns_;                            // those clients, the next one first
};

}  // namespace eyeshot

#endif  // EYESHOT_RUNTIME_REQUEST_QUEUE_H_
