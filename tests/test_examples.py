"""The examples in docstrings: each public name has one, and all run as they stand there."""

import doctest
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import jax_lstm as jl

MODULES = {
    "jl": jl, "jl.export": jl.export, "jl.functional": jl.functional, "jl.interop": jl.interop, "jl.kernels": jl.kernels
}  # fmt: skip
NAMES = {f"{module}.{name}": getattr(of, name) for module, of in MODULES.items() for name in of.__all__}
CLASSES = {name: value for name, value in NAMES.items() if isinstance(value, type)}
# Packages that may be missing, by what is in the code of an example that needs one.
PACKAGES = {f"import {name}": name for name in ("equinox", "keras", "onnx", "torch")}
PACKAGES |= {"to_stablehlo": "flatbuffers", ".safetensors": "safetensors"}


def code(documented: Any) -> str:
    """The examples in a docstring, without their output."""
    return "".join(each.source for each in doctest.DocTestParser().get_examples(documented.__doc__ or ""))


def lineage(cls: type) -> list[type]:
    return [base for base in cls.__mro__ if base.__module__.startswith("jax_lstm.")]


def methods(cls: type) -> dict[str, Any]:
    """The public methods and the documented properties that a class itself defines."""
    return {
        name: value
        for name, value in vars(cls).items()
        if name == "__call__" or not name.startswith("_")
        if callable(value) or isinstance(value, classmethod) or (isinstance(value, property) and value.__doc__)
    }


@pytest.mark.parametrize("name", [name for name, value in NAMES.items() if not isinstance(value, ModuleType)])
def test_each_name_has_an_example(name: str) -> None:
    """Values, as `KERNELS`, have no docstring; the one of their module has it."""
    module, _, own = name.rpartition(".")
    assert code(NAMES[name]) if callable(NAMES[name]) else own in code(MODULES[module])


@pytest.mark.parametrize(
    ("name", "own"),
    [(name, own) for name, cls in CLASSES.items() for own in dir(cls) if any(own in methods(b) for b in lineage(cls))],
)
def test_each_method_has_an_example(name: str, own: str) -> None:
    """In its own docstring or that of its class, or of a base from which the class has it."""
    called = rf"(\w+) = [\w.]*{CLASSES[name].__name__}\(.*\b\1\(" if own == "__call__" else rf"\.{own}\b"
    bases = lineage(CLASSES[name])
    assert any(code(methods(base).get(own)) or re.search(called, code(base), re.DOTALL) for base in bases)


BASES = {base.__name__: base for cls in CLASSES.values() for base in lineage(cls)}
METHODS = {f"{name}.{own}": value for name, base in BASES.items() for own, value in methods(base).items()}
EXAMPLES = {str(of.__doc__): name for name, of in (BASES | METHODS | MODULES | NAMES).items() if code(of)}


@pytest.mark.slow
@pytest.mark.parametrize(("docstring", "name"), EXAMPLES.items(), ids=EXAMPLES.values())
def test_examples_run(docstring: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JAX_LSTM_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    example = doctest.DocTestParser().get_doctest(docstring, {}, name, None, None)
    for needle, package in PACKAGES.items():
        if any(needle in each.source for each in example.examples):
            pytest.importorskip(package)
    report: list[str] = []
    doctest.DocTestRunner().run(example, out=report.append)
    if report:
        pytest.fail("".join(report), pytrace=False)
