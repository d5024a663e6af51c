"""Algorithms in the driver alone: results, evaluation, weights, checkpoints."""

import hashlib
import json
import math

import numpy as np
import pytest
from whipray.rl import DefaultModelConfig, PPOConfig, RLModule
from whipray.rl.algorithm import Algorithm


def small(**training):
    config = (
        PPOConfig()
        .environment("CartPole-v1")
        .env_runners(num_env_runners=0, num_envs_per_env_runner=16)
    )
    config.training(
        train_batch_size_per_learner=512, minibatch_size=128, num_epochs=2, lr=3e-3, value_unit=30.0
    )
    config.training(**training)
    config.rl_module(model_config=DefaultModelConfig(fcnet_hiddens=[32]))
    return config.debugging(seed=3)


def solving():
    """Setting B of ``docs/rl.md``."""
    config = (
        PPOConfig()
        .environment("CartPole-v1")
        .env_runners(num_env_runners=0, num_envs_per_env_runner=32)
    )
    config.training(
        train_batch_size_per_learner=2048,
        minibatch_size=256,
        num_epochs=6,
        lr=7e-3,
        gamma=0.99,
        lambda_=0.95,
        clip_param=0.2,
        entropy_coeff=0.01,
        grad_clip=0.5,
        vf_loss_coeff=0.5,
        value_unit=30.0,
        use_kl_loss=False,
        adam_betas=(0.9, 0.99),
    )
    return config.rl_module(model_config=DefaultModelConfig(fcnet_hiddens=[32]))


RLLIBS_RUNNER_KEYS = {
    "episode_return_mean",
    "episode_return_min",
    "episode_return_max",
    "episode_len_mean",
    "episode_len_min",
    "episode_len_max",
    "episode_duration_sec_mean",
    "num_episodes",
    "num_episodes_lifetime",
    "num_env_steps_sampled",
    "num_env_steps_sampled_lifetime",
    "num_agent_steps_sampled",
    "num_module_steps_sampled",
    "agent_episode_returns_mean",
    "module_episode_returns_mean",
    "timers",
}


def test_results_have_rllibs_keys():
    algo = small(num_epochs=1).build_algo()
    result = algo.train()
    runners = result["env_runners"]
    assert runners["num_env_steps_sampled"] == runners["num_env_steps_sampled_lifetime"] == 512
    assert runners["num_episodes"] > 5
    for key in (
        "episode_return_mean",
        "episode_return_min",
        "episode_return_max",
        "episode_len_mean",
    ):
        assert 5 < runners[key] < 200
    # Measured, not made up: the parts are within the whole, an episode within the sampling.
    timers = result["timers"]
    assert 0 < runners["timers"]["sample"] == timers["env_runner_sampling_timer"]
    assert 0 < timers["learner_update_timer"]
    assert runners["timers"]["sample"] + timers["learner_update_timer"] == pytest.approx(
        result["time_this_iter_s"]
    )
    share = runners["episode_len_mean"] / (512 / 16)  # of the iteration's steps
    assert runners["episode_duration_sec_mean"] == pytest.approx(
        share * runners["timers"]["sample"]
    )
    missing = RLLIBS_RUNNER_KEYS - set(runners)
    assert not missing
    learner = result["learners"]["default_policy"]
    for key in (
        "policy_loss",
        "vf_loss",
        "total_loss",
        "entropy",
        "mean_kl_loss",
        "curr_kl_coeff",
        "vf_explained_var",
        "default_optimizer_learning_rate",
        "gradients_default_optimizer_global_norm",
    ):
        assert math.isfinite(learner[key])
    assert learner["num_module_steps_trained"] == 512
    assert result["learners"]["__all_modules__"]["num_env_steps_trained"] == 512
    for key in (
        "training_iteration",
        "time_this_iter_s",
        "time_total_s",
        "num_env_steps_sampled_lifetime",
        "timers",
        "fault_tolerance",
        "config",
        "done",
        "date",
        "trial_id",
        "pid",
        "hostname",
        "node_ip",
        "time_since_restore",
        "iterations_since_restore",
    ):
        assert key in result
    assert algo.train()["training_iteration"] == algo.iteration == 2
    json.dumps(result)


def test_return_keys_are_absent_until_an_episode_ends():
    config = small()
    config.training(train_batch_size_per_learner=16, minibatch_size=16)
    assert "episode_return_mean" not in config.build_algo().train()["env_runners"]


def test_equal_seeds_give_equal_bits_for_any_number_of_threads():
    def weights(seed, threads):
        algo = small().debugging(seed=seed).learners(num_threads_per_learner=threads).build_algo()
        for _ in range(3):
            algo.train()
        return algo.get_weights()["default_policy"]

    one, two, other = weights(1, 1), weights(1, 2), weights(2, 1)
    assert all(np.array_equal(one[k], two[k]) for k in one)
    assert not all(np.array_equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize("hiddens", [[], [20], [32, 16]])
@pytest.mark.parametrize("activation", ["tanh", "relu", "linear"])
@pytest.mark.parametrize("shared", [True, False])
def test_modules_compute_what_their_weights_say(hiddens, activation, shared):
    # Bound: float32 sums of up to 32 products, and a tanh good to 3e-7.
    config = small()
    config.rl_module(model_config=DefaultModelConfig(hiddens, activation, vf_share_layers=shared))
    algo = config.build_algo()
    algo.train()
    module = algo.get_module()
    obs = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
    out = module.forward_train({"obs": obs})
    w = module.get_state()
    act = {"tanh": np.tanh, "relu": lambda x: np.maximum(x, 0), "linear": lambda x: x}[activation]

    def tower(name):
        x = obs.astype(np.float64)
        for layer in range(len(hiddens)):
            x = act(x @ w[f"{name}.{layer}.weight"].astype(np.float64) + w[f"{name}.{layer}.bias"])
        return x @ w[f"{name}.head.weight"].astype(np.float64).T + w[f"{name}.head.bias"]

    heads = tower("shared") if shared else np.concatenate([tower("policy"), tower("value")], axis=1)
    np.testing.assert_allclose(out["action_dist_inputs"], heads[:, :2], atol=5e-6)
    np.testing.assert_allclose(out["vf_preds"], heads[:, 2] * 30, atol=2e-4)
    np.testing.assert_array_equal(out["vf_preds"], module.compute_values({"obs": obs}))
    assert module.compute_actions(obs[0]) == int(np.argmax(heads[0, :2]))


def test_it_learns_and_evaluation_agrees():
    for seed in (11, 12, 13):
        algo = solving().debugging(seed=seed).build_algo()
        for _ in range(58):  # 118,784 steps
            result = algo.train()
            if result["env_runners"].get("episode_return_mean_best", 0) >= 475:
                break
        assert result["env_runners"]["episode_return_mean_best"] >= 475
        before = algo.get_weights()
        evaluation = algo.evaluate()["env_runners"]
        assert evaluation["num_episodes"] == 10
        assert evaluation["episode_return_mean"] >= 450
        after = algo.get_weights()
        assert all(
            np.array_equal(before["default_policy"][k], after["default_policy"][k])
            for k in before["default_policy"]
        )


def test_the_default_clip_of_the_value_error_is_reported():
    # With values in units of 1, errors of long episodes pass the default vf_clip_param of 10 and
    # are cut.
    algo = small(value_unit=1.0).build_algo()
    assert algo.train()["learners"]["default_policy"]["vf_clip_fraction"] > 0.5


def test_schedules_move_the_rate():
    algo = small(lr=[[0, 1e-3], [1024, 2e-3]], entropy_coeff=[[0, 0.1], [512, 0.0]]).build_algo()
    rates = [algo.train()["learners"]["default_policy"] for _ in range(4)]
    assert [r["default_optimizer_learning_rate"] for r in rates] == pytest.approx(
        [1e-3, 1.5e-3, 2e-3, 2e-3]
    )
    assert [r["curr_entropy_coeff"] for r in rates] == pytest.approx([0.1, 0, 0, 0])


def test_kl_coefficient_follows_its_target():
    algo = small(kl_target=1e-6, lr=1e-2).build_algo()
    assert algo.train()["learners"]["default_policy"]["curr_kl_coeff"] == pytest.approx(0.2)
    assert algo.train()["learners"]["default_policy"]["curr_kl_coeff"] == pytest.approx(0.3)


def test_evaluation_runs_at_its_interval():
    config = small().evaluation(evaluation_interval=2, evaluation_duration=3)
    algo = config.build_algo()
    assert "evaluation" not in algo.train()
    assert algo.train()["evaluation"]["env_runners"]["num_episodes"] == 3


def test_weights_go_round_and_wrong_ones_are_refused():
    a, b = small().build_algo(), small().debugging(seed=9).build_algo()
    b.set_weights(a.get_weights())
    for key, value in a.get_weights()["default_policy"].items():
        np.testing.assert_array_equal(value, b.get_weights()["default_policy"][key])
    parts = dict(a.get_weights()["default_policy"])
    parts["shared.0.bias"] = np.zeros(7)
    with pytest.raises(ValueError, match=r"shared.0.bias has shape \(7,\), not \(32,\)"):
        b.set_weights({"default_policy": parts})
    del parts["shared.0.bias"]
    with pytest.raises(ValueError, match="missing"):
        b.set_weights({"default_policy": parts})
    with pytest.raises(ValueError, match="the only one is 'default_policy'"):
        b.set_weights({"policy": {}})


def test_a_checkpoint_goes_on_bit_for_bit(tmp_path):
    algo = small().build_algo()
    for _ in range(3):
        algo.train()
    path = algo.save_to_path(tmp_path / "here")
    restored = Algorithm.from_checkpoint(path)
    assert (restored.iteration, restored.config.lr) == (3, 3e-3)
    again = small().build_algo()
    again.restore_from_path(path)
    results = [a.train() for a in (algo, restored, again)]
    for other in (restored, again):
        for key, value in algo.get_weights()["default_policy"].items():
            np.testing.assert_array_equal(value, other.get_weights()["default_policy"][key])
    assert len({r["env_runners"]["episode_return_mean"] for r in results}) == 1
    assert results[1]["num_env_steps_sampled_lifetime"] == 4 * 512
    assert results[1]["iterations_since_restore"] == 1
    module = RLModule.from_checkpoint(path)
    assert module.compute_actions(np.zeros(4)) in (0, 1)


def test_a_checkpoint_loads_with_other_environments(tmp_path):
    algo = small().build_algo()
    algo.train()
    path = algo.save_to_path(tmp_path)
    restored = Algorithm.from_checkpoint(path, num_envs_per_env_runner=8)
    for key, value in algo.get_weights()["default_policy"].items():
        np.testing.assert_array_equal(value, restored.get_weights()["default_policy"][key])
    assert restored.train()["training_iteration"] == 2


def test_what_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"is no checkpoint: it has no metadata.json"):
        Algorithm.from_checkpoint(tmp_path)
    algo = small().build_algo()
    path = algo.save_to_path(tmp_path / "good")
    (tmp_path / "good" / "metadata.json").write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        Algorithm.from_checkpoint(path)


CHECKPOINT = "learner_group/learner/rl_module/default_policy/"


@pytest.mark.parametrize("damage", ["cut", "emptied", "flipped", "removed"])
def test_a_damaged_file_of_a_checkpoint_is_refused_by_its_name(tmp_path, damage):
    algo = small().build_algo()
    path = algo.save_to_path(tmp_path)
    algo.train()
    before = algo.get_weights()["default_policy"]
    names = sorted(str(f.relative_to(tmp_path)) for f in tmp_path.rglob("*") if f.is_file())
    assert len(names) == 8 and f"{CHECKPOINT}weights.npy" in names
    for name in names:
        file = tmp_path / name
        good = file.read_bytes()
        middle = len(good) // 2
        if damage == "removed":
            file.unlink()
        elif damage == "flipped":
            file.write_bytes(good[:middle] + bytes([good[middle] ^ 0x81]) + good[middle + 1 :])
        else:
            file.write_bytes(good[: middle if damage == "cut" else 0])
        for load in (Algorithm.from_checkpoint, algo.restore_from_path):
            with pytest.raises(ValueError, match=name.rsplit("/", 1)[-1]) as caught:
                load(path)
            if damage != "removed" and name != "metadata.json":
                assert str(file) in str(caught.value) and "is damaged" in str(caught.value)
        if name.startswith(CHECKPOINT):
            for where in (tmp_path, tmp_path / CHECKPOINT):
                with pytest.raises(ValueError, match=name.rsplit("/", 1)[-1]):
                    RLModule.from_checkpoint(where)
        file.write_bytes(good)
    after = algo.get_weights()["default_policy"]
    assert all(np.array_equal(before[k], after[k]) for k in before)
    Algorithm.from_checkpoint(path).stop()
    RLModule.from_checkpoint(tmp_path / CHECKPOINT)


@pytest.mark.parametrize(
    "name", ["env_runner/0_16.bin", "learner_group/learner/state.bin", f"{CHECKPOINT}weights.npy"]
)
def test_contents_that_no_saver_wrote_are_refused_by_their_files_name(tmp_path, name):
    algo = small().build_algo()
    path = algo.save_to_path(tmp_path)
    file = tmp_path / name
    file.write_bytes(file.read_bytes()[:-4])
    for folder in (tmp_path / CHECKPOINT, tmp_path):  # the inner one is a file of the outer one
        metadata = json.loads((folder / "metadata.json").read_text())
        for key, noted in metadata["files"].items():
            data = (folder / key).read_bytes()
            noted.update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        (folder / "metadata.json").write_text(json.dumps(metadata))
    with pytest.raises(ValueError, match=f"{name} is damaged"):
        Algorithm.from_checkpoint(path)


def test_what_rllibs_algorithm_has_besides_is_named():
    algo = small().build_algo()
    for name in ("learner_group", "env_runner_group", "add_module", "metrics"):
        with pytest.raises(NotImplementedError, match=name):
            getattr(algo, name)
        assert not hasattr(algo, name)
    with pytest.raises(AttributeError, match="did you mean 'evaluate'"):
        algo.evalute  # noqa: B018


def test_a_stopped_algorithm_says_so():
    algo = small().build_algo()
    algo.stop()
    algo.stop()
    with pytest.raises(RuntimeError, match="was stopped"):
        algo.train()
