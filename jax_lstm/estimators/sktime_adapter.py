"""`Forecaster` as a forecaster of sktime, for its pipelines, splitters and searches. Needs sktime."""

import inspect
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from jax_lstm.checks import InputError, require, require_extra
from jax_lstm.estimators.base import keywords
from jax_lstm.estimators.forecaster import Forecaster

base: Any = require_extra("sktime.forecasting.base", "sktime", "SktimeForecaster")

# Parameters of `Forecaster` that follow from y, X and fh, and those of intervals, which `predict` does not return.
LEFT_OUT = (
    *("target", "features", "time", "time_zone", "group", "horizon", "date_order", "date_format"),
    *("past", "future", "static", "ignore", "categories", "interval", "quantiles"),
)
PARAMS = {name: value for name, value in Forecaster.defaults().items() if name not in LEFT_OUT} | {"split": ""}
TIME, SERIES = "time", "series"  # columns of the frame for `Forecaster`
Y, X_ = "y.", "X."  # what the names of the others begin with
HELD_OUT, MOST_HELD_OUT = 0.1, 1 / 3  # of the rows, for validation


class SktimeForecaster(base.BaseForecaster):
    """`jax_lstm.Forecaster` with the interface of sktime.

    The horizon of the network is the last step of `fh`, which may have gaps. The columns of `X` are known in advance:
    `predict` needs their values up to the last step. Columns of `X` that are not numbers hold classes. On a panel or a
    hierarchy, one model is trained on all series, which must end at the same time.

    Parameters are those of `Forecaster`, without the ones that follow from `y`, `X` and `fh`. By default, `split` keeps
    no rows for testing. The last tenth of the rows, or the last horizon if it is longer, is for validation, and all
    earlier rows are for training. If validation would take more than a third of the rows, there is none: all rows are
    for training, and the weights are those of the last epoch.

    `update` with `update_params=False` trains nothing: the new rows are only read as the window before the forecast.
    With `update_params=True`, a new model is trained on all rows.

    There are no forecasts of past rows. There are no intervals either, because `Forecaster` needs their level in `fit`:
    use `Forecaster(interval=0.9)`, or sktime's `ConformalIntervals`.

    Attributes:
        forecaster_: the fitted `Forecaster`, for its `verdict`, `run` and `save`.

    Raises:
        InputError: a parameter, or the data, cannot be used.

    Example:
        >>> import numpy as np
        >>> import pandas as pd
        >>> from jax_lstm.estimators.sktime_adapter import SktimeForecaster
        >>> hours = pd.period_range("2024-01-01", periods=240, freq="h")
        >>> load = pd.Series(np.sin(np.arange(240) * np.pi / 12), index=hours, name="load")
        >>> model = SktimeForecaster(window=24, hidden_size=4, epochs=1).fit(load, fh=[1, 2, 6])
        >>> model.predict().index.hour.tolist()
        [0, 1, 5]
    """

    _tags: ClassVar[dict[str, Any]] = {
        "authors": "The jax_lstm developers",
        "maintainers": "The jax_lstm developers",
        "y_inner_mtype": ["pd.DataFrame", "pd-multiindex", "pd_multiindex_hier"],
        "X_inner_mtype": ["pd.DataFrame", "pd-multiindex", "pd_multiindex_hier"],
        "requires-fh-in-fit": True,
        "capability:multivariate": True,
        "capability:exogenous": True,
        "capability:categorical_in_X": True,
        "capability:non_contiguous_X": True,
        "capability:missing_values": True,
        "capability:update": True,
        "capability:unequal_length": False,
        "capability:insample": False,
        "capability:pred_int": False,
        "property:randomness": "deterministic",  # by `seed`
    }

    _config: ClassVar[dict[str, Any]] = {"remember_data": False}  # it is in `_rows`
    _y: Any = None  # of sktime, if `remember_data` is set

    def __init__(self, **params: Any):
        given = inspect.signature(type(self)).bind(**params)
        given.apply_defaults()
        self.__dict__.update(given.arguments)
        super().__init__()
        self._forecaster()  # which checks them

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Small models, for sktime's `check_estimator`."""
        small = {"window": 3, "hidden_size": 2, "epochs": 1, "optimizer": "sgd", "output_dropout": 0.0}
        return [{**small, "network": "tutorial"}, {**small, "decode": "linear", "schedule": "constant"}]

    def _forecaster(self, **params: Any) -> Forecaster:
        own = self.get_params()
        return Forecaster(**{name: value for name, value in own.items() if value or name != "split"} | params)

    def _fit(self, y: Any, X: Any, fh: Any) -> Self:
        self._columns = y.columns
        self._horizon = int(fh.to_indexer(self.cutoff).max()) + 1
        self._rows = _joined(y, X)
        return self._train()

    def _update(self, y: Any, X: Any = None, update_params: bool = True) -> Self:
        new = _joined(y, X)
        self._rows = pd.concat([self._rows[~self._rows.index.isin(new.index)], new]).sort_index()
        return self._train() if update_params else self

    def _train(self) -> Self:
        rows = self._known()
        targets, exogenous, frame = _named(rows, Y), _named(rows, X_), _frame(rows)
        known = rows[targets].notna().any(axis=1).groupby(_series(rows)).sum()  # rows of each series
        self.forecaster_ = self._forecaster(
            split=self.split or _split(int(known.max()), self._horizon),
            horizon=self._horizon,
            target=targets,
            future=exogenous,
            categories=[name for name in exogenous if not pd.api.types.is_numeric_dtype(rows[name])],
            time=TIME if TIME in frame else "",
            group=SERIES if SERIES in frame else "",
        ).fit(frame)
        return self

    def _predict(self, fh: Any, X: Any) -> Any:
        rows = self._known()
        targets, exogenous, count = _named(rows, Y), _named(rows, X_), _series(rows).max() + 1
        expected = fh.get_expected_pred_idx(y=rows, cutoff=self.cutoff).set_names(rows.index.names)
        last = _times(rows) == self.cutoff[0]
        blank = last & rows[targets].isna().all(axis=1)  # a forecast begins after the last known target
        rows.loc[blank, targets] = rows[targets].groupby(_series(rows)).ffill()[blank]
        if exogenous:
            require(X is not None, "X", "be given to `predict`, as it was to `fit`", None)
            steps = base.ForecastingHorizon(range(1, self._horizon + 1), freq=fh.freq)
            ahead = steps.get_expected_pred_idx(y=rows, cutoff=self.cutoff)
            rows = pd.concat([rows, X.add_prefix(X_).reindex(index=ahead)[exogenous]])
        found = self.forecaster_.predict(_frame(rows))[targets].to_numpy()
        if len(found) != count * self._horizon:
            raise InputError(
                f"each series must have the rows of a window, {self.forecaster_.run.config.data.window}, and values of "
                f"`X` in the row of the last step, {self._horizon}"
            )
        steps = fh.to_indexer(self.cutoff)
        chosen = found.reshape(count, self._horizon, len(targets))[:, steps].reshape(-1, len(targets))
        return pd.DataFrame(chosen, index=expected, columns=self._columns)

    def _known(self) -> Any:
        """The rows up to the cutoff."""
        rows = self._rows[_times(self._rows) <= self.cutoff[0]].copy()
        ends = _times(rows.groupby(_series(rows)).tail(1))
        same = bool((ends == self.cutoff[0]).all())
        require(same, "y", "have series that end at the same time", f"ends from {ends.min()} to {ends.max()}")
        return rows


# Where sktime and `help` read the parameters.
own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
SktimeForecaster.__init__.__signature__ = inspect.Signature([own, *keywords(PARAMS)])  # type: ignore[attr-defined]


def _joined(y: Any, X: Any) -> Any:
    """Both in one DataFrame, in which their columns have different names."""
    both = [y.add_prefix(Y)] + ([] if X is None else [X.reindex(index=y.index).add_prefix(X_)])
    return pd.concat(both, axis=1).sort_index()


def _named(rows: Any, start: str) -> list[str]:
    return [name for name in rows.columns if name.startswith(start)]


def _times(rows: Any) -> Any:
    return rows.index.get_level_values(-1)


def _series(rows: Any) -> np.ndarray:
    """The number of the series of each row."""
    return rows.index.droplevel(-1).factorize()[0] if rows.index.nlevels > 1 else np.zeros(len(rows), int)


def _frame(rows: Any) -> Any:
    """The rows as `Forecaster` reads them: times and series in columns; without times, rows are consecutive."""
    frame, times = rows.reset_index(drop=True), _times(rows)
    if rows.index.nlevels > 1:
        frame[SERIES] = _series(rows)
    if isinstance(times, pd.DatetimeIndex | pd.PeriodIndex):
        frame[TIME] = times
    else:
        steps = pd.Series(times).groupby(_series(rows)).diff().dropna()
        consecutive = bool((steps == 1).all())
        require(consecutive, "y", "have times or consecutive integers as index", f"rows {steps.max()} apart")
    return frame


def _split(rows: int, horizon: int) -> str:
    """The parts of a series of `rows` rows; none of them is for testing."""
    held_out = max(round(rows * HELD_OUT), horizon) / rows
    held_out = held_out if held_out <= MOST_HELD_OUT else 0.0
    return f"{1 - held_out},{held_out},0.0"
