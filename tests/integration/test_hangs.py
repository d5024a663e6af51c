"""Processes of the cluster that hang instead of ending: nobody waits for them for ever."""

from __future__ import annotations

import os
import signal

import pytest
from cluster import alive, children_of, command_of, daemon, run_driver, wait_for


def fork_servers() -> list[int]:
    """Fork servers of this process's cluster that are no forks of one."""
    raylet = daemon("raylet")
    found = []
    for pid in children_of(raylet):
        with open(f"/proc/{pid}/stat") as f:
            parent = int(f.read().rsplit(")", 1)[1].split()[1])
        if parent == raylet and "_private.fork_server" in command_of(pid):
            found.append(pid)
    return found


@pytest.mark.timeout(180)
def test_a_fork_server_that_hangs_is_replaced_and_its_drivers_tasks_run():
    import whipray as ray
    from whipray._private import session

    context = ray.init(
        num_cpus=2,
        log_to_driver=False,
        _system_config={"worker_register_timeout_seconds": 5},
    )
    try:
        [server] = wait_for(fork_servers, "a fork server")
        wait_for(lambda: session.call("status")["counts"]["workers_starting"] == 0, "warm", 30)
        os.kill(server, signal.SIGSTOP)
        other = """
import whipray as ray
ray.init(address=%r)
@ray.remote
def f():
    return 41
print(ray.get(f.remote(), timeout=100) + 1)
""" % context.address_info["address"]
        assert run_driver(other, timeout=120).stdout.split() == ["42"]
        assert not alive(server)
        wait_for(lambda: session.call("status")["counts"]["jobs"] == 1, "the other job is gone", 30)
    finally:
        ray.shutdown()


@pytest.mark.timeout(180)
def test_tasks_whose_interpreter_hangs_fail_and_name_the_log(tmp_path):
    import whipray as ray
    from whipray._private import session

    (tmp_path / "sitecustomize.py").write_text("import time\ntime.sleep(1000)\n")
    ray.init(
        num_cpus=1,
        log_to_driver=False,
        _system_config={"worker_register_timeout_seconds": 4},
    )
    try:

        @ray.remote
        def f():
            return 1

        assert ray.get(f.remote(), timeout=60) == 1
        stuck = f.options(runtime_env={"env_vars": {"PYTHONPATH": str(tmp_path)}}).remote()
        with pytest.raises(ray.exceptions.RuntimeEnvSetupError) as failed:
            ray.get(stuck, timeout=120)
        text = str(failed.value)
        assert "3 times in a row" in text and "within 4 s" in text, text
        assert "fork_server_" in text and ".log" in text, text
        assert ray.get(f.remote(), timeout=60) == 1  # the others were not disturbed
        wait_for(
            lambda: session.call("status")["counts"]["workers_starting"] == 0, "nothing starts", 30
        )
        wait_for(lambda: len(fork_servers()) == 1, "the server that hung is gone", 30)
    finally:
        ray.shutdown()


@pytest.mark.timeout(180)
def test_a_fork_server_that_is_stopped_when_it_shall_end_is_killed():
    import whipray as ray

    ray.init(
        num_cpus=1,
        log_to_driver=False,
        _system_config={"worker_register_timeout_seconds": 5, "env_server_idle_ms": 100},
    )
    try:

        @ray.remote(runtime_env={"env_vars": {"WR_TEST_HANGS": "1"}})
        class Holder:
            def pid(self):
                return os.getpid()

        holder = Holder.remote()
        worker = ray.get(holder.pid.remote(), timeout=60)
        [server] = [pid for pid in fork_servers() if worker in children_of(pid)]
        os.kill(server, signal.SIGSTOP)
        ray.kill(holder)
        wait_for(lambda: not alive(server), "the stopped server is gone", 60)
    finally:
        ray.shutdown()
