"""Between exceptions and what travels: statuses of the engine and errors of user code."""

from __future__ import annotations

import contextlib
import os
import pickle
import re
import traceback
import types
from collections.abc import Callable
from typing import Any, Final

from whipray import _core
from whipray import exceptions as ex
from whipray._private import serialization
from whipray._private.ids import TaskID

CONSTRUCTOR_FAILED: Final = "the constructor of "
"""What the text of an actor's death has in it when its constructor raised."""

PAYLOAD_VERSION: Final = 1
SYSTEM_PAYLOAD: Final = 0
"""Version of an error of the engine that was met when a call was made."""
TRACEBACK_MAX: Final = 1 << 16
"""Characters of a remote traceback that are kept: its end, where the error is."""


def _lost(cls: type[ex.ObjectLostError]) -> Callable[[str], BaseException]:
    def make(text: str) -> BaseException:
        error = cls()
        error.detail = text
        return error

    return make


_actors: dict[int, tuple[str, Any]] = {}
"""Of each port, the actor that had it last: its hex id and its `ActorMeta`."""


def remember_actor(actor_id: bytes, port: int, meta: Any) -> None:
    """Note whose methods the calls of a port are, for errors that come after its last handle."""
    _actors[port] = (actor_id.hex(), meta)


def _method_name(actor_id: str, index: int) -> str:
    """``Class.method`` of an actor that this process had a handle of, or an empty text."""
    for known, meta in list(_actors.values()):  # other threads add to it
        if known == actor_id:
            for name, info in meta.methods.items():
                if info.index == index:
                    return f"{meta.class_name}.{name}"
    return ""


_ACTOR_ID: Final = re.compile(r"\(actor_id=([0-9a-f]+)")
_METHOD: Final = re.compile(r"method (\d+): ")


def _about_actor(text: str) -> tuple[str | None, str]:
    """The actor that an error is about, and its text with the name of the method in it."""
    found = _ACTOR_ID.search(text)
    actor_id = found.group(1) if found is not None else None
    method = _METHOD.match(text)
    if actor_id is None or method is None:
        return actor_id, text
    name = _method_name(actor_id, int(method.group(1)))
    return actor_id, f"{name}: {text[method.end() :]}" if name else text


def _actor_died(text: str) -> BaseException:
    actor_id, said = _about_actor(text)
    return ex.ActorDiedError(actor_id, said, actor_init_failed=CONSTRUCTOR_FAILED in said)


def _actor_unavailable(text: str) -> BaseException:
    actor_id, said = _about_actor(text)
    return ex.ActorUnavailableError(said, actor_id)


def _cancelled(text: str) -> BaseException:
    return ex.TaskCancelledError(error_message=text)


_ASKED_BY: Final = re.compile(r"the object store is full: \d+ bytes asked by pid (\d+),")
HOLDERS_SHOWN: Final = 4


def _store_full(text: str) -> BaseException:
    """The error of a full store; in the process that met it, with those who hold most of it."""
    asked = _ASKED_BY.match(text)
    if asked is not None and int(asked.group(1)) == os.getpid():
        with contextlib.suppress(Exception):  # the raylet may have no time for this
            holders = _holders()
            text += f". It is held by {holders}" if holders else ""
    return ex.ObjectStoreFullError(text)


def _holders() -> str:
    from whipray._private import session as sessions

    reply = sessions.call("holders", WHY_SECONDS)
    found = [(int(one["bytes"]), f"{one['what']} pid {one['pid']}") for one in reply["holders"]]
    found.append((int(reply["of_the_dead"]), "processes that have ended"))
    largest = sorted((one for one in found if one[0] > 0), reverse=True)[:HOLDERS_SHOWN]
    return ", ".join(f"{who}: {size} bytes" for size, who in largest)


def _raylet_died(text: str) -> BaseException:
    more = Origin.raylet_end() if Origin.raylet_end is not None else ""
    return ex.LocalRayletDiedError(f"{text}; {more}" if more else text)


_BY_STATUS: Final[dict[str, Callable[[str], BaseException]]] = {
    "INVALID": ValueError,
    "TYPE": TypeError,
    "NOT_FOUND": ValueError,
    "EXISTS": ex.ActorAlreadyExistsError,
    "UNSUPPORTED": NotImplementedError,
    "TIMEOUT": ex.GetTimeoutError,
    "INTERRUPTED": KeyboardInterrupt,
    "AGAIN": ex.RaySystemError,
    "UNAUTHENTICATED": ex.AuthenticationError,
    "DENIED": PermissionError,
    "STATE": ex.RaySystemError,
    "CANCELLED": _cancelled,
    "OBJECT_STORE_FULL": _store_full,
    "OBJECT_LOST": _lost(ex.ObjectLostError),
    "OWNER_DIED": _lost(ex.OwnerDiedError),
    "OBJECT_FREED": _lost(ex.ObjectFreedError),
    "OUT_OF_DISK": ex.OutOfDiskError,
    "CORRUPT": ex.RaySystemError,
    "TASK_FAILED": ex.RaySystemError,
    "WORKER_DIED": ex.WorkerCrashedError,
    "ACTOR_DIED": _actor_died,
    "ACTOR_UNAVAILABLE": _actor_unavailable,
    "UNSCHEDULABLE": ex.TaskUnschedulableError,
    "ENV_SETUP": ex.RuntimeEnvSetupError,
    "PG_REMOVED": ex._PlacementGroupRemoved,
    "PENDING_CALLS": ex.PendingCallsLimitExceeded,
    "DEVICE": RuntimeError,
    "DEVICE_MEMORY": MemoryError,
    "NO_MEMORY": MemoryError,
    "IO": OSError,
    "LIMIT": ex.RaySystemError,
    "RAYLET_DIED": _raylet_died,
    "VERSION": ex.RaySystemError,
    "PROTOCOL": ex.RaySystemError,
    "NODE_DIED": ex.NodeDiedError,
    "UNAVAILABLE": ConnectionError,
    "INTERNAL": ex.RaySystemError,
}


def system_error(status: str, text: str, hint: str = "") -> BaseException:
    """Make the exception for a status of the engine (hook ``system_error``).

    The status stays readable as ``error.whipray_status``.
    """
    if status == "INVALID" and _CLOSED_PORT.fullmatch(text):
        status, text = "ACTOR_DIED", "the actor has ended, and its last handle is gone"
    if "::" in text:  # the last lines of a worker, with marks that are for the driver's prefix
        text = _NAME_LINES.sub("", text)
    said = f"{text} ({hint})" if hint else text
    make = _BY_STATUS.get(status)
    error = make(said) if make is not None else ex.RaySystemError(f"{status}: {said}")
    error.whipray_status = status  # type: ignore[attr-defined]
    return error


WHY_SECONDS: Final = 1.0
"""How long an error that is being made waits for what the raylet knows about it."""
_METHOD_BIT: Final = 1 << 31


def timeout_error(missing: int, text: str) -> BaseException:
    """Make the error of a `get` whose time is up (hook ``timeout_error``).

    Parameters
    ----------
    missing : int
        Handle of the first object that is not there.
    text : str
        What is known without it.
    """
    from whipray._private import session as sessions

    try:
        about = sessions.call("why", WHY_SECONDS, handle=missing)
    except Exception:  # the time limit counts for more than the reason
        return system_error("TIMEOUT", text)
    name = about.get("name") or ""
    if about.get("actor_id"):
        index = int(about["function"]) & ~_METHOD_BIT
        actor_id = about["actor_id"].hex()
        name = _method_name(actor_id, index) or f"a method of {about['class_name']}"
        name += f" (actor_id={actor_id})"
    said = f"{name or 'it'} {about['text']}"
    several = " objects are there" in text
    return system_error(
        "TIMEOUT", f"{text}; {'of the others, the first: ' if several else ''}{said}"
    )


def status_of(error: BaseException) -> str:
    """Return the engine's status that an exception stands for, or an empty text."""
    return getattr(error, "whipray_status", "")


_stacks: dict[tuple[Any, ...], str] = {}
"""Texts of call stacks by the places in them: errors tend to come from the same places."""
STACKS_KEPT: Final = 256
_OWN_FILES: Final = os.path.dirname(os.path.abspath(__file__)) + os.sep
_CLOSED_PORT: Final = re.compile(r"call: port \d+ is closed")
_NAME_LINES: Final = re.compile(r"^::(?:task|actor)_name:.*\n?", re.MULTILINE)


def _stack_text(trace: types.TracebackType | None) -> str:
    """The stack of a traceback as text, without Whipray's own functions."""
    places: list[Any] = []
    at = trace
    while at is not None:
        places.append(at.tb_frame.f_code)
        places.append(at.tb_lasti)
        at = at.tb_next
    key = tuple(places)
    found = _stacks.get(key)
    if found is None:
        frames = traceback.extract_tb(trace)
        shown = [frame for frame in frames if not frame.filename.startswith(_OWN_FILES)]
        found = "".join(traceback.format_list(shown or frames))
        if len(_stacks) >= STACKS_KEPT:
            _stacks.clear()
        _stacks[key] = found
    return found


def _is_simple(error: BaseException) -> bool:
    """Whether a traceback has one part, and its last line only class and text."""
    if isinstance(error, ex.RayTaskError):  # its text has the traceback of its cause
        return True
    return (
        error.__cause__ is None
        and (error.__context__ is None or error.__suppress_context__)
        and not hasattr(error, "__notes__")
        and not isinstance(error, (SyntaxError, BaseExceptionGroup, NameError, ImportError))
        and not isinstance(error, AttributeError)  # Python adds the nearest name to these
    )


def format_error(error: BaseException) -> str:
    """Return an exception with its traceback as text, cut to its end if it is huge."""
    if _is_simple(error):
        cls = type(error)
        name = cls.__qualname__
        if cls.__module__ not in ("builtins", "__main__"):
            name = f"{cls.__module__}.{name}"
        said = str(error)
        last = f"{name}: {said}\n" if said else f"{name}\n"
        stack = _stack_text(error.__traceback__)
        text = f"Traceback (most recent call last):\n{stack}{last}" if stack else last
    else:
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    if len(text) > TRACEBACK_MAX:
        text = f"[{len(text) - TRACEBACK_MAX} characters left out]\n{text[-TRACEBACK_MAX:]}"
    return text


class Origin:
    """Where errors of this process come from; filled by the worker, or by ``init``."""

    node_ip = "127.0.0.1"
    actor_id: str | None = None
    actor_repr: Callable[[], str] | None = None
    raylet_end: Callable[[], str] | None = None
    """How the raylet ended that this process started."""


def pack_error(error: BaseException, task_name: str | None) -> tuple[Any, ...]:
    """Turn an exception into plain values (hook ``pack_error``).

    An error that came here from another task keeps its cause; its text shows both places. Without
    a task's name it is the engine's own, met at the call: it comes back as it is.
    """
    if task_name is None:
        return (SYSTEM_PAYLOAD, status_of(error), str(error))
    cause = error.cause if isinstance(error, ex.RayTaskError) else error
    try:
        text = format_error(error)
    except Exception as broken:  # a __str__ of the user that raises
        text = f"{type(error).__name__} (its text could not be made: {broken!r})"
    if isinstance(cause, KeyboardInterrupt):  # raised by the task itself: it counts as cancelled
        cause = _interrupted(task_name)
    try:
        if type(cause).__module__ == "builtins" and not cause.__dict__:
            pickled = pickle.dumps(cause, serialization.PROTOCOL)
        else:
            pickled = serialization.dumps(cause)
    except Exception:
        pickled = _by_value(cause)
    shown = None
    if Origin.actor_repr is not None:
        try:
            shown = Origin.actor_repr()
        except Exception:
            shown = None
    return (
        PAYLOAD_VERSION,
        task_name,
        text,
        pickled,
        type(cause).__name__,
        os.getpid(),
        Origin.node_ip,
        shown,
        Origin.actor_id,
    )


def _interrupted(task_name: str) -> ex.TaskCancelledError:
    task_id = _core.current_task_id()
    return ex.TaskCancelledError(
        TaskID(task_id) if task_id else None, f"{task_name} raised KeyboardInterrupt"
    )


def _by_value(cause: BaseException) -> bytes:
    """Pickle a builtin exception whose arguments plain pickle cannot send; empty if nothing can."""
    try:
        return serialization.dumps(cause)
    except Exception:
        return b""


def task_error(payload: Any) -> BaseException:
    """Turn what `pack_error` made into the exception that `get` raises (hook ``task_error``).

    What it did not make becomes a RaySystemError: the bytes lay in memory of other processes.
    """
    try:
        return _unpack_error(payload)
    except Exception as error:
        return ex.RaySystemError(f"an error object that cannot be read ({error!r})")


def _unpack_error(payload: Any) -> BaseException:
    if payload[0] == SYSTEM_PAYLOAD:
        return system_error(*payload[1:])
    if payload[0] != PAYLOAD_VERSION:
        return ex.RaySystemError(f"an error of version {payload[0]}, which this one cannot read")
    _, name, text, pickled, _, pid, ip, actor_repr, actor_id = payload
    if not isinstance(name, str) or not isinstance(text, str):
        raise TypeError(f"the task's name is {name!r:.100}, the text {text!r:.100}")
    cause: BaseException
    try:
        cause = serialization.loads(pickled) if pickled else ex.UnserializableException(text)
    except Exception:  # its class is not here, or refuses its own arguments
        cause = ex.UnserializableException(text)
    if not isinstance(cause, BaseException):
        cause = ex.UnserializableException(text)
    error = ex.RayTaskError(
        name, text, cause, pid=pid, ip=ip, actor_repr=actor_repr, actor_id=actor_id
    ).as_instanceof_cause()
    error.__cause__ = cause
    return error
