"""Forecasting with `--stream`: windows are read from disk during training."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jax_lstm.checks import require_extra
from jax_lstm.data.streamed import Streamed, load_streamed
from jax_lstm.tasks.forecast import Forecasting, trained_on
from jax_lstm.train.batches import calls_of
from jax_lstm.train.config import TrainConfig
from jax_lstm.train.mesh import HostRows, host_rows, make_mesh
from jax_lstm.train.task import Arrays

CALL_BYTES = 2**24  # most bytes of windows per compiled call
AHEAD = 2  # calls whose windows are read in advance


@dataclass(frozen=True)
class Streaming(Forecasting):
    """Windows are read from disk call by call; `dataset` holds only those used for scores."""

    stream: Streamed

    @property
    def facts(self) -> list[tuple[str, str]]:
        data, windows = self.stream, self.stream.windows
        series = f" of {len(data.series):,} series" if len(data.series) > 1 else ""
        counts, scored = (" / ".join(f"{count:,}" for count in each) for each in zip(*self._counts(), strict=True))
        calls, steps, batch = self.shape
        cut = f"window {data.config.window}, horizon {data.config.horizon}; split {data.config.split}: {counts} windows"
        drawn = f"{calls * steps * batch:,} of {len(windows['train']):,} training windows per epoch, drawn anew"
        return [
            ("data", f"{data.config.csv}: {data.rows:,} rows{series}, read from disk as needed"),
            super().facts[1],
            ("", cut),
            ("", drawn),
            ("", f"scores are of {scored} evenly spaced windows; the linear model is fitted to the first of these"),
        ]

    def _counts(self) -> list[tuple[int, int]]:
        return [(len(windows), self.size(part)) for part, windows in self.stream.windows.items()]

    @property
    def shape(self) -> tuple[int, int, int]:
        config, total = self.config, len(self.stream.windows["train"])
        windows = min(total, config.data.epoch_windows or total)
        batch = min(config.batch_size, windows)
        numbers = batch * (config.data.window + config.data.horizon) * len(self.stream.scaler.columns)
        fitting = max(CALL_BYTES // (numbers * np.dtype(config.dtype).itemsize), 1)
        return *calls_of(windows // batch, min(config.chunk_steps, fitting)), batch

    def batches(self, config: TrainConfig, epoch: int, first: int = 0) -> Any:
        """Windows (steps per call, B, window + horizon, C); with several hosts each reads only its own rows.

        Grain computes the shuffled order index by index, so it needs no memory.
        """
        grain = require_extra("grain", "data", "--stream")
        calls, steps, batch = self.shape
        mesh = make_mesh(config.mesh) if jax.process_count() > 1 else None
        own = slice(0, batch) if mesh is None else host_rows(mesh, steps, batch)

        def read(numbers: np.ndarray) -> Any:
            mine = numbers.reshape(steps, batch)[:, own]
            values = np.stack([self.stream.read("train", one).astype(config.dtype) for one in mine])
            return values if mesh is None else HostRows(values, own.start, batch)

        seed = int(np.random.SeedSequence([config.seed, epoch]).generate_state(1)[0])
        order = grain.MapDataset.range(len(self.stream.windows["train"])).shuffle(seed=seed)
        due = order[first * steps * batch : calls * steps * batch].batch(steps * batch, batch_fn=np.array)
        return due.map(read).to_iter_dataset(grain.ReadOptions(num_threads=AHEAD, prefetch_buffer_size=AHEAD))

    def gather(self, arrays: Arrays, rows: jax.Array) -> Any:
        """Split windows (B, window + horizon, C) into inputs and targets."""
        data, window = self.stream, self.stream.config.window
        targets = np.array([data.scaler.columns.index(name) for name in data.columns.target])
        x, ahead = rows[:, :window, : len(data.columns.features)], rows[:, window:, :0]
        return (x, ahead), rows[:, window:, targets].reshape(len(rows), -1)


def load(config: TrainConfig, about: dict[str, Any] | None = None) -> Streaming:
    if about is None:
        require_extra("grain", "data", "--stream")  # before all rows are read, not after
    stream = load_streamed(config.data, None if about is None else trained_on(about))
    return Streaming(config, stream.sample(np.dtype(config.dtype)), stream)
