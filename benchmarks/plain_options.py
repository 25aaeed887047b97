"""Parse the options of a command with argparse, for machines without tyro: strings, numbers and flags."""

import argparse
from collections.abc import Sequence
from dataclasses import fields
from typing import Any


def parse(command: type, prog: str, arguments: Sequence[str]) -> Any:
    """The command, a dataclass with a default for every field."""
    parser = argparse.ArgumentParser(prog=prog, description=command.__doc__)
    for field in fields(command):
        option = "--" + field.name.replace("_", "-")
        if isinstance(field.default, bool):
            parser.add_argument(option, action="store_true")
        else:
            parser.add_argument(option, type=type(field.default), default=field.default)
    return command(**vars(parser.parse_args(arguments)))
