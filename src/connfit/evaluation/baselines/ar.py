"""An autoregression of every unit on its own past."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from connfit.config import EvaluateConfig
from connfit.errors import DataError
from connfit.evaluation.baselines import BASELINES, Baseline
from connfit.evaluation.baselines.autoregression import Autoregression
from connfit.evaluation.baselines.choosing import at_edge, least, named, training_blocks, tuning_blocks
from connfit.evaluation.baselines.gap_filter import filtered_pasts
from connfit.evaluation.baselines.linear_problem import BURN_IN, own_decay
from connfit.evaluation.baselines.own_moments import OwnMoments, own_moments
from connfit.evaluation.baselines.own_past import (
    PENALTIES,
    TO_PERSISTENCE,
    OwnChoice,
    own_choices,
    own_variance,
    solve_own,
)
from connfit.evaluation.baselines.processes import OwnProcess
from connfit.evaluation.baselines.unit_scaling import Block, Scaling, Stretch
from connfit.recordings import Recording
from connfit.recordings.frame_blocks import frame_blocks

MIN_ROWS_PER_NUMBER = 3
"""Frames that a unit must have for each number that is fitted to it; with fewer it is predicted not to change."""

REFERENCE = OwnChoice(4, 10.0, TO_PERSISTENCE, True)
"""The autoregression that fills gaps while choices are made (its order at most the largest that is tried)."""

REFERENCE_STEPS, REFINING_STEPS = 6, 4
"""Steps of expectation maximisation of it, and of what is chosen."""


@dataclass(frozen=True, eq=False)
class Ar(Autoregression):
    """Every unit by itself: y_k(t) = c_k + Σ_l a_kl y_k(t - l), with the choices of least error on validation.

    Ridge regression on the training part. Order, penalty, what the penalty leads to (the mean; persistence; or
    persistence with changes from frame to frame in the place of levels) and whether there is a constant are one for
    all units, so that they rest on all of their validation frames. Values that were not observed are marginalised:
    in the fit by expectation maximisation (`connfit.evaluation.baselines.own_moments`), in prediction by the Kalman
    filter; choices are then made on moments and frames filled by one autoregression, and four more steps refine what
    was chosen. Source: Lütkepohl (2005) New Introduction to Multiple Time Series Analysis, chapters 3 and 18, one
    variable at a time.
    """

    process: OwnProcess
    name: str = "ar"

    @classmethod
    def fit(cls, recording: Recording, config: EvaluateConfig | None = None) -> Ar:
        """Fit on the training part, with the order of `config.ar_orders` that has least one-step MSE on validation.

        Raises
        ------
        DataError
            If the training part is too short for every order.
        """
        return cls.pooled([recording], recording.units, config)

    @classmethod
    def pooled(cls, recordings: Sequence[Recording], units: Sequence[str], config: EvaluateConfig | None = None) -> Ar:
        """Fit one autoregression per unit, of all animals that have it; units of none are predicted not to change.

        Raises
        ------
        DataError
            If no animal has any of the units, or all are too short.
        """
        config = config or EvaluateConfig()
        animals = [_Animal.of(recording, units) for recording in recordings]
        train, tune, tuned_on = tuning_blocks(recordings)
        scaling, stretches = _cut(animals, train)
        longest = max(map(len, stretches))
        orders = [order for order in sorted(set(config.ar_orders)) if order < longest]
        process = _reference(stretches, max(orders)) if orders else None
        best = None if process is None else least(_candidates(animals, scaling, stretches, tune, process, orders))
        if best is None or process is None:
            raise DataError(
                f"{named(recordings)}: {longest} training frames are too few for an autoregression of order "
                f"{min(config.ar_orders)}, or nothing was observed on which the order could be tuned"
            )
        error, choice = best
        scaling, stretches = _cut(animals, training_blocks(recordings))
        for _ in range(1 if _without_gaps(stretches) else 1 + REFINING_STEPS):
            moments = own_moments(process, stretches, [choice.order])[choice.order]
            process, fitted = _solved(moments, choice)
        if not fitted.any():
            raise DataError(
                f"{named(recordings)}: no unit is observed in {MIN_ROWS_PER_NUMBER * (choice.order + 1)} training "
                f"frames, as an autoregression of order {choice.order} needs"
            )
        chosen = {
            "order": choice.order,
            "order_at_edge": at_edge(choice.order, (0, max(config.ar_orders))),
            "alpha": choice.alpha,
            "alpha_at_edge": at_edge(choice.alpha, PENALTIES),
            "shrink_to": choice.shrink_to,
            "intercept": choice.intercept,
            "tuned_on": tuned_on,
            "tuning_mse": error,
            "units_fitted": int(fitted.sum()),
        }
        parameters = int(fitted.sum()) * choice.numbers
        return cls(process, _stationary(moments, choice.order), scaling, parameters, chosen)


@dataclass(frozen=True, eq=False)
class _Animal:
    """A recording with a column for each unit; nothing is observed of those that it lacks."""

    recording: Recording
    columns: Int[np.ndarray, "P"]

    @classmethod
    def of(cls, recording: Recording, units: Sequence[str]) -> _Animal:
        position = {unit: k for k, unit in enumerate(recording.units)}
        return cls(recording, np.array([position.get(unit, -1) for unit in units]))

    def frames(self, first: int, last: int) -> Block:
        mask = self.recording.mask[first:last][:, self.columns] & (self.columns >= 0)
        return np.where(mask, self.recording.values[first:last][:, self.columns], 0.0).astype(np.float64), mask

    def blocks(self, first: int, last: int) -> Iterator[Block]:
        for at in frame_blocks(first, max(last, first + 1), len(self.columns)):
            yield self.frames(at.start, min(at.stop, last))

    def stretch(self, first: int, last: int, scaling: Scaling) -> Stretch:
        def read(start: int, stop: int) -> Block:
            values, mask = self.frames(first + start, first + stop)
            return scaling.standardise(values, mask)[0], mask

        return Stretch(last - first, len(self.columns), read)


def _cut(animals: Sequence[_Animal], frames: Sequence[tuple[int, int]]) -> tuple[Scaling, list[Stretch]]:
    pairs = list(zip(animals, frames, strict=True))
    scaling = Scaling.of_blocks(lambda: (block for animal, at in pairs for block in animal.blocks(*at)))
    return scaling, [animal.stretch(*at, scaling) for animal, at in pairs]


def _without_gaps(stretches: Sequence[Stretch]) -> bool:
    for stretch in stretches:
        ever = sum((seen.sum(axis=0) for _, seen in stretch.blocks()), np.zeros(stretch.units, int))
        if not np.isin(ever, (0, len(stretch))).all():
            return False
    return True


def _reference(stretches: Sequence[Stretch], largest: int) -> OwnProcess:
    decay = np.clip(own_decay(stretches), 0.0, 0.99)
    process = OwnProcess(decay[None], np.zeros(len(decay)), np.maximum(1 - decay**2, 1e-3))
    if _without_gaps(stretches):
        return process
    choice = OwnChoice(min(REFERENCE.order, largest), REFERENCE.alpha, REFERENCE.shrink_to, REFERENCE.intercept)
    for _ in range(REFERENCE_STEPS):
        process, _ = _solved(own_moments(process, stretches, [choice.order])[choice.order], choice)
    return process


def _candidates(
    animals: Sequence[_Animal],
    scaling: Scaling,
    stretches: Sequence[Stretch],
    tune: Sequence[tuple[int, int]],
    process: OwnProcess,
    orders: Sequence[int],
) -> Iterator[tuple[float, OwnChoice]]:
    """Choices with their MSE on the tuning blocks."""
    wide = process.with_lags(max(*orders, process.lags))
    by_order = own_moments(process, stretches, orders)
    fitted = {order: of.observed >= MIN_ROWS_PER_NUMBER * (order + 1) for order, of in by_order.items()}
    choices = [choice for order in orders if fitted[order].any() for choice in own_choices([order], PENALTIES)]
    solutions = [solve_own(by_order[choice.order], choice) for choice in choices]
    total, count = np.zeros(len(choices)), 0
    for animal, block in zip(animals, tune, strict=True):
        for x, z, seen in _tuning_frames(animal, block, scaling, wide):
            count += int(seen.sum())
            each = []
            for choice, (own, constant) in zip(choices, solutions, strict=True):
                usable = fitted[choice.order]
                weight = np.where(seen & usable, scaling.stds**2, 0.0)
                # Units that this order cannot be fitted to are predicted not to change.
                rest = np.sum(np.where(seen & ~usable, scaling.stds**2, 0.0) * (z - x[:, 0]) ** 2)
                predicted = np.einsum("tlp,lp->tp", x[:, : choice.order], own) + constant
                each.append(float(np.sum(weight * (z - predicted) ** 2) + rest))
            total += each
    for error, choice in zip(total / max(count, 1), choices, strict=True):
        if count and np.isfinite(error):
            yield float(error), choice


def _tuning_frames(
    animal: _Animal, block: tuple[int, int], scaling: Scaling, process: OwnProcess
) -> Iterator[tuple[Float[np.ndarray, "t L P"], Float[np.ndarray, "t P"], Bool[np.ndarray, "t P"]]]:
    """Past frames as they are known, values and which were observed, of a block."""
    lags = process.lags
    start = max(0, block[0] - BURN_IN - lags)

    def read(first: int, last: int) -> Block:
        return scaling.standardise(*animal.frames(start + first, start + last))

    stretch = Stretch(block[1] - start, process.units, read)
    correlations = np.tile(1.0 - 1e-3 * np.arange(lags)[:, None], process.units)
    for first, rows, _ in filtered_pasts(process, correlations, stretch):
        frames = np.arange(start + first, start + first + len(rows) - 1)
        at = frames >= block[0]
        z, seen = read(first, first + len(frames))
        yield rows[:-1][at], z[at], (seen & scaling.known)[at] & (frames[at] >= lags)[:, None]


def _solved(moments: OwnMoments, choice: OwnChoice) -> tuple[OwnProcess, Bool[np.ndarray, "P"]]:
    """The solution, and which units have frames enough for it; the others do not change."""
    fitted = moments.observed >= MIN_ROWS_PER_NUMBER * (choice.order + 1)
    own, constant = solve_own(moments, choice)
    own[:, ~fitted], constant[~fitted] = 0.0, 0.0
    own[0, ~fitted] = 1.0
    variance = np.where(fitted, own_variance(moments, own, constant), 1.0)
    return OwnProcess(own, constant, variance), fitted


def _stationary(moments: OwnMoments, order: int) -> Float[np.ndarray, "L P"]:
    """Autocovariance of each unit if its decay were geometric: of frames before a recording."""
    square = moments.gram[:, 0, 0]
    decay = np.clip(moments.cross[:, 0] / np.maximum(square, 1e-12), 0.0, 0.999)
    variance = np.where(square > 0, square / np.maximum(moments.rows, 1), 1.0)
    return variance * decay ** np.arange(order)[:, None]


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
