"""Insert the tables of a record into a page of the docs, between two marks."""

from pathlib import Path

from jax_lstm.checks import InputError, require
from jax_lstm.files import write_whole


def render(study: str, text: str, page: str) -> int:
    """Print the text, or insert it into the page; returns the exit status."""
    if not page:
        print(text, end="")
        return 0
    path = Path(page)
    try:
        before = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a page: not UTF-8 text") from None
    write_whole(path, put_into(before, text, study))
    return 0


def marks(study: str) -> tuple[str, str]:
    return f"<!-- {study}: begin -->", f"<!-- {study}: end -->"


def put_into(page: str, text: str, study: str = "engine") -> str:
    """Replace what is between the marks of the study by `text`."""
    first, last = marks(study)
    before, begin, rest = page.partition(first)
    _, end, after = rest.partition(last)
    found = bool(begin and end)
    require(found, "--page", "hold the two marks of the tables", "a page without them", f"{first} {last}")
    return f"{before}{first}\n\n{text}\n{last}{after}"
