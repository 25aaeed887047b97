"""The section of a record of `jax-lstm compare`: the agreement with PyTorch."""

import shlex
from typing import Any

from benchmarks.report.parts import Chart, Group, Row, Section, numbered
from benchmarks.tables import Table
from jax_lstm.compare import CompareConfig
from jax_lstm.compare.config import upgraded
from jax_lstm.timing import summary
from jax_lstm.train.config import to_dict


def section(record: dict[str, Any]) -> Section:
    dtype = "float64" if _options(record)["train"]["x64"] else "float32"
    checks = record["agreement"]
    passed = sum(check["passed"] for check in checks)
    groups = [
        Group("Agreement", "A point is how far the results of the two frameworks part, the upright stroke beside it "
              "how far they may. Both axes and tolerances are relative to the largest value.", [_checks(checks)]),
    ]  # fmt: skip
    if any(len(epochs) > 1 for epochs in record.get("epochs", {}).values()):
        text = "Of the same training in both frameworks, by epoch. Where one line is seen, they lie on each other."
        groups.append(Group("Losses", text, [_losses(record, part) for part in ("train", "val")]))
    tables = [
        Table(
            "Agreement, relative to the largest value",
            ("what", "difference", "tolerance", "agrees"),
            [
                (each["name"], f"{each['relative']:.1e}", f"{each['tolerance']:.0e}", "yes" if each["passed"] else "no")
                for each in checks
            ],
        ),
    ]
    if record.get("scores"):
        tables.append(_scores(record))
    if record.get("training"):
        tables.append(_speeds(record))
    return Section(
        f"Agreement with PyTorch, {dtype}",
        "The same weights, windows and order in both frameworks: `jax-lstm compare` on the bundled weather data.",
        groups,
        tables,
        _facts(record),
        tiles=[(f"{passed} of {len(checks)}", f"checks against PyTorch within tolerance, {dtype}")],
    )


def _checks(checks: list[dict[str, Any]]) -> Chart:
    rows = [
        {
            "check": check["name"],
            "value": check["relative"] or 1e-18,  # equal to the last bit, but the axis is logarithmic
            "limit": check["tolerance"],
            "tip": f"{check['name']}: {check['relative']:.1e}, tolerance {check['tolerance']:.0e}",
        }
        for check in checks
    ]
    about = "Differences and tolerances: " + "; ".join(row["tip"] for row in rows)
    return Chart("agreement", "Largest relative differences", about, rows, wide=True)


def _losses(record: dict[str, Any], part: str) -> Chart:
    places = numbered(record["epochs"])
    rows: list[Row] = [
        {"contender": who, "line": who, "at": places[who], "x": at, "value": epoch[part]}
        for who, epochs in record["epochs"].items()
        for at, epoch in enumerate(epochs, 1)
    ]
    title = {"train": "Training loss", "val": "Validation loss"}[part]
    last = ", ".join(f"{who} {epochs[-1][part]:.4g}" for who, epochs in record["epochs"].items())
    return Chart(
        "losses",
        title,
        f"{title} by epoch; at the end {last}",
        rows,
        {"x": "epoch", "y": "mean squared error", "form": "~g"},
    )


def _scores(record: dict[str, Any]) -> Table:
    names = list(next(iter(record["scores"].values())))
    rows = [(who, *(f"{scores[name]:.4g}" for name in names)) for who, scores in record["scores"].items()]
    return Table("Errors on the test part", ("forecast by", *names), rows)


def _speeds(record: dict[str, Any]) -> Table:
    rows = []
    for what in ("training", "inference"):
        found = record.get(what)
        if not found:
            continue
        rates = [found["items"] / summary(found["seconds"][who]).median for who in ("JAX", "PyTorch")]
        rows.append((what, *(f"{rate:,.0f}" for rate in rates), f"{found['jax_speed_relative_to_pytorch']:.2f}"))
    return Table("Windows a second", ("", "JAX", "PyTorch", "JAX relative to PyTorch"), rows)


def _facts(record: dict[str, Any]) -> dict[str, str]:
    environment = record["environment"]
    versions = ", ".join(f"{name} {version}" for name, version in environment["packages"].items())
    return {
        "Machine": f"{environment['cpu']}, {environment['system']}",
        "Devices": ", ".join(environment["devices"]),
        "Threads": f"{environment['cores']}, the same for everyone",
        "Versions": f"Python {environment['python']}, {versions}",
        "Command": f"`{command(record)}`",
    }


def command(record: dict[str, Any]) -> str:
    """With the options that are not at their defaults."""
    given, usual = _flat(_options(record)), _flat(to_dict(CompareConfig()))
    task = given.pop("task")
    words = ["jax-lstm", "compare", *([] if task == "forecast" else [task])]
    for name, value in given.items():
        if value == usual.get(name) or not (value or usual.get(name)):
            continue
        option = "--" + name.replace("_", "-")
        words += [option] if value is True else [f"--no-{option[2:]}"] if value is False else [option, str(value)]
    return shlex.join(words)


def _options(record: dict[str, Any]) -> dict[str, Any]:
    return upgraded(record["config"], "the record")


def _flat(options: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for name, value in options.items():
        found |= _flat(value) if isinstance(value, dict) else {name: value}
    return found
