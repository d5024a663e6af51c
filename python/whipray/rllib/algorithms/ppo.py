"""``ray.rllib.algorithms.ppo``."""

from whipray.rl.algorithm import PPO
from whipray.rl.config import PPOConfig

__all__ = ["PPO", "PPOConfig"]
