"""Where a task or an actor may run.

Examples
--------
>>> import whipray as ray
>>> from whipray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
>>> @ray.remote(scheduling_strategy="SPREAD")
... def work():
...     return ray.get_runtime_context().get_node_id()
>>> here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
>>> work.options(scheduling_strategy=here).remote()  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from whipray._private.ids import NodeID

if TYPE_CHECKING:
    from whipray.util.placement_group import PlacementGroup

__all__ = [
    "DoesNotExist",
    "Exists",
    "In",
    "NodeAffinitySchedulingStrategy",
    "NodeLabelSchedulingStrategy",
    "NotIn",
    "PlacementGroupSchedulingStrategy",
    "SchedulingStrategyT",
]

DEFAULT_SCHEDULING_STRATEGY = "DEFAULT"
SPREAD_SCHEDULING_STRATEGY = "SPREAD"


class PlacementGroupSchedulingStrategy:
    """Run inside a placement group.

    Parameters
    ----------
    placement_group : PlacementGroup
        The group.
    placement_group_bundle_index : int
        Which bundle; -1 is any.
    placement_group_capture_child_tasks : bool, optional
        Whether tasks and actors started from inside run in the group, too.
    """

    def __init__(
        self,
        placement_group: PlacementGroup,
        placement_group_bundle_index: int = -1,
        placement_group_capture_child_tasks: bool | None = None,
    ) -> None:
        self.placement_group = placement_group
        self.placement_group_bundle_index = placement_group_bundle_index
        self.placement_group_capture_child_tasks = placement_group_capture_child_tasks

    def __repr__(self) -> str:
        return (
            f"PlacementGroupSchedulingStrategy({self.placement_group!r}, "
            f"{self.placement_group_bundle_index})"
        )


class NodeAffinitySchedulingStrategy:
    """Run on one node.

    Parameters
    ----------
    node_id : str
        Hex id of the node.
    soft : bool
        Whether another node may do when this one cannot.
    """

    def __init__(
        self,
        node_id: str | NodeID,
        soft: bool,
        _spill_on_unavailable: bool = False,
        _fail_on_unavailable: bool = False,
    ) -> None:
        if isinstance(node_id, NodeID):  # as Ray, which takes it, too
            node_id = node_id.hex()
        if not isinstance(node_id, str):
            raise TypeError(f"node_id must be a hex str, not {type(node_id).__name__}")
        try:
            raw = bytes.fromhex(node_id)
        except ValueError:
            raise ValueError(f"node_id {node_id!r} is not hex") from None
        if len(raw) != 28:
            raise ValueError(f"node_id {node_id!r} has {len(raw)} bytes, a node's id has 28")
        if not isinstance(soft, bool):
            raise TypeError(f"soft must be a bool, not {type(soft).__name__}")
        if _spill_on_unavailable and not soft:
            raise ValueError("_spill_on_unavailable needs soft=True")
        if _fail_on_unavailable and soft:
            raise ValueError("_fail_on_unavailable needs soft=False")
        if _spill_on_unavailable or _fail_on_unavailable:
            raise NotImplementedError(
                "_spill_on_unavailable and _fail_on_unavailable of NodeAffinitySchedulingStrategy "
                "are not built yet in Whipray"
            )
        self.node_id = node_id
        self.soft = soft
        self._spill_on_unavailable = _spill_on_unavailable
        self._fail_on_unavailable = _fail_on_unavailable

    def __repr__(self) -> str:
        return f"NodeAffinitySchedulingStrategy({self.node_id!r}, soft={self.soft})"


class _LabelMatch:
    """Base of the operators of `NodeLabelSchedulingStrategy`."""


class In(_LabelMatch):
    """The label is one of these."""

    def __init__(self, *values: str) -> None:
        self.values = _label_values("In", values)


class NotIn(_LabelMatch):
    """The label is none of these."""

    def __init__(self, *values: str) -> None:
        self.values = _label_values("NotIn", values)


class Exists(_LabelMatch):
    """The node has the label."""


class DoesNotExist(_LabelMatch):
    """The node does not have the label."""


def _label_values(name: str, values: tuple[str, ...]) -> list[str]:
    if not values:
        raise ValueError(f"{name} needs at least one value")
    for value in values:
        if not isinstance(value, str):
            raise ValueError(f"{name} takes str values, not {value!r}")
    return list(values)


class NodeLabelSchedulingStrategy:
    """Run on nodes with these labels. Not built yet: NotImplementedError."""

    def __init__(self, hard: dict[str, _LabelMatch], *, soft: Any = None) -> None:
        raise NotImplementedError("NodeLabelSchedulingStrategy is not built yet in Whipray")


SchedulingStrategyT = (
    str
    | PlacementGroupSchedulingStrategy
    | NodeAffinitySchedulingStrategy
    | NodeLabelSchedulingStrategy
    | None
)


def check_strategy(name: str, value: Any) -> None:
    """Check a ``scheduling_strategy`` option; raises ValueError or TypeError."""
    if isinstance(value, str):
        if value not in (DEFAULT_SCHEDULING_STRATEGY, SPREAD_SCHEDULING_STRATEGY):
            raise ValueError(f"{name!r} takes 'DEFAULT', 'SPREAD' or a strategy, not {value!r}")
        return
    if isinstance(value, PlacementGroupSchedulingStrategy):
        group = value.placement_group
        index = value.placement_group_bundle_index
        if not hasattr(group, "bundle_specs"):
            raise ValueError(f"placement_group must be a PlacementGroup, not {group!r}")
        check_bundle_index(group, index)
        return
    if not isinstance(value, NodeAffinitySchedulingStrategy):
        raise TypeError(
            f"{name!r} takes a str or a scheduling strategy, not {type(value).__name__}"
        )


def check_bundle_index(group: PlacementGroup, index: int) -> None:
    """Check that a group has the bundle; -1 is any."""
    if group.is_empty:
        if index != -1:
            raise ValueError("a bundle index needs a placement group")
        return
    if not -1 <= index < group.bundle_count:
        raise ValueError(
            f"bundle index {index} is not in the placement group, which has "
            f"{group.bundle_count} bundles"
        )
