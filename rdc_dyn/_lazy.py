"""Import one module right after another has been imported, whenever that happens."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType


def when_imported(trigger: str, module: str) -> None:
    """Import `module` as soon as the top-level module `trigger` is imported, which may already be the case.

    So `import rdc_dyn` registers an xarray accessor without paying half a second for xarray.
    """
    if trigger in sys.modules:
        import_module(module)
    else:
        sys.meta_path.insert(0, _Hook(trigger, module))


class _Hook(MetaPathFinder):
    def __init__(self, trigger: str, module: str) -> None:
        self._trigger, self._module = trigger, module

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._trigger:
            return None
        sys.meta_path.remove(self)
        try:
            spec = find_spec(fullname)
        finally:
            sys.meta_path.insert(0, self)  # a spec may be requested without an import, as by torch._dynamo
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self._module, self)
        return spec


class _Loader(Loader):
    def __init__(self, loader: Loader, module: str, hook: _Hook) -> None:
        self._loader, self._module, self._hook = loader, module, hook

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if self._hook in sys.meta_path:
            sys.meta_path.remove(self._hook)
        if module.__spec__ is not None:  # restore its own loader, which knows its sources and data files
            module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        import_module(self._module)
