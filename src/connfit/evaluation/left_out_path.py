"""The regression on all other units of wide recordings, which have more inputs than frames.

The same as `connfit.evaluation.left_out_ridge`, without a matrix that is as large as the square of all inputs: leaving
out a unit's own past is an infinite penalty on it, and predictions come from the spectrum of the frames
(`connfit.evaluation.baselines.ridge_path`). It is fitted to recordings without gaps; where values are missing later,
their means stand in for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from connfit.evaluation.baselines.ridge_path import RidgePath
from connfit.evaluation.baselines.unit_scaling import Block, Scaling, Stretch
from connfit.evaluation.baselines.wide_moments import WideMoments
from connfit.evaluation.part_scores import Chosen
from connfit.evaluation.scratch import Stored
from connfit.recordings import Recording
from connfit.recordings.frame_blocks import frame_blocks


@dataclass(frozen=True, eq=False)
class OthersPath:
    """Regressions of every unit on the others' past, for all penalties.

    Parameters
    ----------
    path
        Of standardised frames about their means.
    input_means, target_means
        [L P], [P] standardised, over the rows that were used.
    scaling
        Of the training part.
    lags, alpha
        As chosen; the penalty is for sums over frames.
    """

    path: RidgePath
    input_means: Float[np.ndarray, "LP"]
    target_means: Float[np.ndarray, "P"]
    scaling: Scaling
    lags: int
    alpha: float = 0.0
    chosen: Chosen = field(default_factory=dict)

    @classmethod
    def of(cls, recording: Recording, block: tuple[int, int], lags: int) -> OthersPath:
        """Decompose training frames without gaps."""
        whole = slice(*block)
        scaling = Scaling.of(recording.values[whole], recording.mask[whole])

        def read(first: int, last: int) -> Block:
            at = slice(block[0] + first, block[0] + last)
            return scaling.standardise(recording.values[at], recording.mask[at])

        moments = WideMoments.of([Stretch(block[1] - block[0], len(recording.units), read)], lags)
        means = moments.sum_x / moments.rows, moments.sum_y / moments.rows
        return cls(RidgePath.of(moments.centred()), *means, scaling, lags)

    def errors(self, recording: Recording, block: tuple[int, int], alphas: Sequence[float]) -> list[float]:
        """Return the mean squared error in training standard deviations of each penalty; NaN without an entry."""
        total, count = np.zeros(len(alphas)), 0
        for at in self._blocks(*block):
            z, seen = self.scaling.standardise(recording.values[at], recording.mask[at])
            scored = seen & self.scaling.known
            each = self._standardised(recording, at, alphas)
            total += [float(np.where(scored, (z - predicted) ** 2, 0.0).sum()) for predicted in each]
            count += int(scored.sum())
        return (total / count if count else np.full(len(alphas), np.nan)).tolist()

    def predict(
        self, recording: Recording, start: int, stop: int, out: Stored | None = None
    ) -> Float[np.ndarray, "frames P"] | Stored:
        """Predict frames `start` to `stop - 1` of every unit from those before, into `out` where that is given."""
        out = np.empty((stop - start, len(recording.units))) if out is None else out
        for at in self._blocks(start, stop):
            (predicted,) = self._standardised(recording, at, [self.alpha])
            out[at.start - start : at.stop - start] = self.scaling.restore(predicted)
        return out

    def _blocks(self, start: int, stop: int) -> Iterator[slice]:
        # Some hundred frames at least: each block costs a pass over all inputs' directions.
        return frame_blocks(start, stop, 1_024)

    def _standardised(
        self, recording: Recording, at: slice, alphas: Sequence[float]
    ) -> Iterator[Float[np.ndarray, "t P"]]:
        first = at.start - self.lags
        before = slice(max(first, 0), at.stop)
        z, _ = self.scaling.standardise(recording.values[before], recording.mask[before])
        z = np.concatenate([np.zeros((max(0, -first), z.shape[1])), z])
        count = at.stop - at.start
        x = np.concatenate([z[self.lags - back : self.lags - back + count] for back in range(1, self.lags + 1)], axis=1)
        for _, _, predicted in self.path.predictions(x - self.input_means, alphas, [np.inf]):
            yield predicted + self.target_means
