"""``ray.rllib.algorithms.algorithm_config``."""

from whipray.rl.config import AlgorithmConfig

__all__ = ["AlgorithmConfig"]
