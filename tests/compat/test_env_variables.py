"""ray-compat section 21: variables of the environment."""

import os

import pytest
import ray

pytestmark = pytest.mark.usefixtures("no_cluster")


VISIBLE = ("RAY_JOB_ID", "RAY_NODE_ID", "RAY_RAYLET_PID", "OMP_NUM_THREADS")


@ray.remote
def look():
    return {name: os.environ.get(name) for name in VISIBLE}


def test_worker_visible_variables():
    ray.init(num_cpus=1, include_dashboard=False)
    found = ray.get(look.remote())
    assert found["RAY_JOB_ID"] and int(found["RAY_RAYLET_PID"]) > 1
    assert found["OMP_NUM_THREADS"] == "1"


@pytest.mark.differs("Ray's shows none")
def test_worker_visible_ids():
    ray.init(num_cpus=1, include_dashboard=False)
    found = ray.get(look.remote())
    assert found["RAY_JOB_ID"] == ray.get_runtime_context().get_job_id()
    assert found["RAY_NODE_ID"] == ray.get_runtime_context().get_node_id()


def test_tmpdir(program, short_path):
    done = program(
        """
        import ray
        context = ray.init(num_cpus=1, include_dashboard=False)
        print("DIR", context.address_info["session_dir"])
        """,
        env={"RAY_TMPDIR": str(short_path), "WHIPRAY_TMPDIR": ""},
    )
    assert f"DIR {short_path}" in done.stdout


@pytest.mark.differs("also for a driver that was not submitted as a job")
def test_runtime_env_variable(program):
    done = program(
        """
        import os, ray
        ray.init(num_cpus=1, include_dashboard=False)

        @ray.remote
        def look():
            return os.environ.get("GIVEN")

        print("GIVEN", ray.get(look.remote()))
        """,
        env={"RAY_RUNTIME_ENV": '{"env_vars": {"GIVEN": "outside"}}'},
    )
    assert "GIVEN outside" in done.stdout


def test_task_max_retries_variable(program):
    done = program(
        """
        import os, ray

        @ray.remote(num_cpus=0)
        class Tally:
            n = 0
            def add(self):
                self.n += 1
                return self.n

        @ray.remote
        def die(tally):
            ray.get(tally.add.remote())
            os._exit(1)

        ray.init(num_cpus=1, include_dashboard=False)
        tally = Tally.remote()
        try:
            ray.get(die.remote(tally), timeout=60)
        except ray.exceptions.WorkerCrashedError:
            print("RUNS", ray.get(tally.add.remote()) - 1)
        """,
        env={"RAY_TASK_MAX_RETRIES": "1"},
    )
    assert "RUNS 2" in done.stdout


def test_log_to_driver_variable(program):
    done = program(
        """
        import time, ray

        @ray.remote
        def speak():
            print("said in a task")

        ray.init(num_cpus=1, include_dashboard=False)
        ray.get(speak.remote())
        time.sleep(1)
        """,
        env={"RAY_LOG_TO_DRIVER": "0"},
    )
    assert "said in a task" not in done.stdout + done.stderr


def test_cuda_visible_devices():
    ray.init(num_cpus=1, num_gpus=1, include_dashboard=False)

    @ray.remote(num_gpus=0.5)
    def look():
        return os.environ["CUDA_VISIBLE_DEVICES"]

    assert ray.get(look.remote()) == "0"
