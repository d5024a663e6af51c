"""Experimental parts of Ray: ``internal_kv`` is built; the other names raise when used."""

from whipray._private.unbuilt import module_getattr

__getattr__ = module_getattr(__name__, submodules=("internal_kv",))
