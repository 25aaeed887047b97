"""Small records of every study, made of figures that a test can compute again."""

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import record as records
from benchmarks.record import ROOT, Record
from benchmarks.sampling import Timed

ENVIRONMENT = {
    "jax_lstm": "0", "python": "3", "system": "Linux", "cpu": "A <CPU> & more", "cores": 2, "packages": {"jax": "1"},
    "devices": ["cpu: cpu"], "x64": False, "simd": ["avx2"], "variables": {},
}  # fmt: skip
ROUNDS = 5
LOOP = {"trips": 16, "depth": 0, "kernels": 3, "instructions": 9, "counts": {"dot": 2, "fusion": 1}}  # of the HLO
CASES = {"tutorial": "32,5,10,20", "small": "32,64,32,128", "medium": "64,100,128,256"}
NAMES = ("torch", "native", "scan", "flax optimized", "onnxruntime")


def record(study: str, rows: list[Any], load: float = 3.25) -> Record:
    command = f"python -m benchmarks {study} --out benchmarks/records/{study}.json"
    goals = [{"kernel": "native", "goal": "fast", "wanted": 1.0, "limit": False, "reached": 2.0, "cases": 1,
              "of_cases": 1, "met": True}]  # fmt: skip
    return Record(study, command, "c0ffee", "2026-01-01", 9.0, load, 2, "available", ENVIRONMENT, {}, rows, goals)


def timed(section: str, case: str, measure: str, shape: str, rng: np.random.Generator) -> Timed:
    """Speeds between a tenth and ten times that of PyTorch; in `small` one has failed."""
    seconds = {name: (1e-3 * 10 ** rng.uniform(-1, 1) * rng.uniform(0.95, 1.05, ROUNDS)).tolist() for name in NAMES}
    failed = {"onnxruntime": "outputs differ"} if case == "small" else {}
    seconds = {name: samples for name, samples in seconds.items() if name not in failed}
    return Timed(section, case, measure, "torch", seconds, failed=failed, flops=1e7, shape=shape)


def frameworks() -> Record:
    rng = np.random.default_rng(0)
    rows = [Timed("peak", "product", "product", "torch", {"torch": [1e-3, 2e-3]}, flops=2e8)]
    for case, shape in CASES.items():
        for measure in ("forward", "forward+backward", "training step"):
            rows.append(timed("frameworks", case, measure, shape, rng))
    parts = {"native": {stage: [0.1, 0.2, 0.3] for stage in ("trace", "lower", "compile", "first call")}}
    parts["torch"] = {"first call": [0.05, 0.04, 0.03]}
    sums = {"native": [0.4, 0.8, 1.2], "torch": [0.05, 0.04, 0.03]}
    rows.append(Timed("frameworks", "tutorial", "compile", "", sums, shape=CASES["tutorial"], parts=parts))
    memory = {"torch": 50 * 2**20, "native": 20 * 2**20}
    rows.append(Timed("frameworks", "small", "peak memory", "", {}, shape=CASES["small"], memory=memory))
    return record("frameworks", rows)


def engine() -> Record:
    rng = np.random.default_rng(1)
    rows = [Timed("peak", "product", "product", "torch", {"torch": [1e-3]}, flops=2e8)]
    rows += [
        timed("layers", case, measure, shape, rng)
        for case, shape in CASES.items()
        for measure in ("forward", "forward+backward")
    ]
    for steps in (16, 256):
        seconds = {"scan": [0.5, 0.6, 0.55], "native": [0.1, 0.11, 0.12]}
        rows.append(Timed("compiling", f"T={steps}", "compile", "scan", seconds, shape=f"32,{steps},32,64"))
    memory = {"keep all": 2**30, "chunks": 2**27}
    long = {"keep all": [1.0, 1.1], "chunks": [1.2, 1.3]}
    rows.append(
        Timed("remat", "long", "forward+backward", "keep all", long, shape="8,16384,64,256", flops=1e9, memory=memory)
    )
    return record("engine", rows, load=0.1)


def profile() -> Record:
    from benchmarks.profile import KINDS, Profile

    parts = dict.fromkeys(KINDS, 1 / len(KINDS))
    return record(
        "profile",
        [
            Profile(case, CASES[case], measure, 1e-3, 1e7, 1.5, parts)
            for case in CASES
            for measure in ("forward", "forward+backward")
        ],
    )


def jit() -> Record:
    from benchmarks.jit.rows import Row, compared

    rng, rows = np.random.default_rng(2), []
    for sweep, sizes in {"base": [16], "steps": [4, 16, 64], "hidden": [16], "layers": [16], "precision": [16]}.items():
        for steps in sizes:
            group, shape = f"{sweep} {steps}", f"32,{steps},32,128,1"
            made = []
            for at, variant in enumerate(("torch", "eager", "scan", "scan kernel", "native")):
                seconds = (1e-3 * steps / (at + 1) * rng.uniform(0.9, 1.1, ROUNDS)).tolist()
                compiled = {
                    "trace": [0.1],
                    "lower": [0.1],
                    "compile": [0.3],
                    "instructions": 100 * steps,
                    "equations": 9,
                }
                compiled |= {"products": 1e6, "xla_flops": 1e6, "xla_bytes": 1e6, "temporary_bytes": 2**20 * steps}
                more = compiled | {"loops": [LOOP, LOOP], "opcodes": {"fusion": 9}} if at > 1 else {}
                made.append(
                    Row(sweep, variant, "forward+backward", group, shape, 32, steps, 32, 128, 1, seconds=seconds,
                        first=[0.6], jitted=at > 1, **more)
                )  # fmt: skip
            rows += compared(made)
    return record("jit", rows)


def accuracy() -> Record:
    from benchmarks.accuracy.row import Row

    rows = []
    for table in ("univariate", "multivariate"):
        for horizon in (24, 48):
            for who, seeds in (("LSTM", (0, 1)), ("persistence", (None,)), ("linear", (None,))):
                for seed in seeds:
                    figures = {"mse": 0.1 + 0.01 * (seed or 0), "mae": 0.2 + horizon / 1000}
                    rows.append(Row("etth1", table, horizon, who, seed, figures, 1.0, {}, {"mse": 0.2, "mae": 0.3}))
    curve = {"step": [1, 2, 3], "loss": [0.2, 0.1, 0.01]}
    for who in ("LSTM", "PyTorch"):
        figures, config = {"loss": 0.01}, {"steps": 3}
        published, guess = {"loss": 0.164}, {"loss": 1 / 6}
        rows.append(Row("adding", "adding", 600, who, 0, figures, 1.0, config, published, guess, curve, curve["loss"]))
    return record("accuracy", rows)


def scaling() -> Record:
    from benchmarks.scaling.rows import Row

    made = []
    for data, model in ((1, 1), (2, 1), (8, 1), (4, 2)):
        step = {"kind": "all-reduce", "bytes": 2**20, "arrays": 3, "group": data, "times": 10}
        made.append(
            Row(64, 2, 16, 4, data, model, 2**20, 2**20 // model, 1e9, 10, [step] if data > 1 else [], seconds=1.0)
        )
    return record("scaling", made)


MADE = {
    "frameworks": frameworks,
    "engine": engine,
    "profile": profile,
    "jit": jit,
    "accuracy": accuracy,
    "scaling": scaling,
}
COMPARE = ROOT / "benchmarks" / "records" / "compare-weather.json"


def write_all(folder: Path) -> dict[str, Path]:
    """A file for each study; the record of `jax-lstm compare` is the committed one."""
    found = {"agreement": COMPARE}
    for study, make in MADE.items():
        found[study] = folder / f"{study}.json"
        records.write(make(), found[study])
    return found
