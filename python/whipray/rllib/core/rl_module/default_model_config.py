"""``ray.rllib.core.rl_module.default_model_config``."""

from whipray.rl.config import DefaultModelConfig

__all__ = ["DefaultModelConfig"]
