"""``ray.rllib.core``: names of a module's and a result's parts."""

ALL_MODULES = "__all_modules__"
DEFAULT_AGENT_ID = "default_agent"
DEFAULT_MODULE_ID = DEFAULT_POLICY_ID = "default_policy"

__all__ = ["ALL_MODULES", "DEFAULT_AGENT_ID", "DEFAULT_MODULE_ID", "DEFAULT_POLICY_ID"]
