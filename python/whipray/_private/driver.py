"""``init`` and ``shutdown``: the life of a driver."""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import json
import logging
import os
import resource
import signal
import site
import sys
import threading
import uuid
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import whipray
from whipray import _core
from whipray._private import arguments, config, errors, hooks, paths
from whipray._private import session as sessions
from whipray._private.logs import LogPrinter
from whipray._private.node import PACKAGE, Node
from whipray._private.suggest import nearest
from whipray.exceptions import RayError, RaySystemError
from whipray.job_config import JobConfig
from whipray.runtime_env import merge, normalize, to_json

logger = logging.getLogger("whipray")

_STARTING_ONLY: Final = ("num_cpus", "num_gpus", "resources", "labels", "object_store_memory")
_PRIVATE: Final = frozenset(
    (
        "_enable_object_reconstruction",
        "_memory",
        "_metrics_export_port",
        "_node_ip_address",
        "_node_name",
        "_plasma_directory",
        "_redis_password",
        "_redis_username",
        "_system_config",
        "_temp_dir",
        "_tracing_startup_hook",
    )
)
_PRIVATE_NOT_BUILT: Final = ("_tracing_startup_hook", "_redis_username", "_redis_password")
_NOT_BUILT: Final = (
    "enable_resource_isolation",
    "cgroup_path",
    "system_reserved_cpu",
    "system_reserved_memory",
    "object_spilling_directory",
    "logging_config",
)
_WORKERS_IMPORT: Final = ("cloudpickle", "numpy")
"""Beside whipray, before a worker has its driver's ``sys.path``."""
BYE_SECONDS: Final = 10.0


class RayContext(Mapping[str, Any]):
    """What `init` returns: where the cluster is; as a context manager, leaving it shuts down.

    Examples
    --------
    >>> import whipray as ray
    >>> with ray.init(ignore_reinit_error=True) as context:  # doctest: +SKIP
    ...     print(context.address_info["node_id"])
    """

    def __init__(self, address_info: dict[str, Any]) -> None:
        self.address_info = address_info
        self.dashboard_url: str = address_info.get("webui_url") or ""
        self.python_version = ".".join(str(part) for part in sys.version_info[:3])
        self.ray_version = whipray.__version__
        self.ray_commit = whipray.__commit__

    def disconnect(self) -> None:
        """End the connection, as `shutdown` does."""
        shutdown()

    def __enter__(self) -> RayContext:
        return self

    def __exit__(self, *exc_info: object) -> None:
        shutdown()

    # Reading it like a dict is Ray's deprecated spelling.

    def __getitem__(self, key: str) -> Any:
        return self.address_info[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.address_info)

    def __len__(self) -> int:
        return len(self.address_info)

    def __repr__(self) -> str:
        return (
            f"RayContext(dashboard_url={self.dashboard_url!r}, "
            f"python_version={self.python_version!r}, ray_version={self.ray_version!r})"
        )


def init(
    address: str | None = None,
    *,
    num_cpus: float | None = None,
    num_gpus: float | None = None,
    resources: Mapping[str, float] | None = None,
    labels: Mapping[str, str] | None = None,
    object_store_memory: int | None = None,
    local_mode: bool = False,
    ignore_reinit_error: bool = False,
    include_dashboard: bool | None = None,
    dashboard_host: str = "localhost",
    dashboard_port: int | None = None,
    job_config: JobConfig | None = None,
    configure_logging: bool = True,
    logging_level: int | str = logging.INFO,
    logging_format: str | None = None,
    logging_config: Any = None,
    log_to_driver: bool | None = None,
    namespace: str | None = None,
    runtime_env: Mapping[str, Any] | None = None,
    object_spilling_directory: str | None = None,
    enable_resource_isolation: bool = False,
    cgroup_path: str | None = None,
    system_reserved_cpu: float | None = None,
    system_reserved_memory: int | None = None,
    **private: Any,
) -> RayContext:
    """Connect this program to a cluster, starting one if there is none.

    Parameters
    ----------
    address : str, optional
        "auto": the cluster that runs on this machine; "local": a new one; ``host:port`` of a
        cluster on this machine. None: ``WHIPRAY_ADDRESS``, else a running one, else a new one.
    num_cpus, num_gpus : float, optional
        What a new cluster has; counted by default.
    resources : dict, optional
        Custom resources of a new cluster.
    labels : dict, optional
        Labels of a new cluster's node.
    object_store_memory : int, optional
        Bytes of a new cluster's object store.
    ignore_reinit_error : bool
        Whether a second call gives the present context instead of an error.
    log_to_driver : bool
        Whether lines that workers print appear here.
    namespace : str, optional
        Namespace of named actors; one of the job's own by default.
    runtime_env : dict, optional
        Environment of the job's workers (`whipray.runtime_env`).

    Returns
    -------
    RayContext

    Raises
    ------
    RuntimeError
        If this program is connected already, or for an unknown keyword.
    TypeError, ValueError
        For an argument of a wrong type or value, before anything is started, and if a new
        cluster's options come with the address of a running one.
    ConnectionError
        If there is no cluster at the address.

    Examples
    --------
    >>> import whipray as ray
    >>> context = ray.init(num_cpus=2, ignore_reinit_error=True)
    >>> ray.is_initialized()
    True
    """
    given = {**locals(), **private}
    _check_private(private)
    arguments.check(given)
    present = sessions.current()
    if present is not None:
        if ignore_reinit_error:
            logger.warning("whipray.init() was called again; the present connection stays")
            return _context_of(present)
        raise RuntimeError(
            "whipray.init() was called twice; call whipray.shutdown() first, or say "
            "ignore_reinit_error=True"
        )
    if local_mode:
        raise RuntimeError("local_mode does not exist any more; run with num_cpus=1 to debug")
    for name in _NOT_BUILT:
        if given[name]:
            raise NotImplementedError(f"init({name}=...) is not built yet in Whipray")
    if include_dashboard:
        raise NotImplementedError("init(include_dashboard=True) is not built yet in Whipray")
    if configure_logging:
        _configure_logging(logging_level, logging_format)
    unread = config.unread()
    if unread:
        logger.warning(
            "%s: set in the environment, but not built yet in Whipray, and without effect",
            ", ".join(unread),
        )
    starting = {name: given[name] for name in _STARTING_ONLY if given[name] is not None}
    environment = _job_environment(runtime_env, job_config)
    space = namespace or (job_config.ray_namespace if job_config else None)
    space = space or config.text("NAMESPACE") or str(uuid.uuid4())
    if log_to_driver is None:
        log_to_driver = config.flag("LOG_TO_DRIVER", True)
    _raise_descriptor_limit()
    _open_standard_descriptors()

    folder = find_cluster(address)
    if folder is not None and starting:
        raise ValueError(
            f"{', '.join(starting)}: only for a new cluster, but this joins the one in {folder}"
        )
    node = None
    if folder is None:
        node = _start_node(starting, private)
        socket_path, token = node.socket_path, node.token
    else:
        socket_path, token = str(folder / "sockets" / "raylet"), paths.token()
    try:
        session = _connect(socket_path, token, space, environment, node, log_to_driver)
    except BaseException:
        if node is not None:
            node.stop()
        raise
    return _context_of(session)


def _check_private(private: Mapping[str, Any]) -> None:
    for name, value in private.items():
        if name not in _PRIVATE:
            known = [*_PRIVATE, *(init.__kwdefaults__ or ())]
            raise RuntimeError(f"init() has no keyword {name!r}{nearest(name, known)}")
        if name in _PRIVATE_NOT_BUILT and value is not None:
            raise NotImplementedError(f"init({name}=...) is not built yet in Whipray")


def _job_environment(
    runtime_env: Mapping[str, Any] | None, job_config: JobConfig | None
) -> dict[str, Any]:
    own = normalize(runtime_env)
    if job_config is not None and job_config.runtime_env:
        own = merge(normalize(job_config.runtime_env), own)
    given = config.text("RUNTIME_ENV")
    if not given:
        return own
    outer = normalize(json.loads(given))
    clash = sorted(set(outer.get("env_vars", {})) & set(own.get("env_vars", {})))
    if clash and not config.flag("OVERRIDE_JOB_RUNTIME_ENV", False):
        raise ValueError(
            f"runtime_env: {', '.join(clash)} is set by the job's submission, too; "
            "WHIPRAY_OVERRIDE_JOB_RUNTIME_ENV=1 lets this one win"
        )
    return merge(outer, own)


def _open_standard_descriptors() -> None:
    """Give closed ones of 0 to 2 (``program <&-``) to /dev/null.

    They would be given to the pool, to sockets and pipes: what a library prints went there.
    """
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= 2:
        os.set_inheritable(descriptor, True)  # as the standard ones of any other program
        descriptor = os.open(os.devnull, os.O_RDWR)
    os.close(descriptor)


def find_cluster(address: str | None) -> Path | None:
    """Return the session folder of the cluster to join; None: start one.

    Raises
    ------
    ConnectionError
        If there is none at the address.
    """
    chosen = address or config.text("ADDRESS")
    if chosen == "local":
        return None
    if chosen is None:
        return paths.running_cluster()
    if chosen == "auto":
        found = paths.running_cluster()
        if found is None:
            raise ConnectionError(
                "address='auto', but no cluster runs on this machine; start one by "
                "'whipray start --head', or leave the address out"
            )
        return found
    if chosen.startswith("ray://"):
        raise NotImplementedError(
            f"{chosen}: a driver outside the cluster is not built; run the program on a machine "
            "of the cluster, or submit it as a job there"
        )
    found = paths.session_of(chosen)
    if found is None:
        raise ConnectionError(
            f"no cluster of this user with the address {chosen!r} runs on this machine"
        )
    return found


def _start_node(starting: Mapping[str, Any], private: Mapping[str, Any]) -> Node:
    temp_dir = private.get("_temp_dir")
    if temp_dir is not None:
        try:
            os.makedirs(temp_dir, exist_ok=True)
        except OSError as error:
            raise ValueError(f"_temp_dir: the folder cannot be made: {error}") from None
    return Node(
        num_cpus=starting.get("num_cpus"),
        num_gpus=starting.get("num_gpus"),
        resources=starting.get("resources"),
        labels=starting.get("labels"),
        object_store_memory=starting.get("object_store_memory"),
        memory=private.get("_memory"),
        node_ip=private.get("_node_ip_address"),
        node_name=private.get("_node_name"),
        temp_dir=temp_dir,
        # The interpreter: its fork server becomes warm while the GCS starts.
        settings={"python": sys.executable, **(private.get("_system_config") or {})},
    )


def import_path() -> list[str]:
    """Return where this program found what each worker imports, if it had to be told.

    Left out are the folders that the interpreter looks into by itself. A running cluster's fork
    servers know only the ``PYTHONPATH`` that the cluster was started with.
    """
    own = {os.path.realpath(folder) for folder in site.getsitepackages()}
    own.add(os.path.realpath(site.getusersitepackages()))
    found = [str(PACKAGE.parent)]
    for name in _WORKERS_IMPORT:
        spec = None
        with contextlib.suppress(ImportError, ValueError):  # the program put something else there
            spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            found.append(os.path.dirname(os.path.dirname(os.path.abspath(spec.origin))))
    told = (folder for folder in found if os.path.realpath(folder) not in own)
    return [folder for folder in dict.fromkeys(told) if os.pathsep not in folder]


def job_record(
    namespace: str, environment: Mapping[str, Any], log_to_driver: bool
) -> dict[str, Any]:
    """Describe this program to the raylet: what its workers need before they load anything."""
    script = sys.argv[0] if sys.argv else ""
    try:
        here = os.getcwd()
    except FileNotFoundError as error:
        raise FileNotFoundError(
            error.errno,
            "the working directory of this program has been removed; workers start in it, too: "
            "os.chdir() to one that is there before whipray.init()",
        ) from None
    return {
        "namespace": namespace,
        "python": sys.executable,
        "cwd": here,
        "import_path": os.pathsep.join(import_path()),
        "sys_path": [os.path.abspath(part) if part else here for part in sys.path],
        "env": [],
        "runtime_env": to_json(environment),
        "entrypoint": " ".join(sys.argv) or sys.executable,
        "language": "python",
        "alias": int(config.alias_active),
        "log_to_driver": int(log_to_driver),
        "driver_script": os.path.abspath(script) if script and os.path.exists(script) else script,
    }


def _connect(
    socket_path: str,
    token: str,
    namespace: str,
    environment: dict[str, Any],
    node: Node | None,
    log_to_driver: bool,
) -> sessions.Session:
    hooks.install()
    hello = _core.pack({"job": job_record(namespace, environment, log_to_driver)})
    welcome = _core.unpack(_core.connect(_core.KIND_DRIVER, socket_path, token, hello))
    session = sessions.Session(
        kind=_core.KIND_DRIVER,
        number=_core.session(),
        welcome=welcome,
        runtime_env=environment,
        job_env=environment,
        node=node,
        log_to_driver=log_to_driver,
    )
    sessions.set_current(session)
    errors.Origin.raylet_end = node.how_it_ended if node is not None else None
    _install_handlers()
    if log_to_driver:
        session.logs = LogPrinter(socket_path, token, session.job, session.node_ip)
    return session


def _context_of(session: sessions.Session) -> RayContext:
    folder = session.session_dir
    return RayContext(
        {
            "node_ip_address": session.node_ip,
            "node_id": session.node_id.hex(),
            "gcs_address": session.gcs_address,
            "address": session.gcs_address,
            "redis_address": None,
            "webui_url": None,
            "object_store_address": None,
            "raylet_socket_name": session.socket_path,
            "raylet_ip_address": session.node_ip,
            "session_dir": folder,
            "temp_dir": os.path.dirname(folder.rstrip("/")),
            "metrics_export_port": None,
        }
    )


def auto_init() -> None:
    """Connect at first use (hook ``auto_init``).

    Raises
    ------
    RaySystemError
        In a worker, in a forked child, or if ``WHIPRAY_ENABLE_AUTO_CONNECT`` is 0.
    """
    if sessions.current() is not None:
        return
    if not config.flag("ENABLE_AUTO_CONNECT", True):
        raise RaySystemError(
            "whipray is not connected, and WHIPRAY_ENABLE_AUTO_CONNECT=0 keeps it from connecting "
            "by itself; call whipray.init()"
        )
    if sessions._forked:
        raise RaySystemError(
            "this process was forked from one that is connected; call whipray.init() in it, or "
            "make it by spawn instead of fork"
        )
    init()


def shutdown(*, wait_for_processes: bool = False) -> None:
    """End the connection, and the cluster if this process started it. Safe to call twice.

    Parameters
    ----------
    wait_for_processes : bool
        Kept for Ray's signature: a cluster of one's own is always waited for.
    """
    session = sessions.current()
    if session is None:
        leftover = sessions._current
        if leftover is not None and leftover.kind == _core.KIND_DRIVER:  # its raylet has died
            session = leftover
        else:
            return
    if session.kind == _core.KIND_WORKER:
        return
    if session.logs is not None:
        session.logs.stop()
        session.logs = None
    sessions.set_current(None)
    _core.disconnect()
    if session.node is not None:
        session.node.stop()


def _configure_logging(level: int | str, form: str | None) -> None:
    chosen = config.text("LOGGER_LEVEL")
    logger.setLevel((chosen or str(level)).upper() if isinstance(level, str) or chosen else level)
    if logger.handlers:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(
        logging.Formatter(
            form or "%(asctime)s\t%(levelname)s %(filename)s:%(lineno)s -- %(message)s"
        )
    )
    logger.addHandler(handler)
    logger.propagate = False


def _raise_descriptor_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError) as error:
            warnings.warn(f"the limit of open files stays at {soft}: {error}", stacklevel=2)


_handlers_installed = False


def _install_handlers() -> None:
    """Once: end the session when the program ends, by itself or by SIGTERM."""
    global _handlers_installed
    if _handlers_installed:
        return
    _handlers_installed = True
    atexit.register(_at_exit, os.getpid())
    in_main = threading.current_thread() is threading.main_thread()
    if in_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda number, stack: sys.exit(128 + number))


def _at_exit(pid: int) -> None:
    if os.getpid() != pid:  # a forked child that runs its parent's functions
        return
    try:
        shutdown()
    except RayError as error:
        logger.warning("at exit: %s", error)
