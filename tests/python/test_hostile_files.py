"""Small files of a cluster, and errors out of the pool, that nobody of ours wrote: read or refused, by
a fixed seed, never another error."""

import json
import os
import random

import pytest
from whipray import exceptions
from whipray._private import errors, paths, serialization

WHOLE = {"gcs_address": "127.0.0.1:6379", "pid": 4, "nested": {"a": [1, None]}}


@pytest.fixture
def base(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "base_dir", lambda: tmp_path)
    return tmp_path


def damaged(draw, whole):
    data = bytearray(whole)
    for _ in range(draw.randint(1, 4)):
        kind, at = draw.randrange(4), draw.randrange(len(data) + 1)
        if kind == 0 and at < len(data):
            data[at] = draw.randrange(256)
        elif kind == 1:
            del data[at:]
        else:
            data[at:at] = draw.choice([b"\0", b"\xff", b"[", b"{", b"/" * 5000, b"\n"])
    return bytes(data)


def test_a_hostile_current_names_no_cluster(base):
    draw = random.Random(1)
    for _ in range(1000):
        (base / "current").write_bytes(damaged(draw, b"unix:/x/gcs\n/x/session\n"))
        assert paths.running_cluster() is None


def test_a_current_that_is_a_link_is_refused_by_name(base):
    (base / "current").symlink_to(base / "elsewhere")
    with pytest.raises(PermissionError, match="current is a link"):
        paths.running_cluster()


def test_a_session_that_is_removed_while_all_are_listed_is_passed_over(base, monkeypatch):
    gone = [base / "session_1", base / "session_2"]
    monkeypatch.setattr(paths.Path, "glob", lambda self, pattern: iter(gone))
    assert list(paths.sessions()) == []


@pytest.mark.parametrize("text", [b"[" * 100000, b'{"a":' * 100000, b"\xff", b"[]", b"1" * 5000])
def test_a_session_json_that_is_none_says_nothing(base, text):
    (base / "session.json").write_bytes(text)
    assert paths.read_session(base) == {}


def test_a_damaged_session_json_is_read_or_says_nothing(base):
    draw = random.Random(2)
    folder = base / "session_2026-01-02_03-04-05_678901_4242"
    (folder / "sockets").mkdir(parents=True)
    (folder / "sockets" / "raylet").touch()
    for _ in range(1000):
        (folder / "session.json").write_bytes(damaged(draw, json.dumps(WHOLE).encode()))
        assert isinstance(paths.read_session(folder), dict)
        assert paths.session_of("localhost:6379") in (None, folder)


@pytest.mark.parametrize("address", ["/" + "x" * 5000, "/x\0y", "x" * 5000, "", ":", "unix:"])
def test_an_address_that_is_none_names_no_session(base, address):
    assert paths.session_of(address) is None


def payload():
    return errors.pack_error(ValueError("no"), "task")


HOSTILE = [None, -1, 2**70, "x", b"x", b"\x80\x05.", [], (), {}, 0.5, ("a",) * 9, os.sep]


def test_a_hostile_error_of_a_task_is_still_an_error():
    draw = random.Random(3)
    whole = payload()
    assert isinstance(errors.task_error(whole), exceptions.RayTaskError)
    for value in HOSTILE:
        assert isinstance(errors.task_error(value), exceptions.RayError)
    for _ in range(2000):
        parts = list(whole)
        for _ in range(draw.randint(1, 3)):
            kind, at = draw.randrange(4), draw.randrange(len(parts) or 1)
            if kind == 0:
                parts.append(draw.choice(HOSTILE))
            elif kind == 1 and parts:
                del parts[at]
            elif parts:
                parts[at] = draw.choice(HOSTILE)
        assert isinstance(errors.task_error(tuple(parts)), exceptions.RayError), parts
    assert serialization.loads(whole[3]).args == ("no",)
