#include "dispatch.h"

#include <cstdlib>
#include <string>

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace jax_lstm {

extern const Engine kPlainEngine;
#if defined(__x86_64__)
extern const Engine kAvx2Engine, kAvx512Engine, kAvx512Bf16Engine, kAmxEngine;
#endif

namespace {

// Whether this process may use the tile registers of AMX: Linux wants to be asked, because a thread that uses them takes 8 KB more to save.
bool allows_amx() {
#if defined(__x86_64__) && defined(__linux__)
  constexpr int kRequestPermission = 0x1023, kTileData = 18;
  return __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-bf16") && syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

Dispatch choose() {
  const char* variable = std::getenv("JAX_LSTM_ISA");
  const std::string wanted = variable ? variable : "";
  bool avx2 = false, avx512 = false, amx = false;
#if defined(__x86_64__)
  __builtin_cpu_init();
  // These also check that the operating system saves the registers.
  avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl");
  const bool bfloat16 = avx512 && __builtin_cpu_supports("avx512bf16");
  amx = bfloat16 && allows_amx();
  if (amx && (wanted.empty() || wanted == "amx")) return {&kAvx512Engine, &kAmxEngine, "avx512, amx for bfloat16"};
  if (bfloat16 && (wanted.empty() || wanted == "avx512")) return {&kAvx512Engine, &kAvx512Bf16Engine, "avx512, also for bfloat16"};
  if (avx512 && (wanted.empty() || wanted == "avx512")) return {&kAvx512Engine, &kAvx512Engine, "avx512"};
  if (avx2 && (wanted.empty() || wanted == "avx2")) return {&kAvx2Engine, &kAvx2Engine, "avx2"};
#endif
  if (wanted.empty() || wanted == "plain") return {&kPlainEngine, &kPlainEngine, "plain"};
  static std::string problem;
  const bool known = wanted == "amx" || wanted == "avx2" || wanted == "avx512";
  problem = "JAX_LSTM_ISA=" + wanted + (known ? " is not available on this CPU" : " is unknown") + "; available:" + (amx ? " amx," : "") + (avx512 ? " avx512," : "") +
            (avx2 ? " avx2," : "") + " plain";
  return {nullptr, nullptr, problem.c_str()};
}

}  // namespace

const Dispatch& dispatch() {
  static const Dispatch chosen = choose();
  return chosen;
}

}  // namespace jax_lstm

// Name of the instruction set in use, or an error message that starts with JAX_LSTM_ISA if that variable asks for one that is not available.
extern "C" __attribute__((visibility("default"))) const char* jax_lstm_isa() { return jax_lstm::dispatch().name; }
