"""Run by test_streaming.py: trains on files one after the other, and says the most memory held after each, in bytes."""

import json
import sys
from pathlib import Path

from jax_lstm.data import DataConfig
from jax_lstm.tasks import load_task
from jax_lstm.train import ModelConfig, TrainConfig, fit


def most_held() -> int:
    """Of this process, by Linux; unlike `getrusage` it counts nothing of the process that started this one."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


held = []
for at, path in enumerate(sys.argv[2:]):
    data = DataConfig(path, ("0",), window=24, horizon=4, stream=True, epoch_windows=6400, eval_windows=500)
    task = load_task(TrainConfig(data=data, model=ModelConfig(8), batch_size=64, epochs=2))
    fit(task, Path(sys.argv[1]) / str(at))
    held.append(most_held())
print(json.dumps(held))
