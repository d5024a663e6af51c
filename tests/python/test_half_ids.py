"""Identifiers."""

import pickle

import pytest
from whipray._private import ids


@pytest.mark.parametrize(
    "cls", [ids.ActorID, ids.JobID, ids.NodeID, ids.PlacementGroupID, ids.TaskID, ids.WorkerID]
)
def test_an_id_comes_back(cls):
    made = cls.from_random()
    assert cls.from_hex(made.hex()) == made == cls.from_binary(made.binary())
    assert pickle.loads(pickle.dumps(made)) == made
    assert made != cls.nil() and cls.nil().is_nil() and not made.is_nil()
    assert len({made, cls(made.binary())}) == 1


def test_wrong_bytes():
    with pytest.raises(ValueError):
        ids.NodeID(b"short")
    with pytest.raises(TypeError):
        ids.NodeID("ab" * 28)
    with pytest.raises(ValueError):
        ids.NodeID.from_hex("xy" * 28)


def test_equal_bytes_of_different_kinds_differ():
    raw = bytes(28)
    assert ids.NodeID(raw) != ids.WorkerID(raw)


def test_parts():
    assert ids.JobID.from_int(258).int() == 258
    task = ids.TaskID(bytes(12) + ids.JobID.from_int(7).binary() + bytes(8))
    assert task.job_id() == ids.JobID.from_int(7)
    actor = ids.ActorID(bytes(4) + ids.JobID.from_int(9).binary() + bytes(8))
    assert actor.job_id == ids.JobID.from_int(9)
