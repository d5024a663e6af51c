"""Identifiers: fixed numbers of bytes that people see as hex.

Layouts are those of ``engine/base/ids.h``: a TaskID is node incarnation 12 | job 4 | handle 8, an
ActorID is incarnation 4 | job 4 | handle 8, and an id of only 0xff bytes is nil.
"""

from __future__ import annotations

import os
from typing import Any, ClassVar, TypeVar

_Id = TypeVar("_Id", bound="BaseID")


class BaseID:
    """Common part of all identifiers.

    Parameters
    ----------
    id : bytes
        Exactly `size()` bytes.

    Examples
    --------
    >>> JobID.from_int(1).hex()
    '01000000'
    >>> NodeID.nil().is_nil()
    True
    """

    SIZE: ClassVar[int] = 28
    __slots__ = ("_bytes",)
    _bytes: bytes

    def __init__(self, id: bytes) -> None:
        if not isinstance(id, bytes):
            raise TypeError(f"{type(self).__name__} takes bytes, not {type(id).__name__}")
        if len(id) != self.SIZE:
            raise ValueError(f"{type(self).__name__} has {self.SIZE} bytes, {len(id)} were given")
        self._bytes = id

    @classmethod
    def from_binary(cls: type[_Id], id_bytes: bytes) -> _Id:
        """Make an id of its bytes."""
        return cls(id_bytes)

    @classmethod
    def from_hex(cls: type[_Id], hex_id: str | bytes) -> _Id:
        """Make an id of its hex digits; what is not hex is a ValueError."""
        text = hex_id.decode("ascii") if isinstance(hex_id, bytes) else hex_id
        return cls(bytes.fromhex(text))

    @classmethod
    def nil(cls: type[_Id]) -> _Id:
        """Return the id that names nothing."""
        return cls(b"\xff" * cls.SIZE)

    @classmethod
    def from_random(cls: type[_Id]) -> _Id:
        """Make an id of random bytes."""
        return cls(os.urandom(cls.SIZE))

    @classmethod
    def size(cls) -> int:
        """Return the number of bytes."""
        return cls.SIZE

    def binary(self) -> bytes:
        """Return the bytes."""
        return self._bytes

    def hex(self) -> str:
        """Return the bytes as lower-case hex digits."""
        return self._bytes.hex()

    def is_nil(self) -> bool:
        """Whether this id names nothing."""
        return self._bytes == b"\xff" * self.SIZE

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._bytes == other._bytes

    def __hash__(self) -> int:
        return hash((type(self).__name__, self._bytes))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._bytes.hex()})"

    def __str__(self) -> str:
        return repr(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._bytes,)


class UniqueID(BaseID):
    """An id of no particular kind."""

    __slots__ = ()


class NodeID(UniqueID):
    """A node."""

    __slots__ = ()


class WorkerID(UniqueID):
    """A worker process or a driver."""

    __slots__ = ()


class FunctionID(UniqueID):
    """An exported function."""

    __slots__ = ()


class ActorClassID(UniqueID):
    """An exported actor class."""

    __slots__ = ()


class ClusterID(UniqueID):
    """A cluster."""

    __slots__ = ()


class JobID(BaseID):
    """A job: everything that one driver started."""

    SIZE = 4
    __slots__ = ()

    @classmethod
    def from_int(cls, value: int) -> JobID:
        """Make the id of the job with this number."""
        return cls(value.to_bytes(cls.SIZE, "little"))

    def int(self) -> int:
        """Return the job's number."""
        return int.from_bytes(self._bytes, "little")


class TaskID(BaseID):
    """A task."""

    SIZE = 24
    __slots__ = ()

    def job_id(self) -> JobID:
        """Return the job that the task belongs to."""
        return JobID(self._bytes[12:16])

    def actor_id(self) -> ActorID:
        """Return the nil actor id: a task's id does not name an actor."""
        return ActorID.nil()


class ActorID(BaseID):
    """An actor."""

    SIZE = 16
    __slots__ = ()

    @property
    def job_id(self) -> JobID:
        """The job that the actor belongs to."""
        return JobID(self._bytes[4:8])


class PlacementGroupID(BaseID):
    """A placement group."""

    SIZE = 18
    __slots__ = ()
