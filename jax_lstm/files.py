"""Atomic writes, JSON and JSONL."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from jax_lstm.checks import InputError


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file atomically: to a temporary file beside it, which is then renamed."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_json(path: Path, value: Any) -> None:
    write_whole(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file, without a last line that was cut off."""
    if not path.exists():
        return []
    whole_lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    try:
        return [json.loads(line) for line in whole_lines]
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: not a JSONL file: {error}") from None
