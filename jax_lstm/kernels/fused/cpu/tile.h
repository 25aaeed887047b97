// Matrix products on register tiles: out[rows][columns] (+)= a[rows][k] * panel[k][columns].
//
// A panel is a block of 1 to 4 vectors of columns, packed with k outermost, so that a tile reads it once with all its sums in registers. Sums
// are made in chunks of 32 k and added up in order, which loses fewer digits than one long sum. The chunks do not depend on the shape of the tile, so
// results do not depend on how the work is divided. (AMX adds up a whole depth in float32, which loses little beside the rounding to bfloat16.)
//
// A `Dot` defines how operands are stored and multiplied. `PlainDot<S>` stores both as S. `Bfloat16Dot` (dot_bfloat16.h) stores both
// as bfloat16, with adjacent k in pairs, and accumulates in float32. A Dot has:
//   Operand              element type of both operands
//   Sum                  element type of the result
//   group                number of adjacent k stored together (1, or 2 for pairs); panels are padded to whole groups
//   depth                number of k that one product takes
//   tile_rows(width)     rows of a tile
//   few_rows             largest number of rows for which reading a panel from memory takes longer than the product
//   least_rows           smallest number of rows that makes another thread worthwhile
//   row_chunk            rows processed at a time; their sums for one panel fit in the L1 cache
//   Session              an object that a thread holds while it computes products
//   pack(...)            stores k of the left-hand side of a weight gradient
//   accumulate<...>      the inner loop
// `AmxDot` (dot_amx.h) multiplies whole matrices, so it has tiles of its own.
#pragma once

namespace jax_lstm {
namespace JAX_LSTM_ISA {

JAX_LSTM_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
JAX_LSTM_INLINE int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
JAX_LSTM_INLINE int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
JAX_LSTM_INLINE int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }

// Brings a cache line, of kLine elements, into the second-level cache.
JAX_LSTM_INLINE void fetch(const void* line) { __builtin_prefetch(line, 0, 2); }
template <class Operand>
constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(Operand));

// The part of a Dot that all have whose sums are in vector registers.
struct VectorDot {
  static constexpr int row_chunk = 48, few_rows = 64, least_rows = 1;
  JAX_LSTM_INLINE int64_t tile_rows(int width) { return kTileRows[width - 1]; }
  struct Session {};
};

template <class S>
struct PlainDot : VectorDot {
  using Operand = S;
  using Sum = S;
  static constexpr int group = 1, depth = 1;

  // Packs `count` elements of row `k` into a block that has `rows` elements for each of `most` k; the rest are zero. With grouped elements, `next` is
  // the following row. A null row has zeros. What lies behind row k in the block may be overwritten; later calls fill it.
  JAX_LSTM_INLINE void pack(const S* row, const S* /* next */, int64_t count, int64_t k, int64_t rows, int64_t most, S* block) {
    using V = Vec<S>;
    for (int64_t i = 0; i < rows; i += V::width) V::store(block + k * rows + i, V::load(row + i, larger(0, count - i)), (most - k) * rows - i);
  }

  // If `a_packed`, a is stored as [k][a_stride], of which the first `rows` are used; otherwise in rows `a_stride` apart.
  template <int rows, int width, bool a_packed, bool fetches>
  JAX_LSTM_INLINE void accumulate(Vec<S> (&sums)[rows][width], const S* a, int64_t a_stride, const S* panel, int64_t depth, const S* next) {
    using V = Vec<S>;
    for (int64_t k = 0; k < depth; ++k, panel += width * V::width) {
      if (fetches) fetch(next + k * kLine<S>);
      V b[width];
#pragma GCC unroll 4
      for (int v = 0; v < width; ++v) b[v] = V::load(panel + v * V::width);
#pragma GCC unroll 12
      for (int m = 0; m < rows; ++m) {
        V x = V::broadcast(a_packed ? a[k * a_stride + m] : a[m * a_stride + k]);
#pragma GCC unroll 4
        for (int v = 0; v < width; ++v) sums[m][v] = fma(x, b[v], sums[m][v]);
      }
    }
  }
};

// Left-hand side of a product: rows of `a`, `stride` apart, of which `depth` elements are used.
template <class Dot>
struct Rows {
  const typename Dot::Operand* a;
  int64_t stride, depth;
};

// One tile: out = init + x * panel + y * (rest of the panel). The rows of `init` are `init_stride` apart (0 repeats one row); null means zero. The
// depth of y may be 0. Unless `next` is null, each whole group of k also fetches a cache line, from `next` on; packed tiles and AMX ignore it.
template <class Dot>
using TileFunction = void (*)(Rows<Dot> x, Rows<Dot> y, const typename Dot::Operand* panel, const typename Dot::Sum* init, int64_t init_stride,
                              typename Dot::Sum* out, int64_t out_stride, const typename Dot::Operand* next);

// The sums of one tile.
template <class S, int rows, int width>
struct Sums {
  using V = Vec<S>;
  V at[rows][width];

  JAX_LSTM_INLINE Sums load(const S* from, int64_t stride) {
    Sums sums;
#pragma GCC unroll 12
    for (int m = 0; m < rows; ++m)
#pragma GCC unroll 4
      for (int v = 0; v < width; ++v) sums.at[m][v] = V::load(from + m * stride + v * V::width);
    return sums;
  }
  JAX_LSTM_MEMBER void store(S* to, int64_t stride) const {
#pragma GCC unroll 12
    for (int m = 0; m < rows; ++m)
#pragma GCC unroll 4
      for (int v = 0; v < width; ++v) V::store(to + m * stride + v * V::width, at[m][v]);
  }
  JAX_LSTM_MEMBER void add(const Sums& other) {
#pragma GCC unroll 12
    for (int m = 0; m < rows; ++m)
#pragma GCC unroll 4
      for (int v = 0; v < width; ++v) at[m][v] = at[m][v] + other.at[m][v];
  }
  JAX_LSTM_MEMBER void clear() {
#pragma GCC unroll 12
    for (int m = 0; m < rows; ++m)
#pragma GCC unroll 4
      for (int v = 0; v < width; ++v) at[m][v] = V::broadcast(0);
  }
};

template <class Dot, int rows, int width, bool a_packed>
void tile(Rows<Dot> x, Rows<Dot> y, const typename Dot::Operand* panel, const typename Dot::Sum* init, int64_t init_stride, typename Dot::Sum* out,
          int64_t out_stride, const typename Dot::Operand* next) {
  constexpr int64_t columns = width * Vec<typename Dot::Sum>::width;
  constexpr int64_t chunk = a_packed ? 128 : 32;      // the caller of a packed tile has chunks too
  constexpr bool in_registers = rows * width <= 12;  // there is room for the total beside the sums; otherwise it is in `out`
  using Total = Sums<typename Dot::Sum, rows, width>;
  Total sums, total;
  if (init) sums = Total::load(init, init_stride);
  else sums.clear();
  for (Rows<Dot> part : {x, y}) {
    for (int64_t k = 0; k < part.depth; k += chunk) {
      if (k > 0) {
        if (in_registers) total = sums;
        else sums.store(out, out_stride);
        sums.clear();
      }
      const auto* a = part.a + k * (a_packed ? part.stride : 1);
      const int64_t depth = smaller(chunk, part.depth - k);
      if (a_packed || !next) Dot::template accumulate<rows, width, a_packed, false>(sums.at, a, part.stride, panel + k * columns, depth, nullptr);
      else Dot::template accumulate<rows, width, false, true>(sums.at, a, part.stride, panel + k * columns, depth, next);
      if (next) next += depth / Dot::group * kLine<typename Dot::Operand>;
      if (k > 0) sums.add(in_registers ? total : Total::load(out, out_stride));
    }
    panel += round_up(part.depth, Dot::group) * columns;
  }
  sums.store(out, out_stride);
}

// Selects the tile for a shape that is known only at run time.
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

// Selects the tile for an `a` that is packed in blocks of rows for panels `most` vectors wide. The last panel may be narrower.
template <class Dot, int most, int width = most>
JAX_LSTM_INLINE TileFunction<Dot> choose_packed_width(int wanted) {
  if constexpr (width == 1) return tile<Dot, kTileRows[most - 1], 1, true>;
  else return wanted == width ? tile<Dot, kTileRows[most - 1], width, true> : choose_packed_width<Dot, most, width - 1>(wanted);
}

template <class Dot>
TileFunction<Dot> choose_packed_tile(int most, int width) {
  switch (most) {
    case 1: return choose_packed_width<Dot, 1>(width);
    case 2: return choose_packed_width<Dot, 2>(width);
    case 3: return choose_packed_width<Dot, 3>(width);
    default: return choose_packed_width<Dot, 4>(width);
  }
}

// Computes out = init + x * panel + y * (rest of the panel) for any number of rows, with `init` as for one tile. Rows of `out` have width *
// Vec::width elements. `next` is the panel of the next product, or null. The first tile waits for its own panel; each later one finds it
// in a near cache and fetches a part of `next`.
template <class Dot>
void panel_product(Rows<Dot> x, Rows<Dot> y, int64_t rows, const typename Dot::Operand* panel, int width, const typename Dot::Sum* init,
                   int64_t init_stride, typename Dot::Sum* out, const typename Dot::Operand* next = nullptr) {
  const int64_t columns = width * Vec<typename Dot::Sum>::width, blocks = divide_up(rows, kTileRows[width - 1]);
  const int64_t depth = round_up(x.depth, Dot::group) + round_up(y.depth, Dot::group), size = depth * columns;
  const int64_t part = depth / Dot::group * kLine<typename Dot::Operand>;  // what one tile fetches
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t first = rows * block / blocks, count = rows * (block + 1) / blocks - first, fetched = (block - 1) * part;
    choose_tile<Dot>(count, width)({x.a + first * x.stride, x.stride, x.depth}, {y.depth ? y.a + first * y.stride : nullptr, y.stride, y.depth}, panel,
                                   init ? init + first * init_stride : nullptr, init_stride, out + first * columns, columns,
                                   next && block > 0 && part <= size && fetched < size ? next + smaller(fetched, size - part) : nullptr);
  }
}

// One row by two panels of four vectors, `panel_size` apart: the sums of two tiles. Together they have eight sums, enough to keep the adders busy.
// The rows of `init` are `init_size` apart.
template <class Dot>
void two_panel_product(Rows<Dot> x, Rows<Dot> y, const typename Dot::Operand* panel, int64_t panel_size, const typename Dot::Sum* init, int64_t init_size,
                       typename Dot::Sum* out) {
  using Total = Sums<typename Dot::Sum, 1, 4>;
  constexpr int64_t columns = 4 * Vec<typename Dot::Sum>::width, chunk = 32;
  Total sums = Total::load(init, 0), others = Total::load(init + init_size, 0), total, others_total;
  for (Rows<Dot> part : {x, y}) {
    for (int64_t first = 0; first < part.depth; first += chunk) {
      if (first > 0) {
        total = sums;
        others_total = others;
        sums.clear();
        others.clear();
      }
      for (int64_t k = first; k < smaller(first + chunk, part.depth); ++k) {
        Dot::template accumulate<1, 4, false, false>(sums.at, part.a + k, 0, panel + k * columns, 1, nullptr);
        Dot::template accumulate<1, 4, false, false>(others.at, part.a + k, 0, panel + panel_size + k * columns, 1, nullptr);
      }
      if (first > 0) {
        sums.add(total);
        others.add(others_total);
      }
    }
    panel += part.depth * columns;
  }
  sums.store(out, columns);
  others.store(out + columns, columns);
}

// Width in vectors of the panels of a product with `columns` columns, when `threads` share the panels. The last panel may be narrower. The cost of a
// tile is modelled as 1 for each multiplication and 1/4 for each operand loaded.
JAX_LSTM_INLINE int choose_width(int64_t columns, int64_t vector, int64_t threads) {
  const int64_t vectors = divide_up(columns, vector);
  int best = 1;
  double least = 0;
  for (int width = 1; width <= 4; ++width) {
    auto cost = [rows = kTileRows[width - 1]](int64_t w) { return static_cast<double>(w) + 0.25 * static_cast<double>(rows + w) / rows; };
    const int64_t whole = vectors / width, rest = vectors % width;
    const double total = threads > 1 ? static_cast<double>(divide_up(divide_up(vectors, width), threads)) * cost(width)
                                     : static_cast<double>(whole) * cost(width) + (rest ? cost(rest) : 0.0);
    if (width == 1 || total < least) {
      best = width;
      least = total;
    }
  }
  return best;
}

}  // namespace JAX_LSTM_ISA
}  // namespace jax_lstm
