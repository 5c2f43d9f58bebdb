"""Scenarios that run in a moment, and records without a run."""

from __future__ import annotations

import copy
import math
from typing import Any

from rdc_dyn.record import VARIABLES, Record
from rdc_dyn.store.dataset import to_dataset

_MOMENT = [
    [2.0, 0.3, 0.1, 0.8, 0.1],
    [0.3, 1.0, 0.2, 0.1, 0.3],
    [0.1, 0.2, 0.5, 0.2, 0.1],
    [0.8, 0.1, 0.2, 1.0, 0.2],
    [0.1, 0.3, 0.1, 0.2, 0.8],
]
_LINEAR_GAUSSIAN = {
    "name": "tiny",
    "threads": 1,
    "device": "cpu",
    "objective": {
        "kind": "linear_gaussian",
        "x_dim": 3,
        "y_dim": 2,
        "latent_dim": 2,
        "distortion_variance": 0.5,
        "label_variance": 0.2,
        "source_second_moment": _MOMENT,
    },
    "start": {"lam": 1.0, "gamma": 1.0, "equilibrate": {"adam_steps": 50, "learning_rate": 0.1}},
    "process": {"kind": "prescribed", "span": [0.0, 0.4], "path": {"lam": 1.2, "gamma": 1.5}},
    "response": {"solver": {"method": "dense"}},
    "integrator": {"method": "euler", "step_size": 0.1},
}
_IMAGES = {
    "name": "images",
    "threads": 1,
    "device": "cpu",
    "data": {"source": {"name": "digits", "classes": [0, 1, 2], "limit": 60}, "validation_fraction": 0.2},
    "objective": {
        "kind": "finite_latent",
        "alphabet_size": 3,
        "decoder": {"likelihood": "gaussian", "variance": 0.1},
        "weight_prior_precision": 0.1,
    },
    "start": {"lam": 0.5, "gamma": 1.0, "equilibrate": {"adam_steps": 50, "learning_rate": 0.1}},
    "process": {"kind": "prescribed", "span": [0.0, 0.2], "path": {"lam": 0.55, "gamma": 1.1}},
    "integrator": {"method": "euler", "step_size": 0.1},
}


def _merge(tree: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(tree.get(key), dict):
            _merge(tree[key], value)
        else:
            tree[key] = value
    return tree


def linear_gaussian(**changes: Any) -> dict[str, Any]:
    """Four Euler steps along a prescribed path; `changes` are merged section by section."""
    return _merge(copy.deepcopy(_LINEAR_GAUSSIAN), changes)


def images(**changes: Any) -> dict[str, Any]:
    """Two steps of a finite latent alphabet on 60 digits."""
    return _merge(copy.deepcopy(_IMAGES), changes)


def record(time: float = 0.0, **values: float) -> Record:
    """A record with a number for everything that every run has."""
    needed = {name: 0.1 + 0.7 * i for i, (name, v) in enumerate(VARIABLES.items()) if not v.optional}
    response = ((0.1, 0.2, 0.0), (-1 / 3, -0.1, 0.0), (-0.1, -2 / 3, math.nan))
    return Record(time, needed | values, response)


ATTRIBUTES: dict[str, str | int | float] = {
    "title": "tiny",
    "scenario": "name: tiny\n",
    "seed": 0,
    "status": "COMPLETED",
    "status_message": "done",
}


def trajectory(points: int = 3) -> Any:
    """A trajectory of made-up records."""
    return to_dataset([record(0.1 * i, lam=1.0 + i, rate=1.0 - 0.1 * i) for i in range(points)], ATTRIBUTES)
