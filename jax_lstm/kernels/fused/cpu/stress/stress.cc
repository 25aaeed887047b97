// Runs the kernels without Python and XLA on a pool of plain threads: under sanitizers, which cannot see into XLA, and to time them.
//
//   stress                                        a grid of odd shapes and options, with concurrent calls, on pools that are idle, busy or refuse
//                                                 work; fails if results depend on the number of threads
//   stress time B T I H TYPE [THREADS [LAYERS]]   shortest time of a call, forward and backward (TYPE f32, f64 or bf16); of a stack, also layer
//                                                 by layer
#include <time.h>

#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "../dispatch.h"
#include "../threads.h"

namespace {

using namespace jax_lstm;

class Threads final : public Pool {
 public:
  Threads(int threads, int size) : size_(size) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
  }
  ~Threads() override {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  int size() const override { return size_; }
  void schedule(void (*run)(void*), void* data) override {
    if (threads_.empty()) return run(data);  // as XLA does if there is no pool
    {
      std::lock_guard<std::mutex> lock(mutex_);
      tasks_.emplace_back([=] { run(data); });
    }
    wake_.notify_one();
  }
  void submit(std::function<void()> task) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      tasks_.push_back(std::move(task));
    }
    wake_.notify_one();
  }

 private:
  void work() {
    for (;;) {
      std::function<void()> task;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        wake_.wait(lock, [this] { return stop_ || !tasks_.empty(); });
        if (tasks_.empty()) return;
        task = std::move(tasks_.front());
        tasks_.pop_front();
      }
      task();
    }
  }

  int size_;
  bool stop_ = false;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;
  std::vector<std::thread> threads_;
};

// One call with its arrays. Each has its own allocation of the exact size, so that AddressSanitizer finds every access out of bounds.
struct Call {
  Shape s;
  ElementType type;
  bool projected, masked, reset, reverse;
  std::deque<std::vector<char>> arrays;
  Args forward = {}, backward = {};
  std::mt19937 random;

  size_t compute() const { return type == ElementType::bfloat16 ? 2 : state(); }
  size_t state() const { return type == ElementType::float64 ? 8 : 4; }

  void* make(int64_t count, size_t size, double range) {
    arrays.emplace_back(static_cast<size_t>(count) * size);
    std::uniform_real_distribution<double> values(-range, range);
    char* data = arrays.back().data();
    for (int64_t i = 0; range > 0 && i < count; ++i) {
      double x = values(random);
      if (size == 8) reinterpret_cast<double*>(data)[i] = x;
      if (size == 4) reinterpret_cast<float*>(data)[i] = static_cast<float>(x);
      if (size == 2) reinterpret_cast<bfloat16*>(data)[i] = to_bfloat16(static_cast<float>(x));
    }
    return data;
  }
  void* flags(bool present, int percent) {
    if (!present) return nullptr;
    int64_t count = s.members * s.time * s.batch;
    arrays.emplace_back(static_cast<size_t>(count));
    for (char& flag : arrays.back()) flag = static_cast<int>(random() % 100) < percent;
    return arrays.back().data();
  }

  Call(Shape shape, ElementType type, bool projected, bool masked, bool reset, bool reverse, unsigned seed = 1)
      : s(shape), type(type), projected(projected), masked(masked), reset(reset), reverse(reverse), random(seed) {
    const int64_t n = s.members, steps = n * s.time * s.batch, rows = n * s.batch, h = s.hidden_size, r = s.output_size;
    const double k = 1 / std::sqrt(static_cast<double>(h));
    Args& f = forward;
    f.shape = s;
    f.reverse = reverse;
    f.xs = make(steps * s.input_size, compute(), 1);
    f.weight_ih = make(n * 4 * h * s.input_size, compute(), k);
    f.weight_hh = make(n * 4 * h * r, compute(), k);
    f.bias_ih = make(n * 4 * h, state(), k);
    f.bias_hh = make(n * 4 * h, state(), k);
    f.weight_hr = projected ? make(n * h * r, compute(), k) : nullptr;
    f.h0 = make(rows * r, state(), 1);
    f.c0 = make(rows * h, state(), 1);
    f.mask = flags(masked, 70);
    f.resets = flags(reset, 20);
    f.ys = make(steps * r, compute(), 0);
    f.h = make(rows * r, state(), 0);
    f.c = make(rows * h, state(), 0);
    f.gates = make(steps * 4 * h, state(), 0);
    f.cs = make(steps * h, state(), 0);
    f.hs = masked ? make(steps * r, compute(), 0) : nullptr;
    Args& b = backward;
    b = f;
    if (!masked) b.hs = f.ys;
    b.d_ys = make(steps * r, compute(), 1);
    b.d_h = make(rows * r, state(), 1);
    b.d_c = make(rows * h, state(), 1);
    b.d_xs = make(steps * s.input_size, compute(), 0);
    b.d_weight_ih = make(n * 4 * h * s.input_size, compute(), 0);
    b.d_weight_hh = make(n * 4 * h * r, compute(), 0);
    b.d_bias_ih = make(n * 4 * h, state(), 0);
    b.d_weight_hr = projected ? make(n * h * r, compute(), 0) : nullptr;
    b.d_h0 = make(rows * r, state(), 0);
    b.d_c0 = make(rows * h, state(), 0);
    b.d_gates = f.gates;
  }

  const Engine& engine() const { return *(type == ElementType::bfloat16 ? dispatch().bfloat16_engine : dispatch().engine); }
  void run_forward(Pool& pool) { engine().forward[static_cast<int>(type)](&forward, 1, pool); }
  void run_backward(Pool& pool) { engine().backward[static_cast<int>(type)](&backward, 1, pool); }
};

// A call of several layers.
struct StackCall {
  std::deque<Call> layers;
  std::vector<Args> forward, backward;

  StackCall(int count, Shape shape, ElementType type, bool projected, bool masked, bool reset, bool reverse) {
    for (int l = 0; l < count; ++l) {
      Call& call = layers.emplace_back(shape, type, projected, masked, reset, reverse, static_cast<unsigned>(l + 1));
      if (l > 0) {
        Call& below = layers[static_cast<size_t>(l) - 1];
        call.forward.xs = below.forward.ys;
        call.backward.xs = below.backward.hs;
        for (Args* args : {&call.forward, &call.backward}) {
          args->mask = below.forward.mask;
          args->resets = below.forward.resets;
        }
        below.backward.d_ys = call.backward.d_xs;
        backward[static_cast<size_t>(l) - 1] = below.backward;
      }
      forward.push_back(call.forward);
      backward.push_back(call.backward);
      shape.input_size = shape.output_size;
    }
  }
  int64_t count() const { return static_cast<int64_t>(layers.size()); }
  void run_forward(Pool& pool) { layers[0].engine().forward[static_cast<int>(layers[0].type)](forward.data(), count(), pool); }
  void run_backward(Pool& pool) { layers[0].engine().backward[static_cast<int>(layers[0].type)](backward.data(), count(), pool); }
  // The same, a call for each layer.
  void run_forward_apart(Pool& pool) {
    for (Call& layer : layers) layer.run_forward(pool);
  }
  void run_backward_apart(Pool& pool) {
    for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) layer->run_backward(pool);
  }
};

double seconds() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

int time_one(int count, char** arguments) {
  const int64_t b = std::atoll(arguments[0]), t = std::atoll(arguments[1]), i = std::atoll(arguments[2]), h = std::atoll(arguments[3]);
  const std::string type = arguments[4];
  const int threads = count > 5 ? std::atoi(arguments[5]) : 1, layers = count > 6 ? std::atoi(arguments[6]) : 1;
  StackCall call(layers, {1, t, b, i, h, h}, type == "f64" ? ElementType::float64 : type == "bf16" ? ElementType::bfloat16 : ElementType::float32, false, false,
                 false, false);
  Threads pool(threads - 1, threads);
  double forward = 1e9, backward = 1e9, forward_apart = 1e9, backward_apart = 1e9, spent = 0;
  for (int repeat = 0; repeat < 5 || (spent < 2 && repeat < 2000); ++repeat) {
    double start = seconds();
    call.run_forward(pool);
    double middle = seconds();
    call.run_backward(pool);
    double end = seconds();
    forward = std::min(forward, middle - start);
    backward = std::min(backward, end - middle);
    spent += end - start;
    if (layers == 1) continue;
    start = seconds();
    call.run_forward_apart(pool);
    middle = seconds();
    call.run_backward_apart(pool);
    end = seconds();
    forward_apart = std::min(forward_apart, middle - start);
    backward_apart = std::min(backward_apart, end - middle);
  }
  const double flops = 2.0 * static_cast<double>(t * b * 4 * h * (i + h + (layers - 1) * 2 * h));
  std::printf("%s %s B%ld T%ld I%ld H%ld threads %d: forward %.3f ms %.2f us a step %.1f GFLOP/s, backward %.3f ms %.2f us %.1f GFLOP/s\n", dispatch().name, type.c_str(), static_cast<long>(b),
              static_cast<long>(t), static_cast<long>(i), static_cast<long>(h), threads, forward * 1e3, forward * 1e6 / static_cast<double>(t), flops / forward * 1e-9,
              backward * 1e3, backward * 1e6 / static_cast<double>(t), 2 * flops / backward * 1e-9);
  if (layers > 1) std::printf("  over layer by layer: forward %.2f, backward %.2f times as fast\n", forward_apart / forward, backward_apart / backward);
  return 0;
}

int stress() {
  const Shape shapes[] = {{1, 5, 13, 7, 21, 21}, {1, 9, 3, 17, 40, 40}, {3, 4, 5, 3, 33, 33}, {1, 1, 1, 1, 1, 1}, {2, 3, 0, 3, 5, 5},
                          {0, 3, 2, 3, 5, 5}, {1, 90, 5, 9, 18, 18},
                          // With work for several threads: a row each, several rows each, shared units, large weights.
                          {1, 300, 3, 40, 33, 33}, {1, 8, 15, 32, 96, 96}, {1, 20, 2, 130, 264, 264}, {1, 5, 9, 130, 264, 264},
                          // With panels that are fetched ahead, also in bfloat16.
                          {1, 1, 13, 131, 365, 365}};
  int differences = 0, calls = 0;
  for (const Shape& base : shapes)
    for (int options = 0; options < 16; ++options)
      for (ElementType type : {ElementType::float32, ElementType::float64, ElementType::bfloat16}) {
        Shape s = base;
        if (options & 1) s.output_size = (s.hidden_size + 1) / 2;
        auto run = [&](int threads, int size) {
          Call call(s, type, options & 1, options & 2, options & 4, options & 8);
          Threads pool(threads, size);
          call.run_forward(pool);
          call.run_backward(pool);
          return call.arrays;
        };
        auto alone = run(0, 1);
        for (int threads : {0, 1, 3}) {
          if (run(threads, 4) != alone) {
            ++differences;
            std::printf("B%ld T%ld I%ld H%ld options %d type %d: results differ with %d threads\n", static_cast<long>(s.batch), static_cast<long>(s.time),
                        static_cast<long>(s.input_size), static_cast<long>(s.hidden_size), options, static_cast<int>(type), threads);
          }
          ++calls;
        }
      }
  // Stacks, against their layers one after the other on one thread; the second and third have work for several.
  for (const Shape& base : {Shape{1, 5, 3, 7, 21, 21}, {1, 33, 2, 40, 66, 66}, {4, 12, 6, 33, 33, 33}, {3, 11, 1, 4, 18, 18}, {1, 9, 0, 3, 5, 5}})
    for (int options = 0; options < 16; ++options) {
      Shape s = base;
      if (options & 1) s.output_size = (s.hidden_size + 1) / 2;
      const int layers = 2 + options % 2;
      const auto type = static_cast<ElementType>(options % 3);
      auto results = [](const StackCall& call) {
        std::vector<std::vector<char>> all;
        for (const Call& layer : call.layers) all.insert(all.end(), layer.arrays.begin(), layer.arrays.end());
        return all;
      };
      StackCall apart(layers, s, type, options & 1, options & 2, options & 4, options & 8);
      Threads nobody(0, 1);
      apart.run_forward_apart(nobody);
      apart.run_backward_apart(nobody);
      for (int threads : {0, 1, 3}) {
        StackCall together(layers, s, type, options & 1, options & 2, options & 4, options & 8);
        Threads pool(threads, threads == 1 ? 2 : 4);
        together.run_forward(pool);
        together.run_backward(pool);
        if (results(together) != results(apart)) {
          ++differences;
          std::printf("B%ld T%ld I%ld H%ld options %d type %d: %d layers together differ with %d threads\n", static_cast<long>(s.batch),
                      static_cast<long>(s.time), static_cast<long>(s.input_size), static_cast<long>(s.hidden_size), options, static_cast<int>(type), layers,
                      threads);
        }
        ++calls;
      }
    }
  // Calls from threads of the pool that they ask for help, so that it cannot help, and from other threads at the same time.
  {
    Threads pool(3, 4);
    std::atomic<int> begun{0}, done{0};
    auto work = [&] {
      Call call({1, 50, 9, 8, 24, 24}, ElementType::float32, false, false, false, false);
      call.run_forward(pool);
      call.run_backward(pool);
      if (begun++ % 8 == 0) {
        StackCall stack(3, {1, 20, 2, 40, 66, 66}, ElementType::float32, false, false, false, false);
        stack.run_forward(pool);
        stack.run_backward(pool);
      }
      ++done;
    };
    std::vector<std::thread> others;
    for (int i = 0; i < 4; ++i) others.emplace_back([&] { for (int j = 0; j < 10; ++j) work(); });
    for (int i = 0; i < 40; ++i) pool.submit(work);
    for (std::thread& other : others) other.join();
    while (done < 80) std::this_thread::yield();
  }
  std::printf("%s split %d: %d calls, %d differences\n", dispatch().name, static_cast<int>(forced_split()), calls, differences);
  return differences != 0;
}

}  // namespace

int main(int count, char** arguments) {
  if (!dispatch().engine) {
    std::printf("%s\n", dispatch().name);
    return 2;
  }
  if (count >= 7 && std::string(arguments[1]) == "time") return time_one(count - 2, arguments + 2);
  return stress();
}
