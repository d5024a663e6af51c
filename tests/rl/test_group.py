"""Runners and learners as actors, on an engine in this process: what travels, and what a death
changes."""

import time

import numpy as np
import pytest
from fake_engine import FakeEngine, RayActorError
from whipray import _rl
from whipray.rl.learners import DriverLearner, LocalEngine, RemoteLearner
from whipray.rl.runners import LocalRunner, RunnerGroup

NATIVE = {
    "env": "CartPole-v1",
    "seed": 5,
    "env_count": 24,
    "fragment_steps": 16,
    "hidden": (16,),
    "minibatch": 96,
    "epochs": 2,
    "lr": 3e-3,
    "value_unit": 30.0,
}
OPTIONS = {"num_cpus": 1, "restart": True, "max_restarts": 3, "timeout_s": 60.0}


def group(engine, runners=2, **options):
    return RunnerGroup(engine, NATIVE, runners, {**OPTIONS, **options})


def make(kind, engine, runners=2, **options):
    if kind == "driver":
        return DriverLearner(engine, NATIVE, group(engine, runners, **options), 1)
    if kind == "local runner":
        return RemoteLearner(engine, NATIVE, LocalRunner(engine, NATIVE), 1, {**OPTIONS, **options})
    return RemoteLearner(
        engine, NATIVE, group(engine, runners, **options), 1, {**OPTIONS, **options}
    )


def reference(iterations):
    local = LocalEngine(NATIVE, 2)
    stats = [local.iterate() for _ in range(iterations)]
    return local.weights(), stats


@pytest.mark.parametrize("kind", ["driver", "actor", "local runner"])
@pytest.mark.parametrize("runners", [1, 2, 3])
def test_bits_do_not_depend_on_who_works_where(kind, runners):
    engine = make(kind, FakeEngine(), runners)
    stats = [engine.iterate() for _ in range(4)]
    weights, expected = reference(4)
    np.testing.assert_array_equal(weights, engine.weights())
    assert repr(stats) == repr(expected)


def test_one_object_of_weights_is_read_by_all_runners():
    fake = FakeEngine()
    engine = make("driver", fake, 3)
    for _ in range(5):
        engine.iterate()
    assert len(fake.puts) == 5
    assert fake.calls.count("sample") == 15


@pytest.mark.parametrize("kind", ["driver", "actor"])
@pytest.mark.parametrize("at", [1, 2, 3, 6])
def test_a_runner_that_dies_is_replaced_and_bits_stay(kind, at):
    fake = FakeEngine()
    engine = make(kind, fake)
    fake.kill_next("sample", at)  # in iterations 1, 1, 2 and 3
    for _ in range(4):
        engine.iterate()
    np.testing.assert_array_equal(reference(4)[0], engine.weights())
    assert engine.restarts == 1
    assert len([a for a in fake.actors if a.dead]) == 1


def test_a_replacement_that_dies_is_replaced_too():
    fake = FakeEngine()
    engine = make("driver", fake)
    engine.iterate()
    fake.kill_next("sample", 1)
    ask = engine._runners._sample
    first = ask[0]
    ask[0] = lambda weights: (first(weights), fake.kill_next("sample", 2))[
        0
    ]  # the next but one dies as well
    engine.iterate()
    engine.iterate()
    np.testing.assert_array_equal(reference(3)[0], engine.weights())
    assert engine.restarts == 2


@pytest.mark.parametrize(
    ("option", "restarts"), [({"restart": False}, 0), ({"max_restarts": 0}, 0)]
)
def test_without_restarts_the_death_is_raised(option, restarts):
    fake = FakeEngine()
    engine = make("driver", fake, **option)
    engine.iterate()
    fake.kill_next("sample", 1)
    with pytest.raises(RayActorError):
        engine.iterate()
    assert engine.restarts == restarts


@pytest.mark.parametrize("kind", ["actor", "local runner"])
@pytest.mark.parametrize("at", [1, 2, 4])
def test_a_learner_that_dies_is_replaced_and_bits_stay(kind, at):
    fake = FakeEngine()
    engine = make(kind, fake)
    fake.kill_next("update", at)
    stats = [engine.iterate() for _ in range(4)]
    weights, expected = reference(4)
    np.testing.assert_array_equal(weights, engine.weights())
    assert repr(stats) == repr(expected)
    assert engine.restarts == 1


def test_learner_and_runner_that_die_in_one_iteration_are_both_replaced():
    fake = FakeEngine()
    engine = make("actor", fake)
    engine.iterate()
    fake.kill_next("sample", 2)
    fake.kill_next("update", 1)
    engine.iterate()
    engine.iterate()
    np.testing.assert_array_equal(reference(3)[0], engine.weights())
    assert engine.restarts == 2


def test_a_learner_that_dies_before_it_gave_weights_is_replaced():
    fake = FakeEngine()
    fake.kill_next("weights", 1)
    engine = make("actor", fake)
    engine.iterate()
    np.testing.assert_array_equal(reference(1)[0], engine.weights())
    assert engine.restarts == 1  # no runner was blamed for it


def test_a_replaced_learner_keeps_its_rates_and_set_weights():
    fake = FakeEngine()
    engine = make("actor", fake)
    engine.iterate()
    weights = engine.weights() * 2
    engine.set_weights(weights)
    engine.set_rates(0.0, 0.0)
    fake.kill_next("update", 1)
    assert dict(zip(_rl.STATS, engine.iterate(), strict=True))["lr"] == 0
    np.testing.assert_array_equal(weights, engine.weights())


@pytest.mark.parametrize("option", [{"restart": False}, {"max_restarts": 0}])
def test_without_restarts_the_learners_death_is_raised(option):
    fake = FakeEngine()
    engine = make("actor", fake, **option)
    engine.iterate()
    fake.kill_next("update", 1)
    with pytest.raises(RayActorError):
        engine.iterate()
    assert engine.restarts == 0


def test_actors_that_do_not_start_are_warned_of_and_then_given_up(caplog):
    fake = FakeEngine()
    fake.never = {"pid"}
    with pytest.raises(TimeoutError, match=r"2 of 2 environment runner .* sample_timeout_s"):
        group(fake)
    assert fake.waits == [10.0, 50.0]
    [warning] = caplog.messages
    assert "each asks for 1 CPU, and 0.5 of the cluster's 16 are free" in warning
    assert "stop()" in warning and "num_cpus" in warning
    assert all(actor.dead for actor in fake.actors)  # none is left to take what comes free


def test_actors_that_start_late_are_warned_of_and_used(caplog):
    fake = FakeEngine()
    fake.late = {"pid": 2}
    engine = make("driver", fake)
    engine.iterate()
    assert len(caplog.messages) == 1


def test_a_learner_that_does_not_start_ends_what_began():
    fake = FakeEngine()
    runners = group(fake)
    fake.never = {"pid"}
    with pytest.raises(TimeoutError, match="1 of 1 learner actors"):
        RemoteLearner(fake, NATIVE, runners, 1, {**OPTIONS, "timeout_s": 5.0})
    assert all(actor.dead for actor in fake.actors)


@pytest.mark.parametrize("kind", ["driver", "actor"])
def test_a_batch_that_does_not_come_is_an_error(kind):
    fake = FakeEngine()
    engine = make(kind, fake)
    engine.iterate()
    fake.never = {"sample", "update"}
    with pytest.raises(TimeoutError, match=r"2 of 2 environment runners .* within 60 s"):
        engine.iterate()


@pytest.mark.parametrize("kind", ["driver", "actor", "local runner"])
def test_the_time_of_sampling_is_measured(kind):
    engine = make(kind, FakeEngine())
    assert engine.sample_seconds == 0
    started = time.perf_counter()
    engine.iterate()
    assert 0 < engine.sample_seconds < time.perf_counter() - started


@pytest.mark.parametrize("kind", ["driver", "actor", "local runner"])
def test_states_move_between_kinds(kind):
    engine = make(kind, FakeEngine())
    engine.iterate()
    engine.iterate()
    learner, envs = engine.state()
    other = make(kind, FakeEngine())
    other.set_state(learner, envs, 2)
    engine.iterate()
    other.iterate()
    np.testing.assert_array_equal(engine.weights(), other.weights())
    third = LocalEngine(NATIVE, 1)
    third.set_state(learner, envs, 2)  # split otherwise: the environments start anew
    third.iterate()


def test_rates_and_weights_reach_a_learner_actor():
    engine = make("actor", FakeEngine())
    engine.set_rates(0.0, 0.0)
    before = engine.weights()
    stats = dict(zip(_rl.STATS, engine.iterate(), strict=True))
    assert stats["lr"] == 0
    np.testing.assert_array_equal(before, engine.weights())
    engine.set_weights(before * 2)
    np.testing.assert_array_equal(before * 2, engine.weights())
