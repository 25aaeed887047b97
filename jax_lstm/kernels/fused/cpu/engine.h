// The code that is compiled once for each instruction set, each time in a namespace of its own (JAX_LSTM_ISA).
//
// Include it after enabling the instruction set and after the Vec for it. It must not include system headers.
#pragma once

#include "activations.h"
#include "tile.h"
#if defined(JAX_LSTM_HAS_AMX)
#include "dot_bfloat16.h"
#include "dot_amx.h"
#define JAX_LSTM_BFLOAT16_DOT AmxDot
#elif defined(JAX_LSTM_HAS_BFLOAT16_DOT)
#include "dot_bfloat16.h"
#define JAX_LSTM_BFLOAT16_DOT Bfloat16Dot
#else
#define JAX_LSTM_BFLOAT16_DOT PlainDot<float>
#endif
#include "pack.h"
#include "direct.h"
#include "driver.h"
#include "sequence.h"
#include "forward.h"
#include "weight_gradient.h"
#include "backward.h"

namespace jax_lstm {
namespace JAX_LSTM_ISA {

template <class C>
void forward(const Args* layers, int64_t count, Pool& pool) {
  run<Forward<C>>(layers, count, pool);
}
template <class C>
void backward(const Args* layers, int64_t count, Pool& pool) {
  run<Backward<C>>(layers, count, pool);
}

}  // namespace JAX_LSTM_ISA
}  // namespace jax_lstm
