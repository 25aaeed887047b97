"""`speed --submit`: a record by the rules of docs/protocol.md; and how `speed --check` verifies it before repeating it.

A digest shows that a record was changed by accident, not by somebody who computes it again. What convinces is that the
ratios hold where another person repeats them with the same source files.
"""

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import jax_lstm
from benchmarks.core.record import QUIET, ROOT, Record, as_text
from benchmarks.speed.comparison import PART, Setting
from jax_lstm.checks import require

COMMIT = re.compile(r"[0-9a-f]{40}")
NEUTRAL = re.compile(r"JAX_PLATFORMS|KERAS_BACKEND|(CUDA|NVIDIA)_\w+")  # variables that may be set
NATIVE = {".cc", ".h", ".def"}
SHOWN = 5  # names in a message


def sources() -> dict[str, str]:
    """SHA-256 of the harness, of the library that is imported, and of the checkout's C++, which wheels do not hold."""
    folders = {"benchmarks": ROOT / "benchmarks", "jax_lstm": Path(jax_lstm.__file__).parent}
    files = {
        f"{name}/{path.relative_to(folder).as_posix()}": path
        for name, folder in folders.items()
        for path in folder.rglob("*.py")
    }
    native = (path for path in (ROOT / "jax_lstm").rglob("*") if path.suffix in NATIVE)
    files |= {path.relative_to(ROOT).as_posix(): path for path in native}
    return {name: hashlib.sha256(files[name].read_bytes()).hexdigest() for name in sorted(files)}


def digest(record: Record) -> str:
    """SHA-256 of the record's file without the digest itself."""
    rest = {name: value for name, value in record.submission.items() if name != "digest"}
    return hashlib.sha256(as_text(replace(record, submission=rest)).encode()).hexdigest()


def begun(record: Record) -> Record:
    """A submission that has no rows yet, nor a digest.

    Raises:
        InputError: the rules are not kept.
    """
    require_rules(record, "--submit")
    return replace(record, submission={"sources": sources()})


def sealed(record: Record) -> Record:
    return replace(record, submission=record.submission | {"digest": digest(record)})


def require_rules(record: Record, option: str) -> None:
    """The commit is known and unchanged, the machine was quiet, and no variable changes how contenders run."""
    clean = COMMIT.fullmatch(record.commit) is not None
    require(clean, option, "be of one commit, without changes", record.commit, "commit or stash them")
    load, quiet = record.load or 0.0, f"be of a machine whose load was at most {QUIET} in the minute before"
    require(load <= QUIET, option, quiet, f"{load:.1f}", "wait")
    variables = [name for name in record.environment.get("variables", {}) if not NEUTRAL.fullmatch(name)]
    require(not variables, option, "be made without variables that change speeds", ", ".join(variables), "unset them")


def verified(record: Record, setting: Setting) -> str:
    """What was verified of a submission, for the screen.

    Raises:
        InputError: it was changed, was made with other source files or against the rules, or lacks rows.
    """
    own, now, then = record.submission.get("digest", "none"), sources(), record.submission["sources"]
    fits = own == digest(record)
    require(fits, "--check", f"be unchanged since it was made, with the digest {digest(record)[:12]}", own[:12])
    require_rules(record, "--check")
    differ = [name for name in sorted(now.keys() | then.keys()) if now.get(name) != then.get(name)]
    at = f"git checkout {record.commit}"
    require(not differ, "--check", "be of the source files that are here", f"others of {_listed(differ)}", at)
    missing = [
        f"{case}, {measure}, {who}"
        for case, measure in setting.pairs()
        for who in setting.contenders
        if who not in record.absent and not record.of(PART, case, measure, who)
    ]
    require(not missing, "--check", "hold the full comparison", f"a record without {_listed(missing, '; ')}")
    return f"The submission is unchanged (digest {own[:12]}), complete, and of these {len(now)} source files."


def _listed(names: list[str], between: str = ", ") -> str:
    return between.join(names[:SHOWN]) + f" and {len(names) - SHOWN} more" * (len(names) > SHOWN)
