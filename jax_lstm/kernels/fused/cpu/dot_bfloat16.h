// Dot products of bfloat16 pairs, accumulated in float32 by vdpbf16ps (AVX512-BF16). tile.h explains what a Dot is.
#pragma once

namespace jax_lstm {
namespace JAX_LSTM_ISA {

struct Bfloat16Dot : VectorDot {
  using Operand = bfloat16;
  using Sum = float;
  static constexpr int group = 2, depth = 2;

  // row[0], next[0], row[1], next[1], ...: `count` of each, then zeros. A null row has zeros.
  JAX_LSTM_INLINE __m512i pairs_of(const float* row, const float* next, int64_t count) {
    __m512i low = _mm512_setzero_si512(), high = low;
    if (row) low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(Vec<float>::load(row, count).r));
    if (next) high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(Vec<float>::load(next, count).r));
    return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
  }

  JAX_LSTM_INLINE void pack(const float* row, const float* next, int64_t count, int64_t k, int64_t rows, int64_t most, bfloat16* block) {
    bfloat16* to = block + k * rows;
    if ((most - k) * rows >= 32) _mm512_storeu_si512(to, pairs_of(row, next, count));
    else _mm512_mask_storeu_epi32(to, Vec<float>::first(rows), pairs_of(row, next, count));
  }

  // to = row[0], next[0], row[1], next[1], ...: `count` of each, a multiple of 16.
  JAX_LSTM_INLINE void interleave(const bfloat16* row, const bfloat16* next, int64_t count, bfloat16* to) {
    for (int64_t i = 0; i < count; i += 16) {
      __m512i low = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + i)));
      __m512i high = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(next + i)));
      _mm512_storeu_si512(to + 2 * i, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
    }
  }

  JAX_LSTM_INLINE __m512bh pairs(const bfloat16* p) {
    uint32_t bits;
    std::memcpy(&bits, p, sizeof bits);
    return (__m512bh)_mm512_set1_epi32(static_cast<int>(bits));
  }

  template <int rows, int width>
  JAX_LSTM_INLINE void add(Vec<float> (&sums)[rows][width], int m, __m512bh x, const __m512bh* b) {
#pragma GCC unroll 4
    for (int v = 0; v < width; ++v) sums[m][v].r = _mm512_dpbf16_ps(sums[m][v].r, x, b[v]);
  }

  template <int width>
  JAX_LSTM_INLINE void load(__m512bh (&b)[width], const bfloat16* panel) {
#pragma GCC unroll 4
    for (int v = 0; v < width; ++v) b[v] = (__m512bh)_mm512_loadu_si512(panel + v * 32);
  }

  // If `a_packed`, a is stored as [k / 2][rows][2] with padding; otherwise in rows `a_stride` apart.
  template <int rows, int width, bool a_packed, bool fetches>
  JAX_LSTM_INLINE void accumulate(Vec<float> (&sums)[rows][width], const bfloat16* a, int64_t a_stride, const bfloat16* panel, int64_t depth,
                                  const bfloat16* next) {
    int64_t k = 0;
    const int64_t whole = a_packed ? round_up(depth, 2) : depth / 2 * 2;
    for (; k < whole; k += 2, panel += width * 32) {
      if (fetches) fetch(next + k / 2 * kLine<bfloat16>);
      __m512bh b[width];
      load<width>(b, panel);
#pragma GCC unroll 12
      for (int m = 0; m < rows; ++m) add<rows, width>(sums, m, pairs(a_packed ? a + k * rows + m * 2 : a + m * a_stride + k), b);
    }
    if (!a_packed && k < depth) {  // must not read past the end of a row
      __m512bh b[width];
      load<width>(b, panel);
#pragma GCC unroll 12
      for (int m = 0; m < rows; ++m) {
        const bfloat16 last[2] = {a[m * a_stride + k], {0}};
        add<rows, width>(sums, m, pairs(last), b);
      }
    }
  }
};

}  // namespace JAX_LSTM_ISA
}  // namespace jax_lstm
