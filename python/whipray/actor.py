"""Actors: classes whose instances live in a worker of their own."""

from __future__ import annotations

import dataclasses
import inspect
import logging
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from whipray import _core
from whipray._private import functions, options
from whipray._private import session as sessions
from whipray._private.actor_meta import (
    METHOD_OPTIONS,
    ActorMeta,
    MethodInfo,
    is_async,
    lean_methods,
    methods_of,
)
from whipray._private.errors import remember_actor, status_of
from whipray._private.ids import ActorID
from whipray._private.suggest import nearest
from whipray.exceptions import (
    ActorAlreadyExistsError,
    ActorHandleNotFoundError,
    ActorUnschedulableError,
    TaskUnschedulableError,
)

__all__ = [
    "ActorClass",
    "ActorClassInheritanceException",
    "ActorHandle",
    "ActorMethod",
    "exit_actor",
    "method",
]

logger = logging.getLogger("whipray")

WHAT: Final = "an actor class"
WHAT_METHOD: Final = "an actor method"
DEFAULT_ASYNC_CONCURRENCY: Final = 1000
MAX_LANES: Final = 1024


class ActorClassInheritanceException(TypeError):
    """An actor class was used as a base class."""


def method(*args: Any, **given: Any) -> Any:
    """Set the defaults of an actor's method.

    Parameters
    ----------
    num_returns : int or "streaming"
        How many references a call gives.
    max_task_retries : int
        How often a call is sent again when the actor died; beats the actor's own.
    retry_exceptions : bool or list of exception classes
        Whether errors of the method are retried, too.
    name : str
        What calls are called in logs.

    Raises
    ------
    AssertionError
        For an unknown keyword.

    Examples
    --------
    >>> import whipray as ray
    >>> @ray.remote
    ... class Pair:
    ...     @ray.method(num_returns=2)
    ...     def both(self):
    ...         return 1, 2
    """
    if len(args) == 1 and not given and callable(args[0]):
        return args[0]
    if args:
        raise AssertionError("@method takes keywords only, such as @method(num_returns=2)")
    if not given:
        raise AssertionError("@method() needs a keyword, such as num_returns=2")
    checked = options.check(options.METHOD, given, WHAT_METHOD, unknown=AssertionError)
    if checked.get("_generator_backpressure_num_objects") not in (None, -1):
        raise NotImplementedError(
            "_generator_backpressure_num_objects in @method is not built yet in Whipray; "
            "give it by .options() of the call"
        )

    def mark(function: Any) -> Any:
        setattr(function, METHOD_OPTIONS, checked)
        return function

    return mark


@dataclasses.dataclass(slots=True)
class ActorInfo:
    """What the handles of one actor share: `ActorCore.extra`."""

    meta: ActorMeta
    actor_id: bytes
    port: int
    generation: int
    session: int


class ActorMethod(_core.ActorMethod):
    """A method of an actor; ``.remote(...)`` calls it.

    Examples
    --------
    >>> import whipray as ray
    >>> @ray.remote
    ... class Counter:
    ...     n = 0
    ...     def add(self, k=1):
    ...         self.n += k
    ...         return self.n
    >>> ray.get(Counter.remote().add.remote(2))
    2
    """

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(
            f"an actor's method cannot be called directly: write {self._name}.remote(...) "
            f"instead of {self._name}(...)"
        )

    def options(self, **given: Any) -> ActorMethod:
        """Return this method with other options.

        Parameters
        ----------
        **given
            As of `method`.
        """
        made: ActorMethod = with_options(self, given)
        return made

    def bind(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Graphs of calls are not built yet."""
        raise NotImplementedError(f"{self._name}.bind(): graphs are not built yet in Whipray")

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"the method {self._name} of an actor cannot be sent; send its handle")

    def __repr__(self) -> str:
        info: ActorInfo = self._core.extra
        return f"<ActorMethod {info.meta.class_name}.{self._name}>"


def with_options(bound: Any, given: Mapping[str, Any]) -> Any:
    """Return a method with other options (hook ``method_options``)."""
    checked = options.check(options.METHOD, given, WHAT_METHOD)
    info: ActorInfo = bound._core.extra
    clone = bound._clone()
    if checked.get("num_returns") is not None:
        count = checked["num_returns"]
        was_stream = info.meta.methods[bound._name].num_returns == _core.RETURNS_STREAM
        if count == "streaming":
            if not was_stream:
                raise ValueError(
                    f"num_returns='streaming' needs a generator; {bound._name} is none"
                )
            count = _core.RETURNS_STREAM
        clone._num_returns = count
    if checked.get("max_task_retries") is not None:
        clone._max_retries = checked["max_task_retries"]
    if "retry_exceptions" in checked or checked.get("name"):
        known = info.meta.methods[bound._name]
        retry = known.retry
        if "retry_exceptions" in checked:
            retry = options.retry_exceptions_of(checked["retry_exceptions"])
        clone._flags = _core.CALL_RETRY_ERRORS if retry else 0
        clone._extra = functions.pack_extra(retry, checked.get("name") or known.task_name)
    window = checked.get("_generator_backpressure_num_objects")
    if window is not None:
        clone._window = 0 if window == -1 else window
    return clone


class ActorHandle(_core.ActorHandle):
    """A way to an actor: its methods are attributes with ``.remote(...)``.

    The actor ends when its last handle is gone, after the calls that are queued. Handles from
    `get_actor` and ``current_actor`` are weak: they do not keep it. Of a call through one
    that comes after the actor's end, `get` raises `ActorDiedError` (a streaming call raises it at
    once): the port may be another's by then, and the generation tells which of them is meant.
    """

    @property
    def _whipray_info(self) -> ActorInfo:
        found: ActorInfo = self._core.extra
        return found

    @property
    def _actor_id(self) -> ActorID:
        return ActorID(self._whipray_info.actor_id)

    @property
    def _ray_actor_id(self) -> ActorID:
        return self._actor_id

    @property
    def _ray_is_weak(self) -> bool:
        return self._core.ref is None

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, ActorHandle)
            and self._whipray_info.actor_id == other._whipray_info.actor_id
        )

    def __hash__(self) -> int:
        return hash(self._whipray_info.actor_id)

    def __repr__(self) -> str:
        return f"Actor({self._whipray_info.meta.class_name}, {self._whipray_info.actor_id.hex()})"

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._whipray_info.meta.methods})

    def __reduce__(self) -> tuple[Any, ...]:
        info = self._whipray_info
        return _rebuild_handle, (
            self._core.ref,
            self._core.handle,
            info.actor_id,
            info.port,
            info.generation,
            info.meta.pack(),
        )


def make_handle(
    meta: ActorMeta, *, handle: int, ref: Any, actor_id: bytes, port: int, generation: int
) -> ActorHandle:
    """Make a handle; `ref` None makes a weak one."""
    session = sessions.require()
    info = ActorInfo(meta, actor_id, port, generation, session.number)
    remember_actor(actor_id, port, meta)
    return ActorHandle(_core.ActorCore(handle, ref, info), meta.table)


def _handle_of(
    reply: dict[str, Any], meta: ActorMeta | None = None, own: Any = None
) -> ActorHandle:
    """Make the handle that op ``actor_create`` or ``actor_find`` tells of; weak without `own`."""
    made = make_handle(
        meta or ActorMeta.unpack(reply["meta"]),
        handle=own.handle if own is not None else sessions.handle_of(reply, "handle"),
        ref=own,
        actor_id=reply["actor_id"],
        port=int(reply["port"]),
        generation=int(reply["generation"]),
    )
    _bind(made._core, int(reply["ring"]))
    return made


def _rebuild_handle(
    ref: Any, handle: int, actor_id: bytes, port: int, generation: int, packed: bytes
) -> ActorHandle:
    return make_handle(
        ActorMeta.unpack(packed),
        handle=handle,
        ref=ref,
        actor_id=actor_id,
        port=port,
        generation=generation,
    )


def _bind(core: Any, ring: int) -> None:
    info: ActorInfo = core.extra
    core.bind(port=info.port, ring=ring, generation=info.generation)


def resolve_actor(core: Any) -> None:
    """Open the way to an actor for this process (hook ``resolve_actor``)."""
    info: ActorInfo = core.extra
    check_session(info)
    try:
        ring = int(sessions.call("port_open", port=info.port, actor=core.handle)["ring"])
    except ValueError as error:
        if status_of(error) != "NOT_FOUND":
            raise
        ring = 0  # the actor is gone: each call ends so, by its generation
    _bind(core, ring)


def check_session(info: ActorInfo) -> None:
    """Refuse a handle of a session that has ended."""
    session = sessions.current()
    if session is None or session.number != info.session:
        raise ActorHandleNotFoundError(
            f"the handle of Actor({info.meta.class_name}, {info.actor_id.hex()}) belongs to a "
            "session that has ended"
        )


class _Metadata:
    """What third-party code reads as ``ActorClass.__ray_metadata__``."""

    def __init__(self, cls: type, is_asyncio: bool) -> None:
        self.modified_class = cls
        self.class_name = cls.__name__
        self.is_asyncio = is_asyncio


@dataclasses.dataclass(frozen=True, slots=True)
class _Outside:
    """What an actor class shows of its class.

    It travels with the class: one that names itself is rebuilt before it has its methods.
    """

    signature: inspect.Signature | None
    methods: dict[str, MethodInfo]
    asyncio: bool

    def lean(self) -> _Outside:
        """Return this without what only the class's own process needs."""
        return _Outside(functions.lean(self.signature), lean_methods(self.methods), self.asyncio)


class ActorClass:
    """A class whose ``.remote(...)`` makes an actor; made by `whipray.remote`.

    Examples
    --------
    >>> import whipray as ray
    >>> @ray.remote(num_cpus=1)
    ... class Greeter:
    ...     def hello(self, name):
    ...         return f"hello {name}"
    >>> greeter = Greeter.options(name="greeter").remote()
    >>> ray.get(greeter.hello.remote("world"))
    'hello world'
    """

    def __init__(self, cls: type, given: options.Options, outside: _Outside | None = None) -> None:
        self._cls = cls
        self._options = options.check(options.ACTOR, given, WHAT)
        self._outside = outside or _Outside(
            functions.signature_of(cls), methods_of(cls), is_async(cls)
        )
        self._asyncio = self._outside.asyncio
        self._check_order(self._options)
        self._sig = _core.Sig(self._outside.signature, cls.__qualname__)
        self._infos = self._outside.methods
        self._pickled = functions.Pickled(cls, cls.__qualname__)
        self._metas: dict[int, ActorMeta] = {}
        self.__ray_metadata__ = _Metadata(cls, self._asyncio)
        self.__ray_actor_class__ = cls
        self.__name__ = cls.__name__
        self.__qualname__ = cls.__qualname__
        self.__module__ = cls.__module__
        self.__doc__ = cls.__doc__

    def _check_order(self, given: Mapping[str, Any]) -> None:
        if given.get("allow_out_of_order_execution") is None:
            return
        unordered = self._asyncio or (given.get("max_concurrency") or 1) > 1
        wanted: bool = given["allow_out_of_order_execution"]
        if unordered and not wanted:
            raise ValueError(
                "allow_out_of_order_execution=False is not possible for asyncio and threaded actors"
            )
        if wanted and not unordered:
            raise NotImplementedError(
                "the option allow_out_of_order_execution=True of an actor with one thread is not "
                "built yet in Whipray"
            )

    def __mro_entries__(self, bases: tuple[Any, ...]) -> NoReturn:
        raise ActorClassInheritanceException(
            f"{self.__name__} is an actor class and cannot be a base class; decorate the derived "
            "class only, or derive from the class before it is decorated"
        )

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(
            f"an actor class cannot be called directly: write {self.__name__}.remote(...) instead "
            f"of {self.__name__}(...)"
        )

    def __class_getitem__(cls, item: Any) -> Any:
        return cls

    def options(self, **given: Any) -> _ActorOptions:
        """Return this class with other options; it keeps its own.

        Parameters
        ----------
        **given
            As of `whipray.remote`, without ``concurrency_groups``.
        """
        checked = options.check(options.ACTOR, given, WHAT, in_options=True)
        merged = {**self._options, **checked}
        self._check_order(merged)
        return _ActorOptions(self, merged)

    def remote(self, *args: Any, **kwargs: Any) -> ActorHandle:
        """Make an actor and return its handle at once.

        Raises
        ------
        TypeError
            If the constructor cannot take the arguments.
        ActorAlreadyExistsError
            If an actor of that name is alive in the namespace.
        """
        return self._create(self._options, args, kwargs)

    def bind(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Graphs of calls are not built yet."""
        raise NotImplementedError(f"{self.__name__}.bind(): graphs are not built yet in Whipray")

    def _meta(self, max_task_retries: int) -> ActorMeta:
        found = self._metas.get(max_task_retries)
        if found is None:
            found = ActorMeta(
                class_name=self._cls.__qualname__.rpartition(".")[2],
                module=self._cls.__module__,
                methods=self._infos,
                max_task_retries=max_task_retries,
                asyncio=self._asyncio,
            )
            found.fill_table()
            self._metas[max_task_retries] = found
        return found

    def _concurrency(self, given: Mapping[str, Any]) -> int:
        wanted = given.get("max_concurrency")
        if wanted is None:
            return DEFAULT_ASYNC_CONCURRENCY if self._asyncio else 1
        if wanted > MAX_LANES:
            raise ValueError(f"max_concurrency is at most {MAX_LANES}, not {wanted}")
        return int(wanted)

    def _create(
        self, given: Mapping[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> ActorHandle:
        self._sig.check(*args, **kwargs)
        held, to_place = actor_resources(given)
        session = sessions.require()
        name = given.get("name")
        retries = given.get("max_task_retries") or 0
        meta = self._meta(retries)
        number = self._pickled.export({"kind": "class", "name": meta.class_name, "max_calls": 0})
        placement = functions.placement_of(given, to_place)
        lifetime = given.get("lifetime")
        if lifetime == "non_detached":
            lifetime = None
        if given.get("get_if_exists"):
            found = _find(str(name), given.get("namespace") or session.namespace)
            if found is not None:
                return found
        own = _core.put(None)
        constructor = _core.submit(
            number, args, kwargs, sig=None, flags=_core.CALL_PARKED, num_returns=1
        )
        try:
            reply = sessions.call(
                "actor_create",
                handle=_core.share(own),
                ctor=_core.share(constructor),
                function=number,
                class_name=meta.class_name,
                name=name,
                namespace=given.get("namespace") or session.namespace,
                lifetime=lifetime,
                get_if_exists=int(bool(given.get("get_if_exists"))),
                resources=held,
                placement_resources=to_place,
                strategy=placement.strategy_fields() or None,
                runtime_env=placement.runtime_env or None,
                max_restarts=given.get("max_restarts") or 0,
                max_task_retries=retries,
                max_concurrency=self._concurrency(given),
                asyncio=int(self._asyncio),
                meta=meta.pack(),
            )
        except ActorAlreadyExistsError:
            space = given.get("namespace") or session.namespace
            raise ActorAlreadyExistsError(
                f"an actor named {name!r} is alive in the namespace {space!r}; use another name, "
                "or get_if_exists=True to have that one"
            ) from None
        except TaskUnschedulableError as error:
            raise ActorUnschedulableError(error.error_message) from None
        if reply.get("existed"):
            return _handle_of(reply)
        made = _handle_of(reply, meta, own)
        if not reply.get("feasible", 1):
            logger.warning(
                "Actor %s waits: no node can hold it as things stand (%s). It asks for %s.",
                meta.class_name,
                reply.get("reason") or "no reason was given",
                to_place,
            )
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return ActorClass, (self._cls, self._options, self._outside.lean())

    def __repr__(self) -> str:
        return f"ActorClass({self.__name__})"


class _ActorOptions:
    """An actor class with other options: what ``ActorClass.options()`` returns."""

    def __init__(self, cls: ActorClass, given: options.Options) -> None:
        self._class = cls
        self._options = given

    def remote(self, *args: Any, **kwargs: Any) -> ActorHandle:
        """Make an actor; see `ActorClass.remote`."""
        return self._class._create(self._options, args, kwargs)

    def bind(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Graphs of calls are not built yet."""
        self._class.bind(*args, **kwargs)


def actor_resources(given: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, float]]:
    """Return what an actor holds for its life, and what it takes to place it.

    Nothing but memory named: 1 CPU to place it, none held. Anything named: that, and 1 CPU unless
    it says otherwise, for life.

    Examples
    --------
    >>> actor_resources({})
    ({}, {'CPU': 1.0})
    >>> actor_resources({"resources": {"disk": 1}})
    ({'CPU': 1.0, 'disk': 1.0}, {'CPU': 1.0, 'disk': 1.0})
    >>> actor_resources({"num_cpus": 0})
    ({}, {})
    """
    named = any(given.get(name) is not None for name in ("num_cpus", "num_gpus", "resources"))
    named = named or bool(given.get("accelerator_type"))
    if named:
        held = options.resources_of(given, 1)
        return held, held
    return options.resources_of(given, 0), options.resources_of(given, 1)


def get_actor(name: str, namespace: str | None = None) -> ActorHandle:
    """Find a named actor; the handle is weak: it does not keep the actor alive.

    Parameters
    ----------
    name : str
        Its name.
    namespace : str, optional
        Its namespace; the job's by default.

    Raises
    ------
    ValueError
        If the name is empty, or no living actor has it; the text has the nearest name.
    """
    if not isinstance(name, str) or not name:
        raise ValueError(f"the name of an actor must be a non-empty str, not {name!r}")
    session = sessions.require()
    space = session.namespace if namespace is None else namespace
    if not isinstance(space, str) or not space:
        raise ValueError(f"a namespace must be a non-empty str, not {space!r}")
    found = _find(name, space)
    if found is None:
        raise ValueError(
            f"no actor named {name!r} is alive in the namespace {space!r}"
            f"{nearest(name, _names_in(space))}"
        )
    return found


def _names_in(space: str) -> list[str]:
    reply = sessions.call("actor_list", all_namespaces=1)
    return [actor["name"] for actor in reply.get("actors") or [] if actor["namespace"] == space]


def _find(name: str, space: str) -> ActorHandle | None:
    try:
        reply = sessions.call("actor_find", name=name, namespace=space)
    except ValueError as error:
        if status_of(error) != "NOT_FOUND":
            raise
        return None
    return _handle_of(reply)


def exit_actor() -> NoReturn:
    """End the actor that this call runs in; its caller sees `ActorDiedError`.

    ``atexit`` functions run; calls that are queued fail; the actor is not restarted. In an asyncio
    actor the calls that run are finished first.

    Raises
    ------
    TypeError
        Outside an actor.
    """
    session = sessions.current()
    if session is None or session.assignment.actor_id is None:
        raise TypeError("exit_actor() can only be called inside an actor")
    from whipray._private.worker_main import ActorExit

    raise ActorExit


def wrap_class(cls: type, given: options.Options) -> ActorClass:
    """Make an actor class of a class; refuse one that has an actor class among its bases."""
    if isinstance(cls, ActorClass):
        raise TypeError(f"{cls!r} is an actor class already")
    return ActorClass(cls, given)


def is_actor_class(value: object) -> bool:
    """Whether a value is an actor class."""
    return isinstance(value, ActorClass)
