"""Several nodes on one machine, for tests: not built yet, and refused by name."""

from whipray._private.unbuilt import module_getattr

__getattr__ = module_getattr(__name__, ("AutoscalingCluster", "Cluster"))
