"""What a class looks like from outside: its methods by name and index, as all handles know them."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any, Final

import cloudpickle  # type: ignore[import-untyped]

from whipray import _core
from whipray._private import functions, options
from whipray.remote_function import returns_of

METHOD_OPTIONS: Final = "__whipray_method_options__"
"""Where `whipray.method` leaves a method's options."""

BUILT_IN_METHODS: Final = ("__ray_ready__", "__ray_terminate__", "__ray_call__")
"""Methods that every actor has, at these indexes."""

_NOT_METHODS: Final = frozenset(
    (
        "__aiter__",
        "__anext__",
        "__await__",
        "__class__",
        "__class_getitem__",
        "__copy__",
        "__deepcopy__",
        "__del__",
        "__delattr__",
        "__delete__",
        "__dir__",
        "__eq__",
        "__format__",
        "__fspath__",
        "__ge__",
        "__get__",
        "__getattr__",
        "__getattribute__",
        "__getnewargs__",
        "__getnewargs_ex__",
        "__getstate__",
        "__gt__",
        "__hash__",
        "__init__",
        "__init_subclass__",
        "__instancecheck__",
        "__le__",
        "__lt__",
        "__ne__",
        "__new__",
        "__ray_shutdown__",
        "__reduce__",
        "__reduce_ex__",
        "__repr__",
        "__set__",
        "__set_name__",
        "__setattr__",
        "__setstate__",
        "__sizeof__",
        "__str__",
        "__subclasscheck__",
        "__subclasshook__",
    )
)


@dataclasses.dataclass(frozen=True, slots=True)
class MethodInfo:
    """What a handle must know of a method."""

    name: str
    index: int
    signature: inspect.Signature | None
    num_returns: int
    max_task_retries: int | None
    """None: the actor's."""
    retry: bool | tuple[type[BaseException], ...]
    task_name: str | None


def is_async(cls: type) -> bool:
    """Whether a class makes asyncio actors: its constructor or a method is a coroutine."""
    return inspect.iscoroutinefunction(inspect.getattr_static(cls, "__init__", None)) or any(
        inspect.iscoroutinefunction(member) or inspect.isasyncgenfunction(member)
        for _, member in _callables(cls)
    )


def _callables(cls: type) -> list[tuple[str, Any]]:
    """Names and functions of the methods of a class, sorted: the order is the index."""
    members: dict[str, Any] = {}
    for base in reversed(cls.__mro__[:-1]):  # but `object`
        members.update(vars(base))
    found: list[tuple[str, Any]] = []
    for name in sorted(members):
        if name in _NOT_METHODS or name in BUILT_IN_METHODS:
            continue
        member = members[name]
        if isinstance(member, (staticmethod, classmethod)):
            member = member.__func__
        elif isinstance(member, (property, type)) or not callable(member):
            continue
        found.append((name, member))
    return found


def method_names(cls: type) -> list[str]:
    """Names of an actor's methods by index; worker and handles agree on them."""
    return [*BUILT_IN_METHODS, *(name for name, _ in _callables(cls))]


def _method_info(cls: type, name: str, member: Any, index: int) -> MethodInfo:
    given: Mapping[str, Any] = getattr(member, METHOD_OPTIONS, {})
    bound = not isinstance(inspect.getattr_static(cls, name), staticmethod)
    return MethodInfo(
        name=name,
        index=index,
        signature=functions.signature_of(member, skip_first=bound),
        num_returns=returns_of(given.get("num_returns"), member, f"{cls.__name__}.{name}"),
        max_task_retries=given.get("max_task_retries"),
        retry=options.retry_exceptions_of(given.get("retry_exceptions")),
        task_name=given.get("name"),
    )


def methods_of(cls: type) -> dict[str, MethodInfo]:
    """Describe the methods of an actor class, the built-in ones included."""
    found = {
        name: MethodInfo(name, index, None, 1, None, False, None)
        for index, name in enumerate(BUILT_IN_METHODS)
    }
    for index, (name, member) in enumerate(_callables(cls), start=len(BUILT_IN_METHODS)):
        found[name] = _method_info(cls, name, member, index)
    return found


def lean_methods(methods: Mapping[str, MethodInfo]) -> dict[str, MethodInfo]:
    """Describe methods without what cannot be found everywhere."""
    return {
        name: dataclasses.replace(info, signature=functions.lean(info.signature))
        for name, info in methods.items()
    }


@dataclasses.dataclass(slots=True)
class ActorMeta:
    """What all handles of an actor share, in any process."""

    class_name: str
    module: str
    methods: dict[str, MethodInfo]
    max_task_retries: int
    asyncio: bool
    packed: bytes = b""
    table: dict[str, tuple[Any, ...]] = dataclasses.field(default_factory=dict)

    def pack(self) -> bytes:
        """Return this as bytes, without what cannot be found everywhere."""
        if not self.packed:
            lean = lean_methods(self.methods)
            self.packed = cloudpickle.dumps(
                (self.class_name, self.module, lean, self.max_task_retries, self.asyncio),
                protocol=5,
            )
        return self.packed

    @staticmethod
    def unpack(packed: bytes) -> ActorMeta:
        """Undo `pack`; equal bytes give the same object."""
        found = _metas.get(packed)
        if found is None:
            name, module, methods, retries, asyncio = cloudpickle.loads(packed)
            found = ActorMeta(name, module, methods, retries, asyncio, packed)
            found.fill_table()
            _metas[packed] = found
        return found

    def fill_table(self) -> None:
        """Make the table that the extension's handles look methods up in."""
        self.table = {
            name: (
                info.index,
                _core.Sig(info.signature, f"{self.class_name}.{name}"),
                info.num_returns,
                self._retries(info),
                _core.CALL_RETRY_ERRORS if info.retry else 0,
                functions.pack_extra(info.retry, info.task_name),
            )
            for name, info in self.methods.items()
        }

    def _retries(self, info: MethodInfo) -> int:
        return self.max_task_retries if info.max_task_retries is None else info.max_task_retries


_metas: dict[bytes, ActorMeta] = {}
