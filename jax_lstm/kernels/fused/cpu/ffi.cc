// The XLA FFI handlers: they check the shapes and types of what comes in, and call the kernels.
#include <cstdint>
#include <initializer_list>
#include <new>
#include <string>
#include <utility>

#include "dispatch.h"
#include "scratch.h"
#include "threads.h"
#include "types.h"
#include "xla/ffi/api/ffi.h"

namespace jax_lstm {
namespace {

namespace ffi = xla::ffi;
using Buffer = ffi::AnyBuffer;
using Result = ffi::Result<ffi::AnyBuffer>;
using Dimensions = std::initializer_list<int64_t>;

class XlaPool final : public Pool {
 public:
  explicit XlaPool(ffi::ThreadPool& pool) : pool_(pool) {}
  int size() const override { return static_cast<int>(pool_.num_threads()); }
  void schedule(void (*run)(void*), void* data) override {
    pool_.Schedule([run, data] { run(data); });
  }

 private:
  ffi::ThreadPool& pool_;
};

std::string text(ffi::Span<const int64_t> dimensions) {
  std::string result = "[";
  for (size_t i = 0; i < dimensions.size(); ++i) result += (i ? "," : "") + std::to_string(dimensions[i]);
  return result + "]";
}

// Checks arrays one by one, keeping the first complaint.
class Checker {
 public:
  // The sizes and the type of the call, from four arrays that are always there.
  Checker(const Buffer& xs, const Buffer& weight_ih, const Buffer& weight_hh) {
    switch (xs.element_type()) {
      case ffi::F32: type_ = ElementType::float32, state_ = ffi::F32; break;
      case ffi::F64: type_ = ElementType::float64, state_ = ffi::F64; break;
      case ffi::BF16: type_ = ElementType::bfloat16, state_ = ffi::F32; break;
      default: complain("xs must be float32, float64 or bfloat16"); return;
    }
    compute_ = xs.element_type();
    auto x = xs.dimensions(), w = weight_ih.dimensions(), u = weight_hh.dimensions();
    if (x.size() != 4 || w.size() != 3 || u.size() != 3) {
      complain("xs must have 4 axes, weight_ih and weight_hh 3; they have " + std::to_string(x.size()) + ", " + std::to_string(w.size()) + ", " +
               std::to_string(u.size()));
      return;
    }
    shape_ = {x[0], x[1], x[2], x[3], w[1] / 4, u[2]};
    if (shape_.time < 1 || shape_.input_size < 1 || shape_.hidden_size < 1 || shape_.output_size < 1)
      complain("time, inputs and units must be at least 1; xs is " + text(x) + ", weight_ih " + text(w) + ", weight_hh " + text(u));
  }

  const Shape& shape() const { return shape_; }
  int type() const { return static_cast<int>(type_); }
  bool failed() const { return !problem_.empty(); }
  ffi::Error error() const { return ffi::Error::InvalidArgument("jax_lstm: " + problem_); }

  void* compute(const char* name, const Buffer& array, Dimensions dimensions) { return check(name, array, compute_, dimensions); }
  void* state(const char* name, const Buffer& array, Dimensions dimensions) { return check(name, array, state_, dimensions); }
  void* optional_compute(const char* name, const Buffer& array, Dimensions dimensions, bool absent) {
    return absent ? empty(name, array) : compute(name, array, dimensions);
  }
  void* empty(const char* name, const Buffer& array) {
    if (array.element_count() != 0) complain(std::string(name) + " must be empty, not " + text(array.dimensions()));
    return nullptr;
  }
  void* optional_state(const char* name, const Buffer& array, Dimensions dimensions) {
    return array.element_count() == 0 ? nullptr : state(name, array, dimensions);
  }
  // Whether an optional array is there is read off its size, unless the shape that it would have is empty too.
  const bool* flags(const char* name, const Buffer& array, Dimensions dimensions) {
    if (array.element_count() == 0) return nullptr;
    return static_cast<const bool*>(check(name, array, ffi::PRED, dimensions));
  }
  void complain(const std::string& problem) {
    if (problem_.empty()) problem_ = problem;
  }

 private:
  void* check(const char* name, const Buffer& array, ffi::DataType type, Dimensions dimensions) {
    if (failed()) return nullptr;
    ffi::Span<const int64_t> wanted(dimensions.begin(), dimensions.size());
    auto found = array.dimensions();
    bool same = found.size() == wanted.size();
    for (size_t i = 0; same && i < wanted.size(); ++i) same = found[i] == wanted[i];
    if (!same) complain(std::string(name) + " must have the shape " + text(wanted) + ", not " + text(found));
    if (array.element_type() != type) complain(std::string(name) + " has the wrong element type");
    return array.untyped_data();
  }

  ElementType type_ = ElementType::float32;
  ffi::DataType compute_ = ffi::F32, state_ = ffi::F32;
  Shape shape_ = {};
  std::string problem_;
};

// A projection is absent where its array is empty; then h has the size of c.
bool lacks_projection(Checker& checker, const Buffer& weight_hr) {
  auto dimensions = weight_hr.dimensions();
  const bool absent = dimensions.size() == 3 && dimensions[1] == 0 && dimensions[2] == 0;
  if (absent && checker.shape().output_size != checker.shape().hidden_size)
    checker.complain("without weight_hr, weight_hh must be square in each gate");
  return absent;
}

// Large outputs are fresh memory, and faulting it in by small pages costs more than writing it.
void prefer_huge_pages(Result& result) {
  constexpr size_t large = size_t{4} << 20;
  if (result->size_bytes() >= large) jax_lstm::prefer_huge_pages(result->untyped_data(), result->size_bytes());
}

template <class Run>
ffi::Error guarded(Run run) {
  try {
    return run();
  } catch (const std::bad_alloc&) {
    return ffi::Error(ffi::ErrorCode::kResourceExhausted, "jax_lstm: not enough memory");
  }
}

const Engine* engine_for(Checker& checker) {
  const Dispatch& chosen = dispatch();
  if (!chosen.engine) checker.complain(chosen.name);
  return checker.type() == static_cast<int>(ElementType::bfloat16) ? chosen.bfloat16_engine : chosen.engine;
}

struct Inputs {
  Buffer xs, weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, h0, c0, mask, resets;
};

ffi::Error run_forward(ffi::ThreadPool thread_pool, const Inputs& in, Result& ys, Result& h, Result& c, Result* gates, Result* cs, Result* hs, bool reverse) {
  Checker checker(in.xs, in.weight_ih, in.weight_hh);
  if (checker.failed()) return checker.error();
  const auto [n, t, b, i, hidden, r] = checker.shape();
  const bool unprojected = lacks_projection(checker, in.weight_hr);
  ForwardArgs args = {};
  args.shape = checker.shape();
  args.reverse = reverse;
  args.xs = checker.compute("xs", in.xs, {n, t, b, i});
  args.weight_ih = checker.compute("weight_ih", in.weight_ih, {n, 4 * hidden, i});
  args.weight_hh = checker.compute("weight_hh", in.weight_hh, {n, 4 * hidden, r});
  args.bias_ih = checker.optional_state("bias_ih", in.bias_ih, {n, 4 * hidden});
  args.bias_hh = args.bias_ih ? checker.state("bias_hh", in.bias_hh, {n, 4 * hidden}) : checker.empty("bias_hh", in.bias_hh);
  args.weight_hr = checker.optional_compute("weight_hr", in.weight_hr, {n, r, hidden}, unprojected);
  args.h0 = checker.state("h0", in.h0, {n, b, r});
  args.c0 = checker.state("c0", in.c0, {n, b, hidden});
  args.mask = checker.flags("mask", in.mask, {n, t, b});
  args.resets = checker.flags("resets", in.resets, {n, t, b});
  args.ys = checker.compute("ys", *ys, {n, t, b, r});
  args.h = checker.state("h", *h, {n, b, r});
  args.c = checker.state("c", *c, {n, b, hidden});
  prefer_huge_pages(ys);
  if (gates) {
    args.gates = checker.state("gates", **gates, {n, t, b, 4 * hidden});
    args.cs = checker.state("cs", **cs, {n, t, b, hidden});
    args.hs = checker.optional_compute("hs", **hs, {n, t, b, r}, !args.mask);
    prefer_huge_pages(*gates);
    prefer_huge_pages(*cs);
  }
  const Engine* engine = engine_for(checker);
  if (checker.failed()) return checker.error();
  if (n == 0 || b == 0) return ffi::Error::Success();  // every result is empty
  XlaPool pool(thread_pool);
  engine->forward[checker.type()](args, pool);
  return ffi::Error::Success();
}

ffi::Error infer(ffi::ThreadPool pool, Buffer xs, Buffer weight_ih, Buffer weight_hh, Buffer bias_ih, Buffer bias_hh, Buffer weight_hr, Buffer h0,
                 Buffer c0, Buffer mask, Buffer resets, Result ys, Result h, Result c, bool reverse) {
  return guarded([&] {
    return run_forward(pool, {xs, weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, h0, c0, mask, resets}, ys, h, c, nullptr, nullptr, nullptr, reverse);
  });
}

ffi::Error forward(ffi::ThreadPool pool, Buffer xs, Buffer weight_ih, Buffer weight_hh, Buffer bias_ih, Buffer bias_hh, Buffer weight_hr, Buffer h0,
                   Buffer c0, Buffer mask, Buffer resets, Result ys, Result h, Result c, Result gates, Result cs, Result hs, bool reverse) {
  return guarded(
      [&] { return run_forward(pool, {xs, weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, h0, c0, mask, resets}, ys, h, c, &gates, &cs, &hs, reverse); });
}

ffi::Error run_backward(ffi::ThreadPool& thread_pool, Buffer& d_ys, Buffer& d_h, Buffer& d_c, Buffer& xs, Buffer& weight_ih, Buffer& weight_hh,
                        Buffer& weight_hr, Buffer& h0, Buffer& c0, Buffer& mask, Buffer& resets, Buffer& hs, Buffer& cs, Buffer& gates, Result& d_xs,
                        Result& d_weight_ih, Result& d_weight_hh, Result& d_bias, Result& d_weight_hr, Result& d_h0, Result& d_c0, Result& d_gates,
                        bool reverse, bool need_d_xs) {
  Checker checker(xs, weight_ih, weight_hh);
  if (checker.failed()) return checker.error();
  const auto [n, t, b, i, hidden, r] = checker.shape();
  const bool unprojected = lacks_projection(checker, weight_hr);
  BackwardArgs args = {};
  args.shape = checker.shape();
  args.reverse = reverse;
  args.d_ys = checker.compute("d_ys", d_ys, {n, t, b, r});
  args.d_h = checker.state("d_h", d_h, {n, b, r});
  args.d_c = checker.state("d_c", d_c, {n, b, hidden});
  args.xs = checker.compute("xs", xs, {n, t, b, i});
  args.weight_ih = checker.compute("weight_ih", weight_ih, {n, 4 * hidden, i});
  args.weight_hh = checker.compute("weight_hh", weight_hh, {n, 4 * hidden, r});
  args.weight_hr = checker.optional_compute("weight_hr", weight_hr, {n, r, hidden}, unprojected);
  args.h0 = checker.state("h0", h0, {n, b, r});
  args.c0 = checker.state("c0", c0, {n, b, hidden});
  args.mask = checker.flags("mask", mask, {n, t, b});
  args.resets = checker.flags("resets", resets, {n, t, b});
  args.hs = checker.compute("hs", hs, {n, t, b, r});
  args.cs = checker.state("cs", cs, {n, t, b, hidden});
  args.gates = checker.state("gates", gates, {n, t, b, 4 * hidden});
  args.d_xs = checker.optional_compute("d_xs", *d_xs, {n, t, b, i}, !need_d_xs);
  args.d_weight_ih = checker.compute("d_weight_ih", *d_weight_ih, {n, 4 * hidden, i});
  args.d_weight_hh = checker.compute("d_weight_hh", *d_weight_hh, {n, 4 * hidden, r});
  args.d_bias = checker.state("d_bias", *d_bias, {n, 4 * hidden});
  args.d_weight_hr = checker.optional_compute("d_weight_hr", *d_weight_hr, {n, r, hidden}, unprojected);
  args.d_h0 = checker.state("d_h0", *d_h0, {n, b, r});
  args.d_c0 = checker.state("d_c0", *d_c0, {n, b, hidden});
  args.d_gates = checker.state("d_gates", *d_gates, {n, t, b, 4 * hidden});
  const Engine* engine = engine_for(checker);
  if (checker.failed()) return checker.error();
  if (n == 0) return ffi::Error::Success();
  if (need_d_xs) prefer_huge_pages(d_xs);
  XlaPool pool(thread_pool);
  engine->backward[checker.type()](args, pool);
  return ffi::Error::Success();
}

ffi::Error backward(ffi::ThreadPool pool, Buffer d_ys, Buffer d_h, Buffer d_c, Buffer xs, Buffer weight_ih, Buffer weight_hh, Buffer weight_hr, Buffer h0,
                    Buffer c0, Buffer mask, Buffer resets, Buffer hs, Buffer cs, Buffer gates, Result d_xs, Result d_weight_ih, Result d_weight_hh,
                    Result d_bias, Result d_weight_hr, Result d_h0, Result d_c0, Result d_gates, bool reverse, bool need_d_xs) {
  return guarded([&] {
    return run_backward(pool, d_ys, d_h, d_c, xs, weight_ih, weight_hh, weight_hr, h0, c0, mask, resets, hs, cs, gates, d_xs, d_weight_ih, d_weight_hh,
                        d_bias, d_weight_hr, d_h0, d_c0, d_gates, reverse, need_d_xs);
  });
}

}  // namespace
}  // namespace jax_lstm

#define JAX_LSTM_ARGS_3 Arg<ffi::AnyBuffer>().Arg<ffi::AnyBuffer>().Arg<ffi::AnyBuffer>()
#define JAX_LSTM_RETS_3 Ret<ffi::AnyBuffer>().Ret<ffi::AnyBuffer>().Ret<ffi::AnyBuffer>()

namespace ffi = xla::ffi;

#pragma GCC visibility push(default)

XLA_FFI_DEFINE_HANDLER_SYMBOL(jax_lstm_infer, jax_lstm::infer,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .JAX_LSTM_ARGS_3.JAX_LSTM_ARGS_3.JAX_LSTM_ARGS_3.Arg<ffi::AnyBuffer>()  // 10
                                  .JAX_LSTM_RETS_3                                                        // 3
                                  .Attr<bool>("reverse"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(jax_lstm_forward, jax_lstm::forward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .JAX_LSTM_ARGS_3.JAX_LSTM_ARGS_3.JAX_LSTM_ARGS_3.Arg<ffi::AnyBuffer>()  // 10
                                  .JAX_LSTM_RETS_3.JAX_LSTM_RETS_3                                        // 6
                                  .Attr<bool>("reverse"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(jax_lstm_backward, jax_lstm::backward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .JAX_LSTM_ARGS_3.JAX_LSTM_ARGS_3.JAX_LSTM_ARGS_3.JAX_LSTM_ARGS_3.Arg<ffi::AnyBuffer>().Arg<ffi::AnyBuffer>()  // 14
                                  .JAX_LSTM_RETS_3.JAX_LSTM_RETS_3.Ret<ffi::AnyBuffer>().Ret<ffi::AnyBuffer>()                                  // 8
                                  .Attr<bool>("reverse")
                                  .Attr<bool>("need_d_xs"));

#pragma GCC visibility pop
