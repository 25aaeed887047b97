"""Weight files: exact to the bit, written completely or not at all, and never a source of code."""

import contextlib
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from drawn import drawn
from flax import nnx

import jax_lstm as jl
from jax_lstm.weights.tensors import DTYPES

SUFFIXES = (".safetensors", ".pt")
EVERY_16_BITS = np.arange(2**16).astype(np.uint16)  # including every NaN, infinity and subnormal


@pytest.fixture(params=SUFFIXES)
def suffix(request: pytest.FixtureRequest) -> str:
    pytest.importorskip("safetensors" if request.param == ".safetensors" else "torch")
    return request.param


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """Names, order, types, shapes and bits are the same."""
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape), name
        assert found[name].tobytes() == array.tobytes(), name


def make_model(seed: int = 0) -> jl.LSTMModel:
    return drawn(lambda: jl.LSTMModel(3, 5, 2, num_layers=2, rngs=nnx.Rngs(0)), seed)


def test_a_module_round_trip(tmp_path: Path, suffix: str) -> None:
    source, target, path = make_model(0), make_model(1), tmp_path / f"model{suffix}"
    jl.save_file(source, path)
    assert_same(jl.load_file(str(path)), jl.state_dict(source))
    assert jl.load_state_dict(target, jl.load_file(path)) == ([], [])
    assert_same(jl.state_dict(target), jl.state_dict(source))
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_every_type_bit_for_bit_in_the_order_given(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(0)
    arrays = {f"z.{name}": rng.integers(0, 2, (2, 3)).astype(np.dtype(name)) for name in reversed(DTYPES)}
    arrays["y"] = EVERY_16_BITS.view(ml_dtypes.bfloat16)
    arrays["x"] = EVERY_16_BITS.view(np.float16).reshape(256, 256)
    arrays["scalar"] = np.array(-0.0, ml_dtypes.bfloat16)
    arrays["empty"] = np.zeros((0, 3), np.float16)
    jl.save_file(arrays, tmp_path / f"all{suffix}")
    assert_same(jl.load_file(tmp_path / f"all{suffix}"), arrays)


def test_arrays_of_any_memory_layout(tmp_path: Path, suffix: str) -> None:
    array, path = np.arange(6, dtype=np.float32).reshape(2, 3), tmp_path / f"odd{suffix}"
    jl.save_file({"a": array.T, "b": array[:, ::2], "c": array.astype(">f4"), "d": jnp.asarray(array)}, path)
    expected = {"a": array.T, "b": array[:, ::2], "c": array, "d": array}
    assert_same(jl.load_file(path), {name: np.array(value, order="C") for name, value in expected.items()})


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"model{suffix}"
    jl.save_file({"a": np.zeros(3)}, path)
    with pytest.raises(jl.InputError, match="`b` must be an array of real numbers; got complex128"):
        jl.save_file({"a": np.ones(3), "b": np.zeros(1, complex)}, path)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(jl.InputError, match=f"{path}: cannot be written: No space left on device"):
        jl.save_file({"a": np.ones(3)}, path)
    assert_same(jl.load_file(path), {"a": np.zeros(3)})
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


# Between PyTorch and us.


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_pytorch_reads_its_own_weights_back(tmp_path: Path, dtype: str, suffix: str) -> None:
    torch, options = pytest.importorskip("torch"), {"num_layers": 2, "bidirectional": True, "proj_size": 2}
    theirs = torch.nn.LSTM(3, 4, dtype=getattr(torch, dtype), **options)
    torch.save(theirs.state_dict(), tmp_path / "theirs.pt")
    jl.save_file(jl.load_file(tmp_path / "theirs.pt"), tmp_path / f"ours{suffix}")
    jl.save_file(jl.load_file(tmp_path / f"ours{suffix}"), tmp_path / "back.pt")
    back = torch.load(tmp_path / "back.pt", weights_only=True)
    assert list(back) == list(theirs.state_dict())
    twin = torch.nn.LSTM(3, 4, dtype=getattr(torch, dtype), **options)
    twin.load_state_dict(back, strict=True)
    for name, tensor in theirs.state_dict().items():
        assert back[name].dtype == tensor.dtype
        assert torch.equal(twin.state_dict()[name], tensor)


def test_safetensors_own_reader_and_writer_for_pytorch(tmp_path: Path) -> None:
    torch, safetensors = pytest.importorskip("torch"), pytest.importorskip("safetensors.torch")
    theirs = torch.nn.LSTM(3, 4, dtype=torch.bfloat16)
    safetensors.save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
    arrays = jl.load_file(tmp_path / "theirs.safetensors")
    jl.save_file(arrays, tmp_path / "ours.safetensors")
    back = safetensors.load_file(tmp_path / "ours.safetensors")
    assert arrays.keys() == back.keys() == theirs.state_dict().keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in theirs.state_dict().items())


def test_torch_tensors_are_saved_as_they_are(tmp_path: Path, suffix: str) -> None:
    torch = pytest.importorskip("torch")
    tensors = {"b": torch.nn.Parameter(torch.randn(2, 3).T.bfloat16()), "a": torch.randn(4)[::2]}
    jl.save_file(tensors, tmp_path / f"tensors{suffix}")
    arrays = jl.load_file(tmp_path / f"tensors{suffix}")
    assert list(arrays) == ["b", "a"]
    assert arrays["b"].dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(arrays["b"].astype(np.float32), tensors["b"].detach().float().numpy())
    np.testing.assert_array_equal(arrays["a"], tensors["a"].numpy())


# A file cannot run code.


class Hostile:
    """An object that creates a directory when it is unpickled."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


def write_hostile(path: Path, trace: Path, kind: str) -> None:
    torch = pytest.importorskip("torch")
    content = {"weight_ih_l0": torch.zeros(4, 1), "extra": Hostile(trace)}
    if kind == "zip":
        torch.save(content, path)
    elif kind == "legacy":
        torch.save(content, path, _use_new_zipfile_serialization=False)
    else:
        path.write_bytes(pickle.dumps(content["extra"], protocol=int(kind)))


@pytest.mark.parametrize("ending", [".pt", ".pth"])
@pytest.mark.parametrize("kind", ["zip", "legacy", "0", "2", "5"])
def test_a_hostile_pickle_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, ending: str, recwarn: pytest.WarningsRecorder
) -> None:
    torch = pytest.importorskip("torch")
    path, trace = tmp_path / f"hostile{ending}", tmp_path / "trace"
    write_hostile(path, trace, kind)
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    with pytest.raises(jl.InputError) as refused:
        jl.load_file(path)
    assert not trace.exists()
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)
    assert "weights_only" not in str(refused.value)  # the message must not suggest to switch it off
    if kind in ("zip", "legacy", "2"):
        assert "refused: it references posix.mkdir, which could run code" in str(refused.value)
    assert not recwarn.list
    with contextlib.suppress(Exception):  # a bare pickle is not a checkpoint, but it runs
        torch.load(path, weights_only=False)
    assert trace.exists()  # the file would have run code


# Files that are not weights.


def whole_file(path: Path) -> bytes:
    jl.save_file({"a": np.arange(5, dtype=np.float32), "b": np.zeros((2, 2), np.float16)}, path)
    return path.read_bytes()


@pytest.mark.parametrize("damage", ["empty", "short", "half", "head", "longer", "text", "other format"])
def test_damaged_and_foreign_files(tmp_path: Path, suffix: str, damage: str) -> None:
    path = tmp_path / f"weights{suffix}"
    data = whole_file(path)
    if damage == "longer" and suffix != ".safetensors":
        pytest.skip("a zip archive may be followed by other bytes")
    if damage == "other format":
        pytest.importorskip("torch")
        pytest.importorskip("safetensors")
        data = whole_file(tmp_path / ("other.pt" if suffix == ".safetensors" else "other.safetensors"))
    changes: dict[str, Callable[[bytes], bytes]] = {
        "empty": lambda _: b"",
        "short": lambda data: data[:-1],
        "half": lambda data: data[: len(data) // 2],
        "head": lambda data: data[:9],
        "longer": lambda data: data + b"\0",
        "text": lambda _: b"these are no weights\n" * 20,
        "other format": lambda data: data,
    }
    path.write_bytes(changes[damage](data))
    with pytest.raises(jl.InputError) as refused:
        jl.load_file(path)
    assert str(refused.value).startswith(f"{path}: damaged, or not a ")
    assert "\n" not in str(refused.value)


def test_flipped_bytes_raise_only_input_errors(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    data, rng = whole_file(path), np.random.default_rng(0)
    for _ in range(200):
        flipped = bytearray(data)
        for at in rng.integers(0, len(data), 3):
            flipped[at] = rng.integers(256)
        path.write_bytes(flipped)
        with contextlib.suppress(jl.InputError):
            jl.load_file(path)


def raw_safetensors(dtype: str, shape: list[int], size: int, metadata: dict[str, str] | None = None) -> bytes:
    entries: dict[str, Any] = {"a": {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}}
    if metadata is not None:
        entries["__metadata__"] = metadata
    header = json.dumps(entries).encode()
    return len(header).to_bytes(8, "little") + header + bytes(size)


@pytest.mark.parametrize(("dtype", "shape"), [("F4", [2]), ("F8_E8M0", [1])])
def test_a_safetensors_type_without_a_counterpart(tmp_path: Path, dtype: str, shape: list[int]) -> None:
    pytest.importorskip("safetensors")
    (tmp_path / "a.safetensors").write_bytes(raw_safetensors(dtype, shape, 1))
    with pytest.raises(jl.InputError, match=rf"a.safetensors: `a` must have a type of .*F32.*; got {dtype}"):
        jl.load_file(tmp_path / "a.safetensors")


@pytest.mark.parametrize("order", ["", "b\nz", "a\na"])
def test_a_stored_order_that_does_not_fit_is_ignored(tmp_path: Path, order: str) -> None:
    pytest.importorskip("safetensors")
    (tmp_path / "a.safetensors").write_bytes(raw_safetensors("F32", [2], 8, {"order": order}))
    assert_same(jl.load_file(tmp_path / "a.safetensors"), {"a": np.zeros(2, np.float32)})


CONTENTS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a whole module": (lambda torch: torch.nn.LSTM(2, 3), r"refused: it references torch\.nn\.modules\.rnn\.LSTM"),
    "a training state": (
        lambda torch: {"epoch": 3, "model": torch.nn.LSTM(2, 3).state_dict()},
        r"holds 'epoch' of type int, but only tensors are allowed; expected a state dict, as torch\.save\(",
    ),
    "a state dict inside": (
        lambda torch: {"model": torch.nn.LSTM(2, 3).state_dict()},
        r"holds 'model' of type OrderedDict",
    ),
    "a tensor": (lambda torch: torch.zeros(3), "holds a Tensor; expected a state dict"),
    "a list": (lambda torch: [torch.zeros(3)], "holds a list; expected a state dict"),
    "numbers as names": (lambda torch: {0: torch.zeros(3)}, "holds 0 of type Tensor"),
    "a sparse tensor": (lambda torch: {"a": torch.eye(3).to_sparse()}, "`a` must be a dense tensor; got torch.sparse"),
    "a meta tensor": (lambda torch: {"a": torch.zeros(3, device="meta")}, "`a` must be a dense tensor; got a meta"),
    "complex numbers": (lambda torch: {"a": torch.zeros(3) + 0j}, "`a` must be an array of real numbers; got complex"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("content", CONTENTS)
def test_a_checkpoint_that_is_not_a_state_dict(tmp_path: Path, content: str) -> None:
    torch, (make, message) = pytest.importorskip("torch"), CONTENTS[content]
    torch.save(make(torch), tmp_path / "a.pt")
    with pytest.raises(jl.InputError, match=f"a.pt: {message}"):
        jl.load_file(tmp_path / "a.pt")


def test_paths_that_cannot_be_read(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"weights{suffix}"
    with pytest.raises(jl.InputError, match=f"^{path}: no such file$"):
        jl.load_file(path)
    path.mkdir()
    with pytest.raises(jl.InputError, match=f"^{path}: cannot be read: Is a directory$"):
        jl.load_file(path)

    def forbidden(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", forbidden)
    with pytest.raises(jl.InputError, match=f"^{path}: cannot be read: Permission denied$"):
        jl.load_file(path)


def test_paths_that_cannot_be_written(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / f"directory{suffix}").mkdir()
    for path in (tmp_path / f"none/a{suffix}", tmp_path / f"file/a{suffix}", tmp_path / f"directory{suffix}"):
        with pytest.raises(jl.InputError, match=f"^{path}: cannot be written: "):
            jl.save_file({"a": np.zeros(1)}, path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [f"directory{suffix}", "file"]


@pytest.mark.parametrize("name", ["weights", "weights.npz", "weights.pkl"])
def test_unknown_suffixes(tmp_path: Path, name: str) -> None:
    for act in (jl.load_file, lambda path: jl.save_file({}, path)):
        with pytest.raises(jl.InputError, match=rf"{name}: the name must end in \.safetensors, \.pt, \.pth; got"):
            act(tmp_path / name)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([np.zeros(1)], "`weights` must be a module or a state dict; got list"),
        ({1: np.zeros(1)}, "`weights` must have names as keys; got 1"),
        ({"__metadata__": np.zeros(1)}, "`weights` must have names as keys; got '__metadata__'"),
        ({"a": "text"}, "`a` must be an array of real numbers; got str"),
        ({"a": [[1.0], [1.0, 2.0]]}, "`a` must be an array of real numbers; got list"),
        ({"a": np.array([None])}, "`a` must be an array of real numbers; got object"),
    ],
)
def test_values_that_cannot_be_saved(tmp_path: Path, suffix: str, weights: Any, message: str) -> None:
    with pytest.raises(jl.InputError, match=message):
        jl.save_file(weights, tmp_path / f"a{suffix}")
    assert not list(tmp_path.iterdir())
