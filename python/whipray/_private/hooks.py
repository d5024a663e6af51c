"""What the C extension asks the Python half for."""

from __future__ import annotations

from typing import Any

from whipray import _core
from whipray._private import awaiting, errors, functions, serialization
from whipray._private.ids import JobID, TaskID

_installed = False


def _auto_init() -> None:
    from whipray._private.driver import auto_init

    auto_init()


def _resolve_function(function: Any, closed: tuple[int, int, int] | None = None) -> None:
    function._resolve(closed)


def _call_refused(what: Any) -> BaseException:
    try:
        what()
    except TypeError as error:
        return error
    return TypeError(f"{what!r} cannot be called directly; use .remote()")


def install() -> None:
    """Set the hooks that drivers and workers share; the worker adds its own."""
    global _installed
    if _installed:
        return
    from whipray.actor import ActorMethod, resolve_actor, with_options

    _core.set_hooks(
        system_error=errors.system_error,
        task_error=errors.task_error,
        timeout_error=errors.timeout_error,
        pack_error=errors.pack_error,
        auto_init=_auto_init,
        resolve_function=_resolve_function,
        resolve_actor=resolve_actor,
        method_options=lambda method, given: with_options(method, given),
        call_refused=_call_refused,
        cloud_dump=serialization.cloud_dump,
        await_ref=awaiting.await_ref,
        future_of=awaiting.future_of,
        on_completed=awaiting.on_completed,
        generator_class=awaiting.ObjectRefGenerator,
        method_class=ActorMethod,
        call_extra=functions.unpack_extra,
        should_retry=functions.should_retry,
    )
    _core.set_id_classes(task_id=TaskID, job_id=JobID)
    _installed = True
