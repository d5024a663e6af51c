"""Runtime environments: what a job, task or actor needs around its code.

Built: ``env_vars``. The other fields of Ray's dictionary are known and refused by name until they
are built. An environment is inherited from the job and the parent field by field; ``env_vars``
merge, and the child wins. A worker is never shared between different environments.

Examples
--------
>>> import whipray as ray
>>> @ray.remote(runtime_env={"env_vars": {"MODE": "fast", "PATH": "/opt/bin:${PATH}"}})
... def mode():
...     import os
...     return os.environ["MODE"]
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from whipray._private.suggest import nearest

__all__ = ["RuntimeEnv", "RuntimeEnvConfig", "merge", "normalize", "to_json", "wire"]

BUILT_FIELDS = ("env_vars",)
KNOWN_FIELDS = (
    "conda",
    "config",
    "container",
    "env_vars",
    "excludes",
    "image_uri",
    "java_jars",
    "mpi",
    "nsight",
    "pip",
    "py_executable",
    "py_modules",
    "rocprof_sys",
    "uv",
    "worker_process_setup_hook",
    "working_dir",
    "_nsight",
    "_rocprof_sys",
)

VARIABLE_BYTES = (128 << 10) - 1
"""Of a variable with its name: Linux gives a process no longer one."""
VARIABLES = 2048
VARIABLES_BYTES = 512 << 10
"""Of all variables: a job's record has room for 1 MiB."""
INHERITED_BYTES = (VARIABLE_BYTES - 64) // 2
"""Of the JSON that a task's or actor's worker gets: in hex it is one variable."""

INHERITED_VARIABLE = "WHIPRAY_INHERITED_ENV"
"""Holds the hex of a worker's runtime environment until the worker has read it."""


class RuntimeEnvConfig(dict[str, Any]):
    """Settings of the set-up. Known, not built: any but the defaults is refused.

    Parameters
    ----------
    setup_timeout_seconds : int
        Limit for the set-up; -1 is none.
    eager_install : bool
        Whether a job's environment is made before its first task.
    log_files : list of str, optional
        Extra files that the driver shows.
    """

    def __init__(
        self,
        setup_timeout_seconds: int = 600,
        eager_install: bool = True,
        log_files: list[str] | None = None,
    ) -> None:
        if not isinstance(setup_timeout_seconds, int):
            raise TypeError("setup_timeout_seconds must be an int")
        if setup_timeout_seconds <= 0 and setup_timeout_seconds != -1:
            raise ValueError("setup_timeout_seconds must be positive, or -1 for no limit")
        super().__init__(
            setup_timeout_seconds=setup_timeout_seconds,
            eager_install=eager_install,
            log_files=log_files or [],
        )


class RuntimeEnv(dict[str, Any]):
    """A runtime environment; checked when it is made, and used like a dict.

    Examples
    --------
    >>> RuntimeEnv(env_vars={"A": "1"})["env_vars"]
    {'A': '1'}
    """

    def __init__(
        self,
        *,
        env_vars: Mapping[str, str] | None = None,
        _validate: bool = True,
        **fields: Any,
    ) -> None:
        super().__init__()
        if env_vars is not None:
            fields["env_vars"] = env_vars
        fields = {name: value for name, value in fields.items() if value is not None}
        super().update(normalize(fields) if _validate else fields)

    def env_vars(self) -> dict[str, str]:
        """Return the environment variables."""
        return dict(self.get("env_vars", {}))

    def to_dict(self) -> dict[str, Any]:
        """Return a plain dict."""
        return dict(self)

    def serialize(self) -> str:
        """Return the environment as JSON."""
        return to_json(self)

    @classmethod
    def deserialize(cls, serialized: str) -> RuntimeEnv:
        """Make an environment of its JSON."""
        return cls(**json.loads(serialized))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (dict(self),)


def _rebuild(fields: dict[str, Any]) -> RuntimeEnv:
    return RuntimeEnv(**fields)


def normalize(env: Mapping[str, Any] | None) -> dict[str, Any]:
    """Check a runtime environment and return it as a plain dict without empty fields.

    Raises
    ------
    TypeError
        If it is no dict, or ``env_vars`` has anything but strings.
    ValueError
        If a field is unknown.
    NotImplementedError
        If a field is known but not built yet.
    """
    if env is None:
        return {}
    if not isinstance(env, Mapping):
        raise TypeError(f"runtime_env must be a dict or a RuntimeEnv, not {type(env).__name__}")
    checked: dict[str, Any] = {}
    for name, value in env.items():
        if name not in KNOWN_FIELDS:
            raise ValueError(f"runtime_env has no field {name!r}{nearest(str(name), KNOWN_FIELDS)}")
        if name == "config":
            _check_config(value)
            continue
        if value is None or (name not in BUILT_FIELDS and value in ([], {}, "")):
            continue
        if name not in BUILT_FIELDS:
            raise NotImplementedError(
                f"the field {name!r} of runtime_env is not built yet in Whipray"
            )
        checked[name] = _check_env_vars(value)
    return {name: value for name, value in checked.items() if value}


def _check_config(value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, Mapping):
        raise TypeError("the field 'config' of runtime_env must be a dict or a RuntimeEnvConfig")
    if dict(RuntimeEnvConfig(**value)) != dict(RuntimeEnvConfig()):
        raise NotImplementedError("the field 'config' of runtime_env is not built yet in Whipray")


def _check_env_vars(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise TypeError(f"env_vars must be a dict of str, not {type(value).__name__}")
    for key, text in value.items():
        if not isinstance(key, str):
            raise TypeError(f"env_vars needs str keys, not {key!r} ({type(key).__name__})")
        if not isinstance(text, str):
            raise TypeError(
                f"env_vars[{key!r}] must be a str, not {text!r} ({type(text).__name__})"
            )
        if not key or "=" in key or "\0" in key or "\0" in text:
            raise ValueError(f"env_vars: {key!r} cannot be a variable of a process")
    _check_size(value)
    return dict(value)


def _check_size(variables: Mapping[str, str]) -> None:
    sizes = {key: len(os.fsencode(f"{key}={text}")) for key, text in variables.items()}
    for key, size in sizes.items():
        if size > VARIABLE_BYTES:
            raise ValueError(f"env_vars[{key!r}] has {size} bytes; at most {VARIABLE_BYTES} fit")
    if len(sizes) > VARIABLES or sum(sizes.values()) > VARIABLES_BYTES:
        raise ValueError(
            f"env_vars has {len(sizes)} variables of {sum(sizes.values())} bytes in all; at most "
            f"{VARIABLES} of {VARIABLES_BYTES} fit"
        )


def merge(parent: Mapping[str, Any], child: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a child's environment over its parent's.

    Examples
    --------
    >>> merge({"env_vars": {"A": "1", "B": "1"}}, {"env_vars": {"B": "2"}})
    {'env_vars': {'A': '1', 'B': '2'}}
    """
    merged = {**parent, **child}
    variables = {**parent.get("env_vars", {}), **child.get("env_vars", {})}
    if variables:
        merged["env_vars"] = variables
    return merged


def to_json(env: Mapping[str, Any]) -> str:
    """Return the one JSON text of an environment; empty for none."""
    return json.dumps(env, sort_keys=True, separators=(",", ":")) if env else ""


def wire(env: Mapping[str, Any]) -> str:
    """Return the JSON that the raylet makes a worker's environment of.

    The worker finds the whole of it in a variable, so that what it starts can inherit it.
    """
    text = to_json(env)
    if not text:
        return ""
    if len(text.encode()) > INHERITED_BYTES:
        raise ValueError(
            f"runtime_env: with what it inherits it has {len(text.encode())} bytes; an environment "
            f"of a task or actor has room for {INHERITED_BYTES}"
        )
    variables = {**env.get("env_vars", {}), INHERITED_VARIABLE: text.encode().hex()}
    return to_json({**env, "env_vars": variables})
