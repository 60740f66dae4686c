"""Forecasters whose scores are known, and a recording for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from connfit.config import EvaluateConfig
from connfit.recordings import Recording

CONFIG = EvaluateConfig(free_run_warmup=50, horizon_starts=40)


@dataclass
class TrueAutoregression:
    """The process itself, x(t) = A x(t-1) + noise, as a forecaster: its skill is known."""

    matrix: np.ndarray
    name: str = "truth"

    def one_step(self, recording: Recording) -> np.ndarray:
        before = recording.values[:-1] @ self.matrix.T
        return np.concatenate([np.full((1, before.shape[1]), np.nan), before])

    def horizon(self, recording: Recording, starts: np.ndarray, steps: int) -> np.ndarray:
        now, out = recording.values[starts], []
        for _ in range(steps):
            now = now @ self.matrix.T
            out.append(now)
        return np.stack(out, axis=1)

    def free_run(
        self, recording: Recording, start: int, frames: int, warmup: int, noise: np.ndarray | None = None
    ) -> np.ndarray:
        if noise is None:
            return self.horizon(recording, np.array([start - 1]), frames)[0]
        now, out = np.tile(recording.values[start - 1], (len(noise), 1)), []
        for t in range(frames):
            now = now @ self.matrix.T + noise[:, t]
            out.append(now)
        return np.stack(out, axis=1)


@dataclass
class Oracle:
    """Knows the data: every score must be perfect. `fault` breaks one of its predictions."""

    fault: str = ""
    name: str = "oracle"

    def one_step(self, recording: Recording) -> np.ndarray:
        out = recording.values.astype(float)
        out[0] = np.nan
        if self.fault == "one_step":
            out[-1] = np.inf
        return out

    def horizon(self, recording: Recording, starts: np.ndarray, steps: int) -> np.ndarray:
        out = recording.values[starts[:, None] + 1 + np.arange(steps)].astype(float)
        if self.fault == "horizon":
            out[-1, 3:] = np.nan
        return out[:, :-1] if self.fault == "shape" else out

    def free_run(
        self, recording: Recording, start: int, frames: int, warmup: int, noise: np.ndarray | None = None
    ) -> np.ndarray:
        out = recording.values[start : start + frames].astype(float)
        if noise is not None:
            assert np.all(noise == 0), "who knows the data leaves no residuals"
            out = np.tile(out, (len(noise), 1, 1))
        if self.fault == "free_run":
            (out if noise is None else out[-1])[5:, 1] = np.nan
        return out


def recording(frames: int = 800, units: int = 6, phi: float = 0.8, seed: int = 0, name: str = "made") -> Recording:
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(units, units))
    x = np.zeros((frames, units))
    for t in range(1, frames):
        x[t] = phi * x[t - 1] + mix @ rng.normal(size=units)
    return Recording(name, x, tuple(f"u{k}" for k in range(units)), 1.5).split(train=0.6, validation=0.15)
