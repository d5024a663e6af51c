"""Functions and classes on their way to the workers, and the scheduling classes they run in."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import logging
import pickle
from collections.abc import Mapping
from typing import Any, Final

import cloudpickle  # type: ignore[import-untyped]

from whipray import _core
from whipray._private import session as sessions
from whipray._private.ids import NodeID
from whipray.exceptions import RayTaskError
from whipray.runtime_env import merge, normalize, wire

logger = logging.getLogger("whipray")

WARN_BYTES: Final = 10 * 1024 * 1024
MAX_BYTES: Final = 100 * 1024 * 1024


def signature_of(function: Any, skip_first: bool = False) -> inspect.Signature | None:
    """Return the signature that calls are checked against; None where Python knows none."""
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):
        return None
    if skip_first:
        parameters = list(signature.parameters.values())
        if parameters and parameters[0].kind in (
            inspect.Parameter.POSITIONAL_ONLY,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
        ):
            signature = signature.replace(parameters=parameters[1:])
    return signature


class _Given:
    """Stands for a default value in a signature that travels: only that it is there counts."""

    def __repr__(self) -> str:
        return "..."

    def __reduce__(self) -> str:
        return "_GIVEN"


_GIVEN = _Given()


def lean(signature: inspect.Signature | None) -> inspect.Signature | None:
    """Drop annotations and default values, which may hold anything."""
    if signature is None:
        return None
    empty = inspect.Parameter.empty
    return inspect.Signature(
        [
            parameter.replace(
                annotation=empty, default=empty if parameter.default is empty else _GIVEN
            )
            for parameter in signature.parameters.values()
        ]
    )


class Pickled:
    """A function or class pickled by value, once per session, shared by its variants.

    Parameters
    ----------
    target : callable
        The function or class.
    name : str
        What to call it in errors.
    """

    def __init__(self, target: Any, name: str) -> None:
        self._target = target
        self._name = name
        self._session = 0
        self._digest = b""
        self._ref: Any = None

    def export(self, meta: Mapping[str, Any]) -> int:
        """Make the target known to the job and return its function number.

        Parameters
        ----------
        meta : mapping
            What workers must know besides the pickle; another meta is another number.
        """
        session = sessions.require()
        packed = _core.pack(dict(meta))
        with session.lock:
            loaded = session.exports.get((id(self._target), packed))
            if loaded is not None:
                return loaded
            if self._session != session.number:
                self._pickle(session.number)
            digest = hashlib.blake2b(self._digest + packed, digest_size=28).digest()
            number = session.exports.get(digest)
            if number is None:
                reply = sessions.call(
                    "function_export",
                    digest=digest,
                    ref=_core.share(self._ref),
                    name=self._name,
                    meta=packed,
                )
                number = int(reply["function"])
                session.exports[digest] = number
            return number

    def _pickle(self, number: int) -> None:
        encoded = _core.encode(self._target, by_value=True)
        if encoded.nbytes > MAX_BYTES:
            raise ValueError(
                f"{self._name} has {encoded.nbytes >> 20} MiB when it is pickled; the limit is "
                f"{MAX_BYTES >> 20} MiB. Put large values that it uses into the store by "
                "whipray.put() and pass the reference"
            )
        if encoded.nbytes > WARN_BYTES:
            logger.warning(
                "%s has %d MiB when it is pickled: does it capture a large value? "
                "Put that into the store by whipray.put().",
                self._name,
                encoded.nbytes >> 20,
            )
        self._digest = hashlib.blake2b(encoded.stream, digest_size=28).digest()
        self._ref = encoded.put()
        self._session = number


def remember_loaded(target: Any, meta: bytes, number: int) -> None:
    """A worker loaded a function: using it in tasks of its own needs no new export."""
    session = sessions.require()
    session.loaded[number] = target
    session.exports[(id(target), meta)] = number


@dataclasses.dataclass(frozen=True, slots=True)
class Placement:
    """Where work may run and what it needs; equal ones share a scheduling class."""

    resources: tuple[tuple[str, float], ...]
    strategy: tuple[tuple[str, Any], ...]
    runtime_env: str

    def strategy_fields(self) -> dict[str, Any]:
        """The strategy as fields of a control call."""
        return dict(self.strategy)


def current_environment(own: Mapping[str, Any] | None) -> str:
    """Lay an option's runtime environment over what is inherited; the raylet's text of it.

    Empty for the job's own environment, which the raylet knows.
    """
    session = sessions.require()
    wanted = merge(session.runtime_env, normalize(own)) if own else session.runtime_env
    return "" if wanted == session.job_env else wire(wanted)


def strategy_of(options: Mapping[str, Any], needs: Mapping[str, float]) -> dict[str, Any]:
    """Turn strategy options into the fields of a control call.

    Raises
    ------
    ValueError
        If a placement group can never hold what is needed.
    """
    from whipray.util.placement_group import PlacementGroup
    from whipray.util.scheduling_strategies import (
        NodeAffinitySchedulingStrategy,
        PlacementGroupSchedulingStrategy,
        check_bundle_index,
    )

    strategy = options.get("scheduling_strategy")
    group: Any = options.get("placement_group", "default")
    bundle = options.get("placement_group_bundle_index", -1)
    capture = options.get("placement_group_capture_child_tasks")
    if isinstance(strategy, PlacementGroupSchedulingStrategy):
        group = strategy.placement_group
        bundle = strategy.placement_group_bundle_index
        capture = strategy.placement_group_capture_child_tasks
        strategy = None
    if isinstance(strategy, NodeAffinitySchedulingStrategy):
        node = NodeID.from_hex(strategy.node_id).binary()[:12]
        return {"kind": "NODE_AFFINITY", "node_id": node, "soft": int(strategy.soft)}
    if isinstance(strategy, str):
        return {} if strategy == "DEFAULT" else {"kind": strategy}
    if group == "default":
        assignment = sessions.require().assignment
        if assignment.pg is None or not assignment.capture:
            return {}
        return {"kind": "PLACEMENT_GROUP", "pg": assignment.pg, "bundle": -1, "capture": 1}
    if group is None:
        return {}
    if not isinstance(group, PlacementGroup):
        raise ValueError(f"'placement_group' must be a PlacementGroup, not {group!r}")
    check_bundle_index(group, bundle)
    if group.is_empty:
        return {}
    group.check_fits(needs, bundle)
    if capture is None:
        capture = sessions.require().assignment.capture
    return {
        "kind": "PLACEMENT_GROUP",
        "pg": group.raw_id,
        "bundle": bundle,
        "capture": int(bool(capture)),
    }


def placement_of(options: Mapping[str, Any], needs: Mapping[str, float]) -> Placement:
    """Bring options into the form that scheduling classes are known by."""
    return Placement(
        resources=tuple(sorted(needs.items())),
        strategy=tuple(sorted(strategy_of(options, needs).items())),
        runtime_env=current_environment(options.get("runtime_env")),
    )


def open_class(
    placement: Placement, name: str, closed: tuple[int, int, int] | None = None
) -> tuple[int, int, int]:
    """Return port, ring and generation of a scheduling class; asks the raylet once per session.

    What was `closed` since by the raylet, because nobody used it, is opened anew.

    A class that no node can run is announced at once: its tasks wait.
    """
    session = sessions.require()
    with session.lock:
        found = session.classes.get(placement)
        if found is not None and found != closed:
            return found
        reply = sessions.call(
            "class_open",
            resources=dict(placement.resources),
            strategy=placement.strategy_fields() or None,
            runtime_env=placement.runtime_env or None,
            language="python",
            name=name,
        )
        found = (int(reply["port"]), int(reply["ring"]), int(reply["generation"]))
        session.classes[placement] = found
    if not reply.get("feasible", 1):
        logger.warning(
            "%s waits: no node can run it as things stand (%s). It asks for %s. It will run when "
            "such a node joins; to stop waiting, cancel it or give get() a timeout.",
            name,
            reply.get("reason") or "no reason was given",
            dict(placement.resources),
        )
    return found


@dataclasses.dataclass(frozen=True, slots=True)
class CallExtra:
    """What a call tells its worker beside the arguments."""

    retry: tuple[type[BaseException], ...] | None
    """Types of errors to retry; None: all, if the call asks for retries at all."""
    name: str | None


def pack_extra(
    retry: bool | tuple[type[BaseException], ...], name: str | None = None
) -> bytes | None:
    """Pack the ``extra`` of a call; None when there is nothing to say."""
    types = retry if isinstance(retry, tuple) else None
    if types is None and name is None:
        return None
    packed: bytes = cloudpickle.dumps((types, name), protocol=5)
    return packed


def unpack_extra(extra: bytes) -> CallExtra:
    """Undo `pack_extra` (hook ``call_extra``)."""
    types, name = pickle.loads(extra)
    return CallExtra(types, name)


def should_retry(error: BaseException, extra: CallExtra | None) -> bool:
    """Whether an application error is retried (hook ``should_retry``)."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    return extra is None or extra.retry is None or isinstance(cause, extra.retry)
