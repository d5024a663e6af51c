"""An asyncio actor: all its calls on one event loop, which looks at the pool itself while busy.

While calls come, the loop polls the pool between its other work (no thread, no system call). After
some empty looks a thread waits for the actor's bell instead and wakes the loop, which sleeps.
"""

from __future__ import annotations

import asyncio
import inspect
import signal
import sys
import threading
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from typing import Any, Final

from whipray import _core
from whipray._private.tasks import in_coroutine

LOOKS_WHEN_EMPTY: Final = 64
"""Empty looks in a row before the loop goes to sleep."""
TAKES_PER_LOOK: Final = 64
"""Calls begun in one go, so that other coroutines get their turn."""
ITEM_WAIT_SECONDS: Final = 0.001
EAGER: Final = sys.version_info >= (3, 12)


class _Bell:
    """A thread that waits for the actor's bell when the loop asks for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wake: Any) -> None:
        self._loop = loop
        self._wake = wake
        self._asked = threading.Semaphore(0)
        threading.Thread(target=self._run, name="whipray-bell", daemon=True).start()

    def ask(self) -> None:
        """Wake the loop once when there may be something to take."""
        self._asked.release()

    def _run(self) -> None:
        while True:
            self._asked.acquire()
            try:
                _core.idle(0)
                self._loop.call_soon_threadsafe(self._wake)
            except BaseException:  # the loop is closed: the actor ends
                return


class AsyncActor:
    """The life of an asyncio actor: its event loop, which is this thread's from here on.

    Parameters
    ----------
    concurrency : int
        How many calls run at a time.
    """

    def __init__(self, concurrency: int) -> None:
        self._lanes = list(range(min(concurrency, 1024)))[::-1]
        self._running: dict[int, asyncio.Task[None]] = {}
        self._empty_looks = 0
        self._polling = False
        self._stop: BaseException | None = None
        self._result = 0
        self._ending = False
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)

    def construct(self, cls: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Make the instance on the loop, so that its constructor can start what runs there."""
        return self._loop.run_until_complete(_construct(cls, args, kwargs))

    def run(self) -> None:
        """Serve calls until the actor ends; raises what ends it."""
        from whipray._private import worker_main

        self._done = self._loop.create_future()
        self._bell = _Bell(self._loop, self._look)
        self._loop.add_signal_handler(signal.SIGINT, self._on_cancel)
        self._life = worker_main
        _core.set_hooks(coroutine_task=in_coroutine.get)
        self._loop.call_soon(self._look)  # not before the loop runs: sync methods ask for it
        try:
            self._loop.run_until_complete(self._done)
        finally:
            self._loop.remove_signal_handler(signal.SIGINT)
        if self._stop is not None:
            raise self._stop
        if self._result == _core.NEXT_DEAD:
            worker_main._leave(1, said_goodbye=False)

    # ---- Taking calls ----

    def _look(self) -> None:
        """Begin the calls that are there; look again at once while they come."""
        self._polling = False
        if self._ending:
            return
        taken = 0
        while self._lanes and taken < TAKES_PER_LOOK:
            lane = self._lanes.pop()
            task = _core.take(lane)
            if isinstance(task, int):
                self._lanes.append(lane)
                if task != _core.NEXT_NONE:
                    self._end(task)
                    return
                break
            taken += 1
            self._begin(task, lane)
            if self._ending:
                return
        if not self._lanes:
            return  # the next call that ends looks again
        self._empty_looks = 0 if taken else self._empty_looks + 1
        self._polling = True
        if self._empty_looks < LOOKS_WHEN_EMPTY:
            self._loop.call_soon(self._look)
        else:
            self._bell.ask()

    def _begin(self, task: Any, lane: int) -> None:
        token = in_coroutine.set(task)
        try:
            answer = task.run()
        except BaseException as error:
            self._lanes.append(lane)
            self._exit(error, task)
            return
        finally:
            in_coroutine.reset(token)
        if answer is _core.DONE:
            self._lanes.append(lane)
            return
        work = self._drive(task, answer, lane)
        if EAGER:
            running = asyncio.Task(work, loop=self._loop, eager_start=True)  # type: ignore[call-arg]
        else:
            running = self._loop.create_task(work)
        if not running.done():
            self._running[task.handle] = running

    async def _drive(self, task: Any, answer: Any, lane: int) -> None:
        """Run one call's coroutine or async generator to its end and seal it."""
        in_coroutine.set(task)
        try:
            if isinstance(answer, AsyncGenerator):
                await self._stream(task, answer)
                task.finish(None)
            else:
                task.finish(await _as_coroutine(answer))
        except asyncio.CancelledError as error:
            if self._life.was_cancel_asked(task.handle):
                task.fail_system("CANCELLED", f"{task.name} was cancelled while it ran")
            elif not task.sealed:
                task.fail(error)
        except BaseException as error:
            if self._life.is_exit(error):
                self._exit(error, task)
            else:
                task.fail(error)
        finally:
            self._running.pop(task.handle, None)
            self._lanes.append(lane)
            if self._ending:
                self._end_when_idle()
            elif not self._polling:
                self._polling = True
                self._empty_looks = 0
                self._loop.call_soon(self._look)

    async def _stream(self, task: Any, items: AsyncGenerator[Any, None]) -> None:
        try:
            async for item in items:
                answer = task.yield_item(item, wait=False)
                while answer == 1:  # the consumer's window is full
                    await asyncio.sleep(ITEM_WAIT_SECONDS)
                    answer = task.yield_item(item, wait=False)
                if answer == 2:
                    return
        finally:
            await items.aclose()

    def _on_cancel(self) -> None:
        for handle in self._life.take_cancels():
            running = self._running.get(handle)
            if running is not None:
                running.cancel()

    # ---- The end ----

    def _exit(self, error: BaseException, task: Any) -> None:
        """A call asked for the actor's end: the others are finished first."""
        if not task.sealed:
            task.abandon()
        self._stop = error
        self._ending = True
        self._end_when_idle()

    def _end(self, result: int) -> None:
        self._result = result
        self._ending = True
        if result == _core.NEXT_DEAD:
            self._finish()
        else:
            self._end_when_idle()

    def _end_when_idle(self) -> None:
        if not self._running:
            self._finish()

    def _finish(self) -> None:
        if not self._done.done():
            self._done.set_result(None)


async def _construct(cls: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    if not inspect.iscoroutinefunction(cls.__init__):
        return cls(*args, **kwargs)
    instance = cls.__new__(cls, *args, **kwargs)  # calling the class refuses a coroutine
    await instance.__init__(*args, **kwargs)
    return instance


async def _as_coroutine(answer: Coroutine[Any, Any, Any]) -> Any:
    return await answer
