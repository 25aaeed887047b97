"""Who is measured: one row each."""

from functools import partial

from benchmarks.contenders import in_equinox as equinox
from benchmarks.contenders import in_torch as pytorch
from benchmarks.contenders.base import Contender
from benchmarks.contenders.cudnn import in_cudnn
from benchmarks.contenders.in_flax import in_linen, in_nnx
from benchmarks.contenders.in_keras import in_keras
from benchmarks.contenders.onnx_runtime import in_onnx
from benchmarks.contenders.ours import ours
from jax_lstm.kernels.registry import KERNELS

BASELINE = "torch"
BENCH, TORCH = "pip install -c constraints.txt '.[bench]'", "pip install -c constraints.txt '.[torch]'"
OURS = {
    name: Contender(ours(name), f"jax_lstm on its kernel `{name}`", backend=name)
    for name in KERNELS
    if name != "reference"  # which is there to be compared with in tests, not to be fast
}


def _torch(build: object, about: str, refuses: object = None, slow: float = 0.0) -> Contender:
    more = {"refuses": refuses} if refuses else {}
    return Contender(build, about, ("torch",), TORCH, slow=slow, **more)  # type: ignore[arg-type]


CONTENDERS = {
    "torch": _torch(pytorch.in_torch, "torch.nn.LSTM"),
    **OURS,
    "flax optimized": Contender(in_nnx(True), "flax.nnx.RNN over OptimizedLSTMCell", other_jax=True, biases=1),
    "flax": Contender(in_nnx(False), "flax.nnx.RNN over LSTMCell", other_jax=True, biases=1),
    "linen": Contender(in_linen, "flax.linen.RNN over OptimizedLSTMCell", other_jax=True, biases=1),
    "keras": Contender(in_keras, "keras.layers.LSTM on JAX", ("keras",), BENCH, other_jax=True, biases=1),
    "equinox": Contender(
        equinox.in_equinox,
        "equinox.nn.LSTMCell under lax.scan",
        ("equinox",),
        BENCH,
        other_jax=True,
        refuses=equinox.refuses,
        biases=1,
    ),
    "cudnn": Contender(
        in_cudnn, "jax.experimental.rnn, which calls cuDNN", install="pip install 'jax[cuda12]'", platform="gpu"
    ),
    "torch compile": _torch(partial(pytorch.in_torch, compiled=True), "torch.compile(torch.nn.LSTM)"),
    "torch cell": _torch(pytorch.in_torch_cells, "a Python loop over torch.nn.LSTMCell", pytorch.cells_refuse),
    "torch compile cell": _torch(
        partial(pytorch.in_torch_cells, compiled=True),
        "a Python loop over torch.compile(torch.nn.LSTMCell)",
        pytorch.cells_refuse,
        slow=30.0,
    ),
    "onnxruntime": Contender(
        in_onnx,
        "the operator LSTM in ONNX Runtime, on CPU",
        ("onnxruntime", "onnx"),
        BENCH,
        lacks="it runs models and does not train",
    ),
}
# Who the engine is held against.
ENGINE_CONTENDERS = {
    name: CONTENDERS[name]
    for name in ("torch", *OURS, "flax optimized", "flax", "keras", "equinox")
    if name in CONTENDERS
}
