"""Eigenvalues and Lyapunov exponents of a fitted model and of the model before training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from connfit._io import finite
from connfit.analysis.analysis_options import AnalysisOptions
from connfit.analysis.dynamics.lyapunov import LyapunovExponent, lyapunov_exponent
from connfit.analysis.dynamics.simulated_activity import DrivenRun
from connfit.analysis.dynamics.spectrum import Spectrum
from connfit.analysis.dynamics.stability import jacobian_spectrum, linear_model_spectrum, weight_spectrum
from connfit.analysis.result import narrowed
from connfit.errors import ConnfitError
from connfit.models.base import Model, Params
from connfit.models.perturb import per_rate
from connfit.models.rest import settle

MATRICES = {
    "weights": "the signed recurrent weights W alone",
    "jacobian_open": "one step's derivative at rest, recorded activity given from outside (drive and state forcing)",
    "jacobian_closed": "one step's derivative at rest, with read-out and drive feeding back, as in a free run",
}
"""Whose eigenvalues are reported. Only the Jacobians are steps in time."""

EXPONENTS = ("lyapunov_free", "lyapunov_driven")
"""Fields of `ModelStability` that are Lyapunov exponents."""

AT_REST = 1e-4
"""Relative change per step below which the model counts as at rest."""

FAR = 10.0
"""Times its first mean rate beyond which a free run without noise counts as one that grows."""

SURROGATE_SLOPE = "neurons spike: derivatives are a surrogate's, by which a fit learns, not how small differences grow"
"""Why cells that spike have neither Jacobians nor Lyapunov exponents."""

T = TypeVar("T")


@dataclass(frozen=True)
class Rest:
    """Where a free run without noise goes.

    Parameters
    ----------
    reached
        Whether the model comes to rest.
    change_per_step
        Relative change of the rates in the last step.
    steps
        Steps that were run.
    mean_rate, mean_rate_at_first
        Mean over neurons at the end and at the start; None where it is not finite. Of cells that spike in Hz, over the
        second half of the run, and of the run before it in which units show their mean.
    silent
        Neurons whose rate is 0 at the end; of cells that spike, without a spike in the second half.
    """

    reached: bool = True
    change_per_step: float | None = None
    steps: int = 0
    mean_rate: float | None = None
    mean_rate_at_first: float | None = None
    silent: int | None = None

    @property
    def grows(self) -> bool:
        """Whether the run went far from its start, or beyond all bounds; False where it came to rest or stayed near."""
        first, last = self.mean_rate_at_first, self.mean_rate
        return not self.reached and first is not None and (last is None or last > FAR * first)


@dataclass(frozen=True)
class ModelStability:
    """Spectra and Lyapunov exponents of one set of parameters; None, with a reason, where not defined.

    Parameters
    ----------
    rest
        Where the Jacobians are taken.
    weights, jacobian_open, jacobian_closed
        Leading eigenvalues of `MATRICES`.
    lyapunov_free, lyapunov_driven
        Largest exponent along a run without noise, and along one that is driven by residuals.
    reasons
        By field.
    """

    rest: Rest = field(default_factory=Rest)
    weights: Spectrum | None = None
    jacobian_open: Spectrum | None = None
    jacobian_closed: Spectrum | None = None
    lyapunov_free: LyapunovExponent | None = None
    lyapunov_driven: LyapunovExponent | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def spikes(self) -> bool:
        """Whether neurons spike, so that nothing of it but the weights is defined."""
        return self.reasons.get("lyapunov_free") == SURROGATE_SLOPE

    def radius(self, matrix: str) -> float | None:
        """Return the spectral radius of one of `MATRICES`; None where it is not defined."""
        found: Spectrum | None = getattr(self, matrix)
        return None if found is None else found.radius

    def per_second(self, exponent: str) -> float | None:
        """Return a Lyapunov exponent in 1/s by its field; None where it is not defined."""
        found: LyapunovExponent | None = getattr(self, exponent)
        return None if found is None else found.per_second


@dataclass(frozen=True)
class LinearControl:
    """Mean spectral radius of linear models of one frame to the next, and how many recordings have one."""

    radius: float | None = None
    recordings: int = 0


@dataclass(frozen=True)
class LinearControls:
    """Linear models of the data and of the model's own driven run; None, with a reason, where not defined."""

    data: LinearControl | None = None
    model: LinearControl | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Stability:
    """Stability before and after the fit, beside that of linear models.

    Parameters
    ----------
    matrices
        `MATRICES`.
    before, after
        Of the parameters before and after the fit.
    linear_model
        A signal that is slow against the frame gives a radius near 1, whatever made it.
    """

    matrices: Mapping[str, str] = field(default_factory=dict)
    before: ModelStability = field(default_factory=ModelStability)
    after: ModelStability = field(default_factory=ModelStability)
    linear_model: LinearControls = field(default_factory=LinearControls)


def examine_stability(
    model: Model, params: Params, run: DrivenRun | None, mean: np.ndarray, options: AnalysisOptions
) -> ModelStability:
    """Compute leading eigenvalues of the three matrices, and the largest Lyapunov exponent of free and driven runs.

    Parameters
    ----------
    run
        Driven run, whose first state and noise the driven exponent starts from; None if there was none.
    mean
        [P] mean activity of the units: the run to rest starts where they show it.
    """
    k, seed, reasons = options.eigenvalues_of(model.neurons), options.seed, {}
    begin = settle(model, params, inputs=mean, steps=256)
    rest = settle(model, params, begin.neurons, steps=2000)
    sound = bool(np.isfinite(rest.rates).all())

    def attempt(name: str, what: Callable[[], T], needs_rest: bool = True, slopes: bool = True) -> T | None:
        if slopes and model.neuron.spikes:
            reasons[name] = SURROGATE_SLOPE
            return None
        if needs_rest and not sound:
            reasons[name] = "the free run without noise does not stay finite"
            return None
        try:
            return what()
        except ConnfitError as error:
            reasons[name] = str(error)
            return None

    def jacobian(loop: str) -> Spectrum | None:
        return attempt(
            f"jacobian_{loop}", lambda: jacobian_spectrum(model, params, rest.neurons, loop=loop, k=k, seed=seed)
        )

    def free() -> LyapunovExponent:
        found = lyapunov_exponent(model, params, rest.neurons, steps=options.lyapunov_steps, seed=seed)
        return narrowed(found, LyapunovExponent)

    def driven() -> LyapunovExponent:
        if run is None:
            raise ConnfitError("there is no driven run")
        if model.drive is None and not model.forces:
            raise ConnfitError("the model has neither a drive nor state forcing that noise could go through")
        noise = run.noise[: options.lyapunov_steps + 100]
        forced, transient = np.zeros(noise.shape, bool), min(100, len(noise) // 4)
        found = lyapunov_exponent(model, params, run.start, inputs=noise, forced=forced, transient=transient, seed=seed)
        return narrowed(found, LyapunovExponent)

    return ModelStability(
        rest=Rest(
            reached=sound and bool(rest.change < AT_REST),
            change_per_step=finite(float(rest.change)),
            steps=rest.steps,
            mean_rate=float(rest.rates.mean()) / per_rate(model) if sound else None,
            mean_rate_at_first=float(np.mean(begin.rates)) / per_rate(model),
            silent=int((rest.rates <= 0).sum()) if sound else None,
        ),
        weights=attempt("weights", lambda: weight_spectrum(model, params, k=k, seed=seed), False, False),
        jacobian_open=jacobian("open"),
        jacobian_closed=jacobian("closed"),
        lyapunov_free=attempt("lyapunov_free", free),
        lyapunov_driven=attempt("lyapunov_driven", driven, needs_rest=False),
        reasons=reasons,
    )


def linear_controls(data: list[np.ndarray], run: list[np.ndarray] | None, step_s: float) -> LinearControls:
    """Fit linear models of one frame to the next to data, and to the model's own driven run."""
    reasons: dict[str, str] = {}

    def control(name: str, arrays: list[np.ndarray]) -> LinearControl | None:
        radii = []
        for values in arrays:
            try:
                radii.append(linear_model_spectrum(values, step_s=step_s).radius)
            except ConnfitError as error:
                reasons[name] = str(error)
        if not radii:
            reasons.setdefault(name, "there is no driven run")
            return None
        return LinearControl(float(np.mean(radii)), len(radii))

    return LinearControls(control("data", data), control("model", run or []), reasons)
