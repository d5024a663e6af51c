"""Experimental parts of Ray: not built yet; the names import, and raise when used."""

from whipray._private.unbuilt import module_getattr

__getattr__ = module_getattr(
    __name__,
    (
        "get_local_object_locations",
        "get_object_locations",
        "register_nixl_memory",
        "set_target_for_ref",
        "wait_tensor_freed",
    ),
)
