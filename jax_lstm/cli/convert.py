"""`jax-lstm convert`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.markup import escape

from jax_lstm.checks import require
from jax_lstm.cli import show
from jax_lstm.weights.files import file_format, load_file, save_file


@dataclass(frozen=True)
class Convert:
    """Convert a PyTorch state dict (.pt, .pth) to .safetensors, or back: same names, types and bits."""

    in_file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="IN")]
    """File to read: .pt, .pth or .safetensors."""
    out_file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """File to write: .pt, .pth or .safetensors."""
    overwrite: bool = False
    """Overwrite OUT if it exists."""

    def run(self, console: Console) -> int:
        file_format(self.out_file)  # check the name before anything is read
        free = self.overwrite or not self.out_file.exists()
        require(free, "OUT", "be a new file", f"{self.out_file}, which exists", "--overwrite replaces it")
        arrays = load_file(self.in_file)
        save_file(arrays, self.out_file)
        shown = show.table(f"weights in {escape(str(self.out_file))}")
        shown.add_column("name")
        shown.add_column("shape")
        shown.add_column("type")
        for name, array in arrays.items():
            shown.add_row(escape(name), str(array.shape), array.dtype.name)
        console.print(shown)
        count = sum(array.size for array in arrays.values())
        console.print(f"{len(arrays):,} arrays, {count:,} numbers", highlight=False)
        return 0
