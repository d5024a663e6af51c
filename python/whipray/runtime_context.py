"""What a program can ask about where it runs."""

from __future__ import annotations

import logging
import os
from typing import Any

from whipray import _core
from whipray._private import session as sessions
from whipray._private.ids import ActorID, JobID, NodeID, PlacementGroupID, TaskID
from whipray._private.tasks import current_task
from whipray.runtime_env import RuntimeEnv, to_json

__all__ = ["RuntimeContext", "get_runtime_context"]

logger = logging.getLogger("whipray")


class RuntimeContext:
    """Where this code runs: job, node, worker, task, actor.

    Examples
    --------
    >>> import whipray as ray
    >>> @ray.remote
    ... def who():
    ...     return ray.get_runtime_context().get_task_name()
    >>> ray.get(who.options(name="me").remote())
    'me'
    """

    @property
    def _session(self) -> sessions.Session:
        return sessions.require()

    @property
    def _is_driver(self) -> bool:
        return self._session.kind == _core.KIND_DRIVER

    def get_job_id(self) -> str:
        """Return the job's id as hex."""
        return self._session.job_id.hex()

    def get_node_id(self) -> str:
        """Return this node's id as hex."""
        return self._session.node_id.hex()

    def get_worker_id(self) -> str:
        """Return this process's id as hex."""
        return self._session.worker_id.hex()

    def get_task_id(self) -> str | None:
        """Return the running task's id as hex; None, with a warning, on the driver."""
        task = current_task()
        if task is None:
            if self._is_driver:
                logger.warning("get_task_id() gives None on the driver: it runs no task")
            return None
        return TaskID(task.id).hex()

    def get_task_name(self) -> str | None:
        """Return the running task's name; None on the driver."""
        task = current_task()
        if task is None:
            return None
        extra = task.extra
        return extra.name if extra is not None and extra.name else str(task.name)

    def get_task_function_name(self) -> str | None:
        """Return the module and name of the running function; None on the driver."""
        task = current_task()
        if task is None:
            return None
        function = task.callable
        name = getattr(function, "__qualname__", None) or str(task.name)
        module = getattr(function, "__module__", None)
        return f"{module}.{name}" if module else name

    def get_actor_id(self) -> str | None:
        """Return the actor's id as hex; None outside actors."""
        raw = self._session.assignment.actor_id
        return None if raw is None else ActorID(raw).hex()

    def get_actor_name(self) -> str | None:
        """Return the actor's name; None outside actors, empty if it has none."""
        assignment = self._session.assignment
        return None if assignment.actor_id is None else assignment.actor_name

    def get_placement_group_id(self) -> str | None:
        """Return the id of the placement group that this runs in as hex, or None."""
        from whipray.util.placement_group import full_id

        raw = self._session.assignment.pg
        return None if raw is None else full_id(raw).hex()

    @property
    def namespace(self) -> str:
        """The job's namespace."""
        return self._session.namespace

    @property
    def gcs_address(self) -> str:
        """``host:port`` of the head."""
        return self._session.gcs_address

    @property
    def was_current_actor_reconstructed(self) -> bool:
        """Whether this actor lives its second life or a later one."""
        assignment = self._session.assignment
        if assignment.actor_id is None:
            raise RuntimeError("was_current_actor_reconstructed is for code inside an actor")
        return assignment.restarts > 0

    @property
    def current_actor(self) -> Any:
        """A weak handle of the actor that this runs in.

        Raises
        ------
        RuntimeError
            Outside an actor.
        """
        from whipray._private.worker_main import current_actor_handle

        if self._session.assignment.actor_id is None:
            raise RuntimeError("current_actor is for code inside an actor")
        return current_actor_handle()

    def get_accelerator_ids(self) -> dict[str, list[str]]:
        """Return the ids of the assigned accelerators, e.g. ``{"GPU": ["0"]}``."""
        return {"GPU": [str(gpu) for gpu in gpu_ids()]}

    def get_assigned_resources(self) -> dict[str, float]:
        """Return what this worker holds.

        Raises
        ------
        AssertionError
            On the driver.
        """
        if self._is_driver:
            raise AssertionError("get_assigned_resources() is for code in a worker")
        return dict(self._session.assignment.resources)

    def is_canceled(self) -> bool:
        """Whether somebody asked to cancel the running task or actor call.

        Raises
        ------
        RuntimeError
            On the driver and in asyncio actors, whose calls are cancelled by asyncio.
        """
        from whipray._private.worker_main import was_cancel_asked

        if self._is_driver:
            raise RuntimeError("is_canceled() is for code in a task or an actor")
        if self._session.assignment.asyncio:
            raise RuntimeError("is_canceled() is not for asyncio actors: catch CancelledError")
        task = current_task()
        return task is not None and was_cancel_asked(task.handle)

    @property
    def runtime_env(self) -> RuntimeEnv:
        """The runtime environment that this runs in."""
        return RuntimeEnv(**self._session.runtime_env)

    def get_runtime_env_string(self) -> str:
        """Return the runtime environment as JSON."""
        return to_json(self._session.runtime_env) or "{}"

    def get_node_labels(self) -> dict[str, str]:
        """Return the labels of this node."""
        from whipray._private.state import nodes

        mine = self.get_node_id()
        return next((node["Labels"] for node in nodes() if node["NodeID"] == mine), {})

    def get_session_name(self) -> str:
        """Return the name of the session's folder."""
        return os.path.basename(self._session.session_dir.rstrip("/"))

    def get_temp_dir(self) -> str:
        """Return the folder that the sessions of this user lie in."""
        return os.path.dirname(self._session.session_dir.rstrip("/"))

    @property
    def should_capture_child_tasks_in_placement_group(self) -> bool:
        """Whether what is started here runs in this placement group by itself."""
        return self._session.assignment.capture

    # Ray's deprecated spellings, which programs still use.

    def get(self) -> dict[str, Any]:
        """Return the ids that are known here."""
        context: dict[str, Any] = {
            "job_id": self.job_id,
            "node_id": self.node_id,
            "namespace": self.namespace,
        }
        if not self._is_driver:
            if current_task() is not None:
                context["task_id"] = self.task_id
            if self._session.assignment.actor_id is not None:
                context["actor_id"] = self.actor_id
        return context

    @property
    def job_id(self) -> JobID:
        """The job's id."""
        return self._session.job_id

    @property
    def node_id(self) -> NodeID:
        """This node's id."""
        return self._session.node_id

    @property
    def task_id(self) -> TaskID | None:
        """The running task's id."""
        task = current_task()
        return None if task is None else TaskID(task.id)

    @property
    def actor_id(self) -> ActorID | None:
        """The actor's id."""
        raw = self._session.assignment.actor_id
        return None if raw is None else ActorID(raw)

    @property
    def current_placement_group_id(self) -> PlacementGroupID | None:
        """The id of the placement group that this runs in."""
        text = self.get_placement_group_id()
        return None if text is None else PlacementGroupID.from_hex(text)

    def get_resource_ids(self) -> dict[str, list[str]]:
        """Return the ids of the assigned accelerators."""
        return self.get_accelerator_ids()


def gpu_ids() -> list[int | str]:
    """Return the GPUs of this worker, or what a driver may see."""
    session = sessions.require()
    if session.kind == _core.KIND_DRIVER:
        seen = os.environ.get("CUDA_VISIBLE_DEVICES")
        return [part for part in seen.split(",") if part] if seen else []
    given = session.assignment.gpu_ids
    return [int(gpu) if gpu.isdigit() else gpu for gpu in given]


_context = RuntimeContext()


def get_runtime_context() -> RuntimeContext:
    """Return what is known about where this code runs."""
    sessions.require()
    return _context
