"""Test whether regressions between regions predict held-out functional connectivity better than copying it; no fit.

    python benchmarks/region_connectivity.py              # the fly surrogate at scale 1, nine flies by themselves
    python benchmarks/region_connectivity.py --scale 0.05

500 frames of each fly are for training. A ridge shrinks a vector autoregression of one frame to zero, or to the
coupling C W E of a wiring, with a number of its own per region and one factor each for excitation and inhibition
(region_coupling.py). Its stationary covariance, driven by noise with the covariance of its training residuals, gives a
functional connectivity without sampling error, which is compared with that of 1,200 test frames. The line to pass is
the correlation between the connectivities of the training and the test frames themselves.

One JSON object per line: mean over flies, for all ridges; nothing is chosen here. Results: free_run_connectivity.md.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict

import numpy as np
from region_coupling import load_fly
from scipy.linalg import solve_discrete_lyapunov
from scipy.optimize import nnls

from connfit.connectome.nulls import make_null

RIDGES = (30.0, 100.0, 300.0, 1000.0, 3000.0)
LARGEST = 0.999
"""Largest eigenvalue of a regression, which is scaled down to it."""


def agreement(one: np.ndarray, other: np.ndarray) -> float:
    """Correlate the upper triangles of two connectivities."""
    upper = np.triu_indices(len(one), 1)
    return float(np.corrcoef(one[upper], other[upper])[0, 1])


def stationary(step: np.ndarray, residuals: np.ndarray) -> np.ndarray:
    """Return the long-run correlations of an autoregression."""
    step = step * min(1, LARGEST / np.abs(np.linalg.eigvals(step)).max())
    return correlations(solve_discrete_lyapunov(step, np.cov(residuals.T, bias=True)))


def correlations(covariance: np.ndarray) -> np.ndarray:
    """Return the functional connectivity of a covariance."""
    size = np.sqrt(np.diag(covariance))
    return covariance / np.outer(size, size)


def prior_of(coupling: list[np.ndarray], z: np.ndarray) -> np.ndarray:
    """Fit a number per region and a factor per class of connections, all ≥ 0, by least squares."""
    x, y, p = z[:-1], z[1:], z.shape[1]
    brought = np.stack([x @ g.T for g in coupling], axis=-1)
    own = np.diag((x**2).sum(axis=0))
    across = np.einsum("tk,tkf->kf", x, brought)
    normal = np.block([[own, across], [across.T, np.einsum("tkf,tkg->fg", brought, brought)]])
    right = np.concatenate([(x * y).sum(axis=0), np.einsum("tkf,tk->f", brought, y)])
    root = np.linalg.cholesky(normal + 1e-6 * np.eye(len(normal)))
    found = nnls(root.T, np.linalg.solve(root, right))[0]
    return np.diag(found[:p]) + sum(factor * g for factor, g in zip(found[p:], coupling, strict=True))


def main() -> None:
    """Print one JSON object per line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--flies", type=int, default=9)
    options = parser.parse_args()
    fly = load_fly(options.scale, options.flies, train=0.25, validation=0.15)
    rewired = make_null(fly.brain, "rewire_degrees", 0)
    priors = {"real wiring": fly.counted(fly.brain), "rewire_degrees": fly.counted(rewired)}
    found: dict[tuple[str, float | None], list[float]] = defaultdict(list)
    for recording in fly.recordings:
        at = [fly.units.index(unit) for unit in recording.units]
        train, test = recording.part("train")[0], recording.part("test")[0]
        size = train.std(axis=0)
        z, truth = (train - train.mean(axis=0)) / size, np.corrcoef(test.T)
        found["training frames themselves", None].append(agreement(np.corrcoef(z.T), truth))
        towards = {"zero": np.zeros((len(at), len(at)))} | {
            name: prior_of([g[np.ix_(at, at)] * size / size[:, None] for g in each], z) for name, each in priors.items()
        }
        for name, prior in towards.items():
            left = z[1:] - z[:-1] @ prior.T
            if name != "zero":
                found[name, None].append(agreement(stationary(prior, left), truth))
            for ridge in RIDGES:
                normal = z[:-1].T @ z[:-1] + ridge * np.eye(len(at))
                step = prior + np.linalg.solve(normal, z[:-1].T @ left).T
                found[name, ridge].append(agreement(stationary(step, z[1:] - z[:-1] @ step.T), truth))
    about = {"benchmark": "region_connectivity", "surrogate": True, "scale": options.scale, "flies": options.flies}
    for (name, ridge), each in found.items():
        said = {"towards": name, "ridge": ridge, "fc_corr": round(float(np.mean(each)), 3)}
        print(json.dumps({**about, **said, "by_fly": np.round(each, 3).tolist()}), flush=True)


if __name__ == "__main__":
    main()
