"""The errors that Whipray raises: Ray's classes and bases, with more to read in their texts.

Every class but the ones that stand for builtins derives from `RayError`. An error that a task's
own code raised arrives as an instance of both `RayTaskError` and the user's class, so that
``except ValueError`` works across processes::

    >>> import whipray as ray
    >>> @ray.remote
    ... def half(n):
    ...     return n / 0
    >>> try:
    ...     ray.get(half.remote(1))
    ... except ZeroDivisionError as error:
    ...     print(isinstance(error, ray.exceptions.RayTaskError))
    True
"""

from __future__ import annotations

import os
from typing import Any

__all__ = [
    "ActorAlreadyExistsError",
    "ActorDiedError",
    "ActorHandleNotFoundError",
    "ActorPlacementGroupRemoved",
    "ActorUnavailableError",
    "ActorUnschedulableError",
    "AsyncioActorExit",
    "AuthenticationError",
    "CrossLanguageError",
    "GetTimeoutError",
    "LocalRayletDiedError",
    "NodeDiedError",
    "ObjectFetchTimedOutError",
    "ObjectFreedError",
    "ObjectLostError",
    "ObjectReconstructionFailedError",
    "ObjectRefStreamEndOfStreamError",
    "ObjectStoreFullError",
    "OufOfBandObjectRefSerializationException",
    "OutOfDiskError",
    "OutOfMemoryError",
    "OwnerDiedError",
    "PendingCallsLimitExceeded",
    "PlasmaObjectNotAvailable",
    "RayActorError",
    "RayCgraphCapacityExceeded",
    "RayChannelError",
    "RayChannelTimeoutError",
    "RayDirectTransportError",
    "RayError",
    "RaySystemError",
    "RayTaskError",
    "ReferenceCountingAssertionError",
    "RpcError",
    "RuntimeEnvSetupError",
    "StreamingGeneratorReplayInconsistentError",
    "TaskCancelledError",
    "TaskPlacementGroupRemoved",
    "TaskUnschedulableError",
    "UnserializableException",
    "UserCodeException",
    "WorkerCrashedError",
]


class RayError(Exception):
    """Base of the errors that Whipray raises by itself."""


class CrossLanguageError(RayError):
    """An error of a function in another language."""


class TaskCancelledError(RayError):
    """The task was cancelled, or its caller was.

    Parameters
    ----------
    task_id : TaskID, optional
        The cancelled task.
    error_message : str
        What is known about it.
    """

    def __init__(self, task_id: Any = None, error_message: str = "") -> None:
        self.task_id = task_id
        self.error_message = error_message
        super().__init__(task_id, error_message)

    def __str__(self) -> str:
        if self.error_message:
            return self.error_message
        if self.task_id is None:
            return "This task or its dependency was cancelled."
        return f"Task {self.task_id} was cancelled."


class RayTaskError(RayError):
    """A task or an actor method raised an exception.

    `get` raises an instance of a class that derives from this one and from the class of the
    cause; the cause itself is in ``cause`` and in ``__cause__``.

    Parameters
    ----------
    function_name : str
        The function or ``Class.method`` that failed.
    traceback_str : str
        The remote traceback as text.
    cause : BaseException
        The user's exception.
    proctitle : str, optional
        What the worker is called in logs.
    pid : int, optional
        The worker process.
    ip : str, optional
        The address of its node.
    actor_repr : str, optional
        ``repr`` of the actor, for a method.
    actor_id : str, optional
        Hex id of the actor, for a method.
    """

    def __init__(
        self,
        function_name: str,
        traceback_str: str,
        cause: BaseException,
        proctitle: str | None = None,
        pid: int | None = None,
        ip: str | None = None,
        actor_repr: str | None = None,
        actor_id: str | None = None,
    ) -> None:
        self.function_name = function_name
        self.traceback_str = traceback_str
        self.cause = cause
        self.proctitle = proctitle if proctitle is not None else f"whipray::{function_name}"
        self.pid = pid if pid is not None else os.getpid()
        self.ip = ip if ip is not None else "127.0.0.1"
        self.actor_repr = actor_repr
        self.actor_id = actor_id
        # Not super(): in a dual class that is the user's class, with arguments of its own.
        Exception.__init__(self, function_name, traceback_str, cause)

    def __reduce__(self) -> tuple[Any, ...]:
        return (
            RayTaskError,
            (
                self.function_name,
                self.traceback_str,
                self.cause,
                self.proctitle,
                self.pid,
                self.ip,
                self.actor_repr,
                self.actor_id,
            ),
        )

    def make_dual_exception_type(self) -> type[RayTaskError]:
        """Return the class that is both this one and the cause's, made once for each class."""
        cause_class = type(self.cause)
        found = _dual_classes.get(cause_class)
        if found is None:
            found = _make_dual_class(cause_class)
            _dual_classes[cause_class] = found
        return found

    def as_instanceof_cause(self) -> RayTaskError:
        """Return this error as an instance of the cause's class, too.

        Where that is impossible (the class forbids subclasses) the plain error comes back: the
        cause can still be read from ``cause``.
        """
        if isinstance(self.cause, (RayTaskError, KeyboardInterrupt, SystemExit)):
            return self
        if isinstance(self, type(self.cause)):
            return self
        dual = self.make_dual_exception_type()
        if dual is RayTaskError:
            return self
        try:
            error: RayTaskError = dual.__new__(dual, *_new_arguments(self.cause))
            _copy_cause(error, self.cause)
            RayTaskError.__init__(
                error,
                self.function_name,
                self.traceback_str,
                self.cause,
                self.proctitle,
                self.pid,
                self.ip,
                self.actor_repr,
                self.actor_id,
            )
            error.args = self.cause.args
        except Exception:  # a class with rules of its own: the cause stays readable
            return self
        return error

    def __str__(self) -> str:
        place = f"pid={self.pid}, ip={self.ip}"
        if self.actor_id is not None:
            place += f", actor_id={self.actor_id}"
        if self.actor_repr is not None:
            place += f", repr={self.actor_repr}"
        return f"{self.proctitle} ({place}) raised:\n\n{self.traceback_str.rstrip()}"


_dual_classes: dict[type[BaseException], type[RayTaskError]] = {}


def _new_arguments(cause: BaseException) -> tuple[Any, ...]:
    """Arguments that ``__new__`` of the cause's class takes: groups insist on theirs."""
    if isinstance(cause, BaseExceptionGroup):
        return (cause.message, list(cause.exceptions))
    return ()


def _copy_cause(error: BaseException, cause: BaseException) -> None:
    """Give the dual error the attributes that handlers of the user's class read."""
    if isinstance(cause, OSError):  # its figures live in C slots, not in __dict__
        for name in ("errno", "strerror", "filename", "filename2"):
            value = getattr(cause, name, None)
            if value is not None:
                setattr(error, name, value)
    elif isinstance(cause, StopIteration):
        error.value = cause.value  # type: ignore[attr-defined]
    elif isinstance(cause, ImportError):
        for name in ("msg", "name", "path"):
            setattr(error, name, getattr(cause, name, None))
    elif isinstance(cause, SyntaxError):
        for name in ("msg", "filename", "lineno", "offset", "text"):
            setattr(error, name, getattr(cause, name, None))
    elif isinstance(cause, UnicodeDecodeError | UnicodeEncodeError | UnicodeTranslateError):
        UnicodeError.__init__(error, *cause.args)
    error.__dict__.update(cause.__dict__)


def _make_dual_class(cause_class: type[BaseException]) -> type[RayTaskError]:
    def dual_init(self: BaseException, *args: Any, **kwargs: Any) -> None:
        """Set nothing: `as_instanceof_cause` fills the instance."""

    def dual_reduce(self: RayTaskError) -> tuple[Any, ...]:
        _, arguments = RayTaskError.__reduce__(self)
        return (_rebuild_dual, (arguments,))

    namespace: dict[str, Any] = {
        "__init__": dual_init,
        "__reduce__": dual_reduce,
        "__reduce_ex__": lambda self, protocol: dual_reduce(self),
        "__str__": RayTaskError.__str__,
        "__module__": cause_class.__module__,
    }
    name = f"RayTaskError({cause_class.__name__})"
    namespace["__qualname__"] = name
    try:
        return type(name, (RayTaskError, cause_class), namespace)
    except TypeError:  # final classes, clashing layouts
        return RayTaskError


def _rebuild_dual(arguments: tuple[Any, ...]) -> RayTaskError:
    return RayTaskError(*arguments).as_instanceof_cause()


class WorkerCrashedError(RayError):
    """The worker process ended while it ran the task."""

    def __str__(self) -> str:
        return super().__str__() or (
            "The worker died while it ran the task. Its last log lines are in the session's logs."
        )


class RayActorError(RayError):
    """An actor could not do a call.

    Parameters
    ----------
    actor_id : str, optional
        Hex id of the actor.
    error_msg : str
        What happened.
    actor_init_failed : bool
        Whether its constructor raised.
    preempted : bool
        Whether its node was taken away.
    """

    BASE_ERROR_MSG = "The actor could not do the call."

    def __init__(
        self,
        actor_id: str | None = None,
        error_msg: str | None = None,
        actor_init_failed: bool = False,
        preempted: bool = False,
    ) -> None:
        self.actor_id = actor_id
        self.error_msg = error_msg if error_msg is not None else self.BASE_ERROR_MSG
        self.actor_init_failed = actor_init_failed
        self._preempted = preempted
        super().__init__(actor_id, self.error_msg, actor_init_failed, preempted)

    @property
    def preempted(self) -> bool:
        """Whether the actor's node was taken away."""
        return self._preempted

    def __str__(self) -> str:
        return self.error_msg


class ActorDiedError(RayActorError):
    """The actor is dead for good."""

    BASE_ERROR_MSG = "The actor died unexpectedly before finishing this call."


class ActorUnavailableError(RayActorError):
    """The actor is not reachable now. The call may have run, or may not."""

    BASE_ERROR_MSG = "The actor is not reachable now; the call may have run."

    def __init__(
        self,
        error_message: str | None = None,
        actor_id: Any = None,
    ) -> None:
        if isinstance(actor_id, bytes):
            actor_id = actor_id.hex()
        RayActorError.__init__(self, actor_id, error_message)
        self.args = (error_message, actor_id)


class RaySystemError(RayError):
    """Whipray itself could not do what was asked.

    Parameters
    ----------
    client_exc : object
        What happened: a text or an exception.
    traceback_str : str, optional
        Where.
    """

    def __init__(self, client_exc: Any = "", traceback_str: str | None = None) -> None:
        self.client_exc = client_exc
        self.traceback_str = traceback_str
        super().__init__(client_exc, traceback_str)

    def __str__(self) -> str:
        text = str(self.client_exc)
        if self.traceback_str:
            text += f"\n{self.traceback_str}"
        return text


class AuthenticationError(RayError):
    """The cluster's token is missing or wrong."""

    def __init__(self, message: str = "the cluster's token is missing or wrong") -> None:
        self.message = message
        super().__init__(message)


class UserCodeException(RayError):
    """User code failed in a place that has no better class."""


class UnserializableException(RayError):
    """An exception that could not be sent as itself; its text was kept.

    Parameters
    ----------
    original_stack_trace : str
        Class, text and traceback of the exception.
    """

    def __init__(self, original_stack_trace: str = "") -> None:
        self._original_stack_trace = original_stack_trace
        super().__init__(original_stack_trace)

    def __str__(self) -> str:
        return (
            "The exception could not be pickled; this is what it said:\n"
            f"{self._original_stack_trace}"
        )


class ObjectStoreFullError(RayError):
    """The object store has no room, also after freeing what it could."""


class OutOfDiskError(RayError):
    """The disk for spilled objects is full."""


class OutOfMemoryError(RayError):
    """The node ran out of memory and the task was ended.

    Parameters
    ----------
    message : str
        Which task, and the node's figures.
    """

    def __init__(self, message: str = "") -> None:
        self.message = message
        super().__init__(message)

    def __str__(self) -> str:
        return self.message


class NodeDiedError(RayError):
    """The node that ran the task was declared dead."""

    def __init__(self, message: str = "The node was declared dead.") -> None:
        self.message = message
        super().__init__(message)


class ObjectLostError(RayError):
    """No copy of the object is left.

    Parameters
    ----------
    object_ref_hex : str
        Hex id of the object.
    owner_address : object, optional
        Who owned it.
    call_site : str
        Where its reference was made, when that was recorded.
    """

    reason = "no copy of it is left, and it cannot be made again"

    def __init__(
        self, object_ref_hex: str = "", owner_address: Any = None, call_site: str = ""
    ) -> None:
        self.object_ref_hex = object_ref_hex
        self.owner_address = owner_address
        self.call_site = call_site.replace("|", "\n  ") if call_site else ""
        self.detail = ""
        super().__init__(object_ref_hex, owner_address, call_site)

    def __str__(self) -> str:
        text = f"Object {self.object_ref_hex} is lost: {self.detail or self.reason}."
        if self.call_site:
            text += f"\nIts reference was made at:\n  {self.call_site}"
        return text


class ObjectFetchTimedOutError(ObjectLostError):
    """The object's bytes did not arrive in time."""

    reason = "its bytes did not arrive in time"


class ReferenceCountingAssertionError(ObjectLostError, AssertionError):
    """The object was dropped although it was still counted."""

    reason = "it was dropped although a reference to it exists"


class ObjectFreedError(ObjectLostError):
    """The object was freed by hand."""

    reason = "it was freed by hand"


class OwnerDiedError(ObjectLostError):
    """The owner of the object has died."""

    reason = "its owner has died"


class ObjectReconstructionFailedError(ObjectLostError):
    """A lost object could not be made again.

    Parameters
    ----------
    object_ref_hex : str
        Hex id of the object.
    reason : object, optional
        Ray's name of the reason (``MAX_ATTEMPTS_EXCEEDED``, ``LINEAGE_EVICTED``, ``PUT``, ...).
    reason_message : str, optional
        The same in words.
    """

    def __init__(
        self,
        object_ref_hex: str = "",
        reason: Any = None,
        reason_message: str | None = None,
        owner_address: Any = None,
        call_site: str = "",
    ) -> None:
        super().__init__(object_ref_hex, owner_address, call_site)
        self.reason_code = reason
        why = reason_message or (str(reason) if reason is not None else "")
        self.detail = f"it could not be made again ({why})" if why else ""
        self.args = (object_ref_hex, reason, reason_message, owner_address, call_site)


class GetTimeoutError(RayError, TimeoutError):
    """A time limit passed before the object was there."""


class PlasmaObjectNotAvailable(RayError):
    """The object is not on this node within the time limit."""


class AsyncioActorExit(RayError):
    """Raised inside an asyncio actor to end it."""


class RuntimeEnvSetupError(RayError):
    """The runtime environment could not be made.

    Parameters
    ----------
    error_message : str
        What failed.
    """

    def __init__(self, error_message: str | None = None) -> None:
        self.error_message = error_message
        super().__init__(error_message)

    def __str__(self) -> str:
        text = "Failed to set up the runtime environment."
        return f"{text}\n{self.error_message}" if self.error_message else text


class TaskPlacementGroupRemoved(RayError):
    """The placement group of the task was removed."""

    def __str__(self) -> str:
        return super().__str__() or "The placement group of this task was removed."


class ActorPlacementGroupRemoved(RayError):
    """The placement group of the actor was removed."""

    def __str__(self) -> str:
        return super().__str__() or "The placement group of this actor was removed."


class _PlacementGroupRemoved(TaskPlacementGroupRemoved, ActorPlacementGroupRemoved):
    """What the engine reports when a group goes: the caller knows which of the two it asked for."""


class PendingCallsLimitExceeded(RayError):
    """Too many calls of one actor handle are pending (``max_pending_calls``)."""


class LocalRayletDiedError(RayError):
    """The raylet of this node has died; everything on the node has ended."""

    def __str__(self) -> str:
        return super().__str__() or "The raylet of this node has died."


class TaskUnschedulableError(RayError):
    """No node can ever run the task."""

    def __init__(self, error_message: str = "") -> None:
        self.error_message = error_message
        super().__init__(error_message)

    def __str__(self) -> str:
        return f"The task cannot be scheduled: {self.error_message}"


class ActorUnschedulableError(RayError):
    """No node can ever hold the actor."""

    def __init__(self, error_message: str = "") -> None:
        self.error_message = error_message
        super().__init__(error_message)

    def __str__(self) -> str:
        return f"The actor cannot be scheduled: {self.error_message}"


class ActorAlreadyExistsError(ValueError, RayError):
    """An actor of that name is alive in the namespace."""


class ActorHandleNotFoundError(ValueError, RayError):
    """The actor handle belongs to a session that has ended."""


class ObjectRefStreamEndOfStreamError(RayError):
    """A generator has no more items."""


class StreamingGeneratorReplayInconsistentError(RaySystemError):
    """A generator that was run again gave another number of items."""


class OufOfBandObjectRefSerializationException(RayError):
    """A reference was pickled by hand although that is switched off."""


class RpcError(RayError):
    """A call between processes of the cluster failed.

    Parameters
    ----------
    message : str
        What happened.
    rpc_code : int, optional
        The gRPC status code.
    """

    UNKNOWN = 2

    def __init__(self, message: str = "", rpc_code: int | None = None) -> None:
        self.message = message
        self.rpc_code = rpc_code if rpc_code is not None else self.UNKNOWN
        super().__init__(message, self.rpc_code)

    def __str__(self) -> str:
        return self.message


class RayChannelError(RaySystemError):
    """A channel of a compiled graph failed."""


class RayChannelTimeoutError(RayChannelError, TimeoutError):
    """A channel of a compiled graph timed out."""


class RayCgraphCapacityExceeded(RaySystemError):
    """A compiled graph has too many executions in flight."""


class RayDirectTransportError(RaySystemError):
    """A direct transfer between devices failed."""


RAY_EXCEPTION_TYPES: list[type[BaseException]] = [
    globals()[name] for name in __all__ if name != "RayError"
]
