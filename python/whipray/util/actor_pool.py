"""A pool of actors that work through values."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

import whipray

_V = TypeVar("_V")

__all__ = ["ActorPool"]


class ActorPool(Generic[_V]):
    """Hand values to whichever actor is free.

    Parameters
    ----------
    actors : list of ActorHandle
        The actors; each does one call at a time.

    Examples
    --------
    >>> import whipray as ray
    >>> from whipray.util import ActorPool
    >>> @ray.remote
    ... class Doubler:
    ...     def double(self, n):
    ...         return 2 * n
    >>> pool = ActorPool([Doubler.remote(), Doubler.remote()])
    >>> list(pool.map(lambda actor, n: actor.double.remote(n), [1, 2, 3]))
    [2, 4, 6]
    """

    def __init__(self, actors: Iterable[Any]) -> None:
        self._idle: list[Any] = list(actors)
        self._busy: dict[Any, Any] = {}  # reference -> the actor whose call it is
        self._started: dict[int, Any] = {}  # number of a submission -> its reference, not taken yet
        self._waiting: list[tuple[int, Callable[[Any, Any], Any], Any]] = []
        self._next_submit = 0
        self._next_return = 0

    def map(self, fn: Callable[[Any, _V], Any], values: Iterable[_V]) -> Iterator[Any]:
        """Call `fn(actor, value)` for each value; yield the results in the order of the values.

        Results of earlier submissions are taken first and dropped.
        """
        self._drain()
        for value in values:
            self.submit(fn, value)
        return self._results(self.get_next)

    def map_unordered(self, fn: Callable[[Any, _V], Any], values: Iterable[_V]) -> Iterator[Any]:
        """Call `fn(actor, value)` for each value; yield the results as they come."""
        self._drain()
        for value in values:
            self.submit(fn, value)
        return self._results(self.get_next_unordered)

    def _drain(self) -> None:
        while self.has_next():
            try:
                self.get_next_unordered(timeout=0, ignore_if_timedout=True)
            except TimeoutError:
                pass

    def _results(self, take: Callable[[], Any]) -> Iterator[Any]:
        while self.has_next():
            yield take()

    def submit(self, fn: Callable[[Any, _V], Any], value: _V) -> None:
        """Call `fn(actor, value)` on a free actor, now or as soon as one is free.

        Parameters
        ----------
        fn : callable
            Gets an actor and a value and returns the reference of a call.
        value : object
            The value.
        """
        index = self._next_submit
        self._next_submit += 1
        if self._idle:
            self._start(index, fn, value)
        else:
            self._waiting.append((index, fn, value))

    def _start(self, index: int, fn: Callable[[Any, Any], Any], value: Any) -> None:
        actor = self._idle.pop()
        try:
            ref = fn(actor, value)
        except BaseException:
            self._idle.append(actor)
            raise
        key = tuple(ref) if isinstance(ref, list) else ref
        self._busy[key] = actor
        self._started[index] = key

    def has_next(self) -> bool:
        """Whether a result is still to come."""
        return bool(self._started) or bool(self._waiting)

    def get_next(self, timeout: float | None = None, ignore_if_timedout: bool = False) -> Any:
        """Return the next result in the order of submission.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait; None waits for ever.
        ignore_if_timedout : bool
            After the time limit, leave this result out, too: the next call takes the one after it.

        Raises
        ------
        StopIteration
            If nothing is left.
        TimeoutError
            If the time limit passed.
        ValueError
            If this result was taken by `get_next_unordered` before.
        """
        if not self.has_next():
            raise StopIteration("no results are left in the pool")
        index = self._next_return
        if index not in self._started and all(index != number for number, _, _ in self._waiting):
            raise ValueError("get_next() cannot follow get_next_unordered() on these submissions")
        deadline = None if timeout is None else time.monotonic() + timeout
        in_time = True
        while in_time and index not in self._started:
            in_time = self._free_one(deadline)
        if in_time:
            in_time = self._wait_for([self._started[index]], deadline) is not None
        if not in_time and not ignore_if_timedout:
            raise TimeoutError("the next result was not there in time")
        self._next_return += 1
        return self._take(index, in_time)

    def get_next_unordered(
        self, timeout: float | None = None, ignore_if_timedout: bool = False
    ) -> Any:
        """Return whichever result is there first; raises as `get_next`."""
        if not self.has_next():
            raise StopIteration("no results are left in the pool")
        deadline = None if timeout is None else time.monotonic() + timeout
        key = self._wait_for(list(self._started.values()), deadline)
        if key is None and not ignore_if_timedout:
            raise TimeoutError("no result was there in time")
        numbers = {ref: number for number, ref in self._started.items()}
        index = min(numbers.values()) if key is None else numbers[key]
        self._next_return = max(self._next_return, index + 1)
        return self._take(index, key is not None)

    @staticmethod
    def _wait_for(keys: list[Any], deadline: float | None) -> Any | None:
        """Return one of the references that is there, or None after the deadline."""
        heads = {key[0] if isinstance(key, tuple) else key: key for key in keys}
        left = None if deadline is None else max(deadline - time.monotonic(), 0)
        ready, _ = whipray.wait(list(heads), timeout=left)
        return heads[ready[0]] if ready else None

    def _free_one(self, deadline: float | None) -> bool:
        """Wait until an actor is done, so that a waiting submission begins."""
        key = self._wait_for(list(self._busy), deadline)
        if key is None:
            return False
        self._release(self._busy.pop(key))
        return True

    def _take(self, index: int, in_time: bool) -> Any:
        key = self._started.pop(index, None)
        if key is None:  # it had not begun: it will not
            self._waiting = [item for item in self._waiting if item[0] != index]
            raise TimeoutError("the result was not there in time, and is left out")
        actor = self._busy.pop(key, None)
        if actor is not None:
            self._release(actor)
        if not in_time:
            raise TimeoutError("the result was not there in time, and is left out")
        return whipray.get(list(key) if isinstance(key, tuple) else key)

    def _release(self, actor: Any) -> None:
        self._idle.append(actor)
        if self._waiting:
            index, fn, value = self._waiting.pop(0)
            self._start(index, fn, value)

    def has_free(self) -> bool:
        """Whether an actor is free and nothing waits for one."""
        return bool(self._idle) and not self._waiting

    def pop_idle(self) -> Any | None:
        """Take a free actor out of the pool, or return None."""
        return self._idle.pop() if self.has_free() else None

    def push(self, actor: Any) -> None:
        """Add an actor; a member is a ValueError."""
        if actor in self._idle or actor in self._busy.values():
            raise ValueError("the actor belongs to the pool already")
        self._release(actor)
