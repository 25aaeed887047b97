// The XLA FFI handlers: they check the arrays of a call against the table in arrays.def and run the kernels.
//
// Two attributes name the operands and the results, in the order in which they are passed. Absent arrays are left out. Names of the second layer of a
// stack end in `.1`, and so on, as arrays.py describes.
#include <cstdint>
#ifdef __GLIBCXX__  // since GCC 11 every vector may call this function, and then the library does not load with an older libstdc++
#define __throw_bad_array_new_length __throw_bad_alloc
#endif
#include <algorithm>
#include <initializer_list>
#include <iterator>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dispatch.h"
#include "scratch.h"
#include "threads.h"
#include "types.h"
#include "xla/ffi/api/ffi.h"

namespace jax_lstm {
namespace {

namespace ffi = xla::ffi;
using Field = void* Args::*;

enum Type { compute, state, flag };

struct Array {
  std::string_view name, axes;
  Type type;
  Field value, gradient;
};

constexpr Array kArrays[] = {
#define JAX_LSTM_ARRAY(name, axes, type) {#name, #axes, type, &Args::name, &Args::d_##name},
#include "../arrays.def"
};

// The arrays that an operation requires, the pairs that must be given together, and all results that it can compute.
struct Operation {
  Kernel (Engine::*kernels)[3];
  std::initializer_list<Field> required;
  std::initializer_list<std::pair<Field, Field>> pairs;
  std::initializer_list<Field> results;
};

using A = Args;
constexpr Operation kForward = {&Engine::forward,
                                {&A::xs, &A::weight_ih, &A::weight_hh, &A::h0, &A::c0, &A::ys, &A::h, &A::c},
                                {{&A::bias_ih, &A::bias_hh}, {&A::gates, &A::cs}},
                                {&A::ys, &A::h, &A::c, &A::gates, &A::cs, &A::hs}};
constexpr Operation kBackward = {&Engine::backward,
                                 {&A::xs, &A::weight_ih, &A::weight_hh, &A::h0, &A::c0, &A::gates, &A::cs, &A::hs, &A::d_ys, &A::d_h, &A::d_c,
                                  &A::d_weight_ih, &A::d_weight_hh, &A::d_h0, &A::d_c0, &A::d_gates},
                                 {{&A::weight_hr, &A::d_weight_hr}},
                                 {&A::d_xs, &A::d_weight_ih, &A::d_weight_hh, &A::d_bias_ih, &A::d_weight_hr, &A::d_h0, &A::d_c0, &A::d_gates}};

struct Invalid {
  std::string problem;
};

std::string quoted(std::string_view name) { return "`" + std::string(name) + "`"; }

std::string name_of(Field field) {
  for (const Array& array : kArrays) {
    if (array.value == field) return quoted(array.name);
    if (array.gradient == field) return quoted("d_" + std::string(array.name));
  }
  return "";
}

// Collects the arrays of a call in `args` and checks them. Throws Invalid.
class Reader {
 public:
  std::vector<Args> layers{1};

  // `get(i)` returns array i of `count`.
  template <class Get>
  void read(std::string_view names, size_t count, Get get) {
    for (size_t i = 0; i < count; ++i) {
      const std::string_view name = names.substr(0, names.find(' '));
      names.remove_prefix(name.size() < names.size() ? name.size() + 1 : name.size());
      add(name, get(i));
    }
    if (!names.empty()) throw Invalid{"more names than arrays: " + std::string(names)};
  }

  // Checks the call as a whole after all arrays have been read, and lets each layer read what the one below it writes. Sets the shapes and returns
  // the type.
  ElementType finish(const Operation& operation, size_t results, bool reverse) {
    const bool forward = &operation == &kForward;
    for (size_t l = 0; l < layers.size(); ++l) {
      Args& layer = layers[l];
      layer.reverse = reverse;
      layer.shape = {size('N'), size('T'), size('B'), size(l > 0 ? 'R' : 'I'), size('H'), size('R')};
      if (l > 0) {
        Args& below = layers[l - 1];
        layer.xs = forward ? below.ys : below.hs;  // they differ at masked steps, which backward passes ignore
        layer.mask = below.mask;
        layer.resets = below.resets;
        if (!forward) below.d_ys = layer.d_xs;
      }
    }
    for (const Args& layer : layers) {
      for (Field field : operation.results) results -= layer.*field != nullptr;
      for (Field field : operation.required)
        if (!(layer.*field)) throw Invalid{name_of(field) + " is missing"};
      for (auto [one, other] : operation.pairs)
        if (!(layer.*one) != !(layer.*other)) throw Invalid{name_of(one) + " and " + name_of(other) + " must be given together"};
      // h after a step differs from ys only under a mask.
      if (forward && !layer.hs != !(layer.gates && layer.mask)) throw Invalid{"`hs` must be given with `gates` and `mask`, and only then"};
    }
    if (results != 0) throw Invalid{"a result was requested that this operation does not compute"};
    const Shape& s = layers.front().shape;
    if (s.time < 1 || s.input_size < 1 || s.hidden_size < 1 || s.output_size < 1) throw Invalid{"the axes T, I, H and R must not be empty"};
    if (size('G') != 4 * s.hidden_size) throw Invalid{"axis G must be 4 * " + std::to_string(s.hidden_size) + "; got " + std::to_string(size('G'))};
    for (const Args& layer : layers)
      if (!layer.weight_hr && s.output_size != s.hidden_size) throw Invalid{"the axes R and H must be equal without `weight_hr`"};
    if (types_[flag].by.size() && !has(flag, ffi::PRED)) throw Invalid{quoted(types_[flag].by) + " must be boolean"};
    if (has(compute, ffi::F32) && has(state, ffi::F32)) return ElementType::float32;
    if (has(compute, ffi::F64) && has(state, ffi::F64)) return ElementType::float64;
    if (has(compute, ffi::BF16) && has(state, ffi::F32)) return ElementType::bfloat16;
    throw Invalid{"`xs` must be float32, float64 or bfloat16, and `h0` of the same type (float32 for bfloat16)"};
  }

 private:
  // A size or an element type, and the first array that has it. All others must agree.
  struct Known {
    int64_t value;
    std::string_view by;

    bool agrees(int64_t found, std::string_view name) {
      if (by.empty()) *this = {found, name};
      return value == found;
    }
  };

  int64_t size(char axis) const { return sizes_[axis - 'A'].value; }
  bool has(Type type, ffi::DataType found) const { return types_[type].value == static_cast<int64_t>(found); }

  void add(std::string_view name, ffi::AnyBuffer buffer) {
    const bool gradient = name.substr(0, 2) == "d_";
    const std::string_view full = name.substr(gradient ? 2 : 0), base = full.substr(0, full.find('.'));
    size_t layer = 0;  // its number follows a dot, or is left out for the first
    for (char digit : full.substr(std::min(base.size() + 1, full.size()))) {
      if (digit < '0' || digit > '9' || layer > 999) throw Invalid{"unknown array " + quoted(name)};
      layer = 10 * layer + static_cast<size_t>(digit - '0');
    }
    const Array* array = std::find_if(std::begin(kArrays), std::end(kArrays), [base](const Array& row) { return row.name == base; });
    if (array == std::end(kArrays)) throw Invalid{"unknown array " + quoted(name)};
    const auto shape = buffer.dimensions();
    if (shape.size() != array->axes.size())
      throw Invalid{quoted(name) + " must have the axes " + std::string(array->axes) + "; got " + std::to_string(shape.size()) + " axes"};
    for (size_t i = 0; i < shape.size(); ++i) {
      const char axis = layer > 0 && array->axes[i] == 'I' ? 'R' : array->axes[i];  // its inputs are the outputs below
      if (Known& known = sizes_[axis - 'A']; !known.agrees(shape[i], name))
        throw Invalid{"axis " + std::string(1, axis) + " is " + std::to_string(known.value) + " in " + quoted(known.by) + " and " +
                      std::to_string(shape[i]) + " in " + quoted(name)};
    }
    if (Known& known = types_[array->type]; !known.agrees(static_cast<int64_t>(buffer.element_type()), name))
      throw Invalid{quoted(name) + " must have the element type of " + quoted(known.by)};
    static char nothing;  // an empty array may have a null pointer, which would mean that it is absent
    if (layer >= layers.size()) layers.resize(layer + 1);
    layers[layer].*(gradient ? array->gradient : array->value) = buffer.untyped_data() ? buffer.untyped_data() : &nothing;
  }

  Known sizes_[26] = {}, types_[3] = {};
};

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

template <const Operation& operation>
ffi::Error handle(ffi::ThreadPool thread_pool, ffi::RemainingArgs operands, ffi::RemainingRets results, std::string_view operand_names,
                  std::string_view result_names, bool reverse) {
  try {
    Reader reader;
    reader.read(operand_names, operands.size(), [&](size_t i) { return *operands.get<ffi::AnyBuffer>(i); });
    reader.read(result_names, results.size(), [&](size_t i) {
      ffi::AnyBuffer result = **results.get<ffi::AnyBuffer>(i);
      // A large result is fresh memory. With small pages, page faults would take longer than writing it.
      if (constexpr size_t large = size_t{4} << 20; result.size_bytes() >= large) prefer_huge_pages(result.untyped_data(), result.size_bytes());
      return result;
    });
    const ElementType type = reader.finish(operation, results.size(), reverse);
    const Engine* engine = type == ElementType::bfloat16 ? dispatch().bfloat16_engine : dispatch().engine;
    if (!engine) throw Invalid{dispatch().name};
    XlaPool pool(thread_pool);
    (engine->*operation.kernels)[static_cast<int>(type)](reader.layers.data(), static_cast<int64_t>(reader.layers.size()), pool);
    return ffi::Error::Success();
  } catch (const Invalid& invalid) {
    return ffi::Error::InvalidArgument("jax_lstm: " + invalid.problem);
  } catch (const std::bad_alloc&) {
    return ffi::Error(ffi::ErrorCode::kResourceExhausted, "jax_lstm: not enough memory");
  }
}

}  // namespace
}  // namespace jax_lstm

#pragma GCC visibility push(default)

#define JAX_LSTM_HANDLER(symbol, operation)                                       \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(symbol, jax_lstm::handle<jax_lstm::operation>,    \
                                xla::ffi::Ffi::Bind()                             \
                                    .Ctx<xla::ffi::ThreadPool>()                  \
                                    .RemainingArgs()                              \
                                    .RemainingRets()                              \
                                    .Attr<std::string_view>("operands")           \
                                    .Attr<std::string_view>("results")            \
                                    .Attr<bool>("reverse"))

// One function under two names, so that compiled programs and profiles distinguish inference from training.
JAX_LSTM_HANDLER(jax_lstm_infer, kForward);
JAX_LSTM_HANDLER(jax_lstm_forward, kForward);
JAX_LSTM_HANDLER(jax_lstm_backward, kBackward);

#pragma GCC visibility pop
