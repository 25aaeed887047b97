"""`jax-lstm generate`."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from jax_lstm.checks import require, require_size
from jax_lstm.data.text import as_bytes
from jax_lstm.tasks import open_run
from jax_lstm.tasks.lm import write
from jax_lstm.train.config import arithmetic


@dataclass(frozen=True)
class Generate:
    """Write text with a trained language model, a character after the other."""

    run_directory: Annotated[Path, tyro.conf.Positional]
    """Run directory of train --task lm, or of compare."""
    prompt: str = ""
    """Text that the model reads first, and goes on from; the beginning of a line if not given."""
    length: int = 500
    """Characters, or bytes, to write."""
    temperature: float = 1.0
    """Below 1 likelier characters are favoured, above 1 others; 0 always takes the likeliest."""
    seed: int = 0
    """Seed of the draw."""

    def __post_init__(self) -> None:
        require_size("--length", self.length)
        require_size("--seed", self.seed, least=0)
        require(0 <= self.temperature <= 100, "--temperature", "be between 0 and 100", self.temperature)

    def run(self, console: Console) -> int:
        run = open_run(self.run_directory, "lm", "generate")
        out = sys.stdout.buffer
        with arithmetic(run.config):
            first = (
                "\n" if run.alphabet.units == "bytes" or "\n" in run.alphabet.characters else run.alphabet.characters[0]
            )
            prompt = run.alphabet.encode(self.prompt or first, "`--prompt`")
            out.write(as_bytes(self.prompt))
            out.flush()
            for code in write(run.model(), prompt, self.length, self.temperature, self.seed):
                piece = run.alphabet.decode([code])
                out.write(piece if isinstance(piece, bytes) else piece.encode())
                out.flush()
        out.write(b"\n")
        out.flush()
        return 0
