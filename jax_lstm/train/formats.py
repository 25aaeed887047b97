"""Formats of run directories: what changed, and how older ones are read."""

from typing import Any

from jax_lstm.checks import InputError

# 0: before runs carried a number; 1: tasks text and labels, the config in config.json alone; 2: calendars; 3: networks;
# 4: the best epoch of a forecaster by its MAE; 5: statistics per series
FORMAT = 5

RENAMED_TASKS = {"lm": "text", "classify": "labels"}
IGNORED = {  # options that every config of format 0 has, whatever its task
    "forecast": ("text", "sequences", "held_out"),
    "text": ("data", "sequences"),
    "labels": ("data", "text"),
}


def require_known(number: Any, where: str) -> None:
    """Raise `InputError` for the format of a newer version."""
    if not (isinstance(number, int) and 0 <= number <= FORMAT):
        raise InputError(
            f"{where}: run format {number!r} was written by a newer jax-lstm; this version reads formats up to {FORMAT}"
        )


def upgraded(values: Any, where: str) -> Any:
    """The training options of a saved config, in the present format. Without a number the format is 0.

    Raises:
        InputError: the format is one of a newer version.
    """
    if not isinstance(values, dict):
        return values
    values = dict(values)
    number = values.pop("format", 0)
    require_known(number, where)
    values = values.get("train", values)  # of a comparison
    if not isinstance(values, dict):
        return values
    if number < 1:
        values = _of_format_1(values)
    # What a run wrote has every option.
    model, forecast = values.get("model"), values.get("task", "forecast") == "forecast"
    if number < 3 and forecast and isinstance(model, dict) and {"hidden_size", "num_layers"} <= model.keys():
        values["model"] = {"network": "tutorial"} | model
    if number == 3 and isinstance(model, dict) and model.get("network") == "tutorial":
        values["model"] = {name: value for name, value in model.items() if name != "normalise"}
    if forecast and isinstance(data := values.get("data"), dict):
        if number < 2 and "season" in data:
            data = {"calendar": "off"} | data
        if number < 5 and "eval_windows" in data:
            data = {"statistics": "shared"} | data
        values["data"] = data
    return values


def _of_format_1(values: dict[str, Any]) -> dict[str, Any]:
    task = values.get("task", "forecast")
    if task in RENAMED_TASKS:
        values = values | {"task": (task := RENAMED_TASKS[task])}
    values = {name: value for name, value in values.items() if name not in IGNORED.get(task, ())}
    if task != "text" and isinstance(model := values.get("model"), dict):
        values["model"] = {name: value for name, value in model.items() if name not in ("embedding_size", "tied")}
    return values


def upgraded_facts(data: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint stores about its data, in the present format: a calendar instead of a step in seconds."""
    if "step" not in data:
        return data
    data = dict(data)
    step = data.pop("step")
    fixed = {"unit": "time", "step": round(1e6 * step), "days": "1111111", "month_end": False} if step else None
    return {**data, "calendar": fixed}
