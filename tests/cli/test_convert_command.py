"""`jax-lstm convert`: PyTorch checkpoints to safetensors and back."""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jax_lstm as jl
from jax_lstm.cli import main


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def lstm(tmp_path: Path) -> Any:
    """A PyTorch LSTM whose weights lie in `in.pt`."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    lstm = torch.nn.LSTM(3, 5, num_layers=2, bidirectional=True, dtype=torch.bfloat16)
    torch.save(lstm.state_dict(), tmp_path / "in.pt")
    return lstm


def convert(*arguments: Any) -> int:
    return main(["convert", *map(str, arguments)])


def fails(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    assert convert(*arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("jax-lstm: error: ")
    return line


def test_there_and_back(tmp_path: Path, lstm: Any, capsys: pytest.CaptureFixture[str]) -> None:
    torch = pytest.importorskip("torch")
    ours, back = tmp_path / "ours.safetensors", tmp_path / "back.pth"
    assert convert(tmp_path / "in.pt", ours) == 0
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    arrays = jl.load_file(ours)
    assert list(arrays) == list(lstm.state_dict())
    for name, array in arrays.items():
        assert [name, *str(array.shape).split(), "bfloat16"] in printed
    assert printed[-1] == ["16", "arrays,", f"{sum(array.size for array in arrays.values()):,}", "numbers"]
    assert convert(ours, back) == 0
    found = torch.load(back, weights_only=True)
    assert list(found) == list(lstm.state_dict())
    twin = torch.nn.LSTM(3, 5, num_layers=2, bidirectional=True, dtype=torch.bfloat16)
    twin.load_state_dict(found, strict=True)
    for name, tensor in lstm.state_dict().items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name].view(torch.int16), tensor.view(torch.int16))


def test_a_file_is_replaced_only_if_asked(tmp_path: Path, lstm: Any, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.safetensors"
    out.write_text("mine")
    message = fails(capsys, tmp_path / "in.pt", out)
    assert f"`OUT` must be a new file; got {out}, which exists (--overwrite replaces it)" in message
    assert out.read_text() == "mine"
    assert convert(tmp_path / "in.pt", out, "--overwrite") == 0
    assert list(jl.load_file(out)) == list(lstm.state_dict())


def test_names_must_end_in_what_is_known(tmp_path: Path, lstm: Any, capsys: pytest.CaptureFixture[str]) -> None:
    ending = "the name must end in .safetensors, .pt, .pth; got"
    assert f"out.npz: {ending} '.npz'" in fails(capsys, tmp_path / "none.pt", tmp_path / "out.npz")
    assert f"in: {ending} ''" in fails(capsys, tmp_path / "in", tmp_path / "out.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["in.pt"]


def test_files_that_cannot_be_used(tmp_path: Path, lstm: Any, capsys: pytest.CaptureFixture[str]) -> None:
    out, bad = tmp_path / "out.safetensors", tmp_path / "bad.pt"
    assert f"{bad}: no such file" in fails(capsys, bad, out)
    bad.write_bytes((tmp_path / "in.pt").read_bytes()[:100])
    assert f"{bad}: damaged" in fails(capsys, bad, out)
    assert "cannot be written" in fails(capsys, tmp_path / "in.pt", tmp_path / "none" / "out.pt")
    assert not out.exists()


class Hostile:
    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


def test_a_hostile_checkpoint_does_not_run(tmp_path: Path, lstm: Any, capsys: pytest.CaptureFixture[str]) -> None:
    torch = pytest.importorskip("torch")
    torch.save(lstm.state_dict() | {"extra": Hostile(tmp_path / "trace")}, tmp_path / "in.pt")
    assert "in.pt: refused" in fails(capsys, tmp_path / "in.pt", tmp_path / "out.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["in.pt"]


@pytest.mark.parametrize(
    ("module", "extra", "name"), [("safetensors", "interop", "in.safetensors"), ("torch", "torch", "in.pt")]
)
def test_what_is_missing_is_named(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    extra: str,
    name: str,
) -> None:
    (tmp_path / name).write_bytes(b"anything")
    monkeypatch.setitem(sys.modules, module, None)
    message = fails(capsys, tmp_path / name, tmp_path / f"out{Path(name).suffix}")
    assert f"needs {module}: pip install 'jax-lstm[{extra}]'" in message
    monkeypatch.setitem(sys.modules, f"{module}.numpy", None)
    with pytest.raises(jl.MissingExtraError, match=rf"needs {module}.*: pip install 'jax-lstm\[{extra}\]'"):
        jl.save_file({"a": np.zeros(1)}, tmp_path / f"out{Path(name).suffix}")
    assert [path.name for path in tmp_path.iterdir()] == [name]
