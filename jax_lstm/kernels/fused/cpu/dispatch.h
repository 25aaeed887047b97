// Chooses the instruction set, once: the best that the CPU supports, or the one named by the environment variable JAX_LSTM_ISA.
#pragma once

#include "types.h"

namespace jax_lstm {

struct Dispatch {
  const Engine* engine;  // null if the instruction set that JAX_LSTM_ISA asks for is not available
  const Engine* bfloat16_engine;
  const char* name;  // of the instruction set, for people; or the error if there is no engine
};

const Dispatch& dispatch();

}  // namespace jax_lstm
