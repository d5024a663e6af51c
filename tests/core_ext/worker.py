"""A worker process of the tests: python worker.py SOCKET TOKEN."""

import signal
import sys

import half
from whipray import _core


def cancelled(signum, frame):
    if _core.cancel_is_current():
        raise KeyboardInterrupt


half.set_hooks()
signal.signal(signal.SIGINT, cancelled)
_core.connect(_core.KIND_WORKER, sys.argv[1], sys.argv[2], _core.pack({"cookie": b"w"}), 50)
_core.run_worker()
_core.disconnect()
