// Version of XLA's foreign function interface that the library was built for, as 1000 * major + minor. Python compares it with the version of the
// running jaxlib before it registers the handlers: with handlers built for a newer version, JAX's CPU platform would fail to start.
#include "xla/ffi/api/c_api.h"

extern "C" __attribute__((visibility("default"))) int jax_lstm_ffi_api() { return 1000 * XLA_FFI_API_MAJOR + XLA_FFI_API_MINOR; }

// The table that the library was built with. Python compares it with its own, since a checkout may have been updated without being built again.
extern "C" __attribute__((visibility("default"))) const char* jax_lstm_arrays() {
  return
#define JAX_LSTM_ARRAY(name, axes, type) #name " " #axes " " #type "\n"
#include "../arrays.def"
      ;
}
