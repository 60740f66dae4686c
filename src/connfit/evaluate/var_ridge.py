"""A ridge vector autoregression of one recording, or of several animals pooled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from connfit.config import EvaluateConfig
from connfit.errors import DataError
from connfit.evaluate.blocks import named, tuning_blocks
from connfit.recording import Recording

ALPHAS = tuple(float(alpha) for alpha in 10.0 ** np.arange(-2.0, 6.5, 0.5))
"""Ridge penalties that are tried; inputs are scaled to variance 1, so the Gram matrix is of the order of the frames."""


def moments(
    values: Float[np.ndarray, "t P"], mask: Bool[np.ndarray, "t P"]
) -> tuple[Float[np.ndarray, "P"], Float[np.ndarray, "P"], Bool[np.ndarray, "P"]]:
    """Means (NaN if never observed), standard deviations (1 if constant) and which units were observed at all."""
    count = mask.sum(axis=0)
    x = np.where(mask, values, 0.0).astype(np.float64)
    means = np.where(count > 0, x.sum(axis=0) / np.maximum(count, 1), np.nan)
    spread = np.where(mask, x - np.nan_to_num(means), 0.0)
    stds = np.sqrt((spread**2).sum(axis=0) / np.maximum(count, 1))
    return means, np.where(stds > 1e-10 * np.abs(x).max(axis=0, initial=0.0), stds, 1.0), count > 0


def pooled_means(recordings: Sequence[Recording], units: Sequence[str]) -> Float[np.ndarray, "P"]:
    """Means of `units` over the training parts of all recordings that have them; NaN for a unit of none."""
    total, count = np.zeros(len(units)), np.zeros(len(units))
    for recording in recordings:
        own = [k for k, unit in enumerate(units) if unit in set(recording.units)]
        values, mask = recording.select_units([units[k] for k in own]).part("train")
        total[own] += np.where(mask, values, 0.0).sum(axis=0, dtype=np.float64)
        count[own] += mask.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


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
    rows
        Frames that the fit used.
    units_fitted
        If pooled over animals: how many of the units all of them have; the others are predicted not to change.
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
    units_fitted: int | None = None
    name: str = "var_ridge"

    @classmethod
    def fit(cls, recording: Recording, config: EvaluateConfig | None = None) -> VarRidge:
        """Fit on the training part; lags, penalty and what it shrinks to are those of least one-step MSE on validation.

        Raises
        ------
        DataError
            If too few frames of the training part are complete.
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
            If the recordings share none of these units, or too few frames are complete.
        """
        shared = [unit for unit in units if all(unit in one.units for one in recordings)]
        if not shared:
            raise DataError("no unit is recorded in all of the animals that the autoregression is to be fitted to")
        fitted = cls._tuned([one.select_units(shared) for one in recordings], config or EvaluateConfig())
        return fitted._among(shared, units, pooled_means(recordings, units))

    @classmethod
    def _tuned(cls, recordings: Sequence[Recording], config: EvaluateConfig) -> VarRidge:
        train, tune, tuned_on = tuning_blocks(recordings)
        best: tuple[float, int, float, str] | None = None
        problem = None
        for lags in config.var_lags:
            try:
                candidates = _Regression.of(recordings, train, lags)
            except DataError as error:
                problem = problem or error
                continue
            for alpha in ALPHAS:
                for shrink_to in ("mean", "persistence"):
                    model = cls._solved(candidates, alpha, shrink_to, np.nan, tuned_on)
                    error = _blocks_mse(model, recordings, tune)
                    if error is not None and (best is None or error < best[0]):
                        best = (error, lags, alpha, shrink_to)
        if best is None:
            raise problem or DataError(
                f"{named(recordings)}: nothing was observed on which the autoregression could be tuned"
            )
        error, lags, alpha, shrink_to = best
        whole = _Regression.of(recordings, [one.require_parts().train for one in recordings], lags)
        return cls._solved(whole, alpha, shrink_to, error, tuned_on)

    def _among(self, shared: Sequence[str], units: Sequence[str], means: np.ndarray) -> VarRidge:
        """The same for more units; those that were not fitted are predicted not to change."""
        at = np.array([list(units).index(unit) for unit in shared])
        count = len(units)
        blocks = np.zeros((self.lags, count, count))
        blocks[0] = np.eye(count)
        blocks[0][np.ix_(at, at)] = 0
        for lag, fitted in enumerate(self.coefficients.reshape(self.lags, len(shared), len(shared))):
            blocks[lag][np.ix_(at, at)] = fitted
        intercept, means, stds = np.zeros(count), np.nan_to_num(means), np.ones(count)
        intercept[at], means[at], stds[at] = self.intercept, self.means, self.stds
        return replace(
            self,
            coefficients=blocks.reshape(self.lags * count, count),
            intercept=intercept,
            means=means,
            stds=stds,
            units_fitted=len(shared),
        )

    @classmethod
    def _solved(cls, regression: _Regression, alpha: float, shrink_to: str, error: float, tuned_on: str) -> VarRidge:
        coefficients, intercept = regression.solve(alpha, shrink_to)
        r = regression
        return cls(coefficients, intercept, r.means, r.stds, r.lags, alpha, shrink_to, error, tuned_on, r.rows)

    @property
    def parameters(self) -> int:
        """Coefficients and intercepts that were fitted."""
        units = len(self.means) if self.units_fitted is None else self.units_fitted
        return units * (self.lags * units + 1)

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
            **({} if self.units_fitted is None else {"units_fitted": self.units_fitted}),
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
    def of(cls, recordings: Sequence[Recording], train: Sequence[tuple[int, int]], lags: int) -> _Regression:
        blocks = [
            (one.values[slice(*block)], one.mask[slice(*block)]) for one, block in zip(recordings, train, strict=True)
        ]
        means, stds, known = moments(*(np.concatenate(each) for each in zip(*blocks, strict=True)))
        inputs, targets = [], []
        for values, mask in blocks:
            z = np.where(mask & known, (np.where(mask, values, 0.0) - np.nan_to_num(means)) / stds, 0.0)
            seen = np.all(mask | ~known, axis=1)
            complete = np.ones(max(len(z) - lags, 0), bool)
            for back in range(lags + 1):
                complete &= seen[lags - back : lags - back + len(complete)]
            if complete.any():
                inputs.append(_lagged(z, lags)[complete])
                targets.append(z[lags:][complete])
        rows = sum(map(len, inputs))
        if rows < 2:
            raise DataError(
                f"{named(recordings)}: {rows} of {sum(len(values) for values, _ in blocks)} training frames are "
                f"observed together with the {lags} before them in all units, too few for a vector autoregression"
            )
        x, y = np.concatenate(inputs), np.concatenate(targets)
        change = {"mean": y, "persistence": y - x[:, : y.shape[1]]}
        input_means = x.mean(axis=0)
        u, s, vt = np.linalg.svd(x - input_means, full_matrices=False)
        target_means = {key: t.mean(axis=0) for key, t in change.items()}
        projected = {key: u.T @ (t - target_means[key]) for key, t in change.items()}
        return cls(lags, rows, means, stds, input_means, target_means, s, vt, projected)

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


def _blocks_mse(model: VarRidge, recordings: Sequence[Recording], blocks: Sequence[tuple[int, int]]) -> float | None:
    """One-step MSE over the observed entries of one block of each recording; the frames before it serve as history."""
    total, count = 0.0, 0
    for recording, block in zip(recordings, blocks, strict=True):
        first = max(0, block[0] - model.lags)
        values, mask = recording.values[first : block[1]], recording.mask[first : block[1]]
        z = model._standardise(values, mask)
        if len(z) <= model.lags:
            continue
        prediction = model._restore(_lagged(z, model.lags) @ model.coefficients + model.intercept)
        scored = mask[model.lags :] & np.isfinite(prediction)
        total += float(np.sum((values[model.lags :][scored] - prediction[scored]) ** 2, dtype=np.float64))
        count += int(scored.sum())
    return total / count if count else None
