"""Find what limits the functional connectivity of a fit's free runs: its dynamics, its noise, or the number of runs.

    python benchmarks/free_run_connectivity.py runs/fly

Results and what follows from them: free_run_connectivity.md. About its mean a rate model is nearly linear: each
recorded frame acts on the next `LAGS` predictions by a matrix each, found here by moving one unit at a time. Under
noise of a given covariance such an autoregression has a long-run functional connectivity without sampling error. The
dynamics of the fit and of its start are combined with the covariance of either's one-step errors in each part. Errors
on test frames are no noise that a fit could know: they show what perfect knowledge of the noise would be worth. Then
the linear model itself runs freely, in sets of a few runs as long as the test part: how far the score depends on their
number.

One JSON object per line; `fc_corr` is with the functional connectivity of the test part of the first recording, `line`
that of the training part with it. All other animals of the SURROGATE have the same hidden teacher, so the mean of their
connectivities over whole recordings is nearer to the long run than any test part: `fc_corr_others` is with it, and so
are its line and that of the test part itself. `minus_line` is a 95 % interval of the difference to the line on the test
part, over blocks of its frames.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
from region_connectivity import agreement, correlations
from scipy.linalg import solve_discrete_lyapunov

from connfit import config as configuration
from connfit.config import EvaluateConfig
from connfit.datasets.loading import recordings_from_config
from connfit.evaluation.residual_noise import draw_noise, residuals_of
from connfit.models.base import Params
from connfit.models.forecaster import ModelForecaster
from connfit.models.rollout import Shown, State, readings, rollout
from connfit.recordings import PART_NAMES, Recording
from connfit.training.fitted import Fit
from connfit.training.runs import load_fit

LAGS = 4
SETS, SIZES = 256, (1, 8, 32, 256)
BLOCK = 50
"""Frames that are drawn together where the test part is resampled: more than its activity remembers."""
STILL = 64
"""Frames at the mean after which the model has settled."""


def response(fit: Fit, params: Params, mean: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return [LAGS, P, P]: what half a standard deviation of unit j in a frame adds to unit i in later frames."""
    model, p = fit.model, len(mean)
    at_mean = Shown.constant(mean.astype(np.float32), STILL)
    settled = rollout(model, params, State.at_rest(model), at_mean, readings)
    state = State.of(model, jax.tree.map(lambda one: jnp.repeat(one, p, axis=-1), settled.state.neurons))
    moved = Shown.constant(mean.astype(np.float32), LAGS, p)
    values = moved.values.copy()
    values[0] += np.diag(size / 2).astype(np.float32)
    run = rollout(model, params, state, moved._replace(values=values), readings)
    return np.asarray((run.each - settled.each[-1]) / (size / 2), np.float64)


def in_the_long_run(by_lag: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Return the stationary covariance of an autoregression."""
    lags, p, _ = by_lag.shape
    step = np.eye(lags * p, k=-p)
    step[:p] = np.concatenate(list(by_lag), axis=1)
    driven = np.zeros_like(step)
    driven[:p, :p] = noise
    return solve_discrete_lyapunov(step, driven)[:p, :p]


def run_freely(by_lag: np.ndarray, errors: np.ndarray, runs: int, frames: int) -> np.ndarray:
    """Return [runs, P, P] connectivity of runs of the autoregression, driven by errors drawn as in free runs."""
    noise = draw_noise(errors, runs, frames, "test")
    past = [np.zeros((runs, errors.shape[1]))] * len(by_lag)
    z = np.empty_like(noise)
    for t in range(frames):
        z[:, t] = sum((u @ a.T for a, u in zip(by_lag, past, strict=True)), noise[:, t])
        past = [z[:, t], *past[:-1]]
    return np.stack([np.corrcoef(run.T) for run in z])


def of_other_animals(run: Path, recording: Recording) -> np.ndarray:
    """Return [P, P]: the mean over the other animals of the dataset that have both units."""
    data = msgspec.structs.replace(configuration.read(run / "config.json").data, recordings=("all",), held_out=())
    place = {unit: k for k, unit in enumerate(recording.units)}
    total, count = (np.zeros((len(place), len(place))) for _ in range(2))
    for other in recordings_from_config(data):
        shared = [unit for unit in other.units if unit in place]
        if other.name != recording.name and shared:
            at = np.ix_(*2 * [[place[unit] for unit in shared]])
            total[at] += np.corrcoef(other.select_units(shared).values.T)
            count[at] += 1
    return total / count


def difference(one: np.ndarray, other: np.ndarray, test: np.ndarray) -> list[float]:
    """95 % interval of how much better one connectivity agrees with that of the test part than another.

    Percentiles over test parts put together anew from blocks of `BLOCK` frames (Künsch 1989, Ann Stat 17:1217).
    """
    generator, found = np.random.default_rng(0), []
    for _ in range(1000):
        starts = generator.integers(len(test), size=-(-len(test) // BLOCK))
        drawn = np.corrcoef(test[(starts[:, None] + np.arange(BLOCK)).ravel()[: len(test)] % len(test)].T)
        found.append(agreement(one, drawn) - agreement(other, drawn))
    return np.percentile(found, [2.5, 97.5]).round(4).tolist()


def main() -> None:
    """Print one JSON object per line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a fit with state forcing to one recording")
    options = parser.parse_args()
    fit = load_fit(options.run)
    recording = fit.cohort.recordings[0]
    train, test = recording.part("train")[0], recording.part("test")[0]
    if not (recording.mask.all() and fit.cohort.substeps == 1):
        raise SystemExit("needs a recording without gaps, and one model step per frame")
    truth, mean, size = np.corrcoef(test.T), train.mean(axis=0), train.std(axis=0)
    others = of_other_animals(options.run, recording)

    def scores(connectivity: np.ndarray) -> dict[str, float]:
        return {
            "fc_corr": round(agreement(connectivity, truth), 4),
            "fc_corr_others": round(agreement(connectivity, others), 4),
        }

    own = np.corrcoef(train.T)
    print(json.dumps({"recording": recording.name, "line": scores(own), "test": scores(truth)}))
    forecasters = {"start": fit.initial_forecaster(), "fit": fit.forecaster()}
    dynamics = {name: response(fit, one.params, mean, size) for name, one in forecasters.items()}
    errors = {name: errors_by_part(one) for name, one in forecasters.items()}
    for name, by_lag in dynamics.items():
        for whose, parts in errors.items():
            for part, frames in parts.items():
                covariance = in_the_long_run(by_lag, np.cov(frames.T, bias=True))
                std = float(np.median(np.sqrt(np.diag(covariance)) / test.std(axis=0)))
                said = {"dynamics": name, "errors_of": whose, "in": part, "frames": len(frames)}
                connectivity = correlations(covariance)
                said |= {**scores(connectivity), "std_over_data": round(std, 3)}
                if name == whose and part == "train":
                    said["minus_line"] = difference(connectivity, own, test)
                print(json.dumps(said), flush=True)
        by_run = run_freely(by_lag, errors[name]["train"], SETS, len(test))
        for count in SIZES:
            each = [agreement(by_run[k : k + count].mean(axis=0), truth) for k in range(0, SETS, count)]
            said = {"dynamics": name, "errors_of": name, "in": "train", "runs": count, "sets": len(each)}
            print(json.dumps({**said, "fc_corr": round(np.mean(each), 4), "sd": round(np.std(each), 4)}), flush=True)


def errors_by_part(forecaster: ModelForecaster) -> dict[str, np.ndarray]:
    """Return one-step errors of the first recording: on the training part those that free runs draw from."""
    recording = forecaster.cohort.recordings[0]
    one_step = forecaster.one_step(recording)
    wrong = {part: (recording.values - one_step)[recording.require_parts()[part]] for part in PART_NAMES}
    return {**wrong, "train": residuals_of(one_step, recording, EvaluateConfig().free_run_warmup).frames}


if __name__ == "__main__":
    main()
