"""`jax-lstm convert`: PyTorch checkpoints to safetensors and back."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jax_lstm as jl

Prints = Callable[..., str]


@pytest.fixture
def lstm(tmp_path: Path) -> Any:
    """A PyTorch LSTM whose weights lie in `in.pt`."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    lstm = torch.nn.LSTM(3, 5, num_layers=2, bidirectional=True, dtype=torch.bfloat16)
    torch.save(lstm.state_dict(), tmp_path / "in.pt")
    return lstm


def test_there_and_back(tmp_path: Path, lstm: Any, says: Prints) -> None:
    torch = pytest.importorskip("torch")
    ours, back = tmp_path / "ours.safetensors", tmp_path / "back.pth"
    printed = [line.split() for line in says("convert", tmp_path / "in.pt", ours).splitlines()]
    arrays = jl.load_file(ours)
    assert list(arrays) == list(lstm.state_dict())
    for name, array in arrays.items():
        assert [name, *str(array.shape).split(), "bfloat16"] in printed
    assert printed[-1] == ["16", "arrays,", f"{sum(array.size for array in arrays.values()):,}", "numbers"]
    says("convert", ours, back)
    found = torch.load(back, weights_only=True)
    assert list(found) == list(lstm.state_dict())
    for name, tensor in lstm.state_dict().items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name].view(torch.int16), tensor.view(torch.int16))


def test_a_file_is_replaced_only_if_asked(tmp_path: Path, lstm: Any, says: Prints) -> None:
    out = tmp_path / "out.safetensors"
    out.write_text("mine")
    message = says("convert", tmp_path / "in.pt", out, status=2)
    assert f"`OUT` must be a new file; got {out}, which exists (--overwrite replaces it)" in message
    assert out.read_text() == "mine"
    says("convert", tmp_path / "in.pt", out, "--overwrite")
    assert list(jl.load_file(out)) == list(lstm.state_dict())


@pytest.mark.parametrize(
    ("source", "out", "message"),
    [
        ("none.pt", "out.npz", "out.npz: the name must end in .safetensors, .pt, .pth; got '.npz'"),
        ("in", "out.pt", "in: the name must end in .safetensors, .pt, .pth; got ''"),
        ("none.pt", "out.safetensors", "none.pt: no such file"),
        ("bad.pt", "out.safetensors", "bad.pt: damaged"),
        ("in.pt", "none/out.pt", "cannot be written"),
        ("hostile.pt", "out.safetensors", "hostile.pt: refused"),
    ],
)
def test_files_that_cannot_be_used(
    tmp_path: Path, lstm: Any, says: Prints, source: str, out: str, message: str
) -> None:
    (tmp_path / "bad.pt").write_bytes((tmp_path / "in.pt").read_bytes()[:100])
    pytest.importorskip("torch").save(lstm.state_dict() | {"extra": Hostile(tmp_path / "ran")}, tmp_path / "hostile.pt")
    (line,) = says("convert", tmp_path / source, tmp_path / out, status=2).splitlines()
    assert line.startswith("jax-lstm: error: ")
    assert message in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.pt", "hostile.pt", "in.pt"]


class Hostile:
    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize(
    ("module", "extra", "name"), [("safetensors", "interop", "in.safetensors"), ("torch", "torch", "in.pt")]
)
def test_what_is_missing_is_named(
    tmp_path: Path, says: Prints, monkeypatch: pytest.MonkeyPatch, module: str, extra: str, name: str
) -> None:
    (tmp_path / name).write_bytes(b"anything")
    monkeypatch.setitem(sys.modules, module, None)
    message = says("convert", tmp_path / name, tmp_path / f"out{Path(name).suffix}", status=2)
    assert f"file needs the package {module}: pip install {module}, or the extra `{extra}` of jax-lstm" in message
    monkeypatch.setitem(sys.modules, f"{module}.numpy", None)
    with pytest.raises(jl.MissingExtraError, match=rf"needs the package {module}: pip install {module}, or the extra"):
        jl.save_file({"a": np.zeros(1)}, tmp_path / f"out{Path(name).suffix}")
    assert [path.name for path in tmp_path.iterdir()] == [name]
