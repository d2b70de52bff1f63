// Cuts paged attention into tasks.
#ifndef EYESHOT_KERNELS_PORTABLE_PAGED_PLANNER_H_
#define EYESHOT_KERNELS_PORTABLE_PAGED_PLANNER_H_

#include <cstdint>
#include <vector>

#include "kernels/portable/kernels.h"

namespace eyeshot::portable {

// Keeps its lists from step to step: it allocates only when a step has more sequences or queries than any before.
class PagedPlanner {
 public:
  // The plan lives until the next call; its partial memory is the caller's to set: splits() * PartialFloats().
  PagedPlan Plan(int max_rows, const DotKernel* dot, int threads, const PagedAttentionArgs& args);

  const std::vector<PagedTask>& tasks() const { return tasks_; }
  const std::vector<PagedMerge>& merges() const { return merges_; }
  // An upper bound on partial results that doesn't depend on context lengths, so that a sequence that grows
  // doesn't make memory grow.
  int64_t splits() const { return most_splits_; }

 private:
  void AddSequence(const PagedAttentionArgs& args, int64_t sequence, int64_t wanted_splits);

  std::vector<PagedTask> tasks_;
  std::vector<PagedMerge> merges_;
  int64_t used_splits_ = 0;
  int64_t most_splits_ = 0;
  int64_t split_queries_ = 0;  // sequences with more queries in the step than this aren't split along their keys
};

}  // namespace eyeshot::portable

#endif  // EYESHOT_KERNELS_PORTABLE_PAGED_PLANNER_H_
