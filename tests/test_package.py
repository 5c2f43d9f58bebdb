"""What is shipped: the wheel has all that the program needs, and runs where nothing of the repository is in sight."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

import rdc_dyn

ROOT = Path(rdc_dyn.__file__).parents[1]
pytestmark = pytest.mark.slow


def _built(hook: str, tree: Path, out: Path) -> Path:
    """The file that a hook of the build backend makes of a tree."""
    out.mkdir()
    code = f"import sys; from setuptools import build_meta; build_meta.{hook}(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, str(out)], cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (file,) = out.iterdir()
    return file


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, for a build leaves files behind."""
    path = tmp_path_factory.mktemp("tree")
    for folder in ("rdc_dyn", "scenarios", "tests"):
        shutil.copytree(ROOT / folder, path / folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ROOT.iterdir():
        if file.suffix in (".md", ".toml", ".cff", ".in") or file.name == "LICENSE":
            shutil.copy(file, path)
    return path


@pytest.fixture(scope="module")
def sdist(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _built("build_sdist", tree, tmp_path_factory.mktemp("sdist") / "out")


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that is made of the sdist, as whoever downloads that would make it."""
    path = tmp_path_factory.mktemp("wheel")
    with tarfile.open(sdist) as archive:
        archive.extractall(path, filter="data")
    (unpacked,) = path.iterdir()
    return _built("build_wheel", unpacked, path / "out")


def _contents(wheel: Path) -> dict[str, int]:
    """The files of a wheel, with their checksums; without its metadata."""
    with zipfile.ZipFile(wheel) as archive:
        return {each.filename: each.CRC for each in archive.infolist() if ".dist-info/" not in each.filename}


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    package = ROOT / "rdc_dyn"
    files = {file for file in package.rglob("*") if file.is_file() and "__pycache__" not in file.parts}
    files |= {
        package / "scenario" / "examples" / file.relative_to(ROOT / "scenarios")
        for file in (ROOT / "scenarios").rglob("*.*")
    }
    expected = {file.relative_to(ROOT).as_posix() for file in files}
    assert set(_contents(wheel)) == expected
    assert sum(name.startswith("rdc_dyn/scenario/examples/") for name in expected) >= 40


def test_the_sdist_makes_the_same_wheel_as_the_tree(tree: Path, sdist: Path, wheel: Path, tmp_path: Path) -> None:
    assert _contents(wheel) == _contents(_built("build_wheel", tree, tmp_path / "out"))
    with tarfile.open(sdist) as archive:
        members = archive.getmembers()
    assert all(member.isfile() or member.isdir() for member in members)  # links might lead nowhere where it is unpacked
    top = {member.name.partition("/")[2] for member in members}
    assert {"LICENSE", "CITATION.cff", "CHANGELOG.md", "README.md", "PACKAGE.md", "pyproject.toml"} <= top
    assert not any(name.startswith("tests/") for name in top)


def test_the_page_of_the_package_stands_alone(wheel: Path) -> None:
    """No link or picture leads into the repository."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = message_from_bytes(archive.read(name))
    text = metadata.get_payload()
    assert isinstance(text, str) and text.startswith("# rdc_dyn")
    targets = re.findall(r"\]\(([^)]*)\)", text)
    assert targets and all(target.startswith("https://") for target in targets)
    assert "Typing :: Typed" in (metadata.get_all("Classifier") or [])
    assert metadata["License-Expression"] == "MIT"


def test_the_wheel_runs(wheel: Path, tmp_path: Path) -> None:
    """From an empty folder, with the dependencies of this environment and the program of the wheel alone."""
    target, work = tmp_path / "target", tmp_path / "work"
    work.mkdir()
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target)]
    subprocess.run([*install, str(wheel)], check=True, cwd=work)
    places = [str(target), sysconfig.get_path("purelib")]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment = kept | {"PYTHONPATH": os.pathsep.join(places), "OMP_NUM_THREADS": "1"}

    def told(*words: str) -> str:
        done = subprocess.run(words, cwd=work, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    program = str(target / "bin" / "rdc-dyn")
    assert Path(told(sys.executable, "-c", "import rdc_dyn; print(rdc_dyn.__file__)").strip()).is_relative_to(target)
    shipped = {
        file.relative_to(ROOT / "scenarios").with_suffix("").as_posix() for file in (ROOT / "scenarios").rglob("*.yaml")
    }
    assert {line.split()[0] for line in told(program, "list", "examples").splitlines()[1:]} == shipped
    told(program, "init", "vae", "-o", "my.yaml")
    assert "valid" in told(program, "validate", "my.yaml")
    example = "linear_gaussian_iso_classification"
    told(program, "run", example, "-o", "run", "-q", "--set", "process.span=[0.0, 0.2]")
    told(program, "verify", "run")
