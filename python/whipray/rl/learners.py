"""What runs an iteration: a loop in this process, runner actors with a learner here, or a learner
actor."""

from __future__ import annotations

import os
from typing import Any, Protocol

import numpy as np

from whipray import _rl
from whipray.rl.runners import LocalRunner, RunnerGroup

Stats = tuple[Any, ...]
EnvStates = list[tuple[int, int, bytes]]


class Engine(Protocol):
    """The parts of an algorithm that work: where they run is its only business."""

    @property
    def restarts(self) -> int:
        """Runners replaced so far."""

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
        self.set_rates = self._learner.set_rates
        self.set_weights = self._learner.set_weights

    @property
    def restarts(self) -> int:
        """Runners replaced so far."""
        return self._runners.restarts

    def iterate(self) -> Stats:
        """One object of weights, which all runners read; one batch from each."""
        self._learner.weights(self._weights)
        weights = self._ray.put(self._weights)
        batches = self._runners.receive(self._runners.ask(weights), weights)
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

    def update(self, *batches: Any) -> tuple[Stats, Any]:
        """Learn from one iteration; return statistics and the new weights."""
        return self._learner.update(batches), self.weights()

    def weights(self) -> Any:
        """A copy of the flat weights."""
        out = np.empty(self._count, np.float32)
        self._learner.weights(out)
        return out

    def set_rates(self, lr: float, entropy_coeff: float) -> None:
        """Set the learning rate and the entropy's weight."""
        self._learner.set_rates(lr, entropy_coeff)

    def set_weights(self, weights: Any) -> Any:
        """Replace the weights; return them as kept."""
        self._learner.set_weights(weights)
        return self.weights()

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
    alone."""

    def __init__(
        self,
        ray: Any,
        config: dict[str, Any],
        runners: RunnerGroup | LocalRunner,
        threads: int,
        num_cpus: float,
    ) -> None:
        self._ray = ray
        self._runners = runners
        self._learner = ray.remote(LearnerActor).options(num_cpus=num_cpus).remote(config, threads)
        self._update = self._learner.update.options(num_returns=2).remote
        self._weights = self._learner.weights.remote()

    @property
    def restarts(self) -> int:
        """Runners replaced so far."""
        return self._runners.restarts

    def iterate(self) -> Stats:
        """Ask the runners, hand their batches to the learner, wait for its statistics."""
        refs = self._runners.ask(self._weights)
        stats, weights = self._update(*refs)
        try:
            got: Stats = self._ray.get(stats)
        except self._ray.exceptions.RayError:
            repaired = self._runners.repair(refs, self._weights)
            if all(a is b for a, b in zip(refs, repaired, strict=True)):
                raise  # all batches came: it is the learner's own error
            refs = repaired
            stats, weights = self._update(*refs)
            got = self._ray.get(stats)
        self._weights = weights
        self._runners.keep(refs)
        return got

    def set_rates(self, lr: float, entropy_coeff: float) -> None:
        """Calls are in order: this one is before the next update."""
        self._learner.set_rates.remote(lr, entropy_coeff)

    def weights(self) -> Any:
        """A copy of the flat weights."""
        return np.array(self._ray.get(self._weights))

    def set_weights(self, weights: Any) -> None:
        """Replace the weights."""
        ref = self._learner.set_weights.remote(weights)
        self._ray.get(ref)
        self._weights = ref

    def state(self) -> tuple[bytes, EnvStates]:
        """Learner, and environments by runner."""
        return self._ray.get(self._learner.get_state.remote()), self._runners.states()

    def set_state(self, learner: bytes, envs: EnvStates, iteration: int) -> None:
        """Go on from a state."""
        self._weights = self._learner.set_state.remote(learner)
        self._ray.get(self._weights)
        self._runners.begin(iteration, _states_for(self._runners.parts, envs))

    def pids(self) -> dict[str, list[int]]:
        """Runners and learner."""
        return {
            "env_runners": self._runners.pids(),
            "learners": [self._ray.get(self._learner.pid.remote())],
        }

    def stop(self) -> None:
        """End runners and learner."""
        self._runners.stop()
        self._ray.kill(self._learner)
