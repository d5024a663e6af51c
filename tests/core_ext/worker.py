"""A worker process of the tests: python worker.py SOCKET TOKEN."""

import signal
import sys

import half
from whipray import _core


def cancelled(signum, frame):
    task = _core.current_task()
    if task is not None and task.handle == _core.cancel_wanted():
        raise KeyboardInterrupt


half.set_hooks()
signal.signal(signal.SIGINT, cancelled)
_core.connect(_core.KIND_WORKER, sys.argv[1], sys.argv[2], _core.pack({"cookie": b"w"}), 50)
_core.run_worker()
_core.disconnect()
