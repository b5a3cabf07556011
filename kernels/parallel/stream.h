#pragma once

struct CUstream_st;

namespace edgeseg::parallel {

/// A cudaStream_t, nameable where CUDA's headers are not.
using CudaStream = CUstream_st*;

}  // namespace edgeseg::parallel
