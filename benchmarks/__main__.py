"""`python -m benchmarks COMMAND`, from a checkout."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from importlib.util import find_spec
from typing import Any

from rich.console import Console

from jax_lstm.checks import InputError, MissingExtraError


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status.

    0: done. 1: a contender failed the gate, or a ratio no longer holds. 2: the input cannot be used. 130: Ctrl-C.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        command = _parse(arguments)
        console = Console() if sys.stdout.isatty() else Console(width=120)
        return command.run(console, arguments)
    except (InputError, MissingExtraError) as error:
        return _fail(str(error), 2)
    except FloatingPointError as error:  # a loss became NaN or infinite
        return _fail(str(error), 1)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)


def _parse(arguments: list[str]) -> Any:
    """The command and its options; `device` also runs without tyro."""
    from benchmarks.device.command import Device

    if arguments[:1] == ["device"] and find_spec("tyro") is None:
        return plain(Device, "python -m benchmarks device", arguments[1:])
    import tyro

    from benchmarks.accuracy.command import Accuracy
    from benchmarks.jit.command import Jit
    from benchmarks.report.command import Report
    from benchmarks.speed.command import Speed

    commands: dict[str, Any] = {"speed": Speed, "jit": Jit, "accuracy": Accuracy, "device": Device, "report": Report}
    return tyro.extras.subcommand_cli_from_dict(
        commands, prog="python -m benchmarks", description=__doc__ or "", args=arguments or ["--help"]
    )


def plain(command: type, prog: str, arguments: Sequence[str]) -> Any:
    """The command, a dataclass with defaults, by argparse: its strings, numbers and flags."""
    parser = argparse.ArgumentParser(prog=prog, description=command.__doc__)
    for field in fields(command):
        option = "--" + field.name.replace("_", "-")
        if isinstance(field.default, bool):
            parser.add_argument(option, action="store_true")
        else:
            parser.add_argument(option, type=type(field.default), default=field.default)
    return command(**vars(parser.parse_args(arguments)))


def _fail(message: str, status: int) -> int:
    print(f"benchmarks: error: {' '.join(message.split())}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
