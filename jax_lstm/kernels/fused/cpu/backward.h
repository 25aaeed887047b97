// The backward pass of one layer over a whole sequence.
//
// Steps run backwards in time. The gradient of h is d_ys plus the next step's d_gates times weight_hh. Each tile of this product goes straight
// through the derivative of the cell, which gives this step's d_gates. They are stored twice: in `d_gates`, for the weight gradients, which are one
// product over all steps at the end (weight_gradient.h); and as operands of the next product and of d_xs.
#pragma once

namespace jax_lstm {
namespace JAX_LSTM_ISA {

template <class C>
class Backward : Sequence {
  using S = typename Types<C>::State;
  using Dot = typename Types<C>::Dot;
  using Operand = typename Dot::Operand;
  using V = Vec<S>;
  static constexpr int64_t kVector = V::width, kRowChunk = Dot::row_chunk;

 public:
  static double flops(const Args& args) {
    const Shape& s = args.shape;
    return 4.0 * weights(args) * (static_cast<double>(s.time) * static_cast<double>(s.batch) + kPackingRows);
  }

  static int64_t layer(int64_t place, int64_t count) { return count - 1 - place; }

  Backward(const Args& args, int64_t member, int threads, Neighbours neighbours)
      : Sequence(args, member, neighbours, sizeof(Operand), Dot::few_rows, {.5, 128 << 10}), threads_(threads), gates_depth_(4 * hidden_),
        h_(outputs_, 4 * hidden_, splits_hidden_units(threads) ? threads : 1), x_(args.d_xs ? inputs_ : 0, 4 * hidden_, 1),
        cell_(projected_ ? hidden_ : 0, outputs_, splits_hidden_units(threads) ? threads : 1),
        gradient_(4 * hidden_, inputs_ + outputs_, time_ * batch_, threads),
        projection_gradient_(projected_ ? outputs_ : 0, hidden_, projected_ ? time_ * batch_ : 0, threads) {
    const int64_t steps = time_ * batch_;
    d_ys_ = at<C>(args.d_ys, member, steps * outputs_);
    d_h_ = at<S>(args.d_h, member, batch_ * outputs_);
    d_c_ = at<S>(args.d_c, member, batch_ * hidden_);
    xs_ = at<C>(args.xs, member, steps * inputs_);
    weight_ih_ = at<C>(args.weight_ih, member, 4 * hidden_ * inputs_);
    weight_hh_ = at<C>(args.weight_hh, member, 4 * hidden_ * outputs_);
    weight_hr_ = at<C>(args.weight_hr, member, outputs_ * hidden_);
    h0_ = at<S>(args.h0, member, batch_ * outputs_);
    c0_ = at<S>(args.c0, member, batch_ * hidden_);
    hs_ = at<C>(args.hs, member, steps * outputs_);
    cs_ = at<S>(args.cs, member, steps * hidden_);
    gates_ = at<S>(args.gates, member, steps * 4 * hidden_);
    d_xs_ = at<C>(args.d_xs, member, steps * inputs_);
    d_weight_ih_ = at<C>(args.d_weight_ih, member, 4 * hidden_ * inputs_);
    d_weight_hh_ = at<C>(args.d_weight_hh, member, 4 * hidden_ * outputs_);
    d_bias_ = at<S>(args.d_bias_ih, member, 4 * hidden_);
    d_weight_hr_ = at<C>(args.d_weight_hr, member, outputs_ * hidden_);
    d_h0_ = at<S>(args.d_h0, member, batch_ * outputs_);
    d_c0_ = at<S>(args.d_c0, member, batch_ * hidden_);
    d_gates_ = at<S>(args.d_gates, member, steps * 4 * hidden_);
  }

  int busy_threads() const {
    const int64_t sharing = sharing_threads(threads_);
    return static_cast<int>(sharing ? sharing : threads_);  // the gradients of the weights are products of all steps
  }

  using Sequence::advances_with_others;

  void lay_out(Arena& arena) {
    for (Panels* panels : {&h_, &x_, &cell_}) panels->packed = arena.take<Operand>(panels->count * panels->size);
    gates_stride_ = padded_stride<Operand>(gates_depth_);
    for (Operand*& buffer : d_gates_buffers_) buffer = arena.take<Operand>(batch_ * gates_stride_);
    carried_ = arena.take<S>(mask_ ? batch_ * outputs_ : 0);
    output_stride_ = padded_stride<Operand>(outputs_);
    d_h_operands_ = arena.take<Operand>(projected_ ? batch_ * output_stride_ : 0);
    d_hs_ = arena.take<S>(projected_ ? time_ * batch_ * outputs_ : 0);
    cell_outputs_ = arena.take<C>(projected_ ? time_ * batch_ * hidden_ : 0);
    sums_ = arena.take<S>(threads_ * kRowChunk * 4 * kVector);
    late_rows_ = arena.take<Operand>(d_xs_ ? threads_ * kRowChunk * gates_stride_ : 0);
    gradient_.lay_out(arena);
    if (projected_) projection_gradient_.lay_out(arena);
  }

  int64_t prepare_count() const { return h_.count + x_.count + cell_.count; }

  void prepare(int64_t task) {
    if (task < h_.count) return pack(h_, weight_hh_, outputs_, task);
    task -= h_.count;
    if (task < x_.count) return pack(x_, weight_ih_, inputs_, task);
    pack(cell_, weight_hr_, hidden_, task - x_.count);
  }

  void body(Team& team, int thread) {
    [[maybe_unused]] const typename Dot::Session session;
    const bool split_hidden = splits_hidden_units(team.size());
    // Whether to compute d_xs after the loop, because a step has too few rows for an efficient product.
    const bool late_inputs = split_hidden || batch_ <= 4 * team.size();
    const bool in_stack = neighbours_.before || neighbours_.own;
    Range rows = share(batch_, thread, team.size());
    convert_row(d_c_ + rows.begin * hidden_, (rows.end - rows.begin) * hidden_, d_c0_ + rows.begin * hidden_);
    if (mask_) clear(carried_ + rows.begin * outputs_, (rows.end - rows.begin) * outputs_);
    Range h_panels{0, h_.count}, cell_panels{0, cell_.count};
    if (split_hidden) {
      rows = {0, batch_};
      h_panels = share(h_.count, thread, team.size());
      cell_panels = share(cell_.count, thread, team.size());
      team.barrier(thread);
    }
    S* sums = sums_ + thread * kRowChunk * 4 * kVector;
    for (int64_t step = time_ - 1; step >= -1; --step) {
      if (neighbours_.before && step >= 0) neighbours_.before->wait_for(time_ - step);
      step_h(step, rows, h_panels, sums);
      if (split_hidden) team.barrier(thread);
      if (step < 0) break;
      if (projected_) {
        step_cell(step, rows, cell_panels, sums);
        if (split_hidden) team.barrier(thread);
      }
      if (d_xs_ && !late_inputs)
        for (int64_t first = rows.begin; first < rows.end; first += kRowChunk)
          inputs_of_rows(d_gates_buffers_[step % 2] + first * gates_stride_, index(step) * batch_ + first, smaller(kRowChunk, rows.end - first), sums);
      if (in_stack && step % kReported == 0) {
        const int64_t steps = smaller(kReported, time_ - step), first = smaller(index(step), index(step + steps - 1));
        if (d_xs_ && late_inputs) inputs_of_steps({first * batch_, (first + steps) * batch_}, thread, sums);
        if (neighbours_.own) neighbours_.own->reach(time_ - step);
      }
    }
    team.barrier(thread);
    if (d_xs_ && late_inputs && !in_stack) inputs_of_steps(share(time_ * batch_, thread, team.size()), thread, sums);
    weight_gradients(team, thread);
  }

 private:
  // A packed right-hand side: `count` panels, each `width` vectors of columns wide.
  struct Panels {
    int64_t columns, depth;
    int width;
    int64_t count, size;
    Operand* packed = nullptr;

    Panels(int64_t columns, int64_t depth, int threads)
        : columns(columns), depth(depth), width(choose_width(columns, kVector, threads)), count(divide_up(columns, width * kVector)),
          size(round_up(depth, Dot::group) * width * kVector) {}
    int width_of(int64_t panel) const { return static_cast<int>(smaller(width, divide_up(columns, kVector) - panel * width)); }
    // First column of vector v of a panel, and how many of its columns exist.
    int64_t column(int64_t panel, int64_t v) const { return (panel * width + v) * kVector; }
    int64_t present(int64_t panel, int64_t v) const { return smaller(kVector, columns - column(panel, v)); }
  };

  void pack(Panels& panels, const C* weight, int64_t stride, int64_t panel) {
    pack_columns<Dot>(weight, stride, panels.columns, panels.depth, panels.column(panel, 0), panels.width_of(panel), panels.packed + panel * panels.size);
  }

  void product(const Operand* a, int64_t stride, int64_t rows, const Panels& panels, int64_t panel, S* sums, const Operand* next = nullptr) const {
    panel_product<Dot>({a, stride, panels.depth}, {nullptr, 0, 0}, rows, panels.packed + panel * panels.size, panels.width_of(panel), nullptr, 0, sums, next);
  }

  // Gradient of h after `step` (of h0 for -1), from the following step; without a projection, then through the cell.
  void step_h(int64_t step, Range rows, Range panels, S* sums) {
    if (!projected_ && panels.end - panels.begin < h_.count)  // other threads have read these lines, and fetching them back takes long
      for (int64_t row = rows.begin; row < rows.end; ++row)
        for (int64_t gate = 0; gate < 4; ++gate)
          for (int64_t unit = h_.column(panels.begin, 0); unit < smaller(h_.column(panels.end, 0), hidden_); unit += kVector)
            __builtin_prefetch(d_gates_buffers_[step & 1] + row * gates_stride_ + gate * hidden_ + unit, 1);
    const bool down = goes_down(step);
    for (int64_t at = panels.begin; at < panels.end; ++at) {
      const int64_t panel = down ? panels.begin + panels.end - 1 - at : at;
      for (int64_t first = rows.begin; first < rows.end; first += kRowChunk) {
        const int64_t count = smaller(kRowChunk, rows.end - first);
        // The other rows use the same panel.
        const Operand* next = first == rows.begin ? next_panel(h_.packed, h_.size, panels, down ? panel - 1 : panel + 1) : nullptr;
        if (step < time_ - 1) product(d_gates_buffers_[(step + 1) % 2] + first * gates_stride_, gates_stride_, count, h_, panel, sums, next);
        else load_d_h(first, count, panel, sums);
        if (has_options_ || projected_) h_rows<true>(step, first, count, panel, sums);
        else h_rows<false>(step, first, count, panel, sums);
      }
    }
  }

  void load_d_h(int64_t first, int64_t rows, int64_t panel, S* sums) const {
    for (int64_t row = first; row < first + rows; ++row)
      for (int64_t v = 0; v < h_.width_of(panel); ++v, sums += kVector) V::store(sums, V::load(d_h_ + row * outputs_ + h_.column(panel, v), h_.present(panel, v)));
  }

  template <bool options>
  void h_rows(int64_t step, int64_t first, int64_t rows, int64_t panel, const S* sums) {
    const int width = h_.width_of(panel);
    for (int64_t row = first; row < first + rows; ++row)
      for (int64_t v = 0; v < width; ++v, sums += kVector) {
        const int64_t unit = h_.column(panel, v), count = h_.present(panel, v);
        V d_h = V::load(sums);
        if (options && step < time_ - 1 && is_reset(step + 1, row)) d_h = V::broadcast(0);
        S* carried = options && mask_ ? carried_ + row * outputs_ + unit : nullptr;
        if (carried) d_h = d_h + V::load(carried, count);
        if (step < 0) {
          V::store(d_h0_ + row * outputs_ + unit, d_h, count);
          continue;
        }
        const bool held = options && is_held(step, row);
        if (carried) V::store(carried, held && !is_reset(step, row) ? d_h : V::broadcast(0), count);
        const int64_t at_step = (index(step) * batch_ + row) * outputs_ + unit;
        d_h = held ? V::broadcast(0) : d_h + V::load(d_ys_ + at_step, count);
        if (options && projected_) {
          V::store(d_hs_ + at_step, d_h, count);
          V::store(d_h_operands_ + row * output_stride_ + unit, d_h, count);
        } else {
          cell<options>(step, row, unit, count, d_h, held);
        }
      }
  }

  void step_cell(int64_t step, Range rows, Range panels, S* sums) {
    for (int64_t panel = panels.begin; panel < panels.end; ++panel)
      for (int64_t first = rows.begin; first < rows.end; first += kRowChunk) {
        const int64_t count = smaller(kRowChunk, rows.end - first);
        const int width = cell_.width_of(panel);
        product(d_h_operands_ + first * output_stride_, output_stride_, count, cell_, panel, sums);
        for (int64_t m = 0; m < count; ++m)
          for (int64_t v = 0; v < width; ++v)
            cell<true>(step, first + m, cell_.column(panel, v), cell_.present(panel, v), V::load(sums + (m * width + v) * kVector),
                       is_held(step, first + m));
      }
  }

  // From the gradient of o * tanh(c) to the gradients of the gates and of the previous c.
  template <bool options>
  JAX_LSTM_MEMBER void cell(int64_t step, int64_t row, int64_t unit, int64_t count, V d_h, bool held) {
    const int64_t at_row = index(step) * batch_ + row, at_unit = at_row * hidden_ + unit, at_gates = at_row * gates_depth_ + unit;
    const bool reset = options && is_reset(step, row);
    S* d_c_state = d_c0_ + row * hidden_ + unit;
    V d_c = V::load(d_c_state, count), one = V::broadcast(1), zero = V::broadcast(0);
    V d_i = zero, d_f = zero, d_g = zero, d_o = zero, out = zero;
    if (!held) {
      const S* gates = gates_ + at_gates;
      V i = V::load(gates, count), f = V::load(gates + hidden_, count);
      V g = V::load(gates + 2 * hidden_, count), o = V::load(gates + 3 * hidden_, count);
      V c_before = step > 0 ? V::load(cs_ + (index(step - 1) * batch_ + row) * hidden_ + unit, count) : V::load(c0_ + row * hidden_ + unit, count);
      if (reset) c_before = zero;
      V tanh_c = tanh(V::load(cs_ + at_unit, count));
      V d_h_o = d_h * o;
      d_c = fma(d_h_o, fnma(tanh_c, tanh_c, one), d_c);
      d_i = d_c * g * (i * (one - i));
      d_f = d_c * c_before * (f * (one - f));
      d_g = d_c * i * fnma(g, g, one);
      d_o = d_h_o * tanh_c * (one - o);
      d_c = d_c * f;
      out = o * tanh_c;
    }
    V::store(d_c_state, reset ? zero : d_c, count);
    S* d_gates = d_gates_ + at_gates;
    V::store(d_gates, d_i, count);
    V::store(d_gates + hidden_, d_f, count);
    V::store(d_gates + 2 * hidden_, d_g, count);
    V::store(d_gates + 3 * hidden_, d_o, count);
    Operand* operands = d_gates_buffers_[step % 2] + row * gates_stride_ + unit;
    V::store(operands, d_i, count);
    V::store(operands + hidden_, d_f, count);
    V::store(operands + 2 * hidden_, d_g, count);
    V::store(operands + 3 * hidden_, d_o, count);
    if (options && projected_) V::store(cell_outputs_ + at_unit, out, count);
  }

  // d_xs of `count` rows from row `at` on (at most kRowChunk), given their d_gates as operands.
  void inputs_of_rows(const Operand* d_gates, int64_t at, int64_t count, S* sums) {
    for (int64_t panel = 0; panel < x_.count; ++panel) {
      const int width = x_.width_of(panel);
      product(d_gates, gates_stride_, count, x_, panel, sums, next_panel(x_.packed, x_.size, {0, x_.count}, (panel + 1) % x_.count));
      for (int64_t m = 0; m < count; ++m)
        for (int64_t v = 0; v < width; ++v)
          V::store(d_xs_ + (at + m) * inputs_ + x_.column(panel, v), V::load(sums + (m * width + v) * kVector), x_.present(panel, v));
    }
  }

  // d_xs of rows of all steps, numbered in the order of time.
  void inputs_of_steps(Range rows, int thread, S* sums) {
    Operand* operands = late_rows_ + thread * kRowChunk * gates_stride_;
    for (int64_t first = rows.begin; first < rows.end; first += kRowChunk) {
      const int64_t count = smaller(kRowChunk, rows.end - first);
      for (int64_t m = 0; m < count; ++m)
        for (int64_t k = 0; k < gates_depth_; k += kVector)
          V::store(operands + m * gates_stride_ + k, V::load(d_gates_ + (first + m) * gates_depth_ + k, gates_depth_ - k), gates_depth_ - k);
      inputs_of_rows(operands, first, count, sums);
    }
  }

  void weight_gradients(const Team& team, int thread) {
    // Right-hand side: the inputs, then h before the step. A masked step has zero gradients, but its values may be NaN, so it is loaded as zeros.
    auto load = [this](int64_t k, int64_t first, int64_t n, Operand* to) {
      const int64_t t = batch_ ? k / batch_ : 0, row = k - t * batch_, step = index(t);
      if (has_options_ && is_held(step, row)) return clear(to, n);
      const int64_t of_x = larger(0, smaller(n, inputs_ - first));
      if (of_x > 0) convert_row(xs_ + k * inputs_ + first, of_x, to);
      if (of_x == n) return;
      const int64_t unit = first + of_x - inputs_;
      if (has_options_ && is_reset(step, row)) return clear(to + of_x, n - of_x);
      if (step > 0) convert_row(hs_ + (index(step - 1) * batch_ + row) * outputs_ + unit, n - of_x, to + of_x);
      else convert_row(h0_ + row * outputs_ + unit, n - of_x, to + of_x);
    };
    auto store = [this](int64_t row, int64_t first, int64_t n, const S* sums) {
      const int64_t of_x = larger(0, smaller(n, inputs_ - first));
      if (of_x > 0) convert_row(sums, of_x, d_weight_ih_ + row * inputs_ + first);
      if (of_x < n) convert_row(sums + of_x, n - of_x, d_weight_hh_ + row * outputs_ + first + of_x - inputs_);
    };
    gradient_.compute(d_gates_, d_bias_, load, store, team, thread);
    if (projected_)
      projection_gradient_.compute(
          d_hs_, nullptr, [this](int64_t k, int64_t first, int64_t n, Operand* to) { convert_row(cell_outputs_ + k * hidden_ + first, n, to); },
          [this](int64_t row, int64_t first, int64_t n, const S* sums) { convert_row(sums, n, d_weight_hr_ + row * hidden_ + first); }, team, thread);
  }

  const int64_t threads_, gates_depth_;
  Panels h_, x_, cell_;
  WeightGradient<Dot> gradient_, projection_gradient_;
  const C *d_ys_, *xs_, *weight_ih_, *weight_hh_, *weight_hr_, *hs_;
  const S *d_h_, *d_c_, *h0_, *c0_, *cs_, *gates_;
  C *d_xs_, *d_weight_ih_, *d_weight_hh_, *d_weight_hr_;
  S *d_bias_, *d_h0_, *d_c0_, *d_gates_;

  // Scratch memory.
  int64_t gates_stride_ = 0, output_stride_ = 0;
  Operand *d_gates_buffers_[2] = {}, *d_h_operands_ = nullptr, *late_rows_ = nullptr;
  S *carried_ = nullptr, *d_hs_ = nullptr, *sums_ = nullptr;
  C* cell_outputs_ = nullptr;
};

}  // namespace JAX_LSTM_ISA
}  // namespace jax_lstm
