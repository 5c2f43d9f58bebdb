# make demo: set up .venv and run the main job into runs/demo.   make test: set up .venv and run all checks and tests.
# make docs: build the documentation into docs/_build/html; its tutorials run then.
# make package: build sdist and wheel into dist, install the wheel aside and run it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-slow bench docs package lint setup clean

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $@

demo: setup
	rm -rf runs/demo
	$(BIN)/rdc-dyn run scenarios/digits_iso_classification.yaml -o runs/demo
	$(BIN)/rdc-dyn plot runs/demo -o runs/demo/trajectory.png

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" --numprocesses auto --dist worksteal

test-slow: setup
	$(BIN)/python -m pytest -m slow

bench: setup
	$(BIN)/python -m tests.benchmarks

docs: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html

package: setup
	$(BIN)/python -m build --outdir dist
	$(BIN)/python -m pytest -m slow tests/test_package.py

clean:
	rm -rf $(VENV) runs docs/_build dist
