"""The gate: who does not compute the same as a float64 LSTM is not timed.

The oracle is PyTorch's LSTM in float64 with autograd. It shares no code with any contender in JAX, and not the kernel
of the float32 contender either, which is oneDNN's. The tests hold it against the NumPy oracle in `tests/oracle.py`.
"""

import functools
from collections.abc import Mapping

from benchmarks.cases import Case, draw
from benchmarks.contenders import Contender, Results, Runner, torch_lstm, torch_results
from jax_lstm.tolerances import TOLERANCES, difference

BFLOAT16 = 3e-2  # eight bits of mantissa, rounded at each of some hundred steps; as in the tests of the kernels
LIMITS = {"float32": {kind: TOLERANCES[kind].float32 for kind in ("outputs", "gradients")}}
LIMITS["bfloat16"] = dict.fromkeys(LIMITS["float32"], BFLOAT16)


@functools.lru_cache(maxsize=1)  # whoever measures a case asks several times
def oracle(case: Case) -> Results:
    """Outputs and gradients of the problem that `draw` makes of the case."""
    import torch

    lstm, xs = torch_lstm(draw(case), torch.float64)
    ys, _ = lstm(xs)
    ys.square().mean().backward()
    return torch_results(lstm, xs, ys)


def fault(results: Results, expected: Results, dtype: str = "float32") -> str:
    """What is wrong with the results; empty if they pass."""
    for name, want in expected.items():
        limit = LIMITS[dtype]["outputs" if name == "outputs" else "gradients"]
        if results[name].shape != want.shape:
            return f"{name}: shape {results[name].shape}, not {want.shape}"
        relative = difference(results[name], want).relative
        if not relative <= limit:
            return f"{name}: off by {relative:.1e}, more than {limit:.0e}"
    return ""


def admit(
    contenders: Mapping[str, Contender], case: Case, dtype: str = "float32"
) -> tuple[dict[str, Runner], dict[str, str]]:
    """The runners that pass, and why the others do not. What cannot be built or run fails as well."""
    problem, expected = draw(case), oracle(case)
    runners, failed = {}, {}
    for name, contender in contenders.items():
        try:
            runner = contender.build(problem)
            if wrong := fault(runner.results(), expected, dtype):
                failed[name] = wrong
            else:
                runners[name] = runner
        except Exception as error:  # another framework may fail with anything
            failed[name] = f"{type(error).__name__}: {error}".splitlines()[0]
    return runners, failed
