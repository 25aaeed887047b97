"""Text for language models, encoded as characters or bytes."""

import pydoc_data.topics
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from jax_lstm.checks import InputError, require_size

LARGEST_ALPHABET = 65536
FAMILIAR = "Python's documentation"


@dataclass(frozen=True)
class TextConfig:
    """Text for a language model."""

    text: str = ""
    """Text file in UTF-8 to learn (default: the documentation that comes with Python)."""
    units: Literal["characters", "bytes"] = "characters"
    """Unit of prediction."""
    steps: int = 64
    """Length of truncated back-propagation, in characters; the state is carried on."""

    def __post_init__(self) -> None:
        require_size("--steps", self.steps)


@dataclass(frozen=True)
class Alphabet:
    """The sorted characters of a text, or the 256 bytes."""

    units: str
    characters: str = ""

    @property
    def size(self) -> int:
        return len(self.characters) if self.units == "characters" else 256

    def encode(self, text: str, where: str) -> np.ndarray:
        """Encode a text as (N,) int32.

        Raises:
            InputError: a character is not in the alphabet.
        """
        if self.units == "bytes":
            return np.frombuffer(as_bytes(text), np.uint8).astype(np.int32)
        points, known = _points(text), _points(self.characters)
        codes = np.searchsorted(known, points).clip(max=max(len(known) - 1, 0))
        for at in np.flatnonzero(known[codes] != points)[:1]:
            raise InputError(
                f"{where}: the character {text[at]!r} at {at} is not in the text that the model was trained on"
            )
        return codes.astype(np.int32)

    def decode(self, codes: np.ndarray) -> str | bytes:
        if self.units == "bytes":
            return np.asarray(codes, np.uint8).tobytes()
        return "".join(self.characters[code] for code in codes)


@dataclass(frozen=True)
class Text:
    """An encoded text: `train` and `val`, int32."""

    config: TextConfig
    alphabet: Alphabet
    train: np.ndarray
    val: np.ndarray


def load_text(config: TextConfig, held_out: float, alphabet: Alphabet | None = None) -> Text:
    """Read the text of `config` and hold out its end for validation. A trained model brings its own alphabet.

    Raises:
        InputError: the file is missing, empty or not UTF-8, or a part is not longer than `steps`.
    """
    source = config.text or FAMILIAR
    text = _read(config.text) if config.text else _pythons()
    if alphabet is None:
        alphabet = Alphabet(config.units, "".join(sorted(set(text))) if config.units == "characters" else "")
        if alphabet.size > LARGEST_ALPHABET:
            raise InputError(f"{source}: {alphabet.size:,} different characters; --units bytes needs 256")
    codes = alphabet.encode(text, source)
    held = round(len(codes) * held_out)
    parts = {"training": codes[: len(codes) - held], "validation": codes[len(codes) - held :]}
    for name, part in parts.items():
        if len(part) <= config.steps and not (name == "validation" and not held):
            has = f"it has {len(part)} {config.units}"
            raise InputError(f"{source}: the {name} part must be longer than --steps, {config.steps}; {has}")
    return Text(config, alphabet, parts["training"], parts["validation"])


def _read(path: str) -> str:
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text: {error}") from None
    if not text:
        raise InputError(f"{path}: the file is empty")
    return text


def _pythons() -> str:
    return "\n".join(text for _, text in sorted(pydoc_data.topics.topics.items()))


def as_bytes(text: str) -> bytes:
    """Encode as UTF-8, with invalid bytes from the command line as they were."""
    return text.encode(errors="surrogateescape")


def _points(text: str) -> np.ndarray:
    """Unicode code points, (N,)."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
