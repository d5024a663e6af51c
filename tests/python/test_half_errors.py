"""Errors on their way between processes, without an engine."""

import os

import pytest
from whipray import exceptions
from whipray._private import errors


def round_trip(error, name="f"):
    return errors.task_error(errors.pack_error(error, name))


def raised(error):
    try:
        raise error
    except BaseException as caught:
        return caught


def test_the_users_class_and_arguments_come_back():
    back = round_trip(raised(KeyError("k")))
    assert isinstance(back, KeyError) and isinstance(back, exceptions.RayTaskError)
    assert back.args == ("k",) and isinstance(back.__cause__, KeyError)
    assert "test_half_errors" in back.traceback_str


def test_an_error_of_an_error_keeps_the_first_cause():
    inner = round_trip(raised(ValueError("deep")), "inner")
    outer = round_trip(raised(inner), "outer")
    assert isinstance(outer, ValueError) and isinstance(outer.cause, ValueError)
    assert not isinstance(outer.cause, exceptions.RayTaskError)
    assert "deep" in str(outer)


def test_an_error_that_cannot_be_pickled_keeps_its_text():
    class Own(Exception):
        def __reduce__(self):
            raise RuntimeError

    back = round_trip(raised(Own("kept")))
    assert isinstance(back, exceptions.RayTaskError) and "kept" in str(back)


def test_an_error_that_cannot_be_unpickled_keeps_its_text():
    class Own(Exception):
        def __init__(self, a, b):
            super().__init__(a)

    back = round_trip(raised(Own("kept", 1)))
    assert isinstance(back, exceptions.RayTaskError) and "kept" in str(back)


def test_a_broken_str_does_no_harm():
    class Own(Exception):
        def __str__(self):
            raise RuntimeError("no text")

    assert isinstance(round_trip(raised(Own())), exceptions.RayTaskError)


def test_huge_tracebacks_keep_their_end():
    back = round_trip(raised(ValueError("x" * 1_000_000 + "the end")))
    assert len(back.traceback_str) < 100_000 and "the end" in back.traceback_str


@pytest.mark.parametrize("status", sorted(errors._BY_STATUS))
def test_each_status_has_its_class(status):
    error = errors.system_error(status, "what happened", "what to do")
    assert errors.status_of(error) == status
    if status != "INTERRUPTED":
        assert "what happened" in str(error) and "what to do" in str(error)


def test_an_unknown_status_is_a_system_error():
    assert isinstance(errors.system_error("NOSUCH", "x"), exceptions.RaySystemError)


def test_an_error_at_the_call_comes_back_as_it_is():
    died = errors.system_error("ACTOR_DIED", "the constructor of A raised ValueError: x")
    back = errors.task_error(errors.pack_error(died, None))
    assert type(back) is exceptions.ActorDiedError and back.actor_init_failed


def test_other_threads_may_meet_actors_while_a_death_is_worded(monkeypatch):
    monkeypatch.setattr(errors, "_actors", {})

    class Meta:
        @property
        def methods(self):  # what another thread does in the middle
            errors.remember_actor(b"\2", len(errors._actors), self)
            return {}

    errors.remember_actor(b"\1", 0, Meta())
    error = errors.system_error("ACTOR_DIED", "method 3: it is gone (actor_id=01)")
    assert isinstance(error, exceptions.ActorDiedError) and "it is gone" in str(error)


def test_a_full_store_that_nobody_holds_names_nobody(monkeypatch):
    monkeypatch.setattr(errors, "_holders", lambda: "")
    text = f"the object store is full: 5 bytes asked by pid {os.getpid()}, 0 free"
    assert str(errors.system_error("OBJECT_STORE_FULL", text)).endswith("0 free")
