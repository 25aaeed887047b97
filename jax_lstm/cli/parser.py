"""Parse a command line with tyro; every fault is one line that names the command's --help."""

import contextlib
import dataclasses
import difflib
import functools
import io
import operator
import re
import sys
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import tyro

from jax_lstm.checks import InputError, require
from jax_lstm.cli.options import split_task, value_of, view, viewed
from jax_lstm.train.config import option

NOT_OPTIONS = [typing.get_args(kind)[1] for kind in (tyro.conf.Suppress[int], tyro.conf.Positional[int])]


def parse(commands: Mapping[str, Any], arguments: list[str], description: str) -> Any:
    """The command with its options; `--config` and `--resume` give the defaults of those that are not given.

    Raises:
        InputError: the command line cannot be parsed, or an option cannot be used.
        SystemExit: after `--help`.
    """
    if not arguments or arguments[0].startswith("-"):
        choices = [Annotated[command, tyro.conf.subcommand(name)] for name, command in commands.items()]
        union = functools.reduce(operator.or_, choices)
        return _tyro(union, "jax-lstm", arguments or ["--help"], description=description)
    name, *rest = arguments
    if name not in commands:
        raise InputError(f"{name!r} is no command{_nearest(name, commands)} (jax-lstm --help)")
    command = commands[name]
    _require_values(rest)
    if not hasattr(command, "with_files"):
        _require_known(command, f"jax-lstm {name}", rest)
        return _tyro(command, f"jax-lstm {name}", rest)
    task, rest = split_task(name, rest)
    config, hidden = command.with_files(task, rest), dict[str, str]()
    options = view(config, config.task, command.left_out, hidden)
    for argument in rest:
        given, _, value = argument.partition("=")
        if hidden.get(given):
            require(False, given, hidden[given], value or value_of(given, rest) or given)
    prog, rest = f"jax-lstm {name} {task}".rstrip(), _joined("--sweep", rest)
    _require_known(type(options), prog, rest)
    return viewed(_tyro(type(options), prog, rest, default=options))


def _joined(name: str, arguments: Sequence[str]) -> list[str]:
    """The arguments with all values of an option that may be repeated; tyro would take the last ones only."""
    values, rest, takes = [], [], False
    for argument in arguments:
        given, equals, value = argument.partition("=")
        if given == name:
            values += [value] if equals else []
            takes = not equals
        elif takes and not argument.startswith("-"):
            values.append(argument)
        else:
            takes = False
            rest.append(argument)
    return [*rest, name, *values] if values else rest


def _require_values(arguments: Sequence[str]) -> None:
    """Raise `InputError` for an empty value, which is rather a script's unset variable than a wish for the default."""
    named = ""
    for argument in arguments:
        if argument.startswith("--"):
            named, equals, value = argument.partition("=")
        else:
            equals, value = "=", argument
        if equals and not value:
            raise InputError(f"{f'`{named}`' if named else 'each argument'} must have a value; got an empty one")


def _require_known(command: type, prog: str, arguments: Sequence[str]) -> None:
    """Raise `InputError` for an option that the command does not have, before tyro finds another that is missing."""
    known = {"--help", *_names(command)}
    for argument in arguments:
        name = argument.partition("=")[0]
        if re.fullmatch("--[a-z].*", name) and name.replace("_", "-") not in known | {"--tyro-print-completion"}:
            raise InputError(f"`{name}` is no option of {prog}{_nearest(name, known)} ({prog} --help)")


def _names(command: type) -> Iterator[str]:
    """The options of a command, and of the configs in it."""
    hints = typing.get_type_hints(command, include_extras=True)
    for each in dataclasses.fields(command):
        if any(one in NOT_OPTIONS for one in getattr(hints[each.name], "__metadata__", ())):
            continue
        plain = typing.get_type_hints(command)[each.name]
        if dataclasses.is_dataclass(plain):
            yield from _names(plain)  # type: ignore[arg-type]
        else:
            yield option(each.name)
            if plain is bool:
                yield f"--no-{option(each.name)[2:]}"


def _nearest(name: str, known: Any) -> str:
    names = {one.lstrip("-"): one for one in sorted(known)}
    found = [names[one] for one in difflib.get_close_matches(name.lstrip("-"), names, 1)]
    return f"; did you mean {found[0]}?" if found else ""


def _tyro(command: Any, prog: str, arguments: list[str], **options: Any) -> Any:
    markers = (tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(command, args=arguments, prog=prog, config=markers, **options)
    except SystemExit as error:
        if not error.code:  # --help
            sys.stderr.write(said.getvalue())
            raise
        # tyro prints errors in a box, those of a config too; ours are one line.
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, InputError):
            cause = cause.__context__
        raise cause or InputError(f"{_first_section(said.getvalue())} ({prog} --help)") from None


def _first_section(box: str) -> str:
    """The error in a box that tyro draws, in Unicode or ASCII: between the first two lines, without its title."""
    lines = [line.strip(" │╭╮╰╯") for line in box.splitlines()]
    ends = [at for at, line in enumerate(lines) if line.endswith(("───", "---"))]
    return " ".join(lines[ends[0] + 1 : ends[1]]) if len(ends) > 1 else " ".join(lines)
