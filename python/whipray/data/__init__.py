"""Datasets: not built yet; the names import, and raise when used."""

from whipray._private.unbuilt import module_getattr

__getattr__ = module_getattr(
    __name__,
    (
        "ActorPoolStrategy",
        "DataContext",
        "Dataset",
        "ExecutionOptions",
        "ExecutionResources",
        "TaskPoolStrategy",
        "Schema",
        "from_arrow",
        "from_huggingface",
        "from_items",
        "from_numpy",
        "from_pandas",
        "from_torch",
        "range",
        "range_tensor",
        "read_binary_files",
        "read_csv",
        "read_images",
        "read_json",
        "read_numpy",
        "read_parquet",
        "read_text",
    ),
)
