"""``ray.rllib.core.rl_module.rl_module``."""

from whipray.rl.module import RLModule

__all__ = ["RLModule"]
