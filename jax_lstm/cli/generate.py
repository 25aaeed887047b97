"""`jax-lstm generate`."""

import itertools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from jax_lstm.data.text import as_bytes
from jax_lstm.estimators import TextModel


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

    def run(self, console: Console) -> int:
        out = sys.stdout.buffer
        model = TextModel.load(self.run_directory)
        pieces = model.stream(self.prompt, self.length, self.temperature, self.seed)
        for piece in itertools.chain([self.prompt], pieces, ["\n"]):
            out.write(as_bytes(piece))
            out.flush()
        return 0
