"""`speed --check`: repeat a record on this machine and say which of its ratios hold."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from rich.console import Console

from benchmarks.core.cases import CASES
from benchmarks.core.contenders import CONTENDERS
from benchmarks.core.record import Record, Row
from benchmarks.core.sampling import Ratio
from benchmarks.core.tables import ABSENT, Table, print_table
from benchmarks.speed.comparison import FULL, MEASURES, PART, Setting
from jax_lstm.checks import require

SAME, WINNER, NO = "holds", "same winner", "no longer"
LIGHTER = 2.0  # seconds of samples for each case and measure


@dataclass(frozen=True)
class Verdict:
    """One ratio to the baseline, recorded and now; `now` is None if it was not measured, for the `reason`."""

    row: Row
    recorded: Ratio
    now: Ratio | None
    reason: str = ""

    @property
    def text(self) -> str:
        if self.now is None:
            return self.reason
        if self.recorded.low <= self.now.high and self.now.low <= self.recorded.high:
            return SAME
        return WINNER if self.recorded.winner == self.now.winner != 0 else NO

    @property
    def broken(self) -> bool:
        return self.text == NO or (self.now is None and self.reason.startswith("failed"))


def again(record: Record) -> Setting:
    """The cases, contenders and measures of a record, with fewer rounds."""
    rows = [row for row in record.of(PART) if row.baseline and row.samples]
    require(bool(rows), "--check", "hold speeds relative to PyTorch's", "a record without any")
    for row in rows:
        known = CASES[row.case].shape if row.case in CASES else "none of that name"
        require(
            known == row.about["shape"], "--check", f"hold cases of today: {row.case!r} of {known}", row.about["shape"]
        )
    names, cases = {row.contender for row in rows}, {row.case for row in rows}
    measures = {name: measure for name, measure in MEASURES.items() if any(row.measure == name for row in rows)}
    slow = {name for name, contender in CONTENDERS.items() if contender.slow}
    return replace(
        FULL,
        plan=FULL.plan._replace(budget=LIGHTER),
        cases={name: case for name, case in CASES.items() if name in cases},
        contenders={name: contender for name, contender in CONTENDERS.items() if name in names},
        measures=measures,
        only={name: tuple({row.case: 0 for row in rows if row.measure == name}) for name in measures},
        slow={case: tuple(row.measure for row in rows if row.case == case and row.contender in slow) for case in cases},
    )


def judged(recorded: Record, now: Record) -> list[Verdict]:
    """Every ratio of the record that has an interval."""
    verdicts = []
    for row in recorded.of(PART):
        found = recorded.ratio(row) if row.baseline not in ("", row.contender) else None
        if found and len(row.samples) > 1:
            repeated = now.row(PART, row.case, row.measure, row.contender)
            verdicts.append(Verdict(row, found, now.ratio(repeated) if repeated else None, _reason(now, row)))
    return verdicts


def print_verdicts(console: Console, recorded: Record, now: Record, verdicts: list[Verdict]) -> None:
    def interval(found: Ratio | None) -> str:
        return f"{found.median:.2f} [{found.low:.2f}, {found.high:.2f}]" if found else ABSENT

    rows = [
        (each.row.case, each.row.measure, each.row.contender, interval(each.recorded), interval(each.now), each.text)
        for each in verdicts
    ]
    columns = ("case", "measure", "contender", "recorded", "now", "verdict")
    print_table(console, Table(f"Speed relative to PyTorch, as recorded on {recorded.began}", columns, rows, left=3))
    count = {text: sum(each.text == text for each in verdicts) for text in (SAME, WINNER, NO)}
    rest = len(verdicts) - sum(count.values())
    words = f"{count[SAME]} of {len(verdicts)} ratios hold: their intervals overlap"
    words += f"; {count[WINNER]} differ, with the same winner; {count[NO]} no longer hold; {rest} were not measured"
    console.print(words, highlight=False)
    for text in differences(recorded, now):
        console.print(text, highlight=False)


def differences(recorded: Record, now: Record) -> Iterable[str]:
    """How the two machines differ."""

    def described(record: Record) -> dict[str, str]:
        machine = ", ".join([record.environment["cpu"], *record.environment.get("processor", ())])
        peak = f"{record.peak / 1e9:,.0f} GFLOP/s"
        known = {"the CPU": machine, "threads": str(record.threads), "a matrix peak of": peak}
        return known | {name: str(version) for name, version in record.environment["packages"].items()}

    here = described(now)
    for what, then in described(recorded).items():
        if here.get(what) != then:
            yield f"recorded with {what} {then}; here it is {here.get(what, 'absent')}"


def _reason(now: Record, row: Row) -> str:
    """Why a ratio was not measured now."""
    if row.contender in now.absent:
        return f"absent: {now.absent[row.contender]}"
    if row.contender not in CONTENDERS:
        return "there is no such contender any more"
    return next(
        (each.status for each in now.of(PART, row.case, row.measure, row.contender) if each.status), "not measured"
    )
