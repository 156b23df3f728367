"""A finder that reads `torch` as another library in the imports of source text, and in nothing else."""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any


class _Imports(ast.NodeTransformer):
    """``import torch.nn as nn`` becomes ``import gpunn.nn as nn``, ``import torch`` ``import gpunn as torch``."""

    def __init__(self, names: dict[str, str]):
        self.names = names

    def _read(self, name: str) -> str:
        first, dot, rest = name.partition(".")
        return self.names.get(first, first) + dot + rest

    def visit_Import(self, node: ast.Import) -> Any:
        found: list[ast.alias] = []
        for alias in node.names:
            first = alias.name.partition(".")[0]
            found.append(ast.alias(self._read(alias.name), alias.asname))
            if alias.asname is None and first in self.names:
                found.append(ast.alias(self.names[first], first))
        return ast.copy_location(ast.Import(found), node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> Any:
        if node.level == 0 and node.module:
            node.module = self._read(node.module)
        return node


class Reader(importlib.machinery.SourceFileLoader):
    """Loads a file with the names of its imports changed."""

    def __init__(self, name: str, path: str, names: dict[str, str]):
        super().__init__(name, path)
        self.names = names

    def source_to_code(self, data: Any, path: Any, *, _optimization: int = -1) -> Any:
        """The code of the changed text."""
        tree = ast.fix_missing_locations(_Imports(self.names).visit(ast.parse(data)))
        return compile(tree, path, "exec", dont_inherit=True)

    def get_code(self, fullname: str) -> Any:
        """Without a cache of byte code, which would not know of the change."""
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def read(path: Path, library: str) -> ModuleType:
    """The module in a file, with `torch` read as `library`."""
    name = f"{path.stem}_by_{library}"
    loader = Reader(name, str(path), {"torch": library})
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))  # type: ignore[arg-type]
    sys.modules[name] = module
    loader.exec_module(module)
    return module


class Finder:
    """Finds the modules of a package that is read so, for the imports of others and its own."""

    def __init__(self, package: str, folder: Path, names: dict[str, str]):
        self.package, self.folder, self.names = package, folder, names

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """The spec of a module of the package; None for all others."""
        if not name.startswith(self.package + "."):
            return None
        file = self.folder.joinpath(*name.split(".")[1:]).with_suffix(".py")
        return importlib.util.spec_from_loader(name, Reader(name, str(file), self.names)) if file.exists() else None
