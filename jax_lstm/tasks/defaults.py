"""Options that follow the data: what is not given is chosen here, printed, and saved with the run."""

from dataclasses import replace

import numpy as np

from jax_lstm.data import Dataset
from jax_lstm.data.season import segment_for
from jax_lstm.train.config import TrainConfig

BATCH_SIZE, EPOCHS = 64, 10  # of every task
LEAST_BATCH, MOST_BATCH = 4, 256
BATCHES = 16  # least number of batches in an epoch of a short series
LEAST_EPOCHS, MOST_EPOCHS = 5, 15  # of a forecaster
WINDOWS, ROWS = 100_000, 90_000_000  # read in all epochs together: at most so many windows, and rows of windows


def with_defaults(config: TrainConfig) -> TrainConfig:
    """`config` with a batch size, epochs and a schedule."""
    segments = config.task == "forecast" and config.model.network == "segments"
    auto = "cosine" if segments else "constant"
    schedule = auto if config.optim.schedule == "auto" else config.optim.schedule
    return replace(
        config,
        optim=replace(config.optim, schedule=schedule),
        batch_size=config.batch_size or BATCH_SIZE,
        epochs=config.epochs or EPOCHS,
    )


def with_forecast_defaults(config: TrainConfig, dataset: Dataset) -> TrainConfig:
    """`config` with what suits the windows of `dataset`; what that chose of the data is kept in `config.data`."""
    used, model, windows = dataset.config, config.model, len(dataset.starts["train"])
    chosen = {"season": used.season, "window": used.window, "statistics": used.statistics, "file": used.file}
    data = replace(config.data, **chosen)
    if model.network == "segments":
        shortest = min(dataset.calendar.seasons, default=1) if dataset.calendar else used.season
        segment = model.segment or segment_for(shortest, used.window)
        normalise = dataset.ridge.normalise if model.normalise == "auto" else model.normalise
        model = replace(model, segment=min(segment, used.window), normalise=normalise)
    short, long = min(windows // BATCHES, BATCH_SIZE), min(windows // BATCH_SIZE, MOST_BATCH)
    batch_size = config.batch_size or max(LEAST_BATCH, short, long)
    most = min(WINDOWS // windows, ROWS // (windows * used.window))
    epochs = config.epochs or int(np.clip(most, LEAST_EPOCHS, MOST_EPOCHS))
    return with_defaults(replace(config, data=data, model=model, batch_size=batch_size, epochs=epochs))
