"""Names that Ray has and Whipray does not have yet: they import, and say so when they are used."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any, Final, NoReturn

from whipray._private.suggest import nearest
from whipray._private.unbuilt_names import LEFT_OUT, MODULES

PACKAGE: Final = "whipray"


class LeftOutError(ModuleNotFoundError, NotImplementedError):
    """Raised by the import of a module of Ray that Whipray leaves out for good."""


class LeftOutAttributeError(AttributeError, NotImplementedError):
    """Raised by the attribute of a package that would be such a module: `hasattr` is False."""


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

    It can be imported, pickled, named in a type hint, given to isinstance and be a base; calling
    it, or a class made of it, and reading its attributes raise NotImplementedError.
    """
    module, _, short = full_name.rpartition(".")
    members = {
        "_whipray_name": full_name,
        "__module__": module,
        "__doc__": f"{full_name}: not built yet; its use raises NotImplementedError.",
        "__class_getitem__": classmethod(lambda cls, item: cls),
    }
    cls = _UnbuiltType(short, (), members)
    cls._whipray_name = full_name
    return cls


def is_placeholder(value: object) -> bool:
    """Whether a name that was imported is one that is not built."""
    return isinstance(value, _UnbuiltType)


def _below(module: str) -> str:
    """Return a module's name below the package: ``"data"`` for ``"whipray.data"``."""
    return module.removeprefix(PACKAGE).removeprefix(".")


def _children(module: str) -> set[str]:
    """Return the last parts of the names of the tabled modules right below `module`."""
    prefix = f"{_below(module)}." if _below(module) else ""
    return {
        name.removeprefix(prefix)
        for table in (MODULES, LEFT_OUT)
        for name in table
        if name.startswith(prefix) and "." not in name.removeprefix(prefix)
    }


def left_out(module: str) -> str | None:
    """Return the text of the refusal of a module that is left out, or is below one.

    Examples
    --------
    >>> left_out("whipray.serve.handle")
    'whipray.serve is not part of Whipray: serving models is a product of its own'
    """
    top, _, below = module.partition(".")
    parts = below.split(".")
    for count in range(1, len(parts) + 1):
        name = ".".join(parts[:count])
        if name in LEFT_OUT:
            return f"{top}.{name} is not part of Whipray: {LEFT_OUT[name]}"
    return None


def module_getattr(
    module: str, *, built: Iterable[str] = (), submodules: Iterable[str] = ()
) -> Callable[[str], Any]:
    """Make the ``__getattr__`` of a module of which nothing, or only a part, is built.

    Modules below it, built or tabled, are imported at their first use; tabled names become
    placeholders; the name of a module that is left out is a LeftOutAttributeError, any other an
    AttributeError with the nearest right one.

    Parameters
    ----------
    module : str
        The module's ``__name__``.
    built : iterable of str
        The public names that it has, for the suggestion.
    submodules : iterable of str
        The modules below it that are built.
    """
    names = frozenset(MODULES.get(_below(module), "").split())
    modules = frozenset(submodules) | _children(module)
    known = names | modules | frozenset(built)
    made: dict[str, type] = {}

    def get(name: str) -> Any:
        if name in names:
            if name not in made:
                made[name] = placeholder(f"{module}.{name}")
            return made[name]
        if name in modules:
            try:
                return importlib.import_module(f"{module}.{name}")
            except LeftOutError as error:
                raise LeftOutAttributeError(str(error)) from None
        raise AttributeError(f"module {module!r} has no attribute {name!r}{nearest(name, known)}")

    return get


class _Loader(importlib.abc.Loader):
    """Makes a module of which the table has the names."""

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return None  # the default: an empty module

    def exec_module(self, module: ModuleType) -> None:
        module.__doc__ = "Not built yet; the names import, and raise when used."
        module.__getattr__ = module_getattr(module.__name__)  # type: ignore[method-assign]


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the tabled modules, after all others: a file of that name comes first."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        if not fullname.startswith(PACKAGE + "."):
            return None
        if _below(fullname) in MODULES:
            return importlib.machinery.ModuleSpec(fullname, _Loader(), is_package=True)
        refusal = left_out(fullname)
        if refusal is not None:
            # Without the module's name: `from whipray import serve` passes over an error that has
            # it, and says no more than that the name cannot be imported.
            raise LeftOutError(refusal)
        return None


def install() -> None:
    """Let the tabled modules be imported; safe to call twice."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
