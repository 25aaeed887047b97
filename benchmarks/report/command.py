"""`python -m benchmarks report`: render all records as one page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console
from rich.markup import escape

from benchmarks.record import ROOT, make_folder
from benchmarks.report.page import page
from benchmarks.report.studies import STUDIES, Told, in_order, told
from jax_lstm.checks import require
from jax_lstm.files import write_whole

RECORDS = ROOT / "benchmarks" / "records"


@dataclass(frozen=True)
class Report:
    """Render records as one page with charts to filter and sort, which needs no network; or as the tables of docs/."""

    record: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Record to show; may be repeated. All of benchmarks/records/ if not given."""
    out: str = "runs/report.html"
    """File for the page."""
    pages: bool = False
    """Instead: insert the tables of every record into its page of docs/."""

    def run(self, console: Console, arguments: Sequence[str]) -> int:
        """Write the page, or the tables of docs/; returns the exit status."""
        paths = [Path(name) for name in self.record] or sorted(RECORDS.glob("*.json"))
        require(bool(paths), "--record", "name a record", f"none, and there is none in {RECORDS}")
        if self.pages:
            return _pages(console, [told(path) for path in paths])
        out = Path(self.out)
        text = page(in_order([told(path) for path in paths]))
        make_folder(out.parent)
        write_whole(out, text)
        console.print(f"report: [bold]{escape(str(out))}[/], {len(text) / 2**20:.1f} MiB, {len(paths)} records")
        return 0


def _pages(console: Console, found: Sequence[Told]) -> int:
    """Run `--render` of every study."""
    from benchmarks.commands import COMMANDS

    for each in found:
        if each.study in STUDIES:
            target = ROOT / STUDIES[each.study].page
            COMMANDS[each.study](render=str(each.path), page=str(target)).run(console, ())
            console.print(f"{escape(each.path.name)} -> {escape(STUDIES[each.study].page)}", highlight=False)
    return 0
