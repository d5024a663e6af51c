"""What the cluster has and does: Ray's ``nodes``, ``cluster_resources`` and private state."""

from __future__ import annotations

from typing import Any

from whipray._private import session as sessions
from whipray._private.ids import ActorID, JobID, NodeID


def _hex(raw: Any, size: int) -> str:
    return raw.ljust(size, b"\0")[:size].hex() if isinstance(raw, bytes) else str(raw or "")


def nodes() -> list[dict[str, Any]]:
    """Describe each node of the cluster, the dead ones too.

    Examples
    --------
    >>> import whipray as ray
    >>> [node["Alive"] for node in ray.nodes()]
    [True]
    """
    session = sessions.require_connected("nodes()")
    found = []
    for node in sessions.call("nodes").get("nodes") or []:
        alive = bool(node.get("alive"))
        found.append(
            {
                "NodeID": _hex(node.get("node_id"), NodeID.SIZE),
                "Alive": alive,
                "NodeManagerAddress": node.get("address") or session.node_ip,
                "NodeManagerHostname": node.get("hostname") or "",
                "NodeManagerPort": int(node.get("port") or 0),
                "ObjectManagerPort": int(node.get("bulk_port") or 0),
                "ObjectStoreSocketName": "",
                "RayletSocketName": session.socket_path,
                "MetricsExportPort": 0,
                "NodeName": node.get("name") or node.get("address") or session.node_ip,
                "RuntimeEnvAgentPort": 0,
                "DeathReason": int(node.get("death_reason") or 0),
                "DeathReasonMessage": node.get("death_text") or "",
                "alive": alive,
                "Resources": _amounts(node.get("resources")),
                "Labels": dict(node.get("labels") or {}),
            }
        )
    return found


def _amounts(record: Any) -> dict[str, float]:
    return {name: float(amount) for name, amount in (record or {}).items() if amount}


def cluster_resources() -> dict[str, float]:
    """Return what all nodes have together."""
    sessions.require_connected("cluster_resources()")
    return _amounts(sessions.call("resources").get("total"))


def available_resources() -> dict[str, float]:
    """Return what is free now; what has nothing free is left out."""
    sessions.require_connected("available_resources()")
    return _amounts(sessions.call("resources").get("available"))


def timeline(filename: str | None = None) -> Any:
    """Return the cluster's task events in the form of Chrome's trace viewer.

    Not built yet: NotImplementedError.
    """
    sessions.require_connected("timeline()")
    raise NotImplementedError("timeline() is not built yet in Whipray")


def actors() -> dict[str, dict[str, Any]]:
    """Describe each actor by its hex id."""
    sessions.require_connected("actors()")
    found = {}
    for actor in sessions.call("actors").get("actors") or []:
        key = _hex(actor.get("actor_id"), ActorID.SIZE)
        found[key] = {
            "ActorID": key,
            "ActorClassName": actor.get("class_name") or "",
            "IsDetached": bool(actor.get("detached")),
            "Name": actor.get("name") or "",
            "JobID": JobID.from_int(int(actor.get("job") or 0)).hex(),
            "State": actor.get("state") or "",
            "NumRestarts": int(actor.get("restarts") or 0),
            "Pid": int(actor.get("pid") or 0),
        }
    return found


def jobs() -> list[dict[str, Any]]:
    """Describe each job."""
    sessions.require_connected("jobs()")
    return [dict(job) for job in sessions.call("jobs").get("jobs") or []]


def workers() -> list[dict[str, Any]]:
    """Describe each worker process."""
    sessions.require_connected("workers()")
    return [dict(worker) for worker in sessions.call("workers").get("workers") or []]


def node_ids() -> list[str]:
    """Return the hex ids of the nodes that are alive."""
    return [node["NodeID"] for node in nodes() if node["Alive"]]


def current_node_id() -> str:
    """Return this node's hex id."""
    return sessions.require_connected("current_node_id()").node_id.hex()


def total_resources_per_node() -> dict[str, dict[str, float]]:
    """Return what each living node has."""
    return {node["NodeID"]: node["Resources"] for node in nodes() if node["Alive"]}


def available_resources_per_node() -> dict[str, dict[str, float]]:
    """Return what is free on each node; there is one."""
    ids = node_ids()
    if len(ids) > 1:
        raise NotImplementedError(
            "available_resources_per_node() of several nodes is not built yet in Whipray"
        )
    return {node: available_resources() for node in ids}


def status() -> dict[str, Any]:
    """Return what ``whipray status`` prints, as a dict."""
    sessions.require_connected("status()")
    return sessions.call("status")
