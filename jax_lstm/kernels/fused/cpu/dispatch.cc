#include "dispatch.h"

#include <cstdlib>
#include <string>

#if defined(JAX_LSTM_COMPILES_AMX)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace jax_lstm {

extern const Engine kPlainEngine;
#if defined(__x86_64__)
extern const Engine kAvx2Engine, kAvx512Engine, kAvx512Bf16Engine;
#endif
#if defined(JAX_LSTM_COMPILES_AMX)
extern const Engine kAmxEngine;
#endif

namespace {

#if defined(JAX_LSTM_COMPILES_AMX)
// Not by __builtin_cpu_supports, for which Clang has no name.
bool has_amx() {
  constexpr unsigned kTiles = 1u << 24, kBfloat16 = 1u << 22;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (edx & kTiles) && (edx & kBfloat16);
}

// Asks Linux for the tile registers, for all threads of this process. A thread that uses them takes 8 KB more to save.
bool may_use_amx() {
  constexpr int kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
#endif

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
#if defined(JAX_LSTM_COMPILES_AMX)
  const bool asked = wanted.empty() || wanted == "amx";
  amx = bfloat16 && has_amx() && (!asked || may_use_amx());
  if (amx && asked) return {&kAvx512Engine, &kAmxEngine, "avx512, amx for bfloat16"};
#endif
  if (bfloat16 && (wanted.empty() || wanted == "avx512")) return {&kAvx512Engine, &kAvx512Bf16Engine, "avx512, avx512_bf16 for bfloat16"};
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
