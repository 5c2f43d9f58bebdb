"""The sections `objective` and `data` become J."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rdc_dyn.objective import Amortised, FiniteLatent, ImportanceWeighted, LinearGaussian, Objective
from rdc_dyn.objective.data import Data
from rdc_dyn.objective.datasets import Selection, Transport, load_data
from rdc_dyn.objective.likelihood import Bernoulli, Gaussian, Likelihood
from rdc_dyn.objective.networks import Networks, mlp
from rdc_dyn.scenario import Scenario, schema
from rdc_dyn.status import DataError


def build_objective(scenario: Scenario, folder: Path, like: Tensor) -> tuple[Objective, Data | None]:
    """J with its data.

    Args:
        scenario: Any.
        folder: Folder that relative paths start from.
        like: Tensor whose dtype and device J gets.

    Returns:
        The objective, and its data where it has samples.

    Raises:
        DataError: If the data cannot be used.
    """
    section = scenario.objective
    if isinstance(section, schema.LinearGaussian):
        path = "mixture" if scenario.data is None else scenario.data.path
        return _linear_gaussian(section, path, like), None
    likelihood = _likelihood(section.decoder)
    assert scenario.data is not None  # the scenario's checks ask for it
    data = _data(scenario.data, scenario.seed, folder, likelihood, like)
    if isinstance(section, schema.FiniteLatent):
        if section.alphabet_size > len(data.source):
            raise DataError(f"objective.alphabet_size: {section.alphabet_size} codes for {len(data.source)} data")
        return FiniteLatent(data, section.alphabet_size, likelihood, section.weight_prior_precision), data
    networks = Networks(
        mlp((data.x_dim, *section.encoder.hidden, 2 * section.encoder.latent_dim), section.encoder.activation),
        mlp((section.encoder.latent_dim, *section.decoder.hidden, data.x_dim), section.decoder.activation),
        nn.Linear(section.encoder.latent_dim, data.classes, device="meta"),
    )
    common: dict[str, Any] = {
        "data": data,
        "networks": networks,
        "latent_dim": section.encoder.latent_dim,
        "likelihood": likelihood,
        "samples": section.samples,
        "weight_prior_precision": section.weight_prior_precision,
        "seed": scenario.seed,
    }
    if isinstance(section, schema.ImportanceWeighted):
        return ImportanceWeighted(**common, importance_samples=section.importance_samples or section.samples), data
    return Amortised(**common), data


def _linear_gaussian(
    section: schema.LinearGaussian, path: Literal["mixture", "optimal_transport"], like: Tensor
) -> LinearGaussian:
    def moment(rows: schema.Matrix | None) -> Tensor | None:
        return None if rows is None else torch.tensor(rows, dtype=like.dtype, device=like.device)

    source = moment(section.source_second_moment)
    assert source is not None
    return LinearGaussian(
        x_dim=section.x_dim,
        y_dim=section.y_dim,
        latent_dim=section.latent_dim,
        distortion_variance=section.distortion_variance,
        label_variance=section.label_variance,
        source=source,
        target=moment(section.target_second_moment),
        path=path,
        weight_prior_precision=section.weight_prior_precision,
    )


def _likelihood(decoder: schema.MlpDecoder | schema.TableDecoder) -> Likelihood:
    return Gaussian(decoder.variance) if decoder.likelihood == "gaussian" else Bernoulli()


def _data(section: schema.Data, seed: int, folder: Path, likelihood: Likelihood, like: Tensor) -> Data:
    def selection(part: schema.Digits | schema.TorchvisionImages | schema.Npz) -> Selection:
        if isinstance(part, schema.Npz):
            path: Path | None = folder / part.file
        else:
            path = None if section.root is None else folder / section.root
        classes = None if part.classes == "all" else part.classes
        return Selection(part.name, classes, part.limit, path, section.download)

    assert section.source is not None  # the scenario's checks ask for it
    file = None if section.coupling is None else folder / section.coupling
    transport = Transport(file, section.label_cost)
    return load_data(
        selection(section.source),
        None if section.target is None else selection(section.target),
        section.validation_fraction,
        seed,
        unit_interval=isinstance(likelihood, Bernoulli),
        like=like,
        transport=transport if section.path == "optimal_transport" else None,
    )
