"""Names that Ray has and Whipray does not have yet: they import, and say so when they are used."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from whipray._private.suggest import nearest


class _UnbuiltType(type):
    """Metaclass of the placeholders: a use of any kind names what is missing."""

    _whipray_name = ""

    def _refuse(cls) -> NoReturn:
        raise NotImplementedError(f"{cls._whipray_name} is not built yet in Whipray")

    def __call__(cls, *args: Any, **kwargs: Any) -> NoReturn:
        cls._refuse()

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):  # what introspection asks every class for
            raise AttributeError(name)
        raise NotImplementedError(f"{cls._whipray_name}.{name} is not built yet in Whipray")

    def __repr__(cls) -> str:
        return f"<{cls._whipray_name}: not built yet in Whipray>"


def placeholder(full_name: str) -> type:
    """Make a class that stands for a name that is not built.

    It can be imported, named in a type hint and given to isinstance; calling it or reading its
    attributes raises NotImplementedError.
    """
    short = full_name.rpartition(".")[2]
    members = {
        "_whipray_name": full_name,
        "__doc__": f"{full_name}: not built yet; its use raises NotImplementedError.",
        "__class_getitem__": classmethod(lambda cls, item: cls),
    }
    cls = _UnbuiltType(short, (), members)
    cls._whipray_name = full_name
    return cls


def module_getattr(module: str, names: Iterable[str]) -> Callable[[str], Any]:
    """Make the ``__getattr__`` of a module of which nothing, or only a part, is built.

    Parameters
    ----------
    module : str
        The module's ``__name__``.
    names : iterable of str
        What Ray has there and Whipray does not have yet.
    """
    known = frozenset(names)
    made: dict[str, type] = {}

    def get(name: str) -> Any:
        if name not in known:
            raise AttributeError(
                f"module {module!r} has no attribute {name!r}{nearest(name, known)}"
            )
        if name not in made:
            made[name] = placeholder(f"{module}.{name}")
        return made[name]

    return get
