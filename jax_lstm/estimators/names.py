"""Names of options in errors: `hidden_size` in Python, `--hidden-size` on the command line."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from jax_lstm.checks import InputError
from jax_lstm.train.config import TrainConfig, options
from jax_lstm.train.position import DivergedError

_ON_COMMAND_LINE = ContextVar("on_command_line", default=False)
_OPTION = re.compile(r"--([a-z][a-z0-9-]*)(?: ('[^']*'|[\w.+-]+(?:,[\w.+-]+)*)(?=[,;)]|$| or --))?")


@contextmanager
def command_line() -> Iterator[None]:
    """Leave options named as on the command line, for commands that use estimators."""
    token = _ON_COMMAND_LINE.set(True)
    try:
        yield
    finally:
        _ON_COMMAND_LINE.reset(token)


def on_command_line() -> bool:
    return _ON_COMMAND_LINE.get()


@contextmanager
def python_names() -> Iterator[None]:
    """Name options in errors as arguments in Python; for a `with`, or as a decorator."""
    try:
        yield
    except (InputError, DivergedError) as error:
        if on_command_line():
            raise
        raise type(error)(in_python(str(error))) from None


def in_python(message: str) -> str:
    """Replace `--ignore time` by `ignore=['time']`, and `--hidden-size` by `hidden_size`."""
    defaults = {each.name: each.default for each in options(TrainConfig())}

    def argument(found: re.Match[str]) -> str:
        name, value = found[1].replace("-", "_"), found[2]
        if value is None:
            return name
        if isinstance(defaults.get(name), bool):
            return f"{name} {value}"
        if not isinstance(defaults.get(name), int | float):
            value = repr(value.strip("'"))
        return f"{name}=[{value}]" if isinstance(defaults.get(name), tuple) else f"{name}={value}"

    return _OPTION.sub(argument, message)
