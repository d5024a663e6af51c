"""This process's place in a cluster: connected as a driver or a worker, or not at all.

One session is open at a time. What belongs to it (exported functions, open classes) hangs on the
`Session`, so that remote functions and handles made before a new `init` work again after it.
"""

from __future__ import annotations

import dataclasses
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any

from whipray import _core
from whipray._private import record
from whipray._private.ids import JobID, NodeID, WorkerID
from whipray.exceptions import RaySystemError

if TYPE_CHECKING:
    from whipray._private.logs import LogPrinter
    from whipray._private.node import Node

SCRIPT_MODE = 0
WORKER_MODE = 1


@dataclasses.dataclass(slots=True)
class Assignment:
    """What the raylet gave a worker: what it runs for, and with what."""

    resources: dict[str, float] = dataclasses.field(default_factory=dict)
    gpu_ids: list[str] = dataclasses.field(default_factory=list)
    pg: bytes | None = None
    bundle: int = -1
    capture: bool = False
    actor_id: bytes | None = None
    actor_handle: int = 0
    actor_name: str = ""
    actor_namespace: str = ""
    class_name: str = ""
    restarts: int = 0
    asyncio: bool = False


@dataclasses.dataclass(slots=True)
class Session:
    """An open connection and what was made over it."""

    kind: int
    number: int
    welcome: dict[str, Any]
    runtime_env: dict[str, Any]
    """Of the job; for a worker, of what it runs."""
    job_env: dict[str, Any]
    """Of the job."""
    node: Node | None = None
    """The cluster that this process started, if it did."""
    logs: LogPrinter | None = None
    assignment: Assignment = dataclasses.field(default_factory=Assignment)
    exports: dict[Any, int] = dataclasses.field(default_factory=dict)
    """(digest) -> function number, and (id of a loaded function, meta) -> number."""
    loaded: dict[int, Any] = dataclasses.field(default_factory=dict)
    """Function number -> object: keeps the ids in `exports` from being used again."""
    classes: dict[Any, tuple[int, int, int]] = dataclasses.field(default_factory=dict)
    """Key of a scheduling class -> (port, ring, generation)."""
    bound: weakref.WeakSet[Any] = dataclasses.field(default_factory=weakref.WeakSet)
    """A worker's remote functions whose class may depend on its assignment."""
    lock: threading.RLock = dataclasses.field(default_factory=threading.RLock)
    log_to_driver: bool = True

    @property
    def job(self) -> int:
        """Number of the job."""
        return int(self.welcome["job"])

    @property
    def job_id(self) -> JobID:
        """Id of the job."""
        return JobID.from_int(self.job)

    @property
    def node_id(self) -> NodeID:
        """Id of this node."""
        raw: bytes = self.welcome["node_id"]
        return NodeID(raw.ljust(NodeID.SIZE, b"\0")[: NodeID.SIZE])

    @property
    def worker_id(self) -> WorkerID:
        """Id of this process."""
        raw: bytes = self.welcome["worker_id"]
        return WorkerID(raw.ljust(WorkerID.SIZE, b"\0")[: WorkerID.SIZE])

    @property
    def namespace(self) -> str:
        """Namespace of the job's named actors."""
        return str(self.welcome["namespace"])

    @property
    def session_dir(self) -> str:
        """Folder of the cluster's session on this machine."""
        return str(self.welcome["session_dir"])

    @property
    def gcs_address(self) -> str:
        """``host:port`` of the head."""
        return str(self.welcome["gcs_address"])

    @property
    def node_ip(self) -> str:
        """Address of this node."""
        return str(self.welcome.get("node_ip") or "127.0.0.1")

    @property
    def socket_path(self) -> str:
        """The raylet's Unix socket."""
        return os.path.join(self.session_dir, "sockets", "raylet")


_current: Session | None = None
_forked = False


def set_current(session: Session | None) -> None:
    """Make a session the process's own; None: there is none."""
    global _current
    _current = session


def current() -> Session | None:
    """Return the open session, or None (also in a forked child)."""
    if _current is not None and not _core.is_connected():
        return None
    return _current


def require() -> Session:
    """Return the open session; without one, connect as a first use does."""
    session = current()
    if session is None:
        from whipray._private.driver import auto_init

        auto_init()
        session = current()
        if session is None:
            raise RaySystemError("whipray is not connected; call whipray.init() first")
    return session


def require_connected(what: str) -> Session:
    """Return the open session; RaySystemError without one: `what` never connects by itself."""
    session = current()
    if session is None:
        raise RaySystemError(f"{what} needs a connection; call whipray.init() first")
    return session


def call(op: str, timeout: float = 60.0, **fields: Any) -> dict[str, Any]:
    """Make one control call of engine/local/protocol.h.

    Parameters
    ----------
    op : str
        Its name.
    timeout : float
        Seconds.
    **fields : object
        The request's fields; those that are None are left out.
    """
    wanted = {name: value for name, value in fields.items() if value is not None}
    reply = _core.call(op, _core.pack(wanted) if wanted else b"", timeout)
    return _core.unpack(reply) if reply else {}


def handle_of(reply: dict[str, Any], name: str) -> int:
    """Return a handle out of a reply, unsigned."""
    return record.handle(int(reply[name]))


def _forget_after_fork() -> None:
    """A forked child is not connected: what its parent had means nothing here."""
    global _current, _forked
    if _current is not None:
        _forked = True
        node = _current.node
        if node is not None:
            node.forget_after_fork()
    _current = None


os.register_at_fork(after_in_child=_forget_after_fork)
