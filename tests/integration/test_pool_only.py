"""Within a node nothing of a task travels by socket, pipe or file."""

from __future__ import annotations

import os

from cluster import daemon, io_bytes


def test_ten_thousand_tasks_with_1_kb_write_less_than_a_byte_each(ray):
    @ray.remote
    def length_and_pid(data):
        return len(data), os.getpid()

    data = b"x" * 1024
    answers = ray.get(
        [length_and_pid.remote(data) for _ in range(2000)]
    )  # classes, functions, rings are set up
    workers = {pid for _, pid in answers}
    watched = [os.getpid(), daemon("raylet"), *workers]
    before = {pid: io_bytes(pid) for pid in watched}
    n = 10_000
    answers = ray.get([length_and_pid.remote(data) for _ in range(n)])
    after = {pid: io_bytes(pid) for pid in watched}
    assert [size for size, _ in answers] == [1024] * n
    assert os.getpid() not in {pid for _, pid in answers}
    written = {pid: after[pid] - before[pid] for pid in watched}
    assert all(count < n for count in written.values()), written


def test_a_task_never_runs_in_the_process_that_submitted_it(ray):
    @ray.remote
    def outer():
        inner = ray.get([pid.remote() for _ in range(200)])
        return os.getpid(), set(inner)

    @ray.remote
    def pid():
        return os.getpid()

    submitter, ran = ray.get(outer.remote())
    assert submitter not in ran and os.getpid() not in ran
