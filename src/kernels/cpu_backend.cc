#include "kernels/cpu_backend.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <utility>

#include "base/error.h"
#include "base/large_array.h"
#include "kernels/sampling.h"

namespace eyeshot {
namespace {

void Unmap(void* data, size_t bytes) { munmap(data, bytes); }

}  // namespace

Result<Buffer> AllocateHost(size_t bytes, std::string_view what) {
  if (bytes == 0) return Buffer();
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) {
    return OutOfMemoryError(fmt::format("{} MB for {} can't be had", bytes >> 20, what),
                            "free memory, or use a smaller model or context");
  }
  AdviseHugePages(data, bytes);  // also fewer TLB misses while weights are streamed
  return Buffer(data, bytes, &Unmap);
}

Status CheckPackable(const HostTensor& source) {
  if (IsWeightType(source.dtype)) return Status::Ok();
  return UnsupportedError(fmt::format("tensor {} is stored as {}", source.name, DTypeName(source.dtype)),
                          "weights are read as float32, float16, bfloat16 or the block types of GGUF; convert the "
                          "checkpoint to one of them");
}

CpuBackend::CpuBackend(BackendInfo info, int threads) : info_(std::move(info)), pool_(threads) {
  info_.device = "cpu";
  info_.threads = pool_.threads();
}

void CpuBackend::Upload(Stream&, const void* host, void* device, size_t bytes) { std::memcpy(device, host, bytes); }

void CpuBackend::Download(Stream&, const void* device, void* host, size_t bytes) { std::memcpy(host, device, bytes); }

Result<PackedWeightPtr> CpuBackend::PackVector(const HostTensor& source) {
  EYESHOT_RETURN_IF_ERROR(CheckPackable(source));
  auto weight = std::make_unique<FloatWeight>();
  weight->outputs = source.elements();
  weight->inputs = 1;
  weight->bytes = static_cast<size_t>(source.elements()) * sizeof(float);
  EYESHOT_ASSIGN_OR_RETURN(weight->buffer, AllocateHost(weight->bytes, source.name));
  ConvertToF32(source.dtype, source.data, static_cast<size_t>(source.elements()),
               static_cast<float*>(weight->buffer.data()));
  return PackedWeightPtr(std::move(weight));
}

void CpuBackend::DoCopyRows(Stream&, const CopyRowsArgs& args) {
  const size_t row_bytes = static_cast<size_t>(args.x.cols) * DTypeBytes(args.x.dtype);
  for (int64_t i = 0; i < args.count; ++i) {
    const int64_t from = args.from.empty() ? i : args.from.data[i];
    const int64_t to = args.to.empty() ? i : args.to.data[i];
    if (args.add) {
      float* const y = args.y.Row<float>(to);
      const float* const x = args.x.Row<float>(from);
      std::transform(y, y + args.x.cols, x, y, std::plus<>());
    } else {
      std::memcpy(args.y.Rows(to, 1).data, args.x.Rows(from, 1).data, row_bytes);
    }
  }
}

void CpuBackend::DoConvolveRows(Stream&, const ConvolveRowsArgs& args) {
  const float* const weight = VectorData(args.weight);
  const float* const bias = VectorData(args.bias);
  pool_.Run(static_cast<size_t>(args.y.rows), [&](size_t task, size_t) {
    const auto row = static_cast<int64_t>(task);
    float* const y = args.y.Row<float>(row);
    std::copy(bias, bias + args.y.cols, y);
    for (int64_t tap = 0; tap < args.taps; ++tap) {
      const float* const x = args.x.Row<float>(row * args.taps + tap);
      for (int64_t c = 0; c < args.y.cols; ++c) y[c] += weight[c * args.taps + tap] * x[c];
    }
  });
}

void CpuBackend::DoSample(Stream&, const SampleArgs& args) {
  const auto vocabulary = static_cast<size_t>(args.logits.cols);
  pool_.Run(static_cast<size_t>(args.logits.rows), [&](size_t task, size_t) {
    const auto s = static_cast<int64_t>(task);
    const size_t begin = task * vocabulary;
    const std::span<uint8_t> seen =
        args.seen.empty() ? std::span<uint8_t>() : std::span(args.seen.data + begin, vocabulary);
    args.next.data[s] = SampleToken({args.logits.Row<float>(s), vocabulary}, args.params.data[s], args.steps.data[s],
                                    seen, {args.scratch.data + begin, vocabulary});
    ++args.steps.data[s];
    if (!seen.empty()) seen[static_cast<size_t>(args.next.data[s])] = 1;
  });
}

void CpuBackend::DoMarkSeen(Stream&, DeviceSpan<const int32_t> ids, DeviceSpan<uint8_t> seen) {
  for (int64_t i = 0; i < ids.size; ++i) {
    if (ids.data[i] >= 0 && ids.data[i] < seen.size) seen.data[ids.data[i]] = 1;
  }
}

}  // namespace eyeshot
