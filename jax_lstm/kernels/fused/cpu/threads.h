// A team of threads for one call: the caller and whichever of the pool's threads come in time.
//
// XLA runs our handler on a thread of its own and lends a pool, which may be busy with other work, or with other calls of ours that wait
// likewise. So a helper is never counted on: the caller packs the weights meanwhile, gives helpers a bounded time to join, closes
// the team, and goes on with those that came. Those are running threads, hence barriers among them end.
#pragma once

#include <atomic>
#include <cstdint>

namespace jax_lstm {

// Threads that can be asked to run something. The FFI handlers wrap XLA's pool in it.
class Pool {
 public:
  virtual ~Pool();
  virtual int size() const = 0;
  virtual void schedule(void (*run)(void*), void* data) = 0;
};

class Team {
 public:
  explicit Team(int size = 1) : size_(size) {}
  int size() const { return size_; }
  void set_size(int size) { size_ = size; }
  // Returns when every thread of the team has called it; what they wrote before is visible after.
  void barrier();

 private:
  int size_;
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<int> round_{0};
};

struct TeamWork {
  void* self;
  // Independent tasks 0..prepare_count-1, shared out as threads come; all done before `body` starts anywhere.
  int64_t prepare_count;
  void (*prepare)(void* self, int64_t task);
  // Runs once on every thread of the team, `thread` from 0 to team.size() - 1.
  void (*body)(void* self, Team& team, int thread);
  double estimated_seconds;  // of `body` on one thread: how long it is worth waiting for a helper
};

// Runs `work` on at most `max_threads` threads, the calling one among them.
void run_team(Pool& pool, int max_threads, const TeamWork& work);

// How many threads a call of so many operations is worth: those of the pool, or 1 for a small one.
int choose_threads(const Pool& pool, double flops);

// How rows and hidden units are to be divided: by JAX_LSTM_SPLIT ("batch" or "hidden"; for tests), else as the kernels see fit.
enum class Split { choose, batch, hidden };
Split forced_split();

}  // namespace jax_lstm
