"""Ports and rings of the pool are given back before their job ends: drivers that never stop."""

from __future__ import annotations

import pytest
from cluster import run_driver

FEW = {"WHIPRAY_POOL_PORTS": "128", "WHIPRAY_POOL_RINGS": "512"}

GROUPS = """
import whipray as ray
from whipray.util.placement_group import placement_group, remove_placement_group
from whipray.util.scheduling_strategies import PlacementGroupSchedulingStrategy as In

ray.init(num_cpus=2)

@ray.remote(num_cpus=1)
def f(x):
    return x + 1

for k in range(300):
    group = placement_group([{"CPU": 1}])
    inside = f.options(scheduling_strategy=In(group))
    assert ray.get(inside.remote(k), timeout=60) == k + 1
    remove_placement_group(group)
    if k == 0:
        first = inside
try:  # its port was given back, perhaps to another class
    ray.get(first.remote(1), timeout=60)
except ray.exceptions.TaskPlacementGroupRemoved:
    print("removed")
print("done")
"""

RESOURCES = """
import os, tempfile
import whipray as ray

ray.init(num_cpus=2, resources={"x": 1000})

@ray.remote(num_cpus=1)
def f(x, y=0):
    return x + 1

@ray.remote(num_cpus=0)
def until(path):
    import os, time
    while not os.path.exists(path):
        time.sleep(0.01)

path = os.path.join(tempfile.mkdtemp(), "go")
waits = f.options(resources={"x": 999}).remote(6, until.remote(path))  # in no ring, and its class has no worker
functions = [f.options(resources={"x": k}) for k in range(1, 400)]
for k, g in enumerate(functions):
    assert ray.get(g.remote(k), timeout=60) == k + 1
open(path, "w").close()
assert ray.get(waits, timeout=60) == 7
for k, g in enumerate(functions):  # the classes of most of them were closed
    assert ray.get(g.remote(k, y=ray.put(bytes(200000))), timeout=60) == k + 1
print("done")
"""


@pytest.mark.parametrize(
    ("code", "said"),
    [(GROUPS, ["removed", "done"]), (RESOURCES, ["done"])],
    ids=["groups", "resources"],
)
def test_more_classes_than_ports(code, said):
    done = run_driver(code, env=FEW)
    assert done.stdout.splitlines() == said
