"""Functions that run as tasks."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NoReturn, cast

from whipray import _core
from whipray._private import config, functions, options
from whipray._private import session as sessions

__all__ = ["RemoteFunction"]

WHAT = "a remote function"
RESOLVED_KEPT = 1024
VARIANTS_KEPT = 64
# Values that cannot change once they are a variant's options.
PLAIN = frozenset({int, float, str, bool, type(None)})


def default_max_retries() -> int:
    """Return how often a task is run again when its worker dies, unless it says so itself."""
    return config.integer("TASK_MAX_RETRIES", 3)


def is_generator(function: Any) -> bool:
    """Whether calls of a function yield items."""
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)


def returns_of(given: int | str | None, function: Any, what: str) -> int:
    """Return the number of returns of a call, `RETURNS_STREAM` for a generator.

    Raises
    ------
    ValueError
        If "streaming" is asked of what is no generator.
    """
    if given is None:
        return _core.RETURNS_STREAM if is_generator(function) else 1
    if given == "streaming":
        if not is_generator(function):
            raise ValueError(f"num_returns='streaming' needs a generator function; {what} is none")
        return _core.RETURNS_STREAM
    assert isinstance(given, int)
    return given


class RemoteFunction(_core.RemoteFunction):
    """A function whose ``.remote(...)`` runs it as a task; made by `whipray.remote`.

    Examples
    --------
    >>> import whipray as ray
    >>> @ray.remote(num_cpus=1)
    ... def add(a, b):
    ...     return a + b
    >>> ray.get(add.remote(1, 2))
    3
    >>> ray.get(add.options(num_cpus=0.5).remote(1, b=2))
    3
    """

    def __init__(
        self,
        function: Callable[..., Any],
        given: options.Options,
        signature: inspect.Signature | None = None,
    ) -> None:
        if inspect.iscoroutinefunction(function):
            raise ValueError(
                f"'async def {function.__name__}' cannot be a remote function; call "
                "asyncio.run() in an ordinary one, or use an asyncio actor"
            )
        self._name = getattr(function, "__qualname__", None) or repr(function)
        checked = options.check(options.TASK, given, WHAT)
        self._signature = signature or functions.signature_of(function)
        sig = _core.Sig(self._signature, self._name)
        super().__init__(function, sig, checked, max_retries=0)
        self._pickled = functions.Pickled(function, self._name)
        self._default_options = checked
        # Shared by all variants that .options() makes: what was resolved before, by options.
        self._resolved: dict[Any, tuple[int, int, int, int]] = {}
        # What .options() made of this one, by plain options: the same again is the same object.
        self._variants: dict[Any, RemoteFunction] = {}
        self._apply()
        self.__wrapped__ = function
        self.__name__ = getattr(function, "__name__", self._name)
        self.__qualname__ = self._name
        self.__doc__ = function.__doc__
        self.__module__ = getattr(function, "__module__", "__main__")

    def _apply(self) -> None:
        """Bring the options into the fields that the extension reads at each call."""
        given = self._options
        self._num_returns = returns_of(given.get("num_returns"), self._function, self._name)
        retries = given.get("max_retries")
        self._max_retries = default_max_retries() if retries is None else retries
        retry = options.retry_exceptions_of(given.get("retry_exceptions"))
        self._flags = _core.CALL_RETRY_ERRORS if retry else 0
        self._extra = functions.pack_extra(retry)
        window = given.get("_generator_backpressure_num_objects")
        self._window = 0 if window in (None, -1) else window

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(
            f"a remote function cannot be called directly: write {self.__name__}.remote(...) "
            f"instead of {self.__name__}(...)"
        )

    def options(self, **given: Any) -> RemoteFunction:
        """Return this function with other options; this one keeps its own.

        Parameters
        ----------
        **given
            As of `whipray.remote`, without ``max_calls``.
        """
        key: Any = None
        if PLAIN.issuperset(map(type, given.values())):
            key = (*given.items(), *map(type, given.values()))  # 1 and 1.0 are equal
            found = self._variants.get(key)
            if found is not None:
                return found
        checked = options.check(options.TASK, given, WHAT, in_options=True)
        clone = cast(RemoteFunction, self._clone())
        clone._variants = {}
        clone._options = {**self._options, **checked}
        if checked.get("scheduling_strategy") is not None:
            clone._options.pop("placement_group", None)
        elif checked.get("placement_group") not in (None, "default"):
            clone._options.pop("scheduling_strategy", None)
        clone._apply()
        if key is not None and len(self._variants) < VARIANTS_KEPT:
            self._variants[key] = clone
        return clone

    def bind(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Graphs of calls are not built yet."""
        raise NotImplementedError(f"{self._name}.bind(): graphs are not built yet in Whipray")

    def _resolve(self, closed: tuple[int, int, int] | None = None) -> None:
        """Export the function and open its class (hook ``resolve_function``).

        Parameters
        ----------
        closed
            Port, ring and generation of the class that the raylet has closed since.
        """
        session = sessions.require()
        inherited = session.assignment
        key: Any = (
            session.number,
            inherited.pg,
            inherited.capture,
            tuple(sorted(self._options.items())),
        )
        try:
            found = self._resolved.get(key)
        except TypeError:  # an option that has no hash, such as a dict
            key = found = None
        if found is None or found[1:] == closed:
            found = self._open(closed)
            if key in self._resolved or (key is not None and len(self._resolved) < RESOLVED_KEPT):
                self._resolved[key] = found
        number, port, ring, generation = found
        self._bind(function=number, port=port, ring=ring, generation=generation)
        if session.kind == _core.KIND_WORKER:
            session.bound.add(self)

    def _open(self, closed: tuple[int, int, int] | None) -> tuple[int, int, int, int]:
        given = self._options
        needs = options.resources_of(given, 1)
        calls = given.get("max_calls")
        if calls is None:
            calls = 1 if needs.get("GPU") else 0
        name = given.get("name") or self._name
        number = self._pickled.export({"kind": "function", "name": name, "max_calls": calls})
        return number, *functions.open_class(functions.placement_of(given, needs), name, closed)

    @property
    def _function_name(self) -> str:
        return self._name

    def __reduce__(self) -> tuple[Any, ...]:
        # A function that calls itself is rebuilt before it has its defaults: its signature travels.
        signature = functions.lean(self._signature)
        return _rebuild, (self._function, self._default_options, self._options, signature)

    def __repr__(self) -> str:
        return f"<RemoteFunction {self.__module__}.{self._name}>"


def _rebuild(
    function: Callable[..., Any],
    defaults: options.Options,
    given: options.Options,
    signature: inspect.Signature | None,
) -> RemoteFunction:
    made = RemoteFunction(function, defaults, signature)
    if given != defaults:
        made._options = given
        made._apply()
    return made
