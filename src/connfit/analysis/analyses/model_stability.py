"""Eigenvalues and Lyapunov exponents before and after the fit, beside those of linear models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from connfit._typing import JSON
from connfit.analysis.analyses import ANALYSES, Analyzer
from connfit.analysis.dynamics.fit_stability import (
    EXPONENTS,
    MATRICES,
    ModelStability,
    Stability,
    examine_stability,
    linear_controls,
)
from connfit.analysis.dynamics.simulated_activity import DrivenRun
from connfit.analysis.findings import sentences
from connfit.analysis.fitted_brain import FittedBrain
from connfit.errors import ConnfitError

if TYPE_CHECKING:
    from connfit.analysis.brain_analysis import Analysis


def examine(brain: FittedBrain) -> Stability:
    """Examine the parameters before and after the fit."""

    def runs(model: str) -> tuple[DrivenRun, ...]:
        try:
            return brain.runs(model)
        except ConnfitError:
            return ()

    def of(model: str) -> ModelStability:
        first = next(iter(runs(model)), None)
        forecaster = brain.forecaster(model)
        mean = brain.fit.cohort.mean_activity()
        return examine_stability(forecaster.model, forecaster.params, first, mean, brain.options)

    driven = [run.units for run in runs("model")]
    controls = linear_controls(brain.data, driven, 1 / brain.frame_rate_hz)
    return Stability(MATRICES, of("untrained"), of("model"), controls)


def in_short(analysis: Analysis) -> Mapping[str, JSON]:
    """Return all radii and exponents."""
    found = analysis.stability
    control = found.linear_model.data
    return {
        "radius_and_lyapunov_per_s": {
            **{
                when: {
                    **{name: model.radius(name) for name in MATRICES},
                    **{name: model.per_second(name) for name in EXPONENTS},
                }
                for when, model in (("before", found.before), ("after", found.after))
            },
            "linear_model_of_data": control.radius if control else None,
        }
    }


ANALYSES.register(
    Analyzer(
        name="stability",
        label="eigenvalues and Lyapunov exponents",
        place=40,
        examine=examine,
        result=Stability,
        needs=("data", "parameters"),
        key="stability",
        findings=sentences("stability"),
        in_short=in_short,
    )
)
