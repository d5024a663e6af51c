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

import argparse
import atexit
import ctypes
import dataclasses
import gc
import os
import random
import select
import signal
import socket
import struct
import sys
from typing import Any, Final

from whipray._private import record

PROTOCOL_VERSION: Final = 1
KIND_FORK_SERVER: Final = 4
REQUEST: Final = 1
REPLY: Final = 2
ERROR: Final = 3
HEADER = struct.Struct("<IHHQ")
HEADER_BYTES: Final = HEADER.size
LENGTH_MAX: Final = record.BYTES_MAX + 16
PR_SET_PDEATHSIG: Final = 1
EXIT_LOST: Final = 3
"""Exit code of a child whose fork server had ended before it began."""

BLAS_VARIABLES: Final = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")


@dataclasses.dataclass(frozen=True, slots=True)
class Spawn:
    """What one child is to become."""

    cookie: bytes
    env: dict[str, str]
    unset: list[str]
    cwd: str
    stdout: str
    stderr: str
    worker_id: str
    niceness: int
    socket_path: str
    token: str


class ProtocolError(Exception):
    """The raylet refused this process, or sent what the protocol forbids."""


def frame(kind: int, request: int, fields: dict[str, Any]) -> bytes:
    """Pack one frame of engine/local/protocol.h."""
    body = record.pack(fields)
    return HEADER.pack(HEADER_BYTES - 4 + len(body), kind, PROTOCOL_VERSION, request) + body


class Connection:
    """Frames over the raylet's socket, for one thread.

    Parameters
    ----------
    path : str
        The Unix socket.
    """

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._socket.connect(path)
        self._buffer = bytearray()
        self._next_request = 1

    def fileno(self) -> int:
        """Descriptor, for poll."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close this process's end."""
        self._socket.close()

    def request(self, op: str, fields: dict[str, Any]) -> int:
        """Send a request; its reply comes through `receive` under the returned number."""
        number = self._next_request
        self._next_request += 1
        self._socket.sendall(frame(REQUEST, number, {"op": op, **fields}))
        return number

    def tell(self, op: str, fields: dict[str, Any], descriptor: int | None = None) -> None:
        """Send a one-way request, with a descriptor if one is given."""
        data = frame(REQUEST, 0, {"op": op, **fields})
        if descriptor is None:
            self._socket.sendall(data)
            return
        sent = socket.send_fds(self._socket, [data], [descriptor])
        if sent < len(data):
            self._socket.sendall(data[sent:])

    def fill(self) -> None:
        """Read what is there; blocks when nothing is."""
        data = self._socket.recv(1 << 16)
        if not data:
            raise ConnectionResetError("the raylet hung up")
        self._buffer += data

    def receive(self) -> tuple[int, dict[str, Any]] | None:
        """Return the next whole reply as (request, fields), or None.

        Raises
        ------
        ProtocolError
            For an error reply and for a frame that is none.
        """
        if len(self._buffer) < HEADER_BYTES:
            return None
        length, kind, version, number = HEADER.unpack_from(self._buffer)
        if version != PROTOCOL_VERSION or not HEADER_BYTES - 4 <= length <= LENGTH_MAX:
            raise ProtocolError(f"a frame of version {version} with {length} bytes")
        end = 4 + length
        if len(self._buffer) < end:
            return None
        fields = record.unpack(bytes(self._buffer[HEADER_BYTES:end]))
        del self._buffer[:end]
        if kind == ERROR:
            raise ProtocolError(
                f"the raylet refused: {fields.get('text')} ({fields.get('status')})"
            )
        if kind != REPLY:
            raise ProtocolError(f"a frame of type {kind}, where only replies may come")
        return number, fields

    def ask(self, op: str, fields: dict[str, Any]) -> dict[str, Any]:
        """Send a request and wait for its reply."""
        number = self.request(op, fields)
        while True:
            reply = self.receive()
            if reply is None:
                self.fill()
            elif reply[0] == number:
                return reply[1]


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


class ForkServer:
    """The loop between the raylet's orders and the children's ends."""

    def __init__(self, connection: Connection, socket_path: str, token: str) -> None:
        self._connection = connection
        self._socket_path = socket_path
        self._token = token
        self._pid = os.getpid()
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def serve(self) -> Spawn:
        """Fork on order until the raylet hangs up; in a child, return what it is to become."""
        signal.signal(signal.SIGCHLD, lambda number, stack: None)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        poll.register(self._wake_read, select.POLLIN)
        waiting = self._connection.request("fork_next", {"ready": 1})
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == self._wake_read:
                    try:
                        os.read(self._wake_read, 4096)
                    except BlockingIOError:
                        pass
                else:
                    self._connection.fill()
            self._reap()
            reply = self._connection.receive()
            while reply is not None:
                number, fields = reply
                if number == waiting:
                    for order in fields.get("spawn") or []:
                        spawn = self._fork(order)
                        if spawn is not None:
                            return spawn
                    waiting = self._connection.request("fork_next", {})
                reply = self._connection.receive()

    def _fork(self, order: dict[str, Any]) -> Spawn | None:
        """Fork one worker; returns its order in the child and None here."""
        cookie = order["cookie"]
        spawn = Spawn(
            cookie=cookie,
            env=dict(_variable(item) for item in order.get("env") or []),
            unset=list(order.get("unset") or []),
            cwd=order.get("cwd") or "",
            stdout=order.get("stdout") or "",
            stderr=order.get("stderr") or "",
            worker_id=order.get("worker_id") or "",
            niceness=order.get("niceness") or 0,
            socket_path=self._socket_path,
            token=self._token,
        )
        try:
            pid = os.fork()
        except OSError as error:
            self._connection.tell("fork_failed", {"cookie": cookie, "text": f"fork: {error}"})
            return None
        if pid == 0:
            self._become_child()
            return spawn
        # The child is not reaped before `_reap`, so its pid cannot name another process here.
        descriptor = os.pidfd_open(pid)
        try:
            self._connection.tell("fork_done", {"cookie": cookie, "pid": pid}, descriptor)
        finally:
            os.close(descriptor)
        return None

    def _become_child(self) -> None:
        self._libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != self._pid:  # it ended before the line above
            os._exit(EXIT_LOST)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.close(self._wake_read)
        os.close(self._wake_write)
        self._connection.close()
        atexit._clear()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._connection.tell("fork_exited", {"pid": pid, "status": status})


def _variable(item: bytes) -> tuple[str, str]:
    name, _, value = item.partition(b"=")
    return os.fsdecode(name), os.fsdecode(value)


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


def enter(spawn: Spawn) -> None:
    """Make this forked process what the order says, before anything of the user is loaded."""
    _redirect(spawn.stdout, 1)
    _redirect(spawn.stderr, 2)
    name_output()
    for name in spawn.unset:
        os.environ.pop(name, None)
    os.environ.update(spawn.env)
    if spawn.niceness:
        try:
            os.nice(spawn.niceness)
        except OSError as error:
            print(f"whipray: niceness {spawn.niceness}: {error}", file=sys.stderr)
    random.seed()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
    if spawn.cwd:
        try:
            os.chdir(spawn.cwd)
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
    gc.collect()
    gc.freeze()
    connection = Connection(options.socket)
    hello = {
        "kind": KIND_FORK_SERVER,
        "protocol": PROTOCOL_VERSION,
        "token": token,
        "pid": os.getpid(),
        "key": os.environ.get("WHIPRAY_FORK_KEY", ""),
    }
    try:
        connection.ask("hello", hello)
        spawn = ForkServer(connection, options.socket, token).serve()
    except ConnectionError:  # the raylet hung up
        return 0
    except (ProtocolError, record.RecordError) as error:
        print(f"whipray: fork server: {error}", file=sys.stderr)
        return 1
    threads_given = _threads_given()
    enter(spawn)
    from whipray._private import worker_main

    worker_main.threads_given = threads_given
    return worker_main.main(spawn.socket_path, spawn.token, spawn.cookie)


if __name__ == "__main__":
    sys.exit(main())
