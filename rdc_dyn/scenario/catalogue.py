"""What a scenario can choose from: the words of the schema, each with a line of description."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from rdc_dyn.scenario import schema
from rdc_dyn.scenario.templates import templates

_CLOCKS = {
    "alpha": "alpha = 1: d lam = -C_gamma, d gamma = C_lam; speed follows the curvature of F",
    "multipliers": "unit speed in (lam, gamma)",
    "rate_distortion": "unit speed in (R, D)",
    "lam": "unit speed of lam; gamma follows, and alone restores what is held",
}
_LIKELIHOODS = {
    "gaussian": "D is half the squared error over the variance, plus a constant",
    "bernoulli": "D is the cross-entropy of x in [0, 1]",
}
_METHODS = {
    "euler": "order 1, fixed step, 1 evaluation of the vector field",
    "midpoint": "order 2, fixed step, 2 evaluations",
    "heun2": "order 2, fixed step, 2 evaluations",
    "heun3": "order 3, fixed step, 3 evaluations",
    "rk4": "order 4, fixed step, 4 evaluations (the 3/8 rule)",
    "adaptive_heun": "order 2, error control",
    "fehlberg2": "order 2, error control",
    "bosh3": "order 3, error control",
    "dopri5": "order 5, error control",
    "dopri8": "order 8, error control",
}


def catalogue() -> dict[str, list[tuple[str, str]]]:
    """List the words that can be chosen, each with a line of description, by kind of choice."""
    decoder_likelihoods = schema.MlpDecoder.model_fields["likelihood"].annotation
    clocks = schema.IsoClassification.model_fields["clock"].annotation
    methods = [word for word, _ in _members(schema.Integrator, "method")]
    return {
        "objectives": _members(schema.Objective, "kind"),
        "encoders": _members(schema.Encoder, "kind"),
        "decoders": [*_members(schema.Decoder, "kind"), *_words(schema.TableDecoder, "kind")],
        "classifiers": _members(schema.Classifier, "kind"),
        "data": _members(schema.DataSet, "name"),
        "processes": _members(schema.Process, "kind"),
        "clocks": [(word, _CLOCKS[word]) for word in get_args(clocks)],
        "integrators": [(word, _METHODS[word]) for word in methods],
        "correctors": _members(schema.Corrector, "method"),
        "responses": _members(schema.Response, "kind"),
        "solvers": _members(schema.Solver, "method"),
        "likelihoods": [(word, _LIKELIHOODS[word]) for word in get_args(decoder_likelihoods)],
        "templates": list(templates().items()),
    }


def _members(union: Any, key: str) -> list[tuple[str, str]]:
    """The tags of a tagged union, each with the first line of its section's docstring."""
    members = get_args(union)
    if not (isinstance(members[0], type) and issubclass(members[0], BaseModel)):
        members = get_args(members[0])  # Annotated[A | B, Field(discriminator=...)]
    return [word for member in members for word in _words(member, key)]


def _words(section: type[BaseModel], key: str) -> list[tuple[str, str]]:
    """The tags of one section of a tagged union, each with the first line of the section's docstring."""
    literal = section.model_fields[key].annotation
    assert get_origin(literal) is Literal and section.__doc__ is not None
    return [(tag, section.__doc__.strip().splitlines()[0]) for tag in get_args(literal)]
