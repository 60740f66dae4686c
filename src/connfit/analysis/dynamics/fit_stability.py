"""Eigenvalues and Lyapunov exponents of a fitted model and of the model before training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from connfit.analysis.analysis_options import AnalysisOptions
from connfit.analysis.dynamics.lyapunov import lyapunov_exponent
from connfit.analysis.dynamics.simulated_activity import DrivenRun
from connfit.analysis.dynamics.stability import jacobian_spectrum, linear_model_spectrum, weight_spectrum
from connfit.errors import ConnfitError
from connfit.models.base import Model, Params
from connfit.models.rest import settle

MATRICES = {
    "weights": "the signed recurrent weights W alone",
    "jacobian_open": "one step's derivative at rest, recorded activity given from outside (drive and state forcing)",
    "jacobian_closed": "one step's derivative at rest, with read-out and drive feeding back, as in a free run",
}
"""Whose eigenvalues are reported. Only the Jacobians are steps in time."""

AT_REST = 1e-4
"""Relative change per step below which the model counts as at rest."""


def examine_stability(
    model: Model, params: Params, run: DrivenRun | None, mean: np.ndarray, options: AnalysisOptions
) -> dict[str, Any]:
    """Leading eigenvalues of the three matrices, and the largest Lyapunov exponent of free and driven runs.

    Parameters
    ----------
    run
        Driven run, whose first state and noise the driven exponent starts from; None if there was none.
    mean
        [P] mean activity of the units: the run to rest starts where they show it.
    """
    k, out, reasons = options.eigenvalues_of(model.neurons), {}, {}
    begin = settle(model, params, np.zeros(model.neurons), inputs=mean, steps=256).rates
    rest = settle(model, params, begin, steps=2000)
    sound = bool(np.isfinite(rest.rates).all())
    out["rest"] = {
        "reached": sound and rest.change < AT_REST,
        "change_per_step": rest.change if np.isfinite(rest.change) else None,
        "steps": rest.steps,
        "mean_rate": float(rest.rates.mean()) if sound else None,
        "mean_rate_at_first": float(np.mean(begin)),
        "silent": int((rest.rates <= 0).sum()) if sound else None,
    }

    def attempt(name: str, what: Callable[[], Any]) -> None:
        try:
            out[name] = what().record()
        except ConnfitError as error:
            out[name], reasons[name] = None, str(error)

    attempt("weights", lambda: weight_spectrum(model, params, k=k, seed=options.seed))
    if sound:
        for loop in ("open", "closed"):
            attempt(
                f"jacobian_{loop}",
                lambda loop=loop: jacobian_spectrum(model, params, rest.rates, loop=loop, k=k, seed=options.seed),
            )
        attempt(
            "lyapunov_free",
            lambda: lyapunov_exponent(model, params, rest.rates, steps=options.lyapunov_steps, seed=options.seed),
        )
    else:
        for name in ("jacobian_open", "jacobian_closed", "lyapunov_free"):
            out[name], reasons[name] = None, "the free run without noise does not stay finite"
    if run is None:
        out["lyapunov_driven"], reasons["lyapunov_driven"] = None, "there is no driven run"
    elif model.drive is None and not model.state_forcing:
        why = "the model has neither a drive nor state forcing that noise could go through"
        out["lyapunov_driven"], reasons["lyapunov_driven"] = None, why
    else:
        steps = min(options.lyapunov_steps + 100, len(run.noise))
        noise = run.noise[:steps]
        attempt(
            "lyapunov_driven",
            lambda: lyapunov_exponent(
                model, params, run.start, inputs=noise, forced=np.zeros(noise.shape, bool),
                transient=min(100, steps // 4), seed=options.seed,
            ),
        )  # fmt: skip
    return {**out, "reasons": reasons}


def linear_controls(data: list[np.ndarray], run: list[np.ndarray] | None, step_s: float) -> dict[str, Any]:
    """Radius of the linear model of one frame to the next that is fitted to data, and to the model's own driven run.

    A signal that is slow against the frame gives a radius near 1, whatever made it.
    """
    out: dict[str, Any] = {"reasons": {}}
    for name, arrays in (("data", data), ("model", run or [])):
        found = []
        for one in arrays:
            try:
                found.append(linear_model_spectrum(one, step_s=step_s).radius)
            except ConnfitError as error:
                out["reasons"][name] = str(error)
        out[name] = {"radius": float(np.mean(found)), "recordings": len(found)} if found else None
        if not found:
            out["reasons"].setdefault(name, "there is no driven run")
    return out
