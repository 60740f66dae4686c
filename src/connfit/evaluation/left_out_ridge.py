"""Ridge regression of every unit on the past of all others: what a left-out unit is predicted by without a brain.

u_k(t) = c_k + Σ_l Σ_{j ≠ k} a_kjl u_j(t - l), as the model is given the others: up to the frame before. The penalty and
the number of lags are those of least one-step error on validation, one for all units, each scaled to its training
standard deviation.

Values that were not observed are missing, not replaced: moments are taken over the frames in which both were observed
(with negative eigenvalues, which such moments can have, set to 0), and a frame that lacks inputs is predicted from
those it has, by the coefficients that they alone would have. Leaving a unit out of a regression on all needs no second
solution: with M = (G + α)⁻¹ and w = M c, the coefficients without inputs g are w - M_g (M_gg)⁻¹ w_g (block inverse, as
in Golub & Van Loan 2013, Matrix Computations, 2.1.4).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float

from connfit.config import EvaluateConfig
from connfit.errors import DataError
from connfit.evaluation.baselines.choosing import tuning_blocks
from connfit.evaluation.baselines.unit_scaling import Block, Scaling, added
from connfit.evaluation.baselines.var_ridge import ALPHAS
from connfit.evaluation.baselines.wide_moments import MOST_DECOMPOSED, MOST_INPUTS
from connfit.evaluation.left_out_path import OthersPath
from connfit.evaluation.left_out_without import Without
from connfit.evaluation.part_scores import Chosen
from connfit.evaluation.scratch import Stored
from connfit.recordings import Recording
from connfit.recordings.frame_blocks import frame_blocks

MOST_INVERTED = 3e9
"""Sum of cubes of inputs, over the sets of them that frames of a block have, up to which each set is solved by itself;
of more sets what they lack is taken from the solution of all."""


@dataclass(frozen=True, eq=False)
class OthersRidge:
    """A fitted regression of every unit on the others' past.

    Parameters
    ----------
    gram, cross
        [L P, L P] and [L P, P] moments of inputs with inputs and with targets, means over frames, both centred, inputs
        of standard deviation 1; lag 1 first.
    input_means, target_means, stds
        Of the rows that were used, in units of the values.
    lags, alpha
        As chosen; the penalty is for sums over `rows` frames, as scikit-learn's.
    """

    gram: Float[np.ndarray, "LP LP"]
    cross: Float[np.ndarray, "LP P"]
    input_means: Float[np.ndarray, "LP"]
    target_means: Float[np.ndarray, "P"]
    stds: Float[np.ndarray, "P"]
    lags: int
    alpha: float
    rows: int
    chosen: Chosen

    @classmethod
    def fit(cls, recording: Recording, config: EvaluateConfig | None = None) -> OthersRidge | OthersPath:
        """Fit to the training part, with lags of `config.var_lags` and the penalty that are best on validation.

        Raises
        ------
        DataError
            If there are too few units or frames, or so many of both that the regression cannot be solved.
        """
        config = config or EvaluateConfig()
        if len(recording.units) < 2:
            raise DataError(f"recording {recording.name!r} has one unit: there are no others to predict it from")
        (train,), (tune,), tuned_on = tuning_blocks([recording])
        usable = [lags for lags in config.var_lags if _rows(train, lags) >= 2]
        wide = _wide(recording, train, tune, usable)
        best: tuple[float, int, float] | None = None
        for lags in usable:
            if lags in wide:
                errors = OthersPath.of(recording, train, lags).errors(recording, tune, ALPHAS)
            else:
                found, rows = _moments(recording, train, lags), _rows(train, lags)
                errors = [
                    _error(cls(*found, lags=lags, alpha=alpha, rows=rows, chosen={}), recording, tune)
                    for alpha in ALPHAS
                ]
            for error, alpha in zip(errors, ALPHAS, strict=True):
                if np.isfinite(error) and (best is None or error < best[0]):
                    best = (error, lags, alpha)
        if best is None:
            raise DataError(
                f"recording {recording.name!r}: {train[1] - train[0]} training frames are too few for a regression on "
                f"{min(config.var_lags)} frames of the other units, or there was nothing to choose its penalty on"
            )
        error, lags, alpha = best
        chosen = {
            "lags": lags,
            "alpha": alpha,
            "alpha_at_edge": alpha in (ALPHAS[0], ALPHAS[-1]),
            "tuned_on": tuned_on,
            "tuning_error": error,
        }
        whole = recording.require_parts().train
        if lags in wide:
            return replace(OthersPath.of(recording, whole, lags), alpha=alpha, chosen=chosen)
        found = _moments(recording, whole, lags)
        return cls(*found, lags=lags, alpha=alpha, rows=_rows(whole, lags), chosen=chosen)

    def predict(
        self, recording: Recording, start: int, stop: int, out: Stored | None = None
    ) -> Float[np.ndarray, "frames P"] | Stored:
        """Predict frames `start` to `stop - 1` of every unit from those before; NaN where no other was observed.

        They are written into `out`, block by block, where that is given.
        """
        units = len(self.target_means)
        out = np.empty((stop - start, units)) if out is None else out
        for at in frame_blocks(start, stop, self.lags * units):
            out[at.start - start : at.stop - start] = self._predict(recording, at)
        return out

    def _predict(self, recording: Recording, frames: slice) -> Float[np.ndarray, "t P"]:
        units = len(self.target_means)
        inputs, seen = _inputs(recording, frames, self.lags)
        z = (inputs - np.nan_to_num(self.input_means)) / np.tile(self.stds, self.lags)
        seen = seen & self._known
        z = np.where(seen, z, 0.0)
        out = np.full((len(z), units), np.nan)
        if (seen == self._known).all():
            patterns, which = self._known[None], np.zeros(len(z), int)
        else:
            patterns, which = np.unique(seen, axis=0, return_inverse=True)
        if len(patterns) * int(self._known.sum()) ** 3 > MOST_INVERTED:
            without = Without.of(self._inverse, self._inverse @ self.cross[self._known], self._known, units)
            for number, pattern in enumerate(patterns):
                frames_of = np.flatnonzero(which.ravel() == number)
                at = np.flatnonzero(pattern)
                if len(at):
                    out[frames_of] = without.predict(z[frames_of], pattern)
                    out[np.ix_(frames_of, ~_others_seen(at, units))] = np.nan
            return self.target_means + out * self.stds
        for number, pattern in enumerate(patterns):
            frames_of = np.flatnonzero(which.ravel() == number)
            at = np.flatnonzero(pattern)
            if len(at):
                coefficients = self._of_all if len(at) == self._known.sum() else self._coefficients(at)
                out[frames_of] = z[np.ix_(frames_of, at)] @ coefficients
                out[np.ix_(frames_of, ~_others_seen(at, units))] = np.nan
        return self.target_means + out * self.stds

    @cached_property
    def _known(self) -> Bool[np.ndarray, "LP"]:
        """Inputs of units that the training part shows."""
        return np.tile(np.isfinite(self.target_means), self.lags)

    @cached_property
    def _of_all(self) -> Float[np.ndarray, "I P"]:
        return self._coefficients(np.flatnonzero(self._known))

    @cached_property
    def _inverse(self) -> Float[np.ndarray, "K K"]:
        """Of the moments of all known inputs."""
        at = np.flatnonzero(self._known)
        return np.linalg.inv(self.gram[np.ix_(at, at)] + self.alpha / self.rows * np.eye(len(at)))

    def _coefficients(self, at: np.ndarray) -> Float[np.ndarray, "I P"]:
        """Coefficients of the inputs `at`, for every unit without those that are its own."""
        inverse = np.linalg.inv(self.gram[np.ix_(at, at)] + self.alpha / self.rows * np.eye(len(at)))
        full = inverse @ self.cross[at]
        unit = at % len(self.target_means)
        for k in np.unique(unit):
            own = np.flatnonzero(unit == k)
            full[:, k] -= inverse[:, own] @ np.linalg.solve(inverse[np.ix_(own, own)], full[own, k])
            full[own, k] = 0.0
        return full


def _others_seen(at: np.ndarray, units: int) -> Bool[np.ndarray, "P"]:
    """Units of which at least one other is among the inputs."""
    count = np.bincount(at % units, minlength=units)
    return count < len(at)


def _rows(block: tuple[int, int], lags: int) -> int:
    return block[1] - block[0] - lags


def _inputs(
    recording: Recording, frames: slice, lags: int
) -> tuple[Float[np.ndarray, "t LP"], Bool[np.ndarray, "t LP"]]:
    """The frames 1 ... lags before each frame, newest first; not observed before the recording."""
    first = frames.start - lags
    at, pad = slice(max(first, 0), frames.stop), max(0, -first)
    x, m = _frames(recording, at)
    x, m = (np.concatenate([np.zeros((pad, part.shape[1]), part.dtype), part]) for part in (x, m))
    count = frames.stop - frames.start
    back = range(1, lags + 1)
    return tuple(np.concatenate([part[lags - k : lags - k + count] for k in back], axis=1) for part in (x, m))  # type: ignore[return-value]


def _frames(recording: Recording, at: slice) -> Block:
    """Values in double precision, 0 where there is none, and which were observed."""
    values, mask = recording.values[at], recording.mask[at]
    return np.where(mask, values, 0.0).astype(np.float64), mask


def _moments(recording: Recording, block: tuple[int, int], lags: int) -> tuple[np.ndarray, ...]:
    units, whole = len(recording.units), slice(*block)
    blocks = list(frame_blocks(block[0] + lags, block[1], lags * units))
    stds = Scaling.of(recording.values[whole], recording.mask[whole]).stds
    input_means = _means(_inputs(recording, at, lags) for at in blocks)
    target_means = _means(_frames(recording, at) for at in blocks)
    gram, cross = np.zeros((lags * units, lags * units)), np.zeros((lags * units, units))
    pairs, with_targets, gaps = np.zeros_like(gram), np.zeros_like(cross), False
    for at in blocks:
        (x, seen), (y, there) = _inputs(recording, at, lags), _frames(recording, at)
        x = np.where(seen, (x - np.nan_to_num(input_means)) / np.tile(stds, lags), 0.0)
        y = np.where(there, (y - np.nan_to_num(target_means)) / stds, 0.0)
        gram += x.T @ x
        cross += x.T @ y
        if seen.all() and there.all():
            pairs, with_targets = pairs + len(x), with_targets + len(x)
        else:
            m, n = seen.astype(float), there.astype(float)
            pairs, with_targets, gaps = pairs + m.T @ m, with_targets + m.T @ n, gaps or not seen.all()
    gram /= np.maximum(pairs, 1)
    if gaps:
        value, vector = np.linalg.eigh(gram)
        gram = (vector * np.maximum(value, 0)) @ vector.T
    return gram, cross / np.maximum(with_targets, 1), input_means, target_means, stds


def _means(blocks: Iterable[Block]) -> Float[np.ndarray, "I"]:
    total, count = None, 0
    for x, seen in blocks:
        total, count = added(total, x), count + seen.sum(axis=0)
    assert total is not None, "a fit has rows"
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _wide(recording: Recording, train: tuple[int, int], tune: tuple[int, int], lags: Sequence[int]) -> Collection[int]:
    """Numbers of lags whose inputs are so many more than the frames that the latter are decomposed.

    Raises
    ------
    DataError
        If there are too many of both, or of inputs where there are gaps.
    """
    units, (first, last) = len(recording.units), recording.require_parts().train
    gaps = not all(recording.mask[at].all() for block in ((first, last), tune) for at in frame_blocks(*block, units))
    wide = [] if gaps else [lag for lag in lags if MOST_INPUTS < lag * units and last - first - lag < lag * units]
    sizes = {lag: last - first - lag if lag in wide else lag * units for lag in lags}
    if max(sizes.values(), default=0) > MOST_DECOMPOSED:
        fitting = [lag for lag, size in sizes.items() if size <= MOST_DECOMPOSED]
        raise DataError(
            f"recording {recording.name!r}: a regression on {max(lags)} frames of {units - 1:,} other units"
            f"{', with gaps,' if gaps else ''} has to invert matrices of {max(sizes.values()):,} rows, "
            f"which takes hours: the limit is {MOST_DECOMPOSED:,} rows",
            fix=f"Name no lag above {max(fitting)} in evaluate.var_lags"
            if fitting
            else f"{'Fill the gaps, fit' if gaps else 'Fit'} fewer units, or set evaluate.left_out_units = 0",
        )
    return wide


def _error(model: OthersRidge, recording: Recording, block: tuple[int, int]) -> float:
    """Mean squared error in training standard deviations over a block; NaN without an entry."""
    total, count = 0.0, 0
    for at in frame_blocks(*block, model.lags * len(recording.units)):
        predicted = np.asarray(model.predict(recording, at.start, at.stop))
        values, mask = _frames(recording, at)
        scored = mask & np.isfinite(predicted)
        error = np.where(scored, (values - predicted) / model.stds, 0.0)
        total, count = total + float((error**2).sum()), count + int(scored.sum())
    return total / count if count else np.nan
