"""What the repository's host reads: workflows and templates are YAML, and name what exists."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import rdc_dyn

ROOT = Path(rdc_dyn.__file__).parents[1]
GITHUB = ROOT / ".github"
FORMS = sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml"))


def _read(file: Path) -> Any:
    return YAML(typ="safe", pure=True).load(file)


def _steps() -> list[dict[str, Any]]:
    return [step for job in _read(GITHUB / "workflows" / "ci.yml")["jobs"].values() for step in job["steps"]]


def test_the_workflow_calls_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    called = [step["run"].split() for step in _steps() if "run" in step]
    assert {words[1] for words in called} == {"test", "docs", "package"}
    assert all(words[0] == "make" and words[1] in targets for words in called)


def test_the_workflow_uses_nothing_but_its_host_s_own_actions() -> None:
    used = [step["uses"] for step in _steps() if "uses" in step]
    assert used and all(re.fullmatch(r"actions/[a-z-]+@v\d+", name) for name in used)
    assert "://" not in (GITHUB / "workflows" / "ci.yml").read_text("utf-8")


def test_the_oldest_python_that_is_promised_is_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    versions = _read(GITHUB / "workflows" / "ci.yml")["jobs"]["test"]["strategy"]["matrix"]["python"]
    named = {name.rpartition(" ")[2] for name in project["classifiers"] if "Python :: 3." in name}
    assert f">={versions[0]}" == project["requires-python"] and set(versions) <= named


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.stem)
def test_forms_have_what_a_form_needs(form: Path) -> None:
    read = _read(form)
    assert {"name", "description", "body"} <= set(read)
    names = [field["id"] for field in read["body"]]
    assert len(set(names)) == len(names)
    for field in read["body"]:
        assert field["type"] in ("textarea", "input") and field["attributes"]["label"]


def test_there_are_forms_for_bugs_questions_and_features() -> None:
    assert [form.stem for form in FORMS] == ["bug", "feature", "question"]
    assert "rdc-dyn doctor" in (GITHUB / "ISSUE_TEMPLATE" / "bug.yml").read_text("utf-8")
