"""Text files: any encoding for characters, and bytes as they are."""

from pathlib import Path

import pytest

from jax_lstm import InputError
from jax_lstm.data import TextConfig
from jax_lstm.data.text import read_text

TEXT = "Grüße, naïve café\n" * 3


@pytest.mark.parametrize("written", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "cp1252", "latin-1"])
def test_characters_in_any_encoding(tmp_path: Path, written: str) -> None:
    """UTF-8, and UTF-16 and UTF-32 with a mark, without being told."""
    path = tmp_path / "text.txt"
    path.write_bytes(TEXT.encode(written))
    named = "" if written in ("utf-8", "utf-8-sig", "utf-16", "utf-32") else written
    assert read_text(str(path), TextConfig(encoding=named)) == TEXT


def test_a_mark_of_the_other_byte_order(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(b"\xfe\xff" + TEXT.encode("utf-16-be"))
    assert read_text(str(path), TextConfig()) == TEXT


@pytest.mark.parametrize("content", [b"\xff\xfea\x00", b"\xef\xbb\xbfa", b"\xff\x81\x00", "é".encode("cp1252")])
def test_bytes_are_read_as_they_are(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "text.bin"
    path.write_bytes(content)
    assert read_text(str(path), TextConfig(units="bytes")) == content


def test_faults_name_what_works(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(TEXT.encode("cp1252"))
    with pytest.raises(InputError, match=r"not UTF-8 text, .* at byte 2; try --encoding cp1252 or --units bytes$"):
        read_text(str(path), TextConfig())
    path.write_bytes(b"a\x81")  # which cp1252 does not have
    with pytest.raises(InputError, match=r"not UTF-8 text, .* at byte 1; try --units bytes$"):
        read_text(str(path), TextConfig())
    with pytest.raises(InputError, match=r"not ascii text, .* at byte 1; try --units bytes$"):
        read_text(str(path), TextConfig(encoding="ascii"))
    path.write_bytes("".encode("utf-16"))
    with pytest.raises(InputError, match=r"text.txt: the file is empty"):
        read_text(str(path), TextConfig())
    for name in ("klingon", "base64"):
        with pytest.raises(InputError, match=rf"`--encoding` must be an encoding of text .*; got '{name}'"):
            TextConfig(encoding=name)
    with pytest.raises(InputError, match="`--encoding` must be left out with bytes"):
        TextConfig(encoding="cp1252", units="bytes")
