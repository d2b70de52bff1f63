// What the server has done, in Prometheus' text format (version 0.0.4).
#ifndef EYESHOT_SERVER_METRICS_H_
#define EYESHOT_SERVER_METRICS_H_

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "eyeshot/scheduler.h"
#include "server/http_server.h"

namespace eyeshot::server {

// Counts of values up to bounds, as Prometheus' histograms. Not synchronized.
class Histogram {
 public:
  explicit Histogram(std::span<const double> bounds) : bounds_(bounds), counts_(bounds.size() + 1) {}
  void Observe(double value);
  // Appends its lines to `text`.
  void Print(std::string_view name, std::string_view help, std::string& text) const;

 private:
  std::span<const double> bounds_;
  std::vector<uint64_t> counts_;  // of each bound, and above the last
  double sum_ = 0;
};

// The times of one answer, in seconds.
struct AnswerTimes {
  double first_token = 0;  // from the request's arrival
  double per_token = 0;    // between the first and the last; below 0: there was one token or none
  double total = 0;
  double encode = 0;  // in the vision tower; 0: it did not run
};

// Thread-safe.
class Metrics {
 public:
  Metrics();
  void CountRequest(std::string_view route, int status);
  void CountAnswer(const AnswerTimes& times);
  // What reading the pictures of an answer cost: the scheduler's ledger lacks it.
  void AddMedia(const Ledger& ledger);
  std::string Text(const SchedulerStats& stats, const HttpStats& http, uint64_t media_bytes) const;

 private:
  mutable std::mutex turn_;
  std::map<std::pair<std::string, int>, uint64_t> requests_;
  Ledger media_;
  Histogram first_token_, per_token_, total_, encode_;
};

}  // namespace eyeshot::server

#endif  // EYESHOT_SERVER_METRICS_H_
