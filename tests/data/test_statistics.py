"""Mean and deviation of each series or shared: what `auto` chooses, and what keeps the shared ones."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from jax_lstm.checks import InputError
from jax_lstm.data import DataConfig, Dataset, Trained, load_dataset

pd = pytest.importorskip("pandas")
ROWS = 90
WAVE = np.sin(np.arange(ROWS) / 3)
Values = Mapping[str, np.ndarray]


def frame(series: Values, **columns: Mapping[str, Any]) -> Any:
    """Rows of each series, with further columns that have one value for each."""
    parts = [
        pd.DataFrame({"shop": name, "y": values, **{column: each[name] for column, each in columns.items()}})
        for name, values in series.items()
    ]
    return pd.concat(parts, ignore_index=True)


def load(data: Any, statistics: Any = "auto", trained: Trained | None = None, **options: Any) -> Dataset:
    config = DataConfig("data.csv", ("y",), group="shop", window=6, horizon=3, statistics=statistics, **options)
    return load_dataset(config, np.float64, trained, data)


def noisy(level: float, spread: float, seed: int) -> np.ndarray:
    return level + spread * (WAVE + 0.3 * np.random.default_rng(seed).standard_normal(ROWS))


def panel(*moments: tuple[float, float]) -> dict[str, np.ndarray]:
    return {f"s{seed}": noisy(level, spread, seed) for seed, (level, spread) in enumerate(moments)}


SHOPS = panel((10, 3), (1e3, 300), (1e5, 3e4))
SENSORS = panel((20, 1), (20.5, 1.2), (19.7, 0.8), (21, 1))


@pytest.mark.parametrize(
    ("series", "chosen"),
    [
        (SHOPS, "series"),
        (panel((100, 30), (1000, 300)), "series"),
        (panel(*[(100, 30)] * 9, (3000, 900)), "series"),
        (SENSORS | SHOPS, "series"),
        (panel((0, 1), (1000, 1), (2000, 1)), "series"),
        (SENSORS, "shared"),
        (panel((20, 1), (20, 2), (20, 0.5)), "shared"),
        (panel(*[(20, 1)] * 7) | {"off": np.full(ROWS, 20.0)}, "shared"),
        (SENSORS | {"short": np.array([1e6, 2e6, 3e6, 4e6])}, "series"),
        (panel((1000, 300)), "shared"),
    ],
)
@pytest.mark.parametrize("unit", [1, 1e-6, 1e6])
def test_auto_chooses_by_the_deviation_within_series(series: Values, chosen: str, unit: float) -> None:
    dataset = load(frame({name: unit * values for name, values in series.items()}))
    assert dataset.config.statistics == chosen
    assert list(dataset.scaler.series) == (list(series) if chosen == "series" else [])
    (note,) = dataset.notes or ("",)
    assert note.startswith("statistics per series: within series, the standard deviation of y") == (chosen == "series")


def test_measured_columns_have_those_of_the_series_and_all_others_the_shared_ones() -> None:
    """Which are static columns, classes that change or not, and the calendar."""
    size, kind = dict(zip(SHOPS, (1.0, 2.0, 4.0), strict=True)), dict(zip(SHOPS, "aba", strict=True))
    data = frame(SHOPS, size=size, kind=kind)
    data["offer"] = np.where(np.arange(len(data)) % np.repeat([2, 3, 5], ROWS), "no", "yes")
    data["other"] = data["y"] ** 2
    data["time"] = [*pd.date_range("2024-01-01", periods=ROWS, freq="h")] * len(SHOPS)
    options = {"time": "time", "static": ("size",), "categories": ("kind", "offer")}
    own, shared = (load(data, one, **options) for one in ("series", "shared"))
    assert own.config.statistics == "series"
    end = round(0.7 * ROWS)
    for at, name in enumerate(SHOPS):
        rows = slice(at * ROWS, (at + 1) * ROWS)
        for column in own.features:
            found = own.inputs[rows, own.features.index(column)]
            if column in ("y", "other"):
                values = data[column].to_numpy()[rows]
                expected = (values - values[:end].mean()) / values[:end].std()
            else:
                expected = shared.inputs[rows, shared.features.index(column)]
            np.testing.assert_allclose(found, expected, atol=1e-9, err_msg=f"{name} {column}")
        np.testing.assert_array_equal(own.targets[rows, 0], own.inputs[rows, own.features.index("y")])
    varies = [column for column in own.features if np.ptp(own.inputs[:, own.features.index(column)]) > 0]
    assert varies == list(own.features)
    added = {"size", "kind=a", "kind=b", "offer=no", "offer=yes", "other", "hour sin", "hour cos"}
    assert set(own.features) == {"y", *added}


def test_missing_values_take_the_mean_of_their_series() -> None:
    gap = {name: np.where(np.arange(ROWS) < 2, np.nan, values) for name, values in SHOPS.items()}
    dataset = load(frame(gap), "series")
    np.testing.assert_array_equal(dataset.inputs[dataset.first_rows], np.zeros((3, 1)))


def test_a_series_without_a_deviation_has_its_own_mean_and_the_usual_scale() -> None:
    """Constant, but for rounding, or with fewer than five known values in its training part; also a new one."""
    known = {count: np.full(ROWS, np.nan) for count in (4, 5)}
    for count, values in known.items():
        values[4 : 4 * count + 4 : 4], values[55] = np.arange(count), 100
    odd = {"flat": np.full(ROWS, 5.0), "jitter": 0.3 + 1e-16 * np.arange(ROWS), "few": known[4], "enough": known[5]}
    assert np.ptp(odd["jitter"]) > 0
    dataset = load(frame(SHOPS | odd), "series")
    scaler, end = dataset.scaler, round(0.7 * ROWS)
    usual = (np.prod([values[:end].std() for values in SHOPS.values()]) * 2**0.5) ** (1 / 4)
    for name, mean in (("flat", 5), ("jitter", 0.3), ("few", 1.5)):
        np.testing.assert_allclose([scaler.of(name).mean, scaler.of(name).scale], [[mean], [usual]])
    np.testing.assert_allclose([scaler.of("enough").mean, scaler.of("enough").scale], [[2], [2**0.5]])
    new = load(frame({"new": np.append(np.full(70, 7.0), WAVE[70:])}), trained=Trained(dataset.columns, None, scaler))
    kept = [one.scale for one in scaler.series.values()]
    np.testing.assert_allclose(new.scaler.of("new").mean, [7])
    np.testing.assert_allclose(new.scaler.of("new").scale, np.exp(np.mean(np.log(kept), axis=0)))


def test_a_series_without_a_known_target_is_left_out_and_named() -> None:
    dataset = load(frame(SHOPS | {"blank": np.full(ROWS, np.nan)}))
    assert "left out, without a known y: blank" in dataset.warnings
    assert dataset.used == list(SHOPS)


def test_a_model_keeps_them_by_name_and_new_series_take_those_of_their_own_rows() -> None:
    """Of their training part, so that scores look at nothing else; known ones keep theirs, whatever their rows are."""
    first = load(frame(SHOPS), "series")
    trained = Trained(first.columns, None, first.scaler)
    other = {"s1": SHOPS["s1"] + 50, "new": 7 * SHOPS["s2"]}
    dataset = load(frame(other), "series", trained)
    end = round(0.7 * ROWS)
    for name, learnt in (("s1", SHOPS["s1"]), ("new", other["new"])):
        expected = (other[name] - learnt[:end].mean()) / learnt[:end].std()
        np.testing.assert_allclose(dataset.inputs[: 2 * ROWS, 0][ROWS * (name == "new") :][:ROWS], expected)
    assert dataset.warnings == ("not among the series of training, so standardised by their own known rows: new",)
    shared = load(frame(SHOPS), "shared")
    dataset = load(frame(other), trained=Trained(shared.columns, None, shared.scaler))
    assert dataset.scaler is shared.scaler
    assert not [one for one in dataset.warnings if "new" in one]


def test_the_scaler_of_several_series_standardises_nothing() -> None:
    scaler = load(frame(SHOPS), "series").scaler
    for use in (lambda: scaler.pick(("y",)), lambda: scaler.standardise(WAVE), lambda: scaler.restore(WAVE)):
        with pytest.raises(AssertionError, match="each series has its own scaler"):
            use()


def test_rows_on_disk_have_shared_ones() -> None:
    with pytest.raises(InputError, match=r"`--statistics` must be shared or auto with --stream; got series \(leave"):
        DataConfig("data.npy", ("0",), stream=True, statistics="series")
