"""The handler of a cancel, without an engine."""

import types

from whipray._private import worker_main


def test_a_long_finalizer_is_looked_at_ever_less_often(monkeypatch):
    pauses = []

    class Timer:
        def __init__(self, seconds, function, args):
            pauses.append(seconds)

        def start(self):
            pass

    task = types.SimpleNamespace(handle=7)
    monkeypatch.setattr(worker_main._core, "current_task", lambda: task)
    monkeypatch.setattr(worker_main, "take_cancels", lambda: [7])
    monkeypatch.setattr(worker_main, "_is_swallowed", lambda frame: True)
    monkeypatch.setattr(worker_main.threading, "Timer", Timer)
    monkeypatch.setattr(worker_main, "_life", worker_main._Life())
    for _ in range(20):
        worker_main._on_interrupt(2, None)
    assert pauses[:3] == [0.001, 0.002, 0.004] and pauses[-1] == worker_main.AGAIN_SECONDS_MAX
    task.handle = 8
    monkeypatch.setattr(worker_main, "take_cancels", lambda: [8])
    worker_main._on_interrupt(2, None)
    assert pauses[-1] == 0.001
