"""Import one module right after another has been imported, whenever that happens."""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


def when_imported(trigger: str, module: str) -> None:
    """Import `module` as soon as the top-level module `trigger` is imported, which may already be the case.

    So `import rdc_dyn` registers an xarray accessor without paying half a second for xarray. The standard library has
    no hook for this: a module's `__getattr__` and `LazyLoader` both defer an import of ours, not one of the user's.
    """
    if trigger in sys.modules:
        import_module(module)
        return

    class Finder(PathFinder):
        """Finds the trigger as usual, and lets its loader import the module after it."""

        @classmethod
        def find_spec(
            cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
        ) -> ModuleSpec | None:
            spec = super().find_spec(fullname, path, target) if fullname == trigger else None
            loader: Any = None if spec is None else spec.loader
            if loader is None:
                return None
            execute = loader.exec_module

            def execute_both(triggered: ModuleType) -> None:
                sys.meta_path.remove(cls)
                execute(triggered)
                import_module(module)

            loader.exec_module = execute_both
            return spec

    sys.meta_path.insert(0, Finder)
