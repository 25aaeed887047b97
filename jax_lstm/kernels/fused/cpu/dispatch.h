// The choice of an instruction set, made once: the best that the CPU has, or the one that the environment variable JAX_LSTM_ISA names.
#pragma once

#include "types.h"

namespace jax_lstm {

struct Dispatch {
  const Engine* engine;         // null if JAX_LSTM_ISA asks for what is not there
  const Engine* bfloat16_engine;
  const char* name;             // of the instruction set, or what is wrong with JAX_LSTM_ISA
  bool has_bfloat16;            // instructions for products of bfloat16
};

const Dispatch& dispatch();

}  // namespace jax_lstm
