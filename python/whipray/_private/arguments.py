"""What `whipray.init` takes: one table, checked before anything is started."""

from __future__ import annotations

import dataclasses
import ipaddress
import logging
import os
from collections.abc import Callable, Mapping
from typing import Any, Final

from whipray._private import paths
from whipray._private.labels import check_labels
from whipray._private.options import STANDARD_NAMES, quantity
from whipray._private.suggest import nearest
from whipray.job_config import JobConfig

BYTES_MOST: Final = 1 << 53
"""As many bytes as a number of the raylet's command line holds exactly."""
AMOUNT_MOST: Final = 1e12
"""Of one resource: far below what its counters hold."""
CPUS_MOST: Final = 1_000_000
GPUS_MOST: Final = 64
MIN_STORE_BYTES: Final = 8 << 20
"""The raylet refuses a smaller store."""
RESOURCES_MOST: Final = 24
"""Custom ones; a node has room for 32 with its own."""
RESOURCE_NAME_BYTES: Final = 128
LABEL_BYTES: Final = 1023
NODE_NAME_BYTES: Final = 127
NAMESPACE_BYTES: Final = 4096
SOCKET_PATH_BYTES: Final = 107
_LONGEST_SOCKET: Final = "session_2026-01-01_00-00-00_000000_4194304/sockets/raylet"

SYSTEM_CONFIG: Final[dict[str, tuple[float, float]]] = {
    "dead_worker_logs_bytes": (0, BYTES_MOST),
    "dead_worker_logs_count": (0, 0xFFFF_FFFF),
    "env_server_idle_ms": (0, BYTES_MOST),
    "gcs_restarts_per_minute": (0, 1000),
    "gcs_silence_ms": (100, 1_000_000_000),
    "hello_timeout_ms": (1, 1_000_000_000),
    "prestart": (0, 0xFFFF_FFFE),
    "rotation_backup_count": (0, 1000),
    "rotation_max_bytes": (0, BYTES_MOST),
    "session_keep_bytes": (0, BYTES_MOST),
    "session_keep_count": (0, 0xFFFF_FFFF),
    "worker_register_timeout_seconds": (0.001, 1_000_000),
}
"""The raylet's settings, the least and the most of each; one whose least is whole takes ints."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Argument:
    """One row of the table."""

    types: tuple[type, ...]
    what: str
    """The right type, for people."""
    check: Callable[[str, Any], None] | None = None
    """Raises ValueError or TypeError; is not asked about None."""


def check(given: Mapping[str, Any]) -> None:
    """Check the arguments of `whipray.init`; None is right for each.

    Raises
    ------
    TypeError, ValueError
        For the first wrong one; the text names it, and what it takes.
    """
    for name, row in _ARGUMENTS.items():
        value = given.get(name)
        if value is None:
            continue
        wrong = not isinstance(value, row.types)
        if wrong or (isinstance(value, bool) and bool not in row.types):
            raise TypeError(f"{name} must be {row.what}, not {_shown(value)}")
        if row.check is not None:
            row.check(name, value)


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"


# ---- Checks of values ----


def _flag(name: str, value: Any) -> None:
    if value not in (0, 1):
        raise TypeError(f"{name} must be a bool, not {_shown(value)}")


def _text(name: str, value: str, most: int) -> None:
    if not value:
        raise ValueError(f"{name} must not be empty")
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in value):
        raise ValueError(f"{name} must not have control characters: {_shown(value)}")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise ValueError(f"{name} must be valid text, without surrogates: {value!a}") from None
    if size > most:
        raise ValueError(f"{name} is {size} bytes long; at most {most} are allowed")


def _namespace(name: str, value: str) -> None:
    _text(name, value, NAMESPACE_BYTES)


def _node_name(name: str, value: str) -> None:
    _text(name, value, NODE_NAME_BYTES)


def _address(name: str, value: str) -> None:
    words = ("auto", "local")
    if not value or value in words or value.startswith(("ray://", "unix:", "/")):
        return
    host, colon, port = value.rpartition(":")
    if not (host and colon and port.isascii() and port.isdigit() and int(port) < 65536):
        raise ValueError(
            f"{name} must be 'auto', 'local' or 'host:port', not {value!r}{nearest(value, words)}"
        )


def _amount(name: str, value: float, most: float = AMOUNT_MOST) -> None:
    quantity(name, value)
    if value > most:
        raise ValueError(f"{name} can be at most {most:,.0f}, not {value}")


def _cpus(name: str, value: float) -> None:
    _amount(name, value, CPUS_MOST)


def _gpus(name: str, value: float) -> None:
    _amount(name, value, GPUS_MOST)
    if value != int(value):
        raise ValueError(f"{name}: a node has a whole number of GPUs, not {value}")


def _resources(name: str, value: Mapping[str, float]) -> None:
    if len(value) > RESOURCES_MOST:
        raise ValueError(f"{name}: at most {RESOURCES_MOST} custom resources, not {len(value)}")
    for key, amount in value.items():
        if not isinstance(key, str):
            raise TypeError(f"{name}: the name of a resource must be a str, not {_shown(key)}")
        if key in STANDARD_NAMES:
            own = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "_memory"}.get(key, key)
            raise ValueError(f"{name}: {key!r} has an argument of its own, {own}")
        _text(f"{name}: the name of a resource", key, RESOURCE_NAME_BYTES)
        if set(key) & set(",="):
            raise ValueError(f"{name}: {key!r} cannot be a resource's name: it has ',' or '='")
        if isinstance(amount, bool) or not isinstance(amount, (int, float)):
            raise TypeError(f"{name}: the amount of {key!r} must be a number, not {_shown(amount)}")
        _amount(key, amount)


def _labels(name: str, value: Mapping[str, str]) -> None:
    check_labels(name, value)
    size = sum(len(key) + len(text) + 2 for key, text in value.items())
    if size > LABEL_BYTES:
        raise ValueError(f"{name}: {size} bytes in all; at most {LABEL_BYTES} are allowed")


def _bytes(name: str, value: int, least: int = 1) -> None:
    if value < least:
        raise ValueError(f"{name} must be at least {least} bytes, not {value}")
    if value > BYTES_MOST:
        raise ValueError(f"{name} can be at most {BYTES_MOST} bytes, not {value}")


def _store(name: str, value: int) -> None:
    if value < MIN_STORE_BYTES:
        raise ValueError(f"{name} must be at least {MIN_STORE_BYTES} bytes (8 MiB), not {value}")
    _bytes(name, value)


def _port(name: str, value: int) -> None:
    if not 0 <= value <= 65535:
        raise ValueError(f"{name} must be a port, 0 to 65535, not {value}")


def _logging_level(name: str, value: int | str) -> None:
    known = logging.getLevelNamesMapping()
    if isinstance(value, str) and value.upper() not in known:
        raise ValueError(
            f"{name} must be a level of logging, not {value!r}{nearest(value.upper(), known)} "
            f"(there are {', '.join(known)})"
        )


def _logging_format(name: str, value: str) -> None:
    try:
        logging.Formatter(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _temp_dir(name: str, value: str | os.PathLike[str]) -> None:
    text = os.fspath(value)
    if not isinstance(text, str) or "\0" in text:
        raise ValueError(f"{name} must be the path of a folder, not {_shown(value)}")
    if not text:
        raise ValueError(f"{name} must not be empty")
    base = paths.base_dir(text)
    over = len(os.fsencode(base / _LONGEST_SOCKET)) - SOCKET_PATH_BYTES
    if over > 0:
        raise ValueError(
            f"{name} is {over} bytes too long for the paths of sockets below it; "
            f"choose a shorter one than {text!r}"
        )


def _node_ip(name: str, value: str) -> None:
    if value == "localhost":
        return
    try:
        ipaddress.ip_address(value)
    except ValueError:
        raise ValueError(f"{name} must be an IP address, not {value!r}") from None


def _system_config(name: str, value: Mapping[str, int]) -> None:
    for key, number in value.items():
        bounds = SYSTEM_CONFIG.get(key)
        if bounds is None:
            raise ValueError(
                f"{name} has no setting {key!r}{nearest(str(key), SYSTEM_CONFIG)} "
                f"(there are {', '.join(SYSTEM_CONFIG)})"
            )
        least, most = bounds
        kinds = (int,) if isinstance(least, int) else _NUMBER
        if isinstance(number, bool) or not isinstance(number, kinds):
            wanted = "an int" if kinds == (int,) else "a number"
            raise TypeError(f"{name}: {key} must be {wanted}, not {_shown(number)}")
        if not least <= number <= most:
            raise ValueError(f"{name}: {key} takes {least} to {most}, not {number}")


_NUMBER: Final = (int, float)
_FLAG: Final = _Argument((bool, int), "a bool", _flag)
_ARGUMENTS: Final[dict[str, _Argument]] = {
    "address": _Argument((str,), "a str", _address),
    "num_cpus": _Argument(_NUMBER, "a number", _cpus),
    "num_gpus": _Argument(_NUMBER, "a number", _gpus),
    "resources": _Argument((Mapping,), "a dict of names and amounts", _resources),
    "labels": _Argument((Mapping,), "a dict of str", _labels),
    "object_store_memory": _Argument((int,), "an int, a number of bytes", _store),
    "local_mode": _FLAG,
    "ignore_reinit_error": _FLAG,
    "include_dashboard": _FLAG,
    "dashboard_host": _Argument((str,), "a str"),
    "dashboard_port": _Argument((int,), "an int", _port),
    "job_config": _Argument((JobConfig,), "a JobConfig"),
    "configure_logging": _FLAG,
    "logging_level": _Argument((int, str), "an int or a str", _logging_level),
    "logging_format": _Argument((str,), "a str", _logging_format),
    "log_to_driver": _FLAG,
    "namespace": _Argument((str,), "a str", _namespace),
    "runtime_env": _Argument((Mapping,), "a dict or a RuntimeEnv"),
    "_enable_object_reconstruction": _FLAG,
    "_memory": _Argument((int,), "an int, a number of bytes", _bytes),
    "_metrics_export_port": _Argument((int,), "an int", _port),
    "_node_ip_address": _Argument((str,), "a str", _node_ip),
    "_node_name": _Argument((str,), "a str", _node_name),
    "_plasma_directory": _Argument((str, os.PathLike), "the path of a folder"),
    "_temp_dir": _Argument((str, os.PathLike), "the path of a folder", _temp_dir),
    "_system_config": _Argument((Mapping,), "a dict of the raylet's settings", _system_config),
}
