"""Options of tasks, actors and methods: what there is, of which type, and what is not built yet.

One table per kind. `check` refuses, at the call, an unknown name (ValueError with the nearest
right one), a wrong type (TypeError), a wrong value (ValueError) and a known option that this
version cannot honour (NotImplementedError). Nothing is dropped in silence.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from whipray._private.suggest import nearest

Options = dict[str, Any]

RESOURCE_STEP: Final = 10_000
"""Resources are counted in steps of 1 / RESOURCE_STEP."""
ACCELERATOR_SHARE: Final = 0.001
STANDARD_NAMES: Final = ("CPU", "GPU", "memory", "object_store_memory")


@dataclasses.dataclass(frozen=True, slots=True)
class Option:
    """One row of an option table."""

    types: tuple[type, ...]
    default: Any = None
    check: Callable[[str, Any], None] | None = None
    """Raises ValueError or TypeError; is not asked about None."""
    built: Callable[[Any], bool] | None = None
    """False: the value asks for what this version cannot do. None: all values are built."""
    in_options: bool = True
    """Whether ``.options()`` takes it, too."""


def quantity(name: str, value: float) -> float:
    """Check an amount of a resource and cut it to whole steps.

    Raises
    ------
    ValueError
        If it is negative, not finite, or so small that nothing would be left of it.

    Examples
    --------
    >>> quantity("num_cpus", 0.50009)
    0.5
    """
    if not isinstance(value, (int, float)):
        raise TypeError(f"the amount of {name!r} must be a number, not {type(value).__name__}")
    if not math.isfinite(value):
        raise ValueError(f"the amount of {name!r} must be finite, not {value}")
    if value < 0:
        raise ValueError(f"the amount of {name!r} cannot be negative: {value}")
    # A float such as 0.0003 lies just below 3 steps: a relative hair is added before cutting.
    steps = math.floor(value * RESOURCE_STEP * (1 + 1e-12))
    if value > 0 and steps == 0:
        raise ValueError(
            f"the amount of {name!r} is {value}: resources are counted in steps of "
            f"{1 / RESOURCE_STEP}, and less than one step cannot be asked for"
        )
    return steps / RESOURCE_STEP


def _check_quantity(name: str, value: float) -> None:
    quantity(name, value)


def _check_resources(name: str, value: Mapping[str, float]) -> None:
    for key, amount in value.items():
        if not isinstance(key, str) or not key:
            raise TypeError(f"{name!r} needs non-empty str keys, not {key!r}")
        if key in STANDARD_NAMES:
            use = {"CPU": "num_cpus", "GPU": "num_gpus"}.get(key, key)
            raise ValueError(f"use the option {use!r} instead of {key!r} in {name!r}")
        quantity(key, amount)


def _at_least(low: int, *, what: str) -> Callable[[str, Any], None]:
    def check(name: str, value: Any) -> None:
        if isinstance(value, int) and value < low:
            raise ValueError(f"{name!r} takes {what}, not {value}")

    return check


def _check_num_returns(name: str, value: int | str) -> None:
    if isinstance(value, str):
        if value not in ("streaming", "dynamic"):
            raise ValueError(f"{name!r} takes an int >= 0 or 'streaming', not {value!r}")
        return
    if value < 0:
        raise ValueError(f"{name!r} takes an int >= 0 or 'streaming', not {value}")


def _check_retry_exceptions(name: str, value: Any) -> None:
    if isinstance(value, bool):
        return
    for item in value:
        if not (isinstance(item, type) and issubclass(item, BaseException)):
            raise ValueError(f"{name!r} takes a bool or a list of exception classes, not {item!r}")


def _check_strategy(name: str, value: Any) -> None:
    from whipray.util.scheduling_strategies import check_strategy

    check_strategy(name, value)


def _check_runtime_env(name: str, value: Any) -> None:
    from whipray.runtime_env import normalize

    normalize(value)


def _check_labels(name: str, value: Mapping[str, str]) -> None:
    from whipray._private.labels import check_selector

    check_selector(name, value)


def _check_text(name: str, value: str) -> None:
    if not value:
        raise ValueError(f"{name!r} must not be empty")


def _check_lifetime(name: str, value: str) -> None:
    if value not in ("detached", "non_detached"):
        raise ValueError(f"{name!r} takes 'detached', 'non_detached' or None, not {value!r}")


def _check_window(name: str, value: int) -> None:
    if value == 0 or value < -1:
        raise ValueError(f"{name!r} takes -1 (no limit) or an int > 0, not {value}")


def _refused_value(name: str, value: Any) -> None:
    raise ValueError(f"{name!r} cannot be asked for by a task or an actor")


def _only(*values: Any) -> Callable[[Any], bool]:
    return lambda value: any(value is item or value == item for item in values)


_NUMBER = (int, float)
_OBJECT = (object,)

_COMMON: dict[str, Option] = {
    "accelerator_type": Option((str,), check=_check_text),
    "enable_task_events": Option((bool,), True, built=_only(True)),
    "fallback_strategy": Option((list,), built=_only([])),
    "label_selector": Option((dict,), check=_check_labels, built=_only({})),
    "memory": Option(_NUMBER, check=_check_quantity),
    "name": Option((str,)),
    "num_gpus": Option(_NUMBER, check=_check_quantity),
    "object_store_memory": Option(_NUMBER, check=_refused_value),
    "placement_group": Option(_OBJECT, "default"),
    "placement_group_bundle_index": Option((int,), -1),
    "placement_group_capture_child_tasks": Option((bool,)),
    "resources": Option((dict,), check=_check_resources),
    "runtime_env": Option((dict,), check=_check_runtime_env),
    "scheduling_strategy": Option(_OBJECT, check=_check_strategy),
    "_labels": Option((dict,), built=_only({})),
}

_RETRIES = _at_least(-1, what="0, a positive int, or -1 for no limit")

TASK: dict[str, Option] = {
    **_COMMON,
    "num_cpus": Option(_NUMBER, 1, check=_check_quantity),
    "num_returns": Option(
        (int, str), check=_check_num_returns, built=lambda value: value != "dynamic"
    ),
    "max_calls": Option((int,), check=_at_least(0, what="0 or a positive int"), in_options=False),
    "max_retries": Option((int,), check=_RETRIES),
    "retry_exceptions": Option((bool, list, tuple), False, check=_check_retry_exceptions),
    "_generator_backpressure_num_objects": Option((int,), check=_check_window),
    "_num_objects_per_yield": Option((int,), 1, built=_only(1)),
}

ACTOR: dict[str, Option] = {
    **_COMMON,
    "num_cpus": Option(_NUMBER, check=_check_quantity),
    "allow_out_of_order_execution": Option((bool,)),
    "concurrency_groups": Option((dict, list), in_options=False, built=_only({}, [])),
    "enable_tensor_transport": Option((bool,), built=_only(False)),
    "get_if_exists": Option((bool,), False),
    "lifetime": Option((str,), check=_check_lifetime),
    "max_concurrency": Option((int,), check=_at_least(1, what="an int >= 1")),
    "max_pending_calls": Option((int,), -1, built=_only(-1)),
    "max_restarts": Option((int,), 0, check=_RETRIES),
    "max_task_retries": Option((int,), 0, check=_RETRIES),
    "name": Option((str,), check=_check_text),
    "namespace": Option((str,), check=_check_text),
    "_actor_generator_backpressure_num_objects": Option(
        (int,), check=_check_window, built=_only(-1)
    ),
}

METHOD: dict[str, Option] = {
    "concurrency_group": Option((str,), built=lambda value: False),
    "enable_task_events": Option((bool,), True, built=_only(True)),
    "max_task_retries": Option((int,), check=_RETRIES),
    "name": Option((str,)),
    "num_returns": Option(
        (int, str), check=_check_num_returns, built=lambda value: value != "dynamic"
    ),
    "retry_exceptions": Option((bool, list, tuple), False, check=_check_retry_exceptions),
    "tensor_transport": Option((str,), built=lambda value: value.lower() in ("object_store", "")),
    "_generator_backpressure_num_objects": Option((int,), check=_check_window),
}

_NEVER_NONE = {
    "enable_task_events",
    "get_if_exists",
    "placement_group_bundle_index",
    "retry_exceptions",
    "_num_objects_per_yield",
}


def check(
    table: Mapping[str, Option],
    given: Mapping[str, Any],
    what: str,
    *,
    in_options: bool = False,
    unknown: type[Exception] = ValueError,
) -> Options:
    """Check options by their table.

    Parameters
    ----------
    table : Mapping[str, Option]
        `TASK`, `ACTOR` or `METHOD`.
    given : Mapping[str, object]
        What the user wrote.
    what : str
        Whose options they are, for the texts ("a remote function").
    in_options : bool
        Whether they came through ``.options()``, which takes fewer.
    unknown : type of exception
        What an unknown name raises.

    Returns
    -------
    dict
        A copy of `given`.
    """
    for name, value in given.items():
        row = table.get(name)
        if row is None:
            raise unknown(
                f"{name!r} is no option of {what}{nearest(name, table)} "
                f"(there are {_listed(table)})"
            )
        if in_options and not row.in_options:
            raise ValueError(f"{name!r} belongs into the decorator; '.options()' does not take it")
        if value is None and name not in _NEVER_NONE:
            continue
        if not isinstance(value, row.types):
            wanted = " or ".join(cls.__name__ for cls in row.types)
            raise TypeError(
                f"the option {name!r} of {what} must be {wanted}, not {type(value).__name__}"
            )
        if row.check is not None:
            row.check(name, value)
        if row.built is not None and not row.built(value):
            raise NotImplementedError(
                f"the option {name}={value!r} of {what} is not built yet in Whipray"
            )
    _check_together(given, what)
    return dict(given)


def _listed(table: Mapping[str, Option]) -> str:
    return ", ".join(sorted(name for name in table if not name.startswith("_")))


def _check_together(given: Mapping[str, Any], what: str) -> None:
    group = given.get("placement_group", "default")
    if given.get("scheduling_strategy") is not None and group not in ("default", None):
        raise ValueError(
            f"{what} has both 'placement_group' and 'scheduling_strategy'; "
            "use PlacementGroupSchedulingStrategy alone"
        )
    if given.get("get_if_exists") and not given.get("name"):
        raise ValueError("'get_if_exists' needs the actor's 'name'")


def resources_of(options: Mapping[str, Any], default_cpus: float) -> dict[str, float]:
    """Return what options ask for as resource names and amounts, zeros left out.

    Examples
    --------
    >>> resources_of({"num_gpus": 0.5, "resources": {"disk": 1}}, 1)
    {'CPU': 1.0, 'GPU': 0.5, 'disk': 1.0}
    """
    cpus = options.get("num_cpus")
    amounts: dict[str, float] = {
        "CPU": quantity("num_cpus", default_cpus if cpus is None else cpus),
        "GPU": quantity("num_gpus", options.get("num_gpus") or 0),
        "memory": quantity("memory", options.get("memory") or 0),
    }
    for name, amount in (options.get("resources") or {}).items():
        amounts[name] = quantity(name, amount)
    kind = options.get("accelerator_type")
    if kind:
        amounts[f"accelerator_type:{kind}"] = ACCELERATOR_SHARE
    return {name: amount for name, amount in amounts.items() if amount > 0}


def retry_exceptions_of(
    value: bool | Iterable[type[BaseException]] | None,
) -> bool | tuple[type[BaseException], ...]:
    """Bring ``retry_exceptions`` into one form: a bool, or a tuple for isinstance."""
    if value is None or isinstance(value, bool):
        return bool(value)
    return tuple(value)
