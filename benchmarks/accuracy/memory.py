"""The adding problem and copy memory, learnt by each framework from the same weights on the same batches."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from benchmarks.accuracy.learners import LEARNERS, Learning, Net
from benchmarks.accuracy.published import MEMORY, SYMBOLS, guess
from benchmarks.accuracy.row import OURS, THEIRS, Job
from benchmarks.accuracy.tasks import TASKS, Batch
from jax_lstm.train.config import OptimConfig, to_dict

FIRST = 20  # losses that are recorded one by one, to compare the frameworks
TEST_SEED = 2**31 - 1  # not a training seed
OPTIM = OptimConfig("adam", schedule="cosine", final_rate=0.01, clip_norm=1.0)


@dataclass(frozen=True)
class Memory:
    """What to train of one task, by T. PyTorch is slower and may have fewer seeds."""

    lengths: Mapping[int, Learning]
    torch_seeds: Mapping[int, int]
    test_batches: int = 16  # of 64 sequences
    average: int = 20  # steps per point of the curve


SYMBOL_SCALES = (*[8.0] * SYMBOLS, 1.0)  # the last one is that of the marker


def _adding(steps: int) -> Learning:
    return Learning(
        64, 32, steps, input_scales=(1.0, 1.0), forget_scale=1.0, reach=1.0, optim=replace(OPTIM, learning_rate=5e-3)
    )


def _copy(steps: int) -> Learning:
    optim = replace(OPTIM, learning_rate=2e-2)
    return Learning(128, 16, steps, input_scales=SYMBOL_SCALES, forget_scale=0.5, reach=100.0, optim=optim)


FULL = {
    "adding": Memory({200: _adding(2000), 600: _adding(2000)}, torch_seeds={200: 3, 600: 1}),
    "copy": Memory({200: _copy(3000), 1000: _copy(3000)}, torch_seeds={200: 3, 1000: 1}),
}
QUICK = {"adding": Memory({50: _adding(600)}, {50: 1}), "copy": Memory({20: _copy(600)}, {20: 1})}


def jobs(task: str, quick: bool, seeds: int) -> Iterator[Job]:
    memory = (QUICK if quick else FULL)[task]
    for length, learning in memory.lengths.items():
        published = MEMORY[task].get(length)
        known = {"published": {} if published is None else {"loss": published}, "guess": {"loss": guess(task, length)}}
        runs = [(OURS, seed) for seed in range(seeds)]
        runs += [(THEIRS, seed) for seed in range(min(seeds, memory.torch_seeds.get(length, 0)))]
        for who, seed in runs:
            learn_it = partial(learn, task, length, who, seed, memory)
            yield Job(task, task, length, who, seed, to_dict(learning), learn_it, known)


def learn(task: str, length: int, who: str, seed: int, memory: Memory) -> dict[str, Any]:
    """Train on batches that never repeat; figures are those of the last weights on separate sequences."""
    began, learning, kind = time.monotonic(), memory.lengths[length], TASKS[task]
    learner = LEARNERS[who](kind, Net(kind, length, learning, seed), learning)

    def draw(stream: int, step: int, size: int) -> Batch:
        return kind.draw(np.random.default_rng([stream, step]), length, size)

    chunk, losses = memory.average, []
    for begin in range(0, learning.steps, chunk):
        steps = range(begin, min(begin + chunk, learning.steps))
        losses.extend(learner.train([draw(seed, step, learning.batch_size) for step in steps]).tolist())
    if not np.isfinite(losses).all():
        raise FloatingPointError(f"{task}, T={length}, {who}, seed {seed}: the loss became NaN or infinite")
    tested = learner.evaluate([draw(TEST_SEED, step, 64) for step in range(memory.test_batches)])
    ends = list(range(chunk, learning.steps + 1, chunk))
    curve = {"step": list(map(float, ends)), "loss": [float(np.mean(losses[end - chunk : end])) for end in ends]}
    return {"figures": tested, "seconds": time.monotonic() - began, "curve": curve, "first": losses[:FIRST]}
