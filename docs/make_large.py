"""Make a file of series that is larger than memory; docs/large-data.md says what for.

    python docs/make_large.py large.npy --gigabytes 5

Eight columns of float32: a daily and a weekly wave, and noise in which each value keeps nine tenths of the one before.
It writes piece after piece, so it needs little memory itself.
"""

import argparse

import numpy as np

COLUMNS, PIECE = 8, 2**18  # rows
KEPT = 0.9


def piece(first_row: int, noise: np.random.Generator, last: np.ndarray) -> np.ndarray:
    """`PIECE` rows from `first_row` on; `last` (COLUMNS,) is the noise of the row before, and then of the last one."""
    hours = first_row + np.arange(PIECE)[:, None]
    phase = np.arange(COLUMNS) / COLUMNS * 2 * np.pi
    waves = np.sin(hours * (2 * np.pi / 24) + phase) + 0.5 * np.sin(hours * (2 * np.pi / 168) + phase)
    # x[t] = KEPT x[t - 1] + e[t], over stretches so short that powers of KEPT stay numbers
    drawn = noise.normal(0, 0.3, (PIECE, COLUMNS))
    stretch, decay = 64, KEPT ** np.arange(64)[:, None]
    for at in range(0, PIECE, stretch):
        part = drawn[at : at + stretch]
        part[:] = decay * (KEPT * last + np.cumsum(part / decay, axis=0))
        last[:] = part[-1]
    return (waves + drawn).astype(np.float32)


def write(path: str, rows: int) -> None:
    noise, last = np.random.default_rng(0), np.zeros(COLUMNS)
    with open(path, "wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.float32)), "fortran_order": False}
        np.lib.format.write_array_header_2_0(file, {**header, "shape": (rows, COLUMNS)})
        for first in range(0, rows, PIECE):
            file.write(piece(first, noise, last)[: rows - first].tobytes())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write a large .npy file of series.")
    parser.add_argument("file")
    parser.add_argument("--gigabytes", type=float, default=5.0)
    given = parser.parse_args()
    write(given.file, int(given.gigabytes * 1e9) // (COLUMNS * 4))
