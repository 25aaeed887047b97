// The kernels in plain C++, for any CPU.
#include "scratch.h"
#include "threads.h"
#include "types.h"

#define JAX_LSTM_ISA plain
#include "vec_plain.h"
#include "engine.h"

namespace jax_lstm {

extern const Engine kPlainEngine;
const Engine kPlainEngine = {
    {plain::forward<float>, plain::forward<double>, plain::forward<bfloat16>}, {plain::backward<float>, plain::backward<double>, plain::backward<bfloat16>}};

}  // namespace jax_lstm
