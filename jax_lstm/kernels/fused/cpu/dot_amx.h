// Products of bfloat16 matrices on the tile registers of AMX, accumulated in float32 by tdpbf16ps. tile.h explains what a Dot is.
//
// A tile register has up to 16 rows of 64 bytes. Panels are packed as for Bfloat16Dot: 16 pairs of k by 16 columns of a panel are one register. The
// left-hand side fills a register with up to 16 rows of 32 k. What is left of a depth, less than 32 k, is added by Bfloat16Dot; weight gradients are
// padded with zeros instead.
#pragma once

namespace jax_lstm {
namespace JAX_LSTM_ISA {

// The rows of a tile that the registers of this thread are configured for; 0 if they are not.
inline thread_local int64_t configured_rows = 0;

struct AmxDot : Bfloat16Dot {
  static constexpr int depth = 32, row_chunk = 64, few_rows = 16, least_rows = 4;

  JAX_LSTM_INLINE int64_t tile_rows(int /* width */) { return 32; }

  // Other code of this thread may use the registers between two sessions.
  struct Session {
    Session() { configured_rows = 0; }
    ~Session() { _tile_release(); }
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
  };

  // A block of 32 rows is stored as registers: [k / 32][2][16][32].
  JAX_LSTM_INLINE void pack(const float* row, const float* next, int64_t count, int64_t k, int64_t rows, int64_t /* most */, bfloat16* block) {
    const __m512i register_rows = _mm512_slli_epi32(_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0), 4);
    bfloat16* to = block + k / depth * rows * depth + k % depth;
    for (int64_t m = 0; m < rows; m += 16, to += 16 * depth)
      _mm512_i32scatter_epi32(to, register_rows, pairs_of(row ? row + m : nullptr, next ? next + m : nullptr, larger(0, count - m)), 4);
  }

  // GCC 12 does not know that the intrinsics below read memory, so all stores must come first.
  JAX_LSTM_INLINE void reads_memory(const void* from) { asm volatile("" ::"r"(from) : "memory"); }

  // Registers 0 to 3 hold sums, two for each 16 rows; 4 and 5 the left-hand side, 6 and 7 the panel. A tile of 16 rows does not use those of the second
  // 16, so it can follow a larger one.
  JAX_LSTM_INLINE void configure(int64_t rows) {
    if (rows == configured_rows || (rows == 16 && configured_rows > 16)) return;
    struct alignas(64) {
      uint8_t palette = 1, start = 0, reserved[14] = {};
      uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      uint8_t rows[16] = {};
    } config;
    const uint8_t first = static_cast<uint8_t>(smaller(rows, 16)), second = static_cast<uint8_t>(larger(rows - 16, 1));
    for (int i : {0, 1, 4}) config.rows[i] = first;
    for (int i : {2, 3, 5}) config.rows[i] = second;
    for (int i : {6, 7}) config.rows[i] = 16;
    reads_memory(&config);
    _tile_loadconfig(&config);
    configured_rows = rows;
  }

  // One tile, of the rows given to `configure`: out = init + x * panel + y * (rest of the panel), for whole registers of k. Computes two vectors of
  // columns from `first` on, then calls itself for the rest. Ignores `next`: in a trial, fetching gained nothing.
  template <bool more_rows, int width, bool a_packed, int first = 0>
  static void tile(Rows<AmxDot> x, Rows<AmxDot> y, const bfloat16* panel, const float* init, int64_t init_stride, float* out, int64_t out_stride,
                   const bfloat16*) {
    constexpr bool more_columns = first + 1 < width;
    constexpr int64_t columns = width * 16, pair = columns * 2 * static_cast<int64_t>(sizeof(bfloat16));
    const auto bytes = [](auto* from, int64_t stride) { return stride * static_cast<int64_t>(sizeof *from); };
    reads_memory(panel);
    if (init) {
      const float* from = init + first * 16;
      _tile_loadd(0, from, bytes(from, init_stride));
      if constexpr (more_columns) { _tile_loadd(1, from + 16, bytes(from, init_stride)); }
      if constexpr (more_rows) { _tile_loadd(2, from + 16 * init_stride, bytes(from, init_stride)); }
      if constexpr (more_rows && more_columns) { _tile_loadd(3, from + 16 * init_stride + 16, bytes(from, init_stride)); }
    } else {
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
    }
    const bfloat16* b = panel + first * 32;
    for (Rows<AmxDot> part : {x, y}) {
      const int64_t end = a_packed ? round_up(part.depth, depth) : part.depth / depth * depth, stride = a_packed ? depth : part.stride;
      for (int64_t k = 0; k < end; k += depth) {
        const bfloat16 *a = part.a + (a_packed ? k * part.stride : k), *at = b + k * columns;
        _tile_loadd(4, a, bytes(a, stride));
        _tile_loadd(6, at, pair);
        _tile_dpbf16ps(0, 4, 6);
        if constexpr (more_columns) { _tile_loadd(7, at + 32, pair); }
        if constexpr (more_columns) { _tile_dpbf16ps(1, 4, 7); }
        if constexpr (more_rows) { _tile_loadd(5, a + 16 * stride, bytes(a, stride)); }
        if constexpr (more_rows) { _tile_dpbf16ps(2, 5, 6); }
        if constexpr (more_rows && more_columns) { _tile_dpbf16ps(3, 5, 7); }
      }
      b += round_up(part.depth, group) * columns;
    }
    float* to = out + first * 16;
    _tile_stored(0, to, bytes(to, out_stride));
    if constexpr (more_columns) { _tile_stored(1, to + 16, bytes(to, out_stride)); }
    if constexpr (more_rows) { _tile_stored(2, to + 16 * out_stride, bytes(to, out_stride)); }
    if constexpr (more_rows && more_columns) { _tile_stored(3, to + 16 * out_stride + 16, bytes(to, out_stride)); }
    if constexpr (first + 2 < width) tile<more_rows, width, a_packed, first + 2>(x, y, panel, init, init_stride, out, out_stride, nullptr);
  }

  template <bool more_rows, bool a_packed>
  static TileFunction<AmxDot> choose(int width) {
    switch (width) {
      case 1: return tile<more_rows, 1, a_packed>;
      case 2: return tile<more_rows, 2, a_packed>;
      case 3: return tile<more_rows, 3, a_packed>;
      default: return tile<more_rows, 4, a_packed>;
    }
  }
};

// Also configures the registers, for the 32 rows of a packed block.
template <>
TileFunction<AmxDot> choose_packed_tile<AmxDot>(int /* most */, int width) {
  AmxDot::configure(32);
  return AmxDot::choose<true, true>(width);
}

template <>
void panel_product<AmxDot>(Rows<AmxDot> x, Rows<AmxDot> y, int64_t rows, const bfloat16* panel, int width, const float* init, int64_t init_stride,
                           float* out, const bfloat16*) {
  const int64_t columns = width * 16;
  if (x.depth % AmxDot::depth && y.depth) {  // the sums are added in order of k, so that results do not depend on what is computed together
    panel_product<AmxDot>(x, {nullptr, 0, 0}, rows, panel, width, init, init_stride, out);
    return panel_product<AmxDot>(y, {nullptr, 0, 0}, rows, panel + round_up(x.depth, AmxDot::group) * columns, width, out, columns, out);
  }
  for (int64_t first = 0; first < rows; first += 32) {
    const int64_t count = smaller(32, rows - first);
    AmxDot::configure(count);
    const TileFunction<AmxDot> tile = count > 16 ? AmxDot::choose<true, false>(width) : AmxDot::choose<false, false>(width);
    tile({x.a + first * x.stride, x.stride, x.depth}, {y.depth ? y.a + first * y.stride : nullptr, y.stride, y.depth}, panel,
         init ? init + first * init_stride : nullptr, init_stride, out + first * columns, columns, nullptr);
  }
  const Rows<AmxDot> last = y.depth ? y : x;
  const int64_t rest = last.depth % AmxDot::depth;
  if (rest)
    panel_product<Bfloat16Dot>({last.a + last.depth - rest, last.stride, rest}, {nullptr, 0, 0}, rows,
                               panel + (x.depth + y.depth - rest) * columns, width, out, columns, out);
}

}  // namespace JAX_LSTM_ISA
}  // namespace jax_lstm
