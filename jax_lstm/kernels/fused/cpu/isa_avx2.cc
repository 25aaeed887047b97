// The kernels for AVX2 with FMA.
#include "scratch.h"
#include "threads.h"
#include "types.h"

#if defined(__x86_64__)
#include "intrinsics.h"

// Enables the instruction set from here on, so that the build needs no flags for single files.
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,bmi2,prfchw"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,bmi2,prfchw")
#endif

#define JAX_LSTM_ISA avx2
#include "vec_avx2.h"
#include "engine.h"

namespace jax_lstm {

extern const Engine kAvx2Engine;
const Engine kAvx2Engine = {{avx2::forward<float>, avx2::forward<double>, avx2::forward<bfloat16>}, {avx2::backward<float>, avx2::backward<double>, avx2::backward<bfloat16>}};

}  // namespace jax_lstm

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
