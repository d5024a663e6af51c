"""Rows about failures."""

from __future__ import annotations

import os
import tempfile
import time

from common import check, clock, emit, main, size, start

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
            f.write(repr(time.time()))
        os.rename(path + ".tmp", path)
        os._exit(1)
    return time.time()


@ray.remote(max_restarts=-1, max_task_retries=-1, num_cpus=0)
class Survivor:
    def ping(self):
        import os

        return os.getpid()


def worker_exit() -> None:
    ray.get([noop.remote() for _ in range(200)])
    out = []
    with tempfile.TemporaryDirectory() as folder:
        for k in range(size(9, 2)):
            path = os.path.join(folder, str(k))
            ray.get(exit_once.remote(path))
            with open(path) as f:
                out.append((time.time() - float(f.read())) * 1e3)
            time.sleep(0.3)  # so that each round begins with idle workers
    emit("failure.worker_exit_to_result", out, "ms")


def actor_kill() -> None:
    a = Survivor.remote()
    pid = ray.get(a.ping.remote())
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
        check(new != os.getpid(), "a new process")
        pid = new
        time.sleep(0.3)
    emit("failure.actor_kill_to_answer", out, "ms")


if __name__ == "__main__":
    main({"worker_exit": worker_exit, "actor_kill": actor_kill})
    ray.shutdown()
