// The version of XLA's foreign function interface that the library is built for, 1000 * major + minor. Python compares it with that of
// the jaxlib that runs before it registers the handlers: with one that is too new, JAX's whole CPU platform would fail to start.
#include "xla/ffi/api/c_api.h"

extern "C" __attribute__((visibility("default"))) int jax_lstm_ffi_api() { return 1000 * XLA_FFI_API_MAJOR + XLA_FFI_API_MINOR; }
