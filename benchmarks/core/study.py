"""The base of commands that make a record."""

import shlex
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rich.console import Console
from rich.markup import escape


@dataclass(frozen=True)
class Study(ABC):
    """`NAME` is the name of the command and of the study in its records."""

    NAME: ClassVar[str]

    out: str = ""
    """File for the record; runs/COMMAND-DATE-TIME.json if not given."""

    @property
    def file(self) -> str:
        """The file that was asked for, or nothing."""
        return self.out

    def run(self, console: Console, arguments: Sequence[str]) -> int:
        """Measure, print and record; returns the exit status."""
        path = Path(self.file or f"runs/{self.NAME}-{time.strftime('%Y%m%d-%H%M%S')}.json")
        status = self.make(shlex.join(["python", "-m", "benchmarks", *arguments]), path, console)
        console.print(f"record: [bold]{escape(str(path))}[/]")
        return status

    @abstractmethod
    def make(self, command: str, path: Path, console: Console) -> int:
        """Make the record at `path`, and print it."""
