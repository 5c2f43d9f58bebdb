"""Modules that files make: the code of a file that a scenario names is run only where its user trusts it."""

import inspect
import random
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from difflib import get_close_matches
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from rdc_dyn import scenario as scenarios
from rdc_dyn.objective.own_modules import PARTS, Own, require_mapping
from rdc_dyn.scenario import Document, Scenario
from rdc_dyn.scenario.sections.networks import ModuleSection
from rdc_dyn.scenario.sources import Unfit, for_each, modules_of_files, pinned, read_source
from rdc_dyn.status import UserError, first_line


def own_networks(
    scenario: Scenario,
    networks: Own | None = None,
    document: Document | None = None,
    *,
    trust: bool = False,
    renew: bool = False,
) -> tuple[Scenario, Own]:
    """The modules of a scenario, those that are passed and those that files make, and the scenario with their digests.

    Its paths must be absolute. Mistakes are placed in the document, or named by their keys without one. `renew`
    accepts files that have changed. Raises a UserError if code is to be run that is not trusted, or if a module is
    passed which a file makes, and a ScenarioError for all files that cannot be used.
    """
    own, parts = networks or {}, modules_of_files(scenario)
    if not parts:
        return scenario, own
    require_mapping(own)
    for name in parts:
        if name in own:
            raise UserError(f"networks: a module was passed for {name}, and objective.{name}.path names one; give one")
    document = document or scenarios.read(scenario)
    scenario = pinned(scenario, document, renew=renew)
    return scenario, {**own, **made(modules_of_files(scenario), scenario.seed, document, trust=trust)}


def made(
    parts: Mapping[str, ModuleSection], seed: int, document: Document, *, trust: bool = False
) -> dict[str, nn.Module]:
    """Run each file once, and call for each part what it names; see `own_networks`.

    Each part is initialised on the CPU in float32 by a stream of random numbers of its own, which the seed determines;
    no other stream notices.
    """
    if parts and not trust:
        raise UserError(_untrusted(parts, document))
    first: dict[Any, str] = {}
    for name, part in parts.items():
        first.setdefault(part.file, name)
    with _undisturbed():
        _seed(seed, len(PARTS))
        ran = for_each({name: parts[name] for name in first.values()}, document, lambda _, part: _run(part))

        def make(name: str, part: ModuleSection) -> nn.Module:
            _seed(seed, PARTS.index(name))
            return _module(part, ran[first[part.file]])

        return for_each(parts, document, make)


def _untrusted(parts: Mapping[str, ModuleSection], document: Document) -> str:
    """What is said to whoever has not trusted the code, in one line."""
    keys = [f"objective.{name}.path" for name in parts]
    place = min(document.position(tuple(key.split("."))) for key in keys).text
    files = ", ".join(dict.fromkeys(str(part.file) for part in parts.values()))
    where = "" if document.by_key else f"{place}: "
    return (
        f"{where}{', '.join(keys)}: the code of {files} would run with your rights; read it, then give --trust (in "
        "Python: trust=True)"
    )


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Leave the random numbers of Python, NumPy and torch, and torch's default dtype, as they were."""
    python, numpy, dtype = random.getstate(), np.random.get_state(), torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_default_dtype(dtype)


def _seed(seed: int, stream: int) -> None:
    """Begin a stream of random numbers, on the CPU."""
    number = (len(PARTS) + 1) * seed + stream
    random.seed(number)
    np.random.seed(number % 2**32)
    torch.default_generator.manual_seed(number)


def _run(part: ModuleSection) -> ModuleType:
    """Run the file of a part: the bytes that were digested, under a name that no import statement can mean."""
    content = read_source(part)
    module = ModuleType(f"{part.file.stem}@{str(part.source)[:12]}")
    module.__file__ = str(part.file)
    sys.modules[module.__name__] = module  # dataclasses, for one, look a class up there
    with _told(part, f"{part.file} fails to run"):
        exec(compile(content, str(part.file), "exec", dont_inherit=True), module.__dict__)
    return module


def _module(part: ModuleSection, file: ModuleType) -> nn.Module:
    """What the named class or function of a file returns."""
    maker = _maker(part, file)
    try:
        inspect.signature(maker).bind(**part.arguments)
    except TypeError as error:
        raise Unfit("arguments", f"{part.path} does not take these: {error}") from None
    except Exception:  # Python can read no signature of some makers; calling them will tell
        pass
    with _told(part, f"{part.path} fails"):
        module = maker(**deepcopy(part.arguments))
    if not isinstance(module, nn.Module):
        raise Unfit(
            "path", f"{part.path} returns an object of type {type(module).__name__}; expected a torch.nn.Module"
        )
    return module


def _maker(part: ModuleSection, file: ModuleType) -> Callable[..., Any]:
    """The class or function of a file that a part names."""
    there = {name: thing for name, thing in vars(file).items() if not name.startswith("__")}
    if part.name not in there:
        near = get_close_matches(part.name, [name for name, thing in there.items() if callable(thing)], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise Unfit("path", f"{part.file} has no {part.name!r}{hint}")
    found: Any = there[part.name]
    if isinstance(found, nn.Module) or not callable(found):
        raise Unfit(
            "path",
            f"{part.path} has the type {type(found).__name__}; expected a class or a function that returns a "
            "torch.nn.Module",
        )
    maker: Callable[..., Any] = found
    return maker


@contextmanager
def _told(part: ModuleSection, what: str) -> Iterator[None]:
    """Whatever the user's code raises, `sys.exit` included, becomes `Unfit` with its line and its first words."""
    try:
        yield
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(part.file)]
        at = f"line {lines[-1]}: " if lines else ""
        raise Unfit("path", f"{what} ({at}{first_line(error)})") from error
