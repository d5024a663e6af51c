"""Checkpoints: a directory in RLlib's layout, of JSON and raw arrays; reading one runs no code.

::

    metadata.json                                   format, version, class
    config.json                                     what AlgorithmConfig.to_dict gave, and the C
    library's state.json                                      counters
    env_runner/FIRST_COUNT.bin                      state of a part of the environments
    learner_group/learner/state.bin                 weights, optimiser, counters
    learner_group/learner/rl_module/default_policy/weights.npy, config.json
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = "whipray.rl"
VERSION = 1
_LEARNER = Path("learner_group", "learner", "state.bin")
_MODULE = Path("learner_group", "learner", "rl_module", "default_policy")


def _write(path: Path, data: bytes) -> None:
    """Replace a file as a whole: a reader sees the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _encode(value: Any) -> bytes:
    def plain(v: Any) -> Any:
        if isinstance(v, dict):
            return {k: plain(x) for k, x in v.items()}
        if isinstance(v, (list, tuple)):
            return [plain(x) for x in v]
        if isinstance(v, float) and not math.isfinite(v):
            return {"float": repr(v)}
        return v

    return json.dumps(plain(value), indent=1, sort_keys=True).encode()


def _decode(path: Path) -> Any:
    def hook(v: dict[str, Any]) -> Any:
        return float(v["float"]) if set(v) == {"float"} else v

    try:
        return json.loads(path.read_bytes(), object_hook=hook)
    except FileNotFoundError:
        raise ValueError(f"{path.parent} is no checkpoint: it has no {path.name}") from None
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from None


def write(
    path: Any,
    *,
    config: dict[str, Any],
    native: dict[str, Any],
    counters: dict[str, Any],
    learner: bytes,
    envs: list[tuple[int, int, bytes]],
    weights: Any,
    algorithm: str,
) -> str:
    """Write a checkpoint.

    Parameters
    ----------
    path : path-like or None
        The directory; None makes a new one among the temporary files.
    config, native : dict
        The configuration, and the C library's.
    counters : dict
        Iterations, steps, seconds.
    learner : bytes
        The learner's state.
    envs : list of (first, count, state)
        The environments' states.
    weights : ndarray of float32
        The flat weights.
    algorithm : str
        Class name.

    Returns
    -------
    str
        The directory.
    """
    root = Path(path) if path is not None else Path(tempfile.mkdtemp(prefix="whipray_checkpoint_"))
    root.mkdir(parents=True, exist_ok=True)
    metadata = root / "metadata.json"
    metadata.unlink(missing_ok=True)  # while files change it is no checkpoint
    runners = root / "env_runner"
    for old in runners.glob("*.bin"):
        old.unlink()
    for first, count, state in envs:
        _write(runners / f"{first}_{count}.bin", state)
    _write(root / _LEARNER, learner)
    with tempfile.TemporaryFile() as file:
        np.save(file, weights, allow_pickle=False)
        file.seek(0)
        _write(root / _MODULE / "weights.npy", file.read())
    _write(root / _MODULE / "config.json", _encode(native))
    _write(root / "config.json", _encode({"config": config, "native": native}))
    _write(root / "state.json", _encode(counters))
    _write(metadata, _encode({"format": FORMAT, "version": VERSION, "class": algorithm}))
    return str(root)


def read(path: Any) -> dict[str, Any]:
    """Read a checkpoint; raises ValueError for what is none, or damaged."""
    root = Path(path)
    metadata = _decode(root / "metadata.json")
    if metadata.get("format") != FORMAT or metadata.get("version") != VERSION:
        raise ValueError(f"{root} is no checkpoint of {FORMAT} version {VERSION}: {metadata}")
    envs = []
    for file in sorted((root / "env_runner").glob("*.bin")):
        first, count = file.stem.split("_")
        envs.append((int(first), int(count), file.read_bytes()))
    return {
        **_decode(root / "config.json"),
        "counters": _decode(root / "state.json"),
        "learner": (root / _LEARNER).read_bytes(),
        "envs": envs,
        "class": metadata["class"],
    }


def read_module(path: Any) -> tuple[dict[str, Any], Any]:
    """The C library's configuration and the flat weights, from a checkpoint or its module's
    folder."""
    root = Path(path)
    if not (root / "weights.npy").exists():
        root = root / _MODULE
    native = _decode(root / "config.json")
    return native, np.load(root / "weights.npy", allow_pickle=False)
