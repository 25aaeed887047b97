"""The sections of `engine`, in the order in which they run. Each yields rows of the record."""

from collections.abc import Callable, Iterator

from benchmarks.compiler import compiling, remat
from benchmarks.directions import directions
from benchmarks.layers import bfloat16, layers, peak, unroll
from benchmarks.sampling import Timed
from benchmarks.setting import Setting
from benchmarks.streaming import streaming
from benchmarks.training import training

SECTIONS: dict[str, Callable[[Setting], Iterator[Timed]]] = {
    "peak": peak,
    "layers": layers,
    "training": training,
    "streaming": streaming,
    "bfloat16": bfloat16,
    "unroll": unroll,
    "directions": directions,
    "remat": remat,
    "compiling": compiling,
}
