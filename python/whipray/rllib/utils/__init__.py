"""``ray.rllib.utils``: of it, the names of a result's parts."""

from whipray._private.unbuilt import module_getattr

__getattr__ = module_getattr(__name__, submodules=("metrics",))
