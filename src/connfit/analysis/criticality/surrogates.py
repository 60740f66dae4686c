"""Surrogates of recordings: like the data in some respects and random in all others.

A statement about data ("avalanche sizes follow a power law") says something about their dynamics only if surrogates
that lack these dynamics fail the same test. Each surrogate below says what it keeps and what it destroys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import scipy.fft
from jaxtyping import Float, Int, Shaped

from connfit.errors import ConfigError, DataError, first_ten, one_of

SURROGATES: Mapping[str, str] = MappingProxyType(
    {
        "circular_shift": "keeps each unit's course but for one seam; destroys the timing between units",
        "shuffle": "keeps each unit's distribution of values; destroys all order in time and between units",
        "shuffle_together": "keeps every frame and with it correlations at lag 0; destroys the order of frames",
        "phase": "keeps each unit's spectrum; destroys the timing between units and what is not linear and Gaussian",
        "phase_together": "keeps all spectra and cross-spectra; destroys what is not linear and Gaussian",
    }
)
"""Surrogates by name, with what each keeps and destroys."""


@dataclass(frozen=True)
class Surrogate:
    """A surrogate that can be drawn unit by unit, so that an array larger than memory can pass through.

    Parameters
    ----------
    kind
        One of `SURROGATES`.
    seed
        Equal seeds give equal surrogates, however the units are cut into blocks.
    """

    kind: str
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("surrogate", self.kind, SURROGATES)
        if self.seed < 0:
            raise ConfigError(f"seed of the surrogate is {self.seed}, but must be 0 or more")

    def rows(self, rows: Shaped[np.ndarray, "N T"], units: Int[np.ndarray, "N"]) -> Shaped[np.ndarray, "N T"]:
        """Draw surrogates of some units.

        Parameters
        ----------
        rows
            [unit, time]: the transposed of a recording, since each unit's course is needed as a whole.
        units
            Numbers of these units in the recording; they choose each unit's random numbers.

        Raises
        ------
        DataError
            If phases are to be randomised and values are missing.
        """
        frames = rows.shape[1]
        if frames < 3:
            raise DataError(f"a surrogate needs 3 frames or more, but the recording has {frames}")
        if self.kind == "shuffle_together":
            return rows[:, self._common().permutation(frames)]
        if self.kind.startswith("phase"):
            return self._phases(rows, units)
        out = np.empty_like(rows)
        for k, unit in enumerate(units):
            rng = np.random.default_rng((self.seed, 1, int(unit)))
            if self.kind == "shuffle":
                out[k] = rng.permutation(rows[k])
            else:
                shift = int(rng.integers(1, frames))
                out[k, shift:], out[k, :shift] = rows[k, : frames - shift], rows[k, frames - shift :]
        return out

    def _common(self) -> np.random.Generator:
        return np.random.default_rng((self.seed, 0))

    def _phases(self, rows: np.ndarray, units: np.ndarray) -> np.ndarray:
        bad = ~np.isfinite(rows).all(axis=1)
        if bad.any():
            raise DataError(
                f"units {first_ten(units[bad])} have missing values, and a spectrum needs all frames",
                fix="Interpolate them, leave these units out, or use circular shifts",
            )
        frames = rows.shape[1]
        single = rows.dtype == np.float32
        spectrum = np.asarray(scipy.fft.rfft(rows if single else rows.astype(np.float64), axis=1))
        # The mean and, with an even number of frames, the highest frequency are real and stay.
        free = slice(1, (frames + 1) // 2)
        size = len(range(*free.indices(spectrum.shape[1])))
        if self.kind == "phase_together":
            turn = np.exp(2j * np.pi * self._common().random(size))[None, :]
        else:
            draws = [np.random.default_rng((self.seed, 1, int(unit))).random(size, np.float32) for unit in units]
            turn = np.exp(np.complex64(2j * np.pi) * np.array(draws, np.float32).reshape(len(units), size))
        spectrum[:, free] *= turn.astype(spectrum.dtype)
        return np.asarray(scipy.fft.irfft(spectrum, n=frames, axis=1))


def make_surrogate(values: Shaped[np.ndarray, "T N"], kind: str, seed: int = 0) -> Shaped[np.ndarray, "T N"]:
    """Draw a surrogate of a recording.

    Parameters
    ----------
    values
        [time, unit], any real type. Missing values are NaN; they move with the others, and cannot be in data whose
        phases are randomised.
    kind
        One of `SURROGATES`: circular shifts by another number of frames for each unit, permutations of the frames of
        each unit or of all together, random Fourier phases of each unit (Theiler et al. 1992) or with the same random
        numbers added to the phases of all units (Prichard & Theiler 1994), which keeps all cross-spectra.
    seed
        Equal seeds give equal surrogates.

    Returns
    -------
    Shaped[np.ndarray, "T N"]
        In the same units. Randomised phases make values nearly Gaussian, whatever they were.

    References
    ----------
    Theiler, Eubank, Longtin, Galdrikian & Farmer (1992) Physica D 58:77, doi 10.1016/0167-2789(92)90102-S;
    Prichard & Theiler (1994) Phys. Rev. Lett. 73:951, doi 10.1103/PhysRevLett.73.951.

    Examples
    --------
    >>> values = np.arange(12.0).reshape(6, 2)
    >>> sorted(make_surrogate(values, "shuffle", seed=1)[:, 0].tolist())
    [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    """
    if values.ndim != 2:
        raise DataError(f"the recording has {values.ndim} axes", fix="Pass an array [time, unit]")
    return Surrogate(kind, seed).rows(np.ascontiguousarray(values.T), np.arange(values.shape[1])).T


PINK = (0.9, 1.4)
"""Exponents whose noise is made from its spectrum."""


def _pink(frames: int, exponent: float, rng: np.random.Generator, draws: int) -> Float[np.ndarray, "T draws"]:
    """A quarter of a period, so that both ends need not meet; of unit variance over the whole period."""
    size = 4 * frames
    amplitude = np.zeros(size // 2 + 1)
    amplitude[1:] = np.arange(1, size // 2 + 1) ** (0.5 - exponent)
    phases = rng.standard_normal((size // 2 + 1, draws)) + 1j * rng.standard_normal((size // 2 + 1, draws))
    noise = np.fft.irfft(phases * amplitude[:, None], n=size, axis=0)
    return (noise / noise.std(axis=0))[:frames]


def fractional_noise(
    frames: int, exponent: float, seed: int | np.random.Generator = 0, draws: int = 1
) -> Float[np.ndarray, "T draws"]:
    """Draw Gaussian noise whose fluctuations grow with a known exponent: fractional noise below 1, its sum above.

    Parameters
    ----------
    frames
        Length.
    exponent
        Of detrended fluctuations, between 0 and 2: 0.5 is white noise, 1.5 its sum (a random walk). Around 1, where
        sampled fractional noise and its sum lose their exponent, a stretch of Gaussian noise with the power spectrum
        f^(1 - 2 exponent) is taken.
    seed
        Seed or generator.
    draws
        Number of independent courses.

    Returns
    -------
    Float[np.ndarray, "T draws"]
        Unit variance (of the steps, for exponents from 1 on).

    References
    ----------
    Davies & Harte (1987) Biometrika 74:95, doi 10.1093/biomet/74.1.95: exact, by circulant embedding.
    """
    if not 0 < exponent < 2:
        raise ConfigError(f"exponent is {exponent}, but must lie between 0 and 2")
    rng = np.random.default_rng(seed)
    if PINK[0] < exponent < PINK[1]:
        return _pink(frames, exponent, rng, draws)
    summed = exponent >= 1
    hurst = min(max(exponent - 1 if summed else exponent, 1e-3), 1 - 1e-3)
    lag = np.arange(frames + 1, dtype=np.float64)
    covariance = 0.5 * ((lag + 1) ** (2 * hurst) - 2 * lag ** (2 * hurst) + np.abs(lag - 1) ** (2 * hurst))
    # Eigenvalues of the embedding are not negative for this covariance but for rounding.
    eigen = np.maximum(np.fft.rfft(np.concatenate([covariance, covariance[-2:0:-1]])).real, 0.0)
    size = 2 * frames
    white = np.fft.rfft(rng.standard_normal((size, draws)), axis=0)
    noise = np.fft.irfft(white * np.sqrt(eigen)[:, None], n=size, axis=0)[:frames]
    return np.cumsum(noise, axis=0) if summed else noise
