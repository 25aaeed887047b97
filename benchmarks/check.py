"""`frameworks --check`: repeat a record on this machine and check which of its ratios hold."""

from dataclasses import dataclass, replace

from rich.console import Console

from benchmarks.cases import CASES
from benchmarks.contenders import BASELINE, CONTENDERS
from benchmarks.measures import MEASURES, SECTION
from benchmarks.record import Record
from benchmarks.sampling import Timed
from benchmarks.setting import FULL_COMPARISON, Comparison
from benchmarks.tables import ABSENT, Table, print_table
from jax_lstm.checks import require

Interval = tuple[float, float]
SAME, WINNER, NO = "holds", "same winner", "no longer"
LIGHTER = 2.0  # seconds of samples for each row


@dataclass(frozen=True)
class Verdict:
    """One ratio to the baseline, recorded and now, with intervals; `now` is None if it was not measured."""

    case: str
    measure: str
    contender: str
    recorded: tuple[float, Interval]
    now: tuple[float, Interval] | None
    reason: str = ""  # why it was not measured

    @property
    def text(self) -> str:
        if self.now is None:
            return self.reason
        (_, then), (_, now) = self.recorded, self.now
        if then[0] <= now[1] and now[0] <= then[1]:
            return SAME
        return WINNER if _winner(then) == _winner(now) != 0 else NO

    @property
    def broken(self) -> bool:
        return self.text == NO or (self.now is None and self.reason.startswith("failed"))


def again(record: Record) -> Comparison:
    """Repeat the cases, contenders and measures of a record, with fewer rounds."""
    rows = [row for row in record.of(SECTION) if row.baseline and row.seconds]
    require(bool(rows), "--check", "hold speeds relative to PyTorch's", "a record without any")
    for row in rows:
        known = CASES[row.case].shape if row.case in CASES else "none of that name"
        require(known == row.shape, "--check", f"hold cases of today: {row.case!r} of {known}", row.shape)
    names = {name for row in rows for name in row.seconds if name in CONTENDERS}
    cases = {row.case for row in rows}
    measures = {name: row for name, row in MEASURES.items() if any(each.measure == name for each in rows)}
    slow = {name for name, contender in CONTENDERS.items() if contender.slow}
    return replace(
        FULL_COMPARISON,
        plan=FULL_COMPARISON.plan._replace(budget=LIGHTER),
        cases={name: case for name, case in CASES.items() if name in cases},
        contenders={name: contender for name, contender in CONTENDERS.items() if name in names},
        measures=measures,
        only={name: tuple(row.case for row in rows if row.measure == name) for name in measures},
        slow={
            case: tuple(row.measure for row in rows if row.case == case and slow & row.seconds.keys()) for case in cases
        },
    )


def judged(recorded: Record, now: Record) -> list[Verdict]:
    """Judge every ratio of the record that has an interval."""
    verdicts = []
    for row in recorded.of(SECTION):
        for name in row.seconds:
            found = _ratio(row, name)
            if name != BASELINE and found:
                repeated = now.row(SECTION, row.case, row.measure)
                value = _ratio(repeated, name) if repeated else None
                verdicts.append(Verdict(row.case, row.measure, name, found, value, _reason(now, repeated, name)))
    return verdicts


def print_verdicts(console: Console, recorded: Record, now: Record, verdicts: list[Verdict]) -> None:
    rows = [
        (each.case, each.measure, each.contender, _text(each.recorded), _text(each.now), each.text) for each in verdicts
    ]
    columns = ("case", "measure", "contender", "recorded", "now", "verdict")
    print_table(console, Table(f"Speed relative to PyTorch, as recorded on {recorded.began}", columns, rows, left=3))
    count = {text: sum(each.text == text for each in verdicts) for text in (SAME, WINNER, NO)}
    rest = len(verdicts) - sum(count.values())
    words = f"{count[SAME]} of {len(verdicts)} ratios hold: their intervals overlap"
    words += f"; {count[WINNER]} differ, with the same winner; {count[NO]} no longer hold; {rest} were not measured"
    console.print(words, highlight=False)
    for what, then, there in differences(recorded, now):
        console.print(f"recorded with {what} {then}; here it is {there}", highlight=False)


def differences(recorded: Record, now: Record) -> list[tuple[str, str, str]]:
    """Differences of the machine: name, then, now."""
    of = [
        {"the CPU": each.environment["cpu"], "threads": str(each.threads)}
        | {name: str(version) for name, version in each.environment["packages"].items()}
        for each in (recorded, now)
    ]
    return [(what, then, of[1].get(what, "absent")) for what, then in of[0].items() if of[1].get(what) != then]


def _ratio(row: Timed, name: str) -> tuple[float, Interval] | None:
    ratio, interval = row.ratio(name), row.interval(name)
    return (ratio.median, interval) if ratio and interval else None


def _reason(now: Record, row: Timed | None, name: str) -> str:
    """Why a ratio was not measured now."""
    if name in now.absent:
        return f"absent: {now.absent[name]}"
    if row is None:
        return "not measured"
    if name in row.failed:
        return f"failed: {row.failed[name]}"
    return row.not_offered.get(
        name, "there is no such contender any more" if name not in CONTENDERS else "not measured"
    )


def _winner(interval: Interval) -> int:
    """1: faster than the baseline; -1: slower; 0: undecided."""
    return (interval[0] > 1) - (interval[1] < 1)


def _text(found: tuple[float, Interval] | None) -> str:
    return f"{found[0]:.2f} [{found[1][0]:.2f}, {found[1][1]:.2f}]" if found else ABSENT
