"""``ray.rllib.core.rl_module``."""

from whipray._private.unbuilt import module_getattr
from whipray.rl.config import DefaultModelConfig
from whipray.rl.module import RLModule

__all__ = ["DefaultModelConfig", "RLModule"]

__getattr__ = module_getattr(
    __name__, built=__all__, submodules=("default_model_config", "rl_module")
)
