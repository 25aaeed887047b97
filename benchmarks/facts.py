"""How, where and with what a record was made, as text."""

from collections.abc import Mapping

from benchmarks.record import Record

QUIET = 0.5  # load above which other programs must be running


def facts_of(record: Record, own: Mapping[str, str] | None = None) -> dict[str, str]:
    """Facts by name, in order; `own` are those of the study."""
    environment = record.environment
    versions = ", ".join(f"{name} {version}" for name, version in environment["packages"].items())
    found = {
        "Machine": f"{environment['cpu']}, {environment['system']}",
        "Threads": f"{record.threads}, the same for everyone",
        "Versions": f"Python {environment['python']}, {versions}; native kernel {record.native}",
        **(own or {}),
        "Commit": record.commit,
        "Command": f"`{record.command}`, {record.began}, {record.seconds:,.0f} s",
    }
    if record.load is not None and record.load > QUIET:
        found["Warning"] = f"the machine had been at work: its load was {record.load:.1f} in the minute before"
    if record.absent:
        found["Absent"] = "; ".join(f"{name}: {reason}" for name, reason in record.absent.items())
    return found


def timed_facts(record: Record, own: Mapping[str, str] | None = None) -> dict[str, str]:
    """Facts of a record with `Timed` rows: also the matrix peak and the contenders that failed the gate."""
    peak = f"{record.peak:,.0f} GFLOP/s (float32 product in the same run)" if record.peak else "not measured"
    found = facts_of(record, {"Matrix peak": peak, **(own or {})})
    failed = {f"{name} ({row.case}, {row.measure})": why for row in record.rows for name, why in row.failed.items()}
    if failed:
        found["Failed the gate"] = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
    return found
