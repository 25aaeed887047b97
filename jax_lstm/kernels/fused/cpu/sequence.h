// What the forward and backward passes share: the sizes of one member, the time order, the mask and the resets.
#pragma once

namespace jax_lstm {
namespace JAX_LSTM_ISA {

class Sequence {
 protected:
  Sequence(const Args& args, int64_t member)
      : time_(args.shape.time), batch_(args.shape.batch), inputs_(args.shape.input_size), hidden_(args.shape.hidden_size),
        outputs_(args.shape.output_size), reverse_(args.reverse), projected_(args.weight_hr != nullptr),
        has_options_(args.mask || args.resets), mask_(at<bool>(args.mask, member, time_ * batch_)),
        resets_(at<bool>(args.resets, member, time_ * batch_)) {}

  // The multiplications for one row at one step. Packing the weights takes about as long as kPackingRows more rows.
  static constexpr double kPackingRows = 6;
  static double weights(const Args& args) {
    const Shape& s = args.shape;
    return static_cast<double>(s.hidden_size) *
           (4.0 * static_cast<double>(s.input_size + s.output_size) + (args.weight_hr ? static_cast<double>(s.output_size) : 0.0));
  }

  // The part of an array that belongs to one member; null if the array is absent.
  template <class T>
  static T* at(void* array, int64_t member, int64_t size) {
    return array ? static_cast<T*>(array) + member * size : nullptr;
  }

  // Time index of a step; steps are counted in processing order.
  int64_t index(int64_t step) const { return reverse_ ? time_ - 1 - step : step; }
  bool is_reset(int64_t step, int64_t row) const { return resets_ && step < time_ && resets_[index(step) * batch_ + row]; }
  bool is_held(int64_t step, int64_t row) const { return mask_ && !mask_[index(step) * batch_ + row]; }

  const int64_t time_, batch_, inputs_, hidden_, outputs_;
  const bool reverse_, projected_, has_options_;
  const bool *mask_, *resets_;
};

}  // namespace JAX_LSTM_ISA
}  // namespace jax_lstm
