// CUDA C++ for g++: what a kernel text finds without including anything. NVRTC has the same names built in.
#pragma once
#define GPUNN_SIMULATOR 1
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

// One copy of the compiled module per worker, and one block at a time in it: shared memory is a static variable.
#define __global__
#define __device__
#define __host__
#define __shared__ static
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __grid_constant__
#define __CUDA_ARCH__ 800
#define SIMULATOR_DYNAMIC_SHARED(T, name) T* name = (T*)simulator_dynamic_shared

#include "device.h"
#include "vectors.h"

extern "C" {
#pragma GCC visibility push(hidden)
// A thread's indices never change while it lives, so the compiler may take them for constants; the scheduler, which it
// does not see, sets them. (A dim3 has a constructor, and with one it would not.)
extern const uint3 threadIdx, blockIdx, blockDim, gridDim;
#pragma GCC visibility pop
}
static constexpr int warpSize = 32;
using simulator::simulator_dynamic_shared;

#include "intrinsics.h"
#include "barriers.h"
#include "warp.h"
#include "atomics.h"
#include "half.h"
#include "tensor_core.h"
#include "diagnostics.h"
#include "export.h"
