// Products of bfloat16 pairs with sums in float32, by the vdpbf16ps instruction of AVX512-BF16. See tile.h for what a Dot is.
#pragma once

namespace jax_lstm {
namespace JAX_LSTM_ISA {

struct Bfloat16Dot {
  using Operand = bfloat16;
  using Sum = float;
  static constexpr int group = 2;

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

  // `a_packed`: a is stored [k / 2][rows][2], padded, instead of in rows of `a_stride`.
  template <int rows, int width, bool a_packed>
  JAX_LSTM_INLINE void accumulate(Vec<float> (&sums)[rows][width], const bfloat16* a, int64_t a_stride, const bfloat16* panel, int64_t depth) {
    int64_t k = 0;
    const int64_t whole = a_packed ? round_up(depth, 2) : depth / 2 * 2;
    for (; k < whole; k += 2, panel += width * 32) {
      __m512bh b[width];
      load<width>(b, panel);
#pragma GCC unroll 12
      for (int m = 0; m < rows; ++m) add<rows, width>(sums, m, pairs(a_packed ? a + k * rows + m * 2 : a + m * a_stride + k), b);
    }
    if (!a_packed && k < depth) {  // what lies after a row is not ours to read
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
