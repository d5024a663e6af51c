"""Write the fuzzers' seeds, tests/fuzz/corpus: ``python tests/fuzz/make_corpus.py``, with a built package.

A seed is a short input that is right, so that a run of seconds begins behind the first checks. They are few and small;
what a fuzzer finds belongs into a unit test. The rows are those of a real cluster that this script starts.
"""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import struct
import tempfile
from pathlib import Path

import numpy as np
import whipray
from whipray import _core
from whipray.util import placement_group
from whipray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

CORPUS = Path(__file__).parent / "corpus"
META, NODE, JOB, _ACTOR_SPEC, _ACTOR, GROUP = range(6)  # tables of the GCS's store
RECORD = {
    "op": "status",
    "int": -5,
    "double": 0.5,
    "bytes": b"\0\xff",
    "none": None,
    "map": {"a": [1, "x", {"b": []}]},
}


def texts() -> dict[str, bytes]:
    """Seeds that are text, or a byte that chooses and text."""
    environment = '{"env_vars": {"A": "1", "B_\\u00e9": "x\\ud83d\\ude00\\n"}, "pip": []}'
    return {
        "cli/options": b"\0--head\n--num-cpus=4\n-n\n2\n--resources\n{}\n--labels_file=x\n-h",
        "cli/resources": b'\1{"GPU": 1, "memory": 2e9 , "a": 0.5}',
        "cli/number": b"\x021.5e1",
        "cli/labels": b'\3{\n  "region": "eu",\n  # more\n  zone: x y\n}\n',
        "paths/current": b"\0unix:/tmp/s/sockets/gcs\n/tmp/s\n",
        "paths/token": b"\x010123456789abcdef\r\n",
        "paths/limits": b"\x02150000 100000\n",
        "paths/group": b"\x039:cpu,memory:/a/b\n0::/a/b/c\nMemTotal: 16000000 kB\n",
        "class_key/resources": b"\1CPU=1,GPU=0.5,a=2.25",
        "class_key/amount": b"\x020.0001",
        "class_key/labels": b"\3zone=x,region=eu\0zone=in(x|y),region=!us,a=!in(b|c)",
        "env_vars/whole": environment.encode(),
        "env_vars/inner": b'A": "1", "B": "\\u00e9\\\\"',
        "error_value/text_and_hint": struct.pack("<BBHHH", 1, 0, 301, 4, 4) + b"texthint",
        "error_value/status_alone": struct.pack("<BBHHH", 1, 0, 301, 0, 0),
        "database/whole": bytes(3),
        "database/cut": b"\1\0\x20",
        "database/changed": bytes(3) + b"\x60\0\x09" + b"\x64\x10\x0a",
        "rl_state/runner": b"\0\0",
        "rl_state/learner": b"\1\0" + struct.pack("<If", 20, 0.5),
        "rl_state/restore": b"\2\0",
        "rl_state/update": b"\3\0" + struct.pack("<If", 200, 1.0),
    }


def records() -> dict[str, bytes]:
    """Packed records, and frames of them."""
    packed = _core.pack(RECORD)
    frame = struct.pack("<IHHQ", 12 + len(packed), 1, 1, 7) + packed
    return {"record/fields": packed, "record/empty": _core.pack({}), "frame/two": frame + frame}


def values() -> dict[str, bytes]:
    """Values and arguments as the extension writes them."""
    plain = {"a": [1, 300, 2**40, -1.5, None, True], ("t", b"b"): {"x": "\u00e9" * 5}}
    args = (1, "x", [2, {"k": ()}]), {"name": 2.5, "other": b"b"}
    return {
        "py_decode/value": b"\0" + _core._encode(plain)[0],
        "py_decode/array": b"\0" + _core._encode(np.arange(2.0))[0],
        "py_decode/bytes": b"\0" + _core._encode([bytes(300)])[0],
        "py_decode/pickle": b"\0" + _core._encode({1, 2})[0],
        "py_decode/arguments": b"\1" + _core._encode_args(*args)[0],
        "py_decode/record": b"\2" + _core.pack(RECORD),
    }


def _copy_of_rows(database: Path) -> list[tuple[int, bytes, bytes]]:
    """Rows of a database that its GCS has open."""
    with tempfile.TemporaryDirectory() as folder:
        for file in database.parent.glob(database.name + "*"):
            shutil.copy(file, folder)
        with sqlite3.connect(Path(folder) / database.name) as copy:
            return copy.execute("select tab, key, value from state order by tab, key").fetchall()


def rows() -> dict[str, bytes]:
    """Rows of nodes, jobs, actors and placement groups, in several states."""

    @whipray.remote
    class Actor:
        def here(self) -> bool:
            return True

    whipray.init(num_cpus=4, resources={"R": 2}, _node_name="node")
    group = placement_group([{"CPU": 1}, {"CPU": 1}], strategy="PACK")
    placement_group([{"CPU": 50}], strategy="STRICT_SPREAD", name="big")
    inside = PlacementGroupSchedulingStrategy(group)
    actors = [
        Actor.options(name="named", lifetime="detached", namespace="n").remote(),
        Actor.options(num_cpus=1, resources={"R": 1}, max_restarts=2).remote(),
        Actor.options(scheduling_strategy=inside).remote(),
        Actor.remote(),
    ]
    whipray.get([group.ready(), *(actor.here.remote() for actor in actors)])
    waits = Actor.options(num_cpus=100).remote()
    whipray.kill(actors[3])
    root = Path(os.environ.get("WHIPRAY_TMPDIR", "/tmp")) / f"whipray-{os.getuid()}"
    found = _copy_of_rows(root / "session_latest" / "gcs.sqlite")
    del waits
    whipray.shutdown()
    one = next(key for table, key, _ in found if table == _ACTOR_SPEC)

    host = socket.gethostname().encode()  # is nobody's matter

    def packed(wanted: list[tuple[int, bytes, bytes]]) -> bytes:
        whole = b"".join(
            struct.pack("<BBH", table, len(key), len(row)) + key + row for table, key, row in wanted
        )
        return whole.replace(host, b"h" * len(host))

    return {
        "rows/all": packed(found),
        "rows/nodes_and_jobs": packed([r for r in found if r[0] in (META, NODE, JOB)]),
        "rows/groups": packed([r for r in found if r[0] in (META, NODE, JOB, GROUP)]),
        "rows/one_actor": packed([r for r in found if r[0] in (META, NODE, JOB) or r[1] == one]),
    }


def main() -> None:
    """Replace the seeds."""
    seeds = {**texts(), **records(), **values(), **rows()}
    shutil.rmtree(CORPUS, ignore_errors=True)
    for name, data in seeds.items():
        path = CORPUS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    print(f"{len(seeds)} seeds, {sum(map(len, seeds.values()))} bytes")


if __name__ == "__main__":
    main()
