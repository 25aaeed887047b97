// Element types, and the plain structs that carry one call from the FFI handlers to the kernels of an instruction set.
//
// Only plain data here: this header is compiled for several instruction sets, and an inline function outside of their namespaces could be
// emitted once with instructions that the CPU at hand lacks. (Hence also the forced inlining of the two conversions.)
#pragma once

#include <cstdint>
#include <cstring>
#include <initializer_list>

#define JAX_LSTM_INLINE static inline __attribute__((always_inline))
// For functions that are defined inside of a class and can't be static.
#define JAX_LSTM_MEMBER inline __attribute__((always_inline))

namespace jax_lstm {

enum class ElementType { float32 = 0, float64 = 1, bfloat16 = 2 };

struct bfloat16 {
  uint16_t bits;
};

JAX_LSTM_INLINE float to_float(bfloat16 x) {
  uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
  float result;
  std::memcpy(&result, &bits, sizeof result);
  return result;
}

// Rounds to nearest, ties to even; a NaN stays a NaN.
JAX_LSTM_INLINE bfloat16 to_bfloat16(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {static_cast<uint16_t>((bits >> 16) | 0x40u)};
  return {static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

// Sizes of a call. `output_size` is the size of h: that of the projection where there is one, else `hidden_size`.
struct Shape {
  int64_t members, time, batch, input_size, hidden_size, output_size;
};

// The arrays of one call as they lie in memory, every one with a leading axis of `members`. Absent ones are null.
struct ForwardArgs {
  Shape shape;
  bool reverse;
  const void *xs, *weight_ih, *weight_hh, *bias_ih, *bias_hh, *weight_hr, *h0, *c0;
  const bool *mask, *resets;
  void *ys, *h, *c;
  void *gates, *cs, *hs;  // null for inference (and hs where there is no mask)
};

struct BackwardArgs {
  Shape shape;
  bool reverse;
  const void *d_ys, *d_h, *d_c;
  const void *xs, *weight_ih, *weight_hh, *weight_hr, *h0, *c0;
  const bool *mask, *resets;
  const void *hs, *cs, *gates;
  void *d_xs;  // null where it is not needed
  void *d_weight_ih, *d_weight_hh, *d_bias, *d_weight_hr, *d_h0, *d_c0;
  void *d_gates;  // may be the memory of `gates`
};

class Pool;

// What one instruction set offers: a function for each ElementType.
struct Engine {
  const char* name;
  void (*forward[3])(const ForwardArgs&, Pool&);
  void (*backward[3])(const BackwardArgs&, Pool&);
};

}  // namespace jax_lstm
