"""Fixtures: the hooks of half.py; a raylet double with a driver's session and worker processes."""

import os
import pathlib
import subprocess
import sys
import time

import half
import pytest
from whipray import _core

HERE = pathlib.Path(__file__).parent


class Cluster:
    """A raylet double; this process is its driver."""

    def __init__(self):
        double = os.environ.get("WHIPRAY_RAYLET_DOUBLE")
        if not double:
            pytest.skip("WHIPRAY_RAYLET_DOUBLE does not name the raylet double")
        self.raylet = subprocess.Popen(
            [double], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.socket = self.raylet.stdout.readline().strip()
        self.token = self.raylet.stdout.readline().strip()
        self.workers = []

    def connect(self):
        _core.connect(_core.KIND_DRIVER, self.socket, self.token, _core.pack({}), 50)

    def tell(self, line):
        self.raylet.stdin.write(line + "\n")
        self.raylet.stdin.flush()
        return self.raylet.stdout.readline().strip()

    def stats(self):
        rows, candidates, heap, slots = map(int, self.tell("stats").split())
        return {"rows": rows, "candidates": candidates, "heap": heap, "slots": slots}

    def until(self, what, seconds=10):
        """Waits for a condition of the keeper's figures."""
        end = time.monotonic() + seconds
        while True:
            _core.flush()
            stats = self.stats()
            if what(stats):
                return stats
            assert time.monotonic() < end, stats
            time.sleep(0.001)

    def worker(self, **environment):
        process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), self.socket, self.token],
            env={**os.environ, **environment},
        )
        self.workers.append(process)
        return process

    def actor(self, class_, *args, **kwargs):
        """Starts an actor of a class; returns its handle."""
        import inspect

        port = int(self.tell("actor"))
        number = half.export(class_)
        ctor = _core.submit(number, args, kwargs, flags=_core.CALL_PARKED)
        self.worker(ACTOR=f"{number} {ctor.handle}")
        _core.get(ctor, timeout=20)
        names = sorted(n for n in dir(class_) if not n.startswith("__"))
        methods = {}
        for index, name in enumerate(names):
            function = getattr(class_, name)
            parameters = list(inspect.signature(function).parameters.values())[1:]
            returns = _core.RETURNS_STREAM if inspect.isgeneratorfunction(function) else 1
            methods[name] = (index, _core.Sig(inspect.Signature(parameters)), returns, 0, 0, None)
        return _core.ActorHandle(_core.ActorCore(ctor.handle, ctor, port), methods)

    def close(self):
        if _core.is_connected():
            _core.disconnect()
        for worker in self.workers:
            worker.kill()
        for worker in self.workers:
            worker.wait()
        self.raylet.stdin.close()
        self.raylet.wait()


@pytest.fixture(autouse=True)
def hooks():
    half.set_hooks()


@pytest.fixture(scope="session")
def shared_cluster():
    _core.disconnect()
    cluster = Cluster()
    cluster.worker()
    yield cluster
    cluster.close()


@pytest.fixture
def cluster(shared_cluster):
    """A driver's session and one worker, shared by most tests."""
    if not _core.is_connected():
        shared_cluster.connect()
    return shared_cluster


@pytest.fixture
def own_cluster():
    """A cluster that a test may break: connected, without workers."""
    _core.disconnect()
    cluster = Cluster()
    cluster.connect()
    yield cluster
    cluster.close()
