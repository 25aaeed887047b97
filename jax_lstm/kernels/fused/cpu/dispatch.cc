#include "dispatch.h"

#include <cstdlib>
#include <string>

namespace jax_lstm {

extern const Engine kPlainEngine;
#if defined(__x86_64__)
extern const Engine kAvx2Engine, kAvx512Engine, kAvx512Bf16Engine;
#endif

namespace {

Dispatch choose() {
  const char* variable = std::getenv("JAX_LSTM_ISA");
  const std::string wanted = variable ? variable : "";
  bool avx2 = false, avx512 = false, bfloat16 = false;
#if defined(__x86_64__)
  __builtin_cpu_init();
  // These also check that the operating system saves the registers.
  avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl");
  bfloat16 = avx512 && __builtin_cpu_supports("avx512bf16");
  if (avx512 && (wanted.empty() || wanted == "avx512"))
    return {&kAvx512Engine, bfloat16 ? &kAvx512Bf16Engine : &kAvx512Engine, kAvx512Engine.name, bfloat16};
  if (avx2 && (wanted.empty() || wanted == "avx2")) return {&kAvx2Engine, &kAvx2Engine, kAvx2Engine.name, false};
#endif
  if (wanted.empty() || wanted == "plain") return {&kPlainEngine, &kPlainEngine, kPlainEngine.name, false};
  static std::string problem;
  const bool known = wanted == "avx2" || wanted == "avx512";
  problem = "JAX_LSTM_ISA=" + wanted + (known ? " is not available on this CPU" : " is unknown") + "; available:" + (avx512 ? " avx512," : "") +
            (avx2 ? " avx2," : "") + " plain";
  (void)bfloat16;
  return {nullptr, nullptr, problem.c_str(), false};
}

}  // namespace

const Dispatch& dispatch() {
  static const Dispatch chosen = choose();
  return chosen;
}

}  // namespace jax_lstm

// Name of the instruction set in use, or an error message that starts with JAX_LSTM_ISA if that variable asks for one that is not available.
extern "C" __attribute__((visibility("default"))) const char* jax_lstm_isa() { return jax_lstm::dispatch().name; }

extern "C" __attribute__((visibility("default"))) int jax_lstm_has_bf16() { return jax_lstm::dispatch().has_bfloat16; }
