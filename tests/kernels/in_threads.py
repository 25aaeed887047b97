"""Run by test_native_processes.py: Python threads that all call at once, some of them over several devices."""

import sys
import threading
from functools import partial
from typing import Any

import jax
import numpy as np
from kernels import stacked
from kernels.cases import Case, draw, loss, native

from jax_lstm.kernels import Fused
from jax_lstm.tolerances import difference

THREADS, CALLS = 4, 30


def main(devices: int) -> None:
    """Large enough calls that the library splits each over threads: by rows, by hidden units, by layers."""
    assert jax.device_count() == devices
    cases = [draw(case, "float32") for case in (Case(20, 64, 32, 64), Case(30, 2, 32, 160), Case(3, 2, 3, 4))]
    layers = stacked.draw_layers(Case(100, 2, 20, 60), 3, "float32")
    points = [*(tuple(case[:3]) for case in cases), stacked.point(layers)]
    losses = [*(partial(loss, native) for _ in cases), partial(stacked.loss, stacked.stack_of(Fused("native")), layers)]
    steps = [jax.jit(jax.grad(function, argnums=(0, 1, 2))) for function in losses]
    expected = [jax.tree.map(np.asarray, step(*point)) for step, point in zip(steps, points, strict=True)]
    errors: list[Any] = []

    def calls(thread: int) -> None:
        try:
            device = jax.devices()[thread % devices]
            for i in range(CALLS):
                at = (thread + i) % len(steps)
                found = steps[at](*jax.device_put(points[at], device))
                for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected[at]), strict=True):
                    assert difference(a, b).relative < 1e-5
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=calls, args=(i,)) for i in range(max(THREADS, devices))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


if __name__ == "__main__":
    main(int(sys.argv[1]))
    print("agrees")
