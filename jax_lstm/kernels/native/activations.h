// Sigmoid and tanh on vectors, good to a few units in the last place; NaN stays NaN, and infinities give the limits.
//
// Both come from expm1, since tanh(x) = m / (m + 2) with m = expm1(2x) keeps its relative precision near zero. The argument is
// split as n ln 2 + r; a polynomial gives expm1(r), and expm1 = 2^n expm1(r) + (2^n - 1).
#pragma once

namespace jax_lstm {
namespace JAX_LSTM_ISA {

// expm1(r) for |r| <= ln(2)/2, and the power of two: exp(x) = scale * (1 + result).
JAX_LSTM_INLINE Vec<float> reduced_expm1(Vec<float> x, Vec<float>& scale) {
  using V = Vec<float>;
  V n = V::round(x * V::broadcast(1.44269504088896341f));
  V r = fnma(n, V::broadcast(0.693359375f), x);  // ln 2 in two parts, the first exact in few bits
  r = fnma(n, V::broadcast(-2.12194440e-4f), r);
  V p = V::broadcast(1.9875691500e-4f);
  p = fma(p, r, V::broadcast(1.3981999507e-3f));
  p = fma(p, r, V::broadcast(8.3334519073e-3f));
  p = fma(p, r, V::broadcast(4.1665795894e-2f));
  p = fma(p, r, V::broadcast(1.6666665459e-1f));
  p = fma(p, r, V::broadcast(5.0000001201e-1f));
  scale = V::power_of_two(n);
  return fma(r * r, p, r);
}

JAX_LSTM_INLINE Vec<double> reduced_expm1(Vec<double> x, Vec<double>& scale) {
  using V = Vec<double>;
  V n = V::round(x * V::broadcast(1.44269504088896340736));
  V r = fnma(n, V::broadcast(6.93147180369123816490e-1), x);
  r = fnma(n, V::broadcast(1.90821492927058770002e-10), r);
  V p = V::broadcast(1.0 / 6227020800.0);  // Taylor: the next term is below 1e-17
  p = fma(p, r, V::broadcast(1.0 / 479001600.0));
  p = fma(p, r, V::broadcast(1.0 / 39916800.0));
  p = fma(p, r, V::broadcast(1.0 / 3628800.0));
  p = fma(p, r, V::broadcast(1.0 / 362880.0));
  p = fma(p, r, V::broadcast(1.0 / 40320.0));
  p = fma(p, r, V::broadcast(1.0 / 5040.0));
  p = fma(p, r, V::broadcast(1.0 / 720.0));
  p = fma(p, r, V::broadcast(1.0 / 120.0));
  p = fma(p, r, V::broadcast(1.0 / 24.0));
  p = fma(p, r, V::broadcast(1.0 / 6.0));
  p = fma(p, r, V::broadcast(0.5));
  scale = V::power_of_two(n);
  return fma(r * r, p, r);
}

template <class T>
JAX_LSTM_INLINE Vec<T> sigmoid(Vec<T> x) {
  using V = Vec<T>;
  constexpr T limit = sizeof(T) == 4 ? T(87) : T(700);  // exp is finite there, and its reciprocal zero next to any gate
  V scale, one = V::broadcast(1);
  V e = reduced_expm1(V::clamp(V::broadcast(0) - x, -limit, limit), scale);
  return V::reciprocal(one + fma(scale, e, scale));
}

template <class T>
JAX_LSTM_INLINE Vec<T> tanh(Vec<T> x) {
  using V = Vec<T>;
  constexpr T limit = 40;  // tanh(20) rounds to 1
  V scale;
  V e = reduced_expm1(V::clamp(x + x, -limit, limit), scale);
  V m = fma(scale, e, scale - V::broadcast(1));
  return m * V::reciprocal(m + V::broadcast(2));
}

}  // namespace JAX_LSTM_ISA
}  // namespace jax_lstm
