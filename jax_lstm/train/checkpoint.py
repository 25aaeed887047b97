"""Checkpoints by Orbax: written completely or not at all, and verified when they are read."""

import hashlib
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_lstm.checks import InputError
from jax_lstm.files import write_whole

KEEP = 2  # checkpoints, so that there is another if the latest is damaged on disk
SUMS = "SHA256SUMS"  # of every file of a checkpoint; written last, so its presence marks a complete checkpoint


def save_checkpoint(directory: Path, step: int, tree: Any, about: dict[str, Any]) -> None:
    """Write the arrays of `tree` and `about`, values for JSON, as the checkpoint of `step`.

    Raises:
        InputError: it cannot be written; earlier checkpoints are kept.
    """
    try:
        _save(directory, step, _named_arrays(tree), about)
    except Exception as error:  # Orbax and TensorStore raise many kinds of errors
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).strip()
        before = f"; that of step {max(kept)} is complete" if (kept := _complete_steps(directory)) else ""
        first = next(iter(reason.splitlines()), type(error).__name__)[:200]
        raise InputError(f"{directory / str(step)}: the checkpoint cannot be written: {first}{before}") from None


def _save(directory: Path, step: int, arrays: dict[str, Any], about: dict[str, Any]) -> None:
    ocp = _orbax()
    # Remove incomplete checkpoints of a killed process: Orbax would count them among those to keep.
    for entry in _steps(directory):
        if not (entry / SUMS).exists():
            shutil.rmtree(entry)
    local: dict[str, Any] = {}
    if jax.process_count() > 1:
        local = {"multiprocessing_options": _this_host(), "create": False}
        directory.mkdir(parents=True, exist_ok=True)
    options = ocp.CheckpointManagerOptions(
        max_to_keep=KEEP, enable_async_checkpointing=False, cleanup_tmp_directories=True, **local
    )
    with ocp.CheckpointManager(directory.absolute(), options=options) as manager:
        args = ocp.args.Composite(arrays=ocp.args.StandardSave(jax.device_get(arrays)), about=ocp.args.JsonSave(about))
        manager.save(step, args=args, force=True)
    checkpoint = directory / str(step)
    sums = [f"{_sha256(checkpoint / name)}  {name}\n" for name in sorted(_files(checkpoint))]
    write_whole(checkpoint / SUMS, "".join(sums))


def has_checkpoint(directory: Path) -> bool:
    """Whether `directory` has a complete checkpoint; it is not verified."""
    return bool(_complete_steps(directory))


def read_about(directory: Path) -> tuple[int, dict[str, Any]]:
    """The step and the `about` of the latest complete checkpoint, whose files are all verified.

    Raises:
        InputError: there is no checkpoint, or a file of it is truncated, altered or missing.
    """
    steps = _complete_steps(directory)
    if not steps:
        raise InputError(f"{directory}: no checkpoint here")
    checkpoint = directory / str(max(steps))
    try:
        sums = dict(line.split("  ", 1)[::-1] for line in (checkpoint / SUMS).read_text(encoding="utf-8").splitlines())
        for name in sorted(sums.keys() | _files(checkpoint)):
            if _sha256(checkpoint / name) != sums.get(name):
                raise InputError(_damaged(checkpoint, f"{name} is truncated or altered"))
        about = json.loads((checkpoint / "about" / "metadata").read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(_damaged(checkpoint, f"{error.filename}: {error.strerror}")) from None
    except InputError:
        raise
    except ValueError:
        raise InputError(_damaged(checkpoint, f"{SUMS} is truncated or altered")) from None
    return max(steps), about


def restore_arrays(directory: Path, step: int, like: Any) -> Any:
    """The arrays of the checkpoint of `step`, in the structure of `like`.

    Raises:
        InputError: the checkpoint is damaged, or of another model: names, shapes or types of arrays differ.
    """
    ocp = _orbax()
    path = directory.absolute() / str(step)
    try:
        with ocp.StandardCheckpointer(multiprocessing_options=_this_host()) as checkpointer:
            target = {
                name: np.zeros(array.shape, array.dtype) for name, array in _saved_shapes(path / "arrays").items()
            }
            saved = checkpointer.restore(path / "arrays", target)
    except Exception as error:  # Orbax and TensorStore raise many kinds of errors
        raise InputError(_damaged(directory / str(step), str(error).strip().splitlines()[0][:200])) from None
    wanted = _named_arrays(like)
    where = f"{directory / str(step)}: the checkpoint is of another model"
    for label, names in (("lacks", wanted.keys() - saved.keys()), ("has an unknown", saved.keys() - wanted.keys())):
        if names:
            raise InputError(f"{where}: it {label} {sorted(names)[0]!r}")
    for name, array in wanted.items():
        if saved[name].shape != array.shape or saved[name].dtype != array.dtype:
            got = f"{saved[name].dtype}{list(saved[name].shape)}"
            raise InputError(f"{where}: {name!r} must be {array.dtype}{list(array.shape)}; got {got}")
    leaves = [_as_leaf(saved[name], leaf) for name, leaf in zip(wanted, jax.tree.leaves(like), strict=True)]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _complete_steps(directory: Path) -> list[int]:
    return [int(entry.name) for entry in _steps(directory) if (entry / SUMS).exists()]


def _steps(directory: Path) -> list[Path]:
    """The folders of checkpoints, complete or not."""
    return [entry for entry in directory.iterdir() if entry.name.isdigit()] if directory.is_dir() else []


def _damaged(checkpoint: Path, reason: str) -> str:
    earlier = set(_complete_steps(checkpoint.parent)) - {int(checkpoint.name)}
    fix = "; remove this folder to use the checkpoint before it" if earlier else ""
    return f"{checkpoint}: the checkpoint is damaged: {reason}{fix}"


def _files(checkpoint: Path) -> set[str]:
    """The files of a checkpoint, without the checksums."""
    return {str(path.relative_to(checkpoint)) for path in checkpoint.rglob("*") if path.is_file()} - {SUMS}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _named_arrays(tree: Any) -> dict[str, Any]:
    """Arrays by their path in the tree; random keys as their integer data."""
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    names = (jax.tree_util.keystr(path, simple=True, separator=".").removesuffix(".value") for path, _ in flat)
    return {name: _as_array(leaf) for name, (_, leaf) in zip(names, flat, strict=True)}


def _as_array(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf


def _as_leaf(array: np.ndarray, like: Any) -> Any:
    if jnp.issubdtype(like.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(jnp.asarray(array), impl=jax.random.key_impl(like))
    return jnp.asarray(array)


def _saved_shapes(path: Path) -> dict[str, Any]:
    metadata = _orbax().StandardCheckpointer(multiprocessing_options=_this_host()).metadata(path)
    return dict(metadata.item_metadata)


def _this_host() -> Any:
    """Options for Orbax: with several hosts, each works on full arrays and waits for no other."""
    host = jax.process_index()
    return _orbax().options.MultiprocessingOptions(
        primary_host=host, active_processes={host}, barrier_sync_key_prefix=f"host {host}"
    )


def _orbax() -> Any:
    """Orbax, imported where it is used since that is slow, and without its log messages."""
    import orbax.checkpoint as ocp

    logging.getLogger("absl").setLevel(logging.CRITICAL)  # its errors reach the user as ours
    return ocp
