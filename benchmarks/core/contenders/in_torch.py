"""PyTorch: `nn.LSTM`, the same under `torch.compile`, and a loop over `nn.LSTMCell`, compiled or not."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from benchmarks.core.cases import Problem
from benchmarks.core.contenders.base import (
    BACKWARD,
    FORWARD,
    GATED_STEPS,
    RATE,
    STREAMING,
    TRAINING,
    Results,
    Runner,
    Work,
    gradients,
    loss_scale,
    outputs,
    updates,
)


class Model(NamedTuple):
    """A module, the names of its parameters in `torch.nn.LSTM`, and `apply(xs) -> (ys, state)`, time first.

    `step(x, state) -> (y, state)` makes one step of one layer, beginning at `start`; x (B, I), y (B, H). `note`: a
    remark for the tables.
    """

    module: Any
    names: list[str]
    apply: Callable[[Any], Any]
    step: Callable[[Any, Any], Any]
    start: Any
    note: Callable[[], str]


def device() -> str:
    """PyTorch's device: the kind that JAX computes on."""
    return "cuda" if jax.default_backend() == "gpu" else "cpu"


def wait() -> None:
    """Wait for the GPU; on a CPU a call has finished when it returns."""
    import torch

    if device() == "cuda":
        torch.cuda.synchronize()


def runner(make: Callable[[], Model], problem: Problem) -> Runner:
    """The measures of a model; training has a model of its own."""
    import torch

    model = make()
    like = next(model.module.parameters())
    xs = torch.tensor(problem.xs, dtype=like.dtype, device=like.device, requires_grad=True)

    # In training mode cuDNN stores what the backward pass needs; on a CPU the mode makes no difference.
    inferring, scale = make() if device() == "cuda" else model, loss_scale(problem)
    inferring.module.train(inferring is model)

    def forward() -> Any:
        with torch.no_grad():
            found = inferring.apply(xs.detach())
        wait()
        return found

    def backward() -> None:
        model.module.zero_grad(set_to_none=True)
        xs.grad = None
        ys = model.apply(xs)[0]
        ((ys if ys.itemsize >= 4 else ys.float()).square().mean() * scale).backward()
        wait()

    def results() -> Results:
        backward()
        grads = {name: _array(value.grad) for name, value in _parameters(model).items() if value.requires_grad}
        return gradients(_array(xs.grad), grads)

    works = {
        FORWARD: Work(forward, lambda: outputs(_array(forward()[0])), note=model.note),
        BACKWARD: Work(backward, results, note=model.note),
        TRAINING: _training(make, xs.detach(), torch.tensor(problem.targets, dtype=like.dtype, device=like.device)),
    }
    if problem.case.streamed:
        works[STREAMING] = _streaming(model, list(xs.detach()))
    return works


def _training(make: Callable[[], Model], xs: Any, targets: Any) -> Work:
    import torch

    criterion = torch.nn.MSELoss()
    held: list[Any] = []  # the model in training, and its optimizer

    def fresh() -> None:
        model = make()
        trained = [value for value in model.module.parameters() if value.requires_grad]
        held[:] = model, torch.optim.Adam(trained, lr=RATE)

    def step() -> None:
        if not held:
            fresh()
        model, adam = held
        adam.zero_grad()
        criterion(model.apply(xs)[0], targets).backward()
        adam.step()
        wait()

    def results() -> Results:
        fresh()
        before = {name: _array(value) for name, value in _parameters(held[0]).items()}
        for _ in range(GATED_STEPS):
            step()
        return updates(before, {name: _array(value) for name, value in _parameters(held[0]).items()})

    return Work(step, results, note=lambda: held[0].note())


def _streaming(model: Model, xs: list[Any]) -> Work:
    import torch

    @torch.inference_mode()
    def run() -> list[Any]:
        state, ys = model.start, []
        for x in xs:
            y, state = model.step(x, state)
            wait()
            ys.append(y)
        return ys

    return Work(run, lambda: outputs(_array(torch.stack(run()))), note=model.note)


def _parameters(model: Model) -> dict[str, Any]:
    return dict(zip(model.names, model.module.parameters(), strict=True))


def _array(tensor: Any) -> Any:
    found = tensor.detach().cpu()
    return (found if found.itemsize >= 4 else found.float()).numpy().copy()  # NumPy has no bfloat16


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
    compiler = Compiler(compiled)
    call: Any = compiler(lstm) if compiled else lstm
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
    return Model(lstm, list(problem.params), apply, step, (zeros, zeros), compiler.note)


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
    cells, calls, compiler = torch.nn.ModuleList(), [], Compiler(compiled)
    for layer in problem.layers:
        for params in layer:
            cell = torch.nn.LSTMCell(params.weight_ih.shape[1], case.hidden_size)
            named = {name: value for name, value in params._asdict().items() if value is not None}
            cell.load_state_dict({name: torch.tensor(value) for name, value in named.items()})
            cells.append(cell.to(device()))
            calls.append(compiler(_step_of(cell)) if compiled else cell)
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

    return Model(cells, list(problem.params), apply, step, start, compiler.note)


def _step_of(cell: Any) -> Any:
    """Wrap a cell in a function: after Dynamo has failed on `nn.LSTM`, it skips PyTorch's own modules."""

    def step(x: Any, state: Any) -> Any:
        return cell(x, state)

    return step


class Compiler:
    """`torch.compile` that counts the graphs given to Inductor; if not `used`, it has nothing to note."""

    def __init__(self, used: bool) -> None:
        import torch

        self.used, self.graphs = used, 0
        if used:
            torch._dynamo.reset()  # earlier shapes count towards the limit after which everything runs eagerly

    def __call__(self, function: Any) -> Any:
        import torch
        from torch._inductor.compile_fx import compile_fx

        def inductor(graph: Any, inputs: Any) -> Any:
            self.graphs += 1
            return compile_fx(graph, inputs)

        return torch.compile(function, backend=inductor)

    def note(self) -> str:
        if not self.used:
            return ""
        return f"{self.graphs} graphs compiled" if self.graphs else "nothing compiled: runs eagerly"
