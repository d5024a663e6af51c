"""Tune: not built yet; the names import, and raise when used."""

from whipray._private.unbuilt import module_getattr

__getattr__ = module_getattr(
    __name__,
    (
        "Callback",
        "Checkpoint",
        "CheckpointConfig",
        "FailureConfig",
        "ResultGrid",
        "RunConfig",
        "Stopper",
        "Trainable",
        "TuneConfig",
        "Tuner",
        "choice",
        "get_checkpoint",
        "get_context",
        "grid_search",
        "lograndint",
        "loguniform",
        "quniform",
        "randint",
        "randn",
        "register_env",
        "register_trainable",
        "report",
        "run",
        "sample_from",
        "uniform",
        "with_parameters",
        "with_resources",
    ),
)
