"""Sig: the same verdict as the real call."""

import inspect
import random

import pytest
from whipray import _core

NAMES = "abcdef"


def random_function(rng):
    """A function of a random signature."""
    count = rng.randint(0, 4)
    positional_only = rng.randint(0, count)
    defaults = rng.randint(0, count)
    parts = [NAMES[i] + ("=0" if i >= count - defaults else "") for i in range(count)]
    if positional_only:
        parts.insert(positional_only, "/")
    keyword_only = rng.randint(0, 2)
    if rng.random() < 0.3:
        parts.append("*args")
    elif keyword_only:
        parts.append("*")
    parts += [f"k{i}" + ("=0" if rng.random() < 0.5 else "") for i in range(keyword_only)]
    if rng.random() < 0.3:
        parts.append("**kw")
    namespace = {}
    exec(f"def f({', '.join(parts)}): pass", namespace)
    return namespace["f"]


def accepts(call, args, kwargs):
    try:
        call(*args, **kwargs)
    except TypeError:
        return False
    return True


def test_15000_random_calls_get_the_verdict_of_the_real_call():
    rng = random.Random(1)
    refused = 0
    for _ in range(3000):
        function = random_function(rng)
        sig = _core.Sig(inspect.signature(function))
        for _ in range(5):
            args = [0] * rng.randint(0, 5)
            kwargs = {n: 0 for n in rng.sample([*NAMES, "k0", "k1", "zz"], rng.randint(0, 3))}
            good = accepts(function, args, kwargs)
            assert accepts(sig.check, args, kwargs) == good, (
                inspect.signature(function),
                args,
                kwargs,
            )
            refused += not good
    assert 3000 < refused < 14000


def test_a_refusal_is_worded_as_that_of_bind():
    def f(a, b=2, *, c):
        pass

    sig = _core.Sig(inspect.signature(f))
    for args, kwargs in (
        ((), {}),
        ((1, 2, 3), {"c": 1}),
        ((1,), {}),
        ((1,), {"c": 1, "d": 2}),
        ((1,), {"a": 1, "c": 2}),
    ):
        with pytest.raises(TypeError) as mine:
            sig.check(*args, **kwargs)
        with pytest.raises(TypeError) as theirs:
            inspect.signature(f).bind(*args, **kwargs)
        assert str(mine.value) == str(theirs.value)


def test_names_that_are_not_interned_are_found():
    def f(some_name=1):
        pass

    _core.Sig(inspect.signature(f)).check(**{"".join(["some", "_name"]): 2})


def test_a_signature_of_none_accepts_everything():
    _core.Sig(None).check(1, 2, x=3)
    assert _core.Sig(None).signature is None


def test_more_than_64_parameters_are_checked_too():
    names = [f"p{i}" for i in range(70)]
    namespace = {}
    exec(f"def f({', '.join(names)}): pass", namespace)
    sig = _core.Sig(inspect.signature(namespace["f"]))
    sig.check(*range(70))
    sig.check(*range(69), p69=1)
    for args, kwargs in (
        (range(69), {}),
        (range(71), {}),
        (range(69), {"p0": 1}),
        (range(69), {"zz": 1}),
    ):
        with pytest.raises(TypeError):
            sig.check(*args, **kwargs)


def test_what_is_no_signature_is_refused():
    with pytest.raises(AttributeError):
        _core.Sig(5)


def test_a_default_value_that_cannot_be_shown_leaves_the_refusal():
    class Hidden:
        def __repr__(self):
            raise LookupError("not to be shown")

    def f(x=Hidden()):  # noqa: B008
        pass

    sig = _core.Sig(inspect.signature(f), "f")
    with pytest.raises(TypeError, match="too many positional arguments"):
        sig.check(1, 2)
