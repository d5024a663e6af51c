"""Settings of a job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from whipray.runtime_env import normalize

__all__ = ["JobConfig"]


class JobConfig:
    """What `init` may be told about a job.

    Parameters
    ----------
    runtime_env : dict, optional
        Environment of the job's workers.
    ray_namespace : str, optional
        Namespace of its named actors.
    metadata : dict, optional
        Anything; kept.
    """

    def __init__(
        self,
        jvm_options: list[str] | None = None,
        code_search_path: list[str] | None = None,
        runtime_env: Mapping[str, Any] | None = None,
        _client_job: bool = False,
        metadata: dict[str, Any] | None = None,
        ray_namespace: str | None = None,
        default_actor_lifetime: str = "non_detached",
        _py_driver_sys_path: list[str] | None = None,
    ) -> None:
        for name, value in (
            ("jvm_options", jvm_options),
            ("code_search_path", code_search_path),
            ("_client_job", _client_job),
            ("_py_driver_sys_path", _py_driver_sys_path),
        ):
            if value:
                raise NotImplementedError(f"JobConfig({name}=...) is not built yet in Whipray")
        if default_actor_lifetime not in ("detached", "non_detached"):
            raise ValueError(
                "default_actor_lifetime must be 'detached' or 'non_detached', not "
                f"{default_actor_lifetime!r}"
            )
        if default_actor_lifetime == "detached":
            raise NotImplementedError(
                "JobConfig(default_actor_lifetime='detached') is not built yet in Whipray"
            )
        normalize(runtime_env)
        self.runtime_env = dict(runtime_env) if runtime_env else {}
        self.metadata = metadata or {}
        self.ray_namespace = ray_namespace
        self.default_actor_lifetime = default_actor_lifetime

    def set_ray_namespace(self, ray_namespace: str) -> None:
        """Set the namespace of named actors."""
        self.ray_namespace = ray_namespace

    def set_runtime_env(self, runtime_env: Mapping[str, Any] | None) -> None:
        """Set the environment of the job's workers."""
        normalize(runtime_env)
        self.runtime_env = dict(runtime_env) if runtime_env else {}

    def set_metadata(self, key: str, value: str) -> None:
        """Keep one fact about the job."""
        self.metadata[key] = value
