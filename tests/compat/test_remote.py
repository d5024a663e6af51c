"""ray-compat sections 1, 3, 4: the decorator and its options."""

import pytest
import ray


def plain():
    return 1


class Plain:
    def m(self):
        return 1


def test_remote_bare():
    from ray.actor import ActorClass
    from ray.remote_function import RemoteFunction

    assert isinstance(ray.remote(plain), RemoteFunction)
    assert isinstance(ray.remote(Plain), ActorClass)


def test_remote_with_options():
    from ray.remote_function import RemoteFunction

    assert isinstance(ray.remote(num_cpus=2)(plain), RemoteFunction)


@pytest.mark.parametrize("wrong", [1, "x", None, [plain]])
def test_remote_of_what_is_neither(wrong):
    with pytest.raises((TypeError, AssertionError)):
        ray.remote(wrong)


def test_remote_positional_arguments():
    with pytest.raises((TypeError, AssertionError)):
        ray.remote(plain, 2)
    with pytest.raises((TypeError, AssertionError)):
        ray.remote()


@pytest.mark.parametrize("target", [plain, Plain])
def test_remote_unknown_option(target):
    with pytest.raises(ValueError, match="num_cpu"):
        ray.remote(num_cpu=1)(target)
    with pytest.raises(ValueError):
        ray.remote(target).options(num_cpu=1)


@pytest.mark.parametrize(
    "option",
    [
        {"num_cpus": "1"},
        {"num_gpus": "1"},
        {"resources": [1]},
        {"name": 1},
        {"max_retries": "x"},
        {"max_calls": 1.5},
        {"retry_exceptions": 1},
        {"runtime_env": 1},
        {"scheduling_strategy": 1},
        {"accelerator_type": 1},
        {"num_returns": 1.5},
        {"label_selector": 1},
    ],
)
def test_task_option_of_a_wrong_type(option):
    with pytest.raises(TypeError):
        ray.remote(**option)(plain)


@pytest.mark.parametrize(
    "option",
    [
        {"num_cpus": -1},
        {"num_cpus": 0.00001},
        {"num_gpus": -1},
        {"memory": -1},
        {"resources": {"a": -1}},
        {"resources": {"CPU": 1}},
        {"resources": {"GPU": 1}},
        {"num_returns": -1},
        {"max_retries": -2},
        {"max_calls": -1},
        {"retry_exceptions": [1]},
        {"_generator_backpressure_num_objects": 0},
        {"object_store_memory": 1},
    ],
)
def test_task_option_of_a_wrong_value(option):
    with pytest.raises(ValueError):
        ray.remote(**option)(plain)


@pytest.mark.parametrize(
    "option",
    [
        {"max_concurrency": "x"},
        {"max_restarts": "x"},
        {"max_task_retries": 1.5},
        {"lifetime": 1},
        {"get_if_exists": "x"},
        {"namespace": 1},
    ],
)
def test_actor_option_of_a_wrong_type(option):
    with pytest.raises(TypeError):
        ray.remote(**option)(Plain)


@pytest.mark.parametrize(
    "option",
    [
        {"max_restarts": -2},
        {"max_task_retries": -2},
        {"lifetime": "x"},
        {"get_if_exists": True},
        {"num_cpus": -1},
        {"resources": {"CPU": 1}},
    ],
)
def test_actor_option_of_a_wrong_value(option):
    with pytest.raises(ValueError):
        ray.remote(**option)(Plain)


def test_resource_steps():
    # Finer digits are cut; a value that is less than one step is refused.
    assert ray.remote(num_cpus=0.50005)(plain) is not None
    assert ray.remote(num_cpus=0)(plain) is not None
    with pytest.raises(ValueError):
        ray.remote(num_cpus=0.00009)(plain)


def test_the_same_options_again_and_on_top_of_others():
    @ray.remote
    def pair():
        return 1, 2

    assert ray.get([pair.options(num_cpus=0).remote() for _ in range(2)]) == [(1, 2)] * 2
    both = pair.options(num_returns=2)
    assert ray.get(both.options(num_cpus=0).remote()) == [1, 2]
    assert ray.get(both.options(num_cpus=0, num_returns=1).remote()) == (1, 2)
    assert ray.get(pair.options(num_cpus=0).remote()) == (1, 2)
    with pytest.raises((TypeError, ValueError)):
        pair.options(num_returns="1")
    with pytest.raises((TypeError, ValueError)):
        pair.options(num_returns="1")


def test_options_do_not_change_the_function():
    f = ray.remote(num_cpus=1)(plain)
    g = f.options(num_cpus=2, name="x")
    assert g is not f
    assert f._default_options["num_cpus"] == 1
    assert "name" not in f._default_options


def test_max_calls_is_for_the_decorator():
    f = ray.remote(max_calls=1)(plain)
    with pytest.raises(ValueError):
        f.options(max_calls=2)


def test_function_cannot_be_called():
    with pytest.raises(TypeError, match="remote"):
        ray.remote(plain)()


def test_class_cannot_be_called():
    with pytest.raises(TypeError, match="remote"):
        ray.remote(Plain)()


def test_async_function_is_refused():
    async def coroutine():
        pass

    with pytest.raises(ValueError):
        ray.remote(coroutine)


def test_actor_class_as_base():
    from ray.actor import ActorClassInheritanceException

    base = ray.remote(Plain)
    with pytest.raises(ActorClassInheritanceException):

        class Derived(base):
            pass


def test_method_unknown_keyword():
    with pytest.raises(AssertionError):
        ray.method(nosuch=1)


def test_modified_class():
    class Own:
        def m(self):
            return 1

    assert ray.remote(Own).__ray_metadata__.modified_class.__name__.endswith("Own")


def test_streaming_needs_a_generator():
    with pytest.raises(ValueError):
        f = ray.remote(num_returns="streaming")(plain)
        f.remote()


def test_placement_group_and_strategy_together():
    from ray.util.placement_group import PlacementGroup

    with pytest.raises(ValueError):
        ray.remote(placement_group=PlacementGroup.empty(), scheduling_strategy="SPREAD")(plain)


def test_strategy_of_another_name():
    with pytest.raises(ValueError):
        ray.remote(scheduling_strategy="NOSUCH")(plain).remote()


def test_a_global_function_that_calls_itself_keeps_its_defaults(cluster):
    assert ray.get(count_down.remote(4), timeout=60) == 2


def test_a_local_function_that_calls_itself_keeps_its_defaults(cluster):
    @ray.remote
    def down(n, base=5, *, step=1):
        return base if n == 0 else ray.get(down.remote(n - step))

    assert ray.get(down.remote(4), timeout=60) == 5


def test_a_class_that_makes_actors_of_itself(cluster):
    assert ray.get(Chain.remote().depth.remote(), timeout=60) == 3


def test_a_local_async_class_that_makes_a_tree_of_itself(cluster):
    @ray.remote
    class Node:
        def __init__(self, depth, fan=2):
            self.kids = [Node.remote(depth - 1) for _ in range(fan)] if depth else []

        async def size(self, extra=0):
            return 1 + extra + sum([await kid.size.remote() for kid in self.kids])

    assert ray.get(Node.remote(2).size.remote(), timeout=60) == 7


@ray.remote
def count_down(n, acc=0, *, step=1):
    if n == 0:
        return acc
    return ray.get(
        count_down.remote(n - 1, acc, step=step) if n % 2 else count_down.remote(n - step, acc + 1)
    )


@ray.remote
class Chain:
    def __init__(self, depth=2):
        self.kid = Chain.remote(depth - 1) if depth else None

    def depth(self, base=0):
        return 1 + (ray.get(self.kid.depth.remote()) if self.kid else base)
