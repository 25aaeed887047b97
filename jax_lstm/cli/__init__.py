"""The command `jax-lstm`: parse and run; errors become one line and an exit status."""

import contextlib
import functools
import io
import operator
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import tyro
from rich.console import Console

from jax_lstm.checks import InputError, MissingExtraError, require
from jax_lstm.cli.compare import Compare
from jax_lstm.cli.convert import Convert
from jax_lstm.cli.evaluate import Evaluate
from jax_lstm.cli.export import Export
from jax_lstm.cli.forecast import Forecast
from jax_lstm.cli.generate import Generate
from jax_lstm.cli.info import Info
from jax_lstm.cli.label import Label
from jax_lstm.cli.options import split_task, value_of, view, viewed
from jax_lstm.cli.train import Train
from jax_lstm.cli.tutorial import Tutorial
from jax_lstm.estimators.names import command_line
from jax_lstm.train import DivergedError, InterruptedRunError

COMMANDS: dict[str, Any] = {
    "compare": Compare,
    "train": Train,
    "evaluate": Evaluate,
    "forecast": Forecast,
    "generate": Generate,
    "label": Label,
    "export": Export,
    "tutorial": Tutorial,
    "convert": Convert,
    "info": Info,
}
DESCRIPTION = (
    "The LSTM of PyTorch in JAX: compare, train, forecast. `jax-lstm COMMAND --help` shows a command's options."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status.

    0: done. 1: the frameworks disagree, or the loss diverged. 2: the input cannot be used. 130: Ctrl-C. 143: SIGTERM.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    console = Console()
    try:
        command = _parse(arguments)
        with command_line():
            return command.run(console)
    except (InputError, MissingExtraError) as error:
        return _fail(str(error), 2)
    except OSError as error:
        if isinstance(error, BrokenPipeError):  # the reader of a pipe has gone
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), 2)
    except DivergedError as error:
        return _fail(str(error), 1)
    except InterruptedRunError as error:
        return _fail(str(error), 128 + error.signum)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)


def _fail(message: str, status: int) -> int:
    print(f"jax-lstm: error: {' '.join(message.split())}", file=sys.stderr)
    return status


def _parse(arguments: list[str]) -> Any:
    """The command with its options; `--config` and `--resume` give the defaults of those that are not given."""
    if arguments and arguments[0] in COMMANDS:
        name, *rest = arguments
        command = COMMANDS[name]
        if not hasattr(command, "with_files"):
            return _tyro(command, f"jax-lstm {name}", rest)
        task, rest = split_task(name, rest)
        config, hidden = command.with_files(task, rest), dict[str, str]()
        options = view(config, config.task, command.left_out, hidden)
        for argument in rest:
            given, _, value = argument.partition("=")
            if hidden.get(given):
                require(False, given, hidden[given], value or value_of(given, rest) or given)
        return viewed(_tyro(type(options), f"jax-lstm {name} {task}".rstrip(), rest, default=options))
    choices = [Annotated[command, tyro.conf.subcommand(name)] for name, command in COMMANDS.items()]
    return _tyro(functools.reduce(operator.or_, choices), "jax-lstm", arguments or ["--help"], description=DESCRIPTION)


def _tyro(command: Any, prog: str, arguments: list[str], **options: Any) -> Any:
    markers = (tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(command, args=arguments, prog=prog, config=markers, **options)
    except SystemExit as error:
        # tyro prints the error of a config in a box; ours stays one line.
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, InputError):
            cause = cause.__context__
        if cause is not None:
            raise cause from None
        sys.stderr.write(said.getvalue())
        raise
