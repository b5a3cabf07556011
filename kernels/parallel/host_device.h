#pragma once

/// Marks the functions of a body: the same arithmetic on CPU and GPU.
#if defined(__CUDACC__)
#define EDGESEG_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define EDGESEG_HOST_DEVICE inline
#endif
