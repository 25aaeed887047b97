#include "scratch.h"

#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace jax_lstm {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kKeptBytes = size_t{256} << 20;  // in total; what exceeds it is freed

struct Piece {
  void* data;
  size_t bytes;
};

// Never destroyed, because threads of the pool may still run while the process exits.
struct Store {
  std::mutex mutex;
  std::vector<Piece> pieces;
  size_t bytes = 0;
};

Store& store() {
  static Store* store = new Store;
  return *store;
}

}  // namespace

Scratch::Scratch(size_t bytes) : data_(nullptr), bytes_(0) {
  {
    Store& kept = store();
    std::lock_guard<std::mutex> lock(kept.mutex);
    // The smallest piece that is large enough. There are at most 64, so a linear search will do.
    size_t best = kept.pieces.size();
    for (size_t i = 0; i < kept.pieces.size(); ++i)
      if (kept.pieces[i].bytes >= bytes && (best == kept.pieces.size() || kept.pieces[i].bytes < kept.pieces[best].bytes)) best = i;
    if (best < kept.pieces.size()) {
      data_ = kept.pieces[best].data;
      bytes_ = kept.pieces[best].bytes;
      kept.bytes -= bytes_;
      kept.pieces[best] = kept.pieces.back();
      kept.pieces.pop_back();
      return;
    }
  }
  size_t unit = bytes > kHugePage / 4 ? kHugePage : 4096;
  bytes_ = (bytes + unit) / unit * unit;
  if (posix_memalign(&data_, unit, bytes_)) throw std::bad_alloc();
  prefer_huge_pages(data_, bytes_);
}

Scratch::~Scratch() {
  Store& kept = store();
  {
    std::lock_guard<std::mutex> lock(kept.mutex);
    if (kept.bytes + bytes_ <= kKeptBytes && kept.pieces.size() < 64) {
      kept.pieces.push_back({data_, bytes_});
      kept.bytes += bytes_;
      return;
    }
  }
  std::free(data_);
}

void prefer_huge_pages(void* data, size_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (bytes < kHugePage) return;
  uintptr_t begin = (reinterpret_cast<uintptr_t>(data) + kHugePage - 1) & ~(kHugePage - 1);
  uintptr_t end = (reinterpret_cast<uintptr_t>(data) + bytes) & ~(kHugePage - 1);
  if (end > begin) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#else
  (void)data;
  (void)bytes;
#endif
}

}  // namespace jax_lstm
