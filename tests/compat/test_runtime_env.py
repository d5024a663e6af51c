"""ray-compat section 12: runtime environments (env_vars)."""

import os

import pytest
import ray

pytestmark = pytest.mark.usefixtures("cluster")


@ray.remote
def get_env(name):
    return os.environ.get(name)


def env(**variables):
    return {"env_vars": variables}


def test_env_vars_of_a_task():
    assert ray.get(get_env.options(runtime_env=env(MODE="fast")).remote("MODE")) == "fast"
    assert ray.get(get_env.remote("MODE")) is None


def test_env_vars_of_an_actor():
    @ray.remote(runtime_env=env(ACTOR_MODE="slow"))
    class A:
        def get(self):
            return os.environ["ACTOR_MODE"]

    assert ray.get(A.remote().get.remote()) == "slow"


def test_env_vars_expand():
    ref = get_env.options(runtime_env=env(PATH="/first:${PATH}")).remote("PATH")
    found = ray.get(ref)
    assert found.startswith("/first:") and len(found) > len("/first:")


def test_env_vars_wrong():
    with pytest.raises(TypeError):
        get_env.options(runtime_env=env(A=1)).remote("A")
    with pytest.raises(TypeError):
        get_env.options(runtime_env={"env_vars": {1: "a"}}).remote("A")


def test_env_vars_merge_with_the_parents():
    @ray.remote(runtime_env=env(A="parent", B="parent"))
    def parent():
        child = get_env.options(runtime_env=env(B="child"))
        return ray.get([child.remote("A"), child.remote("B"), get_env.remote("A")])

    assert ray.get(parent.remote()) == ["parent", "child", "parent"]


def test_env_vars_of_the_job(program):
    done = program(
        """
        import os, ray
        ray.init(num_cpus=1, runtime_env={"env_vars": {"JOB": "1", "BOTH": "job"}},
                 include_dashboard=False)

        @ray.remote
        def get(name):
            return os.environ.get(name)

        assert ray.get(get.remote("JOB")) == "1"
        own = get.options(runtime_env={"env_vars": {"BOTH": "task"}})
        print("ENV", *ray.get([own.remote("JOB"), own.remote("BOTH")]))
        """
    )
    assert "ENV 1 task" in done.stdout


def test_workers_are_not_shared_between_environments():
    @ray.remote
    def pid():
        return os.getpid()

    plain = ray.get([pid.remote() for _ in range(4)])
    other = ray.get([pid.options(runtime_env=env(X="1")).remote() for _ in range(4)])
    assert not set(plain) & set(other)


def test_runtime_env_class():
    from ray.runtime_env import RuntimeEnv, RuntimeEnvConfig

    made = RuntimeEnv(env_vars={"A": "1"})
    assert made["env_vars"] == {"A": "1"}
    assert ray.get(get_env.options(runtime_env=made).remote("A")) == "1"
    with pytest.raises(TypeError):
        RuntimeEnv(env_vars={"A": 1})
    with pytest.raises(ValueError):
        RuntimeEnvConfig(setup_timeout_seconds=0)
