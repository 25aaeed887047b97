"""The adding problem and copy memory: batches as NumPy arrays, a pure function of the generator.

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
    """With `classes` the answer is a class at every step, the loss cross-entropy; else a number at the end, and MSE."""

    draw: Callable[[np.random.Generator, int, int], Batch]
    input_size: int
    output_size: int
    classes: bool


def adding(random: np.random.Generator, length: int, batch_size: int) -> Batch:
    """T numbers from U(0, 1), two of them, anywhere, marked: what is their sum?"""
    values = random.random((length, batch_size), np.float32)
    first = random.integers(0, length, batch_size)
    second = (first + random.integers(1, length, batch_size)) % length
    step = np.arange(length)[:, None]
    marks = ((step == first) | (step == second)).astype(np.float32)
    return Batch(np.stack([values, marks], axis=-1), (values * marks).sum(axis=0))


def copy(random: np.random.Generator, length: int, batch_size: int) -> Batch:
    """Ten symbols of eight, T - 1 blanks, eleven markers: the symbols again at the last ten steps, blank before.

    A blank is the zero vector, symbols and marker are one-hot, nine of them; class 0 is the blank. T + 20 steps.
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
