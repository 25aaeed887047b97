"""The measures of a PyTorch module: calls, gradients, training steps."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from benchmarks.cases import Problem
from benchmarks.contenders.base import (
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
