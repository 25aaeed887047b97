"""Input that cannot be used: exit status 2, one line on stderr that says what and where, and nothing written."""

import json
import shlex
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from jax_lstm.cli import main

SAVED = Path(__file__).parents[1] / "train" / "saved"
ROWS = [f"2020-01-{1 + hour // 24:02}T{hour % 24:02}:00,{hour % 7},{hour * hour % 11}" for hour in range(60)]
FILES = {
    "good.csv": "\n".join(["time,y,x", *ROWS]),
    "short.csv": "\n".join(["time,y,x", *ROWS[:3]]),
    "renamed.csv": "\n".join(["time,y,w", *ROWS]),
    "text.csv": "\n".join(["time,y,x", *ROWS]).replace("05:00,5,", "05:00,five,", 1),
    "far.csv": "\n".join(["time,y,x", *ROWS]).replace("10:00,2,", "10:00,1e300,"),  # of the second and the third day
    "new.csv": "sequence,a,b\n1,1,2\n1,2,3",
    "types.json": json.dumps({"epochs": "2"}),
}
SMALL = "--target y --time time --hidden-size 2 --window 4 --horizon 2 --epochs 1"
TRAIN = f"train --csv good.csv {SMALL} --out new"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, trained: Path) -> Path:
    """The files, a trained run, and runs of other tasks in `saved`."""
    folder = tmp_path_factory.mktemp("errors")
    for name, text in FILES.items():
        (folder / name).write_text(text + "\n")
    for name in ("empty", "taken.csv"):
        (folder / name).mkdir()
    shutil.copytree(SAVED, folder / "saved")
    shutil.copytree(trained, folder / "run")
    return folder


def contents(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


FAULTS = [
    # Data and files of options.
    (f"train --csv text.csv {SMALL} --out new", "text.csv, line 7, column 'y': expected a number; got 'five'"),
    (f"compare --csv text.csv {SMALL} --out new", "text.csv, line 7, column 'y': expected a number; got 'five'"),
    (f"train --csv short.csv {SMALL} --out new", "short.csv: too few rows: the train part needs at least window + hor"),
    (f"compare --csv short.csv {SMALL} --out new", "short.csv: too few rows: the train part needs at least window + h"),
    ("train --config types.json --out new", "field 'epochs': expected int; got '2'"),
    ("compare --config types.json --out new", "field 'epochs': expected int; got '2'"),
    # Options.
    (f"{TRAIN} --split 50,10,10", "`--split` must ask for at most the 60 rows"),
    (f"{TRAIN} --optimizer nonsense", "`--optimizer` must be one of"),
    (f"{TRAIN} --optimizer-args b3=0.5", "`--optimizer-args` must name arguments of optax.adam"),
    (f"{TRAIN} --backend none", "`backend` must be a kernel or one of"),
    (f"{TRAIN} --backend cudnn", "it runs on cuda; not on cpu"),
    (f"{TRAIN} --mesh data=64 --batch-size 64", "needs 64 devices"),
    (f"{TRAIN} --coordinator 127.0.0.1:1", "`--num-processes` must be given with --coordinator"),
    (f"{TRAIN} --coordinator a:1 --num-processes 2 --process-id 2", "`--process-id` must be below"),
    ("train --csv good.csv --out new", "`--target` must name the column"),
    ("tutorial --epochs 0", "`--epochs` must be an integer of at least 1; got 0"),
    ("tutorial --learning-rate 0", "`--learning-rate` must be positive"),
    ("tutorial --batch-size -3", "`--batch-size` must be an integer of at least 1; got -3"),
    ("train labels --hiden-size 3",
     "`--hiden-size` is no option of jax-lstm train labels; did you mean --hidden-size? (jax-lstm train labels "
     "--help)"),
    ("train --epoch=2", "`--epoch` is no option of jax-lstm train; did you mean --epochs? (jax-lstm train --help)"),
    ("export run --tto onnx", "`--tto` is no option of jax-lstm export; did you mean --to? (jax-lstm export --help)"),
    ("forecast run --bogus 1", "`--bogus` is no option of jax-lstm forecast (jax-lstm forecast --help)"),
    ("train --task_ text --no-x65", "`--task_` is no option of jax-lstm train"),
    ("trian --epochs 2", "'trian' is no command; did you mean train? (jax-lstm --help)"),
    ("train --epochs two", "Error parsing --epochs: invalid literal for int() with base 10: 'two' (jax-"),
    ("train --epochs", "Missing value for argument '--epochs'. Expected 1 values. (jax-lstm train --help)"),
    ("evaluate", "Missing from jax-lstm evaluate: PATH Run directory of train or compare."),
    ("evaluate run more", "Unrecognized options: more (jax-lstm evaluate --help)"),
    *((f"{command} {option} ''", f"`{option}` must have a value; got an empty one")
      for command, options in (("train", "--target --features --csv --out --config --resume --split --seeds --sweep"),
                               ("compare", "--target --out"), ("train labels", "--sequences"), ("train text", "--text"),
                               ("evaluate run", "--csv --split --out"), ("forecast run", "--csv --out"),
                               ("generate run", "--prompt"), ("export run --to onnx", "--out"))
      for option in options.split()),
    ("train --csv good.csv --target=", "`--target` must have a value; got an empty one"),
    ("train --csv good.csv --target y ''", "`--target` must have a value; got an empty one"),
    ("evaluate ''", "each argument must have a value; got an empty one"),
    # Tasks and what belongs to them.
    ("train --task lm", "`--task` is now a subcommand: jax-lstm train text; got --task lm"),
    ("compare --task=classify", "`--task` is now a subcommand: jax-lstm compare labels; got --task classify"),
    ("train --task other", "jax-lstm train forecast|text|labels; got --task other"),
    ("train lm", "`train` must be followed by forecast, text, labels or options; got 'lm' (jax-lstm train text)"),
    ("train --unroll 4", "`--unroll` must be given to the kernel; got 4 (--backend scan --backend-args unroll=4)"),
    ("train text --bidirectional", "`--bidirectional` must come with the task forecast or labels, not text"),
    ("train --text a.txt", "`--text` must come with the task text, not forecast; got a.txt"),
    ("train labels --window=3", "`--window` must come with the task forecast, not labels; got 3"),
    ("compare --dropout 0.1", "`--dropout` must be left out of compare, where both sides train with plain Adam"),
    ("compare --stream", "`--stream` must be left out of compare, which times data in memory"),
    ("forecast saved/lm-0", "forecast needs a run of the task forecast; this is a run of text"),
    ("evaluate saved/lm-0 --csv a", "be left out for a run of the task text"),
    ("evaluate run --cold 256", "`--cold` must come with a run of the task text, not forecast; got 256"),
    ("evaluate saved/classify-0 --dynamic 1e-3", "`--dynamic` must come with a run of the task text, not labels; got"),
    ("evaluate saved/lm-0 --decay 0.1", "`--decay` must come with --dynamic; got 0.1"),
    ("train labels --resume saved/lm-0", "`--resume` must name a run or config of labels; got"),
    ("train text --features a", "`--features` must come with the task forecast or labels, not text; got a"),
    ("train text --ignore a", "`--ignore` must come with the task forecast or labels, not text; got a"),
    ("train labels --time a", "`--time` must come with the task forecast, not labels; got a"),
    ("train labels --encoding a", "`--encoding` must come with the task forecast or text, not labels; got a"),
    ("train labels --sequences good.csv --sequence y --label x --out new", "(to leave the column out: --ignore time)"),
    ("train labels --sequences good.csv --sequence y --label x --ignore tim", "no column 'tim', see --ignore"),
    ("train labels --sequences good.csv --features --ignore y y", "`--ignore` must name each column once; got y y"),
    ("train text --encoding klingon", "`--encoding` must be an encoding of text that Python knows"),
    # Runs.
    (f"train --csv good.csv {SMALL} --out run", "`--out` must be a new or an empty directory"),
    (f"train --csv good.csv {SMALL} --out good.csv", "`--out` must be a directory"),
    ("train --resume none", "none/config.json: no such file"),
    ("train --resume empty", "empty/config.json: no such file"),
    ("train --resume run --config run/config.json", "`--resume` must come without --config"),
    ("train --resume run --out new", "`--out` must be left out"),
    ("train --resume run --hidden-size 5", "must keep --hidden-size of the run, 4; got 5 (only --epochs, --pat"),
    ("train --resume run --seed 1", "must keep --seed of the run, 0; got 1"),
    ("train --resume run --target x", "must keep --target of the run, y; got x (only"),
    ("train --resume run --sweep seed=1,2", "must keep --sweep of the run, none; got seed=1,2 (only"),
    *((f"{command} none{to}", "no such run directory")
      for command, to in (("evaluate", ""), ("forecast", ""), ("export", " --to onnx"))),
    *((f"{command} empty", "no checkpoint here") for command in ("evaluate", "forecast")),
    # Use of a run: the same care with files.
    ("forecast run --csv short.csv --out out.csv", "short.csv: too few rows: the window needs 6; the longest"),
    ("forecast run --csv renamed.csv --out out.csv", "renamed.csv: no column 'x'"),
    ("forecast run --csv text.csv --out out.csv", "text.csv, line 7, column 'y'"),
    ("forecast run --csv far.csv --out out.csv", "column 'y' holds 1e+300, too far from its mean"),
    ("forecast run --out out.txt", "`--out` must end in .csv"),
    ("forecast run --out good.csv/out.csv", "good.csv/out.csv: "),
    ("forecast run --out taken.csv", "taken.csv: "),
    ("forecast run --stream --csv x.csv", "`--csv and --out` must be left out with --stream"),
    ("evaluate run --csv text.csv --out out.json", "text.csv, line 7, column 'y'"),
    ("evaluate run --csv far.csv --out out.json", "column 'y' holds 1e+300, too far from its mean"),
    ("evaluate run --split half --out out.json", "`--split` must be three numbers of rows"),
    ("evaluate run --split 0.8,0.2,0 --part test", "`--part` must be one that the data has; got 'test'"),
    ("generate saved/lm-0 --prompt Z", "the character 'Z' at 0 is not in the text"),
    ("generate saved/lm-0 --length -1", "`--length` must be an integer of at least 0; got -1"),
    ("label saved/classify-0 --sequences new.csv --sequence id", "new.csv: no column 'id', see --sequence"),
    ("label saved/classify-0 --sequences good.csv --sequence y", "good.csv: no column 'a', which the mod"),
    ("label saved/lm-0 --sequences new.csv", "this command needs a run of the task labels; this is a run of text"),
    ("label saved/classify-0 --sequences none.ts", "none.ts: no such file"),
    ("export run --to onnx --out model.pt", "must end in .onnx; got"),
    ("export run --to safetensors --out none/model.safetensors", "cannot be written"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "message"), FAULTS)
def test_one_line_and_nothing_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, message: str
) -> None:
    if command.startswith("compare --csv"):
        pytest.importorskip("torch")
    monkeypatch.chdir(folder)
    before = contents(folder)
    assert main(shlex.split(command)) == 2
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert line.startswith("jax-lstm: error: ")
    assert message in line
    assert "Traceback" not in printed.out
    assert contents(folder) == before


@pytest.mark.slow
def test_torch_is_missed_by_what_needs_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_spec(name: str, *_: Any) -> None:
        if name == "torch":
            raise ModuleNotFoundError("No module named 'torch'")

    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(sys, "meta_path", [SimpleNamespace(find_spec=find_spec), *sys.meta_path])
    for command in (["compare", "--out", str(tmp_path / "run")], ["tutorial", "--framework", "torch"]):
        assert main(command) == 2
        assert "needs the package torch: pip install torch, or the extra `torch` of" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
