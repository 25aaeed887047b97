"""`jax-lstm export`."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import numpy as np
import tyro
from rich.console import Console
from rich.markup import escape

from jax_lstm.checks import InputError, require
from jax_lstm.cli import show
from jax_lstm.export.program import Options, program
from jax_lstm.export.verify import FORMATS, rounding_of, verify
from jax_lstm.files import write_json, write_whole
from jax_lstm.tasks import open_run
from jax_lstm.weights.files import save_file
from jax_lstm.weights.state_dicts import state_dict

COARSE = 1e-3  # standard deviations: rounding from which a column gets a warning
WEIGHTS = {"safetensors": ".safetensors", "torch": ".pt"}


@dataclass(frozen=True)
class Export:
    """Export a trained model: as a program in ONNX or StableHLO, or as weights for PyTorch."""

    run_directory: Annotated[Path, tyro.conf.Positional]
    """Run directory of train or compare."""
    to: Literal["onnx", "stablehlo", "safetensors", "torch"]
    """onnx: a graph of standard operators; stablehlo: an artifact of jax.export for CPU, CUDA and TPU; safetensors,
    torch: weights under PyTorch's names."""
    out: str = ""
    """File to write (default: model.onnx, .stablehlo, .safetensors or .pt in the run directory)."""
    only_lstm: bool = False
    """Export the LSTM without the layers around it, as torch.nn.LSTM has it; programs then take lengths and states."""
    series: str = ""
    """Name of the series whose units the program takes and returns; for a forecaster with statistics per series."""

    def run(self, console: Console) -> int:
        run = open_run(self.run_directory)
        scales = run.config.task == "forecast" and self.to not in WEIGHTS and not self.only_lstm
        require(scales or not self.series, "--series", "come with a whole forecaster as a program", repr(self.series))
        run = run.of_series(self.series) if scales else run
        suffix = FORMATS[self.to].suffix if self.to in FORMATS else WEIGHTS[self.to]
        out = Path(self.out) if self.out else self.run_directory / f"model{suffix}"
        if out.suffix != suffix:
            raise InputError(f"`--out` must end in {suffix}; got {out}")
        best = run.names[run.position.best]
        if best:
            console.print(f"the model with the best validation loss: {best}", highlight=False)
        with jax.enable_x64(run.config.x64):
            model = run.model().lstm if self.only_lstm else run.model()
            if self.to in WEIGHTS:
                weights = state_dict(model)
                save_file(weights, out)
            else:
                options = Options(lengths=True, state=True) if self.only_lstm else Options(**run.export_options)
                facts = {"task": "none: the LSTM alone"} if self.only_lstm else run.facts
                self._program(console, out, model, options, facts)
        console.print(f"{self.to}: [bold]{escape(str(out))}[/], {out.stat().st_size:,} bytes", highlight=False)
        return 0

    def _program(self, console: Console, out: Path, model: Any, options: Options, facts: dict[str, Any]) -> None:
        form = FORMATS[self.to]
        with warnings.catch_warnings(record=True, action="always", category=UserWarning) as caught:
            file = form.export(model, **options, **({"facts": facts} if self.to == "onnx" else {}))
        ports = program(model, **options, full=form.full)
        console.print(verify(form, file, model, options, ports), highlight=False)
        messages = [str(warning.message) for warning in caught]
        for name, columns in (("standardise", facts.get("features")), ("restore", facts.get("target"))):
            for column, rounding in zip(columns or (), rounding_of(options.get(name), ports), strict=False):
                if rounding > COARSE:
                    messages.append(
                        f"float32 rounds column {column!r} to {rounding:.1g} of its standard deviation; "
                        "subtract a constant from the data"
                    )
        for message in dict.fromkeys(messages):
            console.print(f"[yellow]warning:[/] {escape(message)}", highlight=False)
        described = {
            name: {port.name: {"shape": port.shape, "type": np.dtype(port.dtype).name} for port in each}
            for name, each in (("inputs", ports.inputs), ("outputs", ports.outputs))
        }
        write_json(out.with_name(out.name + ".json"), {**described, "facts": facts})
        write_whole(out, file)
        shown = show.table("inputs and outputs")
        for heading in ("", "name", "shape", "type"):
            shown.add_column(heading)
        for label, each in (("in", ports.inputs), ("out", ports.outputs)):
            for port in each:
                shown.add_row(label, port.name, ", ".join(map(str, port.shape)), np.dtype(port.dtype).name)
        console.print(shown)
