#include "eval/summary.h"

#include <utility>

namespace eyeshot::eval {
namespace {

// Joules by source, of those that all records have.
std::vector<Joules> MeanJoules(std::span<const Record* const> records) {
  std::map<EnergySource, std::pair<Joules, size_t>> sums;
  for (const Record* record : records) {
    for (const Joules& joules : record->joules) {
      auto& [sum, count] = sums[joules.source];
      sum.source = joules.source;
      sum.value += joules.value;
      sum.low += joules.low;
      sum.high += joules.high;
      ++count;
    }
  }
  std::vector<Joules> means;
  for (auto& [source, entry] : sums) {
    auto& [sum, count] = entry;
    if (count != records.size()) continue;
    for (double* value : {&sum.value, &sum.low, &sum.high}) *value /= static_cast<double>(count);
    means.push_back(sum);
  }
  return means;
}

std::vector<double> ScoresOf(std::span<const Record* const> records) {
  std::vector<double> scores;
  for (const Record* record : records) scores.push_back(record->score);
  return scores;
}

// The records of the same questions, in the order of `a`.
std::vector<std::pair<const Record*, const Record*>> PairsOf(std::span<const Record* const> a,
                                                             std::span<const Record* const> b) {
  std::map<std::string_view, const Record*> by_id;
  for (const Record* record : b) by_id[record->id] = record;
  std::vector<std::pair<const Record*, const Record*>> pairs;
  for (const Record* record : a) {
    const auto other = by_id.find(record->id);
    if (other != by_id.end()) pairs.emplace_back(record, other->second);
  }
  return pairs;
}

}  // namespace

Score Summarize(std::span<const Record* const> records, const Scorer& scorer, uint64_t seed) {
  Score sum{.questions = records.size()};
  if (records.empty()) return sum;
  std::vector<double> edits;
  std::vector<double> characters;
  for (const Record* record : records) {
    sum.exact += record->exact ? 1 : 0;
    edits.push_back(static_cast<double>(record->edits));
    characters.push_back(static_cast<double>(record->characters));
    sum.ms += record->ms;
    sum.prompt_tokens += static_cast<double>(record->prompt_tokens);
    sum.visual_tokens += static_cast<double>(record->visual_tokens);
    sum.completion_tokens += static_cast<double>(record->completion_tokens);
  }
  const auto count = static_cast<double>(records.size());
  for (double* mean : {&sum.ms, &sum.prompt_tokens, &sum.visual_tokens, &sum.completion_tokens}) *mean /= count;
  sum.joules = MeanJoules(records);
  sum.score = ScoreInterval(ScoresOf(records), scorer.share, seed);
  sum.error_rate = BootstrapRatio(edits, characters, seed);
  return sum;
}

Summary SummarizeByTask(std::span<const Record* const> records, const Scorer& scorer, uint64_t seed) {
  std::map<std::string, std::vector<const Record*>> tasks;
  std::map<std::string, std::vector<const Record*>> groups;
  for (const Record* record : records) {
    tasks[record->task].push_back(record);
    if (!record->group.empty()) groups[record->group].push_back(record);
  }
  Summary summary{.total = Summarize(records, scorer, seed)};
  for (const auto& [task, some] : tasks) summary.tasks[task] = Summarize(some, scorer, seed);
  for (const auto& [group, some] : groups) summary.groups[group] = Summarize(some, scorer, seed);
  return summary;
}

Comparison Compare(std::span<const Record* const> a, std::span<const Record* const> b, const Scorer& scorer,
                   uint64_t seed) {
  Comparison comparison;
  std::vector<double> scores_a;
  std::vector<double> scores_b;
  std::map<std::string, std::pair<std::vector<double>, std::vector<double>>> by_task;
  for (const auto& [record, other] : PairsOf(a, b)) {
    scores_a.push_back(record->score);
    scores_b.push_back(other->score);
    auto& [task_a, task_b] = by_task[record->task];
    task_a.push_back(scores_a.back());
    task_b.push_back(scores_b.back());
    comparison.better += scores_b.back() > scores_a.back() ? 1 : 0;
    comparison.worse += scores_b.back() < scores_a.back() ? 1 : 0;
  }
  comparison.questions = scores_a.size();
  comparison.only_a = a.size() - comparison.questions;
  comparison.only_b = b.size() - comparison.questions;
  comparison.a = ScoreInterval(scores_a, scorer.share, seed);
  comparison.b = ScoreInterval(scores_b, scorer.share, seed);
  comparison.difference = PairedDifference(scores_a, scores_b, seed);
  for (const auto& [task, scores] : by_task) {
    if (scores.first.size() < kFewestPairs) continue;
    comparison.tasks[task] = PairedDifference(scores.first, scores.second, seed);
  }
  return comparison;
}

Interval Difference(std::span<const Record* const> a, std::span<const Record* const> b, uint64_t seed) {
  std::vector<double> scores_a;
  std::vector<double> scores_b;
  for (const auto& [record, other] : PairsOf(a, b)) {
    scores_a.push_back(record->score);
    scores_b.push_back(other->score);
  }
  return PairedDifference(scores_a, scores_b, seed);
}

}  // namespace eyeshot::eval
