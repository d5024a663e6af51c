"""Collective operations between actors: not built yet; the names import, and raise when used."""

from whipray._private.unbuilt import module_getattr

__getattr__ = module_getattr(
    __name__,
    (
        "allgather",
        "allreduce",
        "barrier",
        "broadcast",
        "create_collective_group",
        "destroy_collective_group",
        "get_collective_group_size",
        "get_rank",
        "gloo_available",
        "init_collective_group",
        "is_group_initialized",
        "nccl_available",
        "recv",
        "reduce",
        "reducescatter",
        "register_collective_backend",
        "send",
        "synchronize",
    ),
)
