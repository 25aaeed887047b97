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
from jax_lstm.tasks.text import generate
from jax_lstm.train.config import arithmetic


@dataclass(frozen=True)
class Generate:
    """Generate text with a trained language model."""

    run_directory: Annotated[Path, tyro.conf.Positional]
    """Run directory of train text or compare text."""
    prompt: str = ""
    """Text to continue; the start of a line if not given."""
    length: int = 500
    """Characters, or bytes, to generate."""
    temperature: float = 1.0
    """Sampling temperature: below 1 favours likely characters, above 1 unlikely ones; 0 always takes the likeliest."""
    seed: int = 0
    """Seed of the sampling."""

    def __post_init__(self) -> None:
        require_size("--length", self.length)
        require_size("--seed", self.seed, least=0)
        require(0 <= self.temperature <= 100, "--temperature", "be between 0 and 100", self.temperature)

    def run(self, console: Console) -> int:
        run = open_run(self.run_directory, "text", "generate")
        out = sys.stdout.buffer
        with arithmetic(run.config):
            first = (
                "\n" if run.alphabet.units == "bytes" or "\n" in run.alphabet.characters else run.alphabet.characters[0]
            )
            prompt = run.alphabet.encode(self.prompt or first, "`--prompt`")
            out.write(as_bytes(self.prompt))
            out.flush()
            for code in generate(run.model(), prompt, self.length, self.temperature, self.seed):
                piece = run.alphabet.decode([code])
                out.write(piece if isinstance(piece, bytes) else piece.encode())
                out.flush()
        out.write(b"\n")
        out.flush()
        return 0
