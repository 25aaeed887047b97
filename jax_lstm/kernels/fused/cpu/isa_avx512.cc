// The kernels for AVX-512.
#include "scratch.h"
#include "threads.h"
#include "types.h"

#if defined(__x86_64__)
#include "intrinsics.h"

// Enables the instruction set from here on, so that the build needs no flags for single files.
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,bmi2,prfchw"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,bmi2,prfchw")
#endif

#define JAX_LSTM_ISA avx512
#include "vec_avx512.h"
#include "engine.h"

namespace jax_lstm {

extern const Engine kAvx512Engine;
const Engine kAvx512Engine = {{avx512::forward<float>, avx512::forward<double>, avx512::forward<bfloat16>}, {avx512::backward<float>, avx512::backward<double>, avx512::backward<bfloat16>}};

}  // namespace jax_lstm

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
