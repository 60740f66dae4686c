"""External inputs of a known teacher: channels drawn by a seed or read from a table, with known weights to neurons."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from connfit._system.paths import user_path
from connfit.connectome.table_files import read_table
from connfit.datasets.synthetic.teacher import OrnsteinUhlenbeck
from connfit.errors import DataError
from connfit.recordings import Recording
from connfit.recordings.readers.input_table import read_input_table
from connfit.recordings.readers.table_numbers import table_numbers

TIME = "time_s"
REACHED = 0.5
"""Fraction of the neurons that each channel reaches."""


@dataclass(frozen=True, eq=False)
class KnownInputs:
    """Channels that act on neurons one frame later, and by how much.

    Attributes
    ----------
    channels
        Their names.
    weights
        [N, Q] what one standard deviation of a channel adds to what a neuron receives; 0 where it does not reach.
    values
        [T, Q] of a table, frame by frame; None: they are drawn.
    mean, spread
        [Q] of the channels: what `weights` count from and in.
    correlation_frames, seed
        Of channels that are drawn.
    source
        The table.
    """

    channels: tuple[str, ...]
    weights: Float[np.ndarray, "N Q"]
    values: Float[np.ndarray, "T Q"] | None
    mean: Float[np.ndarray, "Q"]
    spread: Float[np.ndarray, "Q"]
    correlation_frames: float
    seed: tuple[int, ...]
    source: Path | None = None

    @classmethod
    def drawn(
        cls, count: int, strength: float, correlation_frames: float, sensory: Bool[np.ndarray, "N"],
        seed: tuple[int, ...],
    ) -> KnownInputs:  # fmt: skip
        """Draw channels: Ornstein-Uhlenbeck processes of variance 1."""
        weights = _weights(count, strength, sensory, seed)
        names = tuple(f"input-{k + 1}" for k in range(count))
        return cls(names, weights, None, np.zeros(count), np.ones(count), correlation_frames, seed)

    @classmethod
    def of_table(
        cls, path: str, columns: tuple[str, ...], frame_rate: float, strength: float, sensory: Bool[np.ndarray, "N"],
        seed: tuple[int, ...],
    ) -> KnownInputs:  # fmt: skip
        """Read channels from a CSV file: a row for each frame, or with a column `time_s`.

        Raises
        ------
        DataError
            If it cannot be used, or a channel does not vary.
        """
        file = user_path(path)
        table = read_table(file, "inputs", as_csv=True)
        frames = table.rows
        if TIME in (header := [title.strip() for title in table.columns]) and frames:
            last = float(table_numbers(table, table.columns[header.index(TIME)], file)[-1])
            frames = max(1, 1 + int(np.floor(last * frame_rate + 1e-9)))
        clock = Recording("inputs", np.zeros((frames, 1)), ("clock",), frame_rate)
        inputs = read_input_table(file, clock, channels=columns).inputs
        assert inputs is not None
        mean, spread = inputs.values.mean(axis=0), inputs.values.std(axis=0)
        if not (spread > 0).all():
            name = inputs.channels[int(np.argmin(spread))]
            raise DataError(f"the column {name!r} does not vary", path=file, fix="Name columns that do")
        weights = _weights(len(inputs.channels), strength, sensory, seed)
        return cls(inputs.channels, weights, inputs.values, mean, spread, 0.0, seed, file)

    def play(self, frames: int) -> Float[np.ndarray, "T Q"]:
        """Return the channels in their own units; a longer call continues a shorter one.

        Raises
        ------
        DataError
            If a table has fewer frames.
        """
        if self.values is None:
            rng = np.random.default_rng(self.seed)
            process = OrnsteinUhlenbeck(self.correlation_frames, 1.0, lambda: rng.standard_normal(len(self.channels)))
            return np.stack([process.advance() for _ in range(frames)])
        if len(self.values) < frames:
            raise DataError(
                f"its {len(self.values)} frames are fewer than the {frames} that are played to teachers",
                path=self.source,
                fix="Give a longer table, or fewer training frames",
            )
        return self.values[:frames]

    def currents(self, frames: int) -> Float[np.ndarray, "T N"]:
        """Return what neurons receive of them at each frame: that of the frame before, of the first nothing."""
        z = (self.play(frames) - self.mean) / self.spread
        return np.concatenate([np.zeros((1, len(self.weights))), z[:-1] @ self.weights.T])

    def seen_as(
        self, mean: Float[np.ndarray, "Q"], spread: Float[np.ndarray, "Q"]
    ) -> tuple[Float[np.ndarray, "N Q"], Float[np.ndarray, "N"]]:
        """Return the weights of channels that count from another mean and in another spread, and what biases gain."""
        return self.weights * (spread / self.spread), self.weights @ ((mean - self.mean) / self.spread)


def _weights(count: int, strength: float, sensory: Bool[np.ndarray, "N"], seed: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng((*seed, 1))
    shape = (len(sensory), count)
    reached = (rng.random(shape) < REACHED) & ~sensory[:, None]
    return strength * rng.standard_normal(shape) * reached
