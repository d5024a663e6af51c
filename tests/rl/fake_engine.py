"""The few calls of the engine that ``whipray.rl`` uses, in this process, with deaths on demand."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any

import numpy as np


class RayError(Exception):
    """As the engine's."""


class RayActorError(RayError):
    """As the engine's."""


class RayTaskError(RayError):
    """As the engine's."""


class GetTimeoutError(RayError):
    """As the engine's."""


def _seal(value: Any) -> Any:
    """What a store does to a value: a copy that nobody writes to."""
    if isinstance(value, np.ndarray):
        value = value.copy()
        value.flags.writeable = False
    return value


class Ref:
    """An object, or the error in its place."""

    def __init__(
        self, value: Any = None, error: BaseException | None = None, method: str = ""
    ) -> None:
        self.value, self.error, self.method = value, error, method


class FakeEngine:
    """Counts objects and calls; ``kill_next`` makes the n-th call from now of a method end its
    actor."""

    exceptions = SimpleNamespace(
        RayError=RayError,
        RayActorError=RayActorError,
        RayTaskError=RayTaskError,
        GetTimeoutError=GetTimeoutError,
    )

    def __init__(self) -> None:
        self.puts: list[Any] = []
        self.calls: list[str] = []
        self.actors: list[Any] = []
        self._deaths: dict[str, int] = {}
        self.waits: list[float] = []
        self.cpus = 16.0
        self.never: set[str] = set()  # methods whose results do not come
        self.late: dict[str, int] = {}  # methods whose results come with the n-th wait

    def is_initialized(self) -> bool:
        return True

    def init(self, *args: Any, **kwargs: Any) -> None:
        raise AssertionError("is_initialized is True")

    def kill_next(self, method: str, count: int = 1) -> None:
        self._deaths[method] = count

    def _dies_now(self, method: str) -> bool:
        if method in self._deaths:
            self._deaths[method] -= 1
            if self._deaths[method] == 0:
                del self._deaths[method]
                return True
        return False

    def put(self, value: Any) -> Ref:
        ref = Ref(_seal(value))
        self.puts.append(ref)
        return ref

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": self.cpus}

    def available_resources(self) -> dict[str, float]:
        return {"CPU": 0.5}

    def wait(self, refs: list[Any], num_returns: int, timeout: float) -> Any:
        assert num_returns == len(refs)
        self.waits.append(timeout)
        for method in list(self.late):
            self.late[method] -= 1
            if self.late[method] == 0:
                del self.late[method]
        waiting = [r for r in refs if r.method in self.never or r.method in self.late]
        return [r for r in refs if r not in waiting], waiting

    def get(self, refs: Any, timeout: float | None = None) -> Any:
        if isinstance(refs, list):
            return [self.get(r, timeout) for r in refs]
        if refs.method in self.never:
            assert timeout is not None, "a wait without an end"
            raise GetTimeoutError("it did not come")
        if refs.error is not None:
            raise refs.error
        return refs.value

    def kill(self, actor: Any) -> None:
        actor.dead = True

    def remote(self, cls: type) -> Any:
        engine = self

        class Class:
            def options(self, **options: Any) -> Any:
                engine.last_options = options
                return self

            def remote(self, *args: Any, **kwargs: Any) -> Any:
                values = [a.value if isinstance(a, Ref) else _seal(a) for a in args]
                actor = Actor(engine, cls(*values, **kwargs))
                engine.actors.append(actor)
                return actor

        return Class()


class Actor:
    """A handle."""

    def __init__(self, engine: FakeEngine, instance: Any) -> None:
        self._engine, self._instance = engine, instance
        self.dead = False

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._instance, name)
        assert inspect.ismethod(method)
        return Method(self, name, method)


class Method:
    """A method of a handle."""

    def __init__(self, actor: Actor, name: str, method: Any, num_returns: int = 1) -> None:
        self._actor, self._name, self._method, self._num_returns = actor, name, method, num_returns

    def options(self, num_returns: int = 1) -> Any:
        return Method(self._actor, self._name, self._method, num_returns)

    def _fail(self, error: BaseException) -> Any:
        refs = [Ref(error=error) for _ in range(self._num_returns)]
        return refs[0] if self._num_returns == 1 else refs

    def remote(self, *args: Any) -> Any:
        engine = self._actor._engine
        engine.calls.append(self._name)
        if engine._dies_now(self._name):
            self._actor.dead = True
        if self._actor.dead:
            return self._fail(RayActorError("the actor died"))
        for arg in args:
            if isinstance(arg, Ref) and arg.error is not None:
                return self._fail(arg.error)  # a task whose argument failed fails with its error
        value = self._method(*[a.value if isinstance(a, Ref) else _seal(a) for a in args])
        if self._num_returns == 1:
            return Ref(_seal(value), method=self._name)
        return [Ref(_seal(v), method=self._name) for v in value]
