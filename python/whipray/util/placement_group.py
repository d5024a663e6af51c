"""Placement groups: resources that are reserved together, all or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import whipray
from whipray import _core
from whipray._private import options
from whipray._private import session as sessions
from whipray._private.errors import status_of
from whipray._private.ids import PlacementGroupID

__all__ = [
    "PlacementGroup",
    "get_current_placement_group",
    "get_placement_group",
    "placement_group",
    "placement_group_table",
    "remove_placement_group",
]

STRATEGIES = ("PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD")


def full_id(raw: bytes) -> PlacementGroupID:
    """Return the engine's number of a group as an id of Ray's size."""
    return PlacementGroupID(raw.ljust(PlacementGroupID.SIZE, b"\0")[: PlacementGroupID.SIZE])


class PlacementGroup:
    """A placement group; made by `placement_group`. Picklable.

    Parameters
    ----------
    id : bytes
        The engine's name of it; empty for none.
    bundle_cache : list of dict, optional
        Its bundles.

    Examples
    --------
    >>> import whipray as ray
    >>> from whipray.util import placement_group
    >>> group = placement_group([{"CPU": 1}, {"CPU": 1}], strategy="PACK")
    >>> ray.get(group.ready()) == group
    True
    """

    def __init__(
        self, id: bytes, bundle_cache: Sequence[Mapping[str, float]] | None = None
    ) -> None:
        self.raw_id = id
        self.bundle_cache = [dict(bundle) for bundle in bundle_cache] if bundle_cache else None

    @staticmethod
    def empty() -> PlacementGroup:
        """Return the group that stands for none."""
        return PlacementGroup(b"")

    @property
    def is_empty(self) -> bool:
        """Whether this stands for no group."""
        return not self.raw_id

    @property
    def id(self) -> PlacementGroupID:
        """Id of the group."""
        return PlacementGroupID.nil() if self.is_empty else full_id(self.raw_id)

    @property
    def bundle_specs(self) -> list[dict[str, float]]:
        """What each bundle holds."""
        if self.is_empty:
            return []
        if self.bundle_cache is None:
            groups = sessions.call("pg_table", pg=self.raw_id).get("groups") or []
            found: dict[str, Any] = next(
                (group for group in groups if group.get("pg") == self.raw_id), {}
            )
            self.bundle_cache = [dict(bundle) for bundle in found.get("bundles") or []]
        return self.bundle_cache

    @property
    def bundle_count(self) -> int:
        """How many bundles there are."""
        return len(self.bundle_specs)

    def check_fits(self, needs: Mapping[str, float], bundle: int) -> None:
        """Refuse, by ValueError, work that no bundle (or not this one) can ever hold."""
        specs = self.bundle_specs
        chosen = specs if bundle == -1 else [specs[bundle]]
        if any(
            all(spec.get(name, 0) >= amount for name, amount in needs.items()) for spec in chosen
        ):
            return
        which = "no bundle" if bundle == -1 else f"bundle {bundle} does not hold what"
        tail = "holds what is asked for" if bundle == -1 else "is asked for"
        raise ValueError(
            f"{which} {tail}: {dict(needs)}; the placement group's bundles are {specs}"
        )

    def ready(self) -> Any:
        """Return a reference to this group that is there when all bundles are reserved."""
        if self.is_empty:
            raise ValueError("an empty placement group is never ready")
        return _when_ready(self)

    def wait(self, timeout_seconds: float = 30) -> bool:
        """Wait until all bundles are reserved.

        Parameters
        ----------
        timeout_seconds : float
            Limit.

        Returns
        -------
        bool
            Whether they are.
        """
        ref = self._reserved()
        ready, _ = whipray.wait([ref], timeout=timeout_seconds)
        if not ready:
            return False
        try:
            whipray.get(ref)
        except whipray.exceptions.RayError:
            return False
        return True

    def _reserved(self) -> Any:
        """A reference that is there when the bundles are reserved, or the group is removed."""
        reply = sessions.call("pg_wait", pg=self.raw_id)
        return _core.ref_from_handle(sessions.handle_of(reply, "ready"))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PlacementGroup) and self.raw_id == other.raw_id

    def __hash__(self) -> int:
        return hash(self.raw_id)

    def __repr__(self) -> str:
        return f"PlacementGroup({'empty' if self.is_empty else self.id.hex()})"

    def __reduce__(self) -> tuple[Any, ...]:
        return PlacementGroup, (self.raw_id, self.bundle_cache)


_hand_back: Any = None


def _when_ready(group: PlacementGroup) -> Any:
    """Run a task that holds nothing and waits for the reservation as its argument."""
    global _hand_back
    if _hand_back is None:

        def placement_group_ready(reserved: Any, reserved_group: PlacementGroup) -> PlacementGroup:
            return reserved_group

        _hand_back = whipray.remote(num_cpus=0, max_retries=-1)(placement_group_ready)
    return _hand_back.remote(group._reserved(), group)


def placement_group(
    bundles: Sequence[Mapping[str, float]],
    strategy: str = "PACK",
    name: str = "",
    lifetime: str | None = None,
    _soft_target_node_id: str | None = None,
    bundle_label_selector: Sequence[Mapping[str, str]] | None = None,
    topology_strategy: Mapping[str, str] | None = None,
) -> PlacementGroup:
    """Reserve bundles of resources, all or none; returns at once.

    Parameters
    ----------
    bundles : list of dict
        Resource names and amounts of each bundle.
    strategy : str
        "PACK", "SPREAD" (best effort), "STRICT_PACK" (one node), "STRICT_SPREAD" (distinct nodes).
    name : str
        A name to find it by.
    lifetime : str, optional
        "detached": it outlives the job.

    Raises
    ------
    ValueError
        If there are no bundles, one is empty, or the strategy is unknown.
    """
    checked = _check_bundles(bundles)
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy must be one of {', '.join(STRATEGIES)}, not {strategy!r}")
    if lifetime not in (None, "detached"):
        raise ValueError(f"lifetime must be None or 'detached', not {lifetime!r}")
    if not isinstance(name, str):
        raise TypeError(f"name must be a str, not {type(name).__name__}")
    for option, value in (
        ("_soft_target_node_id", _soft_target_node_id),
        ("bundle_label_selector", bundle_label_selector),
        ("topology_strategy", topology_strategy),
    ):
        if value:
            raise NotImplementedError(
                f"the option {option} of a placement group is not built yet in Whipray"
            )
    sessions.require()
    reply = sessions.call(
        "pg_create", bundles=checked, strategy=strategy, name=name or None, lifetime=lifetime
    )
    return PlacementGroup(reply["pg"], checked)


def _check_bundles(bundles: Any) -> list[dict[str, float]]:
    if not isinstance(bundles, (list, tuple)):
        raise ValueError(f"bundles must be a list of dict, not {type(bundles).__name__}")
    if not bundles:
        raise ValueError("a placement group needs at least one bundle")
    checked = []
    for index, bundle in enumerate(bundles):
        if not isinstance(bundle, Mapping):
            raise ValueError(f"bundle {index} must be a dict, not {type(bundle).__name__}")
        amounts: dict[str, float] = {}
        for resource, amount in bundle.items():
            if not isinstance(resource, str):
                raise ValueError(f"bundle {index}: resource names are str, not {resource!r}")
            amounts[resource] = options.quantity(resource, amount)
        if not any(amounts.values()):
            raise ValueError(f"bundle {index} is empty or asks for nothing: {dict(bundle)}")
        checked.append({name: amount for name, amount in amounts.items() if amount})
    return checked


def remove_placement_group(placement_group: PlacementGroup) -> None:
    """Give a group's resources back and end what runs in it; a removed one is left alone."""
    if not isinstance(placement_group, PlacementGroup):
        raise TypeError(f"not a placement group: {placement_group!r}")
    sessions.require()
    try:
        sessions.call("pg_remove", pg=placement_group.raw_id)
    except ValueError as error:
        if status_of(error) != "NOT_FOUND":
            raise


def get_placement_group(placement_group_name: str) -> PlacementGroup:
    """Find a group by its name; ValueError when there is none."""
    if not placement_group_name:
        raise ValueError("the name of a placement group must not be empty")
    sessions.require()
    try:
        reply = sessions.call("pg_get", name=placement_group_name)
    except ValueError as error:
        if status_of(error) != "NOT_FOUND":
            raise
        raise ValueError(f"there is no placement group named {placement_group_name!r}") from None
    return PlacementGroup(reply["pg"])


def placement_group_table(placement_group: PlacementGroup | None = None) -> dict[str, Any]:
    """Describe one group, or all of them by their hex ids."""
    sessions.require_connected("placement_group_table()")
    wanted = placement_group.raw_id if placement_group is not None else None
    groups = sessions.call("pg_table", pg=wanted).get("groups") or []
    table = {full_id(group["pg"]).hex(): _table_entry(group) for group in groups}
    if placement_group is None:
        return table
    return table.get(placement_group.id.hex(), {})


def _table_entry(group: Mapping[str, Any]) -> dict[str, Any]:
    bundles = [dict(bundle) for bundle in group.get("bundles") or []]
    nodes = group.get("nodes") or []
    return {
        "placement_group_id": full_id(group["pg"]).hex(),
        "name": group.get("name") or "",
        "bundles": dict(enumerate(bundles)),
        "bundles_to_node_id": {
            index: node.hex() if isinstance(node, bytes) else str(node or "")
            for index, node in enumerate(nodes)
        },
        "strategy": group.get("strategy") or "",
        "state": group.get("state") or "",
        "stats": {},
    }


def get_current_placement_group() -> PlacementGroup | None:
    """Return the group that this task or actor runs in; None on the driver and outside groups."""
    session = sessions.require()
    raw = session.assignment.pg
    return None if raw is None else PlacementGroup(raw)
