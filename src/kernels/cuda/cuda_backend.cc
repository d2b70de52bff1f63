#include "kernels/cuda/cuda_backend.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstring>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "base/threads.h"
#include "kernels/cpu_backend.h"
#include "kernels/cuda/cuda_stream.h"
#include "kernels/cuda/driver.h"
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/weights.h"
#include "kernels/portable/weights.h"
#include "tensor/arena.h"
#include "tensor/dtype.h"

namespace eyeshot::cuda {
namespace {

// Tiles of one pass through the tower: half of a picture that fills SmolVLM's grid. Its 9,216 rows fill a GPU, and more
// would take memory (9 kB each in the 256M model) that nothing else needs.
constexpr int kTowerGroup = 9;
// Tokens of a step of a prompt: the prompt of a large picture in one, since kernels take little longer than their
// launches. Rows take 16 kB each in the 256M model.
constexpr int64_t kPrefillTokens = 2048;
// Tokens that a cache has memory for at first. It doubles when it's full.
constexpr int64_t kFirstTokens = 2048;
// Graphs that are kept: conversations end, and theirs are no longer asked for.
constexpr size_t kMostSteps = 256;

// Keys and values: [layers][keys, values][slots, kv_heads, head_dim] bfloat16, of the first `held` blocks.
struct CudaKvCache : KvCache {
  Buffer buffer;
  int64_t held = 0;

  void Move(Buffer to, int64_t blocks) {
    buffer = std::move(to);
    held = blocks;
    id = NextId();
  }
  int64_t Plane(int64_t blocks) const { return blocks * shape.block_size * shape.kv_heads * shape.head_dim; }
  CacheLayer Layer(int64_t layer) const {
    const int64_t plane = Plane(held);
    auto* keys = static_cast<uint16_t*>(buffer.data()) + 2 * layer * plane;
    return {.keys = keys,
            .values = keys + plane,
            .kv_heads = shape.kv_heads,
            .head_dim = shape.head_dim,
            .block_size = shape.block_size,
            .group = shape.layer_group[static_cast<size_t>(layer)]};
  }
};

// Bytes that this process took of GPUs, for limits and messages.
std::atomic<size_t> taken_bytes{0};
std::atomic<size_t> peak_bytes{0};

void Release(void* data, size_t bytes) {
  taken_bytes -= bytes;
  FreeDevice(data, bytes);
}

// Device memory that grows. What it had before stays until the backend ends: graphs may hold it.
class Scratch {
 public:
  // `status` gets why there is no memory.
  Scratch(Backend& backend, Status& status) : backend_(backend), status_(status) {}

  void* Bytes(size_t bytes) {
    if (buffers_.empty() || buffers_.back().bytes() < bytes) {
      const size_t doubled = buffers_.empty() ? bytes : std::max(bytes, 2 * buffers_.back().bytes());
      auto buffer = backend_.Allocate(doubled, "scratch memory of kernels");
      if (!buffer.ok()) {
        status_ = buffer.status();
        return nullptr;
      }
      buffers_.push_back(std::move(buffer).value());
    }
    return buffers_.back().data();
  }
  template <typename T>
  T* Array(int64_t size) {
    return static_cast<T*>(Bytes(static_cast<size_t>(size) * sizeof(T)));
  }
  size_t bytes() const { return buffers_.empty() ? 0 : buffers_.back().bytes(); }

 private:
  Backend& backend_;
  Status& status_;
  std::vector<Buffer> buffers_;
};

// Scratch memory of kernels that may run at the same time as those of other streams.
struct WorkMemory {
  explicit WorkMemory(Backend& of) : backend(of) {}
  // A failure since the last call: what needed that memory did not run. Later operations may need less.
  Status TakeStatus() { return status.ok() ? Status::Ok() : std::exchange(status, Status::Ok()); }

  Backend& backend;
  Status status;
  Scratch products{backend, status};  // cuBLASLt's
  Scratch dense{backend, status};  // weights of a product, unpacked
  Scratch rows{backend, status};  // its left operand
  Scratch codes{backend, status};  // that operand in E4M3, and what its rows were divided by
  Scratch gated{backend, status};  // both halves of a gated one
  Scratch partial{backend, status};  // of attention
  Scratch counters{backend, status};  // of its blocks
};

const CudaWeight& Weight(const PackedWeight* weight) { return *static_cast<const CudaWeight*>(weight); }
const float* Floats(const PackedWeight* weight) { return weight == nullptr ? nullptr : Weight(weight).floats; }
void EnqueueNorm(StreamHandle stream, const NormArgs& args) {
  Norm(stream, args, Floats(args.gain), Floats(args.bias));
}

// A step that may be repeated.
struct Step {
  GraphHandle graph = nullptr;
  bool asked = false;  // for the graph, which the driver may not give
};

class CudaBackend final : public Backend {
 public:
  static Result<std::unique_ptr<Backend>> Create(const CudaOptions& options);
  ~CudaBackend() override;

  const BackendInfo& info() const override { return info_; }
  Result<Buffer> Allocate(size_t bytes, std::string_view what) override;
  Result<std::unique_ptr<KvCache>> NewKvCache(const KvCacheShape& shape) override;
  std::unique_ptr<Stream> NewStream() override { return std::make_unique<CudaStream>(Use(), stagings_); }
  std::unique_ptr<Stream> NewStreamBeside() override {
    if (beside_.products.Bytes(kMatmulWorkspace) == nullptr) return nullptr;
    return std::make_unique<CudaStream>(Use(), stagings_, true);
  }
  void Upload(Stream& stream, const void* host, void* device, size_t bytes) override {
    Handle(stream);
    static_cast<CudaStream&>(stream).Upload(host, device, bytes, pool_);
  }
  void Download(Stream& stream, const void* device, void* host, size_t bytes) override {
    CopyToHost(Handle(stream), device, host, bytes);
    static_cast<void>(static_cast<CudaStream&>(stream).Wait());
  }
  void BeginDownload(Stream& stream, const void* device, size_t bytes) override {
    Handle(stream);
    static_cast<CudaStream&>(stream).BeginDownload(device, bytes);
  }
  Status FinishDownload(Stream& stream, const void* device, void* host, size_t bytes) override {
    static_cast<void>(device);
    Use();
    Status status = static_cast<CudaStream&>(stream).FinishDownload(host, bytes);
    EYESHOT_RETURN_IF_ERROR(Memory(stream).TakeStatus());
    EYESHOT_RETURN_IF_ERROR(matmul_->Error());
    return status;
  }
  bool IsDone(Stream& stream) const override { return Flushed(stream).IsIdle(); }
  Status Sync(Stream& stream) override;
  void Repeat(Stream& stream, StepKey key, const std::function<void()>& enqueue) override;

  bool SupportsCache(KvFormat format) const override { return format == KvFormat::kHalf; }
  Status Reserve(Stream& stream, KvCache& cache, int64_t blocks) override;
  std::optional<size_t> PeakBytes() const override { return peak_bytes; }
  std::optional<size_t> AvailableBytes() const override {
    Use();
    const size_t taken = taken_bytes;
    return std::min(FreeDeviceBytes(), limit_ > taken ? limit_ - taken : 0);
  }

  bool Supports(WeightFormat format) const override { return format != WeightFormat::kFloat32; }
  Result<PackedWeightPtr> PackLinear(const LinearSource& source) override;
  Result<PackedWeightPtr> PackTable(const HostTensor& source) override { return PackLinear({.parts = {source}}); }
  Result<PackedWeightPtr> PackVector(const HostTensor& source) override;
  void ReadRow(const PackedWeight& weight, int64_t row, float* y) const override;
  size_t PackedLinearBytes(int64_t outputs, int64_t inputs, WeightFormat format) const override {
    return MatrixBytes(format, outputs, inputs);
  }
  size_t PackedTableBytes(int64_t rows, int64_t width) const override {
    return MatrixBytes(WeightFormat::kExact, rows, width);
  }
  size_t KvCacheBytes(const KvCacheShape& shape) const override {
    return static_cast<size_t>(shape.layers() * 2 * shape.blocks * shape.block_size * shape.kv_heads * shape.head_dim) *
           sizeof(uint16_t);
  }

 protected:
  void DoLinear(Stream& stream, const LinearArgs& args) override;
  void DoLayerNorm(Stream& stream, const NormArgs& args) override { RunNorm(stream, args, args.passing); }
  void DoRmsNorm(Stream& stream, const NormArgs& args) override {
    RunNorm(stream, args, args.passing || args.x.rows <= kMaxSkinnyRows);
  }
  void DoPatchEmbed(Stream& stream, const PatchEmbedArgs& args) override;
  void DoEncodeAttention(Stream& stream, const EncodeAttentionArgs& args) override;
  void DoPixelShuffleLinear(Stream& stream, const PixelShuffleLinearArgs& args) override;
  void DoGather(Stream& stream, const GatherArgs& args) override;
  void DoCopyRows(Stream& stream, const CopyRowsArgs& args) override { cuda::CopyRows(Handle(stream), args); }
  void DoConvolveRows(Stream& stream, const ConvolveRowsArgs& args) override {
    cuda::ConvolveRows(Handle(stream), args, Floats(args.weight), Floats(args.bias));
  }
  void DoRotaryStore(Stream& stream, const RotaryStoreArgs& args) override;
  void DoPagedAttention(Stream& stream, const PagedAttentionArgs& args) override;
  void DoSample(Stream& stream, const SampleArgs& args) override { cuda::Sample(Handle(stream), args); }
  void DoMarkSeen(Stream& stream, DeviceSpan<const int32_t> ids, DeviceSpan<uint8_t> seen) override {
    cuda::MarkSeen(Handle(stream), ids, seen);
  }

 private:
  CudaBackend(const CudaOptions& options, const DeviceInfo& device);

  int Use() const {
    UseDevice(options_.device);
    return options_.device;
  }
  // The queue, with what waited enqueued.
  CudaStream& Flushed(Stream& stream) const {
    Use();
    auto& queue = static_cast<CudaStream&>(stream);
    if (queue.waiting.norm || queue.waiting.rotary) RunWaiting(queue);
    return queue;
  }
  // For an operation that is enqueued now, behind what waits.
  StreamHandle Handle(Stream& stream) const { return Flushed(stream).handle(); }
  static void RunWaiting(CudaStream& stream);
  // Where it `waits`, by the next operation.
  void RunNorm(Stream& stream, const NormArgs& args, bool waits);
  Result<PackedWeightPtr> ToDevice(std::unique_ptr<CudaWeight> weight, const void* bytes, size_t count,
                                   std::string_view name);
  // Streams take turns but for those that run beside them.
  WorkMemory& Memory(Stream& stream) { return static_cast<CudaStream&>(stream).beside() ? beside_ : memory_; }
  // The rows of a weight as bfloat16, in scratch memory where they are kept otherwise.
  const uint16_t* DenseRows(Stream& stream, const CudaWeight& weight);
  ConstMatrixView PaddedRows(Stream& stream, ConstMatrixView x, int64_t padded);
  // Whether products of such rows can be E4M3's.
  bool Rounds(const CudaWeight& weight, const ConstMatrixView& x) const {
    constexpr int64_t kWhole = 16;  // elements of a row
    return weight.matrix.format == WeightMatrix::Format::kFp8 && matmul_->TakesE4M3() &&
           x.cols == weight.matrix.inputs && x.cols % kWhole == 0 && x.stride % 8 == 0 &&
           reinterpret_cast<uintptr_t>(x.data) % kWhole == 0;
  }
  // rounds: x to E4M3 as well, where Rounds(). norm: what x is to be the result of, or null.
  void Multiply(Stream& stream, const LinearArgs& args, bool rounds = false, const NormArgs* norm = nullptr);
  void RunProduct(Stream& stream, const CudaWeight& weight, Product product, bool rounds, const NormArgs* norm);
  bool RunRounded(Stream& stream, const CudaWeight& weight, Product product, const NormArgs* norm, void* workspace);
  void ForgetSteps();

  CudaOptions options_;
  BackendInfo info_;
  size_t limit_;
  ThreadPool pool_;
  std::unique_ptr<Matmul> matmul_;
  std::shared_ptr<StagingPool> stagings_ = std::make_shared<StagingPool>();
  std::unique_ptr<CudaStream> loading_;  // weights
  WorkMemory memory_{*this};
  WorkMemory beside_{*this};
  Buffer levels_;  // of 4-bit codes: [2, 16] float32, kInt4 and kQ4
  std::map<StepKey, Step> steps_;
};

CudaBackend::CudaBackend(const CudaOptions& options, const DeviceInfo& device)
    : options_(options),
      info_({.name = "cuda",
             .device = fmt::format("cuda:{} ({})", device.index, device.name),
             .isa = fmt::format("sm_{}{}", device.major, device.minor),
             .precision = "bf16",
             .activation = DType::kBF16,
             .tower_group = kTowerGroup,
             .prefill_tokens = kPrefillTokens,
             .pci_bus_id = device.pci_bus_id,
             .asynchronous = true}),
      limit_(options.memory_limit == 0 ? device.total_bytes : std::min(options.memory_limit, device.total_bytes)),
      pool_(options.threads) {
  info_.threads = pool_.threads();
}

Result<std::unique_ptr<Backend>> CudaBackend::Create(const CudaOptions& options) {
  EYESHOT_ASSIGN_OR_RETURN(const DeviceInfo device, OpenDevice(options.device));
  std::unique_ptr<CudaBackend> backend(new CudaBackend(options, device));
  backend->memory_.products.Bytes(kMatmulWorkspace);
  EYESHOT_RETURN_IF_ERROR(backend->memory_.TakeStatus());
  EYESHOT_ASSIGN_OR_RETURN(backend->matmul_, NewMatmul());
  std::array<float, 32> levels;
  for (size_t i = 0; i < levels.size(); ++i) {
    const WeightFormat format = i < 16 ? WeightFormat::kInt4 : WeightFormat::kQ4;
    levels[i] = static_cast<float>(portable::CodeBytes(format)[i % 16]) - 128.0f;
  }
  EYESHOT_ASSIGN_OR_RETURN(backend->levels_, backend->Allocate(sizeof(levels), "levels of 4-bit weights"));
  backend->loading_ = std::make_unique<CudaStream>(options.device, backend->stagings_);
  backend->Upload(*backend->loading_, levels.data(), backend->levels_.data(), sizeof(levels));
  EYESHOT_RETURN_IF_ERROR(backend->Sync(*backend->loading_));
  return std::unique_ptr<Backend>(std::move(backend));
}

CudaBackend::~CudaBackend() {
  Use();
  ForgetSteps();
}

void CudaBackend::ForgetSteps() {
  for (const auto& [key, step] : steps_) {
    if (step.graph != nullptr) DestroyGraph(step.graph);
  }
  steps_.clear();
}

Result<Buffer> CudaBackend::Allocate(size_t bytes, std::string_view what) {
  if (bytes == 0) return Buffer();
  Use();
  const auto megabytes = [](size_t count) { return (count + 999'999) / 1'000'000; };
  if (taken_bytes + bytes > limit_) {
    return OutOfMemoryError(fmt::format("{} MB for {}, beside {} MB that are taken; the limit is {} MB",
                                        megabytes(bytes), what, megabytes(taken_bytes), megabytes(limit_)),
                            "raise --gpu-memory, or take a smaller --context, model or --precision");
  }
  void* data = AllocateDevice(bytes);
  if (data == nullptr) {
    return OutOfMemoryError(
        fmt::format("{} MB of GPU memory for {} can't be had; {} MB are free, and this program has {}",
                    megabytes(bytes), what, megabytes(FreeDeviceBytes()), megabytes(taken_bytes)),
        "end other programs on the GPU, or take a smaller --context, model or --precision");
  }
  const size_t taken = taken_bytes += bytes;
  for (size_t peak = peak_bytes; taken > peak && !peak_bytes.compare_exchange_weak(peak, taken);) {
  }
  return Buffer(data, bytes, &Release);
}

Result<std::unique_ptr<KvCache>> CudaBackend::NewKvCache(const KvCacheShape& shape) {
  auto cache = std::make_unique<CudaKvCache>();
  cache->shape = shape;
  cache->bytes = KvCacheBytes(shape);
  EYESHOT_RETURN_IF_ERROR(Reserve(*loading_, *cache, std::min(shape.blocks, kFirstTokens / shape.block_size)));
  return std::unique_ptr<KvCache>(std::move(cache));
}

Status CudaBackend::Reserve(Stream& stream, KvCache& cache, int64_t blocks) {
  auto& kept = static_cast<CudaKvCache&>(cache);
  EYESHOT_CHECK(blocks <= kept.shape.blocks);
  if (blocks <= kept.held) return Status::Ok();
  const int64_t wanted = std::min(kept.shape.blocks, std::max(blocks, 2 * kept.held));
  const auto bytes = [&](int64_t count) { return static_cast<size_t>(kept.Plane(count)) * sizeof(uint16_t); };
  const int64_t planes = 2 * kept.shape.layers();
  EYESHOT_ASSIGN_OR_RETURN(Buffer moved, Allocate(static_cast<size_t>(planes) * bytes(wanted), "the key/value cache"));
  for (int64_t plane = 0; plane < planes && kept.held > 0; ++plane) {
    CopyOnDevice(Handle(stream),
                 static_cast<const uint8_t*>(kept.buffer.data()) + static_cast<size_t>(plane) * bytes(kept.held),
                 static_cast<uint8_t*>(moved.data()) + static_cast<size_t>(plane) * bytes(wanted), bytes(kept.held));
  }
  if (kept.held > 0) EYESHOT_RETURN_IF_ERROR(Synchronize(Handle(stream)));  // before the old memory goes
  kept.Move(std::move(moved), wanted);
  return Status::Ok();
}

Status CudaBackend::Sync(Stream& stream) {
  Handle(stream);
  Status status = static_cast<CudaStream&>(stream).Wait();
  EYESHOT_RETURN_IF_ERROR(Memory(stream).TakeStatus());
  EYESHOT_RETURN_IF_ERROR(matmul_->Error());
  return status;
}

// Attention of decoding steps is planned for the next larger power of two, so that a step can be repeated.
int64_t PlannedContext(int64_t context) {
  return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(std::max(context, kUnsplitKeys))));
}

// The first time a step runs as it is: it takes scratch memory and looks for algorithms, which no graph may hold. The
// second time it is captured.
void CudaBackend::Repeat(Stream& stream, StepKey key, const std::function<void()>& enqueue) {
  EYESHOT_CHECK(!static_cast<CudaStream&>(stream).beside());  // its scratch memory isn't the graphs'
  key.context = PlannedContext(key.context);
  const StreamHandle handle = Handle(stream);
  if (steps_.size() >= kMostSteps) ForgetSteps();
  const auto [place, fresh] = steps_.try_emplace(key);
  if (fresh) {
    enqueue();
    return;
  }
  Step& step = place->second;
  if (!step.asked) {
    const OpCounters before = stream.counters;
    step = {CaptureGraph(handle,
                         [&] {
                           enqueue();
                           Handle(stream);
                         }),
            true};
    stream.counters = before;
  }
  if (step.graph == nullptr) {
    enqueue();
    return;
  }
  LaunchGraph(handle, step.graph);
  stream.count_only = true;  // while the GPU is at it
  enqueue();
  stream.count_only = false;
}

// --- Weights

Result<PackedWeightPtr> CudaBackend::ToDevice(std::unique_ptr<CudaWeight> weight, const void* bytes, size_t count,
                                              std::string_view name) {
  weight->bytes = count;
  EYESHOT_ASSIGN_OR_RETURN(weight->buffer, Allocate(count, name));
  Upload(*loading_, bytes, weight->buffer.data(), count);
  EYESHOT_RETURN_IF_ERROR(Sync(*loading_));
  return PackedWeightPtr(std::move(weight));
}

Result<PackedWeightPtr> CudaBackend::PackLinear(const LinearSource& source) {
  EYESHOT_CHECK(Supports(source.format));
  const HostTensor& first = source.parts[0];
  auto weight = std::make_unique<CudaWeight>();
  weight->format = source.format;
  weight->inputs = first.shape.empty() ? 1 : first.elements() / first.shape[0];
  for (const HostTensor& part : source.parts) {
    EYESHOT_RETURN_IF_ERROR(CheckPackable(part));
    weight->outputs += part.elements() / weight->inputs;
  }
  const HostWeight host = PackMatrix(source, weight->inputs, pool_);
  if (source.gated) {
    EYESHOT_CHECK(source.parts.size() == 2 && source.parts[0].shape == source.parts[1].shape);
    weight->gated = true;
    weight->outputs /= 2;
  }
  CudaWeight& w = *weight;
  EYESHOT_ASSIGN_OR_RETURN(PackedWeightPtr packed,
                           ToDevice(std::move(weight), host.bytes.data(), host.bytes.size(), first.name));
  const auto* base = static_cast<const uint8_t*>(w.buffer.data());
  w.matrix = {.format = MatrixFormat(w.format),
              .values = base,
              .scales = host.scales == 0 ? nullptr : base + host.scales,
              .levels = static_cast<const float*>(levels_.data()) + (w.format == WeightFormat::kQ4 ? 16 : 0),
              .outputs = w.outputs,
              .inputs = PaddedInputs(w.inputs),
              .gated = w.gated};
  return packed;
}

Result<PackedWeightPtr> CudaBackend::PackVector(const HostTensor& source) {
  EYESHOT_RETURN_IF_ERROR(CheckPackable(source));
  const auto count = static_cast<size_t>(source.elements());
  auto weight = std::make_unique<CudaWeight>();
  weight->outputs = source.elements();
  weight->inputs = 1;
  // float32, and behind it bfloat16 for cuBLASLt.
  const size_t rounded = AlignUp(count * sizeof(float));
  std::vector<uint8_t> bytes(rounded + count * sizeof(uint16_t));
  std::vector<float> values(count);
  ConvertToF32(source.dtype, source.data, count, values.data());
  std::memcpy(bytes.data(), values.data(), count * sizeof(float));
  for (size_t i = 0; i < count; ++i) {
    const uint16_t bits = Bf16FromF32(values[i]);
    std::memcpy(bytes.data() + rounded + i * sizeof(bits), &bits, sizeof(bits));
  }
  CudaWeight& w = *weight;
  EYESHOT_ASSIGN_OR_RETURN(PackedWeightPtr packed,
                           ToDevice(std::move(weight), bytes.data(), bytes.size(), source.name));
  w.floats = static_cast<const float*>(w.buffer.data());
  w.rounded = reinterpret_cast<const uint16_t*>(static_cast<const uint8_t*>(w.buffer.data()) + rounded);
  return packed;
}

void CudaBackend::ReadRow(const PackedWeight& weight, int64_t row, float* y) const {
  const CudaWeight& w = Weight(&weight);
  const int64_t rows = w.outputs * (w.gated ? 2 : 1);
  if (row < 0 || row >= rows) {
    std::fill_n(y, w.inputs, 0.0f);
    return;
  }
  const StreamHandle stream = Handle(*loading_);
  const auto padded = static_cast<size_t>(w.matrix.inputs);
  void* device = AllocateDevice(padded * sizeof(uint16_t));
  EYESHOT_CHECK(device != nullptr);
  Dequantize(stream, w.matrix, row, 1, static_cast<uint16_t*>(device));
  std::vector<uint16_t> host(padded);
  CopyToHost(stream, device, host.data(), padded * sizeof(uint16_t));
  EYESHOT_CHECK(Synchronize(stream).ok());
  FreeDevice(device, padded * sizeof(uint16_t));
  std::transform(host.begin(), host.begin() + w.inputs, y, &F32FromBf16);
}

const uint16_t* CudaBackend::DenseRows(Stream& stream, const CudaWeight& weight) {
  if (weight.matrix.format == WeightMatrix::Format::kBf16) return static_cast<const uint16_t*>(weight.matrix.values);
  const int64_t rows = weight.outputs * (weight.gated ? 2 : 1);
  auto* dense = Memory(stream).dense.Array<uint16_t>(rows * weight.matrix.inputs);
  if (dense != nullptr) Dequantize(Handle(stream), weight.matrix, 0, rows, dense);
  return dense;
}

// --- Operations

// Rows that are as long as the weight's, which may be padded: x itself, or a copy with zeros behind.
ConstMatrixView CudaBackend::PaddedRows(Stream& stream, ConstMatrixView x, int64_t padded) {
  if (x.cols == padded) return x;
  auto* rows = Memory(stream).rows.Array<uint16_t>(x.rows * padded);
  if (rows == nullptr) return {};
  ClearDevice(Handle(stream), rows, static_cast<size_t>(x.rows * padded) * sizeof(uint16_t));
  const MatrixView copy(rows, DType::kBF16, x.rows, padded, padded);
  cuda::CopyRows(Handle(stream), {.x = x, .count = x.rows, .y = copy.Cols(0, x.cols)});
  return copy;
}

void CudaBackend::RunWaiting(CudaStream& stream) {
  const Waiting waiting = std::exchange(stream.waiting, {});
  if (waiting.norm) EnqueueNorm(stream.handle(), *waiting.norm);
  if (!waiting.rotary) return;
  RotaryStoreArgs args = *waiting.rotary;
  args.batch = &waiting.batch;
  cuda::RotaryStore(stream.handle(), args, static_cast<const CudaKvCache&>(*args.cache).Layer(args.layer));
}

void CudaBackend::RunNorm(Stream& stream, const NormArgs& args, bool waits) {
  const StreamHandle handle = Handle(stream);
  if (waits) {
    static_cast<CudaStream&>(stream).waiting.norm = args;
  } else {
    EnqueueNorm(handle, args);
  }
}

void CudaBackend::DoLinear(Stream& stream, const LinearArgs& args) {
  if (args.activation == Activation::kGelu) {  // no product has it for its epilogue
    LinearArgs plain = args;
    plain.activation = Activation::kNone;
    DoLinear(stream, plain);
    cuda::Gelu(Handle(stream), args.y);
    return;
  }
  const CudaWeight& w = Weight(args.weight);
  auto& queue = static_cast<CudaStream&>(stream);
  const std::optional<NormArgs>& norm = queue.waiting.norm;
  const bool behind_norm =
      norm && norm->y.data == args.x.data && norm->y.rows == args.x.rows && norm->y.cols == args.x.cols;
  const bool skinny = TakesSkinny(w.matrix, args.x);
  const auto product = skinny ? &SkinnyProduct : &MatrixVector;
  if (behind_norm && norm->bias == nullptr &&
      (skinny ? norm->passing && norm->x.dtype == DType::kF32 && TakesSkinny(w.matrix, norm->x)
              : TakesNorm(w.matrix, *norm))) {
    const NormArgs taken = *std::exchange(queue.waiting.norm, std::nullopt);
    product(Handle(stream), w.matrix, Floats(args.bias), args, &taken, Floats(taken.gain));
    return;
  }
  if (behind_norm && norm->passing && args.x.rows > kMaxVectorRows && Rounds(w, args.x) && TakesRoundedNorm(*norm)) {
    const NormArgs taken = *std::exchange(queue.waiting.norm, std::nullopt);
    return Multiply(stream, args, true, &taken);
  }
  if (skinny) return product(Handle(stream), w.matrix, Floats(args.bias), args, nullptr, nullptr);
  LinearArgs padded = args;
  padded.x = PaddedRows(stream, args.x, w.matrix.inputs);
  if (padded.x.empty()) return;
  if (args.x.rows <= kMaxVectorRows) {
    MatrixVector(Handle(stream), w.matrix, Floats(args.bias), padded);
  } else {
    Multiply(stream, padded, true);
  }
}

void CudaBackend::Multiply(Stream& stream, const LinearArgs& args, bool rounds, const NormArgs* norm) {
  const CudaWeight& w = Weight(args.weight);
  if (!w.gated) {
    RunProduct(stream, w,
               {.x = args.x,
                .bias = args.bias == nullptr ? nullptr : Weight(args.bias).rounded,
                .gelu = args.activation == Activation::kGeluTanh,
                .residual = args.residual,
                .y = args.y},
               rounds, norm);
    return;
  }
  EYESHOT_CHECK(args.residual.empty());
  auto* both = Memory(stream).gated.Array<uint16_t>(args.x.rows * 2 * w.outputs);
  if (both == nullptr) return;
  const MatrixView halves(both, DType::kBF16, args.x.rows, 2 * w.outputs, 2 * w.outputs);
  RunProduct(stream, w, {.x = args.x, .residual = {}, .y = halves}, rounds, norm);
  SiluGate(Handle(stream), halves, args.y);
}

// `product` without its weight.
void CudaBackend::RunProduct(Stream& stream, const CudaWeight& weight, Product product, bool rounds,
                             const NormArgs* norm) {
  product.yields = stream.yields;
  void* workspace = Memory(stream).products.Bytes(kMatmulWorkspace);
  if (workspace == nullptr) return;
  if (rounds && Rounds(weight, product.x) && RunRounded(stream, weight, product, norm, workspace)) return;
  if (norm != nullptr) EnqueueNorm(Handle(stream), *norm);
  product.weight = DenseRows(stream, weight);
  if (product.weight != nullptr) matmul_->Run(Handle(stream), product, workspace);
}

// False: cuBLASLt has no such product.
bool CudaBackend::RunRounded(Stream& stream, const CudaWeight& weight, Product product, const NormArgs* norm,
                             void* workspace) {
  const ConstMatrixView x = product.x;
  const size_t scale_bytes = AlignUp(static_cast<size_t>(x.rows) * sizeof(float));
  auto* scales = static_cast<float*>(Memory(stream).codes.Bytes(scale_bytes + static_cast<size_t>(x.rows * x.cols)));
  if (scales == nullptr) return true;
  auto* codes = reinterpret_cast<uint8_t*>(scales) + scale_bytes;
  if (norm != nullptr) {
    RoundedNorm(Handle(stream), *norm, Floats(norm->gain), Floats(norm->bias), codes, scales);
  } else {
    RoundRows(Handle(stream), x, codes, scales);
  }
  product.x = {codes, DType::kF8E4M3, x.rows, x.cols, x.cols};
  product.weight = weight.matrix.values;
  product.x_scales = scales;
  product.weight_scales = static_cast<const float*>(weight.matrix.scales);
  return matmul_->Run(Handle(stream), product, workspace);
}

void CudaBackend::DoPatchEmbed(Stream& stream, const PatchEmbedArgs& args) {
  const int64_t padded = Weight(args.weight).matrix.inputs;
  auto* patches = Memory(stream).rows.Array<uint16_t>(args.y.rows * padded);
  if (patches == nullptr) return;
  ExtractPatches(Handle(stream), args, patches, padded);
  Multiply(stream, {.x = {patches, DType::kBF16, args.y.rows, padded, padded},
                    .weight = args.weight,
                    .bias = args.bias,
                    .residual = {},
                    .y = args.y});
  AddPositions(Handle(stream), static_cast<const uint16_t*>(Weight(args.positions).matrix.values), args.position_ids,
               args.y);
}

void CudaBackend::DoEncodeAttention(Stream& stream, const EncodeAttentionArgs& args) {
  float* log_sums = nullptr;
  if (!args.column_mean.empty()) {
    log_sums = Memory(stream).partial.Array<float>(args.heads * args.qkv.rows);
    if (log_sums == nullptr) return;
  }
  cuda::EncodeAttention(Handle(stream), args, log_sums);
}

void CudaBackend::DoPixelShuffleLinear(Stream& stream, const PixelShuffleLinearArgs& args) {
  const int64_t depth = args.weight->inputs;
  auto* shuffled = Memory(stream).rows.Array<uint16_t>(args.y.rows * depth);
  if (shuffled == nullptr) return;
  EYESHOT_CHECK(depth == Weight(args.weight).matrix.inputs);
  PixelShuffle(Handle(stream), args.x, args.grid, args.scale, shuffled);
  Multiply(
      stream,
      {.x = {shuffled, DType::kBF16, args.y.rows, depth, depth}, .weight = args.weight, .residual = {}, .y = args.y});
}

void CudaBackend::DoGather(Stream& stream, const GatherArgs& args) {
  const CudaWeight& table = Weight(args.table);
  GatherRows(Handle(stream), table.matrix, args.ids, args.y);
}

void CudaBackend::DoRotaryStore(Stream& stream, const RotaryStoreArgs& args) {
  Handle(stream);
  Waiting& waiting = static_cast<CudaStream&>(stream).waiting;
  waiting.rotary = args;
  waiting.batch = *args.batch;
  const bool decoding = args.batch->tokens == args.batch->sequences && args.cache->shape.head_dim % 16 == 0;
  if (!decoding) Handle(stream);
}

void CudaBackend::DoPagedAttention(Stream& stream, const PagedAttentionArgs& args) {
  const CacheLayer layer = static_cast<const CudaKvCache&>(*args.cache).Layer(args.layer);
  if (args.batch->tokens != args.batch->sequences) {
    PrefillAttention(Handle(stream), args, layer);
    return;
  }
  PagedBatch batch = *args.batch;
  batch.max_context = PlannedContext(batch.max_context);
  PagedAttentionArgs planned = args;
  planned.batch = &batch;
  auto& queue = static_cast<CudaStream&>(stream);
  std::optional<RotaryStoreArgs> newest;
  const std::optional<RotaryStoreArgs>& waiting = queue.waiting.rotary;
  if (waiting && waiting->qkv.data == args.q.data && waiting->cache == args.cache && waiting->layer == args.layer) {
    newest = std::exchange(queue.waiting.rotary, std::nullopt);
  }
  const DecodeScratch sizes = DecodeScratchOf(batch.sequences, args.heads, layer, batch.max_context);
  WorkMemory& memory = Memory(stream);
  auto* partial = memory.partial.Array<float>(sizes.floats);
  const size_t held = memory.counters.bytes();
  auto* counters = memory.counters.Array<uint32_t>(sizes.counters);
  if (partial == nullptr || counters == nullptr) return;
  if (memory.counters.bytes() != held) ClearDevice(Handle(stream), counters, memory.counters.bytes());
  DecodeAttention(Handle(stream), planned, layer, partial, counters, newest ? &*newest : nullptr);
}

}  // namespace

Result<std::unique_ptr<Backend>> NewCudaBackend(const CudaOptions& options) { return CudaBackend::Create(options); }

}  // namespace eyeshot::cuda
