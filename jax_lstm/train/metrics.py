"""`metrics.jsonl`: one JSON object per line, appended during training."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jax_lstm.checks import InputError
from jax_lstm.files import read_json_lines, write_whole


class MetricsLog:
    """A JSONL file of metrics; every row has a `step`."""

    def __init__(self, path: Path, keep_to_step: int = 0, writes: bool = True):
        """Open `path` and drop rows after `keep_to_step`, which a resumed run writes again.

        With several hosts only one `writes`.
        """
        self._path, self._writes = path, writes
        if not writes:
            return
        kept = [row for row in read_json_lines(path) if row["step"] <= keep_to_step]
        write_whole(path, "".join(map(_line, kept)))

    def write(self, rows: Iterable[dict[str, Any]]) -> None:
        if not self._writes:
            return
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write("".join(map(_line, rows)))
        except OSError as error:
            raise InputError(f"{self._path}: cannot be written: {error.strerror}") from None


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, allow_nan=False) + "\n"
