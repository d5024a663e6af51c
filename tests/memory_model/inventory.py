"""Every word of the pool that is accessed as an atomic: ``python tests/memory_model/inventory.py``."""

from __future__ import annotations

import collections
import pathlib
import re

ENGINE = pathlib.Path(__file__).resolve().parents[2] / "engine/shm"
ACCESS = re.compile(
    r"\b(WR_LOAD\w*|WR_STORE\w*|WR_CAS\w*|atomic_(?:fetch|exchange|load|store)\w*|__atomic_\w+)\s*\("
)
ORDER = re.compile(r"memory_order_(\w+)|__ATOMIC_(\w+)")
SUFFIX = {"_RELAXED": "relaxed", "_SEQ": "seq_cst"}
USUAL = {"WR_LOAD": "acquire", "WR_STORE": "release", "WR_CAS": "acq_rel"}
# What is no member: a local name of a place, and what it stands for.
LOCAL = {
    "ring.tail": "credits.tail",
    "ring.bell": "credits.bell",
    "ring.handles": "credits.handle",
    "at": "credits.handle",
    "word": "counters",
}


def arguments(text: str, start: int) -> list[str]:
    """Of the call whose open parenthesis ends at `start`."""
    depth, found, begin = 0, [], start
    for at in range(start, len(text)):
        if text[at] in "([{":
            depth += 1
        elif text[at] in ")]}":
            depth -= 1
            if depth < 0:
                found.append(text[begin:at])
                return found
        elif text[at] == "," and depth == 0:
            found.append(text[begin:at])
            begin = at + 1
    raise ValueError(text[start : start + 40])


def member(place: str) -> str:
    """`&k->pool->ports[n].cause` is `cause`."""
    while "[" in place:
        place = re.sub(r"\[[^\[\]]*\]", "", place)
    place = place.strip().lstrip("&")
    return LOCAL.get(place, re.split(r"->|\.", place)[-1])


def order(name: str, rest: str) -> str:
    named = ORDER.search(rest)
    if named:
        return (named[1] or named[2]).lower()
    for suffix, meaning in SUFFIX.items():
        if name.endswith(suffix):
            return meaning
    return USUAL.get(name, "seq_cst")


def what(name: str) -> str:
    lower = name.lower()
    return "load" if "load" in lower else "store" if "store" in lower else "rmw"


def words() -> dict[str, set[str]]:
    """Of each word: how it is accessed."""
    found: dict[str, set[str]] = collections.defaultdict(set)
    for path in sorted(ENGINE.glob("*.[ch]")):
        text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
        text = re.sub(r"#define(?:.*\\\n)*.*\n", "", text)
        for access in ACCESS.finditer(text):
            place, *rest = arguments(text, access.end())
            found[member(place)].add(f"{what(access[1])} {order(access[1], ','.join(rest))}")
    return dict(found)


if __name__ == "__main__":
    for word, accesses in sorted(words().items()):
        print(f"| `{word}` | {', '.join(sorted(accesses))} | |")
