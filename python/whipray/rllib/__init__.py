"""RLlib's names for :mod:`whipray.rl`; ``ray.rllib`` under ``whipray.compat``."""
