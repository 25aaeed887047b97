"""The adding problem and copy memory: batches as NumPy arrays, drawn from a generator.

Both are those of Bai et al. 2018 (https://arxiv.org/abs/1803.01271, section 4, and their code,
https://github.com/locuslab/TCN), after Hochreiter & Schmidhuber 1997.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from benchmarks.accuracy.published import RECALLED, SYMBOLS


class Batch(NamedTuple):
    """`x` (T', B, I) float32; `y` (B,) float32 for a number, (T', B) int32 for classes."""

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Task:
    """With `classes`, a class at every step and cross-entropy; otherwise a number at the end and MSE."""

    draw: Callable[[np.random.Generator, int, int], Batch]
    input_size: int
    output_size: int
    classes: bool


def adding(random: np.random.Generator, length: int, batch_size: int) -> Batch:
    """T numbers from U(0, 1), two of which are marked; the answer is their sum."""
    values = random.random((length, batch_size), np.float32)
    first = random.integers(0, length, batch_size)
    second = (first + random.integers(1, length, batch_size)) % length
    step = np.arange(length)[:, None]
    marks = ((step == first) | (step == second)).astype(np.float32)
    return Batch(np.stack([values, marks], axis=-1), (values * marks).sum(axis=0))


def copy(random: np.random.Generator, length: int, batch_size: int) -> Batch:
    """Ten symbols out of eight, T - 1 blanks, eleven markers; the answer is blank, with the symbols at the end.

    T + 20 steps. Symbols and marker are one-hot, of nine units; a blank is zeros, and class 0.
    """
    symbols = random.integers(1, SYMBOLS + 1, (RECALLED, batch_size))
    tokens = np.zeros((length + 2 * RECALLED, batch_size), np.int32)
    answer = tokens.copy()
    tokens[:RECALLED], answer[-RECALLED:] = symbols, symbols
    tokens[-RECALLED - 1 :] = SYMBOLS + 1
    return Batch(np.eye(SYMBOLS + 2, dtype=np.float32)[tokens][..., 1:], answer)


TASKS = {
    "adding": Task(adding, 2, 1, classes=False),
    "copy": Task(copy, SYMBOLS + 1, SYMBOLS + 1, classes=True),
}
