// The backend for every CPU: vector code written once with Highway, float32 arithmetic, bfloat16 weights.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "kernels/cpu_backend.h"
#include "kernels/portable/kernels.h"
#include "kernels/portable/kv_cache.h"
#include "kernels/portable/paged_planner.h"
#include "kernels/portable/rotary_table.h"
#include "kernels/portable/row_sources.h"
#include "kernels/portable/scratch.h"
#include "kernels/portable/weights.h"

namespace eyeshot {
namespace portable {
namespace {

// Rows of x look for outliers if the largest element of one is so many times its root mean square. Of normally
// distributed rows of 3072 it's 3.6; behind a GELU 6 to 8. At 10 rounding to 8 bits costs a row 2 % of noise.
constexpr float kOutlierCrest = 10;
// An outlier column's largest magnitude is so many times the median of all columns'.
constexpr float kOutlierRatio = 3;

const PanelWeight* Panels(const PackedWeight* weight) { return static_cast<const PanelWeight*>(weight); }

// Elements that a task of a row-by-row operation takes at least: about 5 us.
constexpr int64_t kElementsPerTask = 16384;

class PortableBackend final : public CpuBackend {
 public:
  PortableBackend(Isa isa, const Kernels& kernels, int threads)
      : CpuBackend({.name = "portable", .isa = std::string(IsaName(isa)), .precision = "exact", .tower_group = 2},
                   threads),
        kernels_(kernels),
        int8_(DotKernelsFor(DotType::kInt8, isa)),
        bf16_(DotKernelsFor(DotType::kBf16, isa)),
        few_(*std::find_if(int8_.begin(), int8_.end(), [](const DotKernel& k) { return k.block_tile != nullptr; })),
        thread_memory_(static_cast<size_t>(pool().threads())),
        scratch_(thread_memory_.size()) {}

  bool Supports(WeightFormat format) const override { return format != WeightFormat::kFp8; }
  Result<PackedWeightPtr> PackLinear(const LinearSource& source) override { return PackPanels(source, pool()); }
  Result<PackedWeightPtr> PackTable(const HostTensor& source) override { return portable::PackTable(source, pool()); }
  size_t PackedLinearBytes(int64_t outputs, int64_t inputs, WeightFormat format) const override {
    return PanelLayout(format, outputs, inputs, false).bytes;
  }
  size_t PackedTableBytes(int64_t rows, int64_t width) const override {
    return TableLayout(WeightFormat::kExact, rows, width).bytes;
  }
  std::string_view packed_layout() const override { return kPackedLayout; }
  std::span<const uint8_t> PackedBytes(const PackedWeight& weight) const override;
  PackedShape ShapeOf(const PackedWeight& weight) const override;
  Result<PackedWeightPtr> Adopt(const PackedShape& shape, std::span<const uint8_t> bytes,
                                std::string_view what) override;
  void ReadRow(const PackedWeight& weight, int64_t row, float* y) const override {
    ReadWeightRow(*Panels(&weight), row, y);
  }
  Result<std::unique_ptr<KvCache>> NewKvCache(const KvCacheShape& shape) override;
  size_t KvCacheBytes(const KvCacheShape& shape) const override { return PagedKvCacheBytes(shape); }

 protected:
  void DoLinear(Stream& stream, const LinearArgs& args) override;
  void DoLayerNorm(Stream& stream, const NormArgs& args) override;
  void DoRmsNorm(Stream& stream, const NormArgs& args) override;
  void DoPatchEmbed(Stream& stream, const PatchEmbedArgs& args) override;
  void DoEncodeAttention(Stream& stream, const EncodeAttentionArgs& args) override;
  void DoPixelShuffleLinear(Stream& stream, const PixelShuffleLinearArgs& args) override;
  void DoGather(Stream& stream, const GatherArgs& args) override;
  void DoRotaryStore(Stream& stream, const RotaryStoreArgs& args) override;
  void DoPagedAttention(Stream& stream, const PagedAttentionArgs& args) override;

 private:
  // y = epilogue(x weight^T), whatever the weight's format.
  void Multiply(const LinearJob& job);
  void MultiplyFloat(const LinearJob& job);
  void MultiplyDot(DotPlan plan);
  void RoundRows(const DotPlan& plan);
  // Sets plan.outliers to the columns worth taking out of the 8-bit rows; there may be none.
  void FindOutliers(DotPlan& plan);
  // Calls fn(begin, end, thread) for parts of [0, rows), each worth a thread's while.
  template <typename Fn>
  void ForRowRanges(int64_t rows, int64_t row_elements, const Fn& fn);
  void PrepareScratch(int64_t floats);
  void ReduceReceived(const EncodePlan& plan);
  // Calls fn(row) for every row, in tasks worth a thread's while.
  template <typename Fn>
  void ForRows(int64_t rows, int64_t row_elements, const Fn& fn);

  const Kernels& kernels_;
  const std::vector<DotKernel> int8_;
  const std::vector<DotKernel> bf16_;
  const DotKernel few_;  // the first of int8_ for few rows
  std::vector<Scratch> thread_memory_;
  std::vector<ThreadScratch> scratch_;
  Scratch rounded_;
  Scratch maxima_;
  Scratch outliers_;
  std::vector<int32_t> outlier_columns_;
  Scratch received_;
  Scratch partial_;
  PagedPlanner planner_;
  RotaryTable rotary_;
};

std::span<const uint8_t> PortableBackend::PackedBytes(const PackedWeight& weight) const {
  const auto* vector = dynamic_cast<const FloatWeight*>(&weight);
  const Buffer& buffer = vector != nullptr ? vector->buffer : Panels(&weight)->buffer;
  return {static_cast<const uint8_t*>(buffer.data()), weight.bytes};
}

PackedShape PortableBackend::ShapeOf(const PackedWeight& weight) const {
  if (dynamic_cast<const FloatWeight*>(&weight) != nullptr) {
    return {.kind = PackedShape::Kind::kVector, .outputs = weight.outputs};
  }
  const PanelWeight& panels = *Panels(&weight);
  return {.kind = panels.rows ? PackedShape::Kind::kTable : PackedShape::Kind::kLinear,
          .format = panels.format,
          .outputs = panels.outputs * (panels.gated ? 2 : 1),
          .inputs = panels.inputs,
          .gated = panels.gated};
}

Result<PackedWeightPtr> PortableBackend::Adopt(const PackedShape& shape, std::span<const uint8_t> bytes,
                                               std::string_view what) {
  // The caller's memory, which the weight doesn't free.
  Buffer buffer(const_cast<uint8_t*>(bytes.data()), bytes.size(), [](void*, size_t) {});
  PackedWeightPtr weight;
  if (shape.kind == PackedShape::Kind::kVector) {
    auto vector = std::make_unique<FloatWeight>();
    vector->outputs = shape.outputs;
    vector->inputs = 1;
    vector->bytes = static_cast<size_t>(shape.outputs) * sizeof(float);
    vector->buffer = std::move(buffer);
    weight = std::move(vector);
  } else {
    auto panels = std::make_unique<PanelWeight>(
        shape.kind == PackedShape::Kind::kTable ? TableLayout(shape.format, shape.outputs, shape.inputs)
                                                : PanelLayout(shape.format, shape.outputs, shape.inputs, shape.gated));
    panels->buffer = std::move(buffer);
    weight = std::move(panels);
  }
  if (weight->bytes != bytes.size()) {
    return CorruptError(fmt::format("weight {} has {} bytes, its shape needs {}", what, bytes.size(), weight->bytes),
                        "make the file again with `eyeshot quantize`");
  }
  return weight;
}

void PortableBackend::PrepareScratch(int64_t floats) {
  for (size_t i = 0; i < scratch_.size(); ++i) scratch_[i] = {thread_memory_[i].Floats(floats), -1};
}

template <typename Fn>
void PortableBackend::ForRowRanges(int64_t rows, int64_t row_elements, const Fn& fn) {
  const int64_t per_task = DivideUp(kElementsPerTask, std::max<int64_t>(1, row_elements));
  pool().Run(static_cast<size_t>(DivideUp(rows, per_task)), [&](size_t task, size_t thread) {
    const int64_t begin = static_cast<int64_t>(task) * per_task;
    fn(begin, std::min(rows, begin + per_task), thread);
  });
}

template <typename Fn>
void PortableBackend::ForRows(int64_t rows, int64_t row_elements, const Fn& fn) {
  ForRowRanges(rows, row_elements, [&](int64_t begin, int64_t end, size_t) {
    for (int64_t row = begin; row < end; ++row) fn(row);
  });
}

Result<std::unique_ptr<KvCache>> PortableBackend::NewKvCache(const KvCacheShape& shape) {
  auto cache = std::make_unique<PagedKvCache>();
  cache->shape = shape;
  cache->bytes = KvCacheBytes(shape);
  EYESHOT_ASSIGN_OR_RETURN(cache->buffer, AllocateHost(cache->bytes, "the key/value cache"));
  return std::unique_ptr<KvCache>(std::move(cache));
}

void PortableBackend::Multiply(const LinearJob& job) {
  const WeightFormat format = job.weight->format;
  if (format == WeightFormat::kExact || format == WeightFormat::kFloat32) {
    MultiplyFloat(job);
  } else if (format == WeightFormat::kBf16) {
    // A few rows wait for weights, not for arithmetic: no rounding then.
    if (bf16_.empty() || job.rows <= kFewRowsBesideBf16) {
      MultiplyFloat(job);
    } else {
      MultiplyDot(PlanDot(DotType::kBf16, bf16_.front(), bf16_.front(), info_.threads, job));
    }
  } else {
    MultiplyDot(PlanDot(DotType::kInt8, int8_.front(), few_, info_.threads, job));
  }
}

void PortableBackend::MultiplyFloat(const LinearJob& job) {
  const LinearPlan plan = PlanLinear(kernels_.max_rows, info_.threads, job);
  PrepareScratch(plan.scratch_floats);
  pool().Run(static_cast<size_t>(plan.blocks * plan.chunks),
             [&](size_t task, size_t thread) { kernels_.linear(plan, static_cast<int64_t>(task), scratch_[thread]); });
}

void PortableBackend::MultiplyDot(DotPlan plan) {
  const int64_t rows = plan.job.rows;
  // Scales and crests of rows, corrections, then the rows: all in units of floats, the rows on a cache line.
  constexpr int64_t kLineFloats = 16;
  const int64_t corrections = RoundUp(plan.a_rows() * plan.corrections_of_row(), kLineFloats);
  const int64_t row_floats = RoundUp(rows, kLineFloats);
  const int64_t padded_rows = RoundUp(plan.a_rows(), kMostDotRows);
  float* memory = rounded_.Floats(2 * row_floats + corrections + DivideUp(padded_rows * plan.a_stride, kGroupBytes));
  plan.scales = memory;
  plan.crests = memory + row_floats;
  plan.corrections = reinterpret_cast<int32_t*>(plan.crests + row_floats);
  plan.a = reinterpret_cast<uint8_t*>(plan.crests + row_floats + corrections);
  PrepareScratch(plan.scratch_floats);
  RoundRows(plan);
  if (plan.type == DotType::kInt8 && plan.digits == 1 &&
      std::any_of(plan.crests, plan.crests + rows, [](float crest) { return crest > kOutlierCrest; })) {
    FindOutliers(plan);
    if (plan.outlier_count > 0) RoundRows(plan);
  }
  pool().Run(static_cast<size_t>(plan.blocks * plan.chunks), [&](size_t task, size_t thread) {
    kernels_.dot_linear(plan, static_cast<int64_t>(task), scratch_[thread]);
  });
}

void PortableBackend::RoundRows(const DotPlan& plan) {
  ForRowRanges(plan.job.rows, plan.job.weight->inputs, [&](int64_t begin, int64_t end, size_t thread) {
    for (int64_t row = begin; row < end; ++row) kernels_.round_row(plan, row, scratch_[thread].data);
  });
}

void PortableBackend::FindOutliers(DotPlan& plan) {
  const int64_t n = plan.job.weight->inputs;
  const auto threads = static_cast<int64_t>(scratch_.size());
  float* maxima = maxima_.Floats((threads + 1) * n);
  std::fill_n(maxima, (threads + 1) * n, 0.0f);
  ForRowRanges(plan.job.rows, n, [&](int64_t begin, int64_t end, size_t thread) {
    float* largest = maxima + (static_cast<int64_t>(thread) + 1) * n;
    for (int64_t row = begin; row < end; ++row) {
      kernels_.max_magnitudes(plan.job.x.read(plan.job.x.context, row, scratch_[thread].data), n, largest);
    }
  });
  for (int64_t t = 1; t <= threads; ++t) kernels_.max_magnitudes(maxima + t * n, n, maxima);
  if (plan.job.weight->format == WeightFormat::kInt8) {
    for (int64_t i = 0; i < n; ++i) maxima[i] *= plan.job.weight->input_factors()[i];
  }
  float* sorted = maxima + n;
  std::copy_n(maxima, n, sorted);
  std::nth_element(sorted, sorted + n / 2, sorted + n);
  const float limit = kOutlierRatio * sorted[n / 2];

  outlier_columns_.clear();
  for (int64_t i = 0; i < n; ++i) {
    if (maxima[i] > limit) outlier_columns_.push_back(static_cast<int32_t>(i));
  }
  if (outlier_columns_.size() > static_cast<size_t>(kMostOutliers)) {
    std::nth_element(outlier_columns_.begin(), outlier_columns_.begin() + kMostOutliers, outlier_columns_.end(),
                     [&](int32_t a, int32_t b) { return maxima[a] > maxima[b]; });
    outlier_columns_.resize(static_cast<size_t>(kMostOutliers));
  }
  plan.outliers = outlier_columns_.data();
  plan.outlier_count = static_cast<int64_t>(outlier_columns_.size());
  if (plan.outlier_count > 0) {
    plan.outlier_values = outliers_.Floats(RoundUp(plan.outlier_count, kGroup) * plan.job.rows);
  }
}

void PortableBackend::DoLinear(Stream&, const LinearArgs& args) {
  Multiply({.x = MatrixRows(args.x),
            .rows = args.x.rows,
            .weight = Panels(args.weight),
            .bias = VectorData(args.bias),
            .activation = args.activation,
            .residual = args.residual,
            .y = args.y});
}

void PortableBackend::DoLayerNorm(Stream&, const NormArgs& args) {
  ForRows(args.x.rows, args.x.cols, [&](int64_t row) {
    kernels_.layer_norm(args.x.Row<float>(row), VectorData(args.gain), VectorData(args.bias), args.epsilon, args.x.cols,
                        args.y.Row<float>(row));
  });
}

void PortableBackend::DoRmsNorm(Stream&, const NormArgs& args) {
  ForRows(args.x.rows, args.x.cols, [&](int64_t row) {
    kernels_.rms_norm(args.x.Row<float>(row), VectorData(args.gain), args.epsilon, args.x.cols, args.y.Row<float>(row));
  });
}

void PortableBackend::DoPatchEmbed(Stream& stream, const PatchEmbedArgs& args) {
  // The position rows go to y first, and the product adds to them.
  DoGather(stream, {args.positions, args.position_ids, args.y});
  Multiply({.x = PatchRows(args),
            .rows = args.y.rows,
            .weight = Panels(args.weight),
            .bias = VectorData(args.bias),
            .residual = args.y,
            .y = args.y});
}

void PortableBackend::DoPixelShuffleLinear(Stream&, const PixelShuffleLinearArgs& args) {
  Multiply({.x = ShuffledRows(args), .rows = args.y.rows, .weight = Panels(args.weight), .residual = {}, .y = args.y});
}

void PortableBackend::DoGather(Stream&, const GatherArgs& args) {
  ForRows(args.ids.size, args.table->inputs,
          [&](int64_t row) { ReadWeightRow(*Panels(args.table), args.ids.data[row], args.y.Row<float>(row)); });
}

void PortableBackend::DoEncodeAttention(Stream&, const EncodeAttentionArgs& args) {
  const int64_t runs = args.cu_tokens.size - 1;
  for (int64_t run = 0; run < runs; ++run) {
    EYESHOT_CHECK(args.cu_tokens.data[run + 1] - args.cu_tokens.data[run] <= args.max_tokens);
  }
  const DotKernel* dot = args.reduced && !bf16_.empty() ? bf16_.data() : nullptr;
  EncodePlan plan = PlanEncode(kernels_.max_rows, dot, info_.threads, args);
  if (!args.column_mean.empty()) plan.received = received_.Floats(plan.tasks * args.max_tokens);
  PrepareScratch(plan.scratch_floats);
  pool().Run(static_cast<size_t>(plan.tasks), [&](size_t task, size_t thread) {
    (dot != nullptr ? kernels_.encode_attention_dot : kernels_.encode_attention)(plan, static_cast<int64_t>(task),
                                                                                 scratch_[thread]);
  });
  if (plan.received != nullptr) ReduceReceived(plan);
}

// column_mean <- the tasks' sums, added in the order of tasks whichever thread did them.
void PortableBackend::ReduceReceived(const EncodePlan& plan) {
  const EncodeAttentionArgs& args = *plan.args;
  const int64_t run_tasks = args.heads * plan.parts;
  for (int64_t run = 0; run + 1 < args.cu_tokens.size; ++run) {
    const int64_t begin = args.cu_tokens.data[run];
    const int64_t tokens = args.cu_tokens.data[run + 1] - begin;
    float* mean = args.column_mean.data + begin;
    std::fill_n(mean, tokens, 0.0f);
    for (int64_t task = run * run_tasks; task < (run + 1) * run_tasks; ++task) {
      const float* received = plan.received + task * args.max_tokens;
      for (int64_t key = 0; key < tokens; ++key) mean[key] += received[key];
    }
    for (int64_t key = 0; key < tokens; ++key) mean[key] /= static_cast<float>(tokens * args.heads);
  }
}

void PortableBackend::DoRotaryStore(Stream&, const RotaryStoreArgs& args) {
  rotary_.Prepare(args.batch->positions.data, args.batch->tokens, args.inverse_frequency, pool());
  const RotaryPlan plan = {&args, rotary_.cosines(), rotary_.sines()};
  ForRows(args.batch->tokens, args.qkv.cols, [&](int64_t token) { kernels_.rotary_store(plan, token); });
}

void PortableBackend::DoPagedAttention(Stream&, const PagedAttentionArgs& args) {
  const DotKernel* dot = args.reduced && !bf16_.empty() ? bf16_.data() : nullptr;
  PagedPlan plan = planner_.Plan(kernels_.max_rows, dot, info_.threads, args);
  plan.partial = partial_.Floats(planner_.splits() * plan.PartialFloats());
  PrepareScratch(plan.scratch_floats);
  pool().Run(planner_.tasks().size(), [&](size_t task, size_t thread) {
    const bool rounds = plan.dot.tile != nullptr && plan.tasks[task].prompt;
    (rounds ? kernels_.paged_attention_dot : kernels_.paged_attention)(plan, static_cast<int64_t>(task),
                                                                       scratch_[thread]);
  });
  for (const PagedMerge& merge : planner_.merges()) kernels_.merge_attention(plan, merge);
}

}  // namespace
}  // namespace portable

Result<std::unique_ptr<Backend>> NewPortableBackend(int threads, Isa isa) {
  const portable::Kernels* kernels = portable::KernelsFor(isa);
  if (kernels == nullptr) {
    return UnsupportedError(fmt::format("this CPU lacks what the {} kernels need", IsaName(isa)),
                            "use another EYESHOT_ISA, or the reference backend");
  }
  return std::unique_ptr<Backend>(std::make_unique<portable::PortableBackend>(isa, *kernels, threads));
}

}  // namespace eyeshot
