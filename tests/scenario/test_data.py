"""The section data: sets, classes by name, held-out sets, and the folder of data sets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import rdc_dyn
from rdc_dyn.scenario import ScenarioError, absolute, dump, from_mapping, loads
from rdc_dyn.status import DataError
from tests.tiny import images

from .test_mistakes import GAUSSIAN, VAE

_FIRST = VAE.index("  source:")
_LAST = VAE.index("objective:")


def scenario(data: str) -> str:
    """A scenario whose section data is this, with each line two spaces in."""
    return VAE[:_FIRST] + "".join(f"  {line}\n" for line in data.splitlines()) + VAE[_LAST:]


def problems(data: str) -> list[tuple[str, str]]:
    """Where, counted from the first line of the section, and what."""
    with pytest.raises(ScenarioError) as raised:
        loads(scenario(data), "s")
    found = []
    for problem in raised.value.problems:
        _, line, column = problem.where.split(":")
        found.append(
            (f"{int(line) - VAE[:_FIRST].count(chr(10))}:{int(column) - 2}", f"{problem.key}: {problem.message}")
        )
    return found


@pytest.mark.parametrize(
    "data",
    [
        "source: {name: cifar10, classes: [airplane, automobile, ship, truck], split: test}",
        "source: {name: cifar10, classes: [airplane, 9]}\ntarget: {name: cifar10, classes: [2, cat]}",
        "source: {name: fashion_mnist, classes: [T-shirt/top, Ankle boot], limit: 10}",
        "source: {name: mnist, split: train}\nvalidation: {source: {name: mnist, split: test}}",
        "source: {name: mnist}\nvalidation: {source: {name: fashion_mnist}}",
        "source: {name: image_folder, folder: a, size: 8, classes: [cat, 3]}\n"
        "validation: {source: {name: image_folder, folder: b, size: 8, classes: [cat, 3]}}",
        "source: {name: npz, file: a.npz}\nvalidation: {source: {name: npz, file: b.npz}, target: null}",
        "source: {name: mnist, classes: [0, 1]}\ntarget: {name: mnist, classes: [2, 3]}\nvalidation_fraction: 0\n"
        "validation: {source: {name: mnist, classes: [0, 1], split: test},"
        " target: {name: mnist, classes: [2, 3], split: test}}",
    ],
)
def test_sections_that_are_right(data: str) -> None:
    found = loads(scenario(data))
    assert loads(dump(found)) == found
    assert from_mapping(found.model_dump(by_alias=True)) == found


@pytest.mark.parametrize(
    ("data", "where", "words"),
    [
        (
            "source: {name: cifar10, classes: [cat, @catt]}",
            "classes.1",
            "unknown class 'catt'; choose one of: airplane, ",
        ),
        ("source: {name: cifar10, classes: [cat, @catt]}", "classes.1", "truck; did you mean 'cat'?"),
        (
            "source: {name: fashion_mnist, classes: [@coat]}",
            "classes.0",
            "unknown class 'coat'; choose one of: T-shirt/t",
        ),
        ("source: {name: cifar10, classes: [cat, dog, @3]}", "classes.2", "the class 3 is given twice"),
        ("source: {name: mnist, classes: [1, 2, @1]}", "classes.2", "the class 1 is given twice"),
        ("source: {name: image_folder, folder: a, size: 8, classes: [x, @x]}", "classes.1", "class 'x' is given twice"),
        ("source: {name: mnist, classes: [@one]}", "classes.0", "expected a whole number >= 0, got the string 'one'"),
        ("source: {name: cifar10, classes: [1, @-2]}", "classes.1", "expected a whole number >= 0 or a text, got -2"),
        (
            "source: {name: cifar10, classes: [1, @'']}",
            "classes.1",
            "expected a whole number >= 0 or a text, got the str",
        ),
        ("source: {name: cifar10, classes: [@true]}", "classes.0", "expected a whole number >= 0 or a text, got true"),
        (
            "source: {name: cifar10, classes: @cat}",
            "classes",
            "expected all or a non-empty list of whole numbers >= 0 or",
        ),
        ("source: {name: cifar10, classes: @[]}", "classes", "non-empty list of whole numbers >= 0 or texts, got []"),
        ("source: {name: mnist, split: @tset}", "split", "unknown split 'tset'; choose one of: train, test; did you"),
        ("source: {name: digits, @split: test}", "split", "only of: mnist, fashion_mnist, cifar10"),
        ("source: {name: npz, file: a, @size: 3}", "size", "not a key of name 'npz', only of: image_folder"),
        ("@source: {name: image_folder, size: 8}", "folder", "missing; expected a text"),
        ("@source: {name: image_folder, folder: a}", "size", "missing; expected a whole number >= 1"),
        ("source: {name: image_folder, folder: a, size: @0}", "size", "must be >= 1, got 0"),
        ("source: {name: image_folder, folder: a, size: 8, channels: @grays}", "channels", "choose one of: rgb, grey"),
    ],
)
def test_one_mistake_in_a_set(data: str, where: str, words: str) -> None:
    text, _, _ = data.partition("@")
    ((place, message),) = problems(data.replace("@", ""))
    assert place == f"1:{len(text) + 1}"
    assert message.startswith(f"data.source.{where}: ") and words in message


@pytest.mark.parametrize(
    ("data", "key", "words"),
    [
        (
            "source: {name: mnist}\nvalidation_fraction: 0.1\nvalidation: {source: {name: mnist, split: test}}",
            "data.validation_fraction",
            "not with data.validation, which names the held-out data",
        ),
        (
            "source: {name: mnist}\nvalidation: {source: {name: mnist}}",
            "data.validation.source.split",
            "these are the data of data.source again, not held-out ones; give split: test",
        ),
        (
            "source: {name: mnist, split: test}\nvalidation: {source: {name: mnist, split: test}}",
            "data.validation.source.split",
            "these are the data of data.source again",
        ),
        (
            "source: {name: digits, limit: 9}\nvalidation: {source: {name: digits}}",
            "data.validation.source.name",
            "leave data.validation out, set data.validation_fraction",
        ),
        (
            "source: {name: npz, file: a}\nvalidation: {source: {name: npz, file: a}}",
            "data.validation.source.file",
            "these are the data of data.source again",
        ),
        (
            "source: {name: mnist, classes: [3, 5]}\nvalidation: {source: {name: mnist, split: test}}",
            "data.validation.source.classes",
            "must be those of data.source, [3, 5], so that labels mean the same",
        ),
        (
            "source: {name: mnist, classes: [3, 5]}\nvalidation: {source: {name: mnist, split: test, classes: [5, 3]}}",
            "data.validation.source.classes",
            "must be those of data.source, [3, 5]",
        ),
        (
            "source: {name: mnist}\ntarget: {name: digits}\nvalidation: {source: {name: mnist, split: test}}",
            "data.validation.target",
            "missing; data.target moves the data to a set of its own",
        ),
        (
            "source: {name: mnist}\nvalidation: {source: {name: mnist, split: test}, target: {name: digits}}",
            "data.validation.target",
            "not used: there is no data.target",
        ),
        (
            "source: {name: mnist}\nvalidation: {}",
            "data.validation.source",
            "missing; expected a section with name: one",
        ),
        (
            "source: {name: mnist}\nvalidation: 0.2",
            "data.validation",
            "expected a section with the keys source, target",
        ),
        (
            "source: {name: mnist}\nvalidation: {source: {name: cifar10, classes: [cta]}}",
            "data.validation.source.classes.0",
            "did you mean 'cat'?",
        ),
    ],
)
def test_one_mistake_in_what_is_held_out(data: str, key: str, words: str) -> None:
    ((_, message),) = problems(data)
    assert message.startswith(f"{key}: ") and words in message


def test_linear_gaussian_has_nothing_to_hold_out() -> None:
    with pytest.raises(ScenarioError, match=r"data\.validation: not used"):
        loads(GAUSSIAN + "data: {validation: {source: {name: digits}}}\n")


# --- the folder of data sets ----------------------------------------------------------------------------------------


def tree(**data: Any) -> Any:
    return from_mapping(images() | {"data": {"source": {"name": "digits"}} | data})


def test_the_folder_of_data_sets_is_written_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mnist: Any = {"source": {"name": "mnist"}}
    here, there = tmp_path / "here", tmp_path / "there"

    def root(scenario: Any) -> Any:
        found: Any = absolute(scenario, here)
        return found.data.root

    assert root(tree(**mnist)) is None
    monkeypatch.setenv("RDC_DYN_DATA", str(there))
    assert root(tree(**mnist)) == str(there)
    assert root(tree(**mnist, root="own")) == str(here / "own")
    # The variable is no part of a scenario that reads nothing from there: its copy is the same on every machine.
    assert absolute(tree(), here) == tree()
    held_out = tree(validation={"source": {"name": "mnist", "split": "test"}})
    assert root(held_out) == str(there)
    once = absolute(tree(**mnist), here)
    monkeypatch.delenv("RDC_DYN_DATA")
    assert absolute(once, tmp_path / "elsewhere") == once
    monkeypatch.setenv("RDC_DYN_DATA", "relative")
    assert tree(**mnist).data.root_folder(here) == Path.cwd() / "relative"
    monkeypatch.setenv("RDC_DYN_DATA", "")
    assert tree(**mnist).data.root_folder(here) is None


def test_a_folder_of_images_lies_in_the_root_or_beside_the_scenario(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos: Any = {"name": "image_folder", "folder": "train", "size": 8}
    both = {"source": photos, "validation": {"source": photos | {"folder": "test"}}}
    here = tmp_path / "here"

    def folders(scenario: Any) -> list[str]:
        found: Any = absolute(scenario, here)
        assert absolute(found, tmp_path / "elsewhere") == found
        return [os.path.relpath(s.folder, tmp_path) for s in (found.data.source, found.data.validation.source)]

    assert folders(tree(**both)) == ["here/train", "here/test"]
    assert folders(tree(**both, root="photos")) == ["here/photos/train", "here/photos/test"]
    monkeypatch.setenv("RDC_DYN_DATA", str(tmp_path / "all"))
    assert folders(tree(**both)) == ["all/train", "all/test"]


def test_a_run_looks_where_the_variable_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mnist = tree(source={"name": "mnist"})
    with pytest.raises(DataError, match=r"data\.root is not set.*RDC_DYN_DATA"):
        rdc_dyn.run(mnist)
    monkeypatch.setenv("RDC_DYN_DATA", str(tmp_path))
    with pytest.raises(DataError, match=f"{tmp_path}: mnist not found"):
        rdc_dyn.run(mnist)


def test_a_download_needs_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    data = "source: {name: mnist}\ndownload: true"
    ((_, message),) = problems(data)
    assert message.startswith("data.root: missing") and "RDC_DYN_DATA" in message
    monkeypatch.setenv("RDC_DYN_DATA", "anywhere")
    assert loads(scenario(data)).data is not None
