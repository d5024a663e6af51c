"""Names of Ray that concern other languages and logging."""

from __future__ import annotations

import enum
from typing import Any, NoReturn


class Language(enum.IntEnum):
    """Languages of workers, with Ray's numbers."""

    PYTHON = 0
    JAVA = 1
    CPP = 2


class LoggingConfig:
    """Structured logging of a job: known, not built yet.

    The values are checked as Ray checks them, then NotImplementedError says so.
    """

    def __init__(
        self,
        encoding: str = "TEXT",
        log_level: str = "INFO",
        additional_log_standard_attrs: list[str] | None = None,
    ) -> None:
        if encoding not in ("TEXT", "JSON"):
            raise ValueError(f"encoding must be 'TEXT' or 'JSON', not {encoding!r}")
        raise NotImplementedError("LoggingConfig is not built yet in Whipray")


def cpp_function(function_name: str) -> NoReturn:
    """Functions in C++: not built; the C API takes their place."""
    raise NotImplementedError(
        "cpp_function() is not built in Whipray; see include/whipray/whipray.h"
    )


def cpp_actor_class(create_function_name: str, class_name: str) -> NoReturn:
    """Actors in C++: not built."""
    raise NotImplementedError("cpp_actor_class() is not built in Whipray")


def java_function(class_name: str, function_name: str) -> NoReturn:
    """Functions in Java: left out."""
    raise NotImplementedError("java_function(): Whipray has no Java workers")


def java_actor_class(class_name: str) -> NoReturn:
    """Actors in Java: left out."""
    raise NotImplementedError("java_actor_class(): Whipray has no Java workers")


def client(address: str | None = None, **kwargs: Any) -> NoReturn:
    """Ray Client: left out; run the driver in the cluster."""
    raise NotImplementedError(
        "client(): a driver outside the cluster is not built; run the program on a machine of "
        "the cluster"
    )
