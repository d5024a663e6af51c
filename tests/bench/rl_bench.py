"""What ``./dev bench rl`` measures; a line of JSON for each metric.

    {"metric": ..., "value": median, "unit": ..., "min": ..., "max": ..., "values": [...], "note":
    ...}

Each figure is the median of ``--repeat`` runs. ``--tiny`` runs everything once in small sizes, to
show that it works; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from whipray import _rl
from whipray.rl import PPOConfig, settings
from whipray.rl.options import nearest

Bench = Callable[["Run"], Iterator[dict[str, Any]]]
BENCHES: dict[str, Bench] = {}


class Run:
    """How much to do."""

    def __init__(self, tiny: bool, repeat: int) -> None:
        self.tiny = tiny
        self.repeat = 1 if tiny else repeat

    def size(self, full: int, tiny: int) -> int:
        return tiny if self.tiny else full

    def measure(
        self, metric: str, unit: str, once: Callable[[], float], note: str = "", repeat: int = 0
    ) -> dict[str, Any]:
        values = [once() for _ in range(repeat or self.repeat)]
        return {
            "metric": metric,
            "value": statistics.median(values),
            "unit": unit,
            "min": min(values),
            "max": max(values),
            "values": values,
            "note": note,
        }


def bench(function: Bench) -> Bench:
    """Register a bench under its function's name."""
    BENCHES[function.__name__] = function
    return function


@bench
def cartpole(run: Run) -> Iterator[dict[str, Any]]:
    """The environment alone, one core: random actions, auto-reset, observations written as [n,
    4]."""
    for count in (64, 1024):
        envs = _rl.Envs("CartPole-v1", count)
        obs, reward = np.empty((count, 4), np.float32), np.empty(count, np.float32)
        steps = run.size(40_000_000, 64_000) // count

        def once(
            envs: Any = envs,
            obs: Any = obs,
            reward: Any = reward,
            steps: int = steps,
            count: int = count,
        ) -> float:
            started = time.thread_time()
            episodes = envs.step_random(steps, obs, reward)
            taken = time.thread_time() - started
            assert 15 < steps * count / episodes < 35, "a random policy lasts about 22 steps"
            assert np.abs(obs[:, 2]).max() <= 0.21
            return steps * count / taken

        yield run.measure(f"cartpole_steps_{count}", "steps/s", once, "one core, CPU time")


@bench
def learner(run: Run) -> Iterator[dict[str, Any]]:
    """Forward, loss and backward on one core, as a share of what a loop of multiply-adds
    reaches."""
    peaks: list[float] = []

    def peak() -> float:
        peaks.append(_rl.peak_flops(run.size(300, 20)))
        return peaks[-1] / 1e9

    yield run.measure("fma_peak", "GFLOP/s", peak, f"one core, {_rl.kernels()[0]}")
    for hiddens, shared in (((64, 64), True), ((64, 64), False), ((256, 256), True)):
        config = settings.throughput(0, hiddens, shared).native(seed=1)
        config["fragment_steps"] = run.size(128, 16)
        config["minibatch"] = run.size(2048, 512)
        runner, learner_ = _rl.Runner(config), _rl.Learner(config, 1)
        weights = np.empty(_rl.check_config(config), np.float32)
        learner_.weights(weights)
        batch = np.empty(runner.batch_floats, np.float32)
        batch = batch[: runner.sample(weights, batch)]
        rounds = run.size(10 if hiddens[0] == 64 else 1, 1)

        def once(learner_: Any = learner_, batch: Any = batch, rounds: int = rounds) -> float:
            started = time.thread_time()
            samples, flop = learner_.exercise([batch], rounds)
            taken = time.thread_time() - started
            return samples * flop / taken / _rl.peak_flops(run.size(100, 5))

        name = "x".join(map(str, hiddens)) + ("" if shared else "_separate")
        yield run.measure(
            f"learner_share_{name}",
            "of the FMA loop",
            once,
            "one core, CPU time; forward + loss + backward",
        )


def _steps_per_second(config: PPOConfig, iterations: int) -> float:
    algo = config.build_algo()
    try:
        for _ in range(2):
            algo.train()
        started = time.perf_counter()
        for _ in range(iterations):
            result = algo.train()
        taken = time.perf_counter() - started
        steps = result["env_runners"]["num_env_steps_sampled"] * iterations
        assert result["num_env_steps_sampled_lifetime"] == steps + 2 * steps // iterations
        assert np.isfinite(result["learners"]["default_policy"]["total_loss"])
        runner_pids = algo.worker_pids()["env_runners"]
        assert len(set(runner_pids)) == config.num_env_runners and os.getpid() not in runner_pids
        return steps / taken
    finally:
        algo.stop()


SHAPES: dict[
    str, tuple[Callable[[int], PPOConfig], int, int]
] = {  # config by runners, runner actors, iterations
    "shared": (lambda runners: settings.throughput(runners), 2, 60),
    "separate": (lambda runners: settings.throughput(runners, shared=False), 2, 30),
    "small": (settings.small, 1, 1500),
}


@bench
def ppo_loop(run: Run) -> Iterator[dict[str, Any]]:
    """PPO end to end in one process, without daemons: two threads sample and learn."""
    for name, (make, _, iterations) in SHAPES.items():
        config = make(0).debugging(seed=1)
        yield run.measure(
            f"ppo_loop_{name}",
            "env steps/s",
            lambda c=config, n=iterations: _steps_per_second(c, run.size(n, 2)),
            "two threads",
        )


@bench
def ppo_actors(run: Run) -> Iterator[dict[str, Any]]:
    """The same with runners as actors, the learner in the driver with two threads, objects of the
    store between."""
    for name, (make, runners, iterations) in SHAPES.items():
        config = make(runners).debugging(seed=1)
        yield run.measure(
            f"ppo_actors_{name}",
            "env steps/s",
            lambda c=config, n=iterations: _steps_per_second(c, run.size(n, 2)),
            f"{runners} runner actors, learner in the driver",
        )
    config = settings.throughput(2).learners(num_learners=1).debugging(seed=1)
    yield run.measure(
        "ppo_actors_shared_learner_actor",
        "env steps/s",
        lambda: _steps_per_second(config, run.size(60, 2)),
        "2 runner actors, learner an actor",
    )


def _solve(
    make: Callable[[int], PPOConfig], runners: int, seeds: list[int], metric: str, note: str
) -> dict[str, Any]:
    seconds, env_steps, unsolved = [], [], []
    for seed in seeds:
        algo = make(runners).debugging(seed=seed).build_algo()
        pids = algo.worker_pids()["env_runners"]  # the actors are up
        assert len(set(pids)) == runners and os.getpid() not in pids
        started = time.perf_counter()
        while True:
            result = algo.train()["env_runners"]
            if result.get("episode_return_mean_best", 0) >= 475:
                break
            if result["num_env_steps_sampled_lifetime"] > 400_000:
                unsolved.append(seed)
                break
        seconds.append(time.perf_counter() - started)
        env_steps.append(result["num_env_steps_sampled_lifetime"])
        algo.stop()
    assert not unsolved, f"seeds {unsolved} did not reach 475"
    return {
        "metric": metric,
        "value": statistics.median(seconds),
        "unit": "s",
        "min": min(seconds),
        "max": max(seconds),
        "values": seconds,
        "note": f"{note}; env steps: median {int(statistics.median(env_steps))}, "
        f"worst {max(env_steps)}",
    }


@bench
def time_to_475(run: Run) -> Iterator[dict[str, Any]]:
    """Training until the last 100 episodes average 475; ten seeds, one run each."""
    seeds = list(range(1, run.size(11, 2)))
    for name, make in (("quick", settings.quick), ("quickest", settings.quickest)):
        yield _solve(make, 0, seeds, f"time_to_475_loop_{name}", "one process, two threads")


@bench
def time_to_475_actors(run: Run) -> Iterator[dict[str, Any]]:
    """The same with two runner actors."""
    seeds = list(range(1, run.size(11, 2)))
    for name, make in (("quick", settings.quick), ("quickest", settings.quickest)):
        yield _solve(
            make, 2, seeds, f"time_to_475_actors_{name}", "2 runner actors, learner in the driver"
        )


@bench
def command(run: Run) -> Iterator[dict[str, Any]]:
    """The main job as a command: seconds from its start to solved, cluster and interpreter
    included."""

    def once() -> float:
        with tempfile.TemporaryDirectory() as out:
            done = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "whipray.rl.main_job",
                    "--setting",
                    "quickest",
                    "--out",
                    out,
                ],
                capture_output=True,
                text=True,
                timeout=120,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            return float(
                json.loads((Path(out) / "summary.json").read_text())["seconds_since_command"]
            )

    yield run.measure("command_to_solved", "s", once, "2 runner actors; resolution 0.01 s")


def _pss_kib(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    found = re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)
    return int(found[1]) if found else 0


def _descendants(root: int) -> set[int]:
    """The process and all that it started, directly or not."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found, grew = {root}, True
    while grew:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        found |= more
        grew = bool(more)
    return found


@bench
def memory(run: Run) -> Iterator[dict[str, Any]]:
    """PSS of the driver and all that it started, after some iterations with two runners."""

    def once() -> float:
        algo = settings.quick(2).debugging(seed=1).build_algo()
        try:
            for _ in range(run.size(50, 2)):
                algo.train()
            processes = _descendants(os.getpid())
            assert set(algo.worker_pids()["env_runners"]) <= processes
            return sum(map(_pss_kib, processes)) / 1024
        finally:
            algo.stop()

    yield run.measure("memory_pss", "MiB", once, "driver, runners, idle workers, daemons", repeat=1)


@bench
def weights(run: Run) -> Iterator[dict[str, Any]]:
    """10 MB of weights from the driver to two runners: put, and until both have them."""
    import whipray as ray

    if not ray.is_initialized():
        ray.init(num_cpus=2)

    @ray.remote(num_cpus=0)
    class Reader:
        def take(self, weights: np.ndarray) -> tuple[int, int, float, float]:
            return os.getpid(), weights.size, float(weights[0]), float(weights[-1])

    readers = [Reader.remote() for _ in range(2)]
    new = np.zeros(run.size(2_500_000, 2_500), np.float32)

    def once() -> float:
        new[0] += 1
        new[-1] += 2
        started = time.perf_counter()
        ref = ray.put(new)
        answers = ray.get([reader.take.remote(ref) for reader in readers])
        taken = time.perf_counter() - started
        assert {answer[1:] for answer in answers} == {(new.size, new[0], new[-1])}
        assert len({os.getpid()} | {answer[0] for answer in answers}) == 3
        return taken * 1e3

    for _ in range(3):
        once()  # warm pages
    yield run.measure("weights_10MB", "ms", once, "put, and a call of each runner", repeat=25)
    ray.shutdown()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--tiny", action="store_true", help="small sizes, once: only shows that it runs"
    )
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument(
        "--only", nargs="*", default=[], metavar="BENCH", help=f"some of: {', '.join(BENCHES)}"
    )
    options = parser.parse_args()
    for name in options.only:
        if name not in BENCHES:
            parser.error(f"there is no bench '{name}'{nearest(name, BENCHES)}")
    run = Run(options.tiny, options.repeat)
    for name, function in BENCHES.items():
        if not options.only or name in options.only:
            for line in function(run):
                print(json.dumps(line), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
