// What the forward and backward passes share: the sizes of one member, how threads divide it, the time order, the mask and the resets.
#pragma once

namespace jax_lstm {
namespace JAX_LSTM_ISA {

class Sequence {
 protected:
  // Threads share the hidden units if each would otherwise have at most `rows` rows of the batch, and would then read at least `bytes` bytes of weights
  // at a step.
  struct Sharing {
    double rows;
    int64_t bytes;
  };

  // A packed weight has elements of `bytes` bytes. `few_rows` is that of the Dot (tile.h).
  Sequence(const Args& args, int64_t member, Neighbours neighbours, int64_t bytes, int64_t few_rows, Sharing sharing)
      : time_(args.shape.time), batch_(args.shape.batch), inputs_(args.shape.input_size), hidden_(args.shape.hidden_size),
        outputs_(args.shape.output_size), bytes_(bytes), few_rows_(few_rows), sharing_(sharing), neighbours_(neighbours),
        reverse_(args.reverse), projected_(args.weight_hr != nullptr), has_options_(args.mask || args.resets),
        mask_(at<bool>(args.mask, member, time_ * batch_)), resets_(at<bool>(args.resets, member, time_ * batch_)) {}

  static constexpr int64_t kSecondLevel = 1 << 20;  // bytes of a thread's second-level cache, at least on the CPUs that were measured

  // The multiplications for one row at one step. Packing the weights takes about as long as kPackingRows more rows.
  static constexpr double kPackingRows = 6;
  static double weights(const Args& args) {
    const Shape& s = args.shape;
    return static_cast<double>(s.hidden_size) *
           (4.0 * static_cast<double>(s.input_size + s.output_size) + (args.weight_hr ? static_cast<double>(s.output_size) : 0.0));
  }

  // Whether threads share the hidden units, with a barrier at every step, rather than each having its own rows of the batch. They do with very few
  // rows, unless a step takes no longer than the barrier; and if weight_hh is too large for a thread's second-level cache, also with more rows.
  bool splits_hidden_units(int64_t threads) const {
    if (threads == 1) return false;
    const Split forced = forced_split();
    if (forced != Split::choose) return forced == Split::hidden;
    if (static_cast<double>(batch_) <= sharing_.rows * static_cast<double>(threads) && step_bytes() >= sharing_.bytes * threads) return true;
    return waits_for(weight_bytes(outputs_), kSecondLevel, threads) && (batch_ < 4 * threads || (batch_ <= outputs_ && hidden_ >= 64 * threads));
  }

  // How many of `threads` threads share the hidden units: all of them; or, if that is more than there are rows, as many as still read enough
  // bytes each; 0 if each has its own rows instead.
  int64_t sharing_threads(int64_t threads) const {
    if (splits_hidden_units(threads)) return threads;
    const int64_t enough = smaller(threads, step_bytes() / sharing_.bytes);
    return enough > batch_ && splits_hidden_units(enough) ? enough : 0;
  }

  // Whether the layers of a stack should advance together, each on a thread of its own; `parts` threads at most have work then. With few rows they
  // do, unless more threads than that can share the hidden units or the rows.
  bool advances_with_others(int64_t parts, int64_t threads) const {
    return batch_ <= kFewRowsOfStack && larger(sharing_threads(threads), smaller(batch_, threads)) <= parts;
  }

  // After how many steps a layer reports its progress: often enough for the next layer to start soon, not so often that the cores wait for the line.
  static constexpr int64_t kReported = 8;
  static constexpr int64_t kFewRowsOfStack = 4;

  // What a step reads of the weights: weight_ih serves several steps, say four (see Forward::choose_steps_ahead).
  int64_t step_bytes() const { return weight_bytes(outputs_ + inputs_ / 4); }

  // Of a packed weight with `columns` columns.
  int64_t weight_bytes(int64_t columns) const { return 4 * hidden_ * columns * bytes_; }

  // Whether a step takes its panels from the last to the first. Every other step does: it begins with the panels that the step before has just read,
  // which are still in a cache that does not hold all of them.
  static bool goes_down(int64_t step) { return step & 1; }

  // Panel `number`, to be fetched during the product before it. Null if there is none, or if the panels fit into the second-level cache, so that they
  // stay there from one step to the next.
  template <class Operand>
  static const Operand* next_panel(const Operand* packed, int64_t size, Range panels, int64_t number) {
    const int64_t bytes = (panels.end - panels.begin) * size * static_cast<int64_t>(sizeof(Operand));
    return bytes > kSecondLevel && number >= panels.begin && number < panels.end ? packed + number * size : nullptr;
  }

  // Whether a step waits for a weight rather than for its products: the weight does not fit into `cache` bytes, and rows are few.
  bool waits_for(int64_t weight, int64_t cache, int64_t threads) const { return weight > cache && batch_ <= few_rows_ * threads; }

  // The part of an array that belongs to one member; null if the array is absent.
  template <class T>
  static T* at(void* array, int64_t member, int64_t size) {
    return array ? static_cast<T*>(array) + member * size : nullptr;
  }

  // Time index of a step; steps are counted in processing order.
  int64_t index(int64_t step) const { return reverse_ ? time_ - 1 - step : step; }
  bool is_reset(int64_t step, int64_t row) const { return resets_ && step < time_ && resets_[index(step) * batch_ + row]; }
  bool is_held(int64_t step, int64_t row) const { return mask_ && !mask_[index(step) * batch_ + row]; }

  const int64_t time_, batch_, inputs_, hidden_, outputs_, bytes_, few_rows_;
  const Sharing sharing_;
  const Neighbours neighbours_;
  const bool reverse_, projected_, has_options_;
  const bool *mask_, *resets_;
};

}  // namespace JAX_LSTM_ISA
}  // namespace jax_lstm
