"""Whipray: tasks, actors and objects on a shared-memory engine, with Ray's core API.

Examples
--------
>>> import whipray as ray
>>> @ray.remote
... def square(n):
...     return n * n
>>> ray.get([square.remote(n) for n in range(3)])
[0, 1, 4]
"""

from __future__ import annotations

from whipray._core import ObjectRef, get, put, wait
from whipray._private.ids import (
    ActorClassID,
    ActorID,
    ClusterID,
    FunctionID,
    JobID,
    NodeID,
    PlacementGroupID,
    TaskID,
    UniqueID,
    WorkerID,
)
from whipray._private.language import Language, LoggingConfig
from whipray._private.session import SCRIPT_MODE, WORKER_MODE

__whipray_version__ = "0.1.0"
__version__ = __whipray_version__
__commit__ = "unknown"

ObjectID = ObjectRef

from whipray import exceptions  # noqa: E402
from whipray._private import session as _session  # noqa: E402
from whipray._private import unbuilt as _unbuilt  # noqa: E402
from whipray._private.awaiting import ObjectRefGenerator  # noqa: E402
from whipray._private.calls import cancel, kill, remote  # noqa: E402
from whipray._private.state import (  # noqa: E402
    available_resources,
    cluster_resources,
    nodes,
    timeline,
)
from whipray.actor import get_actor, method  # noqa: E402
from whipray.runtime_context import get_runtime_context, gpu_ids  # noqa: E402

from whipray import util  # noqa: E402  isort: skip
from whipray import actor, job_config, remote_function, runtime_context, runtime_env  # noqa: E402
from whipray._private import hooks as _hooks  # noqa: E402
from whipray._private.driver import RayContext, init, shutdown  # noqa: E402
from whipray._private.language import (  # noqa: E402
    client,
    cpp_actor_class,
    cpp_function,
    java_actor_class,
    java_function,
)

__all__ = [
    "SCRIPT_MODE",
    "WORKER_MODE",
    "ActorClassID",
    "ActorID",
    "ClusterID",
    "FunctionID",
    "JobID",
    "Language",
    "LoggingConfig",
    "NodeID",
    "ObjectID",
    "ObjectRef",
    "ObjectRefGenerator",
    "PlacementGroupID",
    "RayContext",
    "TaskID",
    "UniqueID",
    "WorkerID",
    "__commit__",
    "__version__",
    "actor",
    "available_resources",
    "cancel",
    "client",
    "cluster_resources",
    "cpp_actor_class",
    "cpp_function",
    "exceptions",
    "get",
    "get_actor",
    "get_gpu_ids",
    "get_runtime_context",
    "init",
    "is_initialized",
    "java_actor_class",
    "java_function",
    "job_config",
    "kill",
    "method",
    "nodes",
    "put",
    "remote",
    "remote_function",
    "runtime_context",
    "runtime_env",
    "shutdown",
    "timeline",
    "util",
    "wait",
]


def is_initialized() -> bool:
    """Whether this process is connected to a cluster; never connects."""
    return _session.current() is not None


def get_gpu_ids() -> list[int | str]:
    """Return the ids of the GPUs that this worker was given.

    On a driver: what ``CUDA_VISIBLE_DEVICES`` names.
    """
    return gpu_ids()


__getattr__ = _unbuilt.module_getattr(
    __name__,
    built=__all__,
    submodules=("cloudpickle", "compat", "experimental", "rl", "rllib"),
)

_unbuilt.install()
_hooks.install()
