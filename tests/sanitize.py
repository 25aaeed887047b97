"""Run the C++ of the native kernel under sanitizers: `python tests/sanitize.py` (under two minutes on two cores).

It builds the kernels with a driver that needs neither Python nor XLA, `kernels/fused/cpu/stress/stress.cc`, which
runs a small grid of sizes and options on threads of its own. This is done once under AddressSanitizer together with
UndefinedBehaviorSanitizer, and once under ThreadSanitizer, each with every instruction set that this CPU has. CXX names
the compiler.
"""

import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "jax_lstm" / "kernels" / "fused" / "cpu"
SANITIZERS = ("address,undefined", "thread")
SETS = ("amx", "avx512", "avx2", "plain")
FLAGS = ["-std=c++17", "-O1", "-g1", "-fno-omit-frame-pointer", "-fno-math-errno", "-pthread"]
OPTIONS = {
    "ASAN_OPTIONS": "halt_on_error=1:detect_leaks=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1",
}
SECONDS = 300


def build(sanitizer: str, folder: Path) -> Path:
    compiler = os.environ.get("CXX", "c++")
    flags = [*FLAGS, f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all"]
    sources = [
        path for path in sorted(FOLDER.glob("*.cc")) if path.name not in ("ffi.cc", "interface_version.cc")
    ]  # which need XLA

    def compile_one(source: Path) -> str:
        made = str(folder / source.with_suffix(".o").name)
        subprocess.run([compiler, *flags, "-c", str(source), "-o", made], check=True)
        return made

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compile_one, [*sources, FOLDER / "stress" / "stress.cc"]))
    program = folder / "stress"
    subprocess.run([compiler, *flags, *objects, "-o", str(program)], check=True)
    return program


def available(name: str) -> bool:
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return name == "plain" or {"amx": "amx_bf16", "avx512": "avx512f"}.get(name, name) in text.split()


def main() -> int:
    failed = False
    for sanitizer in SANITIZERS:
        with tempfile.TemporaryDirectory() as folder:
            start = time.monotonic()
            program = build(sanitizer, Path(folder))
            print(f"{sanitizer}: built in {time.monotonic() - start:.0f} s", flush=True)
            for name in filter(available, SETS):
                start = time.monotonic()
                environment = os.environ | OPTIONS | {"JAX_LSTM_ISA": name}
                try:
                    code = subprocess.run([str(program)], env=environment, timeout=SECONDS).returncode
                except subprocess.TimeoutExpired:
                    code = "did not end"
                failed |= code != 0
                verdict = "clean" if code == 0 else f"FAILED ({code})"
                print(f"{sanitizer}, {name}: {verdict}, {time.monotonic() - start:.0f} s", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
