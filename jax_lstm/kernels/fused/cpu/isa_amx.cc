// The bfloat16 kernels for AVX-512 with matrix products of AMX.
#include "scratch.h"
#include "threads.h"
#include "types.h"

#if defined(JAX_LSTM_COMPILES_AMX)
#include "intrinsics.h"

// Enables the instruction set from here on, so that the build needs no flags for single files.
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx512bf16,avx2,fma,bmi2,prfchw,amx-tile,amx-bf16"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,avx512bf16,avx2,fma,bmi2,prfchw,amx-tile,amx-bf16")
#endif

#define JAX_LSTM_ISA avx512_amx
#define JAX_LSTM_HAS_BFLOAT16_DOT
#define JAX_LSTM_HAS_AMX
#include "vec_avx512.h"
#include "engine.h"

namespace jax_lstm {

// bfloat16 only. Other types use the AVX-512 kernels.
extern const Engine kAmxEngine;
const Engine kAmxEngine = {{nullptr, nullptr, avx512_amx::forward<bfloat16>}, {nullptr, nullptr, avx512_amx::backward<bfloat16>}};

}  // namespace jax_lstm

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
