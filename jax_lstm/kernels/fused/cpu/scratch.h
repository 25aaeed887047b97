// Scratch memory that is kept between calls. Fresh memory would cost page faults at every call.
#pragma once

#include <cstddef>

namespace jax_lstm {

// At least `bytes` bytes, aligned to a cache line, with undefined contents. The destructor returns them for reuse.
class Scratch {
 public:
  explicit Scratch(size_t bytes);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  void* data() const { return data_; }

 private:
  void* data_;
  size_t bytes_;
};

// Requests huge pages for a large array that is about to be written for the first time, if the system has them.
void prefer_huge_pages(void* data, size_t bytes);

}  // namespace jax_lstm
