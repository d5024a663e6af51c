"""Options: amounts, tables, and what each refusal says."""

import pytest
from whipray._private import options
from whipray._private.labels import check_labels, check_selector
from whipray.actor import actor_resources


@pytest.mark.parametrize(
    ("given", "cut"),
    [(1, 1.0), (0, 0.0), (0.5, 0.5), (0.00019, 0.0001), (0.0003, 0.0003), (1.23456789, 1.2345)],
)
def test_amounts_are_cut_to_steps(given, cut):
    assert options.quantity("x", given) == cut


@pytest.mark.parametrize("given", [-1, -0.1, 0.00009, float("nan"), float("inf")])
def test_wrong_amounts(given):
    with pytest.raises(ValueError):
        options.quantity("x", given)


def test_an_unknown_option_names_the_nearest():
    with pytest.raises(ValueError, match="num_returns"):
        options.check(options.TASK, {"num_return": 1}, "a remote function")


def test_a_known_option_that_is_not_built_is_named():
    for table, given in (
        (options.TASK, {"fallback_strategy": [{}]}),
        (options.TASK, {"enable_task_events": False}),
        (options.ACTOR, {"max_pending_calls": 5}),
        (options.ACTOR, {"concurrency_groups": {"io": 1}}),
        (options.ACTOR, {"enable_tensor_transport": True}),
        (options.METHOD, {"tensor_transport": "nccl"}),
        (options.METHOD, {"concurrency_group": "io"}),
    ):
        with pytest.raises(NotImplementedError, match=next(iter(given))):
            options.check(table, given, "x")


def test_defaults_of_unbuilt_options_are_taken():
    given = {"enable_task_events": True, "_labels": None, "fallback_strategy": None}
    assert options.check(options.TASK, given, "x") == given
    assert options.check(options.ACTOR, {"max_pending_calls": -1}, "x")


@pytest.mark.parametrize(
    ("given", "held", "to_place"),
    [
        ({}, {}, {"CPU": 1}),
        ({"memory": 5}, {"memory": 5}, {"CPU": 1, "memory": 5}),
        ({"num_cpus": 0}, {}, {}),
        ({"num_cpus": 2}, {"CPU": 2}, {"CPU": 2}),
        ({"num_gpus": 1}, {"CPU": 1, "GPU": 1}, {"CPU": 1, "GPU": 1}),
        ({"resources": {"a": 1}, "num_cpus": 0}, {"a": 1}, {"a": 1}),
    ],
)
def test_the_cpu_rule_of_actors(given, held, to_place):
    assert actor_resources(given) == (held, to_place)


def test_accelerator_type():
    assert options.resources_of({"accelerator_type": "H100"}, 1) == {
        "CPU": 1.0,
        "accelerator_type:H100": 0.001,
    }


def test_label_syntax():
    check_selector("s", {"a/b": "in(x,y)", "c": "!d", "e": "!in(f)", "g": ""})
    check_labels("l", {"rack": "r1"})
    for wrong in ({"a b": "x"}, {"a": "x" * 64}, {"-a": "x"}):
        with pytest.raises(ValueError):
            check_selector("s", wrong)
    with pytest.raises(ValueError, match="reserved"):
        check_labels("l", {"ray.io/node-id": "x"})


def test_retry_exceptions_forms():
    assert options.retry_exceptions_of(None) is False
    assert options.retry_exceptions_of(True) is True
    assert options.retry_exceptions_of([KeyError]) == (KeyError,)
