"""Run by test_mesh.py in a process with several devices: trains on a mesh, and saves the weights."""

import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np

from jax_lstm.data import DataConfig, TextConfig
from jax_lstm.tasks import load_task
from jax_lstm.train import ModelConfig, OptimConfig, TrainConfig, fit

folder, kind, *meshes = sys.argv[1:]
MODEL = ModelConfig(8, 2)
TUTORIAL = replace(MODEL, network="tutorial")
OPTIM = OptimConfig(learning_rate=0.02, clip_norm=1.0)
COMMON = TrainConfig(model=MODEL, optim=OPTIM, batch_size=16, epochs=2, chunk_steps=4)
CONFIGS = {
    "forecast": replace(
        COMMON, model=TUTORIAL, data=DataConfig(csv=f"{folder}/wave.csv", target=("a",), window=6, horizon=2)
    ),
    "text": replace(COMMON, task="text", text=TextConfig(f"{folder}/abc.txt", steps=7)),
    "seeds": replace(
        COMMON,
        model=TUTORIAL,
        seeds="0:2",
        data=DataConfig(csv=f"{folder}/wave.csv", target=("a",), window=6, horizon=2),
    ),
}
CONFIGS["float16"] = replace(CONFIGS["forecast"], precision="float16")

for mesh in meshes:
    config = replace(CONFIGS[kind], mesh="" if mesh == "one" else mesh)
    result = fit(load_task(config), Path(folder) / f"{kind} {mesh}")
    np.savez(f"{folder}/{kind} {mesh}.npz", *map(np.asarray, jax.tree.leaves(result.params)))
if "data=4" in meshes and kind == "forecast":  # stopped on four devices, gone on with on two
    config = replace(CONFIGS[kind], epochs=1, mesh="data=4")
    fit(load_task(config), Path(folder) / "moved")
    result = fit(load_task(replace(config, epochs=2, mesh="data=2")), Path(folder) / "moved", resume=True)
    np.savez(f"{folder}/{kind} moved.npz", *map(np.asarray, jax.tree.leaves(result.params)))
