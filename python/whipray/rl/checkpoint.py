"""Checkpoints: a directory in RLlib's layout, of JSON and raw arrays; reading one runs no code.

::

    metadata.json                 format, version, class; bytes and SHA-256 of every other file
    config.json                   what AlgorithmConfig.to_dict gave, and the C library's
    state.json                    counters
    env_runner/FIRST_COUNT.bin    state of a part of the environments
    learner_group/learner/state.bin                         weights, optimiser, counters
    learner_group/learner/rl_module/default_policy/         a checkpoint of the network alone:
        metadata.json, config.json, weights.npy

Every file is compared with the metadata before anything of it is used.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from whipray import _rl

FORMAT = "whipray.rl"
VERSION = 2
_LEARNER = "learner_group/learner/state.bin"
_MODULE = "learner_group/learner/rl_module/default_policy"
_MODULE_FILES = ("config.json", "weights.npy")
_ENVS = re.compile(r"env_runner/(\d{1,9})_(\d{1,9})\.bin")
_COUNTERS: dict[str, tuple[type, ...]] = dict.fromkeys(
    ("iteration", "env_steps", "episodes", "trained", "seed"), (int,)
)
_COUNTERS["time_total"] = (int, float)
_FIXED = (
    "config.json",
    "state.json",
    _LEARNER,
    *(f"{_MODULE}/{name}" for name in ("metadata.json", *_MODULE_FILES)),
)


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


def _decode(path: Path, data: bytes) -> dict[str, Any]:
    def hook(v: dict[str, Any]) -> Any:
        return float(v["float"]) if set(v) == {"float"} else v

    try:
        value = json.loads(data, object_hook=hook)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path} is damaged: it holds no JSON object")
    return value


def _metadata(kind: str, files: dict[str, bytes]) -> bytes:
    sums = {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in files.items()
    }
    return _encode({"format": FORMAT, "version": VERSION, "class": kind, "files": sums})


def _read_metadata(root: Path) -> dict[str, Any]:
    path = root / "metadata.json"
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{root} is no checkpoint: it has no metadata.json") from None
    metadata = _decode(path, data)
    if metadata.get("format") != FORMAT or metadata.get("version") != VERSION:
        raise ValueError(
            f"{root} is no checkpoint of {FORMAT} version {VERSION}: its metadata.json says "
            f"format {metadata.get('format')!r}, version {metadata.get('version')!r}"
        )
    if not isinstance(metadata.get("files"), dict) or not isinstance(metadata.get("class"), str):
        raise ValueError(f"{path} is damaged: it has no files, or no class")
    return metadata


def _read_file(root: Path, name: str, metadata: dict[str, Any]) -> bytes:
    """The bytes of a file that are those that were written; ValueError for any other."""
    path, noted = root / name, metadata["files"].get(name)
    if not isinstance(noted, dict) or not {"bytes", "sha256"} <= set(noted):
        raise ValueError(f"{root / 'metadata.json'} is damaged: it does not describe {name}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} of the checkpoint cannot be read: {error.strerror}") from None
    if len(data) != noted["bytes"]:
        raise ValueError(f"{path} is damaged: it has {len(data)} bytes, not {noted['bytes']}")
    if hashlib.sha256(data).hexdigest() != noted["sha256"]:
        raise ValueError(f"{path} is damaged: its {len(data)} bytes are not those that were saved")
    return data


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
    array = io.BytesIO()
    np.save(array, weights, allow_pickle=False)
    module = {"config.json": _encode(native), "weights.npy": array.getvalue()}
    files = {
        "config.json": _encode({"config": config, "native": native}),
        "state.json": _encode(counters),
        _LEARNER: bytes(learner),
        f"{_MODULE}/metadata.json": _metadata("RLModule", module),
    }
    files.update({f"{_MODULE}/{name}": data for name, data in module.items()})
    files.update({f"env_runner/{first}_{count}.bin": bytes(data) for first, count, data in envs})
    metadata = root / "metadata.json"
    metadata.unlink(missing_ok=True)  # while files change it is no checkpoint
    for old in (root / "env_runner").glob("*.bin"):
        old.unlink()
    for name, data in files.items():
        _write(root / name, data)
    _write(metadata, _metadata(algorithm, files))
    return str(root)


def _weights(path: Path, native: dict[str, Any], data: bytes) -> Any:
    """The flat weights of a file, as many as the network has, all finite."""
    try:  # numpy's reader of a hostile head raises whatever Python's parser does
        weights = np.load(io.BytesIO(data), allow_pickle=False)
    except Exception as error:
        raise ValueError(f"{path} is damaged: {error!r}") from error
    try:
        count = _rl.check_config(native)
    except Exception as error:
        raise ValueError(
            f"the network's configuration beside {path} is damaged: {error}"
        ) from error
    if weights.dtype != np.float32 or weights.shape != (count,):
        raise ValueError(
            f"{path} is damaged: it holds {weights.dtype} {weights.shape}, not float32 ({count},)"
        )
    if not np.isfinite(weights).all():
        raise ValueError(f"{path} is damaged: not all of its weights are finite")
    return weights


def read(path: Any) -> dict[str, Any]:
    """Read a checkpoint, all of it; raises ValueError for what is none, and for a damaged file,
    which it names."""
    root = Path(path)
    metadata = _read_metadata(root)
    names = [*_FIXED, *sorted(n for n in metadata["files"] if _ENVS.fullmatch(n))]
    files = {name: _read_file(root, name, metadata) for name in names}
    saved = _decode(root / "config.json", files["config.json"])
    native = saved.get("native")
    if not isinstance(native, dict) or not isinstance(saved.get("config"), dict):
        raise ValueError(f"{root / 'config.json'} is damaged: it has no config, or no native")
    _weights(root / _MODULE / "weights.npy", native, files[f"{_MODULE}/weights.npy"])
    _decode(root / _MODULE / "config.json", files[f"{_MODULE}/config.json"])
    counters = _decode(root / "state.json", files["state.json"])
    for name, kinds in _COUNTERS.items():
        if type(counters.get(name)) not in kinds or not 0 <= counters[name] < 2**64:
            raise ValueError(f"{root / 'state.json'} is damaged: {name} is {counters.get(name)!r}")
    envs = []
    for name, data in files.items():
        found = _ENVS.fullmatch(name)
        if found is None:
            continue
        first, count = int(found[1]), int(found[2])
        try:  # here, and not first in an actor that would die of it
            _rl.Runner(native, first, count).set_state(data)
        except Exception as error:
            raise ValueError(f"{root / name} is damaged: {error}") from error
        envs.append((first, count, data))
    try:
        _rl.Learner(native).set_state(files[_LEARNER])
    except Exception as error:
        raise ValueError(f"{root / _LEARNER} is damaged: {error}") from error
    return {
        **saved,
        "counters": counters,
        "learner": files[_LEARNER],
        "envs": envs,
        "class": metadata["class"],
    }


def read_module(path: Any) -> tuple[dict[str, Any], Any]:
    """The C library's configuration and the flat weights, from a checkpoint or its module's
    folder; raises ValueError as :func:`read` does."""
    root = Path(path)
    metadata = _read_metadata(root)
    if metadata["class"] != "RLModule":
        root = root / _MODULE
        metadata = _read_metadata(root)
    config, weights = (_read_file(root, name, metadata) for name in _MODULE_FILES)
    native = _decode(root / "config.json", config)
    return native, _weights(root / "weights.npy", native, weights)
