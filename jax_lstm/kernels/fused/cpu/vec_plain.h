// Vec<float> and Vec<double> in plain C++ with the vector extension of GCC and Clang: 16 bytes, which all current CPUs support (SSE2, NEON).
//
// A Vec has: broadcast; load and store of a whole vector or of its first n elements (n may exceed the width; the rest loads as zero), also from and
// to bfloat16; + - *, fma (a*b + c), fnma (c - a*b); for activations, clamp (keeps NaN), choose_above (one of two values, by comparison with a limit),
// round (to an integer), power_of_two (of an integer in the exponent's range) and reciprocal (of a finite number of at least 1). zip_low and
// zip_high interleave the elements of the lower and upper halves of two vectors.
#pragma once

#include "types.h"

namespace jax_lstm {
namespace JAX_LSTM_ISA {

template <class T>
struct Vec {
  using Scalar = T;
  typedef T Register __attribute__((vector_size(16)));
  static constexpr int width = 16 / sizeof(T);
  Register r;

  JAX_LSTM_INLINE Vec broadcast(T x) {
    Vec v;
    for (int i = 0; i < width; ++i) v.r[i] = x;
    return v;
  }
  JAX_LSTM_INLINE Vec load(const T* p) {
    Vec v;
    std::memcpy(&v.r, p, sizeof v.r);
    return v;
  }
  template <class Stored>
  JAX_LSTM_INLINE Vec load(const Stored* p, int64_t n) {
    Vec v = broadcast(0);
    for (int i = 0; i < width; ++i)
      if (i < n) v.r[i] = convert(p[i]);
    return v;
  }
  JAX_LSTM_INLINE Vec load(const T* p, int64_t n) {
    if (n >= width) return load(p);
    return load<T>(p, n);
  }
  JAX_LSTM_INLINE void store(T* p, Vec v) { std::memcpy(p, &v.r, sizeof v.r); }
  JAX_LSTM_INLINE void store(T* p, Vec v, int64_t n) {
    if (n >= width) return store(p, v);
    for (int i = 0; i < width; ++i)
      if (i < n) p[i] = v.r[i];
  }
  JAX_LSTM_INLINE void store(bfloat16* p, Vec v, int64_t n) {
    for (int i = 0; i < width; ++i)
      if (i < n) p[i] = to_bfloat16(static_cast<float>(v.r[i]));
  }

  friend JAX_LSTM_MEMBER Vec operator+(Vec a, Vec b) { return {a.r + b.r}; }
  friend JAX_LSTM_MEMBER Vec operator-(Vec a, Vec b) { return {a.r - b.r}; }
  friend JAX_LSTM_MEMBER Vec operator*(Vec a, Vec b) { return {a.r * b.r}; }
  // Compilers contract these expressions to one instruction if the CPU has it.
  friend JAX_LSTM_MEMBER Vec fma(Vec a, Vec b, Vec c) { return {a.r * b.r + c.r}; }
  friend JAX_LSTM_MEMBER Vec fnma(Vec a, Vec b, Vec c) { return {c.r - a.r * b.r}; }
  JAX_LSTM_INLINE Vec clamp(Vec x, T low, T high) {
    Register l = broadcast(low).r, h = broadcast(high).r;
    x.r = x.r > h ? h : x.r;
    x.r = x.r < l ? l : x.r;
    return x;
  }
  JAX_LSTM_INLINE Vec choose_above(Vec x, T limit, Vec above, Vec otherwise) { return {x.r > broadcast(limit).r ? above.r : otherwise.r}; }
  // Adding and subtracting 1.5 * 2^(mantissa bits) rounds a small number to an integer.
  JAX_LSTM_INLINE Vec round(Vec x) {
    Vec big = broadcast(sizeof(T) == 4 ? T(12582912.0) : T(6755399441055744.0));
    Vec sum = x + big;
    // Keeps the compiler from cancelling the two.
#if defined(__x86_64__)
    asm("" : "+x"(sum.r));
#elif defined(__aarch64__)
    asm("" : "+w"(sum.r));
#else
    asm("" : "+m"(sum.r));
#endif
    return sum - big;
  }
  JAX_LSTM_INLINE Vec power_of_two(Vec n) {
    Vec v;
    for (int i = 0; i < width; ++i) {
      T x = n.r[i] == n.r[i] ? n.r[i] : T(0);
      if constexpr (sizeof(T) == 4) {
        uint32_t bits = static_cast<uint32_t>(static_cast<int32_t>(x) + 127) << 23;
        T y;
        std::memcpy(&y, &bits, sizeof y);
        v.r[i] = y;
      } else {
        uint64_t bits = static_cast<uint64_t>(static_cast<int64_t>(x) + 1023) << 52;
        T y;
        std::memcpy(&y, &bits, sizeof y);
        v.r[i] = y;
      }
    }
    return v;
  }
  JAX_LSTM_INLINE Vec reciprocal(Vec x) { return {broadcast(1).r / x.r}; }
  JAX_LSTM_INLINE Vec zip_low(Vec a, Vec b) {
    Vec v;
    for (int i = 0; i < width; ++i) v.r[i] = i % 2 ? b.r[i / 2] : a.r[i / 2];
    return v;
  }
  JAX_LSTM_INLINE Vec zip_high(Vec a, Vec b) {
    Vec v;
    for (int i = 0; i < width; ++i) v.r[i] = i % 2 ? b.r[(width + i) / 2] : a.r[(width + i) / 2];
    return v;
  }

 private:
  JAX_LSTM_INLINE T convert(T x) { return x; }
  JAX_LSTM_INLINE float convert(bfloat16 x) { return to_float(x); }
};

// Rows of a register tile that is 1, 2, 3 or 4 vectors wide, by the number of registers.
#if defined(__aarch64__)
constexpr int kTileRows[4] = {12, 10, 7, 5};
#else
constexpr int kTileRows[4] = {8, 5, 4, 2};
#endif

}  // namespace JAX_LSTM_ISA
}  // namespace jax_lstm
