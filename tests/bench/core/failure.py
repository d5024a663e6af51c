"""Rows about failures."""

from __future__ import annotations

import os
import tempfile
import time

from common import check, check_elsewhere, clock, counted, emit, main, size, start

ray = start()


@ray.remote
def noop():
    return None


@ray.remote(max_retries=3)
def exit_once(path):
    import os
    import time

    if not os.path.exists(path):
        with open(path + ".tmp", "w") as f:
            f.write(f"{os.getpid()} {time.time()!r}")
        os.rename(path + ".tmp", path)
        os._exit(1)
    return os.getpid(), time.time()


@ray.remote(max_restarts=-1, max_task_retries=-1, num_cpus=0)
class Survivor:
    def ping(self):
        import os

        return os.getpid()


def worker_exit() -> None:
    check(ray.get([noop.remote() for _ in range(200)]) == [None] * 200, "no-op")
    out = []
    with tempfile.TemporaryDirectory() as folder, counted("failure.worker_exit") as made:
        for k in range(size(9, 2)):
            path = os.path.join(folder, str(k))
            second, ran = ray.get(exit_once.remote(path))
            now = time.time()
            made.made += 2  # the run that exited, and the one that answered
            with open(path) as f:
                first, exited = f.read().split()
            out.append((now - float(exited)) * 1e3)
            check_elsewhere([int(first), second], "the task")
            check(int(first) != second, "the second try has a process of its own")
            check(float(exited) < ran <= now, "the second try came after the first")
            time.sleep(0.3)  # so that each round begins with idle workers
    emit("failure.worker_exit_to_result", out, "ms")


def actor_kill() -> None:
    a = Survivor.remote()
    pid = ray.get(a.ping.remote())
    check_elsewhere([pid], "the actor")
    out = []
    for _ in range(size(9, 2)):
        t = clock()
        os.kill(pid, 9)
        while True:
            try:
                new = ray.get(a.ping.remote(), timeout=30)
            except ray.exceptions.RayError:
                continue
            if new != pid:
                break
        out.append((clock() - t) * 1e3)
        check_elsewhere([new], "the actor")
        with counted("failure.actor_kill") as made:
            check(ray.get([a.ping.remote() for _ in range(10)]) == [new] * 10, "the new process")
            made.made += 10
        pid = new
        time.sleep(0.3)
    emit("failure.actor_kill_to_answer", out, "ms")


if __name__ == "__main__":
    main({"worker_exit": worker_exit, "actor_kill": actor_kill})
    ray.shutdown()
