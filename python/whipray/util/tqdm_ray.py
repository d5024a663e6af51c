"""Progress bars of workers: not built yet; the names import, and raise when used."""

from whipray._private.unbuilt import module_getattr

__getattr__ = module_getattr(
    __name__,
    ("tqdm",),
)
