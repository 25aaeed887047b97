"""`jax-lstm export`."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import jax
import numpy as np
import tyro
from rich.console import Console
from rich.markup import escape

from jax_lstm.checks import InputError
from jax_lstm.convert import state_dict
from jax_lstm.export import Scaling, to_onnx, to_stablehlo
from jax_lstm.export.program import Program, program
from jax_lstm.files import write_json, write_whole
from jax_lstm.tables import table
from jax_lstm.tasks import open_run
from jax_lstm.weight_files import save_file

Arrays = Mapping[str, np.ndarray]
CLOSE = 1e-5  # of the exported program to the model, relative to the largest number
COARSE = 1e-3  # standard deviations, from which on one is warned
BATCH, STEPS = 3, 7  # on which that is tried


class Runnable(NamedTuple):
    """A format that other tools run."""

    suffix: str
    make: Callable[..., bytes]
    run: Callable[[bytes, Arrays], Arrays]
    needs: str
    full: bool  # computes in the type of the parameters


def _run_onnx(file: bytes, inputs: Arrays) -> Arrays:
    onnxruntime: Any = importlib.import_module("onnxruntime")
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return dict(zip((port.name for port in session.get_outputs()), session.run(None, dict(inputs)), strict=True))


def _run_stablehlo(file: bytes, inputs: Arrays) -> Arrays:
    found: Any = jax.export.deserialize(bytearray(file)).call(dict(inputs))
    return {name: np.asarray(array) for name, array in found.items()}


RUNNABLE = {
    "onnx": Runnable(".onnx", to_onnx, _run_onnx, "onnxruntime", True),
    "stablehlo": Runnable(".stablehlo", to_stablehlo, _run_stablehlo, "jax", False),
}
WEIGHTS = {"safetensors": ".safetensors", "torch": ".pt"}


@dataclass(frozen=True)
class Export:
    """Take a trained model to other tools: as a program in ONNX or StableHLO, or as weights for PyTorch."""

    run_directory: Annotated[Path, tyro.conf.Positional]
    """Run directory of train or compare."""
    to: Literal["onnx", "stablehlo", "safetensors", "torch"]
    """onnx: a file of LSTM operators; stablehlo: an artifact of jax.export for CPU, CUDA and TPU; safetensors, torch:
    the weights under PyTorch's names."""
    out: str = ""
    """File to write; model.onnx, .stablehlo, .safetensors or .pt in the run directory if not given."""
    only_lstm: bool = False
    """Export the LSTM alone, as torch.nn.LSTM loads it, with lengths and states as inputs; else the whole model."""

    def run(self, console: Console) -> int:
        run = open_run(self.run_directory)
        suffix = RUNNABLE[self.to].suffix if self.to in RUNNABLE else WEIGHTS[self.to]
        out = Path(self.out) if self.out else self.run_directory / f"model{suffix}"
        if out.suffix != suffix:
            raise InputError(f"`--out` must end in {suffix}; got {out}")
        best = run.names[run.position.best]
        if best:
            console.print(f"of {len(run.names)} models the best: {best}", highlight=False)
        with jax.enable_x64(run.config.x64):
            model = run.model().lstm if self.only_lstm else run.model()
            if self.to in WEIGHTS:
                weights = state_dict(model)
                if getattr(model, "tied", False):  # in PyTorch both names are there
                    weights["fc.weight"] = weights["embedding.weight"]
                save_file(weights, out)
            else:
                options = {"lengths": True, "state": True} if self.only_lstm else run.export_options
                facts = {"task": "none: an LSTM alone"} if self.only_lstm else run.facts
                self._program(console, out, model, options, facts)
        console.print(f"{self.to}: [bold]{escape(str(out))}[/], {out.stat().st_size:,} bytes", highlight=False)
        return 0

    def _program(self, console: Console, out: Path, model: Any, options: dict[str, Any], facts: dict[str, Any]) -> None:
        form = RUNNABLE[self.to]
        file = form.make(model, **options, **({"facts": facts} if self.to == "onnx" else {}))
        ports = program(model, **options, full=form.full)
        console.print(_agreement(form, file, model, options, ports), highlight=False)
        for name, columns in (("standardise", facts.get("features")), ("restore", facts.get("target"))):
            for column, lost in zip(columns or (), _lost(options.get(name), ports), strict=False):
                if lost > COARSE:
                    text = f"float32 holds column {column!r} to no more than {lost:.1g} of its standard deviations"
                    console.print(f"[yellow]warning:[/] {escape(text)}; take an offset off the data", highlight=False)
        described = {
            name: {port.name: {"shape": port.shape, "type": np.dtype(port.dtype).name} for port in each}
            for name, each in (("inputs", ports.inputs), ("outputs", ports.outputs))
        }
        write_json(out.with_name(out.name + ".json"), {**described, "facts": facts})
        write_whole(out, file)
        shown = table("what goes in and out")
        for heading in ("", "name", "shape", "type"):
            shown.add_column(heading)
        for label, each in (("in", ports.inputs), ("out", ports.outputs)):
            for port in each:
                shown.add_row(label, port.name, ", ".join(map(str, port.shape)), np.dtype(port.dtype).name)
        console.print(shown)


def _agreement(form: Runnable, file: bytes, model: Any, options: dict[str, Any], ports: Program) -> str:
    """How far the exported program lies from the model, on drawn input; on the scale on which the model computes.

    The model is given the rows of that input standardised in float64, as it is by `evaluate` and `forecast`.

    Raises:
        InputError: too far.
    """
    try:
        importlib.import_module(form.needs)
    except ImportError:
        return f"not tried: {form.needs} is not installed"
    inputs = _drawn(ports, options)
    if form.needs == "onnxruntime" and any(port.dtype == np.float64 for port in ports.outputs):
        return "not tried: onnxruntime computes no LSTM in float64"
    into, back = options.get("standardise"), options.get("restore")
    bare = {name: value for name, value in options.items() if name not in ("standardise", "restore")}
    given = inputs if into is None else {**inputs, "x": _standardised(inputs["x"], into).astype(inputs["x"].dtype)}
    with jax.default_device(jax.local_devices(backend="cpu")[0]), jax.default_matmul_precision("highest"):
        run = jax.jit(program(model, **bare, full=form.full).run)
        expected = {name: np.asarray(array) for name, array in run(given).items()}
        found = dict(form.run(file, inputs))
    if back is not None:
        found["y"] = _standardised(found["y"], back)
    # Restored numbers are rounded to the type of the output, each column by so much.
    worst = max(_apart(found[name], expected[name], _lost(back, ports) if name == "y" else []) for name in expected)
    if not worst <= CLOSE:
        raise InputError(
            f"the exported program differs from the model by {worst:.1e}, more than {CLOSE:.0e}; nothing is written"
        )
    return f"run by {form.needs}: at most {worst:.1e} from the model"


def _apart(found: np.ndarray, expected: np.ndarray, lost: list[float]) -> float:
    """The largest difference relative to the largest number, beyond what is `lost` in each column."""
    absolute = np.abs(np.asarray(found, np.float64) - np.asarray(expected, np.float64))
    beyond = np.maximum(absolute - np.array(lost), 0) if lost else absolute
    return float(np.max(beyond) / np.max(np.abs(expected)))


def _standardised(values: np.ndarray, scaling: Scaling) -> np.ndarray:
    return (np.asarray(values, np.float64) - scaling.mean) / scaling.scale


def _lost(scaling: Scaling | None, ports: Program) -> list[float]:
    """What the type of the program rounds off each column, in its standard deviations."""
    if scaling is None:
        return []
    steps = np.finfo(np.dtype(ports.outputs[0].dtype)).eps * np.abs(scaling.mean) / scaling.scale
    return steps.tolist()


def _drawn(ports: Program, options: dict[str, Any]) -> dict[str, np.ndarray]:
    rng, sizes = np.random.default_rng(0), {"batch": BATCH, "time": STEPS}
    drawn = {}
    for port in ports.inputs:
        shape = [sizes.get(size, size) for size in port.shape]  # type: ignore[arg-type]
        if port.name == "tokens":
            drawn[port.name] = rng.integers(0, ports.outputs[0].shape[-1], shape).astype(port.dtype)  # type: ignore[arg-type]
        elif port.name == "lengths":
            drawn[port.name] = rng.integers(1, STEPS + 1, shape).astype(port.dtype)
        else:
            values = rng.normal(size=shape)
            scaling = options.get("standardise") if port.name == "x" else None
            drawn[port.name] = (values if scaling is None else scaling.restore(values)).astype(port.dtype)
    return drawn
