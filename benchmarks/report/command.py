"""`python -m benchmarks report`: render records as one page, or put their figures into the pages of docs/."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console
from rich.markup import escape

from benchmarks.core.record import RECORDS, ROOT, make_folder
from benchmarks.report.blocks import fill
from benchmarks.report.page import page
from benchmarks.report.sections import section
from jax_lstm.checks import require
from jax_lstm.files import write_whole


@dataclass(frozen=True)
class Report:
    """Render records as one page with charts and tables, which needs no network; or into README and docs/."""

    record: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Record to show; may be repeated. All of benchmarks/records/ if not given."""
    out: str = "runs/report.html"
    """File for the page."""
    pages: bool = False
    """Instead: put the figures of the committed records into README and docs/, between their marks."""

    def run(self, console: Console, arguments: Sequence[str]) -> int:
        """Write the page, or the pages of docs/; returns the exit status."""
        if self.pages:
            for path in fill(ROOT):
                console.print(escape(str(path.relative_to(ROOT))), highlight=False)
            return 0
        paths = [Path(name) for name in self.record] or sorted(RECORDS.glob("*.json"))
        require(bool(paths), "--record", "name a record", f"none, and there is none in {RECORDS}")
        out, text = Path(self.out), page([section(path) for path in paths])
        make_folder(out.parent)
        write_whole(out, text)
        console.print(f"report: [bold]{escape(str(out))}[/], {len(text) / 2**20:.1f} MiB, {len(paths)} records")
        return 0
