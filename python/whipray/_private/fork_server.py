"""The fork server: a warm interpreter that the raylet asks for workers.

Run as ``PYTHON -P -m whipray._private.fork_server --socket PATH --token-file F``, one per
interpreter and environment, with the environment's variables from its first instruction on. It
imports what every worker needs (numpy among it, with one BLAS thread), freezes the garbage
collector's view of it, and forks. It has one thread, computes nothing and never imports user code.
Each child's pidfd goes back to the raylet with ``fork_done``, each exit status with
``fork_exited``.

A child belongs to this process: it gets SIGKILL when the fork server ends, which ends when the
raylet hangs up. So nothing outlives the raylet.
"""

from __future__ import annotations

import _imp
import argparse
import atexit
import ctypes
import gc
import os
import signal
import sys
from typing import Any, Final

from whipray import _core
from whipray.runtime_env import INHERITED_VARIABLE

WHOLE_ENVIRONMENT: Final = INHERITED_VARIABLE.encode()
PROTOCOL_VERSION: Final = 1
KIND_FORK_SERVER: Final = 4
OUR_MODULES: Final = (
    "threading",
    "logging",
    "whipray._private.awaiting",
    "whipray._private.session",
)
"""What their after-fork hooks put in order is in order in a worker that begins."""
BLAS_VARIABLES: Final = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")


def preload() -> None:
    """Import what every worker needs, without starting a thread."""
    given = {name: os.environ.get(name) for name in BLAS_VARIABLES}
    for name in BLAS_VARIABLES:
        os.environ[name] = "1"
    try:
        import numpy.random  # noqa: F401
    finally:
        for name, value in given.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    import asyncio  # noqa: F401
    import concurrent.futures.thread  # noqa: F401
    import inspect  # noqa: F401
    import traceback  # noqa: F401

    import cloudpickle  # type: ignore[import-untyped]  # noqa: F401

    import whipray._private.worker_main  # noqa: F401
    from whipray import compat

    compat.prepare()
    name_output()


def own_fork_hooks() -> list[tuple[list[Any], list[Any]]]:
    """Take out what is done in a forked child for locks, other threads and open sessions.

    Here is one thread, no lock is held and no session open, so in a worker it would change nothing,
    and yet make a tenth of its memory its own. Returns the interpreter's lists with what was taken
    out of each, for the worker to put back: its own children need it.
    """
    taken: list[tuple[list[Any], list[Any]]] = []

    def probe() -> None:
        pass

    os.register_at_fork(after_in_child=probe)
    for listed in gc.get_referrers(probe):
        if type(listed) is list and listed[-1:] == [probe]:
            mine = [hook for hook in listed if getattr(hook, "__module__", "") in OUR_MODULES]
            listed[:] = [hook for hook in listed if hook not in mine and hook is not probe]
            taken.append((listed, mine))
    return taken


def numpy_key() -> memoryview | None:
    """Return the key of numpy's global generator, to be overwritten: `seed` costs 400 KiB a worker.

    None: this numpy keeps it elsewhere than where all its versions so far do.
    """
    from numpy.random import mtrand

    generator = mtrand._rand._bit_generator
    key = generator.state["state"]["key"].astype("uint32").tobytes()
    there = (ctypes.c_ubyte * len(key)).from_address(generator.ctypes.state_address)
    return memoryview(there).cast("B") if bytes(there) == key else None


def _threads_given() -> int:
    """How many threads libraries may start, if the user says so in the environment; else 0."""
    for name in BLAS_VARIABLES:
        value = os.environ.get(name, "")
        if value:
            return int(value) if value.isdecimal() else 1
    return 0


def _redirect(path: str, descriptor: int) -> None:
    if not path:
        return
    target = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.dup2(target, descriptor)
    os.close(target)


def name_output() -> None:
    """Let printed lines say which task or actor they come from."""
    from whipray._private.output import NamedStream

    sys.stdout = NamedStream(sys.stdout.buffer)
    sys.stderr = NamedStream(sys.stderr.buffer)


def enter(order: dict[str, Any], key: memoryview | None) -> None:
    """Make this forked process what the order says, before anything of the user is loaded.

    The global generator of `random` has a seed of its own already: `random` sees to that.
    """
    _redirect(order["stdout"], 1)
    _redirect(order["stderr"], 2)
    for name in order["unset"]:
        os.environ.pop(name, None)
    for item in order["env"]:
        variable, _, value = item.partition(b"=")
        if variable != WHOLE_ENVIRONMENT:  # this server's own; `prepare` has read it
            os.environb[variable] = value
    if order["niceness"]:
        try:
            os.nice(order["niceness"])
        except OSError as error:
            print(f"whipray: niceness {order['niceness']}: {error}", file=sys.stderr)
    if key is not None:
        key[:] = os.urandom(len(key))
    else:
        sys.modules["numpy.random"].seed()
    if order["cwd"]:
        try:
            os.chdir(order["cwd"])
        except OSError as error:
            print(f"whipray: cannot enter the driver's folder: {error}", file=sys.stderr)


def main() -> int:
    """Serve; in a child, be a worker."""
    parser = argparse.ArgumentParser(prog="whipray-fork-server")
    parser.add_argument("--socket", required=True, help="the raylet's Unix socket")
    parser.add_argument("--token-file", required=True, help="file with the cluster's token")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver
    with open(options.token_file, encoding="utf-8") as file:
        token = file.read().strip()
    preload()
    from whipray._private import worker_main

    worker_main.prepare()
    worker_main.threads_given = _threads_given()
    key = numpy_key()
    hooks = own_fork_hooks()  # before freeze, which hides them
    atexit._clear()
    gc.collect()
    gc.freeze()
    hello = {
        "op": "hello",
        "kind": KIND_FORK_SERVER,
        "protocol": PROTOCOL_VERSION,
        "token": token,
        "pid": os.getpid(),
        "key": os.environ.get("WHIPRAY_FORK_KEY", ""),
    }
    # As PyOS_BeforeFork would: from 3.13 on a child that begins without it is ended. The rest of
    # that function also takes locks whose hooks for the child are among those taken out.
    _imp.acquire_lock()
    try:
        packed = _core.serve_forks(options.socket, _core.pack(hello))
    except ConnectionError:  # the raylet hung up
        return 0
    except RuntimeError as error:
        print(f"whipray: fork server: {error}", file=sys.stderr)
        return 1
    for listed, taken_out in hooks:
        listed.extend(taken_out)
    order = _core.unpack(packed)
    enter(order, key)
    return worker_main.main(options.socket, token, order["cookie"])


if __name__ == "__main__":
    sys.exit(main())
