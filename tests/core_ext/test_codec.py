"""The codec: every value comes back as from pickle; any bytes give a value or ValueError."""

import collections
import enum
import math
import pickle
import random
import struct
import threading

import half
import numpy as np
import pytest
from whipray import _core

TAGS = {
    "none": None,
    "false": False,
    "true": True,
    "int8": -128,
    "int8_high": 127,
    "int32": -129,
    "int32_low": -(2**31),
    "int64": 2**31,
    "int64_low": -(2**63),
    "big": 2**64,
    "float": 1.5,
    "inf": math.inf,
    "str8": "a",
    "str_empty": "",
    "str32": "é" * 300,
    "str_surrogate": "\ud800",
    "bytes8": b"\x00\xff",
    "bytes255": b"x" * 255,
    "bytes256": b"x" * 256,
    "bytes_long": b"x" * 100000,
    "tuple8": (1, "a"),
    "tuple_empty": (),
    "tuple32": (None,) * 300,
    "list8": [1, [2, [3]]],
    "list32": list(range(1000)),
    "dict8": {"a": {"b": [1]}, 3: None},
    "dict32": {i: str(i) for i in range(300)},
    "set": {1, 2},
    "frozenset": frozenset([1]),
    "complex": 1j,
    "bytearray": bytearray(b"abc" * 1000),
    "range": range(5),
    "ordered": collections.OrderedDict(a=1),
    "deep": [[[[[[[[[[[[1]]]]]]]]]]]],
    "exception": ValueError,
}


class Color(enum.Enum):
    RED = 1


class Point(collections.namedtuple("Point", "x y")):
    pass


class Plain:
    def __init__(self, x):
        self.x = x

    def __eq__(self, other):
        return type(self) is type(other) and self.x == other.x


@pytest.mark.parametrize("name", TAGS)
def test_a_value_of_each_tag_comes_back_with_its_exact_type(name):
    value = TAGS[name]
    back = _core._encode_decode(value)
    assert type(back) is type(value)
    assert back == value


@pytest.mark.parametrize(
    "value", [Color.RED, Point(1, 2), Plain([1]), [Plain(1)], np.float64(2.5), True]
)
def test_subclasses_and_objects_keep_their_type(value):
    back = _core._encode_decode(value)
    assert type(back) is type(value)
    assert back == value


def test_nan_and_minus_zero_keep_their_bits():
    for value in (math.nan, -0.0, 5e-324):
        assert struct.pack("<d", _core._encode_decode(value)) == struct.pack("<d", value)


def random_value(rng, depth=0):
    kind = rng.randrange(13 if depth < 5 else 8)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind == 1:
        return rng.randrange(-(2 ** rng.randrange(1, 70)), 2 ** rng.randrange(1, 70))
    if kind == 2:
        return rng.random() * 10 ** rng.randrange(-300, 300)
    if kind == 3:
        return "".join(
            chr(rng.choice([65, 233, 0x20AC, 0x1F600]))
            for _ in range(rng.choice([0, 1, 5, 90, 300]))
        )
    if kind == 4:
        return rng.randbytes(rng.choice([0, 1, 31, 255, 256, 5000]))
    if kind == 5:
        return rng.choice([1 + 2j, range(3), frozenset([1]), Plain(3)])
    if kind == 6:
        dtype = rng.choice(
            ["?", "b", "B", "h", "H", "i", "I", "l", "L", "q", "Q", "e", "f", "d", "F", "M8[s]"]
        )
        return np.arange(rng.choice([0, 1, 6, 600])).astype(dtype)
    if kind == 7:
        return np.arange(24.0).reshape(rng.choice([(2, 3, 4), (24,), (1, 24), (4, 6)]))[
            :: rng.choice([1, 2])
        ]
    count = rng.choice([0, 1, 2, 3, 8, 300 if depth == 0 else 4])
    if kind < 10:
        return [random_value(rng, depth + 1) for _ in range(count)]
    if kind == 10:
        return tuple(random_value(rng, depth + 1) for _ in range(count))
    return {rng.choice([k, str(k), (k, "t")]): random_value(rng, depth + 1) for k in range(count)}


def same(a, b):
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    return a == b


def test_random_nested_values_come_back_as_from_pickle():
    rng = random.Random(20261)
    for _ in range(1000):
        value = random_value(rng)
        back = _core._encode_decode(value)
        assert same(back, pickle.loads(pickle.dumps(value, 5)))
        assert same(back, value)


def shape_of_identity(value, seen=None):
    """The places at which one object stands more than once."""
    seen = {} if seen is None else seen
    if isinstance(value, (list, dict, np.ndarray, Plain)):
        if id(value) in seen:
            return seen[id(value)]
        seen[id(value)] = len(seen)
    if isinstance(value, (list, tuple)):
        return [shape_of_identity(v, seen) for v in value]
    if isinstance(value, dict):
        return [shape_of_identity(v, seen) for v in value.values()]
    if isinstance(value, Plain):
        return [shape_of_identity(value.x, seen)]
    return None


def test_identity_inside_a_value_survives():
    a = [1]
    t = ([1], 2)
    d = {"k": a}
    x = np.arange(3)
    cycle = []
    cycle.append(cycle)
    inner = {}
    inner["self"] = inner
    for value in (
        [a, a],
        (a, a),
        {"x": a, "y": a},
        [t, t],
        ((t,), (t,)),
        [d, a],
        [x, x],
        (x, [x]),
        [Plain(a), a],
        [[a], [[a]]],
    ):
        assert shape_of_identity(_core._encode_decode(value)) == shape_of_identity(value)
    back = _core._encode_decode(cycle)
    assert back[0] is back
    back = _core._encode_decode(inner)
    assert back["self"] is back


def test_random_sharing_survives():
    rng = random.Random(5)
    for _ in range(2000):
        pool = []
        for _ in range(rng.randrange(2, 12)):
            parts = rng.choices(pool, k=rng.randrange(min(len(pool), 3) + 1)) if pool else []
            pool.append(
                rng.choice([list, tuple, lambda p: dict(enumerate(p)), lambda p: Plain(list(p))])(
                    parts
                )
            )
        value = pool[-1]
        del pool
        assert shape_of_identity(_core._encode_decode(value)) == shape_of_identity(value)


@pytest.mark.parametrize("dtype", list("?bBhHiIlLqQefd"))
def test_arrays_come_back_as_read_only_views(dtype):
    array = np.arange(40).astype(dtype).reshape(5, 8)
    back = _core._encode_decode(array)
    assert back.dtype == array.dtype and back.shape == array.shape
    assert np.array_equal(back, array)
    assert not back.flags.writeable and back.base is not None
    with pytest.raises(ValueError, match="read-only"):
        back[0, 0] = 1
    assert back.ctypes.data % 64 == 0


def test_other_arrays_come_back_through_pickle():
    for array in (
        np.asfortranarray(np.arange(1200.0).reshape(30, 40)),
        np.array([Plain(1), None], dtype=object),
        np.zeros(3, dtype=[("a", "i4"), ("b", "f8")]),
        np.arange(4).astype(">i4"),
        np.array(["a", "bb"]),
        np.zeros((2, 0, 3)),
        np.array(7.5),
        np.ma.masked_array([1, 2], mask=[0, 1]),
    ):
        back = _core._encode_decode(array)
        assert type(back) is type(array) and back.dtype == array.dtype and back.shape == array.shape
        assert (back == array).all()


def test_large_buffers_inside_objects_are_not_copied_by_pickle():
    value = {"w": Plain(np.arange(1000.0)), "v": Plain(np.zeros(5000, "b"))}
    stream, buffers = _core._encode(value)
    assert sorted(map(len, buffers)) == [5000, 8000]
    assert len(stream) < 400
    back = _core._encode_decode(value)
    assert not back["w"].x.flags.writeable
    assert np.array_equal(back["w"].x, value["w"].x)


def test_a_class_of_main_and_a_lambda_travel_by_value():
    namespace = {"__name__": "__main__"}
    exec("class Local:\n    x = 5\ndef make():\n    return Local()", namespace)
    back = _core._encode_decode([namespace["Local"], lambda y: y + 1])
    assert back[0].x == 5 and back[1](1) == 2
    assert len(_core._encode(namespace["Local"])[0]) > 200
    assert _core._encode_decode(namespace["make"])().x == 5


def test_an_importable_class_travels_by_name():
    stream, _ = _core._encode(Plain)
    assert len(stream) < 100
    assert _core._encode_decode(Plain) is Plain
    assert _core._encode_decode(math.sin) is math.sin


def test_a_custom_serializer_beats_reduce():
    _core.serializers[Plain] = lambda obj: (Plain, (("custom", obj.x),))
    try:
        assert _core._encode_decode([Plain(1)])[0].x == ("custom", 1)
    finally:
        del _core.serializers[Plain]
    assert _core._encode_decode(Plain(1)).x == 1


def test_what_cannot_be_pickled_raises_and_leaves_the_codec_usable():
    for _ in range(3):
        with pytest.raises(TypeError):
            _core._encode_decode([1, threading.Lock()])
        assert _core._encode_decode([1, {2}]) == [1, {2}]


def test_encoding_inside_of_reduce_does_not_disturb_the_outer_value():
    class Nested:
        def __reduce__(self):
            assert _core._encode_decode([Plain(3)])[0].x == 3
            return (list, ([1, 2],))

    assert _core._encode_decode([Plain(0), Nested(), {"k": Plain(1)}]) == [
        Plain(0),
        [1, 2],
        {"k": Plain(1)},
    ]


def test_references_need_a_session():
    with pytest.raises(ValueError):
        _core._encode([_core.ObjectRef.from_random()])


def test_arguments_come_back_in_order():
    for args, kwargs in (
        ((), {}),
        ((1,), {}),
        ((1, "x"), {"a": 2, "b": [3]}),
        (tuple(range(300)), {"k": 1}),
    ):
        assert _core._decode_args(*_core._encode_args(args, kwargs)) == (args, kwargs)


def test_names_of_keywords_come_back_interned():
    name = "".join(["some", "_", "name"])
    _, kwargs = _core._decode_args(*_core._encode_args((), {name: 1}))
    assert next(iter(kwargs)) is __import__("sys").intern("some_name")


# ---- Hostile bytes ----


def attempt(decode, stream, buffers):
    try:
        decode(stream, buffers)
    except (ValueError, MemoryError):
        return False
    return True


def mutated(rng, stream):
    data = bytearray(stream)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        kind = rng.randrange(5)
        at = rng.randrange(len(data) + 1)
        if kind == 0 and data:
            data[at % len(data)] = rng.randrange(256)
        elif kind == 1 and data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del data[at:]
        elif kind == 3:
            data[at:at] = rng.randbytes(rng.randrange(1, 9))
        elif data:
            data[at % len(data)] = rng.choice([0, 1, 127, 128, 255])
    return bytes(data)


def without_pickle(stream):
    """Whether no byte can start a pickle: hostile pickles run what they say, by design."""
    return 20 not in stream


def test_mutated_values_never_crash():
    rng = random.Random(99)
    values = [random_value(rng) for _ in range(400)]
    encoded = [e for e in map(_core._encode, values) if without_pickle(e[0]) and len(e[0]) < 3000]
    assert len(encoded) > 100
    refused = tried = 0
    while tried < 20000:
        stream, buffers = rng.choice(encoded)
        stream = mutated(rng, stream)
        if not without_pickle(stream):
            continue
        tried += 1
        refused += not attempt(_core._decode, stream, buffers[: rng.choice([0, 1, 100])])
    assert refused > 5000


def test_mutated_arguments_never_crash():
    rng = random.Random(98)
    encoded = []
    while len(encoded) < 100:
        args = tuple(random_value(rng, 3) for _ in range(rng.randrange(4)))
        kwargs = {f"k{i}": random_value(rng, 3) for i in range(rng.randrange(3))}
        stream, buffers = _core._encode_args(args, kwargs)
        if stream and without_pickle(stream):
            encoded.append((stream, buffers))
    tried = 0
    while tried < 5000:
        stream, buffers = rng.choice(encoded)
        stream = mutated(rng, stream)
        if without_pickle(stream):
            tried += 1
            attempt(_core._decode_args, stream, buffers)


@pytest.mark.parametrize(
    "stream",
    [
        b"\xa1",
        b"\x00",
        b"\xa1\x63",
        b"\xa1\x00\x00",
        b"\xa1\x0c\xff\xff\xff\xff",
        b"\xa1\x0e\xff\xff\xff\xff\x00",
        b"\xa1\x08\xff\xff\xff\x7f",
        b"\xa1\x0a\x00\x00\x00\x00",
        b"\xa1\x11\x00",
        b"\xa1\x12" + bytes(8),
        b"\xa1\x13" + bytes(8),
        b"\xa1\x14" + b"\xff" * 16,
        b"\xa1\x15d\x01\x00\x00\x00\x00" + b"\xff" * 8,
        b"\xa1\x15d\x01\x00\x00\x00\x00" + struct.pack("<q", 2**62),
        b"\xa1\x15\x00\x01\x00\x00\x00\x00" + bytes(8),
        b"\xa1\x15O\x01\x00\x00\x00\x00" + struct.pack("<q", 1),
        b"\xa1" + b"\x0b\x01" * 200 + b"\x00",
        b"\xa1\x0f\x01\x0d\x00\x00",
    ],
)
def test_a_corrupt_value_is_refused(stream):
    with pytest.raises(ValueError):
        _core._decode(stream, [b"x" * 8] if stream[1:2] == b"\x15" else [])


def test_a_shape_larger_than_its_buffer_is_refused():
    stream, buffers = _core._encode(np.arange(4.0))
    with pytest.raises(ValueError):
        _core._decode(stream, [buffers[0][:-1]])


def test_the_hooks_of_the_tests_do_not_matter_for_plain_values():
    _core.set_hooks(**dict.fromkeys(half.HOOKS))
    assert _core._encode_decode([1, Plain(2)]) == [1, Plain(2)]
    with pytest.raises((RuntimeError, pickle.PicklingError, AttributeError)):
        _core._encode_decode(lambda: 1)
