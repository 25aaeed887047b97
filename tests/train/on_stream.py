"""Run by test_streaming.py in a process of its own: trains on a streamed file, and says which windows it read."""

import json
import sys
from pathlib import Path

import jax
import numpy as np

from jax_lstm.data import DataConfig
from jax_lstm.data.stored import Stored
from jax_lstm.tasks import load_task
from jax_lstm.train import ModelConfig, TrainConfig, fit, hosts

folder, name, *join = sys.argv[1:]
if join:
    hosts.start(f"127.0.0.1:{join[0]}", 2, int(join[1]))
data = DataConfig(f"{folder}/wave.npy", ("0",), window=6, horizon=2, stream=True, epoch_windows=160)
task = load_task(TrainConfig(data=data, model=ModelConfig(8), batch_size=16, epochs=2, chunk_steps=5))

read, whole = list[int](), Stored.read


def counted(stored: Stored, start: int, stop: int) -> np.ndarray:
    read.append(int(start))
    return whole(stored, start, stop)


Stored.read = counted  # type: ignore[method-assign]
result = fit(task, Path(folder) / name)
own = f"{folder}/{name} {jax.process_index()}"
Path(f"{own}.json").write_text(json.dumps(read))
np.savez(f"{own}.npz", *map(np.asarray, jax.tree.leaves(result.params)))
