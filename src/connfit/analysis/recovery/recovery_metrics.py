"""How well parameters and activity are recovered: numbers with known answers, undefined ones with a reason."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats


def agreement(
    truth: Float[np.ndarray, "n"], estimate: Float[np.ndarray, "n"], *, log: bool = False
) -> dict[str, float | int | str | None]:
    """Compare estimates with the truth.

    Parameters
    ----------
    log
        Compare natural logarithms. Estimates of 0 have none: they are left out and counted.

    Returns
    -------
    dict
        `n` pairs; `left_out`; `r2`, the coefficient of determination 1 - Σ(x - x̂)²/Σ(x - x̄)², for which a wrong scale
        or offset counts as error and which is negative where the mean of the truth would be the better estimate;
        `r`, Pearson's correlation; `rank`, Spearman's. `reason` says why a number is null.
    """
    truth, estimate = np.asarray(truth, np.float64), np.asarray(estimate, np.float64)
    left_out = 0
    if log:
        kept = (estimate > 0) & (truth > 0)
        left_out = int((~kept).sum())
        truth, estimate = np.log(truth[kept]), np.log(estimate[kept])
    found: dict[str, float | int | str | None] = {
        "n": len(truth), "left_out": left_out, "r2": None, "r": None, "rank": None, "reason": None,
    }  # fmt: skip
    if len(truth) < 3:
        return {**found, "reason": f"{len(truth)} pairs are too few"}
    if not np.ptp(truth) > 0:
        return {**found, "reason": "the truth is the same everywhere"}
    found["r2"] = float(1 - ((truth - estimate) ** 2).sum() / ((truth - truth.mean()) ** 2).sum())
    if not np.ptp(estimate) > 0:
        return {**found, "reason": "the estimate is the same everywhere"}
    found["r"] = float(np.corrcoef(truth, estimate)[0, 1])
    found["rank"] = float(np.corrcoef(stats.rankdata(truth), stats.rankdata(estimate))[0, 1])
    return found


def activity(
    truth: Float[np.ndarray, "T N"], predicted: Float[np.ndarray, "T N"], neurons: Bool[np.ndarray, "N"]
) -> dict[str, Any]:
    """Correlation over time and explained variance of each neuron, as quartiles over some of the neurons.

    Returns
    -------
    dict
        `neurons`; `r` and `r2`, each the lower quartile, the median and the upper quartile; `undefined`, neurons whose
        prediction does not vary, which have no correlation. Null where there is no neuron.
    """
    count = int(neurons.sum())
    if count == 0:
        return {"neurons": 0, "r": None, "r2": None, "undefined": 0, "reason": "there are no such neurons"}
    x, y = truth[:, neurons], predicted[:, neurons]
    centred_x, centred_y = x - x.mean(axis=0), y - y.mean(axis=0)
    # Rounding alone can make a constant vary by some 1e-16 of its value.
    varies = (y.std(axis=0) > 1e-9 * np.abs(y).max(axis=0)) & (x.std(axis=0) > 0)
    norms = np.linalg.norm(centred_x, axis=0) * np.linalg.norm(centred_y, axis=0)
    r = (centred_x * centred_y).sum(axis=0)[varies] / norms[varies]
    r2 = 1 - ((x - y) ** 2).sum(axis=0) / (centred_x**2).sum(axis=0)
    return {
        "neurons": count,
        "r": np.quantile(r, (0.25, 0.5, 0.75)).tolist() if len(r) else None,
        "r2": np.quantile(r2, (0.25, 0.5, 0.75)).tolist(),
        "undefined": int((~varies).sum()),
        "reason": None if len(r) else "no prediction varies",
    }


def skill_over_persistence(
    truth: Float[np.ndarray, "T N"],
    predicted: Float[np.ndarray, "T-1 N"],
    neurons: Bool[np.ndarray, "N"],
    scale: Float[np.ndarray, "N"],
) -> float | None:
    """1 - (squared error one step ahead) / (that of the frame before), each neuron's in units of `scale`.

    Parameters
    ----------
    predicted
        Of frames 1 to T - 1.

    Returns
    -------
    float
        None where no neuron is asked for.
    """
    if not neurons.any():
        return None
    error = (((truth[1:] - predicted) / scale) ** 2)[:, neurons].mean()
    return float(1 - error / (((truth[1:] - truth[:-1]) / scale) ** 2)[:, neurons].mean())
