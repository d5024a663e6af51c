"""Environment runners: actors that sample, and the group that keeps them alive."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from whipray import _rl


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
        for index in range(runners):
            self._start(index)

    def __len__(self) -> int:
        return len(self._parts)

    def _start(self, index: int) -> None:
        first, count = self._parts[index]
        actor = self._class.options(num_cpus=self._options["num_cpus"]).remote(
            self._config, first, count, self._iteration, self._last[index], self._states[index]
        )
        self._actors[index] = actor
        self._sample[index] = actor.sample.remote

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
        """Wait for the batches of :meth:`ask`, replacing runners that died."""
        try:
            return list(self._ray.get(refs))
        except self._ray.exceptions.RayActorError:
            return list(self._ray.get(self.repair(refs, weights)))

    def repair(self, refs: list[Any], weights: Any) -> list[Any]:
        """Replace every runner whose batch does not come; return references that all came."""
        refs = list(refs)
        for index in range(len(refs)):
            while True:
                try:
                    self._ray.get(refs[index])
                    break
                except self._ray.exceptions.RayActorError:
                    if self._restarts_left <= 0:
                        raise
                    self._restarts_left -= 1
                    self.restarts += 1
                    self._ray.kill(self._actors[index])  # it may only have been out of reach
                    self._start(index)
                    refs[index] = self._sample[index](weights)
        return refs

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
