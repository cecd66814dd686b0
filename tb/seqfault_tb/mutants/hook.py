"""Imports modules of `seqfault_rtl` with mutants in them. For a fresh process: what is imported already stays as it is."""

import ast
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType

from . import runtime
from .transform import RUNTIME, Mutant, transform

__all__ = ["install"]

PACKAGE = "seqfault_rtl"


class _Loader(SourceFileLoader):
    def __init__(self, name: str, path: str, tree: ast.Module) -> None:
        super().__init__(name, path)
        self._tree = tree

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__[RUNTIME] = runtime
        exec(compile(self._tree, self.path, "exec"), module.__dict__)


class _Finder(MetaPathFinder):
    def __init__(self, loaders: dict[str, _Loader]) -> None:
        self._loaders = loaders

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        loader = self._loaders.get(fullname)
        return None if loader is None else importlib.util.spec_from_loader(fullname, loader)


def install(folder: Path, modules: Sequence[str], *, only: Sequence[str] | None = None) -> list[Mutant]:
    """From now on these modules of the package in `folder` have mutants; returns those, numbered from 1 in the order of `modules`.

    `only`: the numbers are the same, but just these modules have them.
    Only some of them will be in the engine: after its elaboration `runtime.LIVE` has their numbers.
    Raises `RuntimeError` if one of the modules is imported already, `ValueError` when there are more mutants than numbers.
    """
    found: list[Mutant] = []
    loaders = {}
    for module in modules:
        name = f"{PACKAGE}.{module}"
        if name in sys.modules:
            raise RuntimeError(f"{name} is imported already")
        path = folder / f"{module}.py"
        tree, mutants = transform(path.read_text(), path.name, len(found) + 1)
        found += mutants
        if only is None or module in only:
            loaders[name] = _Loader(name, str(path), tree)
    if len(found) >= 1 << runtime.ACTIVE_BITS:
        raise ValueError(f"{len(found)} mutants are more than {runtime.ACTIVE_BITS} bits can number")
    sys.meta_path.insert(0, _Finder(loaders))
    return found
