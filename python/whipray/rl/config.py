"""Configurations: RLlib's chainable methods, checked at the call."""

from __future__ import annotations

import copy as _copy
import dataclasses
import os
from collections.abc import Mapping
from typing import Any, ClassVar, Self, TypeVar

from whipray import _rl
from whipray._private.suggest import nearest
from whipray.rl.config_options import OPTIONS, PPO_OPTIONS, DefaultModelConfig
from whipray.rl.options import Option

__all__ = [
    "DEFAULT_MODULE_ID",
    "AlgorithmConfig",
    "DefaultModelConfig",
    "PPOConfig",
    "learner_threads",
]

DEFAULT_MODULE_ID = "default_policy"
Config = TypeVar("Config", bound="AlgorithmConfig")

# Names of older versions of RLlib and of other libraries, which are not much like the right ones.
_RENAMED = {
    "num_workers": "num_env_runners",
    "num_rollout_workers": "num_env_runners",
    "num_envs_per_worker": "num_envs_per_env_runner",
    "num_cpus_per_worker": "num_cpus_per_env_runner",
    "sgd_minibatch_size": "minibatch_size",
    "num_sgd_iter": "num_epochs",
    "learning_rate": "lr",
}

# Methods that RLlib's AlgorithmConfig has besides.
_METHODS_NOT_BUILT = frozenset(
    {
        "get_default_learner_class",
        "get_default_rl_module_spec",
        "get_rl_module_spec",
        "get_multi_rl_module_spec",
        "get_multi_agent_setup",
        "get_evaluation_config_object",
        "get_torch_compile_worker_config",
        "get_torch_compile_learner_config",
        "build_env_to_module_connector",
        "build_module_to_env_connector",
        "build_learner_connector",
        "build_learner",
        "build_learner_group",
        "serialize",
        "overrides",
        "is_offline",
        "is_online",
    }
)


class AlgorithmConfig:
    """What an algorithm shall do; see :class:`PPOConfig`.

    Each method takes keywords only, checks them at once and returns the config itself. An unknown
    keyword raises TypeError and names the nearest; one of RLlib's that is not built raises
    NotImplementedError.
    """

    _options: ClassVar[dict[str, dict[str, Option]]] = OPTIONS
    _defaults: ClassVar[dict[str, Any]] = {}

    def __init__(self, algo_class: type | None = None) -> None:
        values: dict[str, Any] = {}
        for options in self._options.values():
            for name, option in options.items():
                values[name] = _copy.copy(option.default)
        values["model_config"] = DefaultModelConfig()
        values.update(self._defaults)
        object.__setattr__(self, "_values", values)
        object.__setattr__(self, "_frozen", False)
        object.__setattr__(self, "algo_class", algo_class)

    # ---- values ----

    def __getattr__(self, name: str) -> Any:
        values = self.__dict__.get("_values", {})
        if name in values:
            return values[name]
        if name in _METHODS_NOT_BUILT:
            raise NotImplementedError(f"{type(self).__name__}.{name} is not built yet.")
        known = {*values, *(n for n in dir(type(self)) if not n.startswith("_"))}
        raise AttributeError(f"{type(self).__name__} has no '{name}'{nearest(name, known)}")

    def __setattr__(self, name: str, value: Any) -> None:
        if self._frozen:
            raise AttributeError(f"cannot set '{name}': the config is frozen; change a copy()")
        option = self._find(name)
        if option is None:
            raise AttributeError(
                f"{type(self).__name__} has no '{name}'{nearest(name, self._values)}"
            )
        self._values[name] = option.accept(name, value)

    def __repr__(self) -> str:
        changed = {k: v for k, v in self._values.items() if v != type(self)()._values[k]}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in changed.items())})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._values == other._values

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> Any:
        return (_rebuild, (type(self), self._values, self._frozen))

    def _find(self, name: str) -> Option | None:
        for options in self._options.values():
            if name in options:
                return options[name]
        return None

    def _apply(self, method: str, given: dict[str, Any]) -> Self:
        if self._frozen:
            raise AttributeError(f"cannot call {method}(): the config is frozen; change a copy()")
        options = self._options[method]
        accepted = {}
        for name, value in given.items():
            if name not in options:
                where = [m for m, o in self._options.items() if name in o]
                if name in _RENAMED:
                    hint = f"; it is called '{_RENAMED[name]}'"
                else:
                    hint = f"; it belongs to .{where[0]}()" if where else nearest(name, options)
                raise TypeError(
                    f"{type(self).__name__}.{method}() got an unexpected keyword '{name}'{hint}"
                )
            accepted[name] = options[name].accept(name, value)
        self._values.update(accepted)
        return self

    # ---- RLlib's methods ----

    def environment(self, env: Any = None, **options: Any) -> Self:
        """Set the environment, by its name."""
        return self._apply("environment", options if env is None else {"env": env, **options})

    def env_runners(self, **options: Any) -> Self:
        """Set who samples: ``num_env_runners`` actors (0: the driver) of
        ``num_envs_per_env_runner`` each."""
        return self._apply("env_runners", options)

    def learners(self, **options: Any) -> Self:
        """Set who learns: the driver (``num_learners=0``) or an actor (1), and its
        ``num_threads_per_learner``."""
        return self._apply("learners", options)

    def training(self, **options: Any) -> Self:
        """Set hyperparameters."""
        return self._apply("training", options)

    def rl_module(self, **options: Any) -> Self:
        """Set the network by ``model_config``, a :class:`DefaultModelConfig` or a dict of its
        fields."""
        return self._apply("rl_module", options)

    def evaluation(self, **options: Any) -> Self:
        """Set ``evaluation_interval`` (in iterations) and ``evaluation_duration`` (in episodes)."""
        return self._apply("evaluation", options)

    def debugging(self, **options: Any) -> Self:
        """Set the ``seed``: equal seeds give equal bits, for any number of runners and threads."""
        return self._apply("debugging", options)

    def reporting(self, **options: Any) -> Self:
        """Set how many episodes ``episode_return_mean`` is taken over."""
        return self._apply("reporting", options)

    def checkpointing(self, **options: Any) -> Self:
        """Accepted for RLlib's programs."""
        return self._apply("checkpointing", options)

    def fault_tolerance(self, **options: Any) -> Self:
        """Set whether, and how often, a runner that died is replaced."""
        return self._apply("fault_tolerance", options)

    def resources(self, **options: Any) -> Self:
        """Accepted for RLlib's programs."""
        return self._apply("resources", options)

    def multi_agent(self, **options: Any) -> Self:
        """Not built yet: raises NotImplementedError for anything but RLlib's defaults."""
        return self._apply("multi_agent", options)

    def callbacks(self, callbacks_class: Any = None, **options: Any) -> Self:
        """Not built yet: raises NotImplementedError for any callback."""
        return self._apply("callbacks", {"callbacks_class": callbacks_class, **options})

    def offline_data(self, **options: Any) -> Self:
        """Not built yet: raises NotImplementedError for anything but RLlib's defaults."""
        return self._apply("offline_data", options)

    def experimental(self, **options: Any) -> Self:
        """Not built yet: raises NotImplementedError for anything but RLlib's defaults."""
        return self._apply("experimental", options)

    def python_environment(self, **options: Any) -> Self:
        """Not built yet: raises NotImplementedError for anything but RLlib's defaults."""
        return self._apply("python_environment", options)

    def framework(self, framework: Any = "torch", **options: Any) -> Self:
        """Accepted for RLlib's programs: the networks are native either way."""
        return self._apply("framework", {"framework": framework, **options})

    def api_stack(self, **options: Any) -> Self:
        """Accepted for RLlib's programs: there is only the new stack."""
        return self._apply("api_stack", options)

    # ---- copies, dicts ----

    @property
    def is_frozen(self) -> bool:
        """Whether it can no longer be changed."""
        return bool(self._frozen)

    @property
    def is_multi_agent(self) -> bool:
        """False: environments of several agents are not built."""
        return False

    def copy(self, copy_frozen: bool | None = None) -> Self:
        """Return a copy; frozen if this one is and `copy_frozen` is not False."""
        keep = self._frozen if copy_frozen is None else copy_frozen
        return _rebuild(type(self), _copy.deepcopy(self._values), bool(keep))

    def freeze(self) -> None:
        """Forbid changes from now on."""
        object.__setattr__(self, "_frozen", True)

    def to_dict(self) -> dict[str, Any]:
        """All values by name."""
        values = dict(self._values)
        values["model_config"] = dataclasses.asdict(values["model_config"])
        return values

    get_state = to_dict

    def update_from_dict(self, values: Mapping[str, Any]) -> Self:
        """Set values by name; an unknown one raises TypeError."""
        for name, value in values.items():
            if self._find(name) is None:
                raise TypeError(
                    f"{type(self).__name__} has no '{name}'{nearest(name, self._values)}"
                )
            setattr(self, name, value)
        return self

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The reverse of :meth:`to_dict`."""
        return cls().update_from_dict(values)

    from_state = from_dict

    def get(self, name: str, default: Any = None) -> Any:
        """The value of an option, or `default`."""
        return self._values.get(name, default)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def get_config_for_module(self, module_id: str) -> AlgorithmConfig:
        """This config: there is one module."""
        del module_id
        return self

    # ---- what follows ----

    @property
    def total_train_batch_size(self) -> int:
        """Samples an iteration asks for, over all learners."""
        return int(self.train_batch_size_per_learner) * max(1, int(self.num_learners))

    @property
    def num_runner_parts(self) -> int:
        """Into how many parts the environments are split."""
        return max(1, int(self.num_env_runners))

    def get_rollout_fragment_length(self, worker_index: int = 0) -> int:
        """Steps of each environment in an iteration."""
        del worker_index
        envs = self.num_runner_parts * int(self.num_envs_per_env_runner)
        unit = 1 if self.rollout_fragment_length == "auto" else int(self.rollout_fragment_length)
        return unit * -(-self.total_train_batch_size // (unit * envs))

    def native(self, seed: int | None = None) -> dict[str, Any]:
        """The configuration of the C library; see ``include/whipray/rl.h``."""
        raise NotImplementedError

    def validate(self) -> None:
        """Raise ValueError, naming the field, unless all values go together."""
        if self.env is None:
            raise ValueError(
                f"no environment is set; use .environment(): {', '.join(_rl.environments())}"
            )
        _rl.check_config(self.native(seed=0))

    def build_algo(self, env: Any = None, **unused: Any) -> Any:
        """Return an algorithm that runs this config (a frozen copy of it)."""
        if unused:
            raise NotImplementedError(f"build_algo({', '.join(unused)}=...) is not built yet.")
        if self.algo_class is None:
            raise ValueError("this config has no algorithm; use PPOConfig")
        config = self.copy(copy_frozen=False)
        if env is not None:
            config.environment(env)
        return self.algo_class(config=config)

    build = build_algo


def _rebuild(cls: type[Config], values: dict[str, Any], frozen: bool) -> Config:
    config = cls()
    object.__setattr__(config, "_values", values)
    object.__setattr__(config, "_frozen", frozen)
    return config


class PPOConfig(AlgorithmConfig):
    """Proximal policy optimisation, with RLlib's names and defaults.

    Whipray's own options of ``.training()``:

    value_unit : float
        The value output counts in multiples of this return. The squared error, and so
        ``vf_clip_param``, is in squared units: with long episodes the default of 1 cuts nearly
        every error and stops learning.
    adam_betas, adam_epsilon : the optimiser's constants.
    gradient_slices : int
        Fixed parts of each minibatch's sum; so many threads can share it, with equal bits for any
        number.

    And of ``.learners()``:

    num_threads_per_learner : int or "auto"
        Threads of the learner ("auto": as many as cores and slices). Runners sleep meanwhile.
    """

    _options: ClassVar[dict[str, dict[str, Option]]] = {
        **OPTIONS,
        "training": {**OPTIONS["training"], **PPO_OPTIONS},
    }
    _defaults: ClassVar[dict[str, Any]] = {
        "lr": 5e-5,
        "num_epochs": 30,
        "minibatch_size": 128,
        "train_batch_size_per_learner": 4000,
        "num_env_runners": 2,
    }

    def __init__(self, algo_class: type | None = None) -> None:
        if algo_class is None:
            from whipray.rl.algorithm import PPO

            algo_class = PPO
        super().__init__(algo_class)

    def native(self, seed: int | None = None) -> dict[str, Any]:
        """The configuration of the C library; see ``include/whipray/rl.h``."""
        fragment = self.get_rollout_fragment_length()
        envs = self.num_runner_parts * self.num_envs_per_env_runner
        model = self.model_config
        values = self._values
        if seed is None:
            seed = (
                values["seed"]
                if values["seed"] is not None
                else int.from_bytes(os.urandom(8), "little")
            )
        return {
            "env": values["env"],
            "seed": seed,
            "env_count": envs,
            "fragment_steps": fragment,
            "hidden": tuple(model.fcnet_hiddens),
            "activation": model.fcnet_activation,
            "value_shares_layers": model.vf_share_layers,
            "gamma": values["gamma"],
            "lambda": values["lambda_"],
            "value_unit": values["value_unit"],
            "clip": values["clip_param"],
            "value_clip": float("inf")
            if values["vf_clip_param"] is None
            else values["vf_clip_param"],
            "value_coeff": values["vf_loss_coeff"],
            "entropy_coeff": _start(values["entropy_coeff"]),
            "use_kl": values["use_kl_loss"],
            "kl_coeff": values["kl_coeff"],
            "kl_target": values["kl_target"],
            "lr": _start(values["lr"]),
            "grad_clip": values["grad_clip"] or 0.0,
            "adam_beta1": values["adam_betas"][0],
            "adam_beta2": values["adam_betas"][1],
            "adam_epsilon": values["adam_epsilon"],
            "epochs": values["num_epochs"],
            "minibatch": values["minibatch_size"] or envs * fragment,
            "gradient_slices": values["gradient_slices"],
            "episode_window": values["metrics_num_episodes_for_smoothing"],
        }


def _start(value: Any) -> float:
    return float(value[0][1]) if isinstance(value, list) else float(value)


def learner_threads(config: AlgorithmConfig) -> int:
    """Threads for a learner of this config on this machine."""
    wanted = config.num_threads_per_learner
    if wanted == "auto":
        wanted = len(os.sched_getaffinity(0))
    return int(max(1, min(wanted, config.gradient_slices)))
