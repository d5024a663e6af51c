"""What workers print, in the driver: prefixed, and equal lines folded."""

from __future__ import annotations

import dataclasses
import re
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final, TextIO

from whipray import _core
from whipray._private import config

CYAN: Final = "\x1b[36m"
PLAIN: Final = "\x1b[0m"
WAIT_SECONDS: Final = 5.0
"""Limit of one poll; the raylet answers after at most one second."""
CURSORS: Final = 1 << 32


def prefix(line: dict[str, Any], node_ip: str) -> str:
    """Return Ray's prefix of a line: its task or actor, its process, another node's address."""
    name = line.get("name") or ""
    where = f"pid={line.get('pid')}"
    ip = line.get("ip") or ""
    if ip and ip != node_ip:
        where += f", ip={ip}"
    return f"({name} {where})" if name else f"({where})"


@dataclasses.dataclass(slots=True)
class _Seen:
    """A text that was printed lately."""

    since: float
    source: tuple[Any, ...]
    line: dict[str, Any]
    repeats: int = 0


class Dedup:
    """Folds lines that several workers print alike within a window.

    The first is printed at once; the others are counted, and told when the window ends. A worker
    that repeats its own line is not folded.

    Parameters
    ----------
    emit : callable
        Gets a line's fields and the text to print.
    """

    def __init__(self, emit: Callable[[dict[str, Any], str], None]) -> None:
        self._emit = emit
        self._on = config.flag("DEDUP_LOGS", True)
        self._window = config.number("DEDUP_LOGS_AGG_WINDOW_S", 5.0)
        self._allow = _pattern("DEDUP_LOGS_ALLOW_REGEX")
        self._skip = _pattern("DEDUP_LOGS_SKIP_REGEX")
        self._seen: dict[str, _Seen] = {}

    def add(self, line: dict[str, Any], now: float) -> None:
        """Take one line."""
        text: str = line.get("text") or ""
        if self._skip is not None and self._skip.search(text):
            return
        if not self._on or (self._allow is not None and self._allow.search(text)):
            self._emit(line, text)
            return
        source = (line.get("ip"), line.get("pid"))
        seen = self._seen.get(text)
        if seen is None:
            self._seen[text] = _Seen(now, source, line)
            self._emit(line, text)
        elif seen.source == source and seen.repeats == 0:
            self._emit(line, text)
        else:
            seen.repeats += 1
            seen.line = line

    def flush(self, now: float | None) -> None:
        """Tell what was folded in windows that have ended; None: in all."""
        for text, seen in list(self._seen.items()):
            if now is not None and now - seen.since < self._window:
                continue
            del self._seen[text]
            if seen.repeats == 1:
                self._emit(seen.line, text)
            elif seen.repeats:
                self._emit(seen.line, f"{text} [repeated {seen.repeats}x across cluster]")


def _pattern(name: str) -> re.Pattern[str] | None:
    text = config.text(name)
    return re.compile(text) if text else None


class LogPrinter:
    """A thread that brings a job's worker output to this process's streams.

    Parameters
    ----------
    socket_path, token : str
        The raylet's.
    job : int
        The job whose lines are wanted.
    node_ip : str
        This node's address.
    """

    def __init__(self, socket_path: str, token: str, job: int, node_ip: str) -> None:
        self._connection = _core.ToolConnection(socket_path, token)
        self._job = job
        self._node_ip = node_ip
        self._cursor = 0
        self._stopping = threading.Event()
        self._dedup = Dedup(self._print)
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="whipray-logs", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                request = _core.pack({"job": self._job, "cursor": self._cursor})
                self._take(self._connection.call("log_poll", request, WAIT_SECONDS))
        except Exception:  # the cluster has ended; what it said is in its log files
            pass
        finally:
            self._connection.close()

    def _take(self, reply: bytes) -> None:
        """Print the lines of an answer that were not seen yet."""
        fields = _core.unpack(reply)
        lines = fields.get("lines") or []
        end = int(fields["cursor"])
        now = time.monotonic()
        with self._lock:
            # Lines have numbers, modulo 2**32; an answer may begin before what was seen.
            seen = (self._cursor - (end - len(lines))) % CURSORS
            for line in lines[seen if seen <= len(lines) else 0 :]:
                self._dedup.add(line, now)
            self._cursor = end
            self._dedup.flush(now)

    def _print(self, line: dict[str, Any], text: str) -> None:
        stream: TextIO = sys.stderr if line.get("err") else sys.stdout
        mark = prefix(line, self._node_ip)
        if config.flag("COLOR_PREFIX", True) and stream.isatty():
            mark = f"{CYAN}{mark}{PLAIN}"
        try:
            stream.write(f"{mark} {text}\n")
            stream.flush()
        except (OSError, ValueError):  # the driver closed its own stream
            pass

    def stop(self) -> None:
        """Print what is there already; the thread ends by itself, after its present poll."""
        self._stopping.set()
        before = (self._cursor - 1) % CURSORS  # not the newest line's: so it is answered at once
        try:
            request = _core.pack({"job": self._job, "cursor": before})
            self._take(_core.call("log_poll", request, WAIT_SECONDS))
        except Exception:  # the cluster has ended
            pass
        with self._lock:
            self._dedup.flush(None)
