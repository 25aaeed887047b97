// The body of an instruction set's translation unit: what all of them compile, each in a namespace of its own (JAX_LSTM_ISA).
//
// Included after the switch to the instruction set and after the Vec of that set; it includes nothing that isn't ours.
#pragma once

#include "activations.h"
#include "tile.h"
#ifdef JAX_LSTM_HAS_BFLOAT16_DOT
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
void forward(const Args& args, Pool& pool) {
  run<Forward<C>>(args, pool);
}
template <class C>
void backward(const Args& args, Pool& pool) {
  run<Backward<C>>(args, pool);
}

}  // namespace JAX_LSTM_ISA
}  // namespace jax_lstm
