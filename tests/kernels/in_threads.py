"""Run by test_native_processes.py: Python threads that all call at once, some of them over several devices."""

import sys
import threading
from functools import partial
from typing import Any

import jax
import numpy as np
from kernels.cases import Case, draw, gradients, loss, native

from jax_lstm.tolerances import difference

THREADS, CALLS = 4, 30


def main(devices: int) -> None:
    """Large enough calls that the library splits each over threads, by rows or by hidden units."""
    assert jax.device_count() == devices
    cases = [draw(case, "float32") for case in (Case(20, 64, 32, 64), Case(30, 2, 32, 160), Case(3, 2, 3, 4))]
    steps = [jax.jit(jax.grad(partial(loss, native), argnums=(0, 1, 2))) for _ in cases]
    expected = [jax.tree.map(np.asarray, gradients(native, case)) for case in cases]
    errors: list[Any] = []

    def calls(thread: int) -> None:
        try:
            device = jax.devices()[thread % devices]
            for i in range(CALLS):
                at = (thread + i) % len(cases)
                found = steps[at](*jax.device_put(tuple(cases[at][:3]), device))
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
