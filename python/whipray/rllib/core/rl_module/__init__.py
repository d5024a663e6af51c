"""``ray.rllib.core.rl_module``."""

from whipray.rl.config import DefaultModelConfig
from whipray.rl.module import RLModule

__all__ = ["DefaultModelConfig", "RLModule"]
