// A team of threads for one call: the caller and those of the pool's threads that join in time.
//
// XLA runs the handler on one of its threads and lends a pool, which may be busy with other work or with other calls of the handler that are waiting
// too. So helpers cannot be relied on: the caller packs the weights, gives helpers a bounded time to join, closes the team, and continues with those
// that came. All threads of a closed team are running, so its barriers cannot deadlock.
#pragma once

#include <atomic>
#include <cstdint>

namespace jax_lstm {

// A thread pool. The FFI handlers wrap XLA's.
class Pool {
 public:
  virtual ~Pool();
  virtual int size() const = 0;
  virtual void schedule(void (*run)(void*), void* data) = 0;
};

// A count that one thread raises and others wait for, in a cache line of its own: the barriers that a thread has reached, or the steps of its sequence
// that a layer of a stack has done.
class alignas(64) Progress {
 public:
  int64_t reached() const { return count_.load(std::memory_order_acquire); }
  // What the caller wrote before is visible to whoever waits for this count.
  void reach(int64_t count) { count_.store(count, std::memory_order_release); }
  void wait_for(int64_t count) const;

 private:
  std::atomic<int64_t> count_{0};
};

class Team {
 public:
  explicit Team(Progress* barriers = nullptr, int size = 1) : barriers_(barriers), size_(size) {}
  int size() const { return size_; }
  void set_size(int size) { size_ = size; }
  // Returns when every thread of the team has called it. What they wrote before is then visible to all.
  void barrier(int thread);

 private:
  Progress* barriers_;  // by thread
  int size_;
};

// An array of them.
class Progresses {
 public:
  explicit Progresses(int64_t count);
  ~Progresses();
  Progresses(const Progresses&) = delete;
  Progresses& operator=(const Progresses&) = delete;
  Progress* at(int64_t i) const { return all_ + i; }

 private:
  Progress* all_;
};

struct TeamWork {
  void* self;
  // Independent tasks 0..prepare_count-1, which threads take as they come. All are done before any thread starts `body`.
  int64_t prepare_count;
  void (*prepare)(void* self, int64_t task);
  // Runs once on every thread of the team, `thread` from 0 to team.size() - 1.
  void (*body)(void* self, Team& team, int thread);
  double estimated_seconds;  // of `body` on one thread; decides how long to wait for helpers
};

// Runs `work` on at most `max_threads` threads, including the calling one.
void run_team(Pool& pool, int max_threads, const TeamWork& work);

// Number of threads for a call of `flops` operations: the size of the pool, or 1 for a small call.
int choose_threads(const Pool& pool, double flops);

// How threads divide the work: JAX_LSTM_SPLIT ("batch" or "hidden") forces it for tests; otherwise the kernels choose.
enum class Split { choose, batch, hidden };
Split forced_split();

}  // namespace jax_lstm
