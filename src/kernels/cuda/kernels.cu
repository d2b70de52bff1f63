// Every kernel, for GPUs.
#include "kernels/cuda/attention-inl.h"
#include "kernels/cuda/decode-inl.h"
#include "kernels/cuda/linear-inl.h"
#include "kernels/cuda/rotary-inl.h"
#include "kernels/cuda/rows-inl.h"
#include "kernels/cuda/sampling-inl.h"
#include "kernels/cuda/skinny-inl.h"
