"""Algorithms: train, evaluate, save, restore."""

from __future__ import annotations

import math
import os
import socket
import time
import uuid
from collections.abc import Mapping
from typing import Any

from whipray import _rl
from whipray._private.suggest import nearest
from whipray.rl import checkpoint
from whipray.rl.config import DEFAULT_MODULE_ID, AlgorithmConfig, PPOConfig, learner_threads
from whipray.rl.learners import DriverLearner, Engine, LocalEngine, RemoteLearner
from whipray.rl.module import RLModule, flatten_weights, weight_views
from whipray.rl.options import value_at
from whipray.rl.runners import LocalRunner, RunnerGroup, cpus_of

_STAT = {name: index for index, name in enumerate(_rl.STATS)}


def _engine(config: AlgorithmConfig, native: dict[str, Any]) -> Engine:
    threads = learner_threads(config)
    if config.num_env_runners == 0 and config.num_learners == 0:
        return LocalEngine(native, threads)

    import whipray as ray

    if not ray.is_initialized():
        ray.init()
    cpus = config.num_cpus_per_learner
    # A learner waits while runners work and the reverse: "auto" takes no core of its own.
    learner_cpus = 0 if cpus == "auto" or config.num_learners == 0 else cpus
    _check_that_it_fits(ray, config, learner_cpus)
    options = {
        "num_cpus": config.num_cpus_per_env_runner,
        "restart": config.restart_failed_env_runners,
        "max_restarts": config.max_num_env_runner_restarts,
        "timeout_s": config.sample_timeout_s,
    }
    runners: Any
    if config.num_env_runners == 0:
        runners = LocalRunner(ray, native)
    else:
        runners = RunnerGroup(ray, native, config.num_env_runners, options)
    if config.num_learners == 0:
        return DriverLearner(ray, native, runners, threads)
    try:
        return RemoteLearner(ray, native, runners, threads, {**options, "num_cpus": learner_cpus})
    except BaseException:
        runners.stop()
        raise


def _check_that_it_fits(ray: Any, config: AlgorithmConfig, learner_cpus: float) -> None:
    """Raise ValueError for actors that this cluster could never hold at once."""
    runner_cpus = config.num_cpus_per_env_runner
    asked = config.num_env_runners * runner_cpus + learner_cpus
    total, _ = cpus_of(ray)
    if asked <= total + 1e-9:
        return
    room = int((total - learner_cpus) / runner_cpus) if runner_cpus > 0 else 0
    learner = f" and the learner {learner_cpus:g}" if learner_cpus else ""
    raise ValueError(
        f"num_env_runners is {config.num_env_runners}: at {runner_cpus:g} CPU each{learner} that "
        f"is {asked:g} CPU, and the cluster has {total:g}. At most {max(0, room)} runners fit; or "
        f"lower num_cpus_per_env_runner (0.5, or 0), or start the cluster with "
        f"init(num_cpus={math.ceil(asked)})."
    )


# What RLlib's Algorithm has besides, and this one does not yet.
_NOT_BUILT = frozenset(
    {
        "add_module",
        "remove_module",
        "add_policy",
        "remove_policy",
        "get_policy",
        "compute_single_action",
        "compute_actions",
        "env_runner",
        "env_runner_group",
        "eval_env_runner",
        "eval_env_runner_group",
        "learner_group",
        "metrics",
        "training_step",
        "setup",
        "export_model",
        "export_policy_model",
        "get_default_policy_class",
        "get_multi_rl_module_spec",
        "offline_data",
        "validate_env",
        "restore_env_runners",
        "restore_workers",
        "reset",
        "reset_config",
        "log_result",
        "logdir",
        "trainable_id",
        "workers",
        "evaluation_workers",
        "local_replay_buffer",
        "save_to_uri",
        "merge_trainer_configs",
    }
)


class AttributeNotBuiltError(NotImplementedError, AttributeError):
    """RLlib has this attribute; ``hasattr`` says that it is not here."""


class Algorithm:
    """A training in progress.

    Parameters
    ----------
    config : AlgorithmConfig
        Frozen by this; ``config.copy(copy_frozen=False)`` can be changed again.
    env : str, optional
        The environment, if the config has none.
    """

    def __init__(self, config: AlgorithmConfig, env: Any = None) -> None:
        if env is not None:
            config.environment(env)
        config.validate()
        config.freeze()
        self.config = config
        self._native = config.native()
        self._reset_counters()
        self._rates = self._rates_now()
        self._engine: Engine | None = _engine(config, self._native)
        self._config_dict: dict[str, Any] | None = None
        self.trial_id = uuid.uuid4().hex[:8]
        self._hostname = socket.gethostname()

    def _reset_counters(self) -> None:
        self._iteration = 0
        self._env_steps = 0
        self._episodes = 0
        self._trained = 0
        self._time_total = 0.0
        self._restored_at = 0
        self._time_restored = 0.0

    def __getattr__(self, name: str) -> Any:
        if name in _NOT_BUILT:
            raise AttributeNotBuiltError(f"{type(self).__name__}.{name} is not built yet")
        known = [n for n in dir(type(self)) if not n.startswith("_")]
        raise AttributeError(f"{type(self).__name__} has no '{name}'{nearest(name, known)}")

    def _running(self) -> Engine:
        if self._engine is None:
            raise RuntimeError("this algorithm was stopped; build another with config.build_algo()")
        return self._engine

    # ---- training ----

    @property
    def iteration(self) -> int:
        """Iterations done."""
        return self._iteration

    training_iteration = iteration

    def _rates_now(self) -> tuple[float, float]:
        config = self.config
        return (
            value_at(config.lr, self._env_steps),
            value_at(config.entropy_coeff, self._env_steps),
        )

    def train(self) -> dict[str, Any]:
        """Run one iteration: sample a batch, learn from it.

        Returns
        -------
        dict
            RLlib's keys; see ``docs/rl.md``.
        """
        engine = self._running()
        started = time.perf_counter()
        if isinstance(self.config.lr, list) or isinstance(self.config.entropy_coeff, list):
            rates = self._rates_now()
            if rates != self._rates:
                engine.set_rates(*rates)
                self._rates = rates
        stats = engine.iterate()
        taken = time.perf_counter() - started
        self._iteration += 1
        self._time_total += taken
        self._env_steps += stats[_STAT["env_steps"]]
        self._episodes += stats[_STAT["episodes"]]
        self._trained += stats[_STAT["samples_trained"]]
        result = self._result(stats, taken)
        interval = self.config.evaluation_interval
        if interval is not None and self._iteration % interval == 0:
            result["evaluation"] = self.evaluate()
        return result

    step = train

    def _result(self, stats: tuple[Any, ...], taken: float) -> dict[str, Any]:
        s = dict(zip(_rl.STATS, stats, strict=True))
        steps = s["env_steps"]
        runners: dict[str, Any] = {
            "num_episodes": s["episodes"],
            "num_episodes_lifetime": self._episodes,
            "num_env_steps_sampled": steps,
            "num_env_steps_sampled_lifetime": self._env_steps,
            "num_agent_steps_sampled": {"default_agent": steps},
            "num_agent_steps_sampled_lifetime": {"default_agent": self._env_steps},
            "num_module_steps_sampled": {DEFAULT_MODULE_ID: steps},
            "num_module_steps_sampled_lifetime": {DEFAULT_MODULE_ID: self._env_steps},
        }
        engine = self._running()
        sampled = engine.sample_seconds
        runners["timers"] = {"sample": sampled}
        if s["window_episodes"] > 0:  # RLlib has no return keys until an episode ended
            # All environments step together: a step of one takes as long as a step of all.
            step_seconds = sampled * self._native["env_count"] / steps
            runners.update(
                episode_duration_sec_mean=s["length_mean"] * step_seconds,
                episode_return_mean=s["return_mean"],
                episode_return_min=s["return_min"],
                episode_return_max=s["return_max"],
                episode_len_mean=s["length_mean"],
                episode_len_min=int(s["length_min"]),
                episode_len_max=int(s["length_max"]),
                agent_episode_returns_mean={"default_agent": s["return_mean"]},
                module_episode_returns_mean={DEFAULT_MODULE_ID: s["return_mean"]},
            )
            if not math.isnan(s["return_best"]):
                runners["episode_return_mean_best"] = s["return_best"]
        module = {
            "policy_loss": s["policy_loss"],
            "vf_loss": s["value_loss"],
            "total_loss": s["total_loss"],
            "entropy": s["entropy"],
            "mean_kl_loss": s["kl"],
            "curr_kl_coeff": s["kl_coeff"],
            "curr_entropy_coeff": s["entropy_coeff"],
            "vf_explained_var": s["value_explained"],
            "clip_fraction": s["clipped"],
            "vf_clip_fraction": s["value_clipped"],
            "default_optimizer_learning_rate": s["lr"],
            "gradients_default_optimizer_global_norm": s["grad_norm"],
            "num_module_steps_trained": s["samples_trained"],
            "num_module_steps_trained_lifetime": self._trained,
        }
        if self._config_dict is None:
            self._config_dict = self.config.to_dict()
        now = time.time()
        return {
            "env_runners": runners,
            "learners": {
                "__all_modules__": {
                    "num_env_steps_trained": s["samples_trained"],
                    "num_env_steps_trained_lifetime": self._trained,
                    "num_module_steps_trained": s["samples_trained"],
                    "num_module_steps_trained_lifetime": self._trained,
                },
                DEFAULT_MODULE_ID: module,
            },
            "timers": {
                "training_iteration": taken,
                "training_step": taken,
                "env_runner_sampling_timer": sampled,
                "learner_update_timer": taken - sampled,
            },
            "fault_tolerance": {
                "num_healthy_workers": self.config.num_env_runners,
                "num_remote_worker_restarts": engine.restarts,
            },
            "num_training_step_calls_per_iteration": 1,
            "num_env_steps_sampled_lifetime": self._env_steps,
            "training_iteration": self._iteration,
            "trial_id": self.trial_id,
            "date": time.strftime("%Y-%m-%d_%H-%M-%S", time.localtime(now)),
            "timestamp": int(now),
            "time_this_iter_s": taken,
            "time_total_s": self._time_total,
            "pid": os.getpid(),
            "hostname": self._hostname,
            "node_ip": "127.0.0.1",
            "config": self._config_dict,
            "time_since_restore": self._time_total - self._time_restored,
            "iterations_since_restore": self._iteration - self._restored_at,
            "done": False,
            "perf": {"num_env_steps_per_s": steps / taken if taken > 0 else math.inf},
        }

    def evaluate(self, parallel_train_future: Any = None) -> dict[str, Any]:
        """Play ``evaluation_duration`` whole episodes with the present weights, which are not
        changed.

        Returns
        -------
        dict
            ``{"env_runners": {"episode_return_mean": ...}}``. Actions are the likeliest ones,
            unless the evaluation_config says ``explore=True``.
        """
        if parallel_train_future is not None:
            raise NotImplementedError("evaluation in parallel to training is not built yet")
        explore = bool((self.config.evaluation_config or {}).get("explore", False))
        episodes = self.config.evaluation_duration
        seed = (self._native["seed"] + 0x5EED + self._iteration) % 2**64
        returns, lengths = self.get_module().play(episodes, seed=seed, explore=explore)
        steps = int(lengths.sum())
        return {
            "env_runners": {
                "episode_return_mean": float(returns.mean()),
                "episode_return_min": float(returns.min()),
                "episode_return_max": float(returns.max()),
                "episode_len_mean": float(lengths.mean()),
                "episode_len_min": int(lengths.min()),
                "episode_len_max": int(lengths.max()),
                "num_episodes": episodes,
                "num_env_steps_sampled": steps,
            }
        }

    def stop(self) -> None:
        """End the actors that this algorithm started; a second call does nothing."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.stop()

    cleanup = stop

    def __enter__(self) -> Algorithm:
        return self

    def __exit__(self, *unused: Any) -> None:
        self.stop()

    # ---- weights ----

    def get_module(self, module_id: str = DEFAULT_MODULE_ID) -> RLModule:
        """The network with a copy of the present weights."""
        _only_module(module_id)
        return RLModule(self._native, self._running().weights())

    def get_weights(self, policies: Any = None) -> dict[str, dict[str, Any]]:
        """Copies of the weights: module id to name to array."""
        for module_id in policies or ():
            _only_module(module_id)
        return {DEFAULT_MODULE_ID: dict(weight_views(self._native, self._running().weights()))}

    def set_weights(self, weights: Mapping[str, Mapping[str, Any]]) -> None:
        """The reverse of :meth:`get_weights`."""
        for module_id, parts in weights.items():
            _only_module(module_id)
            self._running().set_weights(flatten_weights(self._native, parts))

    # ---- checkpoints ----

    def _counters(self) -> dict[str, Any]:
        return {
            "iteration": self._iteration,
            "env_steps": self._env_steps,
            "episodes": self._episodes,
            "trained": self._trained,
            "time_total": self._time_total,
            "seed": self._native["seed"],
        }

    def get_state(self) -> dict[str, Any]:
        """All that :meth:`set_state` needs to go on."""
        learner, envs = self._running().state()
        return {"counters": self._counters(), "learner": learner, "envs": envs}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`get_state`, of the same or another algorithm with the same network.

        Environments go on where they were if seed, number and split are the same; else they start
        anew.
        """
        counters = state["counters"]
        same_stream = counters["seed"] == self._native["seed"]
        self._running().set_state(
            state["learner"], list(state["envs"]) if same_stream else [], counters["iteration"]
        )
        self._iteration = self._restored_at = counters["iteration"]
        self._env_steps = counters["env_steps"]
        self._episodes = counters["episodes"]
        self._trained = counters["trained"]
        self._time_total = self._time_restored = counters["time_total"]

    def save_to_path(
        self,
        path: Any = None,
        *,
        state: Any = None,
        filesystem: Any = None,
        use_msgpack: bool = False,
    ) -> str:
        """Write a checkpoint directory; return its path."""
        if filesystem is not None or use_msgpack:
            raise NotImplementedError("save_to_path: filesystem and use_msgpack are not built yet")
        state = state if state is not None else self.get_state()
        return checkpoint.write(
            path,
            config=self.config.to_dict(),
            native=self._native,
            counters=state["counters"],
            learner=state["learner"],
            envs=state["envs"],
            weights=self._running().weights(),
            algorithm=type(self).__name__,
        )

    save = save_to_path
    save_checkpoint = save_to_path

    def restore_from_path(
        self, path: Any, *, component: Any = None, filesystem: Any = None
    ) -> None:
        """Go on from a checkpoint."""
        if component is not None or filesystem is not None:
            raise NotImplementedError(
                "restore_from_path: component and filesystem are not built yet"
            )
        self.set_state(checkpoint.read(path))

    restore = restore_from_path
    load_checkpoint = restore_from_path

    @classmethod
    def from_checkpoint(cls, path: Any, filesystem: Any = None, **overrides: Any) -> Algorithm:
        """Build the algorithm of a checkpoint, and go on from it.

        Parameters
        ----------
        path : path-like
            A checkpoint's directory.
        **overrides
            Values of the configuration to change, such as ``num_env_runners``.
        """
        if filesystem is not None:
            raise NotImplementedError("from_checkpoint: filesystem is not built yet")
        saved = checkpoint.read(path)
        known = {"PPO": (PPO, PPOConfig)}
        if saved["class"] not in known:
            raise ValueError(f"{path} is of {saved['class']}; known: {', '.join(known)}")
        algorithm, config_class = known[saved["class"]]
        if not issubclass(algorithm, cls):
            raise ValueError(f"{path} is of {saved['class']}, not of {cls.__name__}")
        config = config_class()
        try:
            config.update_from_dict({k: v for k, v in saved["config"].items() if k != "adam_betas"})
            config.update_from_dict({"adam_betas": tuple(saved["config"]["adam_betas"])})
        except Exception as error:
            raise ValueError(f"{path}: its config.json is damaged: {error}") from error
        if config.seed is None:
            config.seed = saved["counters"]["seed"]  # the very stream of random numbers goes on
        config.update_from_dict(overrides)
        algo = algorithm(config=config)
        try:
            algo.set_state(saved)
        except BaseException:
            algo.stop()
            raise
        return algo

    # ---- who runs ----

    def worker_pids(self) -> dict[str, list[int]]:
        """Processes of ``"env_runners"`` and ``"learners"`` other than the driver."""
        return self._running().pids()


def _only_module(module_id: str) -> None:
    if module_id != DEFAULT_MODULE_ID:
        raise ValueError(f"there is no module '{module_id}'; the only one is '{DEFAULT_MODULE_ID}'")


class PPO(Algorithm):
    """Proximal policy optimisation; see :class:`whipray.rl.PPOConfig`."""

    @classmethod
    def get_default_config(cls) -> PPOConfig:
        """A new configuration with RLlib's defaults."""
        return PPOConfig()
