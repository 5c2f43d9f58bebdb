"""Read the data of a scenario as a run would, without running it: all that is wrong with them, or what there is."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from math import prod
from pathlib import Path
from typing import TypeVar

import torch

from rdc_dyn.data.coupling import read_coupling, require_plan
from rdc_dyn.data.datasets import SOURCE, TARGET, Chosen, Selection, disagreements, held_out_count, load_sample, select
from rdc_dyn.data.readers import Labelled
from rdc_dyn.objective.own_modules import Ends
from rdc_dyn.scenario import Document, Scenario
from rdc_dyn.scenario.section import PathMark, marks
from rdc_dyn.scenario.sections.correctors import too_large
from rdc_dyn.scenario.sections.data import DataSection
from rdc_dyn.scenario.sections.networks import LikelihoodSection
from rdc_dyn.scenario.sections.readers import ReaderSection
from rdc_dyn.scenario.written import Finding, section
from rdc_dyn.status import DataError, UserError

T = TypeVar("T")


@dataclass(frozen=True)
class Findings:
    """What is wrong, by key and place in a document."""

    scenario: Scenario
    document: Document
    found: list[Finding] = field(default_factory=list)

    def add(self, key: str, message: str) -> None:
        """Add what is wrong with a key; a message that names another key of the scenario is about that one."""
        head, _, rest = message.partition(": ")
        *above, last = head.split(".")
        if last in section(self.scenario.model_dump(by_alias=True), *above):
            key, message = head, rest
        self.found.append(Finding(tuple(key.split(".")), message))

    def attempt(self, key: str, work: Callable[[], T]) -> T | None:
        """What some work returns, or None where it finds that the data cannot be used."""
        try:
            return work()
        except DataError as error:
            self.add(key, str(error))
            return None

    def require_none(self) -> None:
        """Raise a UserError (exit code 4) that lists all that was found, in the order of the document."""
        if self.found:
            placed = sorted((self.document.mistake(each) for each in self.found), key=lambda pair: pair[0])
            raise UserError("\n".join(str(mistake) for _, mistake in placed), exit_code=4)


def look(scenario: Scenario, document: Document, folder: Path) -> str:
    """What a run of the scenario would find in its data, in one line; a UserError lists all that is wrong.

    Nothing is downloaded, no optimal plan is computed, and no code that the scenario names is run.
    """
    if scenario.data is None or scenario.data.source is None:
        return "no data to read"
    data, findings = scenario.data, Findings(scenario, document)
    sets = _chosen(data, folder, scenario.seed, findings)
    if len(sets) == len(data.sets):
        first: dict[str, str] = {}
        for key, wrong in disagreements(sets, data.validation_fraction):
            first.setdefault(key, wrong)
        for key, wrong in first.items():
            findings.add(key, wrong)
    facts = _facts(scenario, data, sets, findings)
    if len(facts) == len(data.sets):
        _fits(scenario, data, folder, sets, findings)
    findings.require_none()
    return "; ".join(facts)


def _chosen(data: DataSection, folder: Path, seed: int, findings: Findings) -> dict[str, Chosen]:
    """The sets that can be read as far as their labels."""
    found = {}
    for key, selection in data.set(download=False).selections(folder).items():
        part = data.sets[key]
        read = partial(_read, selection, fetched=data.download and part.in_root)
        labelled = findings.attempt(f"{key}.{_located(part)}", read)
        if labelled is None:
            continue
        known = replace(selection, read=partial(_known, labelled))
        chosen = findings.attempt(key if part.classes == "all" else f"{key}.classes", partial(select, known, seed))
        if chosen is None:
            continue
        found[key] = chosen
        if part.limit is not None and 0 < len(chosen) < part.limit:
            message = f"{part.limit} data are asked for, and there are {len(chosen)}; give no more, or null for all"
            findings.add(f"{key}.limit", message)
    return found


def _read(selection: Selection, *, fetched: bool) -> Labelled:
    """The set as far as its labels; what would be downloaded is missing here all the same, and that is said."""
    try:
        return selection.read()
    except DataError as error:
        if fetched:
            raise DataError(f"{error}; nothing is downloaded here, a run would download it") from None
        raise


def _known(labelled: Labelled) -> Labelled:
    return labelled


def _located(part: ReaderSection) -> str:
    """The key that says where a set lies: a path, or the name of the set."""
    fields = type(part).model_fields.items()
    paths = (name for name, info in fields if any(isinstance(mark, PathMark) for mark in marks(info)))
    return next(paths, "name")


def _facts(scenario: Scenario, data: DataSection, sets: dict[str, Chosen], findings: Findings) -> list[str]:
    """What each set holds whose values are fit for J."""
    decoder = getattr(scenario.objective, "decoder", None)
    unit = isinstance(decoder, LikelihoodSection) and decoder.density().unit_interval
    like = torch.zeros((), dtype=getattr(torch, scenario.dtype))
    training = [sets.get(key) for key in (SOURCE, TARGET) if key in data.sets]
    known = [each.classes for each in training if each is not None]
    found = []
    for key, chosen in sets.items():
        held_out = key not in (SOURCE, TARGET)
        classes = max(known) if held_out and len(known) == len(training) else chosen.classes
        load = partial(load_sample, key, chosen, classes, unit_interval=unit, like=like)
        sample = findings.attempt(key, load) if len(chosen) else None
        if sample is None:
            continue
        held = 0 if held_out else held_out_count(len(chosen), data.validation_fraction)
        shape = chosen.labelled.shape
        kind = "images" if len(shape) == 3 else "data"
        found.append(
            f"{key}: {len(chosen)} {kind} of {' x '.join(map(str, shape))} in [{float(sample.x.min()):.4g}, "
            f"{float(sample.x.max()):.4g}], {chosen.classes} classes" + f", {held} held out" * bool(held)
        )
    return found


def _fits(scenario: Scenario, data: DataSection, folder: Path, sets: dict[str, Chosen], findings: Findings) -> None:
    """What else of the scenario asks something of its data: the coupling, J, its networks, and minibatches."""
    counts = [
        len(chosen) - held_out_count(len(chosen), data.validation_fraction)
        for chosen in (sets[key] for key in (SOURCE, TARGET) if key in sets)
    ]
    most = max(counts)
    if data.path == "optimal_transport" and len(counts) == 2:
        most = sum(counts)  # a plan has no more pairs
        if data.coupling is None:
            findings.attempt("data.path", partial(require_plan, *counts))
        else:
            pairs = findings.attempt("data.coupling", partial(read_coupling, folder / data.coupling, *counts))
            most = most if pairs is None else len(pairs.weights)
    findings.attempt("objective", partial(scenario.objective.require_data, counts[0]))
    shape = sets[SOURCE].labelled.shape
    ends = Ends(shape if len(shape) == 3 else (prod(shape),), max(each.classes for each in sets.values()))
    for name, part in scenario.objective.networks.items():
        if not part.own:
            findings.attempt(f"objective.{name}", partial(part.build, ends))
    for key, own in (("corrector.batch", scenario.corrector), ("start.equilibrate.batch", scenario.start.equilibrate)):
        batch = getattr(own, "batch", None)
        if batch is not None and (wrong := too_large(batch, most)):
            findings.add(key, wrong)
