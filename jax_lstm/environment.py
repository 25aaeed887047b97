"""Versions, devices, cores and installed extras; recorded beside every measurement."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax

from jax_lstm.version import __version__

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "torch")
EXTRAS = {
    "torch": ("torch", "compare, tutorial --framework torch, weights in .pt files, convert, parity tests"),
    "interop": ("safetensors", "weights in .safetensors files, convert"),
    "plot": ("matplotlib", "plots of loss curves and forecasts"),
    "data": ("grain", "train --stream; with pyarrow, .parquet files"),
    "log": ("tensorboardX", "train --tensorboard"),
    "sktime": ("sktime", "SktimeForecaster, train labels without a file"),
}


def environment() -> dict[str, Any]:
    """Versions, devices and cores, for JSON; without names of the machine or its user."""
    return {
        "jax_lstm": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_model(),
        "cores": _cores(),
        "packages": {name: has for name in PACKAGES if (has := installed(name))},
        "devices": [f"{device.platform}: {device.device_kind}" for device in jax.devices()],
        "x64": bool(jax.config.read("jax_enable_x64")),
    }


def extras() -> dict[str, bool]:
    """{extra: whether it is installed}."""
    return {extra: find_spec(module) is not None for extra, (module, _) in EXTRAS.items()}


def installed(package: str) -> str | None:
    """The version of a package; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
