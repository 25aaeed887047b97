"""The adding problem and copy memory, learnt by each framework from the same weights on the same batches."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.accuracy.learners import LEARNERS, Learning, Net
from benchmarks.accuracy.published import MEMORY, guess
from benchmarks.accuracy.row import OURS, THEIRS, Job, Row
from benchmarks.accuracy.tasks import TASKS, Batch

FIRST = 20  # losses that are recorded one by one, to compare the frameworks
TEST_SEED = 2**31 - 1  # not a training seed


@dataclass(frozen=True)
class Memory:
    """What to train of one task, by T. PyTorch is slower and may have fewer seeds."""

    lengths: Mapping[int, Learning]
    torch_seeds: Mapping[int, int]
    test_batches: int = 16  # of 64 sequences
    average: int = 20  # steps per point of the curve


def jobs(task: str, memory: Memory, seeds: int) -> Iterator[Job]:
    for length, learning in memory.lengths.items():
        config = learning.described()
        runs = [(OURS, seed) for seed in range(seeds)]
        runs += [(THEIRS, seed) for seed in range(min(seeds, memory.torch_seeds.get(length, 0)))]
        for who, seed in runs:
            yield Job(task, task, length, who, seed, config, partial(learn, task, length, who, seed, memory))


def learn(task: str, length: int, who: str, seed: int, memory: Memory) -> Row:
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
    published = MEMORY[task].get(length)
    return Row(
        study=task,
        task=task,
        size=length,
        who=who,
        seed=seed,
        figures=tested,
        seconds=time.monotonic() - began,
        config=learning.described(),
        published={} if published is None else {"loss": published},
        guess={"loss": guess(task, length)},
        curve={"step": list(map(float, ends)), "loss": [float(np.mean(losses[end - chunk : end])) for end in ends]},
        first=losses[:FIRST],
    )
