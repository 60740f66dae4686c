"""Functional connectivity of regions, as Turner, Mann & Clandinin 2021 computed it (doi:10.1016/j.cub.2021.03.004)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from connfit.datasets.turner import kept_frames
from connfit.datasets.turner_files import DATASET
from connfit.errors import DataError, first_ten
from connfit.recordings import Recording

CUTOFF_HZ = 0.01
ORDER = 1

TURNER_REGIONS: tuple[str, ...] = (
    "AL_R", "AOTU_R", "ATL_R", "ATL_L", "AVLP_R", "BU_R", "BU_L", "CAN_R", "CRE_R", "CRE_L", "EB", "EPA_R", "FB",
    "GOR_R", "GOR_L", "IB_R", "IB_L", "ICL_R", "LAL_R", "LH_R", "MB_CA_R", "MB_ML_R", "MB_ML_L", "MB_PED_R", "MB_VL_R",
    "NO", "PB", "PLP_R", "PVLP_R", "SCL_R", "SIP_R", "SLP_R", "SMP_R", "SMP_L", "SPS_R", "VES_R", "WED_R",
)  # fmt: skip
"""The 37 regions of the paper: those that the hemibrain connectome covers by at least half."""


@dataclass(frozen=True, eq=False)
class TurnerConnectivity:
    """Fisher-transformed correlations of regional signals.

    Parameters
    ----------
    regions
        Names, in the order of the matrices.
    recordings
        Names of the flies' recordings.
    z
        [fly, region, region] arctanh of the correlation; NaN on the diagonal and where a fly lacks a region.
    mean_z
        [region, region] mean over the flies that have both; NaN on the diagonal and where none has.
    flies
        [region, region] how many flies that are; 0 on the diagonal.
    """

    regions: tuple[str, ...]
    recordings: tuple[str, ...]
    z: Float[np.ndarray, "F P P"]
    mean_z: Float[np.ndarray, "P P"]
    flies: Int[np.ndarray, "P P"]

    @property
    def n_flies(self) -> int:
        """Number of flies."""
        return len(self.recordings)


def turner_functional_connectivity(
    recordings: Sequence[Recording], regions: Sequence[str] = TURNER_REGIONS
) -> TurnerConnectivity:
    """Functional connectivity of flies by the published recipe.

    Raw fluorescence of all frames is high-pass filtered (Butterworth, order 1, 0.01 Hz, forward only, initial state
    zero), and only then trimmed to the frames that the authors keep; stretches are joined. Pearson correlations of
    the regions are Fisher-transformed with NaN on the diagonal and averaged over flies, NaN left out.

    Parameters
    ----------
    recordings
        One per fly, raw and untrimmed: `load_turner_recording(uid, trim=False)`.
    regions
        Regions in the order of the result. One that a fly lacks is NaN for that fly.

    Raises
    ------
    DataError
        If a recording is trimmed or preprocessed, no fly has a region, or signals do not vary or are identical.
    """
    if not recordings:
        raise DataError("there is no recording to correlate", fix="Give at least one")
    regions = tuple(regions)
    repeated = sorted({one for one in regions if regions.count(one) > 1})
    if repeated:
        raise DataError(f"regions repeat: {first_ten(repeated)}", fix="Name each once")
    absent = [one for one in regions if not any(one in recording.units for recording in recordings)]
    if absent:
        raise DataError(f"no recording has the regions {first_ten(absent)}", fix="Leave them out, or correct the names")
    z = np.stack([_fisher_z(recording, regions) for recording in recordings])
    there = np.isfinite(z)
    flies = there.sum(axis=0)
    total = np.where(there, z, 0.0).sum(axis=0)
    mean = np.where(flies > 0, total / np.maximum(flies, 1), np.nan)
    return TurnerConnectivity(regions, tuple(recording.name for recording in recordings), z, mean, flies)


def _fisher_z(recording: Recording, regions: tuple[str, ...]) -> Float[np.ndarray, "P P"]:
    """[region, region] Fisher-transformed correlations of one fly."""
    from scipy.signal import butter, sosfilt  # here: 40 MB that reading a recording does not need

    _require_raw(recording)
    position = {unit: k for k, unit in enumerate(recording.units)}
    here = [k for k, region in enumerate(regions) if region in position]
    values = recording.values[:, [position[regions[k]] for k in here]].astype(np.float64)
    sos = butter(ORDER, CUTOFF_HZ, btype="highpass", fs=recording.frame_rate, output="sos")
    filtered = np.asarray(sosfilt(sos, values, axis=0))
    uid = recording.name.removeprefix(f"{DATASET}/")
    stretches = kept_frames(uid, recording.frames, recording.name)
    kept = np.concatenate([filtered[start:stop] for start, stop in stretches])
    centred = kept - kept.mean(axis=0)
    size = np.sqrt((centred**2).sum(axis=0))
    flat = [regions[here[k]] for k in np.flatnonzero(~(size > 0))]
    if flat:
        raise DataError(f"recording {recording.name!r}: regions do not vary: {first_ten(flat)}", fix="Leave them out")
    scaled = centred / size
    correlation = scaled.T @ scaled
    np.fill_diagonal(correlation, np.nan)
    same = np.argwhere(np.abs(np.triu(correlation, 1)) >= 1)
    if len(same):
        pairs = first_ten(f"{regions[here[a]]} and {regions[here[b]]}" for a, b in same)
        raise DataError(f"recording {recording.name!r}: regions have identical signals: {pairs}", fix="Leave one out")
    result = np.full((len(regions), len(regions)), np.nan)
    result[np.ix_(here, here)] = np.arctanh(correlation)
    return result


def _require_raw(recording: Recording) -> None:
    """Refuse what the filter must not see: frames cut off, or values that are no longer raw."""
    fix = "Read it with load_turner_recording(uid, trim=False) and do not preprocess it"
    if recording.kind != "fluorescence" or recording.steps:
        raise DataError(f"recording {recording.name!r} holds {recording.kind}, not raw fluorescence", fix=fix)
    if recording.notes.get("frames_in_source") != recording.frames or not recording.mask.all():
        raise DataError(f"recording {recording.name!r} is trimmed, but the filter runs over all its frames", fix=fix)
