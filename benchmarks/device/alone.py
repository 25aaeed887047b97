"""Modules that measure in a process of their own: with flags that XLA reads when it starts, or what may hang."""

import json
import os
import subprocess
import sys
from typing import Any, NamedTuple

import jax

from benchmarks.record import ROOT


class Alone(NamedTuple):
    """What the process printed last, as JSON; or why there is nothing."""

    found: Any = None
    failed: str = ""


def alone(module: str, numbers: tuple[int, ...], seconds: float, flags: str = "") -> Alone:
    """`python -m MODULE PLATFORM NUMBERS...`, ended after so many seconds; `flags` join XLA_FLAGS."""
    command = [sys.executable, "-m", module, jax.default_backend(), *map(str, numbers)]
    env = os.environ | {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()}
    env["JAX_TRACEBACK_FILTERING"] = "off"  # else JAX says something of its own after the error
    try:
        ran = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return Alone(failed=f"not done after {seconds:.0f} s")
    if ran.returncode:
        lines = [line for line in ran.stderr.splitlines() if line.strip()]
        return Alone(failed=lines[-1] if lines else f"exit status {ran.returncode}")
    return Alone(json.loads(ran.stdout.splitlines()[-1]))


def given() -> tuple[int, ...]:
    """The numbers of such a process; it ends where it does not find the platform."""
    asked, *numbers = sys.argv[1:]
    if asked != jax.default_backend():
        sys.exit(f"JAX found no {asked} here, but {jax.default_backend()}")
    return tuple(map(int, numbers))
