"""Configurations: RLlib's names and defaults; what is wrong is refused at the call, with the
nearest right thing."""

import copy
import pickle

import pytest
from whipray.rl import PPO, DefaultModelConfig, PPOConfig


def test_defaults_are_rllibs():
    config = PPOConfig()
    expected = {
        "lr": 5e-5,
        "train_batch_size_per_learner": 4000,
        "num_epochs": 30,
        "minibatch_size": 128,
        "lambda_": 1.0,
        "use_kl_loss": True,
        "kl_coeff": 0.2,
        "kl_target": 0.01,
        "vf_loss_coeff": 1.0,
        "vf_clip_param": 10.0,
        "entropy_coeff": 0.0,
        "clip_param": 0.3,
        "num_env_runners": 2,
        "gamma": 0.99,
        "num_envs_per_env_runner": 1,
        "num_learners": 0,
        "grad_clip": None,
        "rollout_fragment_length": "auto",
        "evaluation_interval": None,
        "evaluation_duration": 10,
    }
    assert {name: getattr(config, name) for name in expected} == expected
    model = config.model_config
    assert (model.fcnet_hiddens, model.fcnet_activation, model.vf_share_layers) == (
        [256, 256],
        "tanh",
        True,
    )


def test_methods_chain_and_set():
    config = (
        PPOConfig()
        .environment("CartPole-v1")
        .env_runners(num_env_runners=3, num_envs_per_env_runner=4, rollout_fragment_length=50)
        .learners(num_learners=1)
        .training(lr=0.01, train_batch_size_per_learner=600, minibatch_size=100, grad_clip=0.5)
        .rl_module(model_config={"fcnet_hiddens": [8], "fcnet_activation": "relu"})
        .debugging(seed=7)
    )
    native = config.native()
    assert (native["env_count"], native["fragment_steps"], native["seed"]) == (12, 50, 7)
    assert (native["hidden"], native["activation"], native["grad_clip"]) == ((8,), "relu", 0.5)
    config.validate()


@pytest.mark.parametrize(
    ("method", "options", "error", "text"),
    [
        (
            "training",
            {"learning_rate": 1},
            TypeError,
            "unexpected keyword 'learning_rate'; it is called 'lr'",
        ),
        ("training", {"clip_parm": 0.1}, TypeError, "did you mean 'clip_param'"),
        ("training", {"num_env_runners": 1}, TypeError, r"it belongs to \.env_runners\(\)"),
        ("env_runners", {"num_env_runner": 1}, TypeError, "did you mean 'num_env_runners'"),
        ("training", {"lr": "fast"}, TypeError, "lr must be a number"),
        ("training", {"lr": -1}, ValueError, "lr is -1: it must be at least 0"),
        ("training", {"lr": [[5, 1e-3]]}, ValueError, "must start at step 0"),
        (
            "training",
            {"minibatch_size": 0},
            ValueError,
            "minibatch_size is 0: the nearest allowed is 1",
        ),
        ("training", {"num_epochs": 2.5}, TypeError, "num_epochs must be an int"),
        ("training", {"use_gae": False}, NotImplementedError, "use_gae=False is not built yet"),
        ("training", {"grad_clip_by": "value"}, NotImplementedError, "only 'global_norm'"),
        ("training", {"grad_clip_by": "globalnorm"}, ValueError, "did you mean 'global_norm'"),
        ("training", {"train_batch_size": 5}, NotImplementedError, "train_batch_size_per_learner"),
        ("learners", {"num_learners": 2}, NotImplementedError, "num_learners=2"),
        ("learners", {"num_gpus_per_learner": 1}, NotImplementedError, "num_gpus_per_learner"),
        ("environment", {"env": "CartPole-v0"}, ValueError, "did you mean 'CartPole-v1'"),
        ("environment", {"env": object}, NotImplementedError, "CartPole-v1"),
        (
            "rl_module",
            {"model_config": {"fcnet_hidden": [3]}},
            TypeError,
            "did you mean 'fcnet_hiddens'",
        ),
        (
            "rl_module",
            {"model_config": {"fcnet_activation": "tanhh"}},
            ValueError,
            "did you mean 'tanh'",
        ),
        ("rl_module", {"model_config": {"use_lstm": True}}, NotImplementedError, "use_lstm"),
        ("rl_module", {"model_config": {"fcnet_hiddens": [0]}}, ValueError, "nearest allowed is 1"),
        ("debugging", {"seed": -3}, ValueError, "nearest allowed is 0"),
        ("multi_agent", {"policies": {"a"}}, NotImplementedError, "policies"),
        ("multi_agent", {"policy": {"a"}}, TypeError, "did you mean 'policies'"),
        ("callbacks", {"callbacks_class": object}, NotImplementedError, "callbacks_class"),
        ("callbacks", {"on_train_result": print}, NotImplementedError, "on_train_result"),
        ("callbacks", {"on_train_results": print}, TypeError, "did you mean 'on_train_result'"),
        ("offline_data", {"input_": "x"}, NotImplementedError, "input_"),
        ("offline_data", {"materialize_data": False}, NotImplementedError, "materialize_data"),
        ("offline_data", {"input": "x"}, TypeError, "did you mean 'input_'"),
        (
            "evaluation",
            {"evaluation_parallel_to_training": True},
            NotImplementedError,
            "evaluation_parallel_to_training",
        ),
        (
            "evaluation",
            {"evaluation_num_env_runners": 1},
            NotImplementedError,
            "evaluation_num_env_runners",
        ),
        ("evaluation", {"num_offline_eval_runners": 1}, NotImplementedError, "num_offline_eval"),
        ("evaluation", {"evaluation_intervall": 1}, TypeError, "did you mean 'evaluation_interval"),
        ("experimental", {"_use_msgpack_checkpoints": True}, NotImplementedError, "msgpack"),
        ("env_runners", {"num_workers": 2}, TypeError, "it is called 'num_env_runners'"),
        ("training", {"num_sgd_iter": 2}, TypeError, "it is called 'num_epochs'"),
        ("env_runners", {"sample_timeout_s": 0}, ValueError, "sample_timeout_s is 0"),
        ("framework", {"framework": "tf2"}, ValueError, "'tf2'. Known: 'torch'"),
        ("training", {"gamma": 2}, ValueError, "gamma is 2: it must be at least 0 and at most 1"),
        ("training", {"lambda_": 1.1}, ValueError, "lambda_ is 1.1: it must be .* at most 1"),
        (
            "training",
            {"adam_betas": (0.9, 1)},
            ValueError,
            "adam_betas is 1: it must be .* below 1",
        ),
        ("training", {"lr": float("inf")}, ValueError, "lr is inf: it must be finite"),
        ("training", {"kl_coeff": float("nan")}, ValueError, "kl_coeff is nan"),
    ],
)
def test_what_is_wrong_is_refused_and_changes_nothing(method, options, error, text):
    config = PPOConfig().environment("CartPole-v1")
    before = config.to_dict()
    with pytest.raises(error, match=text):
        getattr(config, method)(**options)
    assert config.to_dict() == before


def test_two_options_of_which_one_is_wrong_set_neither():
    config = PPOConfig()
    with pytest.raises(TypeError):
        config.training(lr=0.5, nonsense=1)
    assert config.lr == 5e-5


def test_values_that_do_not_go_together_are_refused_at_build():
    config = PPOConfig().environment("CartPole-v1").env_runners(num_env_runners=0)
    config.training(train_batch_size_per_learner=100, minibatch_size=200)
    with pytest.raises(ValueError, match="minibatch is 200: the nearest allowed is 100"):
        config.build_algo()
    with pytest.raises(ValueError, match="no environment is set"):
        PPOConfig().build_algo()


def test_names_that_are_not_close_are_not_suggested():
    with pytest.raises(AttributeError) as caught:
        PPOConfig().foo()
    assert "did you mean" not in str(caught.value)
    with pytest.raises(ValueError, match="swish") as refused:
        PPOConfig().rl_module(model_config={"fcnet_activation": "swish"})
    assert "did you mean" not in str(refused.value)


def test_infinity_switches_clipping_off():
    config = PPOConfig().training(clip_param=float("inf"), vf_clip_param=float("inf"))
    assert config.vf_clip_param == float("inf")


def test_frozen_configs_do_not_change_and_copies_do():
    config = PPOConfig().environment("CartPole-v1")
    config.freeze()
    for change in (lambda: config.training(lr=1.0), lambda: setattr(config, "lr", 1.0)):
        with pytest.raises(AttributeError, match="frozen"):
            change()
    assert config.copy().is_frozen
    copy = config.copy(copy_frozen=False).training(lr=1.0)
    assert (config.lr, copy.lr) == (5e-5, 1.0)


def test_unknown_attributes_name_the_nearest():
    config = PPOConfig()
    with pytest.raises(AttributeError, match="did you mean 'multi_agent'"):
        config.multiagent(policies={"a"})
    with pytest.raises(NotImplementedError, match="get_rl_module_spec"):
        config.get_rl_module_spec()
    with pytest.raises(AttributeError, match="did you mean 'gamma'"):
        config.gama
    with pytest.raises(AttributeError, match="did you mean 'gamma'"):
        config.gama = 1


def test_unknown_fields_of_a_model_name_the_nearest():
    with pytest.raises(TypeError, match="no 'fcnet_hidden'; did you mean 'fcnet_hiddens'"):
        DefaultModelConfig(fcnet_hidden=[3])
    model = DefaultModelConfig([8], "relu")
    assert pickle.loads(pickle.dumps(model)) == model == copy.deepcopy(model)


def test_dicts_and_pickles_go_round():
    config = PPOConfig().environment("CartPole-v1").training(lr=[[0, 1e-3], [1000, 1e-4]])
    config.rl_module(model_config=DefaultModelConfig(fcnet_hiddens=[], vf_share_layers=False))
    assert PPOConfig.from_dict(config.to_dict()) == config
    assert pickle.loads(pickle.dumps(config)) == config
    with pytest.raises(TypeError, match="did you mean"):
        PPOConfig.from_dict({"lrr": 1})


def test_rllibs_module_names_are_there():
    import whipray.rllib.algorithms.ppo as ppo
    from whipray.rllib.core.rl_module.default_model_config import DefaultModelConfig as Model

    assert (ppo.PPO, ppo.PPOConfig, Model) == (PPO, PPOConfig, DefaultModelConfig)
