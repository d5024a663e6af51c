"""``ray.rllib.algorithms.algorithm``."""

from whipray.rl.algorithm import Algorithm

__all__ = ["Algorithm"]
