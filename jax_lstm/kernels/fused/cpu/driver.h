// Runs Forward or Backward over all members of an ensemble, on as many threads as pay off.
//
// An Op is constructed for one member and a maximum number of threads. It has
//   static double flops(args)              for one member, including packing
//   int busy_threads()                     how many of its threads would have work
//   void lay_out(Arena&)                   allocates its scratch memory
//   int64_t prepare_count(), prepare(i)    independent tasks to run first
//   void body(Team&, int thread)           the work of one thread
#pragma once

namespace jax_lstm {
namespace JAX_LSTM_ISA {

// The part [begin, end) of n items that one thread works on.
struct Range {
  int64_t begin, end;
};
JAX_LSTM_INLINE Range share(int64_t n, int thread, int threads) { return {n * thread / threads, n * (thread + 1) / threads}; }

template <class Op>
size_t scratch_bytes(const Args& args, int threads) {
  Arena counting;
  Op(args, 0, threads).lay_out(counting);
  return counting.used();
}

constexpr double kAssumedFlopsPerSecond = 50e9;  // per thread; only decides how long to wait for helpers

// For at least as many members as threads that one member keeps busy: every thread runs whole members alone.
template <class Op>
struct MembersInParallel {
  const Args& args;
  char* scratch;
  size_t bytes;

  static void body(void* self, Team& team, int thread) {
    auto& run = *static_cast<MembersInParallel*>(self);
    for (int64_t member = thread; member < run.args.shape.members; member += team.size()) {
      Arena arena(run.scratch + run.bytes * static_cast<size_t>(thread));
      Op op(run.args, member, 1);
      op.lay_out(arena);
      for (int64_t i = 0; i < op.prepare_count(); ++i) op.prepare(i);
      Team alone;
      op.body(alone, 0);
    }
  }
};

template <class Op>
void run(const Args& args, Pool& pool) {
  const int64_t members = args.shape.members;
  const double flops = Op::flops(args);
  const int available = choose_threads(pool, flops * static_cast<double>(members)), busy = Op(args, 0, available).busy_threads();
  if (members >= busy) {
    const int threads = static_cast<int>(smaller(members, available));
    const size_t bytes = scratch_bytes<Op>(args, 1);
    Scratch scratch(bytes * static_cast<size_t>(threads));
    MembersInParallel<Op> all{args, static_cast<char*>(scratch.data()), bytes};
    run_team(pool, threads, {&all, 0, nullptr, MembersInParallel<Op>::body, flops * static_cast<double>(members) / kAssumedFlopsPerSecond});
    return;
  }
  Scratch scratch(scratch_bytes<Op>(args, busy));
  for (int64_t member = 0; member < members; ++member) {
    Arena arena(scratch.data());
    Op op(args, member, busy);
    op.lay_out(arena);
    TeamWork work{&op, op.prepare_count(), [](void* self, int64_t i) { static_cast<Op*>(self)->prepare(i); },
                  [](void* self, Team& team, int thread) { static_cast<Op*>(self)->body(team, thread); }, flops / kAssumedFlopsPerSecond};
    run_team(pool, busy, work);
  }
}

}  // namespace JAX_LSTM_ISA
}  // namespace jax_lstm
