"""The native kernel where it needs a process of its own: instruction sets, several devices, several threads."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SECONDS = 240  # far more than any takes: what runs longer waits for ever


def run(*arguments: str, devices: int = 1, **environment: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(HERE.parent), str(HERE.parent.parent), os.environ.get("PYTHONPATH", "")])
    flags = f"--xla_force_host_platform_device_count={devices}"
    return subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | {"PYTHONPATH": path, "XLA_FLAGS": flags} | environment,
        timeout=SECONDS,
        capture_output=True,
        text=True,
    )


def assert_agrees(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.split()[-1] == "agrees"


def available(instructions: str) -> bool:
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return instructions in text.split()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["amx", "avx512", "avx2", "plain"])
def test_instruction_sets(name: str) -> None:
    needed = {"amx": "amx_bf16", "avx512": "avx512f", "avx2": "avx2"}.get(name)
    if needed and not available(needed):
        pytest.skip(f"this CPU has no {name}")
    assert_agrees(run(str(HERE / "in_set.py"), JAX_LSTM_ISA=name))


@pytest.mark.slow
def test_an_unknown_instruction_set_is_an_error_by_name() -> None:
    show = "from jax_lstm.kernels.fused import native_status, unavailable; print(native_status()); assert unavailable()"
    done = run("-c", show, JAX_LSTM_ISA="mmx")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("not available: JAX_LSTM_ISA=mmx is unknown")


@pytest.mark.parametrize(
    ("part", "devices"),
    [("kernel", 2), *(pytest.param(*each, marks=pytest.mark.slow) for each in (("kernel", 8), ("modules", 2)))],
)
def test_sharded(part: str, devices: int) -> None:
    """`jit` keeps the rows where they are and sums the gradients; `shard_map` in all its forms."""
    assert_agrees(run(str(HERE / "on_devices.py"), part, devices=devices))


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 8])
def test_threads(devices: int) -> None:
    """Four Python threads at once; eight devices on whatever cores there are. Neither waits for ever."""
    assert_agrees(run(str(HERE / "in_threads.py"), str(devices), devices=devices))
