"""Options of a run: each fault is named as on the command line, whether it comes from there, a file or Python."""

import json
from pathlib import Path
from typing import Any

import pytest

from jax_lstm import InputError
from jax_lstm.compare.config import CompareConfig, default
from jax_lstm.train import TrainConfig
from jax_lstm.train.config import from_dict, read_config, to_dict

CSV = {"csv": "a.npy", "target": ["y"]}
STREAM = CSV | {"stream": True}
FAULTS: list[tuple[Any, str]] = [
    *(({name: 0}, f"`--{name.replace('_', '-')}` must be an integer of at least 1; got 0")
      for name in ("chunk_steps",)),
    *(({name: -1}, f"`--{name.replace('_', '-')}` must be an integer of at least 0; got -1")
      for name in ("epochs", "batch_size")),
    *(({"data": {name: 0}}, f"`--{name}` must be an integer of at least 1; got 0")
      for name in ("horizon",)),
    ({"data": {"window": -1}}, "`--window` must be an integer of at least 0; got -1"),
    ({"model": {"segment": -1}}, "`--segment` must be an integer of at least 0; got -1"),
    ({"model": {"network": "tutorial", "channels": "joint"}}, "`--channels` must be left out with --network tutorial"),
    ({"quantiles": "0.1,0.9"}, "`--quantiles` must be numbers between 0 and 1 with 0.5 among them"),
    ({"quantiles": "0.5,high"}, "`--quantiles` must be numbers between 0 and 1 with 0.5 among them"),
    ({"quantiles": "0.1,0.5", "loss": "mae"}, "`--quantiles` must come without --loss and --network"),
    ({"data": {"interval": 1.5}}, "`--interval` must be at least 0 and below 1"),
    ({"data": {"interval": 0.9, "split": "0.8,0,0.2"}}, "`--interval` must come with a validation part in --split"),
    ({"data": {"csv": "a.csv", "target": ["y"], "future": ["y"]}}, "`--future` must leave out the targets"),
    ({"data": {"csv": "a.csv", "target": ["y"], "static": ["y"]}}, "`--static` must name columns that are neither"),
    ({"data": {"csv": "a.csv", "target": ["y"], "past": ["x"], "features": ["x"]}}, "`--past` must be left out with"),
    ({"data": {"season": 99999999999}}, "`--season` must be at most 2147483647"),
    ({"seed": 99999999999}, "`--seed` must be at most 2147483647"),
    ({"seed": -1}, "`--seed` must be an integer of at least 0"),
    ({"patience": -1}, "`--patience` must be an integer of at least 0"),
    ({"save_every": -1}, "`--save-every` must be an integer of at least 0"),
    ({"patience": 2, "data": {"split": "0.8,0,0.2"}}, "`--patience` must be 0 without a validation part"),
    ({"patience": 2, "task": "text", "held_out": 0.0}, "`--patience` must be 0 without a validation part"),
    *(({"sweep": ["learning_rate=1e-3,1e-2"], **without}, "`--sweep` must be left out without a validation part, by")
      for without in ({"data": {"split": "0.8, 0.00,0.2"}}, {"task": "labels", "held_out": 0.0})),
    ({"held_out": 1.0, "task": "text"}, "`--held-out` must be at least 0 and below 1"),
    ({"x64": True, "precision": "bfloat16"}, "`--precision` must be left out with --x64"),
    *(({"mesh": mesh}, "`--mesh` must be data=N") for mesh in ("data", "data=0", "rows=2", "data=2;model=2")),
    *(({"data": {"split": split}}, "`--split` must be three numbers of rows like 8640,2880,2880, or three fractions")
      for split in ("nonsense", "", "1,2", "1,2,3,4", "0.7,0.2,0.2", "0,10,10", "5,-1,2", "nan,0.1,0.1")),
    ({"data": {"time": "t"}}, "`--time` must come with --csv"),
    ({"data": {"group": "g"}}, "`--group` must come with --csv"),
    ({"data": {"csv": "a.csv"}}, "`--target` must name the column of --csv to forecast"),
    ({"data": {"csv": "a.csv", "target": ["y", "y"]}}, "`--target` must name each column once"),
    ({"data": {"features": ["x", "x"]}}, "`--features` must name each column once"),
    ({"data": {"stream": True}}, "`--stream` must come with --csv"),
    ({"data": STREAM | {"time": "1"}}, "`--time` must be left out with --stream"),
    ({"data": STREAM | {"group": "1"}}, "`--group` must be left out with --stream"),
    ({"data": CSV | {"epoch_windows": 5}}, "`--epoch-windows` must come with --stream"),
    ({"data": {"eval_windows": 0}}, "`--eval-windows` must be an integer of at least 1"),
    *(({"data": STREAM} | many, "`--seeds and --sweep` must be left out with --stream, since every model would")
      for many in ({"seeds": "0:2"}, {"sweep": ["learning_rate=1e-3,1e-2"]})),
    ({"model": {"dropout": 0.5}}, "`--dropout` must be 0 for a single layer"),
    ({"model": {"dropout": 1.0, "num_layers": 2}}, "`--dropout` must be at least 0 and below 1"),
    ({"model": {"proj_size": 64}}, "`--proj-size` must be below --hidden-size, 64; got 64"),
    ({"model": {"backend_args": ["unroll=4"]}}, "`--backend-args` must come with --backend NAME; got unroll=4"),
    *(({"model": {"backend": "scan", "backend_args": [text]}}, "`--backend-args` must be NAME=VALUE, as unroll=4")
      for text in ("unroll", "unroll=", "=4")),
    ({"model": {"tied": True, "embedding_size": 4}, "task": "text"}, "`--embedding-size` must be the LSTM's output"),
    ({"optim": {"learning_rate": -1}}, "`--learning-rate` must be positive and finite"),
    ({"optim": {"learning_rate": float("inf")}}, "`--learning-rate` must be positive and finite"),
    ({"optim": {"clip_norm": float("inf")}}, "`--clip-norm` must be positive and finite"),
    ({"optim": {"final_rate": 0}}, "`--final-rate` must be above 0 and at most 1"),
    # Options of other tasks.
    ({"text": {"text": "a.txt"}}, "`--text` must come with the task text, not forecast; got a.txt"),
    ({"sequences": {"sequences": "a.ts"}, "task": "text"}, "`--sequences` must come with the task labels, not text"),
    ({"sequences": {"test_sequences": "b.ts"}}, "`--test-sequences` must come with --sequences; got b.ts"),
    ({"data": CSV, "task": "text"}, "`--csv` must come with the task forecast, not text"),
    ({"model": {"tied": True}}, "`--tied` must come with the task text, not forecast; got True"),
    ({"model": {"bidirectional": True}, "task": "text"}, "since a language model must not see what follows"),
    ({"loss": "mae", "task": "labels"}, "`--loss` must come with the task forecast, not labels; got mae"),
    ({"held_out": 0.2}, "`--held-out` must come with the task text or labels, not forecast, since series have --split"),
    # Faults of a file's form.
    ([1, 2], "expected a JSON object"),
    ({"epoch": 2}, "unknown field 'epoch'; the fields are task, data"),
    ({"model": {"size": 2}}, "field 'model': unknown field 'size'"),
    ({"epochs": "2"}, "field 'epochs': expected int; got '2'"),
    ({"epochs": 2.5}, "field 'epochs': expected int; got 2.5"),
    ({"epochs": True}, "field 'epochs': expected int; got True"),
    ({"data": {"target": "temp"}}, "field 'target': expected a list; got 'temp'"),
    ({"optim": {"schedule": "zigzag"}}, "field 'schedule': expected one of 'auto', 'constant', 'cosine'"),
]  # fmt: skip


@pytest.mark.parametrize(("values", "message"), FAULTS)
def test_what_cannot_be_used_is_named(values: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        from_dict(TrainConfig(), values, "here")
    assert str(caught.value).startswith("here")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": STREAM}, "`--stream` must be left out of compare, which times data in memory"),
        ({"model": {"dropout": 0.1, "num_layers": 2}}, "`--dropout` must be left out of compare"),
        ({"model": {"output_dropout": 0.3}}, r"`--output-dropout` must be left out of compare.* \(compare has 0.0\)"),
        ({"optim": {"schedule": "cosine"}}, "`--schedule` must be left out of compare"),
    ],
)
def test_what_compare_leaves_out(options: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        CompareConfig(from_dict(default(), options, "here"))


def test_files(tmp_path: Path) -> None:
    """Which may begin with a byte order mark, as Windows writes them."""
    path, config = tmp_path / "options.json", TrainConfig(epochs=3)
    with pytest.raises(InputError, match=r"options.json: no such file"):
        read_config(TrainConfig(), str(path))
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(to_dict(config)).encode())
    assert read_config(TrainConfig(), str(path)) == config
    for text in ("{'epochs': 2}", ""):
        path.write_text(text)
        with pytest.raises(InputError, match=r"options.json: not a JSON file"):
            read_config(TrainConfig(), str(path))
