"""ray-compat section 9: RuntimeContext, and get_gpu_ids."""

import pytest
import ray

pytestmark = pytest.mark.usefixtures("cluster")


@ray.remote
def ids():
    context = ray.get_runtime_context()
    return {
        "job": context.get_job_id(),
        "node": context.get_node_id(),
        "worker": context.get_worker_id(),
        "task": context.get_task_id(),
        "actor": context.get_actor_id(),
        "name": context.get_task_name(),
        "function": context.get_task_function_name(),
        "assigned": context.get_assigned_resources(),
    }


@ray.remote
class Actor:
    def ids(self):
        context = ray.get_runtime_context()
        return {
            "actor": context.get_actor_id(),
            "name": context.get_actor_name(),
            "task": context.get_task_id(),
            "reconstructed": context.was_current_actor_reconstructed,
        }


def test_ids_on_the_driver():
    context = ray.get_runtime_context()
    assert len(context.get_job_id()) == 8
    assert len(context.get_node_id()) == 56
    assert len(context.get_worker_id()) == 56
    assert context.get_task_id() is None
    assert context.get_actor_id() is None
    assert context.get_actor_name() is None


def test_ids_in_a_task():
    context = ray.get_runtime_context()
    ref = ids.remote()
    found = ray.get(ref)
    assert found["job"] == context.get_job_id()
    assert found["node"] == context.get_node_id()
    assert found["worker"] != context.get_worker_id()
    assert found["task"] == ref.task_id().hex()
    assert found["actor"] is None
    assert found["name"] == "ids"
    assert found["function"].endswith("ids")
    assert found["assigned"]["CPU"] == 1


def test_ids_in_an_actor():
    actor = Actor.options(name="context").remote()
    ref = actor.ids.remote()
    found = ray.get(ref)
    assert found["actor"] == actor._actor_id.hex()
    assert found["name"] == "context"
    assert found["task"] == ref.task_id().hex()
    assert found["reconstructed"] is False


def test_namespace():
    assert ray.get_runtime_context().namespace == "compat"


def test_gcs_address(cluster):
    assert ":" in ray.get_runtime_context().gcs_address
    assert cluster.address_info["gcs_address"] == ray.get_runtime_context().gcs_address


def test_current_actor_outside():
    with pytest.raises(RuntimeError):
        ray.get_runtime_context().current_actor  # noqa: B018


def test_accelerator_ids():
    assert ray.get_runtime_context().get_accelerator_ids().get("GPU") == []


def test_assigned_resources_on_the_driver():
    with pytest.raises(AssertionError):
        ray.get_runtime_context().get_assigned_resources()


def test_is_canceled_on_the_driver():
    with pytest.raises(RuntimeError):
        ray.get_runtime_context().is_canceled()


def test_is_canceled_in_a_task():
    @ray.remote
    def look():
        return ray.get_runtime_context().is_canceled()

    assert ray.get(look.remote()) is False


def test_placement_group_id():
    assert ray.get_runtime_context().get_placement_group_id() is None


def test_runtime_env():
    @ray.remote(runtime_env={"env_vars": {"A": "1"}})
    def look():
        context = ray.get_runtime_context()
        return dict(context.runtime_env)["env_vars"], context.get_runtime_env_string()

    variables, text = ray.get(look.remote())
    assert variables["A"] == "1" and '"A"' in text


def test_session(cluster):
    context = ray.get_runtime_context()
    assert context.get_session_name().startswith("session_")
    assert context.get_temp_dir() in cluster.address_info["session_dir"]


def test_node_labels():
    assert isinstance(ray.get_runtime_context().get_node_labels(), dict)


def test_capture_child_tasks():
    assert not ray.get_runtime_context().should_capture_child_tasks_in_placement_group


def test_old_spellings():
    context = ray.get_runtime_context()
    assert context.job_id.hex() == context.get_job_id()
    assert context.node_id.hex() == context.get_node_id()
    assert context.get()["job_id"] == context.job_id
    assert isinstance(context.get_resource_ids(), dict)


def test_get_gpu_ids():
    @ray.remote
    def gpus():
        return ray.get_gpu_ids()

    assert ray.get(gpus.remote()) == []
