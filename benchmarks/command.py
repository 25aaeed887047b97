"""The base of commands that make a record: its file, and the page that shows it."""

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rich.console import Console
from rich.markup import escape

from jax_lstm.checks import require


@dataclass(frozen=True)
class Command:
    """`NAME` is the name of the command and of the study in its records."""

    NAME: ClassVar[str]

    out: str = ""
    """File for the record; runs/COMMAND-DATE-TIME.json if not given."""
    render: str = ""
    """Measure nothing: print the Markdown tables of this record."""
    page: str = ""
    """With --render: insert the tables into this page, between its two marks, and write the pictures beside it."""

    def run(self, console: Console, arguments: Sequence[str]) -> int:
        """Measure, print and record, or render; returns the exit status."""
        alone = bool(self.page and not self.render)
        require(not alone, "--page", "come with --render, whose record it is to show", repr(self.page))
        if self.render:
            return self.show(Path(self.render))
        path = Path(self.out or f"runs/{self.NAME}-{time.strftime('%Y%m%d-%H%M%S')}.json")
        status = self.make(shlex.join(["python", "-m", "benchmarks", *arguments]), path, console)
        console.print(f"record: [bold]{escape(str(path))}[/]")
        return status

    def show(self, path: Path) -> int:
        """Print a record as Markdown, or insert it into the page."""
        raise NotImplementedError

    def make(self, command: str, path: Path, console: Console) -> int:
        """Make the record at `path`, written after every row, and print it."""
        raise NotImplementedError
