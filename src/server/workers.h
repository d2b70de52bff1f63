// Threads for what takes milliseconds: reading bodies, decoding pictures.
#ifndef EYESHOT_SERVER_WORKERS_H_
#define EYESHOT_SERVER_WORKERS_H_

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace eyeshot::server {

class Workers {
 public:
  Workers(int threads, size_t most_waiting) : most_waiting_(most_waiting) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Work(); });
  }
  // Ends what has begun, and forgets the rest.
  ~Workers() {
    {
      const std::lock_guard<std::mutex> turn(turn_);
      stop_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // False: too many wait.
  bool Add(std::function<void()> task) {
    {
      const std::lock_guard<std::mutex> turn(turn_);
      if (tasks_.size() >= most_waiting_) return false;
      tasks_.push_back(std::move(task));
    }
    wake_.notify_one();
    return true;
  }

 private:
  void Work() {
    std::unique_lock<std::mutex> turn(turn_);
    while (true) {
      wake_.wait(turn, [this] { return stop_ || !tasks_.empty(); });
      if (stop_) return;
      const std::function<void()> task = std::move(tasks_.front());
      tasks_.pop_front();
      turn.unlock();
      task();
      turn.lock();
    }
  }

  const size_t most_waiting_;
  std::mutex turn_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace eyeshot::server

#endif  // EYESHOT_SERVER_WORKERS_H_
