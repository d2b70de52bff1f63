#include "reduce/reduce_tokens.h"

#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "reduce/host_rows.h"

namespace eyeshot {
namespace {

constexpr char kMemory[] = "visual tokens";

Status CopyKept(Backend& backend, Stream& stream, ConstMatrixView rows, ReducedTokens& reduced) {
  const auto count = static_cast<int64_t>(reduced.slots.size());
  const size_t bytes = reduced.slots.size() * sizeof(int32_t);
  EYESHOT_ASSIGN_OR_RETURN(const Buffer indices, backend.Allocate(bytes, kMemory));
  backend.Upload(stream, reduced.slots.data(), indices.data(), bytes);
  backend.CopyRows(
      stream,
      {.x = rows, .from = {static_cast<const int32_t*>(indices.data()), count}, .count = count, .y = reduced.rows});
  return backend.Sync(stream);  // before the indices go
}

}  // namespace

Result<ReducedTokens> ReduceTokens(const Reducer& reducer, Backend& backend, Stream& stream, ConstMatrixView rows,
                                   ReduceInput input, ThreadPool& pool) {
  EYESHOT_CHECK(rows.rows == input.tiles * input.per_tile() && rows.stride == rows.cols);
  input.width = rows.cols;
  HostRows host;
  if (reducer.reads_rows) {
    EYESHOT_ASSIGN_OR_RETURN(host, HostRows::Read(backend, stream, rows));
    input.rows = host.data();
  }
  Reduced kept = reducer.reduce(input, pool);

  ReducedTokens reduced;
  reduced.slots = std::move(kept.slots);
  reduced.tile_tokens.assign(static_cast<size_t>(input.tiles), 0);
  for (const int32_t slot : reduced.slots) ++reduced.tile_tokens[static_cast<size_t>(slot / input.per_tile())];
  const auto count = static_cast<int64_t>(reduced.slots.size());
  if (count == 0) return reduced;
  const size_t bytes = static_cast<size_t>(count * rows.cols) * DTypeBytes(rows.dtype);
  EYESHOT_ASSIGN_OR_RETURN(reduced.buffer, backend.Allocate(bytes, kMemory));
  reduced.rows = MatrixView(reduced.buffer.data(), rows.dtype, count, rows.cols, rows.cols);
  if (kept.values.empty()) {
    EYESHOT_RETURN_IF_ERROR(CopyKept(backend, stream, rows, reduced));
  } else {
    EYESHOT_CHECK(kept.values.size() == static_cast<size_t>(count * rows.cols));
    WriteRows(backend, stream, kept.values.data(), reduced.rows);
  }
  return reduced;
}

}  // namespace eyeshot
