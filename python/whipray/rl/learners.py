"""What runs an iteration: a loop in this process, runner actors with a learner here, or a learner
actor."""

from __future__ import annotations

import os
import time
from typing import Any, Protocol

import numpy as np

from whipray import _rl
from whipray.rl.runners import LocalRunner, RunnerGroup, wait_for_actors

Stats = tuple[Any, ...]
EnvStates = list[tuple[int, int, bytes]]


class Engine(Protocol):
    """The parts of an algorithm that work: where they run is its only business."""

    @property
    def restarts(self) -> int:
        """Actors replaced so far."""

    @property
    def sample_seconds(self) -> float:
        """What of the last iteration's time went by in sampling, its transport included."""

    def iterate(self) -> Stats:
        """Sample and learn once; statistics in the order of ``_rl.STATS``."""

    def set_rates(self, lr: float, entropy_coeff: float) -> None:
        """Set the learning rate and the entropy's weight from the next iteration on."""

    def weights(self) -> Any:
        """A copy of the flat weights, float32."""

    def set_weights(self, weights: Any) -> None:
        """Replace the weights."""

    def state(self) -> tuple[bytes, EnvStates]:
        """The learner's state, and that of the environments by part."""

    def set_state(self, learner: bytes, envs: EnvStates, iteration: int) -> None:
        """Go on from a state; environments of other parts start anew."""

    def pids(self) -> dict[str, list[int]]:
        """Processes of "env_runners" and "learners" other than this one."""

    def stop(self) -> None:
        """End what was started."""


def _states_for(parts: list[tuple[int, int]], envs: EnvStates) -> list[bytes | None]:
    known = {(first, count): state for first, count, state in envs}
    return [known.get(part) for part in parts]


class LocalEngine:
    """Runner and learner in this process, on the same threads; needs no cluster."""

    restarts = 0

    def __init__(self, config: dict[str, Any], threads: int) -> None:
        self._config = config
        self._threads = threads
        self._count = _rl.check_config(config)
        self._start()

    def _start(self) -> None:
        self._loop = _rl.Loop(self._config, self._threads)
        self._learner = self._loop.learner
        self.iterate = self._loop.train
        self.set_rates = self._learner.set_rates
        self.set_weights = self._learner.set_weights

    @property
    def sample_seconds(self) -> float:
        """As the loop measured it."""
        return float(self._loop.sample_seconds)

    def weights(self) -> Any:
        """A copy of the flat weights."""
        out = np.empty(self._count, np.float32)
        self._learner.weights(out)
        return out

    def state(self) -> tuple[bytes, EnvStates]:
        """Learner, and environments as one part."""
        return self._learner.state(), [(0, self._config["env_count"], self._loop.runner.state())]

    def set_state(self, learner: bytes, envs: EnvStates, iteration: int) -> None:
        """Go on from a state."""
        [state] = _states_for([(0, self._config["env_count"])], envs)
        if state is None:
            state = _rl.Runner(self._config, iteration=iteration).state()
        self._loop.runner.set_state(state)
        self._learner.set_state(learner)

    def pids(self) -> dict[str, list[int]]:
        """None but this one."""
        return {"env_runners": [], "learners": []}

    def stop(self) -> None:
        """Nothing to end."""


class DriverLearner:
    """Runner actors; the learner in this process reads their batches in place."""

    def __init__(
        self, ray: Any, config: dict[str, Any], runners: RunnerGroup, threads: int
    ) -> None:
        self._ray = ray
        self._learner = _rl.Learner(config, threads)
        self._runners = runners
        self._weights = np.empty(_rl.check_config(config), np.float32)
        self.sample_seconds = 0.0
        self.set_rates = self._learner.set_rates
        self.set_weights = self._learner.set_weights

    @property
    def restarts(self) -> int:
        """Runners replaced so far."""
        return self._runners.restarts

    def iterate(self) -> Stats:
        """One object of weights, which all runners read; one batch from each."""
        started = time.perf_counter()
        self._learner.weights(self._weights)
        weights = self._ray.put(self._weights)
        batches = self._runners.receive(self._runners.ask(weights), weights)
        self.sample_seconds = time.perf_counter() - started
        stats: Stats = self._learner.update(batches)
        self._runners.keep(batches)
        return stats

    def weights(self) -> Any:
        """A copy of the flat weights."""
        self._learner.weights(self._weights)
        return self._weights.copy()

    def state(self) -> tuple[bytes, EnvStates]:
        """Learner, and environments by runner."""
        return self._learner.state(), self._runners.states()

    def set_state(self, learner: bytes, envs: EnvStates, iteration: int) -> None:
        """Go on from a state."""
        self._learner.set_state(learner)
        self._runners.begin(iteration, _states_for(self._runners.parts, envs))

    def pids(self) -> dict[str, list[int]]:
        """The runners'; the learner is here."""
        return {"env_runners": self._runners.pids(), "learners": []}

    def stop(self) -> None:
        """End the runners."""
        self._runners.stop()


class LearnerActor:
    """A learner in its own process: batches come in as objects, weights go out as one."""

    def __init__(self, config: dict[str, Any], threads: int) -> None:
        self._learner = _rl.Learner(config, threads)
        self._count = _rl.check_config(config)

    def update(self, *batches: Any) -> tuple[tuple[float, Stats], Any, bytes]:
        """Learn from one iteration; return the seconds that took and the statistics, the new
        weights, and the whole state for a successor."""
        started = time.perf_counter()
        stats = self._learner.update(batches)
        seconds = time.perf_counter() - started
        return (seconds, stats), self.weights(), self._learner.state()

    def weights(self) -> Any:
        """A copy of the flat weights."""
        out = np.empty(self._count, np.float32)
        self._learner.weights(out)
        return out

    def set_rates(self, lr: float, entropy_coeff: float) -> None:
        """Set the learning rate and the entropy's weight."""
        self._learner.set_rates(lr, entropy_coeff)

    def set_weights(self, weights: Any) -> bytes:
        """Replace the weights; return the whole state."""
        self._learner.set_weights(weights)
        return self._learner.state()

    def get_state(self) -> bytes:
        """All of it."""
        return self._learner.state()

    def set_state(self, state: bytes) -> Any:
        """Go on from a state; return its weights."""
        self._learner.set_state(state)
        return self.weights()

    def pid(self) -> int:
        """This process."""
        return os.getpid()


class RemoteLearner:
    """A learner actor; batches and weights pass from actor to actor, the driver sees statistics
    alone.

    Each update leaves the learner's state in the store. When the learner dies, its successor takes
    that state and the same batches, and so makes the very same update.
    """

    def __init__(
        self,
        ray: Any,
        config: dict[str, Any],
        runners: RunnerGroup | LocalRunner,
        threads: int,
        options: dict[str, Any],
    ) -> None:
        self._ray = ray
        self._runners = runners
        self._args = (config, threads)
        self._options = options
        self._restarts_left = int(options["max_restarts"]) if options["restart"] else 0
        self._restarts = 0
        self._rates: tuple[float, float] | None = None
        self._state: Any = None  # a reference to the last known one; None: as it begins
        self.sample_seconds = 0.0
        self._learner: Any = None
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        """Start a learner from the last known state."""
        cpus = self._options["num_cpus"]
        self._learner = self._ray.remote(LearnerActor).options(num_cpus=cpus).remote(*self._args)
        wait_for_actors(self._ray, [self._learner], "learner", cpus, self._options["timeout_s"])
        self._update = self._learner.update.options(num_returns=3).remote
        if self._state is None:
            self._weights = self._learner.weights.remote()
        else:
            self._weights = self._learner.set_state.remote(self._state)
        if self._rates is not None:
            self._learner.set_rates.remote(*self._rates)

    def _replace(self, error: BaseException) -> None:
        """Replace a learner that died of `error`; raise that where no restarts are left."""
        if self._restarts_left <= 0:
            raise error
        self._restarts_left -= 1
        self._restarts += 1
        self._ray.kill(self._learner)  # it may only have been out of reach
        self._start()

    def _ask(self, method: str, *args: Any) -> Any:
        """A reference to what a method of the learner returned, which is there."""
        while True:
            ref = getattr(self._learner, method).remote(*args)
            try:
                self._ray.get(ref)
                return ref
            except self._ray.exceptions.RayActorError as error:
                self._replace(error)

    @property
    def restarts(self) -> int:
        """Runners and learners replaced so far."""
        return self._runners.restarts + self._restarts

    def _wait(self, stats: Any, refs: list[Any]) -> tuple[float, Stats]:
        """The result of an update. Runners have sample_timeout_s; learning takes what it takes."""
        while True:
            try:
                got: tuple[float, Stats] = self._ray.get(stats, timeout=self._options["timeout_s"])
                return got
            except self._ray.exceptions.GetTimeoutError:
                if not self._runners.came(refs):
                    raise self._runners.late(refs) from None

    def iterate(self) -> Stats:
        """Ask the runners, hand their batches to the learner, wait for its statistics."""
        started = time.perf_counter()
        refs = self._runners.ask(self._weights)
        while True:
            stats, weights, state = self._update(*refs)
            try:
                seconds, got = self._wait(stats, refs)
                break
            except self._ray.exceptions.RayError as error:
                refs = self._repair(refs, error)
        self.sample_seconds = max(0.0, time.perf_counter() - started - seconds)
        self._weights, self._state = weights, state
        self._runners.keep(refs)
        return got

    def _repair(self, refs: list[Any], error: BaseException) -> list[Any]:
        """Replace what died in an iteration; return references to its batches."""
        try:
            self._ray.get(self._weights)
        except self._ray.exceptions.RayActorError as lost:
            self._replace(lost)  # before it gave any weights: nobody could sample
            return self._runners.ask(self._weights)
        repaired = self._runners.repair(refs, self._weights)
        if all(a is b for a, b in zip(refs, repaired, strict=True)):  # all batches came
            if not isinstance(error, self._ray.exceptions.RayActorError):
                raise error
            self._replace(error)
        return repaired

    def set_rates(self, lr: float, entropy_coeff: float) -> None:
        """Calls are in order: this one is before the next update."""
        self._rates = (lr, entropy_coeff)
        self._learner.set_rates.remote(lr, entropy_coeff)

    def weights(self) -> Any:
        """A copy of the flat weights."""
        try:
            return np.array(self._ray.get(self._weights))
        except self._ray.exceptions.RayActorError as error:
            self._replace(error)
            return np.array(self._ray.get(self._weights))

    def set_weights(self, weights: Any) -> None:
        """Replace the weights."""
        self._state = self._ask("set_weights", weights)
        self._weights = self._ask("weights")

    def state(self) -> tuple[bytes, EnvStates]:
        """Learner, and environments by runner."""
        if self._state is None:
            self._state = self._ask("get_state")
        return bytes(self._ray.get(self._state)), self._runners.states()

    def set_state(self, learner: bytes, envs: EnvStates, iteration: int) -> None:
        """Go on from a state."""
        self._weights = self._ask("set_state", learner)
        self._state = self._ray.put(learner)
        self._runners.begin(iteration, _states_for(self._runners.parts, envs))

    def pids(self) -> dict[str, list[int]]:
        """Runners and learner."""
        return {
            "env_runners": self._runners.pids(),
            "learners": [self._ray.get(self._ask("pid"))],
        }

    def stop(self) -> None:
        """End runners and learner."""
        self._runners.stop()
        if self._learner is not None:
            self._ray.kill(self._learner)
