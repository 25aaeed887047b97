"""One streaming step: B=1, H=256, a call from Python for each step, the state carried from call to call."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.cases import Case, Problem, draw
from benchmarks.contenders import BASELINE, torch_lstm
from benchmarks.gate import LIMITS
from benchmarks.sampling import Call, Timed, sample
from benchmarks.setting import Setting
from jax_lstm import functional, interop
from jax_lstm.state import LSTMState
from jax_lstm.tolerances import difference

CASE = Case(1, 64, 64, 256)  # the sequence that is fed step by step


class Stream(NamedTuple):
    """`run` feeds the sequence; each step has ended before the next begins. `outputs` are (T, H)."""

    run: Call
    outputs: Callable[[], np.ndarray]


def streaming(setting: Setting) -> Iterator[Timed]:
    """Ours as a jitted function, PyTorch's `LSTM` on sequences of one step, and its `LSTMCell`."""
    problem = draw(CASE)
    makers: dict[str, Callable[[], Stream]] = {}
    if BASELINE in setting.present():
        makers |= {BASELINE: lambda: _torch(problem), "torch cell": lambda: _torch_cell(problem)}
    for backend in setting.backends():
        makers[backend] = lambda backend=backend: _ours(problem, backend)

    expected, limit = _expected(problem), LIMITS["float32"]["outputs"]
    streams, failed = {}, {}
    for name, make in makers.items():
        stream = make()
        relative = difference(stream.outputs(), expected).relative
        if relative <= limit:
            streams[name] = stream
        else:
            failed[name] = f"outputs: off by {relative:.1e}, more than {limit:.0e}"
    seconds, calls = sample({name: stream.run for name, stream in streams.items()}, setting.plan, CASE.steps)
    shape = f"1,1,{CASE.input_size},{CASE.hidden_size}"
    yield Timed("streaming", "one step", "step", BASELINE, seconds, calls, failed, CASE.flops / CASE.steps, shape=shape)


def _stream(step: Callable[[Any, Any], tuple[Any, Any]], start: Any, xs: list[Any]) -> Stream:
    """Of `step(x, state) -> (y, state)`, which must end its work before it returns."""

    def outputs() -> list[Any]:
        state, ys = start, []
        for x in xs:
            y, state = step(x, state)
            ys.append(y)
        return ys

    return Stream(outputs, lambda: np.stack([np.asarray(y).reshape(-1) for y in outputs()]))


def _ours(problem: Problem, backend: str) -> Stream:
    params = {name: jnp.asarray(value) for name, value in interop.to_state_dict(problem.params, "{}_l0").items()}
    run = jax.jit(lambda params, x, state: functional.lstm(params, x, state, backend=backend))
    start = LSTMState.zeros((1, 1, CASE.hidden_size))

    def step(x: Any, state: Any) -> Any:
        y, state = run(params, x, state)
        return y.block_until_ready(), state

    return _stream(step, start, [jnp.asarray(x[None]) for x in problem.xs])


def _torch(problem: Problem) -> Stream:
    import torch

    lstm, xs = torch_lstm(problem, torch.float32)
    zeros = torch.zeros(1, 1, CASE.hidden_size)
    step = torch.inference_mode()(lambda x, state: lstm(x, state))
    return _stream(step, (zeros, zeros), [x[None] for x in xs.detach()])


def _torch_cell(problem: Problem) -> Stream:
    import torch

    cell = torch.nn.LSTMCell(*problem.sizes)
    weights = interop.to_state_dict(problem.params)
    cell.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})

    @torch.inference_mode()
    def step(x: Any, state: Any) -> Any:
        state = cell(x, state)
        return state[0], state

    zeros = torch.zeros(1, CASE.hidden_size)
    return _stream(step, (zeros, zeros), list(torch.from_numpy(problem.xs)))


def _expected(problem: Problem) -> np.ndarray:
    import torch

    lstm, xs = torch_lstm(problem, torch.float64)
    with torch.no_grad():
        return lstm(xs)[0].numpy().reshape(CASE.steps, -1)
