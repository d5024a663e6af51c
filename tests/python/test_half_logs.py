"""Lines of workers: prefix and folding."""

from whipray._private.logs import Dedup, prefix


def line(text, pid=1, ip="1.1.1.1", name="f"):
    return {"text": text, "pid": pid, "ip": ip, "name": name, "err": 0}


def collect():
    out = []
    return out, Dedup(lambda fields, text: out.append((fields["pid"], text)))


def test_prefix():
    assert prefix(line("x"), "1.1.1.1") == "(f pid=1)"
    assert prefix(line("x", ip="2.2.2.2"), "1.1.1.1") == "(f pid=1, ip=2.2.2.2)"
    assert prefix(line("x", name=""), "1.1.1.1") == "(pid=1)"


def test_equal_lines_of_several_workers_are_folded():
    out, dedup = collect()
    for pid in (1, 2, 3):
        dedup.add(line("same", pid), 0.0)
    assert out == [(1, "same")]
    dedup.flush(1.0)
    assert len(out) == 1
    dedup.flush(6.0)
    assert out[1] == (3, "same [repeated 2x across cluster]")


def test_one_workers_own_repeats_are_shown():
    out, dedup = collect()
    for _ in range(3):
        dedup.add(line("again"), 0.0)
    assert len(out) == 3


def test_one_more_is_told_as_it_is():
    out, dedup = collect()
    dedup.add(line("same", 1), 0.0)
    dedup.add(line("same", 2), 0.0)
    dedup.flush(None)
    assert out == [(1, "same"), (2, "same")]


def test_switched_off(monkeypatch):
    monkeypatch.setenv("WHIPRAY_DEDUP_LOGS", "0")
    out, dedup = collect()
    for pid in (1, 2):
        dedup.add(line("same", pid), 0.0)
    assert len(out) == 2


def test_skip_and_allow(monkeypatch):
    monkeypatch.setenv("WHIPRAY_DEDUP_LOGS_SKIP_REGEX", "noise")
    monkeypatch.setenv("WHIPRAY_DEDUP_LOGS_ALLOW_REGEX", "always")
    out, dedup = collect()
    for pid in (1, 2):
        dedup.add(line("noise", pid), 0.0)
        dedup.add(line("always", pid), 0.0)
    assert out == [(1, "always"), (2, "always")]
