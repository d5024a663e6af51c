"""Tools over tasks and actors."""

from __future__ import annotations

from typing import Any

from whipray._private import session as sessions
from whipray._private.serialization import deregister_serializer, register_serializer
from whipray._private.unbuilt import module_getattr
from whipray.util import scheduling_strategies
from whipray.util.actor_pool import ActorPool
from whipray.util.check_serialize import inspect_serializability
from whipray.util.placement_group import (
    get_current_placement_group,
    get_placement_group,
    placement_group,
    placement_group_table,
    remove_placement_group,
)

__all__ = [
    "ActorPool",
    "deregister_serializer",
    "disable_log_once_globally",
    "enable_periodic_logging",
    "get_current_placement_group",
    "get_node_instance_id",
    "get_node_ip_address",
    "get_placement_group",
    "inspect_serializability",
    "list_named_actors",
    "log_once",
    "placement_group",
    "placement_group_table",
    "register_serializer",
    "remove_placement_group",
    "scheduling_strategies",
]


def list_named_actors(all_namespaces: bool = False) -> list[Any]:
    """List the named actors that are alive or about to be.

    Parameters
    ----------
    all_namespaces : bool
        False: the names in this job's namespace. True: dicts with ``name`` and ``namespace``.

    Examples
    --------
    >>> import whipray as ray
    >>> ray.util.list_named_actors()  # doctest: +SKIP
    ['counter']
    """
    session = sessions.require()
    reply = sessions.call("actor_list", all_namespaces=1)
    found = [
        {"name": actor["name"], "namespace": actor["namespace"]}
        for actor in reply.get("actors") or []
    ]
    if all_namespaces:
        return found
    return [actor["name"] for actor in found if actor["namespace"] == session.namespace]


def get_node_ip_address(address: str = "8.8.8.8:53") -> str:
    """Return this node's address; before `init`, the one that leads to `address`."""
    session = sessions.current()
    if session is not None:
        return session.node_ip
    import socket

    host, _, port = address.rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, int(port)))  # sends nothing: only asks for the route
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def get_node_instance_id() -> str:
    """Return the id of the machine in its cloud; empty: nobody set it."""
    import os

    return os.environ.get("CLOUD_INSTANCE_ID") or os.environ.get("WHIPRAY_CLOUD_INSTANCE_ID") or ""


_logged: set[str] = set()
_log_once_off = False
_log_period: float | None = None
_log_times: dict[str, float] = {}


def log_once(key: str) -> bool:
    """Whether this is the first time that `key` is asked for (or its period has passed)."""
    import time

    if _log_once_off:
        return False
    now = time.monotonic()
    if key not in _logged:
        _logged.add(key)
        _log_times[key] = now
        return True
    if _log_period is not None and now - _log_times[key] > _log_period:
        _log_times[key] = now
        return True
    return False


def disable_log_once_globally() -> None:
    """Let `log_once` be false from now on."""
    global _log_once_off
    _log_once_off = True


def enable_periodic_logging() -> None:
    """Let `log_once` be true again once a minute for each key."""
    global _log_period
    _log_period = 60.0


__getattr__ = module_getattr(
    __name__,
    built=__all__,
    submodules=("annotations", "check_serialize", "debug", "queue", "serialization"),
)
