"""Baselines that every fit is compared with: mean, persistence and a ridge vector autoregression.

Each is fitted to one recording, on its training part only, and predicts that recording's units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from connfit.config import EvaluateConfig
from connfit.errors import DataError, one_of
from connfit.evaluate.forecast import Forecaster
from connfit.recording import Recording

ALPHAS = tuple(float(alpha) for alpha in 10.0 ** np.arange(-2.0, 6.5, 0.5))
"""Ridge penalties that are tried; inputs are scaled to variance 1, so the Gram matrix is of the order of the frames."""


def hold_last(values: Float[np.ndarray, "T P"], mask: Bool[np.ndarray, "T P"]) -> Float[np.ndarray, "T P"]:
    """The last observed value of each unit at or before each frame; NaN before the first."""
    frame = np.where(mask, np.arange(len(values))[:, None], -1)
    last = np.maximum.accumulate(frame, axis=0)
    held = np.take_along_axis(values, np.maximum(last, 0), axis=0).astype(np.float64)
    return np.where(last >= 0, held, np.nan)


@dataclass(frozen=True, eq=False)
class Mean:
    """Predicts the mean of each unit over the observed frames of the training part.

    Parameters
    ----------
    means
        [P] in the recording's units; NaN for a unit that the training part never shows.
    """

    means: Float[np.ndarray, "P"]
    name: str = "mean"

    @classmethod
    def fit(cls, recording: Recording, config: EvaluateConfig | None = None) -> Mean:
        """Take the means of the training part; `config` has no option for it."""
        return cls(_train_moments(recording)[0])

    @property
    def parameters(self) -> int:
        """One per unit."""
        return len(self.means)

    def one_step(self, recording: Recording) -> Float[np.ndarray, "T P"]:
        """The mean, at every frame."""
        return np.tile(self.means, (recording.frames, 1))

    def horizon(self, recording: Recording, starts: Int[np.ndarray, "S"], steps: int) -> Float[np.ndarray, "S steps P"]:
        """The mean, at every horizon."""
        return np.tile(self.means, (len(starts), steps, 1))

    def free_run(
        self,
        recording: Recording,
        start: int,
        frames: int,
        warmup: int,
        noise: Float[np.ndarray, "runs frames P"] | None = None,
    ) -> Float[np.ndarray, "*runs frames P"]:
        """The mean, at every frame, plus the noise: whole frames of the training part in random order."""
        return np.tile(self.means, (frames, 1)) if noise is None else self.means + noise


@dataclass(frozen=True, eq=False)
class Persistence:
    """Predicts that nothing changes: the last observed value of each unit."""

    name: str = "persistence"

    @classmethod
    def fit(cls, recording: Recording, config: EvaluateConfig | None = None) -> Persistence:
        """There is nothing to fit."""
        return cls()

    @property
    def parameters(self) -> int:
        """None."""
        return 0

    def one_step(self, recording: Recording) -> Float[np.ndarray, "T P"]:
        """The last observed value before each frame; NaN before there is one."""
        held = hold_last(recording.values, recording.mask)
        return np.concatenate([np.full((1, held.shape[1]), np.nan), held[:-1]])

    def horizon(self, recording: Recording, starts: Int[np.ndarray, "S"], steps: int) -> Float[np.ndarray, "S steps P"]:
        """The last observed value at each start, at every horizon."""
        held = hold_last(recording.values, recording.mask)
        return np.repeat(held[starts][:, None, :], steps, axis=1)

    def free_run(
        self,
        recording: Recording,
        start: int,
        frames: int,
        warmup: int,
        noise: Float[np.ndarray, "runs frames P"] | None = None,
    ) -> Float[np.ndarray, "*runs frames P"]:
        """The last observed value of the warm-up, at every frame; NaN without a warm-up. With noise, a random walk."""
        last = np.full(len(recording.units), np.nan)
        if warmup >= 1:
            given = slice(start - warmup, start)
            last = hold_last(recording.values[given], recording.mask[given])[-1]
        return np.tile(last, (frames, 1)) if noise is None else last + np.cumsum(noise, axis=1, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class VarRidge:
    """Linear vector autoregression of all units on the last `lags` frames, with a ridge penalty.

    y(t) = c + Σ_l A_l y(t - l), on units scaled to mean 0 and variance 1 of the training part, with
    alpha Σ‖A_l‖² as penalty; with `shrink_to = "persistence"` it is the change y(t) - y(t - 1) that
    is regressed, so that a strong penalty leads to persistence rather than to the mean. Source:
    Hoerl & Kennard (1970) Technometrics 12:55; solved through one singular value decomposition.

    Rows with an input or a target that was not observed are not used in the fit. In prediction the
    training mean stands in for inputs that were not observed.

    Parameters
    ----------
    coefficients
        [lags * P, P] on the standardised scale, lag 1 first.
    intercept
        [P] on the standardised scale.
    means, stds
        [P] of the training part; NaN mean for a unit that it never shows.
    lags, alpha, shrink_to
        As chosen on the validation part.
    validation_mse
        One-step MSE of the choice on the part it was tuned on.
    tuned_on
        `"validation"`, or `"the last fifth of train"` where there is no validation part.
    """

    coefficients: Float[np.ndarray, "LP P"]
    intercept: Float[np.ndarray, "P"]
    means: Float[np.ndarray, "P"]
    stds: Float[np.ndarray, "P"]
    lags: int
    alpha: float
    shrink_to: str
    validation_mse: float
    tuned_on: str
    rows: int
    name: str = "var_ridge"

    @classmethod
    def fit(cls, recording: Recording, config: EvaluateConfig | None = None) -> VarRidge:
        """Fit on the training part; lags, penalty and what it shrinks to are those of least one-step MSE on validation.

        Raises
        ------
        DataError
            If too few frames of the training part are complete.
        """
        config = config or EvaluateConfig()
        parts = recording.require_parts()
        train, tune, tuned_on = parts.train, parts.validation, "validation"
        if not recording.mask[slice(*tune)].any():
            first, last = parts.train
            cut = last - max(1, (last - first) // 5)
            train, tune, tuned_on = (first, cut), (cut, last), "the last fifth of train"
        best: tuple[float, int, float, str] | None = None
        problem = None
        for lags in config.var_lags:
            try:
                candidates = _Regression.of(recording, train, lags)
            except DataError as error:
                problem = problem or error
                continue
            for alpha in ALPHAS:
                for shrink_to in ("mean", "persistence"):
                    model = cls._solved(candidates, alpha, shrink_to, np.nan, tuned_on)
                    error = _block_mse(model, recording, tune)
                    if error is not None and (best is None or error < best[0]):
                        best = (error, lags, alpha, shrink_to)
        if best is None:
            raise problem or DataError(
                f"recording {recording.name!r}: nothing was observed on which the autoregression could be tuned"
            )
        error, lags, alpha, shrink_to = best
        return cls._solved(_Regression.of(recording, parts.train, lags), alpha, shrink_to, error, tuned_on)

    @classmethod
    def _solved(cls, regression: _Regression, alpha: float, shrink_to: str, error: float, tuned_on: str) -> VarRidge:
        coefficients, intercept = regression.solve(alpha, shrink_to)
        r = regression
        return cls(coefficients, intercept, r.means, r.stds, r.lags, alpha, shrink_to, error, tuned_on, r.rows)

    @property
    def parameters(self) -> int:
        """Coefficients and intercepts."""
        return self.coefficients.size + self.intercept.size

    @property
    def chosen(self) -> dict[str, Any]:
        """What the tuning chose, for the record."""
        return {
            "lags": self.lags,
            "alpha": self.alpha,
            "alpha_at_edge": self.alpha in (ALPHAS[0], ALPHAS[-1]),
            "shrink_to": self.shrink_to,
            "tuned_on": self.tuned_on,
            "tuning_mse": self.validation_mse,
            "rows": self.rows,
        }

    def one_step(self, recording: Recording) -> Float[np.ndarray, "T P"]:
        """Prediction from the last `lags` frames; NaN for the first `lags` frames."""
        z = self._standardise(recording.values, recording.mask)
        prediction = np.full(z.shape, np.nan)
        if len(z) > self.lags:
            prediction[self.lags :] = _lagged(z, self.lags) @ self.coefficients + self.intercept
        return self._restore(prediction)

    def horizon(self, recording: Recording, starts: Int[np.ndarray, "S"], steps: int) -> Float[np.ndarray, "S steps P"]:
        """The one-step prediction iterated; frames before the recording count as not observed."""
        z = self._standardise(recording.values, recording.mask)
        z = np.concatenate([np.zeros((self.lags - 1, z.shape[1])), z])
        history = np.stack([z[np.asarray(starts) + self.lags - 1 - back] for back in range(self.lags)], axis=1)
        return self._iterate(history, steps)

    def free_run(
        self,
        recording: Recording,
        start: int,
        frames: int,
        warmup: int,
        noise: Float[np.ndarray, "runs frames P"] | None = None,
    ) -> Float[np.ndarray, "*runs frames P"]:
        """The one-step prediction, plus the noise, iterated from the last `lags` frames of the warm-up."""
        history = np.zeros((1, self.lags, len(recording.units)))
        for back in range(min(self.lags, warmup)):
            frame = slice(start - 1 - back, start - back)
            history[0, back] = self._standardise(recording.values[frame], recording.mask[frame])[0]
        if noise is None:
            return self._iterate(history, frames)[0]
        return self._iterate(np.repeat(history, len(noise), axis=0), frames, noise / self.stds)

    def _iterate(self, history: np.ndarray, steps: int, noise: np.ndarray | None = None) -> np.ndarray:
        """[S, lags, P] newest first -> [S, steps, P]; noise [S, steps, P] on the standardised scale."""
        count, lags, units = history.shape
        out = np.empty((count, steps, units))
        with np.errstate(over="ignore", invalid="ignore"):
            for step in range(steps):
                out[:, step] = history.reshape(count, lags * units) @ self.coefficients + self.intercept
                if noise is not None:
                    out[:, step] += noise[:, step]
                history = np.concatenate([out[:, step : step + 1], history[:, :-1]], axis=1)
        return self._restore(out)

    def _standardise(self, values: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Standardised values; 0, the training mean, where nothing was observed."""
        known = mask & np.isfinite(self.means)
        return np.where(known, (np.where(known, values, 0.0) - np.nan_to_num(self.means)) / self.stds, 0.0)

    def _restore(self, z: np.ndarray) -> np.ndarray:
        return z * self.stds + self.means


@dataclass(frozen=True, eq=False)
class _Regression:
    """The singular value decomposition of one regression, from which every penalty is solved."""

    lags: int
    rows: int
    means: np.ndarray
    stds: np.ndarray
    input_means: np.ndarray
    target_means: Mapping[str, np.ndarray]
    s: np.ndarray
    vt: np.ndarray
    projected: Mapping[str, np.ndarray] = field(repr=False)

    @classmethod
    def of(cls, recording: Recording, train: tuple[int, int], lags: int) -> _Regression:
        values, mask = recording.values[slice(*train)], recording.mask[slice(*train)]
        means, stds, known = _moments(values, mask)
        z = np.where(mask & known, (np.where(mask, values, 0.0) - np.nan_to_num(means)) / stds, 0.0)
        seen = np.all(mask | ~known, axis=1)
        usable = len(z) - lags
        complete = np.ones(max(usable, 0), bool)
        for back in range(lags + 1):
            complete &= seen[lags - back : lags - back + len(complete)]
        if complete.sum() < 2:
            raise DataError(
                f"recording {recording.name!r}: {int(complete.sum())} of {len(z)} training frames are observed "
                "together with "
                f"the {lags} before them in all units, too few for a vector autoregression"
            )
        x, y = _lagged(z, lags)[complete], z[lags:][complete]
        targets = {"mean": y, "persistence": y - x[:, : z.shape[1]]}
        input_means = x.mean(axis=0)
        u, s, vt = np.linalg.svd(x - input_means, full_matrices=False)
        target_means = {key: t.mean(axis=0) for key, t in targets.items()}
        projected = {key: u.T @ (t - target_means[key]) for key, t in targets.items()}
        return cls(lags, int(complete.sum()), means, stds, input_means, target_means, s, vt, projected)

    def solve(self, alpha: float, shrink_to: str) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients [lags * P, P] and intercepts [P] for one penalty."""
        shrink = self.s / (self.s**2 + alpha)
        coefficients = self.vt.T @ (shrink[:, None] * self.projected[shrink_to])
        intercept = self.target_means[shrink_to] - self.input_means @ coefficients
        if shrink_to == "persistence":
            units = len(self.means)
            coefficients[:units] += np.eye(units)
        return coefficients, intercept


def _lagged(z: np.ndarray, lags: int) -> np.ndarray:
    """[T - lags, lags * P]: the frames 1 ... lags before each frame, newest first."""
    return np.concatenate([z[lags - back : len(z) - back] for back in range(1, lags + 1)], axis=1)


def _moments(values: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means (NaN if never observed), standard deviations (1 if constant) and which units were observed at all."""
    count = mask.sum(axis=0)
    x = np.where(mask, values, 0.0).astype(np.float64)
    means = np.where(count > 0, x.sum(axis=0) / np.maximum(count, 1), np.nan)
    spread = np.where(mask, x - np.nan_to_num(means), 0.0)
    stds = np.sqrt((spread**2).sum(axis=0) / np.maximum(count, 1))
    return means, np.where(stds > 1e-10 * np.abs(x).max(axis=0, initial=0.0), stds, 1.0), count > 0


def _train_moments(recording: Recording) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return _moments(*recording.part("train"))


def _block_mse(model: VarRidge, recording: Recording, block: tuple[int, int]) -> float | None:
    """One-step MSE over the observed entries of a block; the frames before it serve as history."""
    first = max(0, block[0] - model.lags)
    values, mask = recording.values[first : block[1]], recording.mask[first : block[1]]
    z = model._standardise(values, mask)
    if len(z) <= model.lags:
        return None
    prediction = model._restore(_lagged(z, model.lags) @ model.coefficients + model.intercept)
    scored = mask[model.lags :] & np.isfinite(prediction)
    if not scored.any():
        return None
    return float(np.mean((values[model.lags :][scored] - prediction[scored]) ** 2))


BaselineFactory = Callable[[Recording, EvaluateConfig], Forecaster]

BASELINES: Mapping[str, BaselineFactory] = {
    "mean": Mean.fit,
    "persistence": Persistence.fit,
    "var_ridge": VarRidge.fit,
}
"""The baselines by name. A new one is one class with `fit` and one row here."""


def baseline_factories(chosen: Sequence[str] | Mapping[str, BaselineFactory]) -> dict[str, BaselineFactory]:
    """The factories of the named baselines; a mapping of the user's own is passed through.

    Raises
    ------
    ConfigError
        If a name is unknown.
    """
    if isinstance(chosen, Mapping):
        return dict(chosen)
    return {name: BASELINES[one_of("baseline", name, BASELINES)] for name in chosen}
