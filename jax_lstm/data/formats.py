"""Read series from a file, by its suffix, or from a folder of files."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from jax_lstm.checks import InputError, require
from jax_lstm.data.columns import read_arrays, read_parquet
from jax_lstm.data.table import Table, read_csv

READERS = {".csv": read_csv, ".csv.gz": read_csv, ".parquet": read_parquet, ".npy": read_arrays, ".npz": read_arrays}


def read_tables(
    path: str, features: Sequence[str], target: Sequence[str], time: str = "", group: str = ""
) -> list[Table]:
    """Read one `Table` per group, in order of appearance; from a folder one per file, with the columns of the first.

    Files with a suffix not in `READERS` are read as CSV.

    Raises:
        InputError: a file is faulty, or the folder has none.
    """
    if not Path(path).is_dir():
        return READERS.get(suffix_of(path, READERS), read_csv)(path, features, target, time, group)
    require(not group, "--group", "be left out with a folder, in which each file is a series", repr(group))
    tables: list[Table] = []
    for name, file in files_of(path, READERS).items():
        (table,) = read_tables(file, tables[0].columns if tables else features, target, time)
        tables.append(replace(table, group=name))
        if table.utc != tables[0].utc:
            raise InputError(
                f"{file}, column {time!r}: timestamps must have an offset from UTC in all files, or in none"
            )
    return tables


def files_of(folder: str, suffixes: Iterable[str]) -> dict[str, str]:
    """Map names to the files of a folder with one of `suffixes`, sorted; a name is without the suffix.

    Raises:
        InputError: there are none, or two with the same name.
    """
    found: dict[str, str] = {}
    for path in sorted(Path(folder).iterdir()):
        suffix = suffix_of(path.name, suffixes)
        if not suffix or path.name.startswith("."):
            continue
        name = path.name[: -len(suffix)]
        if name in found:
            raise InputError(f"{folder}: each file is a series by its name; {found[name]} and {path} have one name")
        found[name] = str(path)
    if not found:
        raise InputError(f"{folder}: no file in the folder has one of the suffixes {', '.join(suffixes)}")
    return found


def suffix_of(path: str, suffixes: Iterable[str]) -> str:
    """The one of `suffixes` that `path` ends in, or ""."""
    return next((suffix for suffix in suffixes if path.lower().endswith(suffix)), "")
