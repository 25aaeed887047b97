"""Run a module in a child process: because XLA reads its flags when it starts, or because the code may hang."""

import json
import os
import subprocess
import sys
from typing import Any, NamedTuple

import jax

from benchmarks.record import ROOT


class Outcome(NamedTuple):
    """The last line that the child printed, as JSON; or why there is none."""

    value: Any = None
    failed: str = ""


def run_child(module: str, numbers: tuple[int, ...], seconds: float, flags: str = "") -> Outcome:
    """Run `python -m MODULE PLATFORM NUMBERS...` with a timeout; `flags` are added to XLA_FLAGS."""
    command = [sys.executable, "-m", module, jax.default_backend(), *map(str, numbers)]
    env = os.environ | {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()}
    env["JAX_TRACEBACK_FILTERING"] = "off"  # otherwise JAX prints a note after the error
    try:
        ran = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return Outcome(failed=f"timed out after {seconds:.0f} s")
    if ran.returncode:
        lines = [line for line in ran.stderr.splitlines() if line.strip()]
        return Outcome(failed=lines[-1] if lines else f"exit status {ran.returncode}")
    return Outcome(json.loads(ran.stdout.splitlines()[-1]))


def child_arguments() -> tuple[int, ...]:
    """The numbers that a child was given; it exits if JAX runs on another platform than its parent's."""
    platform, *numbers = sys.argv[1:]
    if platform != jax.default_backend():
        sys.exit(f"JAX runs on {jax.default_backend()}; not on {platform}")
    return tuple(map(int, numbers))
