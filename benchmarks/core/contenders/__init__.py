"""The table of contenders."""

from functools import partial

from benchmarks.core.contenders.base import Contender, cells_refuse
from benchmarks.core.contenders.in_jax import ours
from benchmarks.core.contenders.in_torch import in_torch, in_torch_cells
from benchmarks.core.contenders.peers import in_equinox, in_keras, in_linen, in_nnx, in_onnx

BASELINE = "torch"

# "cudnn" is below; "parallel" is never fast on a CPU, "reference" for tests, and "plain" computes what "scan" does.
OURS = {name: Contender(ours(name), f"jax_lstm on its kernel `{name}`", backend=name) for name in ("native", "scan")}

_in_torch = partial(Contender, packages=("torch",), install="pip install -c constraints.txt '.[torch]'")
_in_jax = partial(Contender, other_jax=True, biases=1)
_peer = partial(Contender, install="pip install -c constraints.txt '.[bench]'")
_cells = partial(_in_torch, refuses=cells_refuse)

CONTENDERS = {
    BASELINE: _in_torch(in_torch, "torch.nn.LSTM"),
    **OURS,
    "flax optimized": _in_jax(in_nnx(True), "flax.nnx.RNN over OptimizedLSTMCell"),
    "flax": _in_jax(in_nnx(False), "flax.nnx.RNN over LSTMCell"),
    "linen": _in_jax(in_linen, "flax.linen.RNN over OptimizedLSTMCell"),
    "keras": _peer(in_keras, "keras.layers.LSTM on JAX", ("keras",), other_jax=True, biases=1),
    "equinox": _peer(
        in_equinox,
        "equinox.nn.LSTMCell under lax.scan",
        ("equinox",),
        other_jax=True,
        biases=1,
        refuses=cells_refuse,
    ),
    "cudnn": Contender(
        ours("cudnn"), "jax_lstm on cuDNN, by jax.experimental.rnn", install="pip install 'jax[cuda12]'", platform="gpu"
    ),
    "torch compile": _in_torch(partial(in_torch, compiled=True), "torch.compile(torch.nn.LSTM)"),
    "torch cell": _cells(in_torch_cells, "a Python loop over torch.nn.LSTMCell"),
    "torch compile cell": _cells(
        partial(in_torch_cells, compiled=True), "a Python loop over torch.compile(torch.nn.LSTMCell)", slow=30.0
    ),
    "onnxruntime": _peer(
        in_onnx,
        "the operator LSTM in ONNX Runtime, on CPU",
        ("onnxruntime", "onnx"),
        lacks="it runs models and does not train",
    ),
}
