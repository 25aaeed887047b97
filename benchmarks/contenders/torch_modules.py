"""PyTorch: `nn.LSTM`, the same under `torch.compile`, and a loop over `nn.LSTMCell`, compiled or not."""

from typing import Any

from benchmarks.cases import Problem
from benchmarks.contenders.base import Runner
from benchmarks.contenders.in_torch import Model, device, runner


def in_torch(
    problem: Problem, compiled: bool = False, dtype: str = "float32", biases: int = 2, place: str = ""
) -> Runner:
    """`torch.nn.LSTM`. With `biases=1`, `bias_ih` is zero and not trained.

    It runs on the device `place`; by default on JAX's kind of device for float32, else on the CPU.
    """
    place = place or (device() if dtype == "float32" else "cpu")
    return runner(lambda: _lstm(problem, compiled, dtype, biases, place), problem)


def in_torch_cells(problem: Problem, compiled: bool = False) -> Runner:
    return runner(lambda: _cells(problem, compiled), problem)


def _lstm(problem: Problem, compiled: bool, dtype: str, biases: int, place: str) -> Model:
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    case = problem.case
    lstm = torch.nn.LSTM(case.input_size, case.hidden_size, case.num_layers, bidirectional=case.bidirectional)
    lstm.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in problem.params.items()})
    lstm = lstm.to(device=place, dtype=getattr(torch, dtype))
    if biases == 1:
        _join_biases(lstm)
    compiler = Compiled() if compiled else None
    call: Any = compiler(lstm) if compiler else lstm
    lengths = None if problem.lengths is None else torch.from_numpy(problem.lengths.astype("int64"))

    def apply(xs: Any) -> Any:
        if lengths is None:
            return call(xs)
        ys, state = call(pack_padded_sequence(xs, lengths, enforce_sorted=False))
        return pad_packed_sequence(ys, total_length=case.steps)[0], state

    def step(x: Any, state: Any) -> Any:
        ys, state = call(x[None], state)
        return ys[0], state

    zeros = torch.zeros(case.num_layers * case.sizes.num_directions, case.batch, case.hidden_size, device=place)
    return Model(lstm, list(problem.params), apply, step, (zeros, zeros), compiler.note if compiler else _nothing)


def _join_biases(lstm: Any) -> None:
    import torch

    with torch.no_grad():
        for name, value in lstm.named_parameters():
            if name.startswith("bias_ih"):
                getattr(lstm, name.replace("bias_ih", "bias_hh")).add_(value)
                value.zero_()
                value.requires_grad_(False)


def _cells(problem: Problem, compiled: bool) -> Model:
    import torch

    case = problem.case
    cells, calls, compiler = torch.nn.ModuleList(), [], Compiled() if compiled else None
    for layer in problem.layers:
        for params in layer:
            cell = torch.nn.LSTMCell(params.weight_ih.shape[1], case.hidden_size)
            named = {name: value for name, value in params._asdict().items() if value is not None}
            cell.load_state_dict({name: torch.tensor(value) for name, value in named.items()})
            cells.append(cell.to(device()))
            calls.append(compiler(_step_of(cell)) if compiler else cell)
    zeros = torch.zeros(case.batch, case.hidden_size, device=device())
    start, ways = (zeros, zeros), case.sizes.num_directions

    def through(call: Any, xs: Any, back: bool) -> Any:
        state, ys = start, []
        for x in reversed(xs) if back else xs:
            state = call(x, state)
            ys.append(state[0])
        return torch.stack(ys[::-1] if back else ys), state

    def apply(xs: Any) -> Any:
        states = []
        for layer in range(case.num_layers):
            steps = xs.unbind(0)
            found = [through(calls[ways * layer + at], steps, bool(at)) for at in range(ways)]
            states += [state for _, state in found]
            xs = torch.cat([ys for ys, _ in found], -1) if ways == 2 else found[0][0]
        return xs, states

    def step(x: Any, state: Any) -> Any:
        state = calls[0](x, state)
        return state[0], state

    return Model(cells, list(problem.params), apply, step, start, compiler.note if compiler else _nothing)


def _step_of(cell: Any) -> Any:
    """Wrap a cell in a function: after Dynamo has failed on `nn.LSTM`, it skips PyTorch's own modules."""

    def step(x: Any, state: Any) -> Any:
        return cell(x, state)

    return step


class Compiled:
    """`torch.compile` that counts the graphs given to Inductor."""

    def __init__(self) -> None:
        import torch

        self.graphs = 0
        torch._dynamo.reset()  # earlier shapes count towards the limit after which everything runs eagerly

    def __call__(self, function: Any) -> Any:
        import torch
        from torch._inductor.compile_fx import compile_fx

        def inductor(graph: Any, inputs: Any) -> Any:
            self.graphs += 1
            return compile_fx(graph, inputs)

        return torch.compile(function, backend=inductor)

    def note(self) -> str:
        return f"{self.graphs} graphs compiled" if self.graphs else "nothing compiled: runs eagerly"


def _nothing() -> str:
    return ""
