"""A combination of predictors whose weights are learned from measured responses, scored on stimulations it never saw.

It is no opponent that was fixed in advance: it shows what the predictors could say together if responses to the
stimulation of other neurons were known. Folds are of stimulated neurons, so that no pair of a scored stimulation is
learned from.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata

from connfit.analysis.measured.wiring_predictors import Predictor

NAME = "learned"
FOLDS = 10
PENALTY = 1.0
"""Ridge penalty of the weights, on features of variance 1; not tuned."""
STEPS = 25
"""Newton steps; a penalised logistic regression of a dozen features needs about six."""


def learned_combination(
    parts: Sequence[Predictor],
    responds: Bool[np.ndarray, "R"],
    group: Int[np.ndarray, "R"],
    *,
    seed: int = 0,
    others: str = "stimulations",
) -> Predictor:
    """Return predictions of each pair by a logistic regression that was fitted to the stimulations of other folds.

    Features are the ranks of the sizes of predictions, 0 where one says nothing of a pair, and whether it does.

    Parameters
    ----------
    responds, group
        [R] whether a pair responds, and the number of the neuron that varies: stimulated, or silenced.
    seed
        Of the folds.
    others
        What the other folds are, for the label.
    """
    features = _features(parts)
    groups = int(group.max()) + 1
    fold_of = np.empty(groups, int)
    fold_of[np.random.default_rng(seed).permutation(groups)] = np.arange(groups) % FOLDS
    fold = fold_of[group]
    found = np.full(len(responds), np.nan)
    for number in range(min(FOLDS, groups)):
        out = fold == number
        if 0 < responds[~out].sum() < (~out).sum():
            weights = logistic_weights(features[~out], responds[~out])
            # Above 0 whatever is predicted: what is ranked is the size.
            found[out] = 1 / (1 + np.exp(-(features[out] @ weights)))
    label = f"learned from other {others} ({FOLDS} folds)"
    return Predictor(NAME, label, "learned", found)


def _features(parts: Sequence[Predictor]) -> Float[np.ndarray, "R F"]:
    """A constant, ranks with variance 1, and whether a predictor says anything where it does not always."""
    columns = [np.ones(len(parts[0].values))]
    for part in parts:
        known = np.isfinite(part.values)
        ranks = np.zeros(len(known))
        if known.any():
            ranks[known] = (rankdata(np.abs(part.values[known])) - 0.5) / known.sum() - 0.5
        columns.append(ranks * np.sqrt(12))
        if not known.all():
            columns.append(known - known.mean())
    return np.column_stack(columns)


def logistic_weights(features: Float[np.ndarray, "R F"], responds: Bool[np.ndarray, "R"]) -> Float[np.ndarray, "F"]:
    """Fit a logistic regression with a ridge penalty on all weights but the first, by Newton's method."""
    penalty = PENALTY * np.eye(features.shape[1])
    penalty[0, 0] = 1e-9  # the constant: only so much that the system has a solution
    weights = np.zeros(features.shape[1])
    for _ in range(STEPS):
        expected = 1 / (1 + np.exp(-(features @ weights)))
        gradient = features.T @ (responds - expected) - penalty @ weights
        curvature = (features * (expected * (1 - expected))[:, None]).T @ features + penalty
        step = np.linalg.solve(curvature, gradient)
        weights += step
        if np.abs(step).max() < 1e-9:
            break
    return weights
