// Scratch memory that is kept between calls: fresh pages would be faulted in, and cleared by the system, at every call.
#pragma once

#include <cstddef>

namespace jax_lstm {

// A piece of at least `bytes` bytes, aligned to a cache line, its contents undefined; goes back to the store at the end of its scope.
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

// Asks for huge pages behind a large array that is about to be written for the first time, where the system has such.
void prefer_huge_pages(void* data, size_t bytes);

}  // namespace jax_lstm
