// Products with unpacked weights, for calls with so few rows that packing would dominate (one step of a stream).
#pragma once

namespace jax_lstm {
namespace JAX_LSTM_ISA {

// Largest time * batch. Packing costs about as much as a few passes over the weights.
constexpr int64_t kDirectRows = 4;

// sum[j] += dot(weights[j], x) for j < count <= vector width; the rows of weights have `depth` elements. Each row has a vector of partial sums; a
// transposition at the end makes adding up their lanes cheap.
template <class T>
JAX_LSTM_INLINE Vec<T> add_dots(const T* weights, int64_t count, int64_t depth, const T* x, Vec<T> sum) {
  using V = Vec<T>;
  constexpr int width = V::width;
  V lanes[width];
#pragma GCC unroll 16
  for (int j = 0; j < width; ++j) lanes[j] = V::broadcast(0);
  if (count == width) {
    int64_t k = 0;
    for (; k + width <= depth; k += width) {
      V v = V::load(x + k);
#pragma GCC unroll 16
      for (int j = 0; j < width; ++j) lanes[j] = fma(V::load(weights + j * depth + k), v, lanes[j]);
    }
    if (k < depth) {
      V v = V::load(x + k, depth - k);
#pragma GCC unroll 16
      for (int j = 0; j < width; ++j) lanes[j] = fma(V::load(weights + j * depth + k, depth - k), v, lanes[j]);
    }
  } else {
    for (int j = 0; j < width; ++j)
      for (int64_t k = 0; j < count && k < depth; k += width) lanes[j] = fma(V::load(weights + j * depth + k, depth - k), V::load(x + k, depth - k), lanes[j]);
  }
  transpose<T>(lanes);
#pragma GCC unroll 16
  for (int j = 0; j < width; ++j) sum = sum + lanes[j];
  return sum;
}

}  // namespace JAX_LSTM_ISA
}  // namespace jax_lstm
