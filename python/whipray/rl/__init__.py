"""Reinforcement learning in native code, in RLlib's shape.

Examples
--------
>>> from whipray.rl import DefaultModelConfig, PPOConfig
>>> config = (
...     PPOConfig()
...     .environment("CartPole-v1")
...     .env_runners(num_env_runners=2, num_envs_per_env_runner=16)
...     .training(lr=7e-3, value_unit=30.0, vf_loss_coeff=0.5, num_epochs=4)
...     .rl_module(model_config=DefaultModelConfig(fcnet_hiddens=[64, 64]))
... )
>>> algo = config.build_algo()
>>> result = algo.train()
>>> result["env_runners"]["episode_return_mean"]  # doctest: +SKIP
"""

from whipray._rl import environments, kernels
from whipray.rl.algorithm import PPO, Algorithm
from whipray.rl.config import AlgorithmConfig, DefaultModelConfig, PPOConfig
from whipray.rl.module import RLModule

__all__ = [
    "PPO",
    "Algorithm",
    "AlgorithmConfig",
    "DefaultModelConfig",
    "PPOConfig",
    "RLModule",
    "environments",
    "kernels",
]
