// Runs Forward or Backward over a stack of layers and all members of an ensemble, on as many threads as pay off.
//
// An Op is constructed for one member of one layer, a maximum number of threads, and the neighbours that it keeps in step with. It has
//   static double flops(args)              for one member, including packing
//   static int64_t layer(place, count)     the layer to run at this place of the order, of `count` layers
//   int busy_threads()                     how many of its threads would have work
//   bool advances_with_others(parts, threads)   whether a thread should run it alone, at the same time as other layers; there are as many such parts
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

// The layers before and after in the order of a stack: the steps to wait for, and those to report. Null if there is none.
struct Neighbours {
  const Progress* before;
  Progress* own;
};

template <class Op>
size_t scratch_bytes(const Args& args, int threads) {
  Arena counting;
  Op(args, 0, threads, {}).lay_out(counting);
  return counting.used();
}

constexpr double kAssumedFlopsPerSecond = 50e9;  // per thread; only decides how long to wait for helpers

// Layers that follow each other in the order, each with all members.
template <class Op>
struct Group {
  const Args* layers;  // of the whole stack
  int64_t count, first, size;

  const Args& operator[](int64_t i) const { return layers[Op::layer(first + i, count)]; }
};

// Every thread runs whole layers of members alone. The layers advance together, each a few steps behind the one before it. A part waits only for an
// earlier one, and each thread runs its parts in order, so this ends with any number of threads.
template <class Op>
struct PartsInParallel {
  const Group<Op>& group;
  const Progresses progress;  // by part
  const size_t bytes;
  char* scratch;

  static void body(void* self, Team& team, int thread) {
    auto& run = *static_cast<PartsInParallel*>(self);
    const int64_t members = run.group.layers->shape.members, parts = members * run.group.size;
    for (int64_t part = thread; part < parts; part += team.size()) {
      const bool waits = part >= members, reports = part + members < parts;
      Arena arena(run.scratch + run.bytes * static_cast<size_t>(thread));
      Op op(run.group[part / members], part % members, 1, {waits ? run.progress.at(part - members) : nullptr, reports ? run.progress.at(part) : nullptr});
      op.lay_out(arena);
      for (int64_t i = 0; i < op.prepare_count(); ++i) op.prepare(i);
      Team alone;
      op.body(alone, 0);
    }
  }
};

template <class Op>
void run_parts(const Group<Op>& group, Pool& pool, int available, double seconds) {
  const int64_t parts = group.layers->shape.members * group.size;
  const int threads = static_cast<int>(smaller(parts, available));
  size_t bytes = 0;
  for (int64_t i = 0; i < group.size; ++i)
    if (const size_t own = scratch_bytes<Op>(group[i], 1); own > bytes) bytes = own;
  Scratch scratch(bytes * static_cast<size_t>(threads));
  PartsInParallel<Op> all{group, Progresses(parts), bytes, static_cast<char*>(scratch.data())};
  run_team(pool, threads, {&all, 0, nullptr, PartsInParallel<Op>::body, seconds});
}

// Runs one layer, member by member, each on all of `busy` threads.
template <class Op>
void run_members(const Args& args, Pool& pool, int busy, double seconds) {
  Scratch scratch(scratch_bytes<Op>(args, busy));
  for (int64_t member = 0; member < args.shape.members; ++member) {
    Arena arena(scratch.data());
    Op op(args, member, busy, {});
    op.lay_out(arena);
    TeamWork work{&op, op.prepare_count(), [](void* self, int64_t i) { static_cast<Op*>(self)->prepare(i); },
                  [](void* self, Team& team, int thread) { static_cast<Op*>(self)->body(team, thread); }, seconds / static_cast<double>(args.shape.members)};
    run_team(pool, busy, work);
  }
}

template <class Op>
void run(const Args* layers, int64_t count, Pool& pool) {
  const int64_t members = layers->shape.members;
  if (members == 0) return;
  double flops = 0, most = 0;
  const Args* widest = layers;  // the layer with most work
  for (int64_t layer = 0; layer < count; ++layer) {
    const double own = Op::flops(layers[layer]) * static_cast<double>(members);
    if (own > most) most = own, widest = layers + layer;
    flops += own;
  }
  const int available = choose_threads(pool, flops);
  const Op widest_op(*widest, 0, available, {});
  int64_t together = 1;  // layers
  // Layers that advance together take as long as the widest, so they must be of much the same size.
  if (members >= widest_op.busy_threads()) together = count;
  else if (static_cast<double>(count) * most <= 1.4 * flops && widest_op.advances_with_others(members * count, available)) together = larger(1, available / members);
  for (Group<Op> group{layers, count, 0, 0}; group.first < count; group.first += group.size) {
    group.size = smaller(together, count - group.first);
    const Args& args = group[0];
    const int busy = Op(args, 0, available, {}).busy_threads();
    const double seconds = flops / static_cast<double>(count) * static_cast<double>(group.size) / kAssumedFlopsPerSecond;
    if (group.size > 1 || members >= busy) run_parts(group, pool, available, seconds);
    else run_members<Op>(args, pool, busy, seconds);
  }
}

}  // namespace JAX_LSTM_ISA
}  // namespace jax_lstm
