"""ray-compat section 11: placement groups on one node."""

import pickle

import pytest
import ray
from ray.util import (
    get_current_placement_group,
    get_placement_group,
    placement_group,
    placement_group_table,
    remove_placement_group,
)
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

pytestmark = pytest.mark.usefixtures("cluster")


@pytest.fixture
def group():
    made = placement_group([{"CPU": 1}, {"CPU": 1, "disk": 1}], strategy="PACK")
    assert made.wait(30)
    yield made
    remove_placement_group(made)


@ray.remote
def assigned():
    return ray.get_runtime_context().get_assigned_resources()


def inside(group, bundle=-1, capture=None):
    return PlacementGroupSchedulingStrategy(group, bundle, capture)


def freed(wanted):
    """Wait until so much is available again."""
    while ray.available_resources().get("CPU", 0) < wanted:
        pass


def test_ready(group):
    assert ray.get(group.ready(), timeout=60) is not None
    assert ray.wait([group.ready()], timeout=60)[0]


def test_bundles(group):
    assert group.bundle_count == 2
    assert group.bundle_specs == [{"CPU": 1}, {"CPU": 1, "disk": 1}]


def test_reserves(group):
    assert ray.available_resources()["CPU"] <= 2


@pytest.mark.parametrize("strategy", ["PACK", "SPREAD", "STRICT_PACK"])
def test_strategies(strategy):
    freed(4)
    node = ray.get_runtime_context().get_node_id()
    made = placement_group([{"CPU": 1}, {"CPU": 2}], strategy=strategy)
    assert made.wait(30)
    entry = placement_group_table(made)
    assert entry["strategy"] == strategy
    assert entry["bundles_to_node_id"] == {0: node, 1: node}  # SPREAD does what it can
    assert entry["bundles"] == {0: {"CPU": 1}, 1: {"CPU": 2}}

    @ray.remote
    def where():
        return ray.get_runtime_context().get_node_id()

    refs = [
        where.options(num_cpus=cpus, scheduling_strategy=inside(made, bundle)).remote()
        for bundle, cpus in ((0, 1), (1, 2))
    ]
    assert ray.get(refs, timeout=60) == [node, node]
    outside = where.options(num_cpus=2).remote()  # one CPU is left
    assert ray.wait([outside], timeout=0.3) == ([], [outside])
    remove_placement_group(made)
    assert ray.get(outside, timeout=60) == node


def test_strict_spread_waits_on_one_node():
    made = placement_group([{"CPU": 1}, {"CPU": 1}], strategy="STRICT_SPREAD")
    assert not made.wait(0.3)
    assert placement_group_table(made)["state"] == "PENDING"
    remove_placement_group(made)


@pytest.mark.parametrize("bundles", [[], [{}], [{"CPU": 0}], "x"])
def test_wrong_bundles(bundles):
    with pytest.raises(ValueError):
        placement_group(bundles)


def test_wrong_strategy():
    with pytest.raises(ValueError):
        placement_group([{"CPU": 1}], strategy="NOSUCH")


def test_all_or_nothing():
    freed(4)
    made = placement_group([{"CPU": 3}, {"CPU": 3}])
    assert not made.wait(0.3)
    assert ray.available_resources()["CPU"] == 4
    remove_placement_group(made)


def test_task_inside(group):
    found = ray.get(assigned.options(scheduling_strategy=inside(group, 1)).remote(), timeout=60)
    assert found


def test_task_with_the_old_options(group):
    ref = assigned.options(placement_group=group, placement_group_bundle_index=0).remote()
    assert ray.get(ref, timeout=60)


def test_actor_inside(group):
    @ray.remote(num_cpus=1)
    class A:
        def where(self):
            return ray.get_runtime_context().get_placement_group_id()

    actor = A.options(scheduling_strategy=inside(group, 0)).remote()
    assert ray.get(actor.where.remote(), timeout=60) == group.id.hex()


def test_default_actor_inside(group):
    @ray.remote
    class A:
        def m(self):
            return 1

    actors = [A.options(scheduling_strategy=inside(group, 0)).remote() for _ in range(2)]
    assert ray.get([actor.m.remote() for actor in actors], timeout=60) == [1, 1]


def test_children_are_captured_only_if_asked(group):
    @ray.remote(num_cpus=0)
    def child():
        current = get_current_placement_group()
        return None if current is None else current.id.hex()

    @ray.remote
    def parent():
        return ray.get(child.remote())

    captured = parent.options(scheduling_strategy=inside(group, 0, True)).remote()
    assert ray.get(captured, timeout=60) == group.id.hex()
    free = parent.options(scheduling_strategy=inside(group, 0)).remote()
    assert ray.get(free, timeout=60) is None


def test_remove_kills_actors(group):
    @ray.remote(num_cpus=1)
    class A:
        def m(self):
            return 1

    actor = A.options(scheduling_strategy=inside(group, 0)).remote()
    assert ray.get(actor.m.remote(), timeout=60) == 1
    remove_placement_group(group)
    with pytest.raises((ray.exceptions.RayActorError, ray.exceptions.ActorPlacementGroupRemoved)):
        while True:
            ray.get(actor.m.remote(), timeout=60)
    remove_placement_group(group)  # once more does nothing


@pytest.mark.differs("on Ray that waits on")
def test_remove_fails_queued_tasks():
    made = placement_group([{"CPU": 3}, {"CPU": 3}])  # never there
    ref = assigned.options(scheduling_strategy=inside(made)).remote()
    assert ray.wait([ref], timeout=0.2) == ([], [ref])
    remove_placement_group(made)
    with pytest.raises(ray.exceptions.TaskPlacementGroupRemoved):
        ray.get(ref, timeout=20)


def test_removed_gives_its_resources_back():
    made = placement_group([{"CPU": 4}])
    assert made.wait(30)
    remove_placement_group(made)
    freed(4)
    assert ray.available_resources()["CPU"] == 4


def test_named():
    made = placement_group([{"CPU": 1}], name="by name")
    assert made.wait(30)
    assert get_placement_group("by name").id == made.id
    with pytest.raises(ValueError):
        get_placement_group("nosuch")
    remove_placement_group(made)


def test_table(group):
    entry = placement_group_table(group)
    assert entry["placement_group_id"] == group.id.hex()
    assert entry["strategy"] == "PACK" and entry["state"] == "CREATED"
    assert len(entry["bundles"]) == 2
    assert group.id.hex() in placement_group_table()


def test_current_on_the_driver():
    assert get_current_placement_group() is None


def test_pickle(group):
    back = pickle.loads(pickle.dumps(group))
    assert back == group and back.bundle_specs == group.bundle_specs


def test_empty():
    from ray.util.placement_group import PlacementGroup

    empty = PlacementGroup.empty()
    assert empty.is_empty and empty.id.is_nil()
    assert assigned.options(placement_group=empty, num_cpus=0).remote() is not None


def test_life_ends_with_the_driver(program):
    address = ray.get_runtime_context().gcs_address
    freed(4)
    program(
        f"""
        import ray
        ray.init(address={address!r})
        group = ray.util.placement_group([{{"CPU": 4}}])
        assert group.wait(30)
        """
    )
    freed(4)
    assert ray.available_resources()["CPU"] == 4


def test_lifetime_detached(program):
    address = ray.get_runtime_context().gcs_address
    freed(4)
    program(
        f"""
        import ray
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy
        ray.init(address={address!r}, namespace="compat")
        group = ray.util.placement_group([{{"CPU": 1}}, {{"CPU": 1}}], name="stays", lifetime="detached")
        assert group.wait(30)

        @ray.remote(num_cpus=1)
        class Inside:
            def m(self):
                return ray.get_runtime_context().get_placement_group_id()

        actor = Inside.options(
            name="in stays",
            lifetime="detached",
            scheduling_strategy=PlacementGroupSchedulingStrategy(group, 0),
        ).remote()
        assert ray.get(actor.m.remote()) == group.id.hex()
        """
    )
    stays = get_placement_group("stays")
    assert placement_group_table(stays)["state"] == "CREATED"
    assert stays.wait(30)
    actor = ray.get_actor("in stays")
    assert ray.get(actor.m.remote(), timeout=60) == stays.id.hex()
    assert ray.get(assigned.options(scheduling_strategy=inside(stays, 1)).remote(), timeout=60)
    assert ray.available_resources()["CPU"] <= 2
    remove_placement_group(stays)
    freed(4)
    with pytest.raises(ValueError):
        get_placement_group("stays")


def test_removed_are_shown_in_the_table():
    made = placement_group([{"CPU": 1}])
    assert made.wait(30)
    remove_placement_group(made)
    while placement_group_table(made)["state"] != "REMOVED":
        pass
