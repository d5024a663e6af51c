"""RLlib's names for algorithms."""

from whipray._private.unbuilt import module_getattr
from whipray.rl.algorithm import PPO, Algorithm
from whipray.rl.config import AlgorithmConfig, PPOConfig

__all__ = ["PPO", "Algorithm", "AlgorithmConfig", "PPOConfig"]

__getattr__ = module_getattr(
    __name__, built=__all__, submodules=("algorithm", "algorithm_config", "ppo")
)
