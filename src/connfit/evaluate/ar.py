"""An autoregression of every unit on its own past."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from connfit.config import EvaluateConfig
from connfit.errors import DataError
from connfit.evaluate.blocks import named, tuning_blocks
from connfit.evaluate.var_ridge import moments
from connfit.recording import Recording

RIDGE = 1e-6
"""Ridge penalty per training frame, on units of variance 1: keeps the normal equations of a constant unit solvable."""

MIN_ROWS_PER_NUMBER = 3
"""Frames that a unit must have for each number that is fitted to it; with fewer it is predicted not to change."""


@dataclass(frozen=True, eq=False)
class Ar:
    """Every unit by itself: y_k(t) = c_k + Σ_l a_kl y_k(t - l), with the order of least error on validation.

    Least squares on the training part; the order is one for all units, so that it rests on all of their
    validation frames. Frames with an entry that was not observed are not used in the fit; in prediction
    the training mean stands in for it. Source: Lütkepohl (2005) New Introduction to Multiple Time Series
    Analysis, chapter 3, one variable at a time.

    Parameters
    ----------
    coefficients
        [order, P] lag 1 first, on values from which the mean is taken.
    intercept
        [P] in units of the values.
    means
        [P] of the training part; NaN for a unit that it never shows.
    order
        Number of past frames.
    fitted
        [P] True where the coefficients were fitted; other units are predicted not to change.
    chosen
        What the tuning chose, for the record.
    """

    coefficients: Float[np.ndarray, "order P"]
    intercept: Float[np.ndarray, "P"]
    means: Float[np.ndarray, "P"]
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
        best: tuple[float, int] | None = None
        for order in config.ar_orders:
            candidate = cls._solved(recordings, columns, units, train, order)
            error = None if candidate is None else _mse(candidate, recordings, columns, tune)
            if error is not None and (best is None or error < best[0]):
                best = (error, order)
        whole = [one.require_parts().train for one in recordings]
        model = None if best is None else cls._solved(recordings, columns, units, whole, best[1])
        if best is None or model is None:
            frames = max(last - first for first, last in train)
            raise DataError(
                f"{named(recordings)}: {frames} training frames are too few for an autoregression of order "
                f"{min(config.ar_orders)}, or nothing was observed on which the order could be tuned"
            )
        model.chosen.update(
            order=best[1],
            order_at_edge=best[1] == max(config.ar_orders),
            tuned_on=tuned_on,
            tuning_mse=best[0],
            units_fitted=int(model.fitted.sum()),
        )
        return model

    @classmethod
    def _solved(
        cls,
        recordings: Sequence[Recording],
        columns: Sequence[np.ndarray],
        units: Sequence[str],
        train: Sequence[tuple[int, int]],
        order: int,
    ) -> Ar | None:
        """Least squares of every unit; None if no unit has frames enough."""
        blocks = []
        for recording, own, block in zip(recordings, columns, train, strict=True):
            values, mask = _for_units(recording, own, slice(*block))
            blocks.append((values, mask))
        means, stds, _ = moments(*(np.concatenate(each) for each in zip(*blocks, strict=True)))
        gram = np.zeros((len(units), order + 1, order + 1))
        moment = np.zeros((len(units), order + 1))
        rows = np.zeros(len(units), int)
        for values, mask in blocks:
            if len(values) <= order:
                continue
            z = np.where(mask, (np.where(mask, values, 0.0) - np.nan_to_num(means)) / stds, 0.0)
            lagged = [z[order - back : len(z) - back] for back in range(1, order + 1)]
            complete = np.all([mask[order - back : len(z) - back] for back in range(order + 1)], axis=0)
            inputs = np.stack([*lagged, np.ones_like(lagged[0])], axis=-1) * complete[:, :, None]
            gram += np.einsum("tpi,tpj->pij", inputs, inputs)
            moment += np.einsum("tpi,tp->pi", inputs, z[order:])
            rows += complete.sum(axis=0)
        fitted = rows >= MIN_ROWS_PER_NUMBER * (order + 1)
        if not fitted.any():
            return None
        gram[~fitted] = np.eye(order + 1)
        penalty = RIDGE * np.maximum(rows, 1)[:, None, None] * np.diag([*[1.0] * order, 0.0])
        solved = np.linalg.solve(gram + penalty, moment[:, :, None])[:, :, 0]
        coefficients, intercept = solved[:, :order].T.copy(), solved[:, order] * stds
        coefficients[:, ~fitted], intercept[~fitted] = 0.0, 0.0
        coefficients[0, ~fitted] = 1.0
        return cls(coefficients, intercept, means, order, fitted, {})

    @property
    def parameters(self) -> int:
        """Coefficients and intercepts that were fitted."""
        return int(self.fitted.sum()) * (self.order + 1)

    def one_step(self, recording: Recording) -> Float[np.ndarray, "T P"]:
        """Prediction from the last `order` frames; NaN for the first `order` frames."""
        return self._one_step(recording.values, recording.mask)

    def _one_step(self, values: np.ndarray, mask: np.ndarray) -> np.ndarray:
        z = self._centred(values, mask)
        prediction = np.full(z.shape, np.nan)
        if len(z) > self.order:
            lagged = [z[self.order - back : len(z) - back] for back in range(1, self.order + 1)]
            prediction[self.order :] = np.einsum("lp,ltp->tp", self.coefficients, np.stack(lagged)) + self.intercept
        return prediction + self.means

    def horizon(self, recording: Recording, starts: Int[np.ndarray, "S"], steps: int) -> Float[np.ndarray, "S steps P"]:
        """The one-step prediction iterated; frames before the recording count as not observed."""
        z = self._centred(recording.values, recording.mask)
        z = np.concatenate([np.zeros((self.order - 1, z.shape[1])), z])
        history = np.stack([z[np.asarray(starts) + self.order - 1 - back] for back in range(self.order)], axis=1)
        return self._iterate(history, steps)

    def free_run(
        self,
        recording: Recording,
        start: int,
        frames: int,
        warmup: int,
        noise: Float[np.ndarray, "runs frames P"] | None = None,
    ) -> Float[np.ndarray, "*runs frames P"]:
        """The one-step prediction, plus the noise, iterated from the last `order` frames of the warm-up."""
        history = np.zeros((1, self.order, len(self.means)))
        for back in range(min(self.order, warmup)):
            frame = slice(start - 1 - back, start - back)
            history[0, back] = self._centred(recording.values[frame], recording.mask[frame])[0]
        if noise is None:
            return self._iterate(history, frames)[0]
        return self._iterate(np.repeat(history, len(noise), axis=0), frames, noise)

    def _iterate(self, history: np.ndarray, steps: int, noise: np.ndarray | None = None) -> np.ndarray:
        """[S, order, P] newest first -> [S, steps, P]."""
        out = np.empty((len(history), steps, history.shape[2]))
        with np.errstate(over="ignore", invalid="ignore"):
            for step in range(steps):
                out[:, step] = np.einsum("lp,slp->sp", self.coefficients, history) + self.intercept
                if noise is not None:
                    out[:, step] += noise[:, step]
                history = np.concatenate([out[:, step : step + 1], history[:, :-1]], axis=1)
        return out + self.means

    def _centred(self, values: np.ndarray, mask: np.ndarray) -> np.ndarray:
        known = mask & np.isfinite(self.means)
        return np.where(known, np.where(known, values, 0.0) - np.nan_to_num(self.means), 0.0)


def _columns(recording: Recording, units: Sequence[str]) -> np.ndarray:
    """Column of each unit in a recording; -1 for those that it lacks."""
    position = {unit: k for k, unit in enumerate(recording.units)}
    return np.array([position.get(unit, -1) for unit in units])


def _for_units(recording: Recording, columns: np.ndarray, block: slice) -> tuple[np.ndarray, np.ndarray]:
    """Values and mask in a block, a column per unit; nothing is observed of units that the recording lacks."""
    values, mask = recording.values[block][:, columns], recording.mask[block][:, columns] & (columns >= 0)
    return np.where(mask, values, 0.0).astype(np.float64), mask


def _mse(
    model: Ar, recordings: Sequence[Recording], columns: Sequence[np.ndarray], blocks: Sequence[tuple[int, int]]
) -> float | None:
    """One-step MSE over the observed entries of one block of each recording; the frames before it serve as history."""
    total, count = 0.0, 0
    for recording, own, (start, stop) in zip(recordings, columns, blocks, strict=True):
        first = max(0, start - model.order)
        values, mask = _for_units(recording, own, slice(first, stop))
        predicted = model._one_step(values, mask)[start - first :]
        values, mask = values[start - first :], mask[start - first :]
        scored = mask & np.isfinite(predicted)
        total += float(np.sum((values[scored] - predicted[scored]) ** 2))
        count += int(scored.sum())
    return total / count if count else None
