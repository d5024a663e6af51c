"""Job submission: not built yet; the names import, and raise when used."""

from whipray._private.unbuilt import module_getattr

__getattr__ = module_getattr(
    __name__,
    (
        "JobDetails",
        "JobInfo",
        "JobStatus",
        "JobSubmissionClient",
        "JobType",
        "DriverInfo",
    ),
)
