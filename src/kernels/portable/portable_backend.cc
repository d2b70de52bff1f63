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

// Elements that a task of a row-by-row operation takes at least: about 5 us.
constexpr int64_t kElementsPerTask = 16384;

class PortableBackend final : public CpuBackend {
 public:
  PortableBackend(Isa isa, const Kernels& kernels, int threads)
      : CpuBackend({.name = "portable", .isa = std::string(IsaName(isa)), .precision = "bf16", .tower_group = 2},
                   threads),
        kernels_(kernels),
        int8_(Int8KernelsFor(isa).front()),
        thread_memory_(static_cast<size_t>(pool().threads())),
        scratch_(thread_memory_.size()) {}

  bool Supports(WeightFormat) const override { return true; }
  Result<PackedWeightPtr> PackLinear(const LinearSource& source) override {
    return source.format == WeightFormat::kInt8 ? PackInt8Panels(source, pool()) : PackPanels(source, pool());
  }
  Result<PackedWeightPtr> PackTable(const HostTensor& source) override { return PackRows(source, pool()); }
  size_t PackedLinearBytes(int64_t outputs, int64_t inputs, WeightFormat format) const override {
    return format == WeightFormat::kInt8 ? Int8PanelBytes(outputs, inputs) : PanelBytes(outputs, inputs);
  }
  Result<std::unique_ptr<KvCache>> NewKvCache(const KvCacheShape& shape) override;
  size_t KvCacheBytes(const KvCacheShape& shape) const override { return F16KvCacheBytes(shape); }

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
  void Multiply(const LinearPlan& what, const PackedWeight* weight);
  void MultiplyInt8(const LinearPlan& what, const Int8Weight& weight);
  void PrepareScratch(int64_t floats);
  void ReduceReceived(const EncodePlan& plan);
  // Calls fn(row) for every row, in tasks worth a thread's while.
  template <typename Fn>
  void ForRows(int64_t rows, int64_t row_elements, const Fn& fn);

  const Kernels& kernels_;
  const Int8Kernels int8_;
  std::vector<Scratch> thread_memory_;
  std::vector<ThreadScratch> scratch_;
  Scratch quantized_;
  Scratch received_;
  Scratch partial_;
  PagedPlanner planner_;
  RotaryTable rotary_;
};

void PortableBackend::PrepareScratch(int64_t floats) {
  for (size_t i = 0; i < scratch_.size(); ++i) scratch_[i] = {thread_memory_[i].Floats(floats), -1};
}

template <typename Fn>
void PortableBackend::ForRows(int64_t rows, int64_t row_elements, const Fn& fn) {
  const int64_t per_task = DivideUp(kElementsPerTask, std::max<int64_t>(1, row_elements));
  pool().Run(static_cast<size_t>(DivideUp(rows, per_task)), [&](size_t task, size_t) {
    const int64_t begin = static_cast<int64_t>(task) * per_task;
    const int64_t end = std::min(rows, begin + per_task);
    for (int64_t row = begin; row < end; ++row) fn(row);
  });
}

Result<std::unique_ptr<KvCache>> PortableBackend::NewKvCache(const KvCacheShape& shape) {
  auto cache = std::make_unique<F16KvCache>();
  cache->shape = shape;
  cache->bytes = KvCacheBytes(shape);
  EYESHOT_ASSIGN_OR_RETURN(cache->buffer, AllocateHost(cache->bytes, "the key/value cache"));
  return std::unique_ptr<KvCache>(std::move(cache));
}

void PortableBackend::Multiply(const LinearPlan& what, const PackedWeight* weight) {
  if (const auto* int8 = dynamic_cast<const Int8Weight*>(weight)) {
    MultiplyInt8(what, *int8);
    return;
  }
  LinearPlan plan = PlanLinear(kernels_.max_rows, info_.threads, what.rows, *static_cast<const Bf16Weight*>(weight));
  plan.x = what.x;
  plan.bias = what.bias;
  plan.activation = what.activation;
  plan.residual = what.residual;
  plan.y = what.y;
  PrepareScratch(plan.scratch_floats);
  pool().Run(static_cast<size_t>(plan.blocks * plan.chunks),
             [&](size_t task, size_t thread) { kernels_.linear(plan, static_cast<int64_t>(task), scratch_[thread]); });
}

void PortableBackend::MultiplyInt8(const LinearPlan& what, const Int8Weight& weight) {
  Int8Plan plan = PlanInt8(int8_, info_.threads, what.rows, weight);
  const int64_t outputs = plan.linear.outputs;
  plan.linear = what;
  plan.linear.outputs = outputs;
  // Quantized rows, their scales and corrections, in one piece; each in units of floats.
  const int64_t row_floats = DivideUp(plan.a_stride, static_cast<int64_t>(sizeof(float)));
  float* memory = quantized_.Floats(what.rows * (row_floats + 2));
  plan.scales = memory;
  plan.corrections = reinterpret_cast<int32_t*>(memory + what.rows);
  plan.a = reinterpret_cast<int8_t*>(memory + 2 * what.rows);
  PrepareScratch(weight.inputs);
  const int64_t per_task = DivideUp(kElementsPerTask, weight.inputs);
  pool().Run(static_cast<size_t>(DivideUp(what.rows, per_task)), [&](size_t task, size_t thread) {
    const int64_t begin = static_cast<int64_t>(task) * per_task;
    for (int64_t row = begin; row < std::min(what.rows, begin + per_task); ++row) {
      kernels_.int8_quantize(plan, row, scratch_[thread].data);
    }
  });
  pool().Run(static_cast<size_t>(plan.blocks * plan.chunks),
             [&](size_t task, size_t) { kernels_.int8_linear(plan, static_cast<int64_t>(task)); });
}

void PortableBackend::DoLinear(Stream&, const LinearArgs& args) {
  LinearPlan what;
  what.rows = args.x.rows;
  what.x = MatrixRows(args.x);
  what.bias = VectorData(args.bias);
  what.activation = args.activation;
  what.residual = args.residual;
  what.y = args.y;
  Multiply(what, args.weight);
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
  LinearPlan what;
  what.rows = args.y.rows;
  what.x = PatchRows(args);
  what.bias = VectorData(args.bias);
  what.residual = args.y;
  what.y = args.y;
  Multiply(what, args.weight);
}

void PortableBackend::DoPixelShuffleLinear(Stream&, const PixelShuffleLinearArgs& args) {
  LinearPlan what;
  what.rows = args.y.rows;
  what.x = ShuffledRows(args);
  what.y = args.y;
  Multiply(what, args.weight);
}

void PortableBackend::DoGather(Stream&, const GatherArgs& args) {
  const auto* int8 = dynamic_cast<const Int8Weight*>(args.table);
  ForRows(args.ids.size, args.table->inputs, [&](int64_t row) {
    float* y = args.y.Row<float>(row);
    if (int8 != nullptr) {
      ReadInt8Row(*int8, args.ids.data[row], y);
    } else {
      ReadWeightRow(*static_cast<const Bf16Weight*>(args.table), args.ids.data[row], y);
    }
  });
}

void PortableBackend::DoEncodeAttention(Stream&, const EncodeAttentionArgs& args) {
  const int64_t runs = args.cu_tokens.size - 1;
  for (int64_t run = 0; run < runs; ++run) {
    EYESHOT_CHECK(args.cu_tokens.data[run + 1] - args.cu_tokens.data[run] <= args.max_tokens);
  }
  EncodePlan plan = PlanEncode(kernels_.max_rows, info_.threads, args);
  if (!args.column_mean.empty()) plan.received = received_.Floats(plan.tasks * args.max_tokens);
  PrepareScratch(plan.scratch_floats);
  pool().Run(static_cast<size_t>(plan.tasks), [&](size_t task, size_t thread) {
    kernels_.encode_attention(plan, static_cast<int64_t>(task), scratch_[thread]);
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
  PagedPlan plan = planner_.Plan(kernels_.max_rows, info_.threads, args);
  plan.partial = partial_.Floats(planner_.splits() * plan.PartialFloats());
  PrepareScratch(plan.scratch_floats);
  pool().Run(planner_.tasks().size(), [&](size_t task, size_t thread) {
    kernels_.paged_attention(plan, static_cast<int64_t>(task), scratch_[thread]);
  });
  for (const PagedMerge& merge : planner_.merges()) kernels_.merge_attention(plan, merge);
}

}  // namespace
}  // namespace portable

Result<std::unique_ptr<Backend>> NewPortableBackend(int threads) {
  EYESHOT_ASSIGN_OR_RETURN(const Isa isa, ChooseIsa());
  const portable::Kernels* kernels = portable::KernelsFor(isa);
  if (kernels == nullptr) {
    return UnsupportedError(fmt::format("this CPU lacks what the {} kernels need", IsaName(isa)),
                            "use another EYESHOT_ISA, or the reference backend");
  }
  return std::unique_ptr<Backend>(std::make_unique<portable::PortableBackend>(isa, *kernels, threads));
}

}  // namespace eyeshot
