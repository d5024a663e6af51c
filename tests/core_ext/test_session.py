"""Connecting, control calls, records, forks, hooks."""

import os
import signal
import subprocess
import sys
import threading
import time

import half
import numpy as np
import pytest
from whipray import _core


def test_a_record_comes_back(cluster):
    fields = {
        "i": -5,
        "big": 2**63 - 1,
        "d": 1.5,
        "s": "é",
        "b": b"\x00x",
        "n": None,
        "m": {"a": {"b": [1, 2.5, "x", None, b"y"]}},
        "l": [],
        "t": True,
    }
    back = _core.unpack(_core.pack(fields))
    assert back == {**fields, "t": 1}
    assert _core.unpack(_core.pack({"h": 2**64 - 1})) == {"h": -1}
    ref = _core.put(1)
    assert _core.unpack(_core.pack({"r": ref}))["r"] == ref.handle
    assert _core.unpack(_core.pack({"v": memoryview(b"ab"), "w": (1,)})) == {"v": b"ab", "w": [1]}


def test_a_record_that_cannot_be_is_refused():
    deep = {}
    for _ in range(20):
        deep = {"d": deep}
    for bad in (deep, {"x" * 100: 1}, {"b": b"x" * (2 << 20)}, {"s": "a\x00b"}):
        with pytest.raises(ValueError):
            _core.pack(bad)
    for bad in ({"o": object()}, {5: 1}, []):
        with pytest.raises(TypeError):
            _core.pack(bad)
    with pytest.raises(OverflowError):
        _core.pack({"i": 2**70})
    for bad in (b"", b"\x01", b"\xff" * 40):
        with pytest.raises(ValueError):
            _core.unpack(bad)


def test_control_calls_and_their_errors(cluster):
    assert half.request("echo", number=7)["back"] == 7
    with pytest.raises(half.SystemFailure) as failed:
        half.request("no such op")
    assert failed.value.status == "UNSUPPORTED" and "no such op" in failed.value.text
    with pytest.raises(half.SystemFailure) as failed:
        _core.call("never", b"", 0.02)
    assert failed.value.status == "TIMEOUT"
    assert half.request("echo", number=8)["back"] == 8
    with pytest.raises(half.SystemFailure) as failed:
        _core.call("echo", b"garbage")
    assert failed.value.status == "INVALID"


def test_ctrl_c_ends_a_control_call_and_the_next_one_works(own_cluster):
    sent = []

    def interrupt():
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    threading.Timer(0.1, interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        _core.call("never", b"", 0.5)
    assert time.monotonic() - sent[0] < 0.2
    assert half.request("echo", number=9)["back"] == 9


def test_a_session_can_end_while_a_call_that_was_left_is_under_way(own_cluster):
    threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        _core.call("never", b"", 0.4)
    _core.disconnect()
    assert not _core.is_connected()


def test_the_session_is_numbered(own_cluster):
    number = _core.session()
    assert number > 0 and _core.is_connected() and _core.health() == "OK"
    with pytest.raises(RuntimeError, match="connected already"):
        own_cluster.connect()
    _core.disconnect()
    _core.disconnect()
    assert _core.session() == 0 and not _core.is_connected() and _core.health() == "STATE"
    own_cluster.connect()
    assert _core.session() == number + 1


def test_the_welcome_is_a_record(own_cluster):
    _core.disconnect()
    welcome = _core.unpack(_core.connect(_core.KIND_DRIVER, own_cluster.socket, own_cluster.token))
    assert welcome["job"] == 3 and welcome["slot"] > 0


@pytest.mark.parametrize(
    ("path", "token", "status"),
    [
        ("/nowhere/at/all", "x", "UNAVAILABLE"),
        (None, "wrong", "UNAUTHENTICATED"),
        (None, "", "UNAUTHENTICATED"),
    ],
)
def test_a_connection_that_is_refused_says_why(own_cluster, path, token, status):
    _core.disconnect()
    with pytest.raises(half.SystemFailure) as failed:
        _core.connect(_core.KIND_DRIVER, path or own_cluster.socket, token)
    assert failed.value.status == status and not _core.is_connected()


def test_a_tool_connection_is_independent_of_the_session(own_cluster):
    tool = _core.ToolConnection(own_cluster.socket, own_cluster.token)
    _core.disconnect()
    assert _core.unpack(tool.welcome)["job"] == 3
    assert _core.unpack(tool.call("echo", _core.pack({"number": 3})))["back"] == 3
    tool.close()
    tool.close()
    with pytest.raises(half.SystemFailure):
        tool.call("echo")


def test_without_a_session_everything_says_so():
    _core.disconnect()
    assert not _core.is_connected()
    for call in (
        lambda: _core.put(1),
        lambda: _core.get([]),
        lambda: _core.wait([]),
        lambda: _core.take(0),
    ):
        with pytest.raises(half.SystemFailure, match="not initialized"):
            call()
    assert _core.counters()["tasks_submitted"] == 0


def test_the_first_use_initializes(own_cluster):
    _core.disconnect()
    _core.set_hooks(auto_init=own_cluster.connect)
    assert _core.get(_core.put(1)) == 1
    _core.disconnect()
    f = half.remote(lambda: 1)
    assert isinstance(f.remote(), _core.ObjectRef)


def test_a_function_is_resolved_once_per_session(own_cluster):
    resolved = []

    def resolve(function):
        resolved.append(function)
        half.resolve_function(function)

    _core.set_hooks(resolve_function=resolve)
    f = half.remote(lambda: 1)
    f.remote()
    f.remote()
    assert resolved == [f] and len(f._bound) == 3
    clone = f._clone()
    assert type(clone) is type(f) and clone._function is f._function and clone._bound is None
    _core.disconnect()
    own_cluster.connect()
    f.remote()
    assert resolved == [f, f]


def test_a_remote_function_can_be_subclassed_and_has_its_dict(cluster):
    class Function(_core.RemoteFunction):
        pass

    f = half.remote(len, base=Function)
    f.note = 5
    clone = f._clone()
    clone.note = 6
    assert f.note == 5 and type(clone) is Function and clone.__dict__ == {"note": 6}
    assert _core.get(f._submit(("abc",), {})) == 3
    with pytest.raises(TypeError):
        f._submit(("abc",), {1: 2})


def test_unknown_hooks_are_refused():
    with pytest.raises(TypeError, match="no hook"):
        _core.set_hooks(nonsense=print)


def in_child(function):
    """The text that function returns in a forked child."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        text = "it died"
        try:
            text = function()
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
        finally:
            os.write(writer, text.encode())
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        text = pipe.read().decode()
    assert os.waitpid(child, 0)[1] == 0
    return text


def test_a_forked_child_may_drop_what_it_has_and_use_nothing(cluster):
    ref, array = _core.put(1), _core.get(_core.put(np.arange(1000.0)))
    items = half.remote(lambda: iter(()), num_returns=_core.RETURNS_STREAM).remote()
    tool = _core.ToolConnection(cluster.socket, cluster.token)
    f = half.remote(lambda: 1)

    def child():
        nonlocal ref, array, items, tool
        said = []
        calls = (
            lambda: _core.get(ref),
            lambda: _core.put(1),
            lambda: f.remote(),
            lambda: _core.call("echo"),
            lambda: next(items),
            lambda: tool.call("echo"),
        )
        for call in calls:
            try:
                call()
                said.append("nothing")
            except half.SystemFailure as error:
                said.append("forked" if "forked" in error.text else error.text)
        ref = array = items = tool = None
        return " ".join([*said, str(_core.is_connected())])

    assert in_child(child) == "forked forked forked forked forked forked False"
    assert _core.get(ref) == 1 and array.sum() == 499500


def test_a_forked_child_may_begin_anew(own_cluster):
    ref = _core.put(1)

    def child():
        nonlocal ref
        _core.disconnect()
        own_cluster.connect()
        ref = None
        return str(_core.get(_core.put("new")))

    assert in_child(child) == "new"
    assert _core.get(ref) == 1


def test_a_subinterpreter_is_refused():
    text = """
from whipray import _core
wanted = "from whipray import _core"
try:
    import _xxsubinterpreters as sub
    sub.run_string(sub.create(), wanted)
except ImportError:
    import _interpreters as sub
    print(sub.exec(sub.create(), wanted))
except sub.RunFailedError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
    assert "subinterpreters" in done.stdout, done


def test_the_extension_does_not_import_numpy():
    text = "import sys; import whipray._core; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done


def test_only_the_module_init_is_exported():
    done = subprocess.run(
        ["nm", "-D", "--defined-only", _core.__file__], capture_output=True, text=True
    )
    assert [line.split()[-1] for line in done.stdout.splitlines()] == ["PyInit__core"]


def test_control_calls_of_several_threads_do_not_mix(cluster):
    failures = []

    def run(base):
        for i in range(100):
            if half.request("echo", number=base + i)["back"] != base + i:
                failures.append(base + i)

    threads = [threading.Thread(target=run, args=(1000 * k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not failures
