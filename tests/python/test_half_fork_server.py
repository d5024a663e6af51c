"""The fork server against a raylet played by the test: forks, pidfds, exits, hang-up."""

import array
import os
import select
import signal
import socket
import struct
import subprocess
import sys

import pytest
from whipray._private import record

REPLY = 2
HEADER = struct.Struct("<IHHQ")  # engine/local/protocol.h
HEADER_BYTES = HEADER.size


def frame(kind, request, fields):
    body = record.pack(fields)
    return HEADER.pack(HEADER_BYTES - 4 + len(body), kind, 1, request) + body


class Raylet:
    """The other end of the fork server's socket."""

    def __init__(self, path, tmp_path):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(1)
        token = tmp_path / "token"
        token.write_text("secret\n")
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "whipray._private.fork_server",
                "--socket",
                path,
                "--token-file",
                str(token),
            ]
        )
        self.listener.settimeout(30)
        self.connection, _ = self.listener.accept()
        self.connection.settimeout(30)
        self.buffer = b""
        self.descriptors = []

    def receive(self):
        while True:
            if len(self.buffer) >= HEADER_BYTES:
                length, _, version, number = HEADER.unpack_from(self.buffer)
                assert version == 1
                if len(self.buffer) >= 4 + length:
                    fields = record.unpack(self.buffer[HEADER_BYTES : 4 + length])
                    self.buffer = self.buffer[4 + length :]
                    return number, fields
            data, ancillary, _, _ = self.connection.recvmsg(65536, socket.CMSG_LEN(64))
            assert data, "the fork server hung up"
            for level, kind, content in ancillary:
                assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
                self.descriptors += array.array("i", content)
            self.buffer += data

    def reply(self, number, fields):
        self.connection.sendall(frame(REPLY, number, fields))

    def close(self):
        self.connection.close()
        self.listener.close()
        code = self.process.wait(30)
        for descriptor in self.descriptors:
            os.close(descriptor)
        return code


@pytest.fixture
def raylet(tmp_path):
    made = Raylet(str(tmp_path / "raylet"), tmp_path)
    yield made
    if made.process.poll() is None:
        made.close()


def spawn(raylet, tmp_path, number, **more):
    order = {
        "cookie": b"c" * 8,
        "env": [b"GIVEN=yes:${HOME}"],
        "unset": ["UNWANTED"],
        "cwd": str(tmp_path),
        "stdout": str(tmp_path / "out"),
        "stderr": str(tmp_path / "err"),
        "worker_id": "ab" * 28,
        "niceness": 0,
        **more,
    }
    raylet.reply(number, {"spawn": [order]})


def begin(raylet):
    number, hello = raylet.receive()
    assert hello["op"] == "hello" and hello["kind"] == 4 and hello["token"] == "secret"
    raylet.reply(number, {})
    number, ask = raylet.receive()
    assert ask["op"] == "fork_next" and ask["ready"] == 1
    return number


def test_forks_and_reports_the_end(raylet, tmp_path):
    spawn(raylet, tmp_path, begin(raylet))
    _, done = raylet.receive()
    assert done["op"] == "fork_done" and done["cookie"] == b"c" * 8
    (pidfd,) = raylet.descriptors
    # The raylet of this test takes no worker: the child cannot register, says so and ends.
    raylet.listener.close()
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    seen = [raylet.receive()[1] for _ in range(2)]
    ops = {fields["op"]: fields for fields in seen}
    assert ops["fork_next"]
    assert ops["fork_exited"]["pid"] == done["pid"]
    assert os.WIFSIGNALED(ops["fork_exited"]["status"])
    assert select.select([pidfd], [], [], 30)[0]


def test_ends_with_the_raylet_and_takes_its_children_along(raylet, tmp_path):
    spawn(raylet, tmp_path, begin(raylet))
    raylet.receive()
    (pidfd,) = raylet.descriptors
    raylet.connection.close()
    assert raylet.process.wait(30) == 0
    assert select.select([pidfd], [], [], 30)[0], "the child outlived the fork server"
    raylet.listener.close()
    os.close(pidfd)
    raylet.descriptors.clear()


def test_refuses_bytes_that_are_no_frame(raylet):
    begin(raylet)
    raylet.connection.sendall(b"\xff" * 64)
    assert raylet.process.wait(30) == 1
