"""Training through the engine's own processes: who works where, what passes through the store,
what a death costs."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from whipray.rl import settings

pytestmark = pytest.mark.engine
ROOT = Path(__file__).resolve().parents[2]


def train_until_solved(algo, env_steps_max=200_000, each=lambda iteration: None):
    while True:
        result = algo.train()
        each(algo.iteration)
        if result["env_runners"].get("episode_return_mean_best", 0) >= 475:
            return result
        assert result["env_runners"]["num_env_steps_sampled_lifetime"] < env_steps_max, "not solved"


def counters_of(pids):
    from whipray._private.api import engine_counters

    return {slot["pid"]: slot for slot in engine_counters()["slots"] if slot["pid"] in pids}


def weights_of(algo):
    return algo.get_weights()["default_policy"]


def same(a, b):
    return all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("learners", [0, 1])
def test_two_runners_solve_cartpole_through_the_store(engine, learners):
    config = settings.quick(2).learners(num_learners=learners).debugging(seed=1)
    algo = config.build_algo()
    try:
        pids = algo.worker_pids()
        assert len(set(pids["env_runners"])) == 2
        assert len(pids["learners"]) == learners
        assert os.getpid() not in pids["env_runners"] + pids["learners"]
        before = counters_of([os.getpid()])[os.getpid()]
        result = train_until_solved(algo)
        steps = result["env_runners"]["num_env_steps_sampled_lifetime"]
        # Observation, action, advantage, target, value, two log-probabilities, padding.
        record_bytes = 4 * 16
        counted = counters_of(pids["env_runners"])
        assert sum(c["bytes_sealed"] for c in counted.values()) >= steps * record_bytes
        for c in counted.values():
            assert c["calls_executed"] >= algo.iteration
            assert c["objects_sealed"] >= algo.iteration
        if learners == 0:  # an iteration's weights: one object, put once, read by both runners
            own = counters_of([os.getpid()])[os.getpid()]
            assert own["objects_put"] - before["objects_put"] == algo.iteration
        assert algo.evaluate()["env_runners"]["episode_return_mean"] >= 450
    finally:
        algo.stop()


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_five_seeds_solve_within_the_bound(engine, seed):
    algo = settings.quick(2).debugging(seed=seed).build_algo()
    try:
        result = train_until_solved(
            algo, env_steps_max=122_880
        )  # 1.5 x the worst of 64 other seeds
        assert result["env_runners"]["episode_return_mean_best"] >= 475
    finally:
        algo.stop()


def test_the_small_shape_solves_with_one_runner(engine):
    algo = settings.small(1).debugging(seed=1).build_algo()
    try:
        train_until_solved(algo, env_steps_max=792_000)  # 1.5 x the worst of 64 other seeds
    finally:
        algo.stop()


def test_bits_are_those_of_one_process(engine):
    def weights(runners, learners):
        algo = (
            settings.quick(runners).learners(num_learners=learners).debugging(seed=4).build_algo()
        )
        try:
            for _ in range(5):
                algo.train()
            return weights_of(algo)
        finally:
            algo.stop()

    reference = weights(0, 0)
    for runners, learners in ((1, 0), (2, 0), (2, 1), (0, 1)):
        assert same(reference, weights(runners, learners)), (runners, learners)


@pytest.mark.parametrize("learners", [0, 1])
def test_a_killed_runner_is_replaced_and_the_run_solves_with_the_same_bits(engine, learners):
    config = settings.quick(2).learners(num_learners=learners).debugging(seed=2)
    calm = settings.quick(0).debugging(seed=2).build_algo()
    calm_result = train_until_solved(calm)
    algo = config.build_algo()
    try:
        killed = []

        def kill(iteration):
            if iteration in (3, 20):
                victim = algo.worker_pids()["env_runners"][iteration % 2]
                os.kill(victim, signal.SIGKILL)
                killed.append(victim)

        result = train_until_solved(algo, each=kill)
        assert len(killed) == 2
        assert result["fault_tolerance"]["num_remote_worker_restarts"] == 2
        assert not set(killed) & set(algo.worker_pids()["env_runners"])
        assert result["training_iteration"] == calm_result["training_iteration"]
        assert same(weights_of(calm), weights_of(algo))
    finally:
        algo.stop()


def test_a_killed_learner_is_replaced_with_the_same_bits(engine):
    calm = settings.quick(0).debugging(seed=6).build_algo()
    algo = settings.quick(2).learners(num_learners=1).debugging(seed=6).build_algo()
    try:
        for iteration in range(8):
            if iteration in (1, 5):
                [victim] = algo.worker_pids()["learners"]
                os.kill(victim, signal.SIGKILL)
            calm.train()
            result = algo.train()
        assert algo.worker_pids()["learners"] != [victim]
        assert result["fault_tolerance"]["num_remote_worker_restarts"] == 2
        assert same(weights_of(calm), weights_of(algo))
    finally:
        algo.stop()


def test_more_runners_than_the_cluster_has_cpus_are_refused_at_once(engine):
    with pytest.raises(ValueError, match=r"num_env_runners is 32.*32 CPU.*has 16.*At most 16"):
        settings.quick(32).build_algo()
    config = settings.quick(2).learners(num_learners=1, num_cpus_per_learner=15)
    with pytest.raises(ValueError, match="the learner 15 that is 17 CPU, and the cluster has 16"):
        config.build_algo()
    algo = settings.quick(32).env_runners(num_cpus_per_env_runner=0.5).build_algo()
    algo.stop()


def test_an_algorithm_that_waits_for_anothers_cpus_says_so_and_gives_up(
    engine, caplog, monkeypatch
):
    monkeypatch.setattr("whipray.rl.runners.WARN_AFTER_S", 0.1)
    first = settings.quick(2).env_runners(num_cpus_per_env_runner=7).build_algo()
    second = settings.quick(2).env_runners(num_cpus_per_env_runner=2, sample_timeout_s=0.5)
    try:
        first.train()
        with pytest.raises(TimeoutError, match="sample_timeout_s"):
            second.build_algo()
        assert re.search("[12] of 2 environment runner actors did not start", caplog.text)
        assert "of the cluster's 16 are free" in caplog.text
        first.train()  # undisturbed
    finally:
        first.stop()
    algo = second.env_runners(sample_timeout_s=60).build_algo()  # nothing of the failed one is left
    algo.train()
    algo.stop()


def test_a_damaged_runner_state_is_refused_before_any_actor_starts(engine, tmp_path):
    algo = settings.quick(2).debugging(seed=3).build_algo()
    try:
        algo.train()
        path = algo.save_to_path(tmp_path)
        file = tmp_path / "env_runner" / "16_16.bin"
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        with pytest.raises(ValueError, match=r"env_runner/16_16\.bin is damaged"):
            type(algo).from_checkpoint(path)
        with pytest.raises(ValueError, match=r"env_runner/16_16\.bin is damaged"):
            algo.restore_from_path(path)
        algo.train()
    finally:
        algo.stop()


def test_a_checkpoint_moves_between_numbers_of_runners(engine, tmp_path):
    algo = settings.quick(2).debugging(seed=3).build_algo()
    try:
        for _ in range(3):
            algo.train()
        path = algo.save_to_path(tmp_path)
        same_split = type(algo).from_checkpoint(path)
        other_split = type(algo).from_checkpoint(path, num_env_runners=4, num_envs_per_env_runner=8)
        assert same(weights_of(algo), weights_of(other_split))
        algo.train()
        same_split.train()
        other_split.train()
        assert same(weights_of(algo), weights_of(same_split))
        same_split.stop()
        other_split.stop()
    finally:
        algo.stop()


def test_the_main_job_solves_and_its_checkpoint_plays(tmp_path):
    pytest.importorskip("whipray._core")
    job = subprocess.run(
        [sys.executable, "-m", "whipray.rl.main_job", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert job.returncode == 0, job.stdout + job.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["solved"] and summary["mean_return"] >= 475
    assert len(set(summary["runner_pids"]) - {summary["driver_pid"]}) == 2
    assert summary["engine"]["total"]["bytes_sealed"] >= 64 * summary["env_steps"]
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    lines = (tmp_path / "curve.csv").read_text().splitlines()
    assert len(lines) == 1 + int(lines[-1].split(",")[0])
    play = subprocess.run(
        [
            sys.executable,
            str(ROOT / "examples/play_cartpole.py"),
            str(tmp_path / "checkpoint"),
            "--episodes",
            "5",
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert play.returncode == 0, play.stderr
    assert float(play.stdout.splitlines()[-1].split()[-1]) >= 400


def test_the_bench_runs_in_its_tiny_size():
    pytest.importorskip("whipray._core")
    bench = subprocess.run(
        [sys.executable, str(ROOT / "tests/bench/rl_bench.py"), "--tiny"],
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert bench.returncode == 0, bench.stdout + bench.stderr
    metrics = {json.loads(line)["metric"] for line in bench.stdout.splitlines()}
    assert {
        "cartpole_steps_64",
        "learner_share_256x256",
        "ppo_loop_small",
        "ppo_actors_shared",
    } <= metrics
