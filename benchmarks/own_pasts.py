"""What single neurons' own pasts predict on real worms: with one time constant for all, and with one for each.

    python benchmarks/own_pasts.py [--forcing 0.5] [--shrinkage 0.25]

No wiring, no inputs, nothing trained: each unit is predicted in closed form as a start by regression does with
`model.time_constant_frames = "unit"` (`connfit.models.init.own_time_constants`), or with the single time constant of 25
that predicts the training frames of all units best. Prints the skill over persistence of the test part, all units
pooled, 1, 2, 5 and 10 frames ahead. What lies beyond the range of training is carried, as models do.
"""

from __future__ import annotations

import argparse

import numpy as np
from jaxtyping import Float

from connfit.config import DataConfig
from connfit.connectome.matching import match_units
from connfit.datasets.loading import connectome_from_config, recordings_from_config
from connfit.models.init.centred_frames import CentredFrames
from connfit.models.init.own_time_constants import CANDIDATES, SLOWEST, own_time_constants
from connfit.recordings.cohort import Cohort

WORMS = ("2022-07-26-31", "2022-07-26-38", "2022-07-27-31", "2022-07-27-38", "2022-08-02-38")
AHEAD = (1, 2, 5, 10)
BOUNDS_FRAMES = (0.2, 50.0)


def gains(
    frames: CentredFrames, kept: Float[np.ndarray, "P"], lowest: Float[np.ndarray, "P"], shrinkage: float
) -> tuple[Float[np.ndarray, "P"], Float[np.ndarray, "P"]]:
    """Return the gain of each unit by least squares shrunk to persistence, and its error on training frames."""
    squares, products, total = np.zeros((3, len(kept)))
    for _, now, weight in frames.stretches(0):
        followed, last = np.zeros((2, len(kept)))
        for frame, counts in zip(now, weight, strict=True):
            followed = kept * followed + last
            squares += counts * followed**2
            products += counts * frame * followed
            total += counts * frame**2
            last = frame
    pull = shrinkage / (1 - shrinkage)
    gain = (products + pull * squares * (1 - kept)) / np.maximum(squares * (1 + pull), np.finfo(float).tiny)
    gain = np.clip(gain, lowest, np.maximum(SLOWEST - kept, lowest))
    return gain, total - 2 * gain * products + gain**2 * squares


def main() -> None:
    """Print a line for each worm."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--forcing", type=float, default=0.5)
    parser.add_argument("--shrinkage", type=float, default=0.25)
    args = parser.parse_args()
    for worm in WORMS:
        data = DataConfig(dataset="worm", recordings=(worm,))
        (recording,) = recordings_from_config(data, ())
        known = match_units(recording.units, connectome_from_config(data), column="id", unmatched="report").matched
        cohort = Cohort.from_recordings([recording.select_units(known)])
        values, (start, stop) = cohort.recordings[0].values, cohort.recordings[0].require_parts().test
        frames, within = CentredFrames.of(*cohort.training_frames()[0]), cohort.training_range(cohort.recordings[0])
        for name in ("one for all", "one for each"):
            if name == "one for each":
                frames_each = own_time_constants([frames], args.forcing, 1.0, BOUNDS_FRAMES)
            else:
                tried = [np.full(values.shape[1], tau) for tau in np.geomspace(*BOUNDS_FRAMES, CANDIDATES)]
                errors = [
                    gains(frames, np.exp(-1 / tau) * (1 - args.forcing), np.exp(-1 / tau) * args.forcing, 0)[1].sum()
                    for tau in tried
                ]
                frames_each = tried[int(np.argmin(errors))]
            decay = np.exp(-1 / frames_each)
            kept = decay * (1 - args.forcing)
            gain = gains(frames, kept, decay * args.forcing, args.shrinkage)[0]
            inside = np.clip(values, within.low, within.high)
            beyond, state = values - inside, inside[0] - frames.mean
            ahead = np.zeros((max(AHEAD), *values.shape))
            for now, shown in enumerate(inside):
                state = kept * state + gain * (shown - frames.mean)
                later = state
                for h in range(max(AHEAD)):
                    ahead[h, now] = frames.mean + later + beyond[now]
                    later = (kept + gain) * later
            skills = []
            for h in AHEAD:
                first = np.arange(start - 1, stop - h)
                truth, last = values[first + h], values[first]
                skills.append(1 - ((ahead[h - 1, first] - truth) ** 2).sum() / ((last - truth) ** 2).sum())
            print(f"{worm}  {name:12s}  " + "  ".join(f"{skill:.3f}" for skill in skills), flush=True)


if __name__ == "__main__":
    main()
