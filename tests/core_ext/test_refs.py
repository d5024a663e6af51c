"""References: identity, exact counts, loans."""

import gc
import pickle
import sys

import half
import numpy as np
import pytest
from whipray import _core

get, put = _core.get, _core.put


def test_a_ref_is_equal_and_hashed_by_id(cluster):
    ref = put(1)
    same = _core.ObjectRef(ref.binary())
    assert same == ref and hash(same) == hash(ref) and {ref: 1}[same] == 1 and same is not ref
    assert put(1) != ref and ref != 5 and (ref == "x") is False
    assert get(same) == 1
    assert _core.ObjectRef.from_hex(ref.hex()) == ref
    assert len(ref.binary()) == _core.ObjectRef.size() == 28
    assert bool(ref) and repr(ref) == f"ObjectRef({ref.hex()})"


def test_ids_have_their_parts(cluster):
    class Wrapped(bytes):
        pass

    ref = put(1)
    assert ref.task_id_bytes() == ref.binary()[:24]
    _core.set_id_classes(task_id=Wrapped, job_id=Wrapped)
    try:
        assert ref.task_id() == ref.binary()[:24] and type(ref.task_id()) is Wrapped
        assert ref.job_id() == ref.binary()[12:16]
    finally:
        _core.set_id_classes(task_id=bytes, job_id=bytes)


def test_nil_and_random_ids_are_no_objects(cluster):
    nil, random = _core.ObjectRef.nil(), _core.ObjectRef.from_random()
    assert nil.is_nil() and not random.is_nil() and nil == _core.ObjectRef(b"\xff" * 28)
    assert random == _core.ObjectRef(random.binary()) and hash(random) == hash(
        _core.ObjectRef(random.binary())
    )
    for ref in (nil, random):
        assert ref.handle == 0
        with pytest.raises(half.SystemFailure):
            get(ref)
    with pytest.raises(ValueError, match="28 bytes"):
        _core.ObjectRef(b"short")


def test_a_ref_can_be_subscripted_for_typing():
    assert _core.ObjectRef[int].__origin__ is _core.ObjectRef


def test_a_dropped_object_frees_its_memory(cluster):
    before = cluster.until(lambda s: s["rows"] >= 0)["heap"]
    for _ in range(200):
        put(np.zeros(1_000_000))
    assert cluster.stats()["heap"] <= before + (64 << 20)


def test_an_object_in_an_object_lives_as_long_as_its_container(cluster):
    inner = put([1, 2, 3])
    outer = put({"deep": [inner]})
    del inner
    put(np.zeros(1000))
    back = get(outer)
    del outer
    assert get(back["deep"][0]) == [1, 2, 3]


def test_refs_inside_pickled_objects_are_counted(cluster):
    holder = {1: {2, 3}, "r": put("x" * 100), "f": lambda: None}
    ref = put(holder)
    del holder
    assert get(get(ref)["r"]) == "x" * 100


def test_a_temporary_ref_made_by_reduce_survives(cluster):
    class Makes:
        def __reduce__(self):
            return (list, ([put("made while pickling")],))

    ref = put([{1}, Makes()])
    gc.collect()
    assert get(get(ref)[1][0]) == "made while pickling"


def test_a_put_inside_a_result_reaches_the_reader(cluster):
    f = half.remote(lambda n: [_core.put(np.arange(n)), 1])
    for n in (3, 1000):
        refs, one = get(f.remote(n))
        assert get(refs).sum() == n * (n - 1) // 2 and one == 1


def test_an_object_holding_10000_refs(cluster):
    refs = [put(i) for i in range(10000)]
    outer = put(refs)
    del refs
    assert get(get(outer)) == list(range(10000))


def test_a_kept_view_of_an_argument_pins_its_bytes(cluster):
    def keep(a):
        sys.kept = [*getattr(sys, "kept", []), a]
        return len(sys.kept)

    def kept(i):
        return float(sys.kept[i].sum())

    ref = put(np.ones(100000))
    by_ref = get(half.remote(keep).remote(ref)) - 1
    by_value = get(half.remote(keep).remote(np.full(100000, 2.0))) - 1
    del ref
    for _ in range(50):
        get(put(np.zeros(100000)))
        get(half.remote(lambda a: None).remote(np.zeros(100000)))
    assert get(half.remote(kept).remote(by_ref)) == 100000
    assert get(half.remote(kept).remote(by_value)) == 200000


def test_a_kept_nested_ref_stays_and_a_dropped_one_goes(cluster):
    def keep(box):
        sys.ref = box[0]

    def use(box):
        return _core.get(box[0])

    ref = put("y" * 1000)
    get(half.remote(keep).remote([ref]))
    assert get(half.remote(use).remote([ref])) == "y" * 1000
    del ref
    assert get(half.remote(lambda: _core.get(sys.ref)).remote()) == "y" * 1000

    def forget():
        del sys.ref

    get(half.remote(forget).remote())


def test_a_lent_ref_can_be_passed_on_and_returned(cluster):
    def pass_on(box):
        return {"again": box, "inner": _core.put(box)}

    ref = put(5)
    back = get(half.remote(pass_on).remote([ref]))
    assert back["again"] == [ref] and get(get(back["inner"])[0]) == 5


def test_shared_rows_return_to_their_baseline(own_cluster):
    own_cluster.worker()
    f = half.remote(lambda box, array: [box, _core.put(array * 2)])
    get(f.remote([put(1)], np.zeros(10)), timeout=20)
    baseline = own_cluster.until(lambda s: s["candidates"] == 0)["rows"]
    for _ in range(300):
        get(f.remote([put(b"z" * 500)], np.ones(1000)))
    gc.collect()
    own_cluster.until(lambda s: s["rows"] <= baseline + 2)


def test_a_ref_pickled_by_hand_comes_back(cluster):
    ref = put("by hand")
    text = pickle.dumps(ref)
    assert pickle.loads(text) == ref
    del ref
    assert get(pickle.loads(text)) == "by hand"
    assert _core.ref_reduce(pickle.loads(text))[0] is _core.ObjectRef


def test_a_values_pickle_cannot_be_read_outside_of_get(cluster):
    stream, _ = _core._encode([put(1), {2}])
    with pytest.raises(ValueError):
        _core._decode(stream)


def test_refs_of_an_ended_session_are_dead_and_harmless(own_cluster):
    ref, array = put(5), get(put(np.arange(1000.0)))
    text, sig = ref.hex(), _core.Sig(None)
    f = _core.RemoteFunction(print, sig)
    f._bind(function=1, port=1, ring=1, generation=0)
    _core.disconnect()
    assert ref.hex() == text and f._bound is None
    with pytest.raises(half.SystemFailure):
        get(ref)
    own_cluster.connect()
    with pytest.raises(half.SystemFailure):
        get(ref)
    with pytest.raises(half.SystemFailure):
        put([ref])
    assert array.sum() == 499500  # still mapped
    new = put(6)
    del ref, array
    gc.collect()
    assert get(new) == 6


def test_an_encoded_value_is_stored_later(cluster):
    encoded = _core.encode([1, np.arange(1000)])
    assert encoded.nbytes == len(encoded.stream) + 8000
    assert get(encoded.put())[1].sum() == 499500
    by_value = _core.encode(lambda: 5, by_value=True)
    assert get(by_value.put())() == 5


def test_an_error_can_be_put(cluster):
    ref = _core.put_error(("f", "text", pickle.dumps(KeyError(1))))
    with pytest.raises(half.TaskFailure):
        get(ref)
