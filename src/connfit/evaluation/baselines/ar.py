"""An autoregression of every unit on its own past."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from connfit.config import EvaluateConfig
from connfit.errors import DataError
from connfit.evaluation.baselines import BASELINES, Baseline
from connfit.evaluation.baselines.blocks import named, tuning_blocks
from connfit.evaluation.baselines.linear_problem import edges, own_decay, standardise, unit_moments
from connfit.evaluation.baselines.own_gaps import Block, OwnFilter, OwnProcess, filtered_own_pasts, own_moments
from connfit.evaluation.baselines.own_past import (
    PENALTIES,
    TO_PERSISTENCE,
    OwnChoice,
    OwnMoments,
    own_choices,
    own_variance,
    solve_own,
)
from connfit.recordings import Recording

MIN_ROWS_PER_NUMBER = 3
"""Frames that a unit must have for each number that is fitted to it; with fewer it is predicted not to change."""

REFERENCE = OwnChoice(4, 10.0, TO_PERSISTENCE, True)
"""The autoregression that fills gaps while choices are made (its order at most the largest that is tried)."""

REFERENCE_STEPS, REFINING_STEPS = 6, 4
"""Steps of expectation maximisation of it, and of what is chosen."""


@dataclass(frozen=True, eq=False)
class Ar:
    """Every unit by itself: y_k(t) = c_k + Σ_l a_kl y_k(t - l), with the choices of least error on validation.

    Ridge regression on the training part. Order, penalty, what the penalty leads to (the mean; persistence; or
    persistence with changes from frame to frame in the place of levels) and whether there is a constant are one for
    all units, so that they rest on all of their validation frames. Values that were not observed are marginalised:
    in the fit by expectation maximisation, in prediction by the Kalman filter
    (`connfit.evaluation.baselines.own_gaps`); choices are then made on moments and frames filled by one
    autoregression, and four more steps refine what was chosen. Source: Lütkepohl (2005) New Introduction to Multiple
    Time Series Analysis, chapters 3 and 18, one variable at a time.

    Parameters
    ----------
    coefficients
        [order, P] lag 1 first, on values from which the mean is taken.
    intercept
        [P] in units of the values.
    variance, correlations
        [P] of innovations and [order, P] autocovariance, for the filter; on units of variance 1.
    means, stds
        [P] of the training part; NaN mean for a unit that it never shows.
    order
        Number of past frames.
    fitted
        [P] True where the coefficients were fitted; other units are predicted not to change.
    chosen
        What the tuning chose, for the record.
    """

    coefficients: Float[np.ndarray, "order P"]
    intercept: Float[np.ndarray, "P"]
    variance: Float[np.ndarray, "P"]
    correlations: Float[np.ndarray, "order P"]
    means: Float[np.ndarray, "P"]
    stds: Float[np.ndarray, "P"]
    order: int
    fitted: np.ndarray
    chosen: dict[str, Any]
    name: str = "ar"

    @classmethod
    def fit(cls, recording: Recording, config: EvaluateConfig | None = None) -> Ar:
        """Fit on the training part, with the order of `config.ar_orders` that has least one-step MSE on validation.

        Raises
        ------
        DataError
            If the training part is too short for every order.
        """
        return cls._tuned([recording], recording.units, config or EvaluateConfig())

    @classmethod
    def pooled(cls, recordings: Sequence[Recording], units: Sequence[str], config: EvaluateConfig | None = None) -> Ar:
        """One autoregression per unit, of all animals that have it; units of none are predicted not to change.

        Raises
        ------
        DataError
            If no animal has any of the units, or all are too short.
        """
        return cls._tuned(recordings, units, config or EvaluateConfig())

    @classmethod
    def _tuned(cls, recordings: Sequence[Recording], units: Sequence[str], config: EvaluateConfig) -> Ar:
        train, tune, tuned_on = tuning_blocks(recordings)
        columns = [_columns(one, units) for one in recordings]
        blocks, means, stds = _cut(recordings, columns, train)
        longest = max(len(z) for z, _ in blocks)
        orders = [order for order in sorted(set(config.ar_orders)) if order < longest]
        process = _reference(blocks, max(orders)) if orders else None
        best: tuple[float, OwnChoice] | None = None
        if process is not None:
            before = own_moments(process, blocks, orders)
            frames = [
                _tuning_frames(
                    one, own, block, means, stds, process.with_lags(max([*orders, len(process.coefficients)]))
                )
                for one, own, block in zip(recordings, columns, tune, strict=True)
            ]
            x, z, seen = (np.concatenate(each) for each in zip(*frames, strict=True))
            for order, moments in before.items():
                fitted = moments.observed >= MIN_ROWS_PER_NUMBER * (order + 1)
                weight = np.where(seen & fitted, stds**2, 0.0)
                # Units that this order cannot be fitted to are predicted not to change.
                rest = np.sum(np.where(seen & ~fitted, stds**2, 0.0) * (z - x[:, 0]) ** 2)
                if not fitted.any() or not seen.any():
                    continue
                for choice in own_choices([order], PENALTIES):
                    own, constant = solve_own(moments, choice)
                    predicted = np.einsum("tlp,lp->tp", x[:, :order], own) + constant
                    error = float(np.sum(weight * (z - predicted) ** 2) + rest) / int(seen.sum())
                    if np.isfinite(error) and (best is None or error < best[0]):
                        best = (error, choice)
        if best is None or process is None:
            raise DataError(
                f"{named(recordings)}: {longest} training frames are too few for an autoregression of order "
                f"{min(config.ar_orders)}, or nothing was observed on which the order could be tuned"
            )
        error, choice = best
        blocks, means, stds = _cut(recordings, columns, [one.require_parts().train for one in recordings])
        steps = 0 if all((seen | ~seen.any(axis=0)).all() for _, seen in blocks) else REFINING_STEPS
        moments = own_moments(process, blocks, [choice.order])[choice.order]
        process, fitted = _solved(moments, choice)
        for _ in range(steps):
            moments = own_moments(process, blocks, [choice.order])[choice.order]
            process, fitted = _solved(moments, choice)
        if not fitted.any():
            raise DataError(
                f"{named(recordings)}: no unit is observed in {MIN_ROWS_PER_NUMBER * (choice.order + 1)} training "
                f"frames, as an autoregression of order {choice.order} needs"
            )
        chosen = {
            "order": choice.order,
            "order_at_edge": edges(choice.order, (0, max(config.ar_orders))),
            "alpha": choice.alpha,
            "alpha_at_edge": edges(choice.alpha, PENALTIES),
            "shrink_to": choice.shrink_to,
            "intercept": choice.intercept,
            "tuned_on": tuned_on,
            "tuning_mse": error,
            "units_fitted": int(fitted.sum()),
        }
        return cls(
            process.coefficients,
            process.intercept * stds,
            process.variance,
            _stationary(moments, choice.order),
            means,
            stds,
            choice.order,
            fitted,
            chosen,
        )

    @property
    def parameters(self) -> int:
        """Coefficients and intercepts that were fitted."""
        on_changes = "changes" in self.chosen["shrink_to"]
        return int(self.fitted.sum()) * (self.order - on_changes + self.chosen["intercept"])

    def one_step(self, recording: Recording) -> Float[np.ndarray, "T P"]:
        """Prediction of each frame from all frames before it; NaN for the first `order` frames."""
        return self.one_step_and_horizon(recording, np.zeros(0, int), 0)[0]

    def horizon(self, recording: Recording, starts: Int[np.ndarray, "S"], steps: int) -> Float[np.ndarray, "S steps P"]:
        """The one-step prediction iterated; frames before the recording count as not observed."""
        return self.one_step_and_horizon(recording, starts, steps)[1]

    def one_step_and_horizon(
        self, recording: Recording, starts: Int[np.ndarray, "S"], steps: int
    ) -> tuple[Float[np.ndarray, "T P"], Float[np.ndarray, "S steps P"]]:
        """Both in one pass of the filter."""
        rows, _ = self._pasts(recording.values, recording.mask)
        prediction = np.einsum("lp,tlp->tp", self.coefficients, rows[:-1])
        prediction = self._restore(prediction + self.intercept / self.stds)
        prediction[: self.order] = np.nan
        return prediction, self._iterate(rows[np.asarray(starts) + 1], steps)

    def free_run(
        self,
        recording: Recording,
        start: int,
        frames: int,
        warmup: int,
        noise: Float[np.ndarray, "runs frames P"] | None = None,
    ) -> Float[np.ndarray, "*runs frames P"]:
        """The one-step prediction, plus the noise, iterated from what is known after the warm-up."""
        given = slice(start - warmup, start)
        rows, known = self._pasts(recording.values[given], recording.mask[given])
        if noise is None:
            return self._iterate(rows[-1:], frames)[0]
        return self._iterate(np.repeat(rows[-1:], len(noise), axis=0), frames, noise / self.stds, known)

    def free_runs(
        self, recording: Recording, start: int, frames: int, warmup: int, noise: Float[np.ndarray, "runs frames P"]
    ) -> tuple[Float[np.ndarray, "runs frames P"], Float[np.ndarray, "frames P"]]:
        """`free_run` with the noise and without."""
        return (
            self.free_run(recording, start, frames, warmup, noise),
            self.free_run(recording, start, frames, warmup),
        )

    def _pasts(self, values: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, OwnFilter]:
        process = OwnProcess(self.coefficients, self.intercept / self.stds, self.variance)
        return filtered_own_pasts(process, self.correlations, *standardise(values, mask, self.means, self.stds))

    def _iterate(
        self, past: np.ndarray, steps: int, noise: np.ndarray | None = None, known: OwnFilter | None = None
    ) -> np.ndarray:
        """[S, order, P] newest first -> [S, steps, P]; a simulated frame is taken for a recorded one."""
        units = past.shape[2]
        out = np.empty((len(past), steps, units))
        with np.errstate(over="ignore", invalid="ignore"):
            for step in range(steps):
                out[:, step] = np.einsum("lp,slp->sp", self.coefficients, past) + self.intercept / self.stds
                if noise is not None:
                    out[:, step] += noise[:, step]
                past = np.concatenate([out[:, step : step + 1], past[:, :-1]], axis=1)
                if noise is not None and known is not None and not known.certain:
                    past = past + known.gains(np.ones(units, bool)) * noise[:, step : step + 1]
        return self._restore(out)

    def _restore(self, z: np.ndarray) -> np.ndarray:
        return z * self.stds + self.means


def _columns(recording: Recording, units: Sequence[str]) -> np.ndarray:
    """Column of each unit in a recording; -1 for those that it lacks."""
    position = {unit: k for k, unit in enumerate(recording.units)}
    return np.array([position.get(unit, -1) for unit in units])


def _for_units(recording: Recording, columns: np.ndarray, block: slice) -> tuple[np.ndarray, np.ndarray]:
    """Values and mask in a block, a column per unit; nothing is observed of units that the recording lacks."""
    values, mask = recording.values[block][:, columns], recording.mask[block][:, columns] & (columns >= 0)
    return np.where(mask, values, 0.0).astype(np.float64), mask


def _cut(
    recordings: Sequence[Recording], columns: Sequence[np.ndarray], frames: Sequence[tuple[int, int]]
) -> tuple[list[Block], np.ndarray, np.ndarray]:
    """Standardised training frames, with means and standard deviations."""
    raw = [_for_units(one, own, slice(*block)) for one, own, block in zip(recordings, columns, frames, strict=True)]
    means, stds, _ = unit_moments(*(np.concatenate(each) for each in zip(*raw, strict=True)))
    blocks = []
    for values, mask in raw:
        z, _ = standardise(values, mask, means, stds)
        blocks.append((z, mask))
    return blocks, means, stds


def _reference(blocks: Sequence[Block], largest: int) -> OwnProcess:
    decay = np.clip(own_decay(blocks), 0.0, 0.99)
    process = OwnProcess(decay[None], np.zeros(len(decay)), np.maximum(1 - decay**2, 1e-3))
    if all((seen | ~seen.any(axis=0)).all() for _, seen in blocks):
        return process
    choice = OwnChoice(min(REFERENCE.order, largest), REFERENCE.alpha, REFERENCE.shrink_to, REFERENCE.intercept)
    for _ in range(REFERENCE_STEPS):
        process, _ = _solved(own_moments(process, blocks, [choice.order])[choice.order], choice)
    return process


def _solved(moments: OwnMoments, choice: OwnChoice) -> tuple[OwnProcess, np.ndarray]:
    """The solution, and which units have frames enough for it; the others do not change."""
    fitted = moments.observed >= MIN_ROWS_PER_NUMBER * (choice.order + 1)
    own, constant = solve_own(moments, choice)
    own[:, ~fitted], constant[~fitted] = 0.0, 0.0
    own[0, ~fitted] = 1.0
    variance = np.where(fitted, own_variance(moments, own, constant), 1.0)
    return OwnProcess(own, constant, variance), fitted


def _stationary(moments: OwnMoments, order: int) -> np.ndarray:
    """Autocovariance of each unit if its decay were geometric: of frames before a recording."""
    square = moments.gram[:, 0, 0]
    decay = np.clip(moments.cross[:, 0] / np.maximum(square, 1e-12), 0.0, 0.999)
    variance = np.where(square > 0, square / np.maximum(moments.rows, 1), 1.0)
    return variance * decay ** np.arange(order)[:, None]


def _tuning_frames(
    recording: Recording,
    columns: np.ndarray,
    block: tuple[int, int],
    means: np.ndarray,
    stds: np.ndarray,
    process: OwnProcess,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Past frames [t, L, P] as they are known, values and which were observed, of a block."""
    lags = len(process.coefficients)
    start = max(0, block[0] - 60 - lags)
    z, seen = standardise(*_for_units(recording, columns, slice(start, block[1])), means, stds)
    observed = seen & np.isfinite(means)
    rows, _ = filtered_own_pasts(process, np.ones((lags, len(means))) - 1e-3 * np.arange(lags)[:, None], z, seen)
    at = slice(block[0] - start, len(z))
    known = observed[at] & (np.arange(block[0], block[1]) >= lags)[:, None]
    return rows[:-1][at], z[at], known


BASELINES.register(
    Baseline(
        name="ar",
        label="AR",
        phrase="AR of each unit",
        place=3,
        fit=Ar.fit,
        pooled=Ar.pooled,
        does="autoregression of each unit on its own past",
        parameters="coefficients and constant of each unit",
        uses=("ar_orders",),
        linear=True,
    )
)
