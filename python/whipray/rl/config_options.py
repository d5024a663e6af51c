"""What configurations take: options with defaults and checks; the network's fields."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from whipray import _rl
from whipray._private.suggest import nearest
from whipray.rl.options import (
    Option,
    flag,
    not_built,
    number,
    one_of,
    schedule,
    whole,
)


@dataclass(repr=False)
class DefaultModelConfig:
    """The network: RLlib's fields. Convolutions, LSTMs and separate head layers are not built yet.

    Attributes
    ----------
    fcnet_hiddens : list of int
        Widths of the hidden layers; may be empty.
    fcnet_activation : {"tanh", "relu", "linear"}
        Of every hidden layer.
    vf_share_layers : bool
        One network with two heads, or one for the policy and one for the value.
    """

    fcnet_hiddens: list[int] = field(default_factory=lambda: [256, 256])
    fcnet_activation: str = "tanh"
    fcnet_kernel_initializer: Any = None
    fcnet_kernel_initializer_kwargs: Any = None
    fcnet_bias_initializer: Any = None
    fcnet_bias_initializer_kwargs: Any = None
    conv_filters: Any = None
    conv_activation: str = "relu"
    head_fcnet_hiddens: list[int] = field(default_factory=list)
    head_fcnet_activation: str = "relu"
    vf_share_layers: bool = True
    free_log_std: bool = False
    log_std_clip_param: float = 20.0
    use_lstm: bool = False
    max_seq_len: int = 20
    lstm_cell_size: int = 256

    def __new__(cls, *args: Any, **given: Any) -> Self:
        """Refuse an unknown field before the dataclass does, and name the nearest."""
        del args
        known = {f.name for f in dataclasses.fields(cls)}
        for name in given:
            if name not in known:
                raise TypeError(f"DefaultModelConfig has no '{name}'{nearest(name, known)}")
        return super().__new__(cls)

    def __repr__(self) -> str:
        plain = {f.name: f.default for f in dataclasses.fields(self)}
        plain["head_fcnet_hiddens"] = []
        shown = {k: v for k, v in vars(self).items() if k in _MODEL_BUILT or v != plain[k]}
        return f"DefaultModelConfig({', '.join(f'{k}={v!r}' for k, v in shown.items())})"


_MODEL_BUILT = {"fcnet_hiddens", "fcnet_activation", "vf_share_layers"}


def _model_config(name: str, value: Any) -> DefaultModelConfig:
    fields = {f.name for f in dataclasses.fields(DefaultModelConfig)}
    if value is None:
        value = {}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a DefaultModelConfig or a dict, not {value!r}")
    for key in value:
        if key not in fields:
            raise TypeError(f"{name} has no '{key}'{nearest(str(key), fields)}")
    model = DefaultModelConfig(**value)
    plain = DefaultModelConfig()
    for f in fields - _MODEL_BUILT:
        if getattr(model, f) != getattr(plain, f):
            raise NotImplementedError(
                f"{name}: {f}={getattr(model, f)!r} is not built yet; "
                f"only {getattr(plain, f)!r} is."
            )
    if isinstance(model.fcnet_hiddens, str) or not hasattr(model.fcnet_hiddens, "__iter__"):
        raise TypeError(f"fcnet_hiddens must be a list of int, not {model.fcnet_hiddens!r}")
    width = whole(1, 4096)
    model.fcnet_hiddens = [width("a width in fcnet_hiddens", w) for w in model.fcnet_hiddens]
    one_of("tanh", "relu", "linear")("fcnet_activation", model.fcnet_activation)
    flag("vf_share_layers", model.vf_share_layers)
    return model


def _env(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise NotImplementedError(
            f"{name}={value!r}: environments are those in C, by name: "
            f"{', '.join(_rl.environments())}."
        )
    _rl.check_config({"env": value})
    return value


def _grad_clip_by(name: str, value: Any) -> str:
    one_of("global_norm", "value", "norm")(name, value)
    if value != "global_norm":
        raise NotImplementedError(f"{name}={value!r} is not built yet; only 'global_norm' is.")
    return str(value)


def _fragment(name: str, value: Any) -> Any:
    return value if value == "auto" else whole(1)(name, value)


def _learners(name: str, value: Any) -> int:
    count = int(whole(0)(name, value))
    if count > 1:
        raise NotImplementedError(
            f"{name}={count} is not built yet; 0 (in the driver) and 1 (an actor) are."
        )
    return count


def _auto_or_number(name: str, value: Any) -> Any:
    return value if value == "auto" else number(0)(name, value)


def _threads(name: str, value: Any) -> Any:
    return value if value == "auto" else whole(1, 64)(name, value)


def _seed(name: str, value: Any) -> Any:
    return None if value is None else whole(0, 2**64 - 1)(name, value)


def _betas(name: str, value: Any) -> tuple[float, float]:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise TypeError(f"{name} must be a pair of numbers, not {value!r}")
    first, second = (number(0, 1, below=True)(name, b) for b in value)
    return (first, second)


def _interval(name: str, value: Any) -> Any:
    return None if value is None else whole(1)(name, value)


def _evaluation_config(name: str, value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    from whipray.rl.config import AlgorithmConfig  # which is made of this module

    if isinstance(value, AlgorithmConfig):
        raise NotImplementedError(
            f"{name} must be a dict with 'explore'; whole configs are not built yet."
        )
    given = dict(value)
    for key in given:
        if key != "explore":
            raise NotImplementedError(f"{name}: '{key}' is not built yet; only 'explore' is.")
    return given


# Method -> keyword -> option. The order is that of RLlib's documentation; those that are Whipray's
# own are last.
OPTIONS: dict[str, dict[str, Option]] = {
    "environment": {
        "env": Option(None, _env),
        "env_config": not_built({}),
        "observation_space": not_built(),
        "action_space": not_built(),
        "render_env": not_built(False),
        "clip_rewards": not_built(),
        "normalize_actions": Option(True, flag),  # the actions are discrete: nothing to normalise
        "clip_actions": not_built(False),
        "disable_env_checking": Option(False, flag),
        "is_atari": not_built(),
        "action_mask_key": not_built("action_mask"),
    },
    "env_runners": {
        "env_runner_cls": not_built(),
        "num_env_runners": Option(0, whole(0, 1024)),
        "create_local_env_runner": not_built(True),
        "create_env_on_local_worker": not_built(False),
        "num_envs_per_env_runner": Option(1, whole(1, 2**20)),
        "gym_env_vectorize_mode": not_built("sync"),
        "num_cpus_per_env_runner": Option(1, number(0)),
        "num_gpus_per_env_runner": not_built(0),
        "custom_resources_per_env_runner": not_built({}),
        "validate_env_runners_after_construction": Option(True, flag),
        "sample_timeout_s": Option(60.0, number(0, above=True, infinite=True)),
        "max_requests_in_flight_per_env_runner": not_built(1),
        "env_to_module_connector": not_built(),
        "module_to_env_connector": not_built(),
        "add_default_connectors_to_env_to_module_pipeline": not_built(True),
        "add_default_connectors_to_module_to_env_pipeline": not_built(True),
        "episode_lookback_horizon": not_built(1),
        "merge_env_runner_states": not_built("training_only"),
        "broadcast_env_runner_states": not_built(True),
        "compress_observations": not_built(False),
        "rollout_fragment_length": Option("auto", _fragment),
        "batch_mode": not_built("truncate_episodes"),
        "explore": not_built(True),
        "use_env_runner_state_server": not_built(False),
        "enable_connectors": not_built(True),
        "exploration_config": not_built(),
        "remote_worker_envs": not_built(False),
        "remote_env_batch_wait_ms": not_built(0),
        "preprocessor_pref": not_built(),
        "observation_filter": not_built("NoFilter"),
        "update_worker_filter_stats": not_built(True),
        "sampler_perf_stats_ema_coef": not_built(),
    },
    "learners": {
        "num_learners": Option(0, _learners),
        "num_cpus_per_learner": Option("auto", _auto_or_number),
        "num_gpus_per_learner": not_built(0),
        "num_aggregator_actors_per_learner": not_built(0),
        "max_requests_in_flight_per_aggregator_actor": not_built(3),
        "local_gpu_idx": not_built(0),
        "max_requests_in_flight_per_learner": not_built(3),
        "learner_class": not_built(),
        "learner_connector": not_built(),
        "add_default_connectors_to_learner_pipeline": not_built(True),
        "learner_config_dict": not_built({}),
        "num_threads_per_learner": Option("auto", _threads),
    },
    "training": {
        "gamma": Option(0.99, number(0, 1)),
        "lr": Option(0.001, schedule(0)),
        "grad_clip": Option(None, number(0, above=True, optional=True, infinite=True)),
        "grad_clip_by": Option("global_norm", _grad_clip_by),
        "train_batch_size_per_learner": Option(None, whole(1)),
        "train_batch_size": not_built(None, "Use train_batch_size_per_learner."),
        "num_epochs": Option(1, whole(1)),
        "minibatch_size": Option(None, lambda n, v: None if v is None else whole(1)(n, v)),
        "shuffle_batch_per_epoch": not_built(True),
        "model": not_built(None, "Use .rl_module(model_config=...)."),
        "learner_class": not_built(),
        "learner_config_dict": not_built({}),
    },
    "rl_module": {
        "model_config": Option(None, _model_config),
        "rl_module_spec": not_built(),
        "algorithm_config_overrides_per_module": not_built(),
    },
    "evaluation": {
        "evaluation_interval": Option(None, _interval),
        "evaluation_duration": Option(10, whole(1)),
        "evaluation_duration_unit": not_built("episodes"),
        "evaluation_num_env_runners": not_built(0),
        "evaluation_parallel_to_training": not_built(False),
        "evaluation_config": Option(None, _evaluation_config),
        "evaluation_sample_timeout_s": not_built(120.0),
        "evaluation_force_reset_envs_before_iteration": not_built(True),
        "evaluation_auto_duration_min_env_steps_per_sample": not_built(100),
        "evaluation_auto_duration_max_env_steps_per_sample": not_built(2000),
        "custom_evaluation_function": not_built(),
        "offline_evaluation_interval": not_built(),
        "num_offline_eval_runners": not_built(0),
        "offline_evaluation_type": not_built(),
        "offline_eval_runner_class": not_built(),
        "offline_loss_for_module_fn": not_built(),
        "offline_evaluation_duration": not_built(1),
        "offline_evaluation_parallel_to_training": not_built(False),
        "offline_evaluation_timeout_s": not_built(120.0),
        "always_attach_evaluation_results": not_built(),
        "evaluation_num_workers": not_built(0, "RLlib calls it evaluation_num_env_runners."),
    },
    "debugging": {
        "logger_creator": not_built(),
        "logger_config": not_built(),
        "log_level": Option("WARN", one_of("DEBUG", "INFO", "WARN", "WARNING", "ERROR")),
        "log_sys_usage": Option(True, flag),
        "seed": Option(None, _seed),
    },
    "reporting": {
        "metrics_num_episodes_for_smoothing": Option(100, whole(1, 2**20)),
        "keep_per_episode_custom_metrics": not_built(False),
        "min_time_s_per_iteration": not_built(None),
        "min_train_timesteps_per_iteration": not_built(0),
        "min_sample_timesteps_per_iteration": not_built(0),
        "log_gradients": not_built(False),
    },
    "checkpointing": {
        "export_native_model_files": not_built(False),
        "checkpoint_trainable_policies_only": not_built(False),
    },
    "fault_tolerance": {
        "restart_failed_env_runners": Option(True, flag),
        "ignore_env_runner_failures": not_built(False, "A batch needs every environment."),
        "max_num_env_runner_restarts": Option(1000, whole(0)),
        "delay_between_env_runner_restarts_s": not_built(60.0, "Runners are replaced at once."),
        "restart_failed_sub_environments": not_built(False),
        "num_consecutive_env_runner_failures_tolerance": not_built(100),
        "env_runner_health_probe_timeout_s": not_built(30.0),
        "env_runner_restore_timeout_s": not_built(1800.0),
    },
    "resources": {
        "num_cpus_for_main_process": not_built(1),
        "placement_strategy": not_built("PACK"),
        "num_gpus": not_built(0),
    },
    "multi_agent": {
        "policies": not_built(),
        "policy_mapping_fn": not_built(),
        "policies_to_train": not_built(),
        "count_steps_by": not_built("env_steps"),
        "algorithm_config_overrides_per_module": not_built(),
        "policy_map_capacity": not_built(100),
        "policy_states_are_swappable": not_built(False),
        "observation_fn": not_built(),
    },
    "callbacks": {
        name: not_built()
        for name in (
            "callbacks_class",
            "on_algorithm_init",
            "on_train_result",
            "on_evaluate_start",
            "on_evaluate_end",
            "on_evaluate_offline_start",
            "on_evaluate_offline_end",
            "on_env_runners_recreated",
            "on_offline_eval_runners_recreated",
            "on_checkpoint_loaded",
            "on_environment_created",
            "on_episode_created",
            "on_episode_start",
            "on_episode_step",
            "on_episode_end",
            "on_sample_end",
        )
    },
    "offline_data": {
        "input_": not_built("sampler"),
        "offline_data_class": not_built(),
        "input_read_method": not_built("read_parquet"),
        "input_read_method_kwargs": not_built({}),
        "input_read_schema": not_built({}),
        "input_read_episodes": not_built(False),
        "input_read_sample_batches": not_built(False),
        "input_read_batch_size": not_built(),
        "input_filesystem": not_built(),
        "input_filesystem_kwargs": not_built({}),
        "input_compress_columns": not_built(),
        "materialize_data": not_built(True),
        "materialize_mapped_data": not_built(True),
        "map_batches_kwargs": not_built({}),
        "iter_batches_kwargs": not_built({}),
        "ignore_final_observation": not_built(False),
        "prelearner_class": not_built(),
        "prelearner_buffer_class": not_built(),
        "prelearner_buffer_kwargs": not_built({}),
        "prelearner_module_synch_period": not_built(10),
        "dataset_num_iters_per_learner": not_built(),
        "input_config": not_built({}),
        "actions_in_input_normalized": not_built(False),
        "postprocess_inputs": not_built(False),
        "shuffle_buffer_size": not_built(0),
        "output": not_built(),
        "output_config": not_built({}),
        "output_compress_columns": not_built(),
        "output_max_file_size": not_built(),
        "output_max_rows_per_file": not_built(),
        "output_write_remaining_data": not_built(False),
        "output_write_method": not_built("write_parquet"),
        "output_write_method_kwargs": not_built(),
        "output_filesystem": not_built(),
        "output_filesystem_kwargs": not_built({}),
        "output_write_episodes": not_built(True),
        "offline_sampling": not_built(False),
    },
    "experimental": {
        "_validate_config": not_built(True),
        "_use_msgpack_checkpoints": not_built(False),
        "_torch_grad_scaler_class": not_built(),
        "_torch_lr_scheduler_classes": not_built(),
        "_tf_policy_handles_more_than_one_loss": not_built(False),
        "_disable_preprocessor_api": not_built(False),
        "_disable_action_flattening": not_built(False),
        "_disable_initialize_loss_from_dummy_batch": not_built(False),
    },
    "python_environment": {
        "extra_python_environs_for_driver": not_built({}),
        "extra_python_environs_for_worker": not_built({}),
    },
    "framework": {
        "framework": Option(
            "torch", one_of("torch")
        ),  # accepted: the networks are native either way
        "torch_compile_learner": not_built(False),
        "torch_compile_worker": not_built(False),
        "torch_compile_learner_what_to_compile": not_built(),
        "torch_compile_learner_dynamo_mode": not_built(),
        "torch_compile_learner_dynamo_backend": not_built(),
        "torch_compile_worker_dynamo_backend": not_built(),
        "torch_compile_worker_dynamo_mode": not_built(),
        "torch_ddp_kwargs": not_built(),
        "torch_skip_nan_gradients": not_built(False),
        "eager_tracing": not_built(),
        "eager_max_retraces": not_built(),
        "tf_session_args": not_built(),
        "local_tf_session_args": not_built(),
    },
    "api_stack": {
        "enable_rl_module_and_learner": not_built(True),
        "enable_env_runner_and_connector_v2": not_built(True),
    },
}

PPO_OPTIONS = {
    "lambda_": Option(1.0, number(0, 1)),
    "use_critic": not_built(True),
    "use_gae": not_built(True),
    "use_kl_loss": Option(True, flag),
    "kl_coeff": Option(0.2, number(0)),
    "kl_target": Option(0.01, number(0)),
    "vf_loss_coeff": Option(1.0, number(0)),
    "entropy_coeff": Option(0.0, schedule(0)),
    "clip_param": Option(0.3, number(0, above=True, infinite=True)),
    "vf_clip_param": Option(10.0, number(0, above=True, optional=True, infinite=True)),
    "entropy_coeff_schedule": not_built(None, "Give entropy_coeff a list."),
    "lr_schedule": not_built(None, "Give lr a list."),
    "vf_share_layers": not_built(None, "Use DefaultModelConfig(vf_share_layers=...)."),
    # Whipray's own:
    "value_unit": Option(1.0, number(0, above=True)),
    "adam_betas": Option((0.9, 0.999), _betas),
    "adam_epsilon": Option(1e-5, number(0, above=True)),
    "gradient_slices": Option(2, whole(1, 16)),
}
