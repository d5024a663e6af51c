"""``ray.rllib.core.rl_module.rl_module``."""

from whipray._private.unbuilt import module_getattr
from whipray.rl.module import RLModule

__all__ = ["RLModule"]

__getattr__ = module_getattr(__name__, built=__all__)
