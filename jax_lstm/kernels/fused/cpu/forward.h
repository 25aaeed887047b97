// The forward pass of one layer over a whole sequence.
//
// Weights are packed once into panels of one vector of hidden units by four gates, so that a tile holds all four gates of its units and the
// activations can be applied at once. h is kept in the operand type in two buffers: each step reads one and writes the other. Masks and resets are
// applied when h is written, so the products need not know about them.
#pragma once

namespace jax_lstm {
namespace JAX_LSTM_ISA {

template <class C>
class Forward : Sequence {
  using S = typename Types<C>::State;
  using Dot = typename Types<C>::Dot;
  using Operand = typename Dot::Operand;
  using V = Vec<S>;
  static constexpr int64_t kVector = V::width;
  static constexpr int64_t kColumns = 4 * kVector;  // of a panel of gates
  static constexpr int64_t kRowChunk = Dot::row_chunk;
  static constexpr bool kConverts = sizeof(C) != sizeof(Operand);

 public:
  static double flops(const Args& args) {
    const Shape& s = args.shape;
    return 2.0 * weights(args) * (static_cast<double>(s.time) * static_cast<double>(s.batch) + kPackingRows);
  }

  static int64_t layer(int64_t place, int64_t /* count */) { return place; }

  Forward(const Args& args, int64_t member, int threads, Neighbours neighbours)
      : Sequence(args, member, neighbours, sizeof(Operand), Dot::few_rows, {2, 32 << 10}), saves_(args.gates != nullptr),
        direct_(!kConverts && Dot::group == 1 && time_ * batch_ <= kDirectRows),
        threads_(threads), steps_ahead_(choose_steps_ahead()), gate_panels_(divide_up(hidden_, kVector)),
        input_depth_(round_up(inputs_, Dot::group)), hidden_depth_(round_up(hidden_, Dot::group)),
        output_depth_(round_up(outputs_, Dot::group)), projection_width_(choose_width(outputs_, kVector, threads)),
        projection_panels_(projected_ ? divide_up(outputs_, projection_width_ * kVector) : 0) {
    const int64_t steps = time_ * batch_;
    xs_ = at<C>(args.xs, member, steps * inputs_);
    weight_ih_ = at<C>(args.weight_ih, member, 4 * hidden_ * inputs_);
    weight_hh_ = at<C>(args.weight_hh, member, 4 * hidden_ * outputs_);
    bias_ih_ = at<S>(args.bias_ih, member, 4 * hidden_);
    bias_hh_ = at<S>(args.bias_hh, member, 4 * hidden_);
    weight_hr_ = at<C>(args.weight_hr, member, outputs_ * hidden_);
    h0_ = at<S>(args.h0, member, batch_ * outputs_);
    c0_ = at<S>(args.c0, member, batch_ * hidden_);
    ys_ = at<C>(args.ys, member, steps * outputs_);
    h_ = at<S>(args.h, member, batch_ * outputs_);
    c_ = at<S>(args.c, member, batch_ * hidden_);
    gates_ = at<S>(args.gates, member, steps * 4 * hidden_);
    cs_ = at<S>(args.cs, member, steps * hidden_);
    hs_ = at<C>(args.hs, member, steps * outputs_);
  }

  int busy_threads() const {
    if (forced_split() != Split::choose) return static_cast<int>(threads_);
    if (const int64_t sharing = sharing_threads(threads_)) return static_cast<int>(smaller(sharing, larger(gate_panels_, projection_panels_)));
    return static_cast<int>(larger(1, smaller(threads_, batch_ / Dot::least_rows)));
  }

  using Sequence::advances_with_others;

  void lay_out(Arena& arena) {
    panel_size_ = (input_depth_ + output_depth_) * kColumns;
    panels_ = arena.take<Operand>(direct_ ? 0 : gate_panels_ * panel_size_);
    bias_panels_ = arena.take<S>(direct_ ? 0 : gate_panels_ * kColumns);
    projection_panel_size_ = hidden_depth_ * projection_width_ * kVector;
    projection_ = arena.take<Operand>(projection_panels_ * projection_panel_size_);
    h_stride_ = padded_stride<Operand>(outputs_);
    for (Operand*& buffer : h_buffers_) buffer = arena.take<Operand>(batch_ * h_stride_);
    cell_stride_ = padded_stride<Operand>(hidden_);
    cell_outputs_ = arena.take<Operand>(projected_ ? batch_ * cell_stride_ : 0);
    x_stride_ = kConverts ? padded_stride<Operand>(inputs_) : inputs_;
    converted_xs_ = arena.take<Operand>(kConverts ? threads_ * batch_ * x_stride_ : 0);
    ahead_ = arena.take<S>(steps_ahead_ > 1 ? gate_panels_ * steps_ahead_ * batch_ * kColumns : 0);
    sums_ = arena.take<S>(threads_ * kRowChunk * kColumns);
  }

  int64_t prepare_count() const { return (direct_ ? 0 : gate_panels_) + projection_panels_; }

  void prepare(int64_t task) {
    if (!direct_ && task < gate_panels_) return pack_gate_panel(task);
    const int64_t panel = direct_ ? task : task - gate_panels_, columns = projection_width_ * kVector;
    Operand* to = projection_ + panel * projection_panel_size_;
    for (int64_t v = 0; v < projection_width_; ++v) {
      const int64_t first = panel * columns + v * kVector;
      pack_rows_as_columns<Dot>(weight_hr_ + smaller(first, outputs_) * hidden_, hidden_, larger(0, smaller(kVector, outputs_ - first)), hidden_,
                                to + v * kVector * Dot::group, columns);
    }
  }

  void body(Team& team, int thread) {
    [[maybe_unused]] const typename Dot::Session session;
    const bool split_hidden = splits_hidden_units(team.size());
    Range rows = share(batch_, thread, team.size());
    for (int64_t row = rows.begin; row < rows.end; ++row) start_row(row);
    Range panels{0, gate_panels_}, projections{0, projection_panels_};
    if (split_hidden) {
      rows = {0, batch_};
      panels = share(gate_panels_, thread, team.size());
      projections = share(projection_panels_, thread, team.size());
      team.barrier(thread);
    }
    for (int64_t step = 0; step < time_; ++step) {
      if (neighbours_.before && step % steps_ahead_ == 0) neighbours_.before->wait_for(smaller(time_, step + steps_ahead_));
      step_gates(step, rows, panels, thread);
      if (split_hidden) team.barrier(thread);
      if (projected_) {
        step_projection(step, rows, projections, thread);
        if (split_hidden) team.barrier(thread);
      }
      if (neighbours_.own && ((step + 1) % kReported == 0 || step + 1 == time_)) neighbours_.own->reach(step + 1);
    }
  }

 private:
  void pack_gate_panel(int64_t panel) {
    const int64_t first = panel * kVector, count = smaller(kVector, hidden_ - first);
    Operand* to = panels_ + panel * panel_size_;
    for (int64_t gate = 0; gate < 4; ++gate) {
      const int64_t row = gate * hidden_ + first, offset = gate * kVector * Dot::group;
      pack_rows_as_columns<Dot>(weight_ih_ + row * inputs_, inputs_, count, inputs_, to + offset, kColumns);
      pack_rows_as_columns<Dot>(weight_hh_ + row * outputs_, outputs_, count, outputs_, to + input_depth_ * kColumns + offset, kColumns);
      V::store(bias_panels_ + panel * kColumns + gate * kVector, bias(row, count));
    }
  }

  // Sum of both biases, or zero without them.
  JAX_LSTM_MEMBER V bias(int64_t row, int64_t count) const {
    return bias_ih_ ? V::load(bias_ih_ + row, count) + V::load(bias_hh_ + row, count) : V::broadcast(0);
  }

  void start_row(int64_t row) {
    Operand* to = h_buffers_[0] + row * h_stride_;
    if (is_reset(0, row)) clear(to, outputs_);
    else convert_row(h0_ + row * outputs_, outputs_, to);
    convert_row(h0_ + row * outputs_, outputs_, h_ + row * outputs_);
    convert_row(c0_ + row * hidden_, hidden_, c_ + row * hidden_);
  }

  void step_gates(int64_t step, Range rows, Range panels, int thread) {
    const int64_t t = index(step);
    const Operand* x = input_rows(t, rows, thread);
    const Operand* h = h_buffers_[step % 2];
    if (steps_ahead_ > 1 && step % steps_ahead_ == 0) look_ahead(step, rows, panels);
    if (!projected_ && panels.end - panels.begin < gate_panels_)  // other threads have read these lines, and fetching them back takes long
      for (int64_t row = rows.begin; row < rows.end; ++row)
        for (int64_t panel = panels.begin; panel < panels.end; ++panel)
          __builtin_prefetch(h_buffers_[(step + 1) % 2] + row * h_stride_ + panel * kVector, 1);
    S* sums = sums_ + thread * kRowChunk * kColumns;
    const int64_t together = Dot::group == 1 && !direct_ && rows.end - rows.begin <= 8 ? 2 : 1;  // the gates of a panel wait for its product
    const bool down = goes_down(step);
    for (int64_t at = panels.begin; at < panels.end; at += together) {
      const int64_t number = smaller(together, panels.end - at), panel = down ? panels.begin + panels.end - at - number : at;
      for (int64_t first = rows.begin; first < rows.end; first += kRowChunk) {
        const int64_t count = smaller(kRowChunk, rows.end - first);
        // The other rows use the same panel.
        const Operand* next = first == rows.begin && together == 1 && !direct_ ? next_panel(panels_, panel_size_, panels, down ? panel - 1 : panel + 1) : nullptr;
        products(step, {x + first * x_stride_, x_stride_, inputs_}, {h + first * h_stride_, h_stride_, outputs_}, rows, first, count, panel, number, sums,
                 next);
        for (int64_t each = 0; each < number; ++each) {
          if (has_options_) cells<true>(step, first, count, panel + each, sums + each * count * kColumns);
          else cells<false>(step, first, count, panel + each, sums + each * count * kColumns);
        }
      }
    }
  }

  // The sums of the gates of `count` rows from row `first` of the batch on, for the units of `number` panels.
  void products(int64_t step, Rows<Dot> x, Rows<Dot> h, Range rows, int64_t first, int64_t count, int64_t panel, int64_t number, S* sums, const Operand* next) {
    if (direct_) return direct_gates(x.a, h.a, count, panel, sums);
    const Operand* weights = panels_ + panel * panel_size_;
    const S* init = bias_panels_ + panel * kColumns;
    int64_t init_stride = 0, init_size = kColumns;
    if (steps_ahead_ > 1) {
      x = h;
      h = {nullptr, 0, 0};
      weights += input_depth_ * kColumns;
      if (next) next += input_depth_ * kColumns;
      init = ahead(panel, step % steps_ahead_, rows, first);
      init_stride = kColumns;
      init_size = batch_ * steps_ahead_ * kColumns;
    }
    if constexpr (Dot::group == 1)
      if (count == 1 && number == 2) return two_panel_product<Dot>(x, h, weights, panel_size_, init, init_size, sums);
    for (int64_t each = 0; each < number; ++each)
      panel_product<Dot>(x, h, count, weights + each * panel_size_, 4, init + each * init_size, init_stride, sums + each * count * kColumns, next);
  }

  // For how many steps at once to compute the inputs' part of the gates. Several fill a tile if one step does not, and read a large weight_ih less
  // often. The results are stored, which costs more than it saves if there are fewer inputs than about twice the rows. A layer that waits for its
  // inputs fills a single tile, so that it starts early.
  int64_t choose_steps_ahead() const {
    const int64_t tile = Dot::tile_rows(4), rows = splits_hidden_units(threads_) ? batch_ : divide_up(batch_, threads_);
    if (kConverts || direct_ || batch_ == 0) return 1;
    if (rows < tile && (rows == batch_ || rows == 1)) return smaller(time_, (neighbours_.before ? 1 : 4) * tile / rows);
    return waits_for(weight_bytes(inputs_), 1 << 18, threads_) && inputs_ >= 2 * batch_ ? smaller(time_, 4) : 1;
  }

  void look_ahead(int64_t step, Range rows, Range panels) {
    if constexpr (!kConverts) {
      const int64_t steps = smaller(steps_ahead_, time_ - step), count = rows.end - rows.begin;
      // Steps are computed together if all their rows are evenly spaced in memory.
      const bool even = count == 1 || (count == batch_ && !reverse_);
      const int64_t stride = count > 1 ? inputs_ : reverse_ ? -batch_ * inputs_ : batch_ * inputs_;
      for (int64_t panel = panels.begin; panel < panels.end; ++panel)
        for (int64_t s = 0; s < steps; s += even ? steps : 1)
          panel_product<Dot>({xs_ + (index(step + s) * batch_ + rows.begin) * inputs_, stride, inputs_}, {nullptr, 0, 0}, even ? steps * count : count,
                             panels_ + panel * panel_size_, 4, bias_panels_ + panel * kColumns, 0, ahead(panel, s, rows, rows.begin));
    }
  }
  // The steps of one thread's rows are adjacent.
  S* ahead(int64_t panel, int64_t step, Range rows, int64_t row) const {
    return ahead_ + ((panel * batch_ + rows.begin) * steps_ahead_ + step * (rows.end - rows.begin) + row - rows.begin) * kColumns;
  }

  // The same sums as the product with a packed panel, from unpacked weights.
  void direct_gates(const Operand* x, const Operand* h, int64_t rows, int64_t panel, S* sums) {
    if constexpr (!kConverts && Dot::group == 1) {
      const int64_t first = panel * kVector, count = smaller(kVector, hidden_ - first);
      for (int64_t m = 0; m < rows; ++m)
        for (int64_t gate = 0; gate < 4; ++gate) {
          const int64_t unit = gate * hidden_ + first;
          V sum = add_dots<S>(weight_ih_ + unit * inputs_, count, inputs_, x + m * x_stride_, bias(unit, count));
          sum = add_dots<S>(weight_hh_ + unit * outputs_, count, outputs_, h + m * h_stride_, sum);
          V::store(sums + m * kColumns + gate * kVector, sum);
        }
    }
  }

  // Rows of the inputs in the operand type, indexed by row of the batch.
  const Operand* input_rows(int64_t t, Range rows, int thread) {
    if constexpr (kConverts) {
      Operand* to = converted_xs_ + thread * batch_ * x_stride_;
      for (int64_t row = rows.begin; row < rows.end; ++row) convert_row(xs_ + (t * batch_ + row) * inputs_, inputs_, to + row * x_stride_);
      return to;
    } else {
      (void)rows;
      (void)thread;
      return xs_ + t * batch_ * inputs_;
    }
  }

  template <bool options>
  void cells(int64_t step, int64_t first_row, int64_t rows, int64_t panel, const S* sums) {
    const int64_t t = index(step), unit = panel * kVector, count = smaller(kVector, hidden_ - unit);
    for (int64_t m = 0; m < rows; ++m, sums += kColumns) {
      const int64_t row = first_row + m;
      S* c_state = c_ + row * hidden_ + unit;
      S* saved_gates = saves_ ? gates_ + (t * batch_ + row) * 4 * hidden_ + unit : nullptr;
      V c = V::load(c_state, count);
      if (options && is_reset(step, row)) c = V::broadcast(0);
      V i = V::broadcast(0), f = i, g = i, o = i, h = i;
      const bool held = options && is_held(step, row);
      if (!held) {
        i = sigmoid(V::load(sums));
        f = sigmoid(V::load(sums + kVector));
        g = tanh(V::load(sums + 2 * kVector));
        o = sigmoid(V::load(sums + 3 * kVector));
        c = fma(f, c, i * g);
        h = o * tanh(c);
      }
      V::store(c_state, c, count);
      if (saves_) {
        V::store(saved_gates, i, count);
        V::store(saved_gates + hidden_, f, count);
        V::store(saved_gates + 2 * hidden_, g, count);
        V::store(saved_gates + 3 * hidden_, o, count);
        V::store(cs_ + (t * batch_ + row) * hidden_ + unit, c, count);
      }
      if (projected_) V::store(cell_outputs_ + row * cell_stride_ + unit, h, count);
      else emit<options>(step, row, unit, count, h, held);
    }
  }

  void step_projection(int64_t step, Range rows, Range panels, int thread) {
    const int64_t columns = projection_width_ * kVector;
    S* sums = sums_ + thread * kRowChunk * kColumns;
    for (int64_t panel = panels.begin; panel < panels.end; ++panel)
      for (int64_t first = rows.begin; first < rows.end; first += kRowChunk) {
        const int64_t count = smaller(kRowChunk, rows.end - first);
        panel_product<Dot>({cell_outputs_ + first * cell_stride_, cell_stride_, hidden_}, {nullptr, 0, 0}, count,
                           projection_ + panel * projection_panel_size_, projection_width_, nullptr, 0, sums);
        for (int64_t m = 0; m < count; ++m)
          for (int64_t v = 0; v < projection_width_; ++v) {
            const int64_t unit = panel * columns + v * kVector, present = smaller(kVector, outputs_ - unit);
            if (present > 0) emit<true>(step, first + m, unit, present, V::load(sums + m * columns + v * kVector), is_held(step, first + m));
          }
      }
  }

  // Writes part of h to the outputs, the state and the operand of the next step.
  template <bool options>
  JAX_LSTM_MEMBER void emit(int64_t step, int64_t row, int64_t unit, int64_t count, V h, bool held) {
    const int64_t at_step = (index(step) * batch_ + row) * outputs_ + unit;
    S* state = h_ + row * outputs_ + unit;
    V y = h;
    if (options && held) {
      h = is_reset(step, row) ? V::broadcast(0) : V::load(state, count);
      y = V::broadcast(0);
    }
    V::store(ys_ + at_step, y, count);
    if (options || step == time_ - 1) V::store(state, h, count);
    if (options && hs_) V::store(hs_ + at_step, h, count);
    if (options && is_reset(step + 1, row)) h = V::broadcast(0);
    V::store(h_buffers_[(step + 1) % 2] + row * h_stride_ + unit, h, count);
  }

  const bool saves_, direct_;
  const int64_t threads_, steps_ahead_, gate_panels_, input_depth_, hidden_depth_, output_depth_;
  const int projection_width_;
  const int64_t projection_panels_;
  const C *xs_, *weight_ih_, *weight_hh_, *weight_hr_;
  const S *bias_ih_, *bias_hh_, *h0_, *c0_;
  C *ys_, *hs_;
  S *h_, *c_, *gates_, *cs_;

  // Scratch memory.
  int64_t panel_size_ = 0, projection_panel_size_ = 0, h_stride_ = 0, cell_stride_ = 0, x_stride_ = 0;
  Operand *panels_ = nullptr, *projection_ = nullptr, *h_buffers_[2] = {}, *cell_outputs_ = nullptr, *converted_xs_ = nullptr;
  S *bias_panels_ = nullptr, *ahead_ = nullptr, *sums_ = nullptr;
};

}  // namespace JAX_LSTM_ISA
}  // namespace jax_lstm
