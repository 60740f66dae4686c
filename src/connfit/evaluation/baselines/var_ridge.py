"""A ridge vector autoregression of one recording, or of several animals pooled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from connfit.config import EvaluateConfig
from connfit.evaluation.baselines import BASELINES, Baseline
from connfit.evaluation.baselines.gap_moments import Moments
from connfit.evaluation.baselines.linear import LinearForecaster
from connfit.evaluation.baselines.linear_problem import Problem, edges
from connfit.evaluation.baselines.linear_problem import pooled_means as pooled_means
from connfit.evaluation.baselines.linear_problem import unit_moments as moments
from connfit.evaluation.baselines.own_past import TO_MEAN, TO_PERSISTENCE
from connfit.evaluation.baselines.ridge_path import RidgePath
from connfit.recordings import Recording

__all__ = ["ALPHAS", "ALPHAS_OWN", "VarRidge", "moments", "pooled_means"]

ALPHAS = tuple(float(alpha) for alpha in 10.0 ** np.arange(-2.0, 6.5, 0.5))
"""Ridge penalties that are tried; inputs are scaled to variance 1, so the Gram matrix is of the order of the frames."""

ALPHAS_OWN = tuple(float(alpha) for alpha in 10.0 ** np.arange(-2.0, 6.5, 1.0))
"""Those of a unit's own past."""


@dataclass(frozen=True)
class VarChoice:
    """What is chosen on validation.

    Parameters
    ----------
    lags
        Past frames.
    alpha, alpha_own
        Ridge penalties of other units' past and of a unit's own.
    shrink_to
        What strong penalties lead to.
    intercept
        Whether there is one.
    """

    lags: int
    alpha: float
    alpha_own: float
    shrink_to: str
    intercept: bool


@dataclass(frozen=True, eq=False)
class VarRidge(LinearForecaster):
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
    def fit(cls, recording: Recording, config: EvaluateConfig | None = None) -> VarRidge:
        """Fit on the training part; every choice is the one of least one-step MSE on validation.

        Raises
        ------
        DataError
            If the training part is too short, or nothing was observed to tune on.
        """
        return cls._tuned([recording], config or EvaluateConfig())

    @classmethod
    def pooled(
        cls, recordings: Sequence[Recording], units: Sequence[str], config: EvaluateConfig | None = None
    ) -> VarRidge:
        """One autoregression of several animals, for the units of another one.

        It is fitted to the training parts and tuned on the validation parts of all recordings together,
        on those of `units` that every recording has. The other units are predicted not to change.

        Parameters
        ----------
        recordings
            Of the animals to learn from, each on its own scale.
        units
            [P] of the recording that is to be predicted, in its order.

        Raises
        ------
        DataError
            If the recordings share none of these units, or too few frames were recorded.
        """
        return cls._pooled(lambda some: cls._tuned(some, config or EvaluateConfig()), recordings, units)

    @classmethod
    def _tuned(cls, recordings: Sequence[Recording], config: EvaluateConfig) -> VarRidge:
        problem = Problem.of(recordings, config.var_lags, "a vector autoregression")
        best, choice = np.inf, None
        for lags, given in problem.moments.items():
            for intercept in (True, False):
                path = None
                for shrink_to in (TO_MEAN, TO_PERSISTENCE):
                    target = _target(given, shrink_to, intercept)
                    path = RidgePath.of(target) if path is None else path.target(target)
                    x, constant, start = problem.x[:, : len(target.sum_x)], 0.0, 0.0
                    if intercept:
                        x, constant = x - target.sum_x / target.rows, target.sum_y / target.rows
                    if shrink_to == TO_PERSISTENCE:
                        start = problem.x[:, : given.units]
                    for alpha, alpha_own, prediction in path.predictions(x, ALPHAS, ALPHAS_OWN):
                        error = problem.error(prediction + constant + start)
                        if error < best or choice is None:
                            best, choice = error, VarChoice(lags, alpha, alpha_own, shrink_to, intercept)
        assert choice is not None
        process, final = problem.finish(lambda given: solve(given, choice), choice.lags)
        units = int(problem.fitted.sum())
        chosen = {
            "lags": choice.lags,
            "alpha": choice.alpha,
            "alpha_at_edge": edges(choice.alpha, ALPHAS),
            "alpha_own": choice.alpha_own,
            "alpha_own_at_edge": edges(choice.alpha_own, ALPHAS_OWN),
            "shrink_to": choice.shrink_to,
            "intercept": choice.intercept,
            "tuned_on": problem.tuned_on,
            "tuning_mse": best,
        }
        return cls._of(problem, process, final, units * (choice.lags * units + choice.intercept), chosen)

    @property
    def alpha(self) -> float:
        """Penalty of other units' past."""
        return self.chosen["alpha"]

    @property
    def shrink_to(self) -> str:
        """What strong penalties lead to."""
        return self.chosen["shrink_to"]


def _target(moments: Moments, shrink_to: str, intercept: bool) -> Moments:
    own = np.zeros((moments.window, moments.units))
    if shrink_to == TO_PERSISTENCE:
        own[0] = 1.0
    target = moments.around(own, np.zeros(moments.units))
    return target.centred() if intercept else target


def solve(moments: Moments, choice: VarChoice) -> tuple[Float[np.ndarray, "LP P"], Float[np.ndarray, "P"]]:
    """Coefficients and intercepts of one choice, from moments of as many lags."""
    target = _target(moments, choice.shrink_to, choice.intercept)
    b = RidgePath.of(target).solve(choice.alpha, choice.alpha_own)
    intercept = (target.sum_y - target.sum_x @ b) / target.rows if choice.intercept else np.zeros(moments.units)
    if choice.shrink_to == TO_PERSISTENCE:
        b[: moments.units] += np.eye(moments.units)
    return b, intercept


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
