"""`jax-lstm export`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import numpy as np
import tyro
from rich.console import Console
from rich.markup import escape

from jax_lstm.checks import InputError
from jax_lstm.export.program import program
from jax_lstm.export.verify import RUNNABLE, agreement, lost
from jax_lstm.files import write_json, write_whole
from jax_lstm.tables import table
from jax_lstm.tasks import open_run
from jax_lstm.weights.files import save_file
from jax_lstm.weights.state_dicts import state_dict

COARSE = 1e-3  # standard deviations, from which on one is warned
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
        console.print(agreement(form, file, model, options, ports), highlight=False)
        for name, columns in (("standardise", facts.get("features")), ("restore", facts.get("target"))):
            for column, part in zip(columns or (), lost(options.get(name), ports), strict=False):
                if part > COARSE:
                    text = f"float32 holds column {column!r} to no more than {part:.1g} of its standard deviations"
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
