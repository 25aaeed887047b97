"""Compiling the library: an install without a compiler goes on, unless the environment says that it must not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

pytest.importorskip("setuptools", minversion="77")


@pytest.mark.parametrize("required", [False, True])
def test_without_a_compiler(required: bool, tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "setup.py", "build_ext", "--build-lib", tmp_path / "lib", "--build-temp", tmp_path / "temp"],
        cwd=ROOT,
        env=os.environ | {"CC": "/nonexistent", "CXX": "/nonexistent", "JAX_LSTM_NATIVE": "1" if required else ""},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (built.returncode == 0) == (not required)
    assert ("installed without its native kernel" in built.stderr) == (not required)
    assert not list(tmp_path.rglob("*.so"))
