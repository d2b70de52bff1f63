#include "runtime/request_queue.h"

#include <algorithm>
#include <utility>

namespace eyeshot {

void RequestQueue::Push(RequestPtr request) {
  const std::string& client = request->request.client;
  std::deque<RequestPtr>& own = by_client_[client];
  if (own.empty()) turns_.push_back(client);
  own.push_back(std::move(request));
  ++size_;
}

void RequestQueue::PushFirst(RequestPtr request) {
  const std::string client = request->request.client;
  std::erase(turns_, client);
  turns_.push_front(client);
  by_client_[client].push_front(std::move(request));
  ++size_;
}

RequestQueue::RequestPtr RequestQueue::Take() {
  const std::string client = std::move(turns_.front());
  turns_.pop_front();
  const auto own = by_client_.find(client);
  RequestPtr request = std::move(own->second.front());
  own->second.pop_front();
  if (own->second.empty()) {
    by_client_.erase(own);
  } else {
    turns_.push_back(client);
  }
  --size_;
  return request;
}

bool RequestQueue::Remove(const RequestPtr& request) {
  const auto own = by_client_.find(request->request.client);
  if (own == by_client_.end() || std::erase(own->second, request) == 0) return false;
  --size_;
  if (own->second.empty()) {
    std::erase(turns_, own->first);
    by_client_.erase(own);
  }
  return true;
}

}  // namespace eyeshot
