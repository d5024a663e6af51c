"""RLlib's names for algorithms."""

from whipray.rl.algorithm import Algorithm
from whipray.rl.config import AlgorithmConfig

__all__ = ["Algorithm", "AlgorithmConfig"]
