"""Text for language models, encoded as characters or bytes."""

import pydoc_data.topics
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from jax_lstm.checks import InputError, require, require_size
from jax_lstm.data.dialect import marked_encoding

LARGEST_ALPHABET = 65536
FAMILIAR = "Python's documentation"


@dataclass(frozen=True)
class TextConfig:
    """Text for a language model."""

    text: str = ""
    """Text file to learn (default: the documentation that comes with Python)."""
    units: Literal["characters", "bytes"] = "characters"
    """Unit of prediction; bytes are those of the file, whatever its encoding."""
    steps: int = 64
    """Length of truncated back-propagation, in characters; the state is carried on."""
    test: float = 0.0
    """Fraction at the end of the text that is kept for testing; the --held-out part is then the beginning."""
    encoding: str = ""
    """Encoding of the file, as cp1252 (default: UTF-8, or what a byte order mark says)."""

    def __post_init__(self) -> None:
        require_size("--steps", self.steps)
        require(0 <= self.test < 1, "--test", "be at least 0 and below 1", self.test)
        named = self.encoding and self.units == "bytes"
        require(not named, "--encoding", "be left out with bytes, which are not decoded", self.encoding)
        try:
            b" ".decode(self.encoding or "utf-8", "ignore")
        except (LookupError, ValueError):
            require(False, "--encoding", "be an encoding of text that Python knows, as cp1252", repr(self.encoding))


@dataclass(frozen=True)
class Alphabet:
    """The sorted characters of a text, or the 256 bytes."""

    units: str
    characters: str = ""

    @property
    def size(self) -> int:
        return len(self.characters) if self.units == "characters" else 256

    def encode(self, text: str | bytes, where: str) -> np.ndarray:
        """Encode a text as (N,) int32.

        Raises:
            InputError: a character is not in the alphabet, or bytes are given for characters.
        """
        if self.units == "bytes":
            return np.frombuffer(as_bytes(text), np.uint8).astype(np.int32)
        if isinstance(text, bytes):
            raise InputError(f"{where}: bytes are for a model with --units bytes; this one reads characters")
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
    """An encoded text: `train`, `val` and `test`, int32."""

    config: TextConfig
    alphabet: Alphabet
    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


def load_text(config: TextConfig, held_out: float, alphabet: Alphabet | None = None) -> Text:
    """Read the text of `config` and hold out parts of it, as `in_parts` does.

    A trained model brings its own alphabet.

    Raises:
        InputError: the file is missing, empty or in another encoding, or a part is not longer than `steps`.
    """
    text = read_text(config.text, config) if config.text else _pythons()
    return in_parts(text, config.text or FAMILIAR, config, held_out, alphabet)


def in_parts(
    text: str | bytes, source: str, config: TextConfig, held_out: float, alphabet: Alphabet | None = None
) -> Text:
    """Encode a text from `source`; hold out its end for validation, or with a test part its beginning."""
    fractions = f"{held_out} and {config.test}"
    require(held_out + config.test < 1, "--held-out and --test", "leave something to learn", fractions)
    if alphabet is None:
        characters = text if config.units == "characters" and isinstance(text, str) else ""
        alphabet = Alphabet(config.units, "".join(sorted(set(characters))))
        if alphabet.size > LARGEST_ALPHABET:
            raise InputError(f"{source}: {alphabet.size:,} different characters, too many for a model; --units bytes")
    codes = alphabet.encode(text, source)
    held, test = round(len(codes) * held_out), len(codes) - round(len(codes) * config.test)
    if config.test:  # what is learnt reaches up to the test part
        parts = {"training": codes[held:test], "validation": codes[:held], "test": codes[test:]}
    else:
        parts = {"training": codes[: test - held], "validation": codes[test - held :], "test": codes[:0]}
    for name, part in parts.items():
        if len(part) <= config.steps and (name == "training" or len(part)):
            has = f"it has {len(part)} {config.units}"
            raise InputError(f"{source}: the {name} part must be longer than --steps, {config.steps}; {has}")
    return Text(config, alphabet, *parts.values())


def read_text(path: str, config: TextConfig) -> str | bytes:
    """The text of a file, or with bytes as units its content.

    Raises:
        InputError: it is missing, empty or in another encoding.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    text = content if config.units == "bytes" else _decoded(content, path, config.encoding)
    if not text:
        raise InputError(f"{path}: the file is empty")
    return text


def _decoded(content: bytes, path: str, encoding: str) -> str:
    marked = marked_encoding(content) or "utf-8"
    try:
        return content.decode(encoding or marked)
    except UnicodeDecodeError as error:
        other = "--encoding cp1252 or " if not encoding and _fits(content, "cp1252") else ""
        name = encoding or marked.removesuffix("-sig").upper()
        raise InputError(
            f"{path}: not {name} text, {error.reason} at byte {error.start}; try {other}--units bytes"
        ) from None


def _fits(content: bytes, encoding: str) -> bool:
    try:
        return bool(content.decode(encoding))
    except UnicodeDecodeError:
        return False


def _pythons() -> str:
    return "\n".join(text for _, text in sorted(pydoc_data.topics.topics.items()))


def as_bytes(text: str | bytes) -> bytes:
    """Encode as UTF-8, with invalid bytes from the command line as they were."""
    return text if isinstance(text, bytes) else text.encode(errors="surrogateescape")


def _points(text: str) -> np.ndarray:
    """Unicode code points, (N,)."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
