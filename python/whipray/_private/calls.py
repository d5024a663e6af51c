"""``remote``, ``kill``, ``cancel``: the top-level functions that are made in Python."""

from __future__ import annotations

import inspect
import time
from typing import Any

from whipray import _core
from whipray._private import session as sessions
from whipray._private.errors import status_of
from whipray.actor import ActorClass, ActorHandle, check_session, wrap_class
from whipray.remote_function import RemoteFunction

FORCE_SECONDS = 2.0
"""How long `cancel(force=True)` makes sure of a task that is taken up again and again."""
FORCE_LOOK_SECONDS = 0.02


def remote(*args: Any, **given: Any) -> Any:
    """Make a function run as a task, or a class as an actor.

    ``@remote`` alone, ``@remote(num_cpus=2)`` with options, or ``remote(function_or_class)``.

    Parameters
    ----------
    num_cpus : float
        CPUs of a task (1), or that an actor holds for its life.
    num_gpus : float
        GPUs; a fraction shares one.
    resources : dict
        Custom resources.
    memory : float
        Bytes, for admission only.
    num_returns : int or "streaming"
        References that a call gives.
    max_retries : int
        How often a task is run again when its worker dies (3; -1: no limit).
    retry_exceptions : bool or list of exception classes
        Whether errors of the function are retried, too.
    max_calls : int
        After how many calls of a function its worker ends (0: never; 1 with GPUs).
    max_restarts, max_task_retries : int
        How often an actor begins again, and its calls are sent again.
    max_concurrency : int
        How many calls an actor does at a time.
    name, namespace, get_if_exists, lifetime
        Of a named actor; ``lifetime="detached"`` outlives its job.
    runtime_env : dict
        Environment (`whipray.runtime_env`).
    scheduling_strategy : str or object
        `whipray.util.scheduling_strategies`.

    Raises
    ------
    TypeError
        If what is decorated is neither a function nor a class, or an option has a wrong type.
    ValueError
        If an option is unknown or its value is wrong.
    NotImplementedError
        If an option is known but not built yet.

    Examples
    --------
    >>> import whipray as ray
    >>> @ray.remote
    ... def square(n):
    ...     return n * n
    >>> ray.get([square.remote(n) for n in range(4)])
    [0, 1, 4, 9]
    """
    if len(args) == 1 and not given:
        return _wrap(args[0], {})
    if args:
        raise TypeError(
            "@remote takes keywords only, such as @remote(num_cpus=2), or exactly one function "
            "or class"
        )
    if not given:
        raise TypeError("@remote() needs an option, such as num_cpus=2; without options: @remote")

    def decorate(target: Any) -> Any:
        return _wrap(target, given)

    return decorate


def _wrap(target: Any, given: dict[str, Any]) -> Any:
    if isinstance(target, (RemoteFunction, ActorClass)):
        raise TypeError(f"{target!r} is remote already")
    if inspect.isclass(target):
        return wrap_class(target, given)
    if inspect.isroutine(target) and not inspect.isbuiltin(target):
        return RemoteFunction(target, given)
    if inspect.isbuiltin(target):  # such as math.sqrt; Ray takes Python's own functions only
        raise TypeError(
            f"@remote takes functions of Python and classes, not the built-in {target!r}"
        )
    raise TypeError(f"@remote takes a function or a class, not {type(target).__name__}")


def kill(actor: Any, *, no_restart: bool = True) -> None:
    """End an actor at once: its running and queued calls fail, ``finally`` and atexit are skipped.

    Parameters
    ----------
    actor : ActorHandle
        The actor; one that is dead already is left alone.
    no_restart : bool
        False: it uses one of its restarts.

    Raises
    ------
    ValueError
        If it is no handle.
    ActorHandleNotFoundError
        If the handle belongs to a session that has ended.
    """
    if not isinstance(actor, ActorHandle):
        raise ValueError(f"kill() takes an actor handle, not {type(actor).__name__}")
    sessions.require()
    info = actor._whipray_info
    check_session(info)
    try:
        sessions.call(
            "actor_kill",
            port=info.port,
            handle=actor._core.handle,
            no_restart=int(no_restart),
        )
    except ValueError as error:
        if status_of(error) != "NOT_FOUND":  # it is gone already
            raise


def cancel(ref: Any, *, force: bool = False, recursive: bool = True) -> None:
    """Ask for the end of a task or an actor call.

    One that has not begun is dropped. A running task gets a KeyboardInterrupt, or with `force` its
    worker is ended. A running call of an asyncio actor is cancelled by asyncio, one of another
    actor only sees ``get_runtime_context().is_canceled()``. What is done stays done.

    Parameters
    ----------
    ref : ObjectRef or ObjectRefGenerator
        A result of it.
    force : bool
        End the worker; not for actor calls.
    recursive : bool
        Cancel what it started, too.

    Raises
    ------
    TypeError
        If it is no reference.
    ValueError
        If `force` is asked for an actor's call.
    """
    if isinstance(ref, _core.ObjectRefGenerator):
        ref = ref.completed()
    if not isinstance(ref, _core.ObjectRef):
        raise TypeError(
            f"cancel() takes an ObjectRef or an ObjectRefGenerator, not {type(ref).__name__}"
        )
    sessions.require()
    if not force:
        state, _, _ = _core.cancel_local(ref)
        if state != "cancelled" and not _core.ready(ref):
            _ask_to_cancel(ref, force=False, recursive=recursive)
        return
    # The raylet first: an actor refuses force. The task may begin between two questions, and may be
    # taken by another worker at the very moment when the first one is ended.
    deadline = time.monotonic() + FORCE_SECONDS
    while time.monotonic() < deadline:
        asked = _ask_to_cancel(ref, force=True, recursive=recursive)
        if asked and _core.watch([ref], FORCE_LOOK_SECONDS):
            return
        state, _, _ = _core.cancel_local(ref)
        if state == "cancelled" or _core.ready(ref) or (state == "done" and not asked):
            return


def _ask_to_cancel(ref: Any, *, force: bool, recursive: bool) -> bool:
    """Have a running task interrupted or ended by the raylet; False: it does not run."""
    reply = sessions.call("cancel", handle=ref.handle, force=int(force), recursive=int(recursive))
    return bool(reply.get("asked"))
