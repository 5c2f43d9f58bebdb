"""Whether codes say anything: I(x; z) ≤ R, and C of codes that say nothing of y is the entropy H(y) of the labels."""

from collections.abc import Sequence

import torch

from rdc_dyn.objective import Objective
from rdc_dyn.objective.base import OverData

#: R in nats below which the codes are as good as one code for all data.
NOTHING = 0.01
#: Share of H(y) above which C is that of a guess.
GUESS = 0.99
_ADVICE = "; doctor SCENARIO --scan looks for multipliers at which D and C respond"


def label_entropy(objective: Objective, data_position: float) -> float | None:
    """H(y) in nats of the training labels at t, or None where J is no sum over labelled data."""
    if not isinstance(objective, OverData):
        return None
    data = objective.data
    shares = torch.bincount(data.source.y, minlength=data.classes).double() / len(data.source)
    if data.target is not None:
        goal = torch.bincount(data.target.y, minlength=data.classes).double() / len(data.target)
        shares = (1 - data_position) * shares + data_position * goal
    return float(-torch.special.xlogy(shares, shares).sum())


def collapse(objective: Objective, rate: float, classification_loss: float, controls: Sequence[float]) -> str | None:
    """What has collapsed and what to change, in a sentence; None if codes tell of x and, where γ > 0, of y."""
    _, gamma, data_position = controls
    entropy = label_entropy(objective, data_position) if gamma > 0 else None
    if rate < NOTHING:
        return (
            f"the model has collapsed: R = {rate:.2g} nat, and codes tell of x no more than that, so that D and C are "
            "those of one code for all data and hardly respond to lam and gamma; try a larger start.lam or "
            "start.gamma, a smaller objective.weight_prior_precision or more units" + _ADVICE * (entropy is not None)
        )
    if entropy is not None and entropy > 0 and classification_loss > GUESS * entropy:
        return (
            f"C = {classification_loss:.4g} nat is that of a guess (the entropy of the labels is {entropy:.4g}): codes "
            "tell nothing of the classes, and C hardly responds to lam and gamma; try a larger start.gamma or a "
            f"smaller objective.weight_prior_precision{_ADVICE}"
        )
    return None
