"""``ray.rllib.core``: names of a module's and a result's parts."""

from whipray._private.unbuilt import module_getattr

ALL_MODULES = "__all_modules__"
DEFAULT_AGENT_ID = "default_agent"
DEFAULT_MODULE_ID = DEFAULT_POLICY_ID = "default_policy"

__all__ = ["ALL_MODULES", "DEFAULT_AGENT_ID", "DEFAULT_MODULE_ID", "DEFAULT_POLICY_ID"]

__getattr__ = module_getattr(__name__, built=__all__, submodules=("rl_module",))
