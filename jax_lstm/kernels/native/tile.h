// Matrix products on register tiles: out[rows][columns] (+)= a[rows][k] * panel[k][columns].
//
// A panel is a block of 1 to 4 vectors of columns, packed with k outermost, so that a tile streams through it once with all its sums in
// registers. Every sum runs over k in order, whatever the shape of the tile: results don't depend on how work is divided.
//
// A `Dot` says how operands are stored and multiplied. `PlainDot<S>` keeps both in S. `Bfloat16Dot` (dot_bfloat16.h) keeps both
// in bfloat16, adjacent k in pairs, and sums in float32. It defines:
//   Operand              element of both operands
//   Sum                  element of the result
//   group                elements of k that are stored together (1, or 2 for pairs); panels are padded to whole groups
//   accumulate<...>      the inner loop
#pragma once

namespace jax_lstm {
namespace JAX_LSTM_ISA {

JAX_LSTM_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
JAX_LSTM_INLINE int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
JAX_LSTM_INLINE int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
JAX_LSTM_INLINE int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }

template <class S>
struct PlainDot {
  using Operand = S;
  using Sum = S;
  static constexpr int group = 1;

  // `a_packed`: a is stored [k][rows] instead of in rows of `a_stride`.
  template <int rows, int width, bool a_packed>
  JAX_LSTM_INLINE void accumulate(Vec<S> (&sums)[rows][width], const S* a, int64_t a_stride, const S* panel, int64_t depth) {
    using V = Vec<S>;
    for (int64_t k = 0; k < depth; ++k, panel += width * V::width) {
      V b[width];
#pragma GCC unroll 4
      for (int v = 0; v < width; ++v) b[v] = V::load(panel + v * V::width);
#pragma GCC unroll 12
      for (int m = 0; m < rows; ++m) {
        V x = V::broadcast(a_packed ? a[k * rows + m] : a[m * a_stride + k]);
#pragma GCC unroll 4
        for (int v = 0; v < width; ++v) sums[m][v] = fma(x, b[v], sums[m][v]);
      }
    }
  }
};

// What is multiplied with one panel: rows of `a`, `stride` apart, of which `depth` elements are used.
template <class Dot>
struct Rows {
  const typename Dot::Operand* a;
  int64_t stride, depth;
};

// One tile: out = init + x * panel + y * (the rest of the panel). `init` (rows `init_stride` apart, 0 to repeat one row) may be null for zero,
// and the depth of y 0.
template <class Dot>
using TileFunction = void (*)(Rows<Dot> x, Rows<Dot> y, const typename Dot::Operand* panel, const typename Dot::Sum* init, int64_t init_stride,
                              typename Dot::Sum* out, int64_t out_stride);

template <class Dot, int rows, int width, bool a_packed>
void tile(Rows<Dot> x, Rows<Dot> y, const typename Dot::Operand* panel, const typename Dot::Sum* init, int64_t init_stride, typename Dot::Sum* out,
          int64_t out_stride) {
  using V = Vec<typename Dot::Sum>;
  V sums[rows][width];
  if (init) {
#pragma GCC unroll 12
    for (int m = 0; m < rows; ++m)
#pragma GCC unroll 4
      for (int v = 0; v < width; ++v) sums[m][v] = V::load(init + m * init_stride + v * V::width);
  } else {
#pragma GCC unroll 12
    for (int m = 0; m < rows; ++m)
#pragma GCC unroll 4
      for (int v = 0; v < width; ++v) sums[m][v] = V::broadcast(0);
  }
  Dot::template accumulate<rows, width, a_packed>(sums, x.a, x.stride, panel, x.depth);
  if (!a_packed && y.depth)
    Dot::template accumulate<rows, width, a_packed>(sums, y.a, y.stride, panel + round_up(x.depth, Dot::group) * width * V::width, y.depth);
#pragma GCC unroll 12
  for (int m = 0; m < rows; ++m)
#pragma GCC unroll 4
    for (int v = 0; v < width; ++v) V::store(out + m * out_stride + v * V::width, sums[m][v]);
}

// The tile of a shape that is known only at run time.
template <class Dot, int width, int rows = kTileRows[width - 1]>
JAX_LSTM_INLINE TileFunction<Dot> choose_rows(int64_t wanted) {
  if constexpr (rows == 1) return tile<Dot, 1, width, false>;
  else return wanted == rows ? tile<Dot, rows, width, false> : choose_rows<Dot, width, rows - 1>(wanted);
}

template <class Dot>
TileFunction<Dot> choose_tile(int64_t rows, int width) {
  switch (width) {
    case 1: return choose_rows<Dot, 1>(rows);
    case 2: return choose_rows<Dot, 2>(rows);
    case 3: return choose_rows<Dot, 3>(rows);
    default: return choose_rows<Dot, 4>(rows);
  }
}

// The full tile over an `a` that is packed in blocks of kTileRows[width - 1] rows.
template <class Dot>
TileFunction<Dot> choose_packed_tile(int width) {
  switch (width) {
    case 1: return tile<Dot, kTileRows[0], 1, true>;
    case 2: return tile<Dot, kTileRows[1], 2, true>;
    case 3: return tile<Dot, kTileRows[2], 3, true>;
    default: return tile<Dot, kTileRows[3], 4, true>;
  }
}

// `out` (rows of width * Vec::width elements) = x * panel + y * (the rest of the panel), plus `init` (one row for all) if that isn't null; for any
// number of rows.
template <class Dot>
void panel_product(Rows<Dot> x, Rows<Dot> y, int64_t rows, const typename Dot::Operand* panel, int width, const typename Dot::Sum* init,
                   typename Dot::Sum* out) {
  const int64_t columns = width * Vec<typename Dot::Sum>::width, blocks = divide_up(rows, kTileRows[width - 1]);
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t first = rows * block / blocks, count = rows * (block + 1) / blocks - first;
    choose_tile<Dot>(count, width)({x.a + first * x.stride, x.stride, x.depth}, {y.depth ? y.a + first * y.stride : nullptr, y.stride, y.depth}, panel,
                                   init, 0, out + first * columns, columns);
  }
}

// How many vectors wide to make the panels of a product with so many columns, shared out among `threads`: narrow tiles load more for each
// multiplication, wide ones waste more on the last panel.
JAX_LSTM_INLINE int choose_width(int64_t columns, int64_t vector, int64_t threads) {
  constexpr double cost[4] = {1.5, kBestTileWidth == 2 ? 1.0 : 1.06, kBestTileWidth == 2 ? 1.04 : 1.02, kBestTileWidth == 2 ? 1.08 : 1.0};
  int best = 1;
  double least = 0;
  for (int width = 1; width <= 4; ++width) {
    double total = static_cast<double>(divide_up(divide_up(columns, width * vector), threads) * width) * cost[width - 1];
    if (width == 1 || total < least) {
      best = width;
      least = total;
    }
  }
  return best;
}

}  // namespace JAX_LSTM_ISA
}  // namespace jax_lstm
