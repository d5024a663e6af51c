"""Faults and bad input: a typed error for the one who asked, and nothing else disturbed."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import signal
import socket
import stat
import struct
import subprocess
import sys

import numpy as np
import pytest
from cluster import daemon, run_driver, wait_for


def still_works(ray) -> None:
    @ray.remote
    def f(x):
        return x + 1

    assert ray.get([f.remote(k) for k in range(50)], timeout=30) == list(range(1, 51))


@pytest.mark.parametrize(
    "end, named",
    [
        ("os._exit(3)", "exit"),
        ("os.abort()", "SIGABRT"),
        ("ctypes.string_at(0)", "SIGSEGV"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("overflow()", "SIGSEGV"),
    ],
)
def test_a_worker_that_ends_is_an_error_that_names_the_cause(ray, end, named):
    @ray.remote(max_retries=0)
    def victim():
        def overflow():
            # Deep recursion in C: the callback calls itself through ctypes until the stack ends.
            kind = ctypes.CFUNCTYPE(None)
            sys.setrecursionlimit(10**9)

            @kind
            def again():
                again()

            again()

        eval(end, {"os": os, "ctypes": ctypes, "signal": signal, "overflow": overflow})

    with pytest.raises(ray.exceptions.WorkerCrashedError) as caught:
        ray.get(victim.remote(), timeout=60)
    assert named in str(caught.value)
    still_works(ray)


def test_a_full_store_is_a_typed_error_with_figures_and_goes_away(ray):
    held = [ray.put(np.zeros(50_000_000, dtype=np.uint8)) for _ in range(6)]
    with pytest.raises(ray.exceptions.ObjectStoreFullError) as caught:
        for _ in range(10):
            held.append(ray.put(np.ones(50_000_000, dtype=np.uint8)))
    text = str(caught.value)
    figures = re.search(
        r"(\d+) bytes asked by pid (\d+), which waited (\d+\.\d) s for room; largest free run (\d+) bytes, "
        r"(\d+) of (\d+) bytes in use",
        text,
    )
    assert figures, text
    assert int(figures[1]) >= 50_000_000 and int(figures[2]) == os.getpid()
    assert float(figures[3]) >= 1 and int(figures[5]) <= int(figures[6])
    holder = re.search(r"held by driver pid (\d+): (\d+) bytes", text)
    assert holder and int(holder[1]) == os.getpid() and int(holder[2]) >= 300_000_000, text
    assert "object_store_memory" in text
    assert int(ray.get(held[0])[0]) == 0
    held.clear()
    wait_for(lambda: _put_succeeds(ray), "room again after the references were dropped")
    still_works(ray)


def _put_succeeds(ray) -> bool:
    try:
        ray.put(np.zeros(50_000_000, dtype=np.uint8))
    except ray.exceptions.ObjectStoreFullError:
        return False
    return True


def test_an_object_larger_than_the_store_is_refused_at_once(ray):
    with pytest.raises(ray.exceptions.ObjectStoreFullError, match=r"too small: 5\d+ bytes asked"):
        ray.put(np.zeros(500_000_000, dtype=np.uint8))
    still_works(ray)


def test_a_forked_child_of_a_task_reads_the_array_and_leaves_quietly(ray):
    @ray.remote
    def fork_and_read(x):
        pid = os.fork()
        if pid == 0:
            os._exit(0 if int(x.sum()) == x.size else 1)
        _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status), int(x[-1])

    x = ray.put(np.ones(10_000_000, dtype=np.uint8))
    for _ in range(3):
        assert ray.get(fork_and_read.remote(x), timeout=30) == (0, 1)
    still_works(ray)


def test_a_forked_child_of_the_driver_gets_an_error_that_says_so(ray):
    r = ray.put(np.ones(1_000_000))
    value = ray.get(r)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            text = f"{value.sum():.0f} "
            try:
                ray.put(1)
                text += "no error"
            except Exception as error:
                text += str(error)
            os.write(writer, text.encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader) as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    assert text.startswith("1000000 ") and "fork" in text
    assert ray.get(r)[0] == 1
    still_works(ray)


def _raylet_socket(session_dir: str) -> str:
    return os.path.join(session_dir, "sockets", "raylet")


def test_a_wrong_token_is_refused_and_named(ray, tmp_path):
    code = f"""
import whipray as ray
try:
    ray.init(address={ray.get_runtime_context().gcs_address!r})
except Exception as error:
    print(type(error).__name__, error)
"""
    done = run_driver(code, env={"WHIPRAY_AUTH_TOKEN": "0" * 64})
    assert "AuthenticationError" in done.stdout and "token" in done.stdout
    still_works(ray)


@pytest.mark.parametrize(
    "frame",
    [
        b"\xff" * 64,
        struct.pack("<IHHQ", 0xFFFFFFF0, 1, 1, 1),
        struct.pack("<IHHQ", 16, 1, 1, 1) + b"\0",
        struct.pack("<IHHQ", 14, 1, 99, 1) + b"\0\0",
        struct.pack("<IHHQ", 12 + 4, 1, 1, 1) + b"\x05\0\xff\xff",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_a_malformed_frame_ends_only_its_own_connection(ray, session_dir, frame):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(_raylet_socket(session_dir))
        s.sendall(frame)
        s.shutdown(socket.SHUT_WR)
        while s.recv(4096):  # an error reply, then the end
            pass
    still_works(ray)


def test_the_sockets_folder_is_closed_to_other_users(ray, session_dir):
    path = _raylet_socket(session_dir)
    mode = stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode)
    assert mode == 0o700
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    code = f"""
import os, socket
os.setgid(65534); os.setuid(65534)
s = socket.socket(socket.AF_UNIX)
try:
    s.connect({path!r})
    print("connected")
except PermissionError:
    print("refused")
"""
    assert run_driver(code).stdout.strip() == "refused"


def test_nothing_listens_outside_loopback(ray):
    listening = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table) as f:
                rows = f.readlines()[1:]
        except OSError:
            continue
        for row in rows:
            fields = row.split()
            if fields[3] == "0A":
                listening.add((fields[9], fields[1].split(":")[0]))
    ours = set()
    for name in ("raylet", "gcs"):
        pid = daemon(name)
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                target = os.readlink(f"/proc/{pid}/fd/{fd}")
            except OSError:
                continue
            if target.startswith("socket:["):
                ours.add(target[8:-1])
    loopback = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}
    assert all(address in loopback for inode, address in listening if inode in ours)


def test_descriptors_used_up_is_an_error_that_names_the_limit(ray):
    code = """
import resource, whipray as ray
resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80))
files = []
try:
    while True:
        files.append(open("/dev/null"))
except OSError:
    pass
try:
    ray.init(num_cpus=1)
    print("started")
except Exception as error:
    print(type(error).__name__, error)
files.clear()
ray.init(num_cpus=1)
@ray.remote
def f():
    return 1
print("then", ray.get(f.remote()))
"""
    done = run_driver(code)
    assert "open files" in done.stdout.lower() or "descriptor" in done.stdout.lower()
    assert done.stdout.strip().endswith("then 1")
    still_works(ray)


def test_a_pool_of_another_layout_version_is_refused_by_both_numbers(ray, session_dir):
    from whipray._private import record

    with open(os.path.join(session_dir, "auth_token")) as f:
        token = f.read().strip()
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(_raylet_socket(session_dir))
        body = record.pack(
            {
                "op": "hello",
                "kind": 1,
                "protocol": 1,
                "layout": 77,
                "pid": os.getpid(),
                "token": token,
            }
        )
        s.sendall(struct.pack("<IHHQ", 12 + len(body), 1, 1, 1) + body)
        answer = s.recv(1 << 16)
    assert b"77" in answer and b"layout" in answer
    still_works(ray)


def test_a_raylet_that_dies_is_an_error_for_its_driver_and_init_begins_anew():
    code = """
import os, signal, sys, time
sys.path.insert(0, %r)
from cluster import daemon
import whipray as ray
ray.init(num_cpus=2)
@ray.remote
def f():
    time.sleep(100)
@ray.remote
def g():
    return 1
assert ray.get(g.remote()) == 1
r = f.remote()
os.kill(daemon("raylet"), signal.SIGKILL)
try:
    ray.get(r, timeout=20)
    print("no error")
except ray.exceptions.LocalRayletDiedError as error:
    print("LocalRayletDiedError")
ray.shutdown()
ray.init(num_cpus=2)
print("again", ray.get(g.remote()))
""" % os.path.dirname(__file__)
    out = run_driver(code).stdout
    assert "LocalRayletDiedError" in out and "again 1" in out


def test_a_store_larger_than_the_memory_is_refused_with_both_figures():
    code = """
import whipray as ray
try:
    ray.init(num_cpus=1, object_store_memory=10**15)
    print("started")
except ValueError as error:
    print(error, ray.is_initialized())
"""
    out = run_driver(code).stdout
    figures = re.search(
        r"object_store_memory: (\d+) bytes are more than the (\d+) that this machine or container may use; "
        r".*at most (\d+) False$",
        out,
    )
    assert figures, out
    asked, limit, advised = map(int, figures.groups())
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert asked == 10**15
    assert 0 < advised < limit <= total


def test_the_limit_of_open_files_is_raised_for_the_cluster(ray):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft >= min(hard, 4096)
    assert subprocess.run(["true"], check=False).returncode == 0


def test_a_full_store_of_the_gcs_refuses_writes_by_name_and_heals(monkeypatch):
    import whipray as ray
    from whipray.experimental.internal_kv import (
        _internal_kv_del,
        _internal_kv_get,
        _internal_kv_put,
    )

    monkeypatch.setenv("WHIPRAY_GCS_STORE_PAGES_MAX", "60")
    ray.init(num_cpus=1, log_to_driver=False, object_store_memory=400_000_000)
    try:

        @ray.remote
        class Actor:
            def one(self):
                return 1

        before = Actor.options(name="before").remote()
        assert ray.get(before.one.remote(), timeout=30) == 1
        pid, stored = daemon("gcs"), 0
        with pytest.raises(OSError, match="disk is full"):
            while True:
                _internal_kv_put(f"key {stored}".encode(), b"x" * 10_000)
                stored += 1
        assert stored > 5
        assert _internal_kv_get(f"key {stored}".encode()) is None  # nothing is half there
        assert all(_internal_kv_get(f"key {k}".encode()) == b"x" * 10_000 for k in range(stored))
        assert ray.get(before.one.remote(), timeout=30) == 1  # all else works
        assert ray.get(ray.remote(lambda: 2).options(num_cpus=0).remote(), timeout=30) == 2
        for k in range(stored):
            _internal_kv_del(f"key {k}".encode())
        assert _internal_kv_put(b"after", b"x" * 10_000) is False  # it was not there
        after = Actor.options(name="after", num_cpus=0).remote()
        assert ray.get(after.one.remote(), timeout=30) == 1
        assert daemon("gcs") == pid  # it never ended
    finally:
        ray.shutdown()
