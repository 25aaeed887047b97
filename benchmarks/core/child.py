"""Child processes: for code that may hang or abort, or because XLA reads its flags when it starts.

`run` starts `python -m MODULE JSON`, whose last line is its answer as JSON; `answer` is what the module calls.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from benchmarks.core.record import ROOT


class Outcome(NamedTuple):
    """What the child answered; or why it did not."""

    value: Any = None
    failed: str = ""


def command(module: str, *arguments: Any) -> list[str]:
    return [sys.executable, "-m", module, json.dumps(arguments)]


def environment(more: Mapping[str, str], flags: str = "") -> dict[str, str]:
    """The environment of this process with `more`, and with `flags` added to XLA_FLAGS."""
    found = os.environ | {"JAX_TRACEBACK_FILTERING": "off"} | dict(more)  # otherwise JAX prints a note after an error
    return found | ({"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()} if flags else {})


def run(
    module: str, *arguments: Any, seconds: float | None = None, flags: str = "", env: Mapping[str, str] | None = None
) -> Outcome:
    """Run a module with a time limit."""
    try:
        ran = subprocess.run(
            command(module, *arguments), cwd=ROOT, env=environment(env or {}, flags), capture_output=True, text=True,
            timeout=seconds,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Outcome(failed=f"timed out after {seconds:.0f} s")
    if ran.returncode:
        lines = [line for line in ran.stderr.splitlines() if line.strip()]
        return Outcome(failed=lines[-1][:300] if lines else f"exit status {ran.returncode}")
    return Outcome(json.loads(ran.stdout.splitlines()[-1]))


def answer(function: Callable[..., Any]) -> None:
    """Call `function` with the arguments of this process, and print what it returns."""
    print(json.dumps(function(*json.loads(sys.argv[1])), allow_nan=False))
