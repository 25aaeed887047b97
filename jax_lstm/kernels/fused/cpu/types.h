// Element types, and the structs that pass a call from the FFI handlers to the kernels of an instruction set.
//
// This header is compiled for several instruction sets. An ordinary inline function outside their namespaces could be emitted once, with
// instructions that the running CPU lacks; so there is only plain data here, and conversions that are always inlined.
#pragma once

// Whether the compiler knows AMX. Of the operating systems, Linux lets a process ask for it.
#if defined(__x86_64__) && defined(__linux__) && (defined(__clang__) ? __clang_major__ >= 12 : __GNUC__ >= 11)
#define JAX_LSTM_COMPILES_AMX
#endif

#include <cstdint>
#include <cstring>
#include <initializer_list>

#define JAX_LSTM_INLINE static inline __attribute__((always_inline))
// For functions that are defined inside a class and cannot be static.
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

// Sizes of a call. `output_size` is the size of h: that of the projection if there is one, otherwise `hidden_size`.
struct Shape {
  int64_t members, time, batch, input_size, hidden_size, output_size;
};

// One call: its sizes, and its arrays by the names of arrays.def, each with a leading axis of `members`. Absent arrays are null. The memory of
// `d_gates` may be that of `gates`. Both biases have the gradient `d_bias_ih`.
struct Args {
  Shape shape;
  bool reverse;
#define JAX_LSTM_ARRAY(name, axes, type) void *name, *d_##name;
#include "../arrays.def"
};

class Pool;

// Runs a stack of `count` layers of one call. Each reads what the layer below it writes, and all have the same hidden and output sizes.
using Kernel = void (*)(const Args* layers, int64_t count, Pool&);

// The kernels of one instruction set, one for each ElementType.
struct Engine {
  Kernel forward[3], backward[3];
};

}  // namespace jax_lstm
