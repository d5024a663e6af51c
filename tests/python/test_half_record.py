"""Packed records: both directions, and bytes that are none."""

import math
import random

import pytest
from whipray import _core
from whipray._private import record

VALUES = {
    "none": None,
    "zero": 0,
    "minus": -(1 << 63),
    "most": (1 << 63) - 1,
    "half": 0.5,
    "text": "é\U0001f600",
    "bytes": bytes(range(256)),
    "map": {"a": 1, "b": {"c": []}},
    "list": [1, "x", b"y", None, [2, [3]], {"d": 4.5}],
    "empty": "",
}


def test_everything_comes_back():
    assert record.unpack(record.pack(VALUES)) == VALUES


def test_a_bool_is_an_int():
    assert record.unpack(record.pack({"yes": True})) == {"yes": 1}


def test_a_handle_is_wrapped_and_unwrapped():
    packed = record.unpack(record.pack({"h": 2**64 - 2}))
    assert packed == {"h": -2} and record.handle(packed["h"]) == 2**64 - 2


def test_infinities_and_nan():
    back = record.unpack(record.pack({"inf": math.inf, "nan": math.nan}))
    assert back["inf"] == math.inf and math.isnan(back["nan"])


def test_the_extension_agrees():
    assert _core.pack(VALUES) == record.pack(VALUES)
    assert _core.unpack(record.pack(VALUES)) == VALUES


@pytest.mark.parametrize(
    "value",
    [
        {"": 1},
        {"n" * 65: 1},
        {1: 1},
        {"a": object()},
        {"a": 1 << 64},
        {"a": -(1 << 63) - 1},
        {"a": "\ud800"},
        {"a": b"x" * (1 << 20)},
        {"a": [[[[[[[[1]]]]]]]]},
    ],
)
def test_what_no_record_carries(value):
    with pytest.raises(record.RecordError):
        record.pack(value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"\1\0",
        b"\0\0x",
        b"\1\0\0i" + bytes(8),
        b"\1\0\1ai",
        b"\1\0\1a?",
        b"\1\0\1as\5\0\0\0abc",
        b"\1\0\1as\1\0\0\0\xff",
        b"\2\0\1an\1an",
        b"\1\0\1al\0\0\0\0\1\0\0\0",
        b"\1\0\1am\3\0\0\0\0\0x",
        b"\1\0\1al\1\0\0\0\xff\xff\xff\xff" + b"n",
    ],
)
def test_bytes_that_are_no_record(data):
    with pytest.raises(record.RecordError):
        record.unpack(data)


def test_damaged_records_are_refused_or_read():
    whole = record.pack(VALUES)
    draw = random.Random(1)
    for _ in range(3000):
        damaged = bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        damaged = damaged[: draw.randint(0, len(damaged))]
        try:
            mine = record.unpack(bytes(damaged))
        except record.RecordError:
            with pytest.raises(ValueError):
                _core.unpack(bytes(damaged))
        else:
            assert record.pack(mine) is not None
