// Vec<float> and Vec<double> for AVX2 with FMA: 8 floats or 4 doubles. vec_plain.h describes the interface.
#pragma once

#include "types.h"

namespace jax_lstm {
namespace JAX_LSTM_ISA {

template <class T>
struct Vec;

template <>
struct Vec<float> {
  using Scalar = float;
  static constexpr int width = 8;
  __m256 r;

  JAX_LSTM_INLINE __m256i first(int64_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  JAX_LSTM_INLINE Vec broadcast(float x) { return {_mm256_set1_ps(x)}; }
  JAX_LSTM_INLINE Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
  JAX_LSTM_INLINE Vec load(const float* p, int64_t n) { return {n >= width ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, first(n))}; }
  JAX_LSTM_INLINE Vec load(const bfloat16* p, int64_t n) {
    alignas(32) float x[width] = {};
    for (int i = 0; i < width; ++i)
      if (i < n) x[i] = to_float(p[i]);
    return load(x);
  }
  JAX_LSTM_INLINE void store(float* p, Vec v) { _mm256_storeu_ps(p, v.r); }
  JAX_LSTM_INLINE void store(float* p, Vec v, int64_t n) {
    if (n >= width) _mm256_storeu_ps(p, v.r);
    else _mm256_maskstore_ps(p, first(n), v.r);
  }
  JAX_LSTM_INLINE void store(bfloat16* p, Vec v, int64_t n) {
    alignas(32) float x[width];
    store(x, v);
    for (int i = 0; i < width; ++i)
      if (i < n) p[i] = to_bfloat16(x[i]);
  }

  friend JAX_LSTM_MEMBER Vec operator+(Vec a, Vec b) { return {_mm256_add_ps(a.r, b.r)}; }
  friend JAX_LSTM_MEMBER Vec operator-(Vec a, Vec b) { return {_mm256_sub_ps(a.r, b.r)}; }
  friend JAX_LSTM_MEMBER Vec operator*(Vec a, Vec b) { return {_mm256_mul_ps(a.r, b.r)}; }
  friend JAX_LSTM_MEMBER Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.r, b.r, c.r)}; }
  friend JAX_LSTM_MEMBER Vec fnma(Vec a, Vec b, Vec c) { return {_mm256_fnmadd_ps(a.r, b.r, c.r)}; }
  JAX_LSTM_INLINE Vec clamp(Vec x, float low, float high) {
    return {_mm256_max_ps(_mm256_set1_ps(low), _mm256_min_ps(_mm256_set1_ps(high), x.r))};
  }
  JAX_LSTM_INLINE Vec choose_above(Vec x, float limit, Vec above, Vec otherwise) {
    return {_mm256_blendv_ps(otherwise.r, above.r, _mm256_cmp_ps(x.r, _mm256_set1_ps(limit), _CMP_GT_OQ))};
  }
  JAX_LSTM_INLINE Vec round(Vec x) { return {_mm256_round_ps(x.r, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
  JAX_LSTM_INLINE Vec power_of_two(Vec n) {
    __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n.r), _mm256_set1_epi32(127));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23))};
  }
  JAX_LSTM_INLINE Vec reciprocal(Vec x) { return {_mm256_div_ps(_mm256_set1_ps(1.0f), x.r)}; }
  JAX_LSTM_INLINE Vec zip_low(Vec a, Vec b) {
    return {_mm256_permute2f128_ps(_mm256_unpacklo_ps(a.r, b.r), _mm256_unpackhi_ps(a.r, b.r), 0x20)};
  }
  JAX_LSTM_INLINE Vec zip_high(Vec a, Vec b) {
    return {_mm256_permute2f128_ps(_mm256_unpacklo_ps(a.r, b.r), _mm256_unpackhi_ps(a.r, b.r), 0x31)};
  }
};

template <>
struct Vec<double> {
  using Scalar = double;
  static constexpr int width = 4;
  __m256d r;

  JAX_LSTM_INLINE __m256i first(int64_t n) { return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3)); }
  JAX_LSTM_INLINE Vec broadcast(double x) { return {_mm256_set1_pd(x)}; }
  JAX_LSTM_INLINE Vec load(const double* p) { return {_mm256_loadu_pd(p)}; }
  JAX_LSTM_INLINE Vec load(const double* p, int64_t n) { return {n >= width ? _mm256_loadu_pd(p) : _mm256_maskload_pd(p, first(n))}; }
  JAX_LSTM_INLINE void store(double* p, Vec v) { _mm256_storeu_pd(p, v.r); }
  JAX_LSTM_INLINE void store(double* p, Vec v, int64_t n) {
    if (n >= width) _mm256_storeu_pd(p, v.r);
    else _mm256_maskstore_pd(p, first(n), v.r);
  }

  friend JAX_LSTM_MEMBER Vec operator+(Vec a, Vec b) { return {_mm256_add_pd(a.r, b.r)}; }
  friend JAX_LSTM_MEMBER Vec operator-(Vec a, Vec b) { return {_mm256_sub_pd(a.r, b.r)}; }
  friend JAX_LSTM_MEMBER Vec operator*(Vec a, Vec b) { return {_mm256_mul_pd(a.r, b.r)}; }
  friend JAX_LSTM_MEMBER Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_pd(a.r, b.r, c.r)}; }
  friend JAX_LSTM_MEMBER Vec fnma(Vec a, Vec b, Vec c) { return {_mm256_fnmadd_pd(a.r, b.r, c.r)}; }
  JAX_LSTM_INLINE Vec clamp(Vec x, double low, double high) {
    return {_mm256_max_pd(_mm256_set1_pd(low), _mm256_min_pd(_mm256_set1_pd(high), x.r))};
  }
  JAX_LSTM_INLINE Vec choose_above(Vec x, double limit, Vec above, Vec otherwise) {
    return {_mm256_blendv_pd(otherwise.r, above.r, _mm256_cmp_pd(x.r, _mm256_set1_pd(limit), _CMP_GT_OQ))};
  }
  JAX_LSTM_INLINE Vec round(Vec x) { return {_mm256_round_pd(x.r, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
  JAX_LSTM_INLINE Vec power_of_two(Vec n) {
    __m256i exponent = _mm256_add_epi64(_mm256_cvtepi32_epi64(_mm256_cvtpd_epi32(n.r)), _mm256_set1_epi64x(1023));
    return {_mm256_castsi256_pd(_mm256_slli_epi64(exponent, 52))};
  }
  JAX_LSTM_INLINE Vec reciprocal(Vec x) { return {_mm256_div_pd(_mm256_set1_pd(1.0), x.r)}; }
  JAX_LSTM_INLINE Vec zip_low(Vec a, Vec b) {
    return {_mm256_permute2f128_pd(_mm256_unpacklo_pd(a.r, b.r), _mm256_unpackhi_pd(a.r, b.r), 0x20)};
  }
  JAX_LSTM_INLINE Vec zip_high(Vec a, Vec b) {
    return {_mm256_permute2f128_pd(_mm256_unpacklo_pd(a.r, b.r), _mm256_unpackhi_pd(a.r, b.r), 0x31)};
  }
};

// Rows of a register tile that is 1, 2, 3 or 4 vectors wide, for 16 registers.
constexpr int kTileRows[4] = {8, 6, 4, 3};

}  // namespace JAX_LSTM_ISA
}  // namespace jax_lstm
