// Sigmoid and tanh of vectors. NaN stays NaN, and infinities give the limits.
//
// Both are computed from 2^y - 1, because tanh(x) = m / (m + 2) with m = exp(2x) - 1 keeps its relative accuracy near zero. y is split into an
// integer n and a remainder r in [-1/2, 1/2]; a polynomial gives 2^r - 1, and 2^y - 1 = 2^n (2^r - 1) + (2^n - 1).
//
// Accuracy: a few ulp, plus the effect of rounding y, which is a product.
#pragma once

namespace jax_lstm {
namespace JAX_LSTM_ISA {

// 2^r - 1, as r times a minimax polynomial; the relative error is 1.3e-8.
JAX_LSTM_INLINE Vec<float> exp2_minus_1(Vec<float> r) {
  using V = Vec<float>;
  V p = V::broadcast(1.5453162942e-04f);
  p = fma(p, r, V::broadcast(1.3390863364e-03f));
  p = fma(p, r, V::broadcast(9.6180825573e-03f));
  p = fma(p, r, V::broadcast(5.5503571142e-02f));
  p = fma(p, r, V::broadcast(2.4022650761e-01f));
  p = fma(p, r, V::broadcast(6.9314718803e-01f));
  return p * r;
}

// The same by its Taylor series; the first omitted term is below 1e-17.
JAX_LSTM_INLINE Vec<double> exp2_minus_1(Vec<double> r) {
  using V = Vec<double>;
  V p = V::broadcast(1.36914888539041281e-12);
  p = fma(p, r, V::broadcast(2.56784359934882055e-11));
  p = fma(p, r, V::broadcast(4.44553827187081162e-10));
  p = fma(p, r, V::broadcast(7.05491162080112336e-09));
  p = fma(p, r, V::broadcast(1.01780860092396999e-07));
  p = fma(p, r, V::broadcast(1.32154867901443095e-06));
  p = fma(p, r, V::broadcast(1.52527338040598411e-05));
  p = fma(p, r, V::broadcast(1.54035303933816088e-04));
  p = fma(p, r, V::broadcast(1.33335581464284433e-03));
  p = fma(p, r, V::broadcast(9.61812910762847688e-03));
  p = fma(p, r, V::broadcast(5.55041086648215831e-02));
  p = fma(p, r, V::broadcast(2.40226506959100722e-01));
  p = fma(p, r, V::broadcast(6.93147180559945286e-01));
  return p * r;
}

// 2^y = scale + scale * result.
template <class T>
JAX_LSTM_INLINE Vec<T> split_exp2(Vec<T> y, Vec<T>& scale) {
  Vec<T> n = Vec<T>::round(y);
  scale = Vec<T>::power_of_two(n);
  return exp2_minus_1(y - n);
}

constexpr double kLog2E = 1.44269504088896340736;

template <class T>
JAX_LSTM_INLINE Vec<T> sigmoid(Vec<T> x) {
  using V = Vec<T>;
  constexpr T limit = sizeof(T) == 4 ? T(126) : T(1000);  // 2^limit is finite, and its reciprocal is negligible
  V scale;
  V e = split_exp2(V::clamp(x * V::broadcast(T(-kLog2E)), -limit, limit), scale);
  return V::reciprocal(fma(scale, e, scale + V::broadcast(1)));
}

template <class T>
JAX_LSTM_INLINE Vec<T> tanh(Vec<T> x) {
  using V = Vec<T>;
  constexpr T limit = 60;  // tanh rounds to 1 well below this
  V scale;
  V e = split_exp2(V::clamp(x * V::broadcast(T(2 * kLog2E)), -limit, limit), scale);
  V m = fma(scale, e, scale - V::broadcast(1));
  return m * V::reciprocal(m + V::broadcast(2));
}

}  // namespace JAX_LSTM_ISA
}  // namespace jax_lstm
