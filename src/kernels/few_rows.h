// Where products of few rows end: up to there they wait for weights, and from there on for arithmetic.
#ifndef EYESHOT_KERNELS_FEW_ROWS_H_
#define EYESHOT_KERNELS_FEW_ROWS_H_

#include <cstdint>

#include "kernels/backend.h"

namespace eyeshot {

// Rows of activations up to which the backend multiplies weights of this format by the kernels for few rows, which
// read each weight once and as it is. Of a backend that isn't the portable one, what that one has everywhere.
int64_t FewRows(const Backend& backend, WeightFormat format);

}  // namespace eyeshot

#endif  // EYESHOT_KERNELS_FEW_ROWS_H_
