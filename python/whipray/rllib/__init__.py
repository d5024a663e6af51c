"""RLlib's names for :mod:`whipray.rl`; ``ray.rllib`` under ``whipray.compat``."""

from whipray._private.unbuilt import module_getattr

__getattr__ = module_getattr(__name__, submodules=("algorithms", "core", "utils"))
