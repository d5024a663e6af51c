"""ray-compat section 10: scheduling strategies."""

import pytest
import ray
from ray.util.scheduling_strategies import (
    NodeAffinitySchedulingStrategy,
    PlacementGroupSchedulingStrategy,
)

pytestmark = pytest.mark.usefixtures("cluster")


@ray.remote
def node():
    return ray.get_runtime_context().get_node_id()


@pytest.mark.parametrize("strategy", ["DEFAULT", "SPREAD"])
def test_named_strategies(strategy):
    here = ray.get_runtime_context().get_node_id()
    assert ray.get(node.options(scheduling_strategy=strategy).remote()) == here


def test_unknown_strategy():
    with pytest.raises(ValueError):
        node.options(scheduling_strategy="NOSUCH").remote()


def test_node_affinity():
    here = ray.get_runtime_context().get_node_id()
    hard = NodeAffinitySchedulingStrategy(here, soft=False)
    assert ray.get(node.options(scheduling_strategy=hard).remote()) == here


def test_node_affinity_soft_falls_back():
    here = ray.get_runtime_context().get_node_id()
    soft = NodeAffinitySchedulingStrategy("ab" * 28, soft=True)
    assert ray.get(node.options(scheduling_strategy=soft).remote(), timeout=60) == here


def test_node_affinity_hard_to_a_node_that_is_not_there():
    hard = NodeAffinitySchedulingStrategy("ab" * 28, soft=False)
    with pytest.raises(ray.exceptions.TaskUnschedulableError):
        ray.get(node.options(scheduling_strategy=hard).remote(), timeout=60)


def test_node_affinity_actor_to_a_node_that_is_not_there():
    @ray.remote
    class A:
        def m(self):
            return 1

    hard = NodeAffinitySchedulingStrategy("ab" * 28, soft=False)
    with pytest.raises(ray.exceptions.ActorUnschedulableError):
        actor = A.options(scheduling_strategy=hard).remote()
        ray.get(actor.m.remote(), timeout=60)


def test_node_affinity_wrong_id():
    with pytest.raises(ValueError):
        NodeAffinitySchedulingStrategy("not hex", soft=False)


def test_placement_group_strategy():
    group = ray.util.placement_group([{"CPU": 1}])
    assert group.wait(30)
    strategy = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=0)

    @ray.remote
    def where():
        return ray.get_runtime_context().get_placement_group_id()

    assert ray.get(where.options(scheduling_strategy=strategy).remote()) == group.id.hex()
    ray.util.remove_placement_group(group)


def test_placement_group_strategy_wrong():
    group = ray.util.placement_group([{"CPU": 1}])
    with pytest.raises(ValueError):
        node.options(scheduling_strategy=PlacementGroupSchedulingStrategy(group, 1)).remote()
    with pytest.raises(ValueError):
        node.options(
            num_cpus=3, scheduling_strategy=PlacementGroupSchedulingStrategy(group)
        ).remote()
    ray.util.remove_placement_group(group)
