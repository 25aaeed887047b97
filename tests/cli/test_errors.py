"""Input that cannot be used: exit status 2, one line on stderr that says what and where, and no run directory."""

import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from jax_lstm.cli import main

ROWS = [f"2020-01-{1 + hour // 24:02}T{hour % 24:02}:00,{hour % 7},{hour * hour % 11}" for hour in range(60)]
HEADER = "time,y,x"
SMALL = ("--target", "y", "--time", "time", "--hidden-size", "2", "--window", "4", "--horizon", "2", "--epochs", "1")
Fails = Callable[..., str]


def text(rows: list[str], header: str = HEADER) -> str:
    return "\n".join([header, *rows]) + "\n"


def row(hour: int, stamp: str | None = None, y: str = "1", x: str = "2") -> list[str]:
    """The rows with that of `hour` replaced; it stands in line `hour + 2` of the file."""
    return [*ROWS[:hour], f"{ROWS[hour].split(',')[0] if stamp is None else stamp},{y},{x}", *ROWS[hour + 1 :]]


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Fails:
    """Run a command that must fail as all do, and return its message."""

    def run(*arguments: Any) -> str:
        assert main([str(argument) for argument in arguments]) == 2
        printed = capsys.readouterr()
        (line,) = printed.err.splitlines()
        assert line.startswith("jax-lstm: error: ")
        assert "Traceback" not in printed.out + printed.err
        return line

    return run


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "good.csv"
    path.write_text(text(ROWS))
    return path


@pytest.fixture(scope="module")
def run_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run, for the commands that need one."""
    directory = tmp_path_factory.mktemp("trained")
    path, run = directory / "good.csv", directory / "run"
    path.write_text(text(ROWS))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "matplotlib.figure", None)  # no pictures, which take long
        assert main(["train", "--csv", str(path), *SMALL, "--out", str(run)]) == 0
    return run


FILE_FAULTS: dict[str, tuple[str | bytes, tuple[str, ...]]] = {
    "empty": ("", ("the file is empty",)),
    "header alone": (HEADER + "\n", ("no rows under the header",)),
    "missing column": (text(ROWS, "time,q,x"), ("line 1", "no column 'y'", "time, q, x")),
    "column named twice": (text(ROWS, "time,y,y"), ("line 1", "column 'y' is named twice")),
    "text in a number": (text(row(8, y="12;5")), ("line 10", "column 'y'", "'12;5'")),
    "infinite value": (text(row(9, x="-inf")), ("line 11", "column 'x'", "finite", "'-inf'")),
    "ragged row": (text(row(3, x="2,3")), ("line 5", "expected 3 fields", "got 4")),
    "unclosed quote": (text(row(3, x='"2')), ("not CSV",)),
    "not UTF-8": (text(row(3, x="é")).encode("latin-1"), ("not UTF-8",)),
    "no timestamp": (text(row(5, stamp="soon")), ("line 7", "column 'time'", "ISO 8601", "'soon'")),
    "unsorted": (text(row(5, stamp="2020-01-01T02:00")), ("line 7", "comes before", "line 6")),
    "repeated": (text(row(5, stamp="2020-01-01T04:00")), ("line 7", "repeats", "line 6")),
    "off the grid": (text(row(5, stamp="2020-01-01T05:20")), ("line 7", "off the grid", "1:00:00")),
    "aware and naive": (text(row(5, stamp="2020-01-01T05:00Z")), ("column 'time'", "offset from UTC")),
    "huge gap": (text(row(59, stamp="2030-01-01T00:00")), ("line 61", "rows of 1:00:00 are missing")),
    "missing file": (b"missing", ("no such file",)),
    "truncated gzip": (gzip.compress(text(ROWS).encode())[:-12], ("cannot be read",)),
    "no gzip": (text(ROWS), ("cannot be read",)),
}
DATA_FAULTS: dict[str, tuple[str | bytes, tuple[str, ...]]] = {
    "too few rows": (text(ROWS[:7]), ("too few rows", "train part", "window + horizon = 6")),
    "values too large": (text(row(5, y="1e200")), ("column 'y'", "too large", "1e+200")),
    "values too far": (text(row(55, y="1e300")), ("column 'y'", "1e+300", "too far from its mean")),
    "no value": (text([f"{one.split(',')[0]},,2" for one in ROWS]), ("column 'y'", "no value in the training part")),
}


@pytest.mark.parametrize("command", ["train", "compare"])
@pytest.mark.parametrize("fault", [*FILE_FAULTS, *DATA_FAULTS])
def test_files_that_cannot_be_used(tmp_path: Path, fails: Fails, fault: str, command: str) -> None:
    if command == "compare":
        pytest.importorskip("torch")
    content, fragments = (FILE_FAULTS | DATA_FAULTS)[fault]
    path = tmp_path / ("data.csv.gz" if "gzip" in fault else "data.csv")
    if fault != "missing file":
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    out = tmp_path / "run"
    message = fails(command, "--csv", path, *SMALL, "--out", out)
    assert not out.exists()
    for fragment in (str(path), *fragments):
        assert fragment in message


OPTION_FAULTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "no epochs": (("--epochs", "0"), ("`--epochs`", "at least 1", "got 0")),
    "no batch": (("--batch-size", "0"), ("`--batch-size`", "at least 1")),
    "no window": (("--window", "0"), ("`--window`", "at least 1")),
    "split of words": (("--split", "nonsense"), ("`--split`", "8640,2880,2880", "'nonsense'")),
    "split above one": (("--split", "0.8,0.2,0.2"), ("`--split`", "at most 1 in all")),
    "split beyond the rows": (("--split", "50,10,10"), ("`--split`", "at most the 60 rows", "50,10,10")),
    "dropout of one layer": (("--dropout", "0.5"), ("`--dropout`", "single layer", "0.5")),
    "dropout of all": (("--num-layers", "2", "--dropout", "1"), ("`--dropout`", "below 1")),
    "split without test, beyond the rows": (("--split", "60,1,0"), ("`--split`", "at most the 60 rows")),
    "learning rate": (("--learning-rate", "-1"), ("`--learning-rate`", "positive")),
    "infinite learning rate": (("--learning-rate", "inf"), ("`--learning-rate`", "finite")),
    "infinite clip norm": (("--clip-norm", "inf"), ("`--clip-norm`", "finite")),
    "seed beyond int32": (("--seed", "99999999999"), ("`--seed`", "at most 2147483647")),
    "season beyond int32": (("--season", "99999999999"), ("`--season`", "at most 2147483647")),
    "final rate": (("--schedule", "cosine", "--final-rate", "0"), ("`--final-rate`", "above 0")),
    "seed": (("--seed", "-1"), ("`--seed`", "at least 0")),
    "patience without validation": (("--patience", "2", "--split", "0.8,0,0.2"), ("`--patience`", "validation")),
    "column twice": (("--features", "x", "x"), ("`--features`", "once")),
    "unknown feature": (("--features", "x", "w"), ("good.csv, line 1", "no column 'w'")),
    "unknown group": (("--group", "site"), ("good.csv, line 1", "no column 'site'")),
}


@pytest.mark.parametrize("fault", OPTION_FAULTS)
def test_options_that_cannot_be_used(tmp_path: Path, csv: Path, fails: Fails, fault: str) -> None:
    options, fragments = OPTION_FAULTS[fault]
    message = fails("train", "--csv", csv, *SMALL, *options, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()
    for fragment in fragments:
        assert fragment in message


def test_columns_need_a_file_and_a_file_needs_a_target(tmp_path: Path, csv: Path, fails: Fails) -> None:
    assert "`--time` must come with --csv" in fails("train", "--time", "time", "--out", tmp_path / "run")
    assert "`--target` must name the column" in fails("train", "--csv", csv, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


CONFIG_FAULTS: dict[str, tuple[str | None, tuple[str, ...]]] = {
    "missing": (None, ("no such file",)),
    "no JSON": ("{'epochs': 2}", ("not a JSON file",)),
    "empty": ("", ("not a JSON file",)),
    "no object": ("[1, 2]", ("expected a JSON object",)),
    "unknown field": (json.dumps({"epoch": 2}), ("unknown field 'epoch'", "epochs")),
    "number as text": (json.dumps({"epochs": "2"}), ("field 'epochs'", "expected int", "'2'")),
    "fraction for an integer": (json.dumps({"epochs": 2.5}), ("field 'epochs'", "expected int", "2.5")),
    "truth for an integer": (json.dumps({"epochs": True}), ("field 'epochs'", "expected int", "True")),
    "text for a list": (json.dumps({"data": {"target": "temp"}}), ("field 'target'", "expected a list")),
    "value out of range": (json.dumps({"epochs": 0}), ("`--epochs`", "at least 1")),
    # A comparison has none of the following.
    "unknown field inside": (json.dumps({"model": {"size": 2}}), ("field 'model'", "unknown field 'size'")),
    "unknown choice": (json.dumps({"optim": {"schedule": "zigzag"}}), ("field 'schedule'", "'cosine'")),
}


@pytest.mark.parametrize(
    ("command", "fault"),
    [("train", fault) for fault in CONFIG_FAULTS] + [("compare", fault) for fault in list(CONFIG_FAULTS)[:-2]],
)
def test_config_files_that_cannot_be_used(tmp_path: Path, fails: Fails, fault: str, command: str) -> None:
    content, fragments = CONFIG_FAULTS[fault]
    path = tmp_path / "options.json"
    if content is not None:
        path.write_text(content)
    message = fails(command, "--config", path, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()
    for fragment in (str(path), *fragments):
        assert fragment in message


def test_out_must_be_free(tmp_path: Path, csv: Path, fails: Fails) -> None:
    options = ("train", "--csv", csv, *SMALL, "--out")
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "notes.txt").write_text("mine")
    assert "`--out` must be a new or an empty directory" in fails(*options, taken)
    assert [path.name for path in taken.iterdir()] == ["notes.txt"]
    assert "`--out` must be a directory" in fails(*options, taken / "notes.txt")
    assert (taken / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "fragments"),
    [
        (("--optimizer", "nonsense"), ("`--optimizer`", "adamw", "'nonsense'")),
        (("--optimizer", "scale_by_adam"), ("`--optimizer`", "adamw")),
        (("--optimizer-args", "b3=0.5"), ("`--optimizer-args`", "optax.adam", "b1", "b3")),
        (("--optimizer-args", "b1"), ("`--optimizer-args`", "NAME=NUMBER", "'b1'")),
        (("--optimizer-args", "b1=high"), ("`--optimizer-args`", "NAME=NUMBER", "'b1=high'")),
        (("--optimizer", "lbfgs"), ("`--optimizer`", "lbfgs cannot be used")),
    ],
)
def test_optimisers_that_cannot_be_used(
    tmp_path: Path, csv: Path, fails: Fails, options: tuple[str, ...], fragments: tuple[str, ...]
) -> None:
    message = fails("train", "--csv", csv, *SMALL, *options, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()
    for fragment in fragments:
        assert fragment in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "--task", "lm"), "`--task` is now a subcommand: jax-lstm train text; got --task lm"),
        (("compare", "--task=classify"), "`--task` is now a subcommand: jax-lstm compare labels; got --task classify"),
        (
            ("train", "lm"),
            "`train` must be followed by forecast, text, labels or options; got 'lm' (jax-lstm train text)",
        ),
        (
            ("train", "--unroll", "4"),
            "`--unroll` must be given to the kernel; got 4 (--backend scan --backend-args unroll=4)",
        ),
        (("train", "--task", "other"), "jax-lstm train forecast|text|labels; got --task other"),
        (
            ("train", "text", "--bidirectional"),
            "`--bidirectional` must come with the task forecast or labels, not text",
        ),
        (("train", "--text", "a.txt"), "`--text` must come with the task text, not forecast; got a.txt"),
        (("train", "labels", "--window=3"), "`--window` must come with the task forecast, not labels; got 3"),
        (
            ("compare", "--dropout", "0.1"),
            "`--dropout` must be left out of compare, where both sides train with plain Adam",
        ),
        (("compare", "--stream"), "`--stream` must be left out of compare, which times data in memory"),
        (("train", "--proj-size", "32"), "`--proj-size` must be below --hidden-size, 32; got 32"),
        (
            ("train", "--backend", "scan", "--backend-args", "unroll"),
            "`--backend-args` must be NAME=VALUE, as unroll=4",
        ),
        (("train", "--backend-args", "unroll=4"), "`--backend-args` must come with --backend NAME; got unroll=4"),
        (("train", "--backend", "none"), "`backend` must be a kernel or one of"),
    ],
)
def test_options_that_do_not_apply(tmp_path: Path, fails: Fails, arguments: tuple[str, ...], message: str) -> None:
    assert message in fails(*arguments, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_resume_needs_a_run(tmp_path: Path, fails: Fails) -> None:
    assert "no such file" in fails("train", "--resume", tmp_path / "none")
    assert not (tmp_path / "none").exists()
    (tmp_path / "empty").mkdir()
    assert str(tmp_path / "empty") in fails("train", "--resume", tmp_path / "empty")
    assert not list((tmp_path / "empty").iterdir())


def test_resume_goes_without_config_and_out(tmp_path: Path, run_directory: Path, fails: Fails) -> None:
    config = run_directory / "config.json"
    assert "without --config" in fails("train", "--resume", run_directory, "--config", config)
    assert "`--out` must be left out" in fails("train", "--resume", run_directory, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_resume_is_refused_for_another_run(run_directory: Path, fails: Fails) -> None:
    before = {path: path.read_bytes() for path in run_directory.rglob("*") if path.is_file()}
    assert "must keep the model of the run" in fails("train", "--resume", run_directory, "--hidden-size", 5)
    assert "the seed of the run, 0; got 1" in fails("train", "--resume", run_directory, "--seed", 1)
    assert {path: path.read_bytes() for path in run_directory.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("command", ["evaluate", "forecast"])
def test_commands_on_a_directory_that_is_no_run(tmp_path: Path, fails: Fails, command: str) -> None:
    assert "no such run directory" in fails(command, tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert "no checkpoint here" in fails(command, tmp_path / "empty")
    assert not list((tmp_path / "empty").iterdir())


def test_forecast_needs_the_rows_of_a_window(tmp_path: Path, run_directory: Path, fails: Fails) -> None:
    path, out = tmp_path / "short.csv", tmp_path / "out.csv"
    path.write_text(text(ROWS[:3]))
    message = fails("forecast", run_directory, "--csv", path, "--out", out)
    assert f"{path}: too few rows" in message
    assert "the window needs 4; got 3" in message
    assert not out.exists()


def test_forecast_reads_files_with_the_same_care(tmp_path: Path, run_directory: Path, fails: Fails) -> None:
    path, out = tmp_path / "data.csv", tmp_path / "out.csv"
    path.write_text(text(ROWS, "time,y,w"))
    assert f"{path}, line 1: no column 'x'" in fails("forecast", run_directory, "--csv", path, "--out", out)
    path.write_text(text(row(5, y="five")))
    assert f"{path}, line 7, column 'y'" in fails("forecast", run_directory, "--csv", path, "--out", out)
    assert "`--out` must end in .csv" in fails("forecast", run_directory, "--out", tmp_path / "out.txt")
    assert not out.exists()


def test_a_value_too_far_from_training_is_refused_later_too(tmp_path: Path, run_directory: Path, fails: Fails) -> None:
    path, out = tmp_path / "data.csv", tmp_path / "out.csv"
    path.write_text(text(row(58, y="1e300")))
    assert "too far from its mean" in fails("forecast", run_directory, "--csv", path, "--out", out)
    assert "too far from its mean" in fails("evaluate", run_directory, "--csv", path, "--out", out)
    assert not out.exists()


def test_a_file_that_cannot_be_written_is_named_as_it_was_asked_for(
    tmp_path: Path, run_directory: Path, fails: Fails
) -> None:
    (tmp_path / "file").write_text("mine")
    out = tmp_path / "file" / "out.csv"
    assert f"{out}" in fails("forecast", run_directory, "--out", out)
    taken = tmp_path / "taken.csv"
    taken.mkdir()
    assert f"{taken}: " in fails("forecast", run_directory, "--out", taken)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "taken.csv"]


@pytest.mark.slow
def test_forecast_of_one_row_lacks_the_step_to_the_next(tmp_path: Path, fails: Fails) -> None:
    path, run = tmp_path / "data.csv", tmp_path / "run"
    path.write_text(text(ROWS))
    options = ("--csv", path, *SMALL, "--window", "1", "--out", run)
    assert main(["train", *map(str, options)]) == 0
    path.write_text(text(ROWS[:1]))
    assert "the time step cannot be found from one timestamp" in fails("forecast", run)
    assert not (run / "forecast.csv").exists()


def test_evaluate_reads_files_with_the_same_care(tmp_path: Path, run_directory: Path, fails: Fails) -> None:
    path, out = tmp_path / "data.csv", tmp_path / "scores.json"
    path.write_text(text(row(5, y="five")))
    assert f"{path}, line 7, column 'y'" in fails("evaluate", run_directory, "--csv", path, "--out", out)
    assert "`--split` must" in fails("evaluate", run_directory, "--split", "half", "--out", out)
    no_test = fails("evaluate", run_directory, "--split", "0.8,0.2,0", "--part", "test", "--out", out)
    assert "`--part` must be one that the data has; got 'test'" in no_test
    assert not out.exists()


def test_torch_is_missed_by_what_needs_it(
    tmp_path: Path, csv: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_spec(name: str, *_: Any) -> None:
        if name == "torch":
            raise ModuleNotFoundError("No module named 'torch'")

    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(sys, "meta_path", [SimpleNamespace(find_spec=find_spec), *sys.meta_path])
    options = ("--csv", csv, *SMALL, "--out", tmp_path / "run")
    assert "compare needs torch: pip install 'jax-lstm[torch]'" in fails("compare", *options)
    assert not (tmp_path / "run").exists()
    assert "pip install 'jax-lstm[torch]'" in fails("tutorial", "--framework", "torch")


@pytest.mark.parametrize(
    "command", [("train",), ("compare",), ("evaluate", "run"), ("forecast", "run"), ("tutorial",), ("info",)]
)
def test_unknown_options_exit_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--bogus", "1"])
    assert stopped.value.code == 2
    assert "--bogus" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options", [("--epochs", "two"), ("--schedule", "zigzag"), ("--epochs",)])
def test_values_of_the_wrong_kind_exit_with_2(capsys: pytest.CaptureFixture[str], options: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["train", *options])
    assert stopped.value.code == 2
    assert options[0] in capsys.readouterr().err


@pytest.mark.parametrize("options", [("--epochs", "0"), ("--learning-rate", "0"), ("--batch-size", "-3")])
def test_tutorial_checks_its_options(fails: Fails, options: tuple[str, str]) -> None:
    assert f"`{options[0]}` must be" in fails("tutorial", *options)


def test_a_kernel_that_cannot_serve_leaves_no_directory(fails: Any, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert "it runs on cuda; not on cpu" in fails("train", "--backend", "cudnn", "--out", out)
    assert not out.exists()
