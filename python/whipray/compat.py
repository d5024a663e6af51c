"""Run programs that say ``import ray`` on Whipray.

``python -m whipray.compat PROGRAM.py ARGS`` runs a program from a file; ``-m MODULE``, ``-c CODE``
and ``-`` (standard input) work as Python's own. In a program of one's own, ``import
whipray.compat`` before the first ``import ray`` does the same.

``ray`` and ``ray.x.y`` are then other names of the module objects ``whipray`` and ``whipray.x.y``.
The alias belongs to the job: its workers have it before anything is unpickled. Under it,
``ray.__version__`` is "2.58.0" and variables ``RAY_X`` count where ``WHIPRAY_X`` is not set.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import runpy
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Final

from whipray._private import config, unbuilt

ALIAS: Final = "ray"
TARGET: Final = "whipray"
RAY_VERSION: Final = "2.58.0"


class _AliasLoader(importlib.abc.Loader):
    """Gives the module that another name already has, and leaves it as it is."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._spec: importlib.machinery.ModuleSpec | None = None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module = importlib.import_module(self._name)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # the import system has just set the alias's


class AliasFinder(importlib.abc.MetaPathFinder):
    """Finds ``ray.x`` as ``whipray.x``."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the alias's spec; names that are not there are named in the error."""
        if fullname != ALIAS and not fullname.startswith(ALIAS + "."):
            return None
        real = TARGET + fullname.removeprefix(ALIAS)
        refusal = unbuilt.left_out(fullname)
        if refusal is not None:
            raise unbuilt.LeftOutError(refusal, name=fullname)
        try:
            found = importlib.util.find_spec(real)
        except ModuleNotFoundError:
            found = None
        if found is None:
            raise ModuleNotFoundError(
                f"No module named {fullname!r}: Whipray, which stands for {ALIAS!r} here, does not "
                "have it (yet)",
                name=fullname,
            )
        spec = importlib.machinery.ModuleSpec(
            fullname,
            _AliasLoader(real),
            origin=found.origin,
            is_package=bool(found.submodule_search_locations is not None),
        )
        return spec


_finder = AliasFinder()


def is_installed() -> bool:
    """Whether ``import ray`` means Whipray in this process."""
    return _finder in sys.meta_path


_collected: dict[str, ModuleType] = {}


def _second_names() -> dict[str, ModuleType]:
    return {
        ALIAS + name.removeprefix(TARGET): module
        for name, module in list(sys.modules.items())
        if name.startswith(TARGET + ".") and name != TARGET + "._core"
    }


def prepare() -> None:
    """Collect, for the workers forked from here, what `install` would look for in each.

    To go through all modules makes their pages a worker's own: a megabyte.
    """
    uninstall()  # importing this installed it, which is for the job to say
    _collected.update(_second_names())


def install() -> None:
    """Make ``ray`` a name of ``whipray`` in this process; safe to call twice.

    Raises
    ------
    ImportError
        If the real Ray was imported before.
    """
    import whipray

    if is_installed():
        return
    present = sys.modules.get(ALIAS)
    if present is not None and present is not whipray:
        raise ImportError(
            "the module 'ray' was imported before whipray.compat; import whipray.compat first"
        )
    sys.meta_path.insert(0, _finder)
    sys.modules[ALIAS] = whipray
    # What is imported already gets its second name at once: one object, whoever asks.
    for name, module in (_collected or _second_names()).items():
        sys.modules.setdefault(name, module)
    config.alias_active = True
    whipray.__version__ = RAY_VERSION


def uninstall() -> None:
    """Undo `install`."""
    import whipray

    if not is_installed():
        return
    sys.meta_path.remove(_finder)
    for name in [name for name in sys.modules if name == ALIAS or name.startswith(ALIAS + ".")]:
        del sys.modules[name]
    config.alias_active = False
    whipray.__version__ = whipray.__whipray_version__


def _run(arguments: list[str]) -> None:
    """Run a program as Python would, with ``sys.argv`` and ``sys.path`` as it expects them."""
    first = arguments[0] if arguments else "-"
    if first == "-m":
        if len(arguments) < 2:
            raise SystemExit("usage: python -m whipray.compat -m MODULE [ARGUMENTS]")
        sys.argv = arguments[1:]
        sys.path[0] = os.getcwd()
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        return
    if first == "-c":
        if len(arguments) < 2:
            raise SystemExit("usage: python -m whipray.compat -c CODE [ARGUMENTS]")
        sys.argv = ["-c", *arguments[2:]]
        sys.path[0] = ""
        _run_source(arguments[1], "<string>")
        return
    if first == "-":
        sys.argv = ["-", *arguments[1:]]
        sys.path[0] = ""
        _run_source(sys.stdin.read(), "<stdin>")
        return
    sys.argv = arguments
    sys.path[0] = os.path.dirname(os.path.abspath(first))
    with open(first, "rb") as file:
        source = file.read()
    _run_source(source, first)


def _run_source(source: str | bytes, name: str) -> None:
    """Run code as the module ``__main__``."""
    module = ModuleType("__main__")
    module.__file__ = name
    module.__builtins__ = __builtins__  # type: ignore[attr-defined]
    if name.startswith("<"):
        del module.__file__
    sys.modules["__main__"] = module
    exec(compile(source, name, "exec"), module.__dict__)


if __name__ == "__main__":
    # This file runs as __main__; the module of the same name is what others know.
    from whipray import compat

    compat.install()
    compat._run(sys.argv[1:])
else:
    install()
