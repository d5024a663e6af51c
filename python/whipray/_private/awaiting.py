"""References as futures: one thread watches all objects that coroutines wait for."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import AsyncIterator, Callable, Generator
from typing import TYPE_CHECKING, Any, Final, NoReturn

from whipray import _core

if TYPE_CHECKING:  # asyncio is imported where it is used: most drivers never need it
    import asyncio
    from concurrent.futures import Future

logger = logging.getLogger("whipray")

LOOK_SECONDS: Final = 0.001
"""How long a wait of the watcher lasts: what is added meanwhile is seen after that."""
LOOK_SECONDS_PER_REF: Final = 2e-6
"""So that a look at many objects takes a small part of the time between looks."""


class _Watcher:
    """Calls functions when objects are there; its thread lives while something is watched."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._added: list[tuple[Any, Callable[[], None]]] = []
        self._running = False

    def add(self, ref: Any, done: Callable[[], None]) -> None:
        """Call `done` in the watcher's thread when the object of `ref` is there."""
        with self._lock:
            self._added.append((ref, done))
            if self._running:
                return
            self._running = True
        threading.Thread(target=self._run, name="whipray-watcher", daemon=True).start()

    def _run(self) -> None:
        watched: list[tuple[Any, Callable[[], None]]] = []
        while True:
            with self._lock:
                watched += self._added
                self._added.clear()
                if not watched:
                    self._running = False
                    return
            if not _core.is_connected():
                ready = list(range(len(watched)))  # get() tells each what happened
            else:
                timeout = max(LOOK_SECONDS, len(watched) * LOOK_SECONDS_PER_REF)
                try:
                    ready = _core.watch([ref for ref, _ in watched], timeout)
                except BaseException:  # the session ends
                    ready = list(range(len(watched)))
            if not ready:
                continue
            there = set(ready)
            for index in ready:
                try:
                    watched[index][1]()
                except Exception:
                    logger.exception("a callback of an object reference failed")
            watched = [entry for index, entry in enumerate(watched) if index not in there]


_watcher = _Watcher()


def _new_watcher() -> None:
    global _watcher
    _watcher = _Watcher()


os.register_at_fork(after_in_child=_new_watcher)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def await_ref(ref: Any) -> Generator[Any, None, Any]:
    """Wait in a coroutine for an object that is not there yet (hook ``await_ref``)."""
    import asyncio

    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def done() -> None:
        try:
            loop.call_soon_threadsafe(_wake, future)
        except RuntimeError:  # the loop was closed: nobody waits any more
            pass

    _watcher.add(ref, done)
    yield from future.__await__()
    return _core.get(ref)


def future_of(ref: Any) -> Future[Any]:
    """Return a future that gets the object or its error (hook ``future_of``)."""
    from concurrent.futures import Future

    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()

    def done() -> None:
        try:
            value = _core.get(ref)
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(value)

    if _core.ready(ref):
        done()
    else:
        _watcher.add(ref, done)
    return future


def on_completed(ref: Any, callback: Callable[[Any], Any]) -> None:
    """Call `callback` with the object, or with its error (hook ``on_completed``)."""

    def done() -> None:
        try:
            value = _core.get(ref)
        except Exception as error:
            value = error
        callback(value)

    _watcher.add(ref, done)


class ObjectRefGenerator(_core.ObjectRefGenerator):
    """The references that a generator task yields, in order; not for several threads at once.

    ``next`` waits until the next reference exists, not for what it holds. If the task raises,
    that is one more reference, whose `get` raises; then the iteration stops.

    Examples
    --------
    >>> import whipray as ray
    >>> @ray.remote
    ... def count(n):
    ...     yield from range(n)
    >>> [ray.get(ref) for ref in count.remote(3)]
    [0, 1, 2]
    """

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        import asyncio

        while True:
            try:
                ref = self._try_next()
                if ref is not None:
                    return ref
                loop = asyncio.get_running_loop()
                ref = await loop.run_in_executor(None, _next_within, self, 0.1)
            except StopIteration:
                raise StopAsyncIteration from None
            if ref is _END:
                raise StopAsyncIteration
            if ref is not None:
                return ref

    async def _next_async(self, timeout_s: float | None = None) -> Any:
        """Return the next reference; the nil one after the time limit."""
        import asyncio

        try:
            return await asyncio.wait_for(self.__anext__(), timeout_s)
        except TimeoutError:
            return _core.ObjectRef.nil()

    def send(self, value: Any) -> NoReturn:
        """Not possible: the generator runs elsewhere."""
        raise NotImplementedError("send() into a remote generator is not possible")

    def throw(self, *args: Any) -> NoReturn:
        """Not possible: the generator runs elsewhere."""
        raise NotImplementedError("throw() into a remote generator is not possible")

    def close(self) -> NoReturn:
        """Not possible: drop the generator, or cancel it."""
        raise NotImplementedError(
            "close() of a remote generator is not possible: drop it, or use whipray.cancel()"
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError("a generator of references cannot be pickled: it belongs to its caller")

    def __repr__(self) -> str:
        return f"ObjectRefGenerator({self.completed().hex()})"


_END = object()


def _next_within(generator: ObjectRefGenerator, seconds: float) -> Any:
    """The next reference, None after `seconds`, or `_END`: a future carries no StopIteration."""
    try:
        ref = generator._next_sync(seconds)
    except StopIteration:
        return _END
    return None if ref.is_nil() else ref
