// Packs weights into panels (see tile.h) and converts rows to operands.
#pragma once

namespace jax_lstm {
namespace JAX_LSTM_ISA {

// Types that go with the element type C of inputs and weights. For bfloat16, state and sums are float32. Products use bfloat16 only if the CPU has
// instructions for it; otherwise packing converts the operands to float32.
template <class C>
struct Types {
  using State = C;
  using Dot = PlainDot<C>;
};
template <>
struct Types<bfloat16> {
  using State = float;
  using Dot = JAX_LSTM_BFLOAT16_DOT;
};

// Converts one element.
JAX_LSTM_INLINE void convert(float from, float& to) { to = from; }
JAX_LSTM_INLINE void convert(double from, double& to) { to = from; }
JAX_LSTM_INLINE void convert(bfloat16 from, bfloat16& to) { to = from; }
JAX_LSTM_INLINE void convert(bfloat16 from, float& to) { to = to_float(from); }
JAX_LSTM_INLINE void convert(float from, bfloat16& to) { to = to_bfloat16(from); }

template <class From, class To>
JAX_LSTM_INLINE void convert_row(const From* from, int64_t n, To* to) {
  for (int64_t i = 0; i < n; ++i) convert(from[i], to[i]);
}
template <class T>
JAX_LSTM_INLINE void convert_row(const T* from, int64_t n, T* to) {
  if (n > 0) std::memcpy(to, from, static_cast<size_t>(n) * sizeof(T));  // the pointers may be null if n is 0
}
template <class T>
JAX_LSTM_INLINE void clear(T* to, int64_t n) {
  if (n > 0) std::memset(static_cast<void*>(to), 0, static_cast<size_t>(n) * sizeof(T));
}

// Transposes `width` vectors by interleaving them log2(width) times.
template <class T>
JAX_LSTM_INLINE void transpose(Vec<T> (&rows)[Vec<T>::width]) {
  constexpr int width = Vec<T>::width;
#pragma GCC unroll 4
  for (int round = 1; round < width; round *= 2) {
    Vec<T> next[width];
#pragma GCC unroll 8
    for (int i = 0; i < width / 2; ++i) {
      next[2 * i] = Vec<T>::zip_low(rows[i], rows[i + width / 2]);
      next[2 * i + 1] = Vec<T>::zip_high(rows[i], rows[i + width / 2]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < width; ++i) rows[i] = next[i];
  }
}

// to[k * to_stride + j] = from[j * from_stride + k] for j < count, and 0 for the other j below the vector width.
template <class T>
void pack_transposed(const T* from, int64_t from_stride, int64_t count, int64_t depth, T* to, int64_t to_stride) {
  constexpr int width = Vec<T>::width;
  for (int64_t k = 0; k < depth; k += width) {
    const int64_t n = smaller(width, depth - k);
    Vec<T> rows[width];
#pragma GCC unroll 16
    for (int j = 0; j < width; ++j) rows[j] = j < count ? Vec<T>::load(from + j * from_stride + k, n) : Vec<T>::broadcast(0);
    transpose<T>(rows);
#pragma GCC unroll 16
    for (int i = 0; i < width; ++i)
      if (i < n) Vec<T>::store(to + (k + i) * to_stride, rows[i]);
  }
}

// The same for operands of another type than the array, or stored in pairs.
template <class Dot, class C>
void pack_transposed_slowly(const C* from, int64_t from_stride, int64_t count, int64_t depth, typename Dot::Operand* to, int64_t to_stride) {
  constexpr int width = Vec<typename Dot::Sum>::width, group = Dot::group;
  for (int64_t k = 0; k < round_up(depth, group); ++k)
    for (int64_t j = 0; j < width; ++j) {
      typename Dot::Operand& element = to[k / group * group * to_stride + j * group + k % group];
      if (j < count && k < depth) convert(from[j * from_stride + k], element);
      else clear(&element, 1);
    }
}

// Packs `count` rows of weights, each of `depth` elements and `from_stride` apart, as one vector of columns of a panel. Consecutive k are
// `to_stride` apart in the panel, and stored in groups of Dot::group.
template <class Dot, class C>
void pack_rows_as_columns(const C* from, int64_t from_stride, int64_t count, int64_t depth, typename Dot::Operand* to, int64_t to_stride) {
  if constexpr (Dot::group == 1 && sizeof(C) == sizeof(typename Dot::Operand)) {
    pack_transposed<C>(from, from_stride, count, depth, to, to_stride);
  } else if constexpr (Dot::group == 2) {
    // A pair of bfloat16 is moved as one float.
    const int64_t pairs = depth / 2;
    constexpr int width = Vec<float>::width;
    for (int64_t k = 0; k < pairs; k += width) {
      const int64_t n = smaller(width, pairs - k);
      Vec<float> rows[width];
#pragma GCC unroll 16
      for (int j = 0; j < width; ++j)
        rows[j] = j < count ? Vec<float>::load(reinterpret_cast<const float*>(from + j * from_stride + k * 2), n) : Vec<float>::broadcast(0);
      transpose<float>(rows);
#pragma GCC unroll 16
      for (int i = 0; i < width; ++i)
        if (i < n) Vec<float>::store(reinterpret_cast<float*>(to + (k + i) * 2 * to_stride), rows[i]);
    }
    if (depth % 2)
      pack_transposed_slowly<Dot>(from + pairs * 2, from_stride, count, int64_t{1}, to + pairs * 2 * to_stride, to_stride);
  } else {
    pack_transposed_slowly<Dot>(from, from_stride, count, depth, to, to_stride);
  }
}

// Packs columns [first, first + width * vector) of a matrix of `depth` rows as a panel.
template <class Dot, class C>
void pack_columns(const C* from, int64_t from_stride, int64_t columns, int64_t depth, int64_t first, int width, typename Dot::Operand* to) {
  constexpr int64_t vector = Vec<typename Dot::Sum>::width;
  constexpr int group = Dot::group;
  const int64_t wide = width * vector, present = smaller(wide, columns - first);
  for (int64_t k = 0; k < depth; k += group, to += wide * group) {
    if (present < wide || k + group > depth) clear(to, wide * group);
    const C* row = from + k * from_stride + first;
    if constexpr (group == 1) {
      convert_row(row, present, to);
    } else if (present == wide && k + 1 < depth) {
      Dot::interleave(row, row + from_stride, wide, to);
    } else {
      for (int64_t j = 0; j < present; ++j) convert(row[j], to[j * 2]);
      if (k + 1 < depth)
        for (int64_t j = 0; j < present; ++j) convert(row[from_stride + j], to[j * 2 + 1]);
    }
  }
}

// Hands out parts of one block of memory, each aligned to a cache line. Without memory it only counts the bytes needed.
class Arena {
 public:
  explicit Arena(void* memory = nullptr) : memory_(static_cast<char*>(memory)) {}
  template <class T>
  T* take(int64_t count) {
    char* part = memory_ ? memory_ + used_ : nullptr;
    used_ += static_cast<size_t>(round_up(static_cast<int64_t>(larger(count, 0) * static_cast<int64_t>(sizeof(T))), 64));
    return reinterpret_cast<T*>(part);
  }
  size_t used() const { return used_; }

 private:
  char* memory_;
  size_t used_ = 0;
};

// Stride for rows of n elements, padded so that successive rows do not fall on the same lines of the L1 cache.
template <class T>
JAX_LSTM_INLINE int64_t padded_stride(int64_t n) {
  return round_up(n, 64 / sizeof(T)) + 64 / static_cast<int64_t>(sizeof(T));
}

}  // namespace JAX_LSTM_ISA
}  // namespace jax_lstm
