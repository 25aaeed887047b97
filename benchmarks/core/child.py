"""Calls in child processes: for code that may hang or abort, or because XLA reads its flags when it starts.

`run` starts `python -m benchmarks.core.child CALL`: a pickled function of a module and its arguments. The last line of
its output is the pickled result.
"""

import base64
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from benchmarks.core.machine import ROOT


class Outcome(NamedTuple):
    """What the child answered; or why it did not."""

    value: Any = None
    failed: str = ""


def command(function: Callable[..., Any], *arguments: Any) -> list[str]:
    return [sys.executable, "-m", "benchmarks.core.child", _packed((function, arguments))]


def environment(more: Mapping[str, str], flags: str = "") -> dict[str, str]:
    """The environment of this process with `more`, and with `flags` added to XLA_FLAGS."""
    found = os.environ | {"JAX_TRACEBACK_FILTERING": "off"} | dict(more)  # otherwise JAX prints a note after an error
    return found | ({"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()} if flags else {})


def run(
    function: Callable[..., Any],
    *arguments: Any,
    seconds: float | None = None,
    flags: str = "",
    env: Mapping[str, str] | None = None,
) -> Outcome:
    """Call a function in a child, with a time limit."""
    asked, options = command(function, *arguments), {"cwd": ROOT, "env": environment(env or {}, flags)}
    try:
        ran = subprocess.run(asked, **options, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return Outcome(failed=f"timed out after {seconds:.0f} s")
    if ran.returncode:
        lines = [line for line in ran.stderr.splitlines() if line.strip()]
        return Outcome(failed=lines[-1][:300] if lines else f"exit status {ran.returncode}")
    return Outcome(_unpacked(ran.stdout.splitlines()[-1]))


def _packed(value: Any) -> str:
    return base64.b64encode(pickle.dumps(value)).decode()


def _unpacked(text: str) -> Any:
    return pickle.loads(base64.b64decode(text))


if __name__ == "__main__":
    function, arguments = _unpacked(sys.argv[1])
    print(_packed(function(*arguments)))
