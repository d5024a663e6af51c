"""``ray.rllib.utils.metrics``: names of the parts of the results that `Algorithm.train` returns."""

from whipray._private.unbuilt import module_getattr
from whipray.rllib.core import ALL_MODULES

ENV_RUNNER_RESULTS = "env_runners"
EVALUATION_RESULTS = "evaluation"
FAULT_TOLERANCE_STATS = "fault_tolerance"
LEARNER_RESULTS = "learners"
TIMERS = "timers"

EPISODE_AGENT_RETURN_MEAN = "agent_episode_returns_mean"
EPISODE_DURATION_SEC_MEAN = "episode_duration_sec_mean"
EPISODE_LEN_MAX = "episode_len_max"
EPISODE_LEN_MEAN = "episode_len_mean"
EPISODE_LEN_MIN = "episode_len_min"
EPISODE_MODULE_RETURN_MEAN = "module_episode_returns_mean"
EPISODE_RETURN_MAX = "episode_return_max"
EPISODE_RETURN_MEAN = "episode_return_mean"
EPISODE_RETURN_MIN = "episode_return_min"
NUM_EPISODES = "num_episodes"
NUM_EPISODES_LIFETIME = "num_episodes_lifetime"

NUM_AGENT_STEPS_SAMPLED = "num_agent_steps_sampled"
NUM_AGENT_STEPS_SAMPLED_LIFETIME = "num_agent_steps_sampled_lifetime"
NUM_ENV_STEPS_SAMPLED = "num_env_steps_sampled"
NUM_ENV_STEPS_SAMPLED_LIFETIME = "num_env_steps_sampled_lifetime"
NUM_ENV_STEPS_TRAINED = "num_env_steps_trained"
NUM_ENV_STEPS_TRAINED_LIFETIME = "num_env_steps_trained_lifetime"
NUM_MODULE_STEPS_SAMPLED = "num_module_steps_sampled"
NUM_MODULE_STEPS_SAMPLED_LIFETIME = "num_module_steps_sampled_lifetime"
NUM_MODULE_STEPS_TRAINED = "num_module_steps_trained"
NUM_MODULE_STEPS_TRAINED_LIFETIME = "num_module_steps_trained_lifetime"
NUM_TRAINING_STEP_CALLS_PER_ITERATION = "num_training_step_calls_per_iteration"

__all__ = ["ALL_MODULES", *(name for name in dir() if name.isupper() and name != "ALL_MODULES")]

__getattr__ = module_getattr(__name__, built=__all__)
