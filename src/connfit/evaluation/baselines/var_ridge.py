"""A ridge vector autoregression of one recording, or of several animals pooled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from connfit.config import EvaluateConfig
from connfit.evaluation.baselines import BASELINES, Baseline
from connfit.evaluation.baselines.autoregression import JointAutoregression
from connfit.evaluation.baselines.choosing import at_edge, least
from connfit.evaluation.baselines.linear_problem import Problem
from connfit.evaluation.baselines.ridge_path import ridge_candidates
from connfit.recordings import Recording

ALPHAS = tuple(float(alpha) for alpha in 10.0 ** np.arange(-2.0, 6.5, 0.5))
"""Ridge penalties that are tried; inputs are scaled to variance 1, so the Gram matrix is of the order of the frames."""

ALPHAS_OWN = tuple(float(alpha) for alpha in 10.0 ** np.arange(-2.0, 6.5, 1.0))
"""Those of a unit's own past."""


@dataclass(frozen=True, eq=False)
class VarRidge(JointAutoregression):
    """Linear vector autoregression of all units on the last `lags` frames, with a ridge penalty.

    y(t) = c + Σ_l A_l y(t - l), on units scaled to mean 0 and variance 1 of the training part, with α times the
    squares of the coefficients of other units' past and α_own times those of a unit's own as penalty; with
    `shrink_to = "persistence"` it is the change y(t) - y(t - 1) that is regressed, so that a strong penalty leads to
    persistence rather than to the mean. Source: Hoerl & Kennard (1970) Technometrics 12:55; see
    `connfit.evaluation.baselines.ridge_path`.

    Missing values are marginalised, in the fit by expectation maximisation and in predictions by the Kalman filter:
    see `connfit.evaluation.baselines.gap_moments` and `connfit.evaluation.baselines.gap_filter`. Choices are then made
    on the moments, and on the filtered frames, of one autoregression with few lags (exact expectation maximisation of
    every candidate would cost hours), and two more steps refine what was chosen.
    """

    name: str = "var_ridge"

    @classmethod
    def _tuned(cls, recordings: Sequence[Recording], config: EvaluateConfig) -> VarRidge:
        problem = Problem.of(recordings, config.var_lags, "a vector autoregression")
        best = least(
            candidate
            for moments in problem.moments.values()
            for candidate in ridge_candidates(problem.errors, moments, ALPHAS, ALPHAS_OWN)
        )
        assert best is not None
        error, choice = best
        process, moments = problem.finish(choice.solve, choice.lags)
        units = int(problem.fitted.sum())
        chosen = {
            "lags": choice.lags,
            "alpha": choice.alpha,
            "alpha_at_edge": at_edge(choice.alpha, ALPHAS),
            "alpha_own": choice.alpha_own,
            "alpha_own_at_edge": at_edge(choice.alpha_own, ALPHAS_OWN),
            "shrink_to": choice.shrink_to,
            "intercept": choice.intercept,
            "tuned_on": problem.tuned_on,
            "tuning_mse": error,
        }
        return cls._of(problem, process, moments, units * (choice.lags * units + choice.intercept), chosen)


BASELINES.register(
    Baseline(
        name="var_ridge",
        label="ridge VAR",
        place=4,
        fit=VarRidge.fit,
        pooled=VarRidge.pooled,
        does="linear autoregression of all units with a ridge penalty",
        parameters="coefficients of all pairs of units and lags, and constants",
        uses=("var_lags",),
        linear=True,
        colour="#009E73",
    )
)
