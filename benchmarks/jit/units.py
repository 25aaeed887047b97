"""Format figures with their units."""

import math

ABSENT = "-"


def seconds(value: float | None) -> str:
    if value is None:
        return ABSENT
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            return f"{three(value / size)} {unit}"
    return f"{three(value / 1e-6)} µs"


def size(value: float | None) -> str:
    """Bytes."""
    if value is None:
        return ABSENT
    for unit, count in (("MiB", 2**20), ("KiB", 2**10)):
        if value >= count:
            return f"{three(value / count)} {unit}"
    return f"{value:.0f} B"


def count(value: float | None) -> str:
    return ABSENT if value is None else f"{value:,.0f}"


def mega(value: float | None) -> str:
    """FLOPs, in millions."""
    return ABSENT if value is None else f"{value / 1e6:,.0f} M" if value >= 1e7 else f"{three(value / 1e6)} M"


def three(value: float) -> str:
    """Three digits, without an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def times(value: float) -> str:
    return f"{value:.2f} times" if value < 10 else f"{value:,.0f} times"


def listed(parts: list[str]) -> str:
    if not parts:
        return "no"
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def whole_calls(value: float) -> int:
    """Calls until break-even, rounded up."""
    return max(1, math.ceil(value))


def calls(value: float) -> str:
    number = whole_calls(value)
    return f"{number:,} call" + "s" * (number > 1)
