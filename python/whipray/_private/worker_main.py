"""A worker's life: connect, run what the raylet assigns, end.

The loop for tasks and for actors with one thread is the extension's (`run_worker`); here are the
changes of assignment, the other kinds of actors, cancellation, and the ways to end:

* told to end, or the actor's last handle is gone: ``__ray_shutdown__``, atexit, goodbye;
* ``exit_actor()``: the same, and the running call fails with the actor's death;
* ``sys.exit()`` in a task: atexit, but no goodbye, so that it counts as a death of the worker;
* ``os._exit()``, a signal: the raylet sees it by itself.
"""

from __future__ import annotations

import atexit
import collections
import contextlib
import functools
import inspect
import json
import logging
import os
import signal
import sys
import threading
import traceback
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NoReturn

from whipray import _core
from whipray._private import config, errors, functions, hooks, output
from whipray._private import session as sessions
from whipray._private.session import Assignment
from whipray.exceptions import AsyncioActorExit, RayTaskError
from whipray.runtime_env import INHERITED_VARIABLE

logger = logging.getLogger("whipray")

THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
CANCELS_KEPT: Final = 1024
WEAK_REFERENCES: Final = (f"{os.sep}_weakrefset.py", f"{os.sep}weakref.py")
AGAIN_SECONDS: Final = 0.001
AGAIN_SECONDS_MAX: Final = 0.1
CANCELS_SECONDS: Final = 2.0
"""How long the handler of a cancel waits for the raylet."""


class ActorExit(SystemExit):
    """The actor ends because its code called `exit_actor` (or ``__ray_terminate__`` ran)."""


class _Life:
    """What this worker process is and does."""

    def __init__(self) -> None:
        self.instance: Any = None
        self.actor_class: Any = None
        self.handle_meta: Any = None
        self.port = 0
        self.generation = 0
        self.exit_code = 0
        self.cancels: collections.deque[int] = collections.deque(maxlen=CANCELS_KEPT)
        self.interrupted = 0
        self.due = 0
        self.due_again = AGAIN_SECONDS
        self.warned_about_get = False
        self.environment: dict[str, Any] | None = None
        """The runtime environment that it was made for, which its children inherit; None: the
        job's."""


_life = _Life()

_session = sessions.Session(_core.KIND_WORKER, 0, {}, {}, {})
"""This process's session, to be filled: made before the fork, it costs a worker nothing."""

threads_given = 0
"""How many threads libraries may take if the user says so, else 0; set by the fork server."""


# ---- Cancellation ----------------------------------------------------------------------------


def was_cancel_asked(handle: int) -> bool:
    """Whether somebody asked this process to cancel a task; its children are cancelled then."""
    return handle in _life.cancels


def take_cancels() -> list[int]:
    """Fetch what this process is to cancel, and cancel what those tasks have submitted.

    For the handler of SIGINT, the raylet's sign that there is something.

    Returns
    -------
    list of int
        Handles of tasks, which may be done already.
    """
    wanted = _core.cancel_wanted()
    if not wanted or sessions.current() is None:
        return []
    try:
        tasks = sessions.call("cancels", timeout=CANCELS_SECONDS)["tasks"]
        orders = {sessions.handle_of(task, "handle"): bool(task["recursive"]) for task in tasks}
    except Exception:  # the interrupted code is in a call that the raylet has not answered yet
        orders = {wanted: True}
    for handle, recursive in orders.items():
        for child in _core.cancel_children(handle) if recursive else ():
            with contextlib.suppress(Exception):
                sessions.call("cancel", CANCELS_SECONDS, handle=child, force=0, recursive=1)
    _life.cancels.extend(orders)  # last: a call that sees it may end, and its children be forgotten
    return list(orders)


def _is_swallowed(frame: types.FrameType | None) -> bool:
    """Whether Python would ignore what is raised here: finalizers, callbacks of weak references."""
    while frame is not None:
        code = frame.f_code
        if code.co_name == "__del__" or code.co_filename.endswith(WEAK_REFERENCES):
            return True
        frame = frame.f_back
    return False


def _on_interrupt(number: int, stack: types.FrameType | None) -> None:
    """SIGINT: a task is to be cancelled; only the one that is meant is interrupted, once."""
    asked = take_cancels()
    task = _core.current_task()
    if _life.instance is not None or task is None:
        return
    if task.handle in asked and task.handle != _life.interrupted:
        _life.interrupted = _life.due = task.handle  # what it does about it is left alone
        _life.due_again = AGAIN_SECONDS
    if task.handle != _life.due:
        return
    if _is_swallowed(stack):
        threading.Timer(_life.due_again, os.kill, (os.getpid(), signal.SIGINT)).start()
        _life.due_again = min(2 * _life.due_again, AGAIN_SECONDS_MAX)
        return
    _life.due = 0
    raise KeyboardInterrupt


def _install_get_warning() -> None:
    """Make `get` say once, in an asyncio actor, that it blocks the event loop."""
    import whipray

    plain_get = _core.get

    @functools.wraps(plain_get)
    def get(refs: Any, *, timeout: float | None = None, _use_object_store: bool = False) -> Any:
        if not _life.warned_about_get:
            _warn_about_blocking_get()
        return plain_get(refs, timeout=timeout)

    whipray.get = get


def _warn_about_blocking_get() -> None:
    """Say once that `get` blocks the event loop, if it does."""
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    _life.warned_about_get = True
    logger.warning("get() in an asyncio actor blocks its event loop; write 'await ref' instead")


# ---- Functions and assignments ---------------------------------------------------------------


def _load_function(number: int) -> tuple[Any, str, int]:
    """Fetch and unpickle a function (hook ``load_function``)."""
    reply = sessions.call("function_get", function=number)
    meta: bytes = reply["meta"]
    about = _core.unpack(meta)
    target = _core.get(_core.ref_from_handle(sessions.handle_of(reply, "ref")))
    functions.remember_loaded(target, meta, number)
    return target, str(about.get("name") or reply.get("name") or "task"), int(about["max_calls"])


def _set_resources(assignment: Assignment) -> None:
    """Show what is assigned to libraries that look for it in the environment."""
    cpus = assignment.resources.get("CPU", 0)
    count = max(1, int(cpus))
    if threads_given:
        if threads_given > 1:
            _allow_threads(threads_given)
    else:
        os.environ["OMP_NUM_THREADS"] = str(count)
        if count > 1:
            _allow_threads(count)
    if assignment.gpu_ids and not config.flag("EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES", False):
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(assignment.gpu_ids)


def _allow_threads(count: int) -> None:
    """Let the BLAS that was loaded with one thread use the CPUs of this assignment."""
    try:
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
    except ImportError:
        logger.warning("threadpoolctl is not installed: numpy stays at one thread")
        return
    threadpool_limits(limits=count)


def _read_assignment(reply: dict[str, Any]) -> Assignment:
    return Assignment(
        resources=dict(reply.get("resources") or {}),
        gpu_ids=[str(gpu) for gpu in reply.get("gpu_ids") or []],
        pg=reply.get("pg") or None,
        bundle=int(reply.get("bundle", -1)),
        capture=bool(reply.get("capture")),
        actor_id=reply.get("actor_id") or None,
        actor_handle=sessions.handle_of(reply, "handle") if "handle" in reply else 0,
        actor_name=reply.get("name") or "",
        actor_namespace=reply.get("namespace") or "",
        class_name=reply.get("class_name") or "",
        restarts=int(reply.get("restarts") or 0),
        asyncio=bool(reply.get("asyncio")),
    )


def _on_assignment() -> bool:
    """Take a new assignment (hook ``assignment``); True ends the worker's loop."""
    reply = sessions.call("assignment")
    _core.assigned(int(reply["word"]))
    kind = reply["kind"]
    if kind == "exit":
        return True
    if kind == "none":
        return False
    session = sessions.require()
    before = session.assignment
    session.assignment = _read_assignment(reply)
    if (before.pg, before.capture) != (session.assignment.pg, session.assignment.capture):
        for function in list(session.bound):
            function._unbind()  # what it starts may belong to another group now
        session.bound.clear()
    _set_resources(session.assignment)
    if kind == "class":
        return False
    return _be_actor(session, reply)


# ---- Actors ----------------------------------------------------------------------------------


def _be_actor(session: sessions.Session, reply: dict[str, Any]) -> bool:
    """Make the actor and serve its calls; True when its life ended inside."""
    assignment = session.assignment
    _life.port = int(reply["port"])
    _life.generation = int(reply["generation"])
    output.actor_name = assignment.class_name
    errors.Origin.actor_id = assignment.actor_id.hex() if assignment.actor_id else None
    concurrency = int(reply.get("max_concurrency") or 1)
    if assignment.asyncio:
        from whipray._private.async_actor import AsyncActor

        actor = AsyncActor(concurrency)
        if _construct(session, reply, actor.construct):
            actor.run()
        return True
    if not _construct(session, reply, _call):
        return True
    if concurrency > 1:
        _run_threads(concurrency)
        return True
    return False


def _call(cls: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    return cls(*args, **kwargs)


def _construct(
    session: sessions.Session, reply: dict[str, Any], make: Callable[[Any, Any, Any], Any]
) -> bool:
    """Run the constructor by ``make``; False: it failed, and the raylet knows why."""
    assignment = session.assignment
    label = assignment.class_name
    task = None
    try:
        if assignment.asyncio and config.flag("WARN_BLOCKING_GET_INSIDE_ASYNC", True):
            _install_get_warning()  # before the class is loaded, which may import it
        cls, label, _ = _load_function(int(reply["function"]))
        _life.actor_class = cls
        task = _core.claim(sessions.handle_of(reply, "ctor"))
        while task is None:  # its arguments are not there yet
            _core.idle()
            if _core.health() != "OK":
                return False
            task = _core.claim(sessions.handle_of(reply, "ctor"))
        task.enter()
        try:
            args, kwargs = task.args()
            instance = make(cls, args, kwargs)
            del args, kwargs
        finally:
            task.leave()
    except (ActorExit, SystemExit) as stop:
        if task is not None and not task.sealed:
            task.abandon()
        if isinstance(stop, ActorExit):
            _leave(0, said_goodbye=True)
        _leave(_exit_code(stop), said_goodbye=False)
    except BaseException as error:
        text = errors.format_error(error)
        if task is not None:
            task.fail(error)
        said = f"{errors.CONSTRUCTOR_FAILED}{label} raised {_one_line(error)}\n{_end_of(text)}"
        sessions.call("actor_ready", ok=0, text=said)
        return False
    _life.instance = instance
    if getattr(type(instance), "__repr__", None) is not object.__repr__:
        errors.Origin.actor_repr = lambda: repr(instance)
        with _errors_are_printed("__repr__"):
            output.actor_name = repr(instance).replace("\n", " ")
    _core.set_methods(_method_table(cls, instance, label))
    task.finish(None)
    sessions.call("actor_ready", ok=1)
    return True


def _one_line(error: BaseException) -> str:
    cause = error.cause if isinstance(error, RayTaskError) else error
    text = str(cause).splitlines()
    return f"{type(cause).__name__}: {text[0] if text else ''}"[:200]


def _end_of(text: str, limit: int = 480) -> str:
    """The end of a traceback: an error of the engine has room for so much."""
    return text if len(text) <= limit else "..." + text[-limit:]


def _method_table(
    cls: type, instance: Any, label: str
) -> list[tuple[Callable[..., Any], str] | None]:
    from whipray._private.actor_meta import BUILT_IN_METHODS, method_names

    built_in: dict[str, Callable[..., Any]] = {
        "__ray_ready__": lambda: True,
        "__ray_terminate__": _terminate,
        "__ray_call__": lambda fn, *args, **kwargs: fn(instance, *args, **kwargs),
    }
    table: list[tuple[Callable[..., Any], str] | None] = []
    for name in method_names(cls):
        bound = built_in[name] if name in BUILT_IN_METHODS else getattr(instance, name)
        table.append((bound, f"{label}.{name}"))
    return table


def _terminate() -> NoReturn:
    raise ActorExit


def current_actor_handle() -> Any:
    """Return a weak handle of the actor that lives in this process."""
    from whipray._private.actor_meta import ActorMeta, is_async, methods_of
    from whipray.actor import make_handle

    session = sessions.require()
    assignment = session.assignment
    if _life.handle_meta is None:
        cls = _life.actor_class
        reply = sessions.call("actor_state", port=_life.port)
        meta = ActorMeta(
            class_name=assignment.class_name,
            module=cls.__module__,
            methods=methods_of(cls),
            max_task_retries=int(reply.get("max_task_retries") or 0),
            asyncio=is_async(cls),
        )
        meta.fill_table()
        _life.handle_meta = meta
    assert assignment.actor_id is not None
    return make_handle(
        _life.handle_meta,
        handle=assignment.actor_handle,
        ref=None,
        actor_id=assignment.actor_id,
        port=_life.port,
        generation=_life.generation,
    )


def _run_threads(count: int) -> None:
    """Serve an actor's calls with several threads, until it ends."""
    ended = threading.Event()
    result: list[int] = []
    stop: list[BaseException] = []

    def serve(lane: int) -> None:
        try:
            result.append(_core.run_lane(lane))
        except BaseException as error:
            stop.append(error)
        ended.set()

    threads = [
        threading.Thread(target=serve, args=(lane,), name=f"whipray-lane-{lane}", daemon=True)
        for lane in range(count)
    ]
    for thread in threads:
        thread.start()
    while not ended.wait(0.1):  # this thread takes the signals
        pass
    if stop:
        raise stop[0]
    if result[0] == _core.NEXT_DEAD:
        _leave(1, said_goodbye=False)
    for thread in threads:  # the calls that run are finished
        thread.join()


# ---- The end ---------------------------------------------------------------------------------


def _exit_code(stop: SystemExit) -> int:
    if stop.code is None:
        return 0
    if isinstance(stop.code, int):
        return stop.code & 0xFF
    print(stop.code, file=sys.stderr)
    return 1


def _leave(code: int, *, said_goodbye: bool) -> NoReturn:
    """End this process: user code's exit functions run, threads are not waited for."""
    if said_goodbye and _life.instance is not None:
        hook = getattr(_life.instance, "__ray_shutdown__", None)
        if hook is not None:
            with _errors_are_printed("__ray_shutdown__"):
                answer = hook()
                if inspect.iscoroutine(answer):
                    import asyncio

                    asyncio.run(answer)
    with _errors_are_printed("atexit"):
        atexit._run_exitfuncs()
    if said_goodbye:
        with _errors_are_printed("the goodbye"):
            _core.disconnect()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


@contextlib.contextmanager
def _errors_are_printed(where: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        print(f"whipray: {where} failed:", file=sys.stderr)
        traceback.print_exc()


def is_exit(error: BaseException) -> bool:
    """Whether an exception ends the worker."""
    return isinstance(error, (SystemExit, AsyncioActorExit))


def end_by(error: BaseException, task: Any = None) -> NoReturn:
    """End this process as an exception of user code asks for."""
    if task is not None and not task.sealed:
        task.abandon()
    if isinstance(error, (ActorExit, AsyncioActorExit)):
        _leave(0, said_goodbye=True)
    assert isinstance(error, SystemExit)
    _leave(_exit_code(error), said_goodbye=False)


def _refuse_breakpoint(*args: Any, **kwargs: Any) -> NoReturn:
    """Say why there is no debugger: a worker has no terminal (hook of ``breakpoint()``)."""
    raise NotImplementedError("breakpoint() in a worker is not built yet in Whipray")


# ---- The beginning ---------------------------------------------------------------------------


def _prepare_job(job: dict[str, Any], environment: dict[str, Any]) -> None:
    """Make imports mean what they mean in the driver, before anything is unpickled."""
    wanted = [str(part) for part in job.get("sys_path") or []]
    if wanted:
        if "PYTHONPATH" in environment.get("env_vars", {}):
            # As in a program that was started with it: behind the script's folder, before the rest.
            parts = os.environ.get("PYTHONPATH", "").split(os.pathsep)
            asked = [os.path.abspath(part) for part in parts if part]
            first = wanted[:1]
            wanted = first + asked + [part for part in wanted[1:] if part not in asked]
        own = [part for part in sys.path if part and part not in wanted]
        sys.path[:] = wanted + own
    if job.get("alias"):
        from whipray import compat

        compat.install()


def prepare() -> None:
    """Do once, before workers are forked, what is the same in all of them.

    What is done after the fork makes pages of each worker its own, and takes time at its start.
    """
    own = os.environ.pop(INHERITED_VARIABLE, "")
    _life.environment = json.loads(bytes.fromhex(own)) if own else None
    hooks.install()
    _core.set_hooks(
        load_function=_load_function,
        assignment=_on_assignment,
        max_calls_reached=lambda: None,
    )
    # In the fork server itself it has no effect: no Python code runs there once it serves.
    signal.signal(signal.SIGINT, _on_interrupt)


def main(socket_path: str, token: str, cookie: bytes) -> NoReturn:
    """Be a worker until the raylet or user code ends it; never returns.

    Parameters
    ----------
    socket_path, token : str
        The raylet's.
    cookie : bytes
        Which of its orders this process answers.
    """
    global threads_given
    if "PYTHONBREAKPOINT" not in os.environ:
        sys.breakpointhook = _refuse_breakpoint
    hello = _core.pack({"cookie": cookie})
    try:
        welcome = _core.unpack(_core.connect(_core.KIND_WORKER, socket_path, token, hello))
    except Exception as error:
        print(f"whipray: a worker could not register: {error}", file=sys.stderr)
        os._exit(1)
    job = welcome.get("job_config") or {}
    text = job.get("runtime_env") or "{}"
    job_env = json.loads(text) if text != "{}" else {}
    environment = job_env if _life.environment is None else _life.environment
    session = _session
    session.number, session.welcome = _core.session(), welcome
    session.runtime_env, session.job_env = environment, job_env
    sessions.set_current(session)
    if not threads_given and job.get("env"):
        given = [item.partition(b"=")[0].decode(errors="replace") for item in job["env"]]
        threads_given = int(any(name in given for name in THREAD_VARIABLES))
    errors.Origin.node_ip = str(welcome.get("node_ip") or "127.0.0.1")
    try:
        _prepare_job(job, environment)
        result = _core.run_worker()
    except (SystemExit, AsyncioActorExit) as stop:
        end_by(stop)
    except BaseException:
        print("whipray: the worker's loop failed:", file=sys.stderr)
        traceback.print_exc()
        _leave(1, said_goodbye=False)
    _leave(0, said_goodbye=result != _core.NEXT_DEAD)
