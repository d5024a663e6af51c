"""Runtime environments: each has processes of its own, with its variables from their beginning."""

from __future__ import annotations

import os

import pytest
from cluster import children_of, command_of, wait_for


def env(**variables: str) -> dict[str, dict[str, str]]:
    return {"env_vars": variables}


def fork_servers() -> list[int]:
    """Fork servers (and not their children) of this process's cluster."""
    found = [p for p in children_of(os.getpid()) if "_private.fork_server" in command_of(p)]
    children = {child for pid in found for child in children_of(pid)}
    return [pid for pid in found if pid not in children]


def test_a_task_imports_a_module_from_the_pythonpath_of_its_environment(ray, tmp_path):
    (tmp_path / "module_of_this_test.py").write_text("ANSWER = 42\n")

    @ray.remote
    def answer():
        import module_of_this_test

        return module_of_this_test.ANSWER, os.environ["PYTHONPATH"]

    f = answer.options(runtime_env=env(PYTHONPATH=str(tmp_path)))
    assert ray.get(f.remote()) == (42, str(tmp_path))
    with pytest.raises(ImportError):
        ray.get(answer.remote())


def test_variables_that_only_count_at_the_start_of_a_process_count(ray):
    @ray.remote
    def hashed():
        return hash("whipray"), dict(os.environ), open("/proc/self/environ").read()

    f = hashed.options(runtime_env=env(PYTHONHASHSEED="7", LD_LIBRARY_PATH="/of/this/test"))
    first, variables, at_exec = ray.get(f.remote())
    other = hashed.options(runtime_env=env(PYTHONHASHSEED="8"))
    assert first != ray.get(other.remote())[0]
    again = hashed.options(runtime_env=env(PYTHONHASHSEED="7"))
    assert first == ray.get(again.remote())[0]
    assert variables["LD_LIBRARY_PATH"] == "/of/this/test"
    assert "LD_LIBRARY_PATH=/of/this/test\0" in at_exec


def test_the_threads_that_an_environment_gives_are_what_numpy_has(ray):
    threadpoolctl = pytest.importorskip("threadpoolctl")
    import numpy as np

    np.ones((2, 2)) @ np.ones((2, 2))
    if not threadpoolctl.threadpool_info():
        pytest.skip("numpy has no BLAS that threadpoolctl knows")

    @ray.remote
    def threads():
        import numpy as np
        import threadpoolctl

        np.ones((2, 2)) @ np.ones((2, 2))
        return {pool["num_threads"] for pool in threadpoolctl.threadpool_info()}

    both = env(OMP_NUM_THREADS="2", OPENBLAS_NUM_THREADS="2")
    assert ray.get(threads.options(runtime_env=both).remote()) == {2}
    assert ray.get(threads.remote()) == {1}


def test_two_environments_never_share_a_worker(ray):
    @ray.remote
    def who():
        return os.getpid(), os.getppid(), os.environ.get("SIDE")

    sides = {"left": who.options(runtime_env=env(SIDE="left")), "": who}
    sides["right"] = who.options(runtime_env=env(SIDE="right"))
    seen = {side: ray.get([f.remote() for _ in range(20)]) for side, f in sides.items()}
    for side, rows in seen.items():
        assert {row[2] for row in rows} == {side or None}
    for k in (0, 1):  # workers, and the fork servers they came from
        left, default, right = ({row[k] for row in seen[side]} for side in ("left", "", "right"))
        assert not left & right and not left & default and not right & default


def test_a_variable_may_name_others_and_have_a_long_name(ray):
    name = "N" * 200

    @ray.remote
    def get():
        return os.environ["PATH"], os.environ.get(name), os.environ.get("LAST")

    wanted = {"PATH": "/first:${PATH}", name: "long", "LAST": "x" * 40_000}
    path, value, last = ray.get(get.options(runtime_env={"env_vars": wanted}).remote())
    assert path == "/first:" + os.environ["PATH"]
    assert (value, last) == ("long", "x" * 40_000)


def test_fork_servers_of_environments_are_few_and_end_when_nobody_needs_them():
    import whipray

    whipray.init(num_cpus=1, log_to_driver=False, _system_config={"env_server_idle_ms": 200})
    try:

        @whipray.remote(max_calls=1)
        def f():
            return os.environ["NUMBER"]

        for k in range(10):
            assert whipray.get(f.options(runtime_env=env(NUMBER=str(k))).remote()) == str(k)
        wait_for(lambda: len(fork_servers()) == 1, "only the default environment has a server", 30)
        assert whipray.get(f.options(runtime_env=env(NUMBER="0")).remote()) == "0"
    finally:
        whipray.shutdown()


def test_log_files_are_bounded_and_no_line_on_its_way_to_the_driver_is_lost(monkeypatch, capfd):
    import whipray

    monkeypatch.setenv("WHIPRAY_ROTATION_MAX_BYTES", "20000")
    monkeypatch.setenv("WHIPRAY_ROTATION_BACKUP_COUNT", "2")
    context = whipray.init(num_cpus=1, object_store_memory=400_000_000)
    logs = os.path.join(context.address_info["session_dir"], "logs")
    try:

        @whipray.remote
        class Writer:
            def write(self, first, count):
                for k in range(first, first + count):
                    print(f"line {k:06d} " + "x" * 80, flush=True)

        writer = Writer.remote()
        printed = ""
        for burst in range(4):
            whipray.get(writer.write.remote(burst * 400, 400))  # 40 KB
            names = [n for n in os.listdir(logs) if n.startswith("worker-") and n.endswith(".out")]
            wait_for(
                lambda names=names: all(
                    os.path.getsize(os.path.join(logs, name)) < 20_000 for name in names
                ),
                "the file of the worker is small again",
            )
        rotated = {name.rsplit(".", 1)[1] for name in os.listdir(logs) if ".out." in name}
        assert rotated == {"1", "2"}
        whipray.get(writer.write.remote(9999, 1))

        def all_came():
            nonlocal printed
            printed += "".join(capfd.readouterr())
            return "line 009999" in printed

        wait_for(all_came, "the last line is with the driver")
        for k in range(1600):
            assert printed.count(f"line {k:06d}") == 1, k
    finally:
        whipray.shutdown()
