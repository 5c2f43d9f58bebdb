"""Build J from the sections `objective` and `data`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from rdc_dyn.objective import Amortised, FiniteLatent, ImportanceWeighted, LinearGaussian, Objective
from rdc_dyn.objective.data import Data
from rdc_dyn.objective.likelihood import Bernoulli, Gaussian, Likelihood
from rdc_dyn.parts.data import build_data
from rdc_dyn.parts.networks import Ends, build_networks
from rdc_dyn.parts.own_modules import Own, check_own
from rdc_dyn.scenario import Scenario, schema
from rdc_dyn.status import DataError


def build_objective(scenario: Scenario, folder: Path, like: Tensor, own: Own) -> tuple[Objective, Data | None]:
    """J, and its data where it has samples, in the dtype and on the device of `like`.

    A UserError reports modules that do not fit, a DataError data that cannot be used.
    """
    section = scenario.objective
    check_own(section, own)
    if isinstance(section, schema.LinearGaussian):
        path = "mixture" if scenario.data is None else scenario.data.path
        return _linear_gaussian(section, path, like), None
    likelihood = _likelihood(section.decoder)
    assert scenario.data is not None  # the scenario's checks ask for it
    data = build_data(scenario.data, scenario.seed, folder, likelihood, like)
    if isinstance(section, schema.FiniteLatent):
        if section.alphabet_size > len(data.source):
            raise DataError(f"objective.alphabet_size: {section.alphabet_size} codes for {len(data.source)} data")
        return FiniteLatent(data, section.alphabet_size, likelihood, section.weight_prior_precision), data
    networks = build_networks(section, Ends.of(data), own, like, data.source.x[:2])
    common: dict[str, Any] = {
        "data": data,
        "networks": networks,
        "latent_dim": section.encoder.latent_dim,
        "likelihood": likelihood,
        "samples": section.samples,
        "weight_prior_precision": section.weight_prior_precision,
        "seed": scenario.seed,
        "fresh": section.noise == "fresh",
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


def _likelihood(
    decoder: schema.MlpDecoder | schema.DeconvDecoder | schema.ModuleDecoder | schema.TableDecoder,
) -> Likelihood:
    return Gaussian(decoder.variance) if decoder.likelihood == "gaussian" else Bernoulli()
