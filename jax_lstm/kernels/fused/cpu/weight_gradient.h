// Weight gradients: left^T * right, a sum over all steps and rows of two row-major matrices.
//
// Works on 256 or 512 rows at a time. The right-hand side (inputs and h) is packed into panels; the left-hand side (gradients of the gates) into blocks
// of a tile's rows, if enough panels use them. A tile accumulates one block times one panel. Threads divide the columns of the left-hand side.
#pragma once

namespace jax_lstm {
namespace JAX_LSTM_ISA {

constexpr int64_t kNearSums = 16 << 20;  // bytes of sums that stay in a cache; larger ones are read from memory in each pass, so there are fewer passes
constexpr int64_t kFewColumns = 512;  // on the right; up to so many, packing the left side costs more than it saves

template <class Dot>
class WeightGradient {
  using S = typename Dot::Sum;
  using Operand = typename Dot::Operand;
  using V = Vec<S>;

 public:
  // The result has `rows` rows (columns of the left matrix) and `columns` columns (of the right one). Both matrices have `depth` rows.
  WeightGradient(int64_t rows, int64_t columns, int64_t depth, int threads)
      : rows_(rows), columns_(columns), depth_(depth), threads_(threads), width_(choose_width(columns, V::width, 1)),
        block_(Dot::tile_rows(width_)), blocks_(divide_up(rows, block_)), panel_(width_ * V::width), vectors_(divide_up(columns, V::width)),
        panels_(divide_up(columns, panel_)), most_steps_(rows * columns * static_cast<int64_t>(sizeof(S)) <= kNearSums ? 256 : 512) {}

  void lay_out(Arena& arena) {
    totals_ = arena.take<S>(depth_ > most_steps_ ? blocks_ * panels_ * block_ * panel_ : 0);
    left_ = arena.take<Operand>(blocks_ * block_ * most_steps_);
    right_ = arena.take<Operand>(threads_ * panel_ * most_steps_);
    sums_ = arena.take<S>(threads_ * block_ * panel_);
  }

  // `left` has rows of `rows` elements. `load(k, first, n, to)` copies elements [first, first + n) of row k of the right matrix to `to`. `store(row,
  // first, n, sums)` receives a piece of the result. `column_sums`, if not null, is set to the sum of the rows of `left`.
  template <class Load, class Store>
  void compute(const S* left, S* column_sums, Load load, Store store, const Team& team, int thread) const {
    const Range mine = share(blocks_, thread, team.size());
    const Range rows{mine.begin * block_, smaller(mine.end * block_, rows_)};
    if (rows.begin >= rows.end) return;
    if (column_sums) clear(column_sums + rows.begin, rows.end - rows.begin);
    // Blocks before this one are used unpacked. A partial last block must be packed, because a tile would read beyond it.
    const int64_t ready = Dot::group == 1 && columns_ <= kFewColumns ? rows_ / block_ : 0;
    Operand* right = right_ + thread * panel_ * most_steps_;
    for (int64_t k = 0; k < larger(depth_, 1); k += most_steps_) {
      const int64_t steps = smaller(most_steps_, depth_ - k);
      const bool first = k == 0, last = k + steps >= depth_;
      if (mine.end > ready) pack_left(left + k * rows_, steps, {larger(mine.begin, ready), mine.end});
      if (column_sums) add_rows(left + k * rows_, steps, rows, column_sums);
      for (int64_t panel = 0; panel < panels_; ++panel) {
        const int64_t width = smaller(width_, vectors_ - panel * width_), columns = width * V::width;
        const TileFunction<Dot> add = choose_packed_tile<Dot>(width_, static_cast<int>(width));
        pack_right(k, steps, panel * panel_, columns, load, right);
        for (int64_t block = mine.begin; block < mine.end; ++block) {
          S* total = totals_ + (panel * blocks_ + block) * block_ * panel_;
          S* out = last ? sums_ + thread * block_ * panel_ : total;
          Rows<Dot> a{left_ + block * block_ * most_steps_, block_, steps};
          if constexpr (Dot::group == 1)
            if (block < ready) a = {left + k * rows_ + block * block_, rows_, steps};
          add(a, {nullptr, 0, 0}, right, first ? nullptr : total, columns, out, columns, nullptr);
          if (!last) continue;
          for (int64_t m = 0; m < smaller(block_, rows_ - block * block_); ++m)
            store(block * block_ + m, panel * panel_, smaller(panel_, columns_ - panel * panel_), out + m * columns);
        }
      }
    }
  }

 private:
  void pack_left(const S* left, int64_t steps, Range blocks) const {
    const auto from = [&](int64_t k, int64_t first) { return k < steps ? left + k * rows_ + first : nullptr; };
    for (int64_t k = 0; k < round_up(steps, Dot::depth); k += Dot::group)
      for (int64_t block = blocks.begin; block < blocks.end; ++block) {
        const int64_t first = block * block_;
        Dot::pack(from(k, first), from(k + 1, first), smaller(block_, rows_ - first), k, block_, most_steps_, left_ + first * most_steps_);
      }
  }

  void add_rows(const S* left, int64_t steps, Range rows, S* sums) const {
    for (int64_t first = rows.begin; first < rows.end; first += 4 * V::width) {  // four vectors of sums stay in registers
      int64_t present[4];
      V total[4];
      for (int v = 0; v < 4; ++v) {
        present[v] = larger(0, smaller(V::width, rows.end - first - v * V::width));
        total[v] = V::broadcast(0);
      }
      for (int64_t k = 0; k < steps; ++k)
        for (int v = 0; v < 4; ++v)
          if (present[v]) total[v] = total[v] + V::load(left + k * rows_ + first + v * V::width, present[v]);
      for (int v = 0; v < 4; ++v) {
        S* to = sums + first + v * V::width;
        if (present[v]) V::store(to, V::load(to, present[v]) + total[v], present[v]);
      }
    }
  }

  // Packs `wide` columns from `first` on. Columns beyond the last are zero.
  template <class Load>
  void pack_right(int64_t k, int64_t steps, int64_t first, int64_t wide, Load load, Operand* to) const {
    const int64_t present = smaller(wide, columns_ - first);
    if constexpr (Dot::group == 1) {
      for (int64_t i = 0; i < steps; ++i, to += wide) {
        load(k + i, first, present, to);
        if (present < wide) clear(to + present, wide - present);
      }
    } else {
      Operand pair[2][4 * V::width] = {};
      for (int64_t i = 0; i < round_up(steps, Dot::depth); i += 2, to += 2 * wide) {
        for (int64_t j : {0, 1})
          if (i + j < steps) load(k + i + j, first, present, pair[j]);
          else clear(pair[j], wide);
        Dot::interleave(pair[0], pair[1], wide, to);
      }
    }
  }

  const int64_t rows_, columns_, depth_, threads_;
  const int width_;
  const int64_t block_, blocks_, panel_, vectors_, panels_;
  const int64_t most_steps_;  // rows of both matrices packed at a time
  S *totals_ = nullptr, *sums_ = nullptr;
  Operand *left_ = nullptr, *right_ = nullptr;
};

}  // namespace JAX_LSTM_ISA
}  // namespace jax_lstm
