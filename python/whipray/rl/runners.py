"""Environment runners: actors that sample, and the group that keeps them alive."""

from __future__ import annotations

import logging
import os
from typing import Any

import numpy as np

from whipray import _rl

WARN_AFTER_S = 10.0
logger = logging.getLogger("whipray.rl")


def cpus_of(ray: Any) -> tuple[float, float]:
    """CPUs of the cluster: all, and those that are free."""
    total = float(ray.cluster_resources().get("CPU", 0.0))
    return total, float(ray.available_resources().get("CPU", 0.0))


def wait_for_actors(ray: Any, actors: list[Any], what: str, cpus: float, timeout_s: float) -> None:
    """Wait until actors run; say what is missing after ``WARN_AFTER_S``.

    Parameters
    ----------
    actors : list of actor handles
        They have a method ``pid``.
    what : str
        What they are, for messages: ``"environment runner"``.
    cpus : float
        What each of them asks for.
    timeout_s : float
        How long.

    Raises
    ------
    TimeoutError
        They do not all run by then.
    """
    refs = [actor.pid.remote() for actor in actors]

    def missing(waiting: list[Any], seconds: float) -> str:
        total, free = cpus_of(ray)
        return (
            f"{len(waiting)} of {len(refs)} {what} actors did not start within {seconds:g} s: each "
            f"asks for {cpus:g} CPU, and {free:g} of the cluster's {total:g} are free. Stop what "
            f"holds them (another algorithm: its stop()), start the cluster with more "
            f"(init(num_cpus=...)), or ask for less (num_env_runners, num_cpus_per_env_runner)."
        )

    first = min(WARN_AFTER_S, timeout_s)
    _, waiting = ray.wait(refs, num_returns=len(refs), timeout=first)
    if waiting and timeout_s > first:
        logger.warning(
            "%s Waiting until %g s are over (sample_timeout_s).", missing(waiting, first), timeout_s
        )
        _, waiting = ray.wait(refs, num_returns=len(refs), timeout=timeout_s - first)
    if waiting:
        raise TimeoutError(missing(waiting, timeout_s) + " The limit is sample_timeout_s.")
    ray.get(refs)  # raises what a constructor raised


def parts_of(env_count: int, runners: int) -> list[tuple[int, int]]:
    """Split environments over runners.

    Returns
    -------
    list of (first, count)
        In order, each of the same count; `env_count` is a multiple of `runners`.
    """
    count = env_count // runners
    return [(i * count, count) for i in range(runners)]


class EnvRunner:
    """Samples a part of the environments, in its own process.

    Parameters
    ----------
    config : dict
        Of the C library.
    first, count : int
        Its environments.
    iteration : int
        The first to play, where nothing is restored.
    batch : ndarray of float32, optional
        The part's last batch that was received: go on from its end.
    state : bytes, optional
        As :meth:`get_state` gave it.
    """

    def __init__(
        self,
        config: dict[str, Any],
        first: int,
        count: int,
        iteration: int = 0,
        batch: Any = None,
        state: bytes | None = None,
    ) -> None:
        self._part = (config, first, count)
        self.begin(iteration, state)
        if batch is not None:
            self._runner.restore(batch)
        self._buffer = np.empty(self._runner.batch_floats, np.float32)

    def begin(self, iteration: int, state: bytes | None = None) -> None:
        """Start before `iteration`: from `state`, or with all environments anew."""
        self._runner = _rl.Runner(*self._part, 1, iteration)
        if state is not None:
            self._runner.set_state(state)

    def sample(self, weights: Any) -> Any:
        """Play one iteration with `weights`; return its batch, which is valid until the next
        call."""
        used = self._runner.sample(weights, self._buffer)
        return self._buffer[:used]

    def get_state(self) -> bytes:
        """The environments' state and the number of the next iteration."""
        return self._runner.state()

    def pid(self) -> int:
        """This process."""
        return os.getpid()


class RunnerGroup:
    """The runner actors of an algorithm: sampled together, replaced when they die.

    A dead runner's successor begins with the state that the environments had at the start of the
    iteration (the end of the last batch), and so plays the very same iteration again.
    """

    def __init__(
        self, ray: Any, config: dict[str, Any], runners: int, options: dict[str, Any]
    ) -> None:
        self._ray = ray
        self._config = config
        self._options = options
        self._restarts_left = int(options["max_restarts"]) if options["restart"] else 0
        self._class = ray.remote(EnvRunner)
        self._parts = parts_of(config["env_count"], runners)
        self.restarts = 0
        self._actors: list[Any] = [None] * runners
        self._sample: list[Any] = [None] * runners
        self._last: list[Any] = [None] * runners
        self._states: list[bytes | None] = [None] * runners
        self._iteration = 0
        self._timeout_s = float(options["timeout_s"])
        try:
            for index in range(runners):
                self._start(index)
            self._await(self._actors)
        except BaseException:
            self.stop()  # those that still wait would take the CPUs that others wait for
            raise

    def __len__(self) -> int:
        return len(self._parts)

    def _start(self, index: int) -> None:
        first, count = self._parts[index]
        actor = self._class.options(num_cpus=self._options["num_cpus"]).remote(
            self._config, first, count, self._iteration, self._last[index], self._states[index]
        )
        self._actors[index] = actor
        self._sample[index] = actor.sample.remote

    def _await(self, actors: list[Any]) -> None:
        cpus = self._options["num_cpus"]
        wait_for_actors(self._ray, actors, "environment runner", cpus, self._timeout_s)

    def begin(self, iteration: int, states: list[bytes | None]) -> None:
        """Go on before `iteration`, from `states` where there are any."""
        self._iteration = iteration
        self._states = list(states)
        self._last = [None] * len(self._parts)
        self._ray.get(
            [
                actor.begin.remote(iteration, state)
                for actor, state in zip(self._actors, states, strict=True)
            ]
        )

    def ask(self, weights: Any) -> list[Any]:
        """Ask all for an iteration with the weights that this reference is of; return their
        batches' references."""
        return [sample(weights) for sample in self._sample]

    def receive(self, refs: list[Any], weights: Any) -> list[Any]:
        """Wait for the batches of :meth:`ask`, replacing runners that died; raises TimeoutError
        after sample_timeout_s."""
        try:
            return list(self._ray.get(refs, timeout=self._timeout_s))
        except self._ray.exceptions.GetTimeoutError:
            raise self.late(refs) from None
        except self._ray.exceptions.RayActorError:
            return list(self._ray.get(self.repair(refs, weights)))

    def late(self, refs: list[Any]) -> TimeoutError:
        """The error for batches that did not come in time."""
        _, waiting = self._ray.wait(refs, num_returns=len(refs), timeout=0)
        return TimeoutError(
            f"{len(waiting)} of {len(refs)} environment runners did not sample their batch within "
            f"{self._timeout_s:g} s. Where an iteration needs longer, set "
            f".env_runners(sample_timeout_s=...) higher or train_batch_size_per_learner lower."
        )

    def came(self, refs: list[Any]) -> bool:
        """Whether every batch (or the error in its place) is there."""
        _, waiting = self._ray.wait(refs, num_returns=len(refs), timeout=0)
        return not waiting

    def repair(self, refs: list[Any], weights: Any) -> list[Any]:
        """Replace every runner whose batch does not come; return references that all came."""
        refs = list(refs)
        for index in range(len(refs)):
            while True:
                try:
                    self._ray.get(refs[index], timeout=self._timeout_s)
                    break
                except self._ray.exceptions.GetTimeoutError:
                    raise self.late(refs) from None
                except self._ray.exceptions.RayActorError:
                    if self._restarts_left <= 0:
                        raise
                    self._restarts_left -= 1
                    self.restarts += 1
                    self._ray.kill(self._actors[index])  # it may only have been out of reach
                    self._start(index)
                    self._await_successor(index)
                    refs[index] = self._sample[index](weights)
        return refs

    def _await_successor(self, index: int) -> None:
        try:
            self._await([self._actors[index]])
        except self._ray.exceptions.RayActorError:
            pass  # it died in turn: its batch will say so, and is counted there

    def keep(self, batches: list[Any]) -> None:
        """Note the batches (or their references) that have been learned from."""
        self._last = batches
        self._states = [None] * len(self._parts)
        self._iteration += 1

    def states(self) -> list[tuple[int, int, bytes]]:
        """(first, count, state) of each part."""
        got = self._ray.get([actor.get_state.remote() for actor in self._actors])
        return [(*part, state) for part, state in zip(self._parts, got, strict=True)]

    @property
    def parts(self) -> list[tuple[int, int]]:
        """(first, count) of each runner."""
        return self._parts

    def pids(self) -> list[int]:
        """The runners' processes."""
        return list(self._ray.get([actor.pid.remote() for actor in self._actors]))

    def stop(self) -> None:
        """End the actors."""
        for actor in self._actors:
            if actor is not None:
                self._ray.kill(actor)
        self._actors = []


class LocalRunner:
    """The same in the driver, where the learner is an actor and there are no runner actors."""

    restarts = 0

    def __init__(self, ray: Any, config: dict[str, Any]) -> None:
        self._ray = ray
        self._runner = EnvRunner(config, 0, config["env_count"])
        self.parts = [(0, config["env_count"])]

    def __len__(self) -> int:
        return 0

    def begin(self, iteration: int, states: list[bytes | None]) -> None:
        """Start before `iteration`, from a state if there is one."""
        self._runner.begin(iteration, states[0])

    def ask(self, weights: Any) -> list[Any]:
        """Sample now; return a reference to the batch."""
        return [self._ray.put(self._runner.sample(self._ray.get(weights)))]

    def came(self, refs: list[Any]) -> bool:
        """Always: sampling is done by this process."""
        del refs
        return True

    def late(self, refs: list[Any]) -> TimeoutError:
        """Never asked for; see :meth:`came`."""
        raise NotImplementedError

    def repair(self, refs: list[Any], weights: Any) -> list[Any]:
        """Nothing here can die alone."""
        del weights
        return refs

    def keep(self, batches: list[Any]) -> None:
        """Nothing to note: the state is here."""

    def states(self) -> list[tuple[int, int, bytes]]:
        """(first, count, state)."""
        return [(*self.parts[0], self._runner.get_state())]

    def pids(self) -> list[int]:
        """The driver's process is no runner's."""
        return []

    def stop(self) -> None:
        """Nothing to end."""
