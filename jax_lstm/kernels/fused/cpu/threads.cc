#include "threads.h"

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>

#ifdef __linux__
#include <sched.h>
#endif

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace jax_lstm {
namespace {

using Clock = std::chrono::steady_clock;

void pause() {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Spins until `ready()`. Yields the core now and then, because the thread that we wait for may need it.
template <class Ready>
void spin_until(Ready ready, int spins_between_yields = 500) {
  int spins = 0;
  while (!ready()) {
    pause();
    if (++spins > spins_between_yields) {
      std::this_thread::yield();
      spins = 0;
    }
  }
}

// Keeps the calling thread off one core during its lifetime. A thread that wakes up after idling is often put on the core of the thread that woke
// it, and the scheduler takes milliseconds to move it elsewhere: longer than most calls.
class OffCore {
 public:
  explicit OffCore(int core) {
#ifdef __linux__
    if (core < 0 || sched_getcpu() != core || sched_getaffinity(0, sizeof before_, &before_) != 0 || CPU_COUNT(&before_) < 2) return;
    cpu_set_t others = before_;
    CPU_CLR(core, &others);
    moved_ = sched_setaffinity(0, sizeof others, &others) == 0;
#else
    (void)core;
#endif
  }
  ~OffCore() {
#ifdef __linux__
    if (moved_) sched_setaffinity(0, sizeof before_, &before_);
#endif
  }
  OffCore(const OffCore&) = delete;
  OffCore& operator=(const OffCore&) = delete;

 private:
#ifdef __linux__
  cpu_set_t before_;
  bool moved_ = false;
#endif
};

int this_core() {
#ifdef __linux__
  return sched_getcpu();
#else
  return -1;
#endif
}

// State shared with helpers. It outlives the call, because a helper may come late and find the team closed: the last owner deletes it. It has
// its own count of owners, because with std::shared_ptr the library does not load before glibc 2.32.
struct Control {
  static constexpr int closed = 1 << 20;

  TeamWork work;
  int wanted;  // helpers
  std::unique_ptr<Progress[]> barriers{new Progress[static_cast<size_t>(wanted) + 1]};
  Team team{barriers.get()};
  std::atomic<int> owners{wanted + 1};
  std::thread::id caller = std::this_thread::get_id();
  std::atomic<int> callers_core{this_core()};
  std::atomic<int> joined{0};  // helpers, plus `closed`
  std::atomic<int64_t> next_task{0}, tasks_done{0};
  std::atomic<bool> go{false};
  std::atomic<int> finished{0};

  explicit Control(const TeamWork& work, int wanted) : work(work), wanted(wanted) {}

  void prepare() {
    for (;;) {
      int64_t task = next_task.fetch_add(1, std::memory_order_relaxed);
      if (task >= work.prepare_count) return;
      work.prepare(work.self, task);
      tasks_done.fetch_add(1, std::memory_order_acq_rel);
    }
  }

  void help() {
    // A pool that cannot take work runs it in the calling thread, which does not count as a helper.
    if (std::this_thread::get_id() == caller) return;
    int count = joined.load(std::memory_order_acquire);
    do {
      if (count >= wanted) return;  // closed, or full
    } while (!joined.compare_exchange_weak(count, count + 1, std::memory_order_acq_rel));
    OffCore off(callers_core.load(std::memory_order_relaxed));
    prepare();
    spin_until([&] { return go.load(std::memory_order_acquire); });
    work.body(work.self, team, count + 1);
    finished.fetch_add(1, std::memory_order_acq_rel);
  }
};

struct Release {
  void operator()(Control* control) const {
    if (control->owners.fetch_sub(1, std::memory_order_acq_rel) == 1) delete control;
  }
};
using Owner = std::unique_ptr<Control, Release>;

void run_helper(void* data) { Owner(static_cast<Control*>(data))->help(); }

}  // namespace

Pool::~Pool() = default;

void Progress::wait_for(int64_t count) const {
  spin_until([&] { return reached() >= count; });
}

Progresses::Progresses(int64_t count) : all_(new Progress[static_cast<size_t>(count)]) {}
Progresses::~Progresses() { delete[] all_; }

// A dissemination barrier: in round k each thread signals, and waits for the thread 2^k further on. With two threads, each reads one line of the other.
void Team::barrier(int thread) {
  for (int far = 1; far < size_; far *= 2) {
    const int64_t next = barriers_[thread].reached() + 1;
    barriers_[thread].reach(next);
    barriers_[(thread + far) % size_].wait_for(next);
  }
}

void run_team(Pool& pool, int max_threads, const TeamWork& work) {
  if (max_threads <= 1) {
    for (int64_t task = 0; task < work.prepare_count; ++task) work.prepare(work.self, task);
    Team alone;
    work.body(work.self, alone, 0);
    return;
  }
  Owner control(new Control(work, max_threads - 1));
  for (int i = 1; i < max_threads; ++i) pool.schedule(run_helper, control.get());
  control->prepare();

  // A helper may be about to wake up on this very core, so yield in every iteration.
  auto patience = std::chrono::duration<double>(work.estimated_seconds * 0.3 + 200e-6);
  auto start = Clock::now();
  while (control->joined.load(std::memory_order_acquire) < max_threads - 1 && Clock::now() - start < patience)
    std::this_thread::yield();
  int helpers = control->joined.fetch_or(Control::closed, std::memory_order_acq_rel);
  control->team.set_size(helpers + 1);
  spin_until([&] { return control->tasks_done.load(std::memory_order_acquire) >= work.prepare_count; });
  control->go.store(true, std::memory_order_release);
  work.body(work.self, control->team, 0);
  spin_until([&] { return control->finished.load(std::memory_order_acquire) >= helpers; });
}

int choose_threads(const Pool& pool, double flops) {
  // Below about 50 microseconds of work, waking a thread costs more than it saves. A split that a test asks for is always made.
  if (flops < 6e6 && forced_split() == Split::choose) return 1;
  int threads = pool.size();
  return threads < 1 ? 1 : threads > 64 ? 64 : threads;
}

Split forced_split() {
  static const Split split = [] {
    const char* value = std::getenv("JAX_LSTM_SPLIT");
    if (value && !std::strcmp(value, "batch")) return Split::batch;
    if (value && !std::strcmp(value, "hidden")) return Split::hidden;
    return Split::choose;
  }();
  return split;
}

}  // namespace jax_lstm
