// Sigmoid and tanh of vectors. NaN stays NaN, and infinities give the limits.
//
// Both are computed from e^x - 1, because tanh(x) = m / (m + 2) with m = e^(2x) - 1 keeps its relative accuracy near zero. x = n ln(2) + r with an
// integer n and |r| <= ln(2)/2; a polynomial gives e^r - 1, and e^x - 1 = 2^n (e^r - 1) + (2^n - 1).
//
// Accuracy: about 1 ulp for sigmoid and 2 for tanh, also where gates saturate and gradients are as small as sigmoid(x) or 1 - tanh(x)^2.
#pragma once

namespace jax_lstm {
namespace JAX_LSTM_ISA {

// e^r - 1, as r times a minimax polynomial; the relative error is 1.7e-8.
JAX_LSTM_INLINE Vec<float> exp_minus_1(Vec<float> r) {
  using V = Vec<float>;
  V p = V::broadcast(1.3882522159e-03f);
  p = fma(p, r, V::broadcast(8.3665139762e-03f));
  p = fma(p, r, V::broadcast(4.1667199655e-02f));
  p = fma(p, r, V::broadcast(1.6666543670e-01f));
  p = fma(p, r, V::broadcast(4.9999998155e-01f));
  return fma(p * r, r, r);
}

// The same by its Taylor series; the first omitted term is below 1e-17.
JAX_LSTM_INLINE Vec<double> exp_minus_1(Vec<double> r) {
  using V = Vec<double>;
  V p = V::broadcast(1.0 / 6227020800);
  p = fma(p, r, V::broadcast(1.0 / 479001600));
  p = fma(p, r, V::broadcast(1.0 / 39916800));
  p = fma(p, r, V::broadcast(1.0 / 3628800));
  p = fma(p, r, V::broadcast(1.0 / 362880));
  p = fma(p, r, V::broadcast(1.0 / 40320));
  p = fma(p, r, V::broadcast(1.0 / 5040));
  p = fma(p, r, V::broadcast(1.0 / 720));
  p = fma(p, r, V::broadcast(1.0 / 120));
  p = fma(p, r, V::broadcast(1.0 / 24));
  p = fma(p, r, V::broadcast(1.0 / 6));
  p = fma(p, r, V::broadcast(1.0 / 2));
  return fma(p * r, r, r);
}

// e^x = scale + scale * result.
template <class T>
JAX_LSTM_INLINE Vec<T> split_exp(Vec<T> x, Vec<T>& scale) {
  using V = Vec<T>;
  constexpr double log2_e = 1.44269504088896340736, ln_2 = 0.693147180559945309417;
  const V n = V::round(x * V::broadcast(T(log2_e)));
  scale = V::power_of_two(n);
  return exp_minus_1(fnma(n, V::broadcast(T(ln_2)), x));
}

template <class T>
JAX_LSTM_INLINE Vec<T> sigmoid(Vec<T> x) {
  using V = Vec<T>;
  constexpr T limit = sizeof(T) == 4 ? T(87) : T(690);  // e^limit is finite, and its reciprocal is negligible
  V scale;
  V e = split_exp(V::clamp(V::broadcast(0) - x, -limit, limit), scale);
  return V::reciprocal(fma(scale, e, scale + V::broadcast(1)));
}

template <class T>
JAX_LSTM_INLINE Vec<T> tanh(Vec<T> x) {
  using V = Vec<T>;
  constexpr T limit = 40;  // tanh(limit / 2) rounds to 1
  V scale;
  V e = split_exp(V::clamp(x + x, -limit, limit), scale);
  V m = fma(scale, e, scale - V::broadcast(1)), r = V::reciprocal(m + V::broadcast(2));
  return V::choose_above(m, 2, fnma(V::broadcast(2), r, V::broadcast(1)), m * r);
}

}  // namespace JAX_LSTM_ISA
}  // namespace jax_lstm
