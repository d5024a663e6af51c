"""What stays of clusters and workers that have ended: folders and log files, within bounds."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from cluster import wait_for


def _old_session(root, number, hours):
    """The folder of a cluster that ended so many hours ago."""
    folder = os.path.join(root, f"session_2026-01-02_03-04-05_{number:06d}_4242")
    os.makedirs(os.path.join(folder, "logs"))
    then = time.time() - 3600 * hours
    for path in (os.path.join(folder, "logs"), folder):
        os.utime(path, (then, then))
    return folder


PROGRAM = """
import whipray
context = whipray.init(num_cpus=1, log_to_driver=False, object_store_memory=400_000_000)
print(context.address_info["session_dir"], flush=True)
input()
"""


def test_a_new_cluster_removes_old_session_folders_but_none_that_lives(short_dir):
    root = os.path.join(short_dir, f"whipray-{os.getuid()}")
    os.makedirs(root, mode=0o700)
    env = {**os.environ, "WHIPRAY_TMPDIR": short_dir, "WHIPRAY_SESSION_KEEP_COUNT": "2"}
    start = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
    with subprocess.Popen([sys.executable, "-c", PROGRAM], **start) as first:
        living = first.stdout.readline().strip()
        then = time.time() - 3600 * 24  # it has been running for a day
        for name in ("logs", ""):
            os.utime(os.path.join(living, name), (then, then))
        old = [_old_session(root, k, hours=1 + k) for k in range(5)]
        with subprocess.Popen([sys.executable, "-c", PROGRAM], **start) as second:
            own = second.stdout.readline().strip()
            wait_for(lambda: not any(map(os.path.exists, old[2:])), "the oldest are gone", 30)
            assert all(map(os.path.exists, [*old[:2], living, own]))
            second.communicate("\n", timeout=60)
        assert os.path.isdir(os.path.join(own, "logs"))  # ended, and there to be looked at
        first.communicate("\n", timeout=60)


def test_log_files_of_dead_workers_are_bounded_and_their_lines_still_come(monkeypatch, capfd):
    import whipray

    monkeypatch.setenv("WHIPRAY_DEAD_WORKER_LOGS_COUNT", "3")
    context = whipray.init(num_cpus=1, object_store_memory=400_000_000)
    logs = os.path.join(context.address_info["session_dir"], "logs")
    try:

        @whipray.remote(max_calls=1)
        def f(k):
            print(f"line {k:03d}", flush=True)
            return os.getpid()

        pids = [whipray.get(f.remote(k)) for k in range(12)]
        assert len(set(pids)) == 12

        def dead_logs():
            found = {
                int(n.rsplit("-", 1)[1].split(".")[0])
                for n in os.listdir(logs)
                if n[:7] == "worker-"
            }
            return found & set(pids)

        wait_for(
            lambda: dead_logs() == set(pids[-3:]), "only the newest dead workers have files", 30
        )
        printed = ""

        def all_came():
            nonlocal printed
            printed += "".join(capfd.readouterr())
            return all(f"line {k:03d}" in printed for k in range(12))

        wait_for(all_came, "each worker's line is with the driver", 30)
    finally:
        whipray.shutdown()
