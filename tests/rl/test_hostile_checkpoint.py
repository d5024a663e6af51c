"""Checkpoints that nobody's saver wrote: right sums over hostile contents. A thousand of them, by a
fixed seed, are refused by ValueError or load; none ends in another error."""

import copy
import hashlib
import json
import random

import pytest
from test_algorithm import CHECKPOINT, small
from whipray.rl import Algorithm, checkpoint

WORDS = [None, True, -1, 0, 1, 2**31, 2**64, 10**400, 1e308, "", "x", "\0", "nan", [], {}, [[]]]
WORDS += [{"float": "nan"}, {"float": "inf"}, {"float": []}, [None] * 3, {"x": {"y": []}}, -0.5]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    algo = small().build_algo()
    algo.train()
    algo.save_to_path(folder)
    algo.stop()
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def change(draw, value):
    """Replace one thing anywhere in a JSON value, or take it away."""
    places = []

    def walk(inside):
        for key in list(inside) if isinstance(inside, dict) else range(len(inside)):
            places.append((inside, key))
            if isinstance(inside[key], (dict, list)):
                walk(inside[key])

    walk(value)
    where, key = draw.choice(places)
    if draw.random() < 0.25:
        del where[key]
    else:
        where[key] = copy.deepcopy(draw.choice(WORDS))


def damaged_bytes(draw, data):
    out = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        out[draw.randrange(min(len(out), 200))] = draw.randrange(256)
    return bytes(out[: draw.choice([len(out), len(out), draw.randint(0, len(out))])])


def damaged(draw, files):
    """A copy of the files with one of them changed, and the sums made right again."""
    files = dict(files)
    name = draw.choice(sorted(files))
    if name.endswith(".json") and draw.random() < 0.9:
        value = json.loads(files[name])
        for _ in range(draw.choice([1, 1, 2])):
            change(draw, value)
        files[name] = json.dumps(value).encode()
    elif name.endswith(".json"):
        files[name] = draw.choice([b"[" * 100000, b'{"a":' * 100000, b"\xff", b"[]", b"1", b"{}"])
    else:
        files[name] = damaged_bytes(draw, files[name])
    for folder in (CHECKPOINT, ""):  # the inner one is a file of the outer one
        path = f"{folder}metadata.json"
        try:
            metadata = json.loads(files[path])
            for key, noted in metadata["files"].items():
                data = files[folder + key]
                noted.update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
            files[path] = json.dumps(metadata).encode()
        except Exception:
            continue  # the metadata itself is what was damaged
    return name, files


@pytest.mark.timeout(300)
def test_hostile_contents_under_right_sums_are_refused_as_values(saved, tmp_path):
    draw = random.Random(26)
    refused = 0
    for round_number in range(1000):
        name, files = damaged(draw, saved)
        for path, data in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(data)
        for load in (checkpoint.read_module, lambda where: Algorithm.from_checkpoint(where).stop()):
            try:
                load(tmp_path)
            except ValueError:
                refused += 1
            except Exception as error:
                changed = files[name][:300]
                pytest.fail(f"round {round_number}: {error!r} of {name}: {changed!r}")
    assert refused > 700
