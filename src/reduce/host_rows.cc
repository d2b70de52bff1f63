#include "reduce/host_rows.h"

#include "base/check.h"
#include "base/error.h"
#include "tensor/dtype.h"

namespace eyeshot {

Result<HostRows> HostRows::Read(Backend& backend, Stream& stream, ConstMatrixView matrix) {
  HostRows rows;
  rows.stride_ = matrix.stride;
  if (matrix.rows == 0) return rows;
  if (backend.info().device == "cpu" && matrix.dtype == DType::kF32) {
    rows.data_ = static_cast<const float*>(matrix.data);
    return rows;
  }
  const auto count = static_cast<size_t>(matrix.rows * matrix.cols);
  Buffer packed;  // rows without what lies between them, as queries and values beside keys
  if (matrix.stride != matrix.cols) {
    EYESHOT_ASSIGN_OR_RETURN(packed, backend.Allocate(BytesOf(matrix.dtype, count), "rows for the host"));
    const MatrixView y{packed.data(), matrix.dtype, matrix.rows, matrix.cols, matrix.cols};
    backend.CopyRows(stream, {.x = matrix, .count = matrix.rows, .y = y});
    matrix = y;
    rows.stride_ = y.stride;
  }
  std::vector<uint8_t> bytes(BytesOf(matrix.dtype, count));
  backend.Download(stream, matrix.data, bytes.data(), bytes.size());
  EYESHOT_RETURN_IF_ERROR(backend.Sync(stream));
  rows.copy_.resize(count);
  ConvertToF32(matrix.dtype, bytes.data(), count, rows.copy_.data());
  return rows;
}

void WriteRows(Backend& backend, Stream& stream, const float* values, MatrixView y) {
  EYESHOT_CHECK(y.stride == y.cols);
  const auto count = static_cast<size_t>(y.rows * y.cols);
  if (y.dtype == DType::kF32) {
    backend.Upload(stream, values, y.data, count * sizeof(float));
    return;
  }
  EYESHOT_CHECK(y.dtype == DType::kBF16);
  std::vector<bf16_bits> rounded(count);
  for (size_t i = 0; i < count; ++i) rounded[i] = Bf16FromF32(values[i]);
  backend.Upload(stream, rounded.data(), y.data, count * sizeof(bf16_bits));
}

}  // namespace eyeshot
