"""What a process of the same user may say to the raylet after a right hello: nothing of it may end the raylet."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import socket
import struct
import sys
import termios
import time
from functools import partial

import pytest
from cluster import alive, daemon, wait_for
from whipray._private import record

OPS = (
    "class_open port_open function_export function_get actor_create actor_find actor_list actor_state "
    "actor_kill assignment actor_ready cancel cancels why holders pg_create pg_remove pg_get pg_wait pg_table "
    "kv_put kv_get kv_del kv_exists kv_list nodes resources jobs actors workers status counters "
    "task_events fork_done fork_failed fork_exited fork_next log_poll hello no_such_op"
).split()
FIELDS = (
    "resources placement_resources strategy runtime_env labels language name port actor digest ref meta "
    "function handle ctor class_name namespace lifetime get_if_exists max_restarts max_task_retries "
    "max_concurrency groups asyncio no_restart all_namespaces ok text force recursive bundles pg ns key "
    "prefix value overwrite job cursor on cookie pid status kind protocol layout token slot epoch"
).split()
RUNTIME_ENVS = (
    '{"env_vars": {"A": "\\u1',
    '{"env_vars": {"\\ud800\\u',
    '{"env_vars": {"A": "\\',
    '{"env_vars": {"A": "b", "',
    '{"env_vars"',
    '{"env_vars": {"A=B": "${' + "x" * 70 + '}"}}',
    '{"env_vars": {"": ""}}',
    "\udcff".encode("utf-8", "replace").decode(),
)


class Speaker:
    """A connection that speaks frames by hand."""

    def __init__(self, session_dir: str, kind: int = 1, **job) -> None:
        with open(os.path.join(session_dir, "auth_token")) as f:
            token = f.read().strip()
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(os.path.join(session_dir, "sockets", "raylet"))
        hello = {"op": "hello", "kind": kind, "protocol": 1, "pid": os.getpid(), "token": token}
        if kind == 1:
            hello["job"] = {"namespace": "hostile", "language": "c", **job}
        self.say(hello)

    def say(self, fields: dict, request: int = 1) -> None:
        body = record.pack(fields)
        self.socket.sendall(struct.pack("<IHHQ", 12 + len(body), 1, 1, request) + body)

    def answer(self) -> bytes:
        """The body of the next frame; empty: the raylet hung up."""
        head = self._exactly(16)
        return self._exactly(struct.unpack("<I", head[:4])[0] - 12) if head else b""

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            try:
                more = self.socket.recv(count - len(data))
            except ConnectionResetError:
                return b""
            if not more:
                return b""
            data += more
        return data

    def __enter__(self) -> Speaker:
        return self

    def __exit__(self, *_) -> None:
        self.socket.close()


def still_works(ray, raylet: int) -> None:
    @ray.remote
    def f(x):
        return x + 1

    assert alive(raylet), "the raylet has ended"
    assert ray.get([f.remote(k) for k in range(20)], timeout=30) == list(range(1, 21))


def any_value(dice: random.Random, depth: int = 0):
    kinds = 7 if depth < 2 else 5
    match dice.randrange(kinds):
        case 0:
            return dice.choice([-1, 0, 1, 2, 65534, 65535, 2**31, 2**32 - 1, 2**63 - 1, -(2**63)])
        case 1:
            return dice.choice([0.0, -1.0, 1e-9, 1e300, float("nan"), float("inf")])
        case 2:
            return dice.choice(
                [
                    "",
                    "x",
                    "CPU",
                    "SPREAD",
                    "NODE_AFFINITY",
                    "PLACEMENT_GROUP",
                    "PACK",
                    "c",
                    "detached",
                    "y" * 300,
                    *RUNTIME_ENVS,
                ]
            )
        case 3:
            return dice.randbytes(dice.choice([0, 1, 12, 16, 18, 28, 64, 4000]))
        case 4:
            return None
        case 5:
            return {
                dice.choice(["CPU", "GPU", "kind", "node_id", "pg", "bundle", "", "z" * 64])
                or "e": any_value(dice, depth + 1)
                for _ in range(dice.randrange(4))
            }
        case _:
            return [any_value(dice, depth + 1) for _ in range(dice.randrange(4))]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_ops_with_fields_of_any_kind_never_end_the_raylet(ray, session_dir, seed):
    raylet, dice = daemon("raylet"), random.Random(seed)
    for _ in range(30):
        with Speaker(session_dir, kind=dice.choice([1, 1, 3])) as hostile:
            assert hostile.answer()
            for n in range(40):
                fields = {name: any_value(dice) for name in dice.sample(FIELDS, dice.randrange(12))}
                try:
                    hostile.say({**fields, "op": dice.choice(OPS)}, request=n + 2)
                except (BrokenPipeError, ConnectionResetError):
                    break
        assert alive(raylet), "the raylet has ended"
    still_works(ray, raylet)


@pytest.mark.parametrize("text", RUNTIME_ENVS)
def test_a_runtime_env_that_is_no_json_never_ends_the_raylet(ray, session_dir, text):
    raylet = daemon("raylet")
    with Speaker(session_dir, runtime_env=text, cwd="/") as hostile:
        assert hostile.answer()
        # An actor's worker is started at once, with the variables of its environment.
        hostile.say(
            {"op": "class_open", "resources": {"CPU": 1.0}, "runtime_env": text, "language": "c"}, 2
        )
        assert hostile.answer()
    still_works(ray, raylet)


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV])
def test_a_raylet_that_fails_poisons_its_pool_and_every_wait_ends(number):
    import whipray

    whipray.init(num_cpus=1, log_to_driver=False)
    try:

        @whipray.remote
        def sleep():
            time.sleep(600)

        pending = sleep.remote()
        os.kill(daemon("raylet"), number)
        with pytest.raises(whipray.exceptions.LocalRayletDiedError):
            whipray.get(pending, timeout=20)
    finally:
        whipray.shutdown()


def test_a_driver_that_ends_while_its_hello_waits_for_the_gcs_does_not_end_the_raylet(
    ray, session_dir
):
    raylet, gcs = daemon("raylet"), daemon("gcs")
    os.kill(gcs, signal.SIGSTOP)
    reader, writer = os.pipe()
    try:
        first = os.fork()
        if first == 0:
            try:
                hostile = Speaker(session_dir)
                time.sleep(0.3)  # the raylet has taken the hello: nothing tells when
                if os.fork() == 0:  # holds the socket open when its parent, the driver, is gone
                    os.close(writer)
                    hostile.socket.settimeout(20)
                    hostile.answer()
                    os._exit(0)
            finally:
                os._exit(0)
        os.close(writer)
        os.waitpid(first, 0)
        time.sleep(0.3)  # the raylet has seen the driver's exit: nothing tells when
    finally:
        os.kill(gcs, signal.SIGCONT)
    os.close(reader)
    still_works(ray, raylet)


def read_by_the_raylet(connection: socket.socket) -> bool:
    return struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)))[0] == 0


def own_memory(pid: int) -> int:
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith("RssAnon:"))


def test_drivers_that_leave_while_their_hello_waits_for_the_gcs_leave_nothing_behind(
    ray, session_dir
):
    raylet, gcs = daemon("raylet"), daemon("gcs")
    job, count = "x" * 200_000, 200
    before = own_memory(raylet)
    os.kill(gcs, signal.SIGSTOP)
    try:
        for _ in range(count):
            driver = Speaker(session_dir, config=job)
            driver.say({"op": "bye"}, 2)
            wait_for(partial(read_by_the_raylet, driver.socket), "the raylet has read the hello")
            driver.socket.close()
    finally:
        os.kill(gcs, signal.SIGCONT)
    still_works(ray, raylet)
    assert own_memory(raylet) - before < count * len(job) / 2


FORK_SERVER = """#!{python}
import os, sys
sys.path[:0] = {path!r}
from test_hostile_ops import Speaker
server = Speaker({session!r}, kind=4)
server.answer()
answers = []
for request in (2, 3):
    try:
        server.say({{"op": "fork_done", "cookie": os.urandom(16), "pid": os.getpid()}}, request)
        answers.append("answered" if server.answer() else "hung up")
    except OSError:
        answers.append("hung up")
with open({said!r} + ".new", "w") as f:
    f.write(" ".join(answers))
os.rename({said!r} + ".new", {said!r})
"""


def test_a_fork_server_that_reports_a_worker_already_forgotten_goes_on(ray, session_dir, tmp_path):
    program, said = tmp_path / "python", tmp_path / "said"
    program.write_text(
        FORK_SERVER.format(
            python=sys.executable, path=sys.path, session=session_dir, said=str(said)
        )
    )
    program.chmod(0o700)
    with Speaker(session_dir, language="python", python=str(program)):
        wait_for(said.exists, "the fork server has got its answers", 20)
    assert said.read_text() == "answered answered"
    still_works(ray, daemon("raylet"))
