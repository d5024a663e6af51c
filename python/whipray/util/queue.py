"""A first-in, first-out queue that tasks and actors share."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Iterable
from typing import Any

import whipray

__all__ = ["Empty", "Full", "Queue"]


class Empty(queue.Empty):
    """The queue has nothing to give."""


class Full(queue.Full):
    """The queue has no room."""


class Queue:
    """A queue that lives in an actor; its handle can be sent anywhere.

    Parameters
    ----------
    maxsize : int
        How many items it holds; 0 or less is no limit.
    actor_options : dict, optional
        Options of its actor.

    Examples
    --------
    >>> from whipray.util.queue import Queue
    >>> numbers = Queue(maxsize=10)
    >>> numbers.put(1)
    >>> numbers.get()
    1
    """

    def __init__(self, maxsize: int = 0, actor_options: dict[str, Any] | None = None) -> None:
        self.maxsize = maxsize
        actor_class = whipray.remote(_QueueActor)
        self.actor = actor_class.options(**(actor_options or {})).remote(maxsize)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.maxsize, self.actor)

    def __len__(self) -> int:
        return self.size()

    def size(self) -> int:
        """Return the number of items."""
        count: int = whipray.get(self.actor.qsize.remote())
        return count

    def qsize(self) -> int:
        """Return the number of items."""
        return self.size()

    def empty(self) -> bool:
        """Whether there are no items."""
        answer: bool = whipray.get(self.actor.empty.remote())
        return answer

    def full(self) -> bool:
        """Whether there is no room."""
        answer: bool = whipray.get(self.actor.full.remote())
        return answer

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Add an item.

        Parameters
        ----------
        item : object
            The item.
        block : bool
            Whether to wait for room.
        timeout : float, optional
            Seconds to wait; None waits for ever.

        Raises
        ------
        Full
            If there is no room (in time).
        ValueError
            If the timeout is negative.
        """
        if not whipray.get(self.actor.put.remote(item, _limit(block, timeout))):
            raise Full

    async def put_async(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Add an item, for coroutines; as `put`."""
        if not await self.actor.put.remote(item, _limit(block, timeout)):
            raise Full

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take the oldest item; as `put`, with `Empty`."""
        found, item = whipray.get(self.actor.get.remote(_limit(block, timeout)))
        if not found:
            raise Empty
        return item

    async def get_async(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take the oldest item, for coroutines; as `get`."""
        found, item = await self.actor.get.remote(_limit(block, timeout))
        if not found:
            raise Empty
        return item

    def put_nowait(self, item: Any) -> None:
        """Add an item or raise `Full`."""
        self.put(item, block=False)

    def get_nowait(self) -> Any:
        """Take the oldest item or raise `Empty`."""
        return self.get(block=False)

    def put_nowait_batch(self, items: Iterable[Any]) -> None:
        """Add all items, or none and raise `Full`."""
        if isinstance(items, (str, bytes)) or not isinstance(items, Iterable):
            raise TypeError(f"items must be an iterable of items, not {type(items).__name__}")
        batch = list(items)
        room: int = whipray.get(self.actor.put_batch.remote(batch))
        if room >= 0:
            raise Full(f"no room for {len(batch)} items: there is room for {room}")

    def get_nowait_batch(self, num_items: int) -> list[Any]:
        """Take so many items, or none and raise `Empty`."""
        if not isinstance(num_items, int):
            raise TypeError(f"num_items must be an int, not {type(num_items).__name__}")
        if num_items < 0:
            raise ValueError(f"num_items cannot be negative: {num_items}")
        items, count = whipray.get(self.actor.get_batch.remote(num_items))
        if items is None:
            raise Empty(f"{num_items} items are not there: there are {count}")
        found: list[Any] = items
        return found

    def shutdown(self, force: bool = False, grace_period_s: int = 5) -> None:
        """End the queue's actor.

        Parameters
        ----------
        force : bool
            Whether to end it at once, without its running calls.
        grace_period_s : int
            Seconds that running calls have otherwise.
        """
        if self.actor is None:
            return
        if not force:
            done = self.actor.__ray_terminate__.remote()
            whipray.wait([done], timeout=grace_period_s)
        whipray.kill(self.actor, no_restart=True)
        self.actor = None


def _limit(block: bool, timeout: float | None) -> float | None:
    """Return the seconds to wait: 0 for none, None for no limit."""
    if not block:
        return 0
    if timeout is not None and timeout < 0:
        raise ValueError(f"'timeout' cannot be negative: {timeout}")
    return timeout


def _rebuild(maxsize: int, actor: Any) -> Queue:
    made = Queue.__new__(Queue)
    made.maxsize = maxsize
    made.actor = actor
    return made


class _QueueActor:
    """What the queue's actor runs."""

    def __init__(self, maxsize: int) -> None:
        self._maxsize = maxsize
        self._queue: asyncio.Queue[Any] = asyncio.Queue(maxsize)

    async def qsize(self) -> int:
        return self._queue.qsize()

    async def empty(self) -> bool:
        return self._queue.empty()

    async def full(self) -> bool:
        return self._queue.full()

    async def put(self, item: Any, timeout: float | None) -> bool:
        """Whether there was room in time."""
        try:
            if timeout == 0:
                self._queue.put_nowait(item)
            else:
                await asyncio.wait_for(self._queue.put(item), timeout)
        except (asyncio.QueueFull, TimeoutError):
            return False
        return True

    async def get(self, timeout: float | None) -> tuple[bool, Any]:
        """Whether there was an item in time, and the item."""
        try:
            if timeout == 0:
                return True, self._queue.get_nowait()
            return True, await asyncio.wait_for(self._queue.get(), timeout)
        except (asyncio.QueueEmpty, TimeoutError):
            return False, None

    async def put_batch(self, items: list[Any]) -> int:
        """Return -1 when all were added, else the room there is."""
        if self._maxsize > 0:
            room = self._maxsize - self._queue.qsize()
            if len(items) > room:
                return room
        for item in items:
            self._queue.put_nowait(item)
        return -1

    async def get_batch(self, count: int) -> tuple[list[Any] | None, int]:
        """Return the items, or None and how many there are."""
        there = self._queue.qsize()
        if count > there:
            return None, there
        return [self._queue.get_nowait() for _ in range(count)], count
