// Vec<float> and Vec<double> for AVX-512: 16 floats or 8 doubles. vec_plain.h describes the interface.
#pragma once

#include "types.h"

namespace jax_lstm {
namespace JAX_LSTM_ISA {

template <class T>
struct Vec;

template <>
struct Vec<float> {
  using Scalar = float;
  static constexpr int width = 16;
  __m512 r;

  JAX_LSTM_INLINE __mmask16 first(int64_t n) { return static_cast<__mmask16>(_bzhi_u32(0xffffu, static_cast<unsigned>(n < width ? n : width))); }
  JAX_LSTM_INLINE Vec broadcast(float x) { return {_mm512_set1_ps(x)}; }
  JAX_LSTM_INLINE Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
  JAX_LSTM_INLINE Vec load(const float* p, int64_t n) { return {_mm512_maskz_loadu_ps(first(n), p)}; }
  JAX_LSTM_INLINE Vec load(const bfloat16* p, int64_t n) {
    __m256i bits = _mm256_maskz_loadu_epi16(first(n), p);
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16))};
  }
  JAX_LSTM_INLINE void store(float* p, Vec v) { _mm512_storeu_ps(p, v.r); }
  JAX_LSTM_INLINE void store(float* p, Vec v, int64_t n) {
    if (n >= width) _mm512_storeu_ps(p, v.r);  // masked stores are slow on some CPUs
    else _mm512_mask_storeu_ps(p, first(n), v.r);
  }
#if defined(JAX_LSTM_HAS_BFLOAT16_DOT)
  // The instruction rounds like the code below, but makes subnormal numbers 0.
  JAX_LSTM_INLINE void store(bfloat16* p, Vec v, int64_t n) {
    const __m256i rounded = (__m256i)_mm512_cvtneps_pbh(v.r);
    if (n >= width) _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), rounded);
    else _mm256_mask_storeu_epi16(p, first(n), rounded);
  }
#else
  JAX_LSTM_INLINE void store(bfloat16* p, Vec v, int64_t n) {
    __m512i bits = _mm512_castps_si512(v.r), high = _mm512_srli_epi32(bits, 16);
    __m512i even = _mm512_add_epi32(_mm512_and_si512(high, _mm512_set1_epi32(1)), _mm512_set1_epi32(0x7fff));
    __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(bits, even), 16);
    __mmask16 nan = _mm512_cmp_ps_mask(v.r, v.r, _CMP_UNORD_Q);
    rounded = _mm512_mask_or_epi32(rounded, nan, high, _mm512_set1_epi32(0x40));
    _mm256_mask_storeu_epi16(p, first(n), _mm512_cvtepi32_epi16(rounded));
  }
#endif

  friend JAX_LSTM_MEMBER Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.r, b.r)}; }
  friend JAX_LSTM_MEMBER Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.r, b.r)}; }
  friend JAX_LSTM_MEMBER Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.r, b.r)}; }
  friend JAX_LSTM_MEMBER Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.r, b.r, c.r)}; }
  friend JAX_LSTM_MEMBER Vec fnma(Vec a, Vec b, Vec c) { return {_mm512_fnmadd_ps(a.r, b.r, c.r)}; }
  JAX_LSTM_INLINE Vec clamp(Vec x, float low, float high) {
    return {_mm512_max_ps(_mm512_set1_ps(low), _mm512_min_ps(_mm512_set1_ps(high), x.r))};
  }
  JAX_LSTM_INLINE Vec choose_above(Vec x, float limit, Vec above, Vec otherwise) {
    return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(x.r, _mm512_set1_ps(limit), _CMP_GT_OQ), otherwise.r, above.r)};
  }
  JAX_LSTM_INLINE Vec round(Vec x) { return {_mm512_roundscale_ps(x.r, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
  JAX_LSTM_INLINE Vec power_of_two(Vec n) { return {_mm512_scalef_ps(_mm512_set1_ps(1.0f), n.r)}; }
  JAX_LSTM_INLINE Vec reciprocal(Vec x) {
    __m512 y = _mm512_rcp14_ps(x.r);
    return {_mm512_fmadd_ps(y, _mm512_fnmadd_ps(x.r, y, _mm512_set1_ps(1.0f)), y)};
  }
  JAX_LSTM_INLINE Vec zip_low(Vec a, Vec b) {
    const __m512i index = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return {_mm512_permutex2var_ps(a.r, index, b.r)};
  }
  JAX_LSTM_INLINE Vec zip_high(Vec a, Vec b) {
    const __m512i index = _mm512_set_epi32(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8);
    return {_mm512_permutex2var_ps(a.r, index, b.r)};
  }
};

template <>
struct Vec<double> {
  using Scalar = double;
  static constexpr int width = 8;
  __m512d r;

  JAX_LSTM_INLINE __mmask8 first(int64_t n) { return static_cast<__mmask8>(_bzhi_u32(0xffu, static_cast<unsigned>(n < width ? n : width))); }
  JAX_LSTM_INLINE Vec broadcast(double x) { return {_mm512_set1_pd(x)}; }
  JAX_LSTM_INLINE Vec load(const double* p) { return {_mm512_loadu_pd(p)}; }
  JAX_LSTM_INLINE Vec load(const double* p, int64_t n) { return {_mm512_maskz_loadu_pd(first(n), p)}; }
  JAX_LSTM_INLINE void store(double* p, Vec v) { _mm512_storeu_pd(p, v.r); }
  JAX_LSTM_INLINE void store(double* p, Vec v, int64_t n) {
    if (n >= width) _mm512_storeu_pd(p, v.r);  // masked stores are slow on some CPUs
    else _mm512_mask_storeu_pd(p, first(n), v.r);
  }

  friend JAX_LSTM_MEMBER Vec operator+(Vec a, Vec b) { return {_mm512_add_pd(a.r, b.r)}; }
  friend JAX_LSTM_MEMBER Vec operator-(Vec a, Vec b) { return {_mm512_sub_pd(a.r, b.r)}; }
  friend JAX_LSTM_MEMBER Vec operator*(Vec a, Vec b) { return {_mm512_mul_pd(a.r, b.r)}; }
  friend JAX_LSTM_MEMBER Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_pd(a.r, b.r, c.r)}; }
  friend JAX_LSTM_MEMBER Vec fnma(Vec a, Vec b, Vec c) { return {_mm512_fnmadd_pd(a.r, b.r, c.r)}; }
  JAX_LSTM_INLINE Vec clamp(Vec x, double low, double high) {
    return {_mm512_max_pd(_mm512_set1_pd(low), _mm512_min_pd(_mm512_set1_pd(high), x.r))};
  }
  JAX_LSTM_INLINE Vec choose_above(Vec x, double limit, Vec above, Vec otherwise) {
    return {_mm512_mask_blend_pd(_mm512_cmp_pd_mask(x.r, _mm512_set1_pd(limit), _CMP_GT_OQ), otherwise.r, above.r)};
  }
  JAX_LSTM_INLINE Vec round(Vec x) { return {_mm512_roundscale_pd(x.r, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
  JAX_LSTM_INLINE Vec power_of_two(Vec n) { return {_mm512_scalef_pd(_mm512_set1_pd(1.0), n.r)}; }
  JAX_LSTM_INLINE Vec reciprocal(Vec x) { return {_mm512_div_pd(_mm512_set1_pd(1.0), x.r)}; }
  JAX_LSTM_INLINE Vec zip_low(Vec a, Vec b) {
    return {_mm512_permutex2var_pd(a.r, _mm512_set_epi64(11, 3, 10, 2, 9, 1, 8, 0), b.r)};
  }
  JAX_LSTM_INLINE Vec zip_high(Vec a, Vec b) {
    return {_mm512_permutex2var_pd(a.r, _mm512_set_epi64(15, 7, 14, 6, 13, 5, 12, 4), b.r)};
  }
};

// Rows of a register tile that is 1, 2, 3 or 4 vectors wide, for 32 registers.
constexpr int kTileRows[4] = {12, 12, 8, 6};

}  // namespace JAX_LSTM_ISA
}  // namespace jax_lstm
