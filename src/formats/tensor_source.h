// TensorSource: named tensors of a checkpoint, in whatever files they lie. Names are those of Hugging Face checkpoints.
#ifndef EYESHOT_FORMATS_TENSOR_SOURCE_H_
#define EYESHOT_FORMATS_TENSOR_SOURCE_H_

#include <cstdint>
#include <string_view>

#include "eyeshot/status.h"
#include "tensor/host_tensor.h"

namespace eyeshot {

class TensorSource {
 public:
  virtual ~TensorSource() = default;

  virtual bool Has(std::string_view name) const = 0;
  // The data stays valid until the tensor is released. kNotFound names the tensor and the file.
  virtual Result<HostTensor> Get(std::string_view name) const = 0;
  // Says that a tensor of Get() was read and need not stay in memory; Get() gives it again.
  virtual void Release(const HostTensor& tensor) const = 0;
  // Bytes of all tensors.
  virtual uint64_t bytes() const = 0;
};

}  // namespace eyeshot

#endif  // EYESHOT_FORMATS_TENSOR_SOURCE_H_
