"""Series from a file of any format, by its suffix, or from a folder of such files."""

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
    """One `Table` a group, as they appear; of a folder one a file, with the columns of the first.

    A suffix that is not among `READERS` is taken for CSV.

    Raises:
        InputError: for every fault of a file, and for a folder without any.
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
    """The files of a folder that have one of `suffixes`, by name without it, in the order of their names.

    Raises:
        InputError: there is none, or two have one name.
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
    """That which `path` has; "" if none."""
    return next((suffix for suffix in suffixes if path.lower().endswith(suffix)), "")
