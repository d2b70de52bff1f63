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

// Of a value alone, without bounds.
Interval Alone(double value) { return {value, value, value}; }

}  // namespace

Score Summarize(std::span<const Record* const> records, const Scorer& scorer, uint64_t seed, bool with_intervals) {
  Score sum{.questions = records.size()};
  if (records.empty()) return sum;
  std::vector<double> edits;
  std::vector<double> characters;
  double all_edits = 0;
  double all_characters = 0;
  double scores = 0;
  for (const Record* record : records) {
    sum.exact += record->exact ? 1 : 0;
    scores += record->score;
    edits.push_back(static_cast<double>(record->edits));
    characters.push_back(static_cast<double>(record->characters));
    all_edits += edits.back();
    all_characters += characters.back();
    sum.ms += record->ms;
    sum.prompt_tokens += static_cast<double>(record->prompt_tokens);
    sum.visual_tokens += static_cast<double>(record->visual_tokens);
    sum.completion_tokens += static_cast<double>(record->completion_tokens);
  }
  const auto count = static_cast<double>(records.size());
  for (double* mean : {&sum.ms, &sum.prompt_tokens, &sum.visual_tokens, &sum.completion_tokens}) *mean /= count;
  sum.joules = MeanJoules(records);
  sum.score = with_intervals ? ScoreInterval(ScoresOf(records), scorer.share, seed) : Alone(scores / count);
  sum.error_rate = with_intervals ? BootstrapRatio(edits, characters, seed)
                                  : Alone(all_characters == 0 ? 0 : all_edits / all_characters);
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
  std::map<std::string_view, const Record*> by_id;
  for (const Record* record : b) by_id[record->id] = record;
  Comparison comparison;
  std::vector<double> scores_a;
  std::vector<double> scores_b;
  std::map<std::string, std::pair<std::vector<double>, std::vector<double>>> by_task;
  for (const Record* record : a) {
    const auto other = by_id.find(record->id);
    if (other == by_id.end()) {
      ++comparison.only_a;
      continue;
    }
    scores_a.push_back(record->score);
    scores_b.push_back(other->second->score);
    auto& [task_a, task_b] = by_task[record->task];
    task_a.push_back(scores_a.back());
    task_b.push_back(scores_b.back());
    comparison.better += scores_b.back() > scores_a.back() ? 1 : 0;
    comparison.worse += scores_b.back() < scores_a.back() ? 1 : 0;
  }
  comparison.questions = scores_a.size();
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

}  // namespace eyeshot::eval
