"""Turner, Mann & Clandinin 2021: regional calcium signals of 20 resting flies, and which of their frames to use.

Source: doi:10.1016/j.cub.2021.03.004, data doi:10.6084/m9.figshare.13349282 (MIT). Two-photon imaging of GCaMP6s in
all neurons of the central brain, one signal per region of the atlas of Ito et al. 2014, 1.2 frames per second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from connfit._io import require_file
from connfit.datasets.fly_facts import ORGANISM
from connfit.datasets.fly_regions import map_regions
from connfit.datasets.registry import DATASETS, DataFile, Dataset
from connfit.datasets.restricted_pickle import read_pickled_frame
from connfit.datasets.turner_files import (
    ARCHIVE,
    DATASET,
    LABELS,
    TURNER_RECORDINGS,
    Labels,
    find_turner_files,
    read_labels,
)
from connfit.errors import DataError, first_ten, one_of
from connfit.recordings import Recording

if TYPE_CHECKING:
    from connfit._typing import JSON

FRAME_RATE_HZ = 1.2
OUTSIDE = 0
"""Label of the voxels outside the atlas."""

FIRST_KEPT = 100
"""First frame kept of a fly without a line in `KEPT_FRAMES`; all later ones are kept too."""

KEPT_FRAMES: Mapping[str, tuple[tuple[int, int], ...]] = {
    "2018-10-19_1": ((100, 900), (1100, 2000)),  # transient dropouts between
    "2017-11-08_1": ((100, 1900), (2000, 4000)),  # the baseline shifts between
    "2018-10-20_1": ((100, 1000),),  # dropout halfway through
}
"""Frames kept of three flies, half-open and counted from 0, by the authors' own table (github.com/mhturner/SC-FC,
`trimRegionResponse`). There the two stretches of a fly are joined."""


def load_turner_recording(uid: str, *, trim: bool = True, names: str = "flywire") -> Recording:
    """Load the regional signals of one fly: raw fluorescence.

    Parameters
    ----------
    uid
        For example `"2017-10-26_1"`.
    trim
        Whether only the frames that the authors keep are observed. Where they keep two stretches, the frames between
        stay in their place but are marked as not observed, so that time is not cut: no value from before the gap
        is taken for the frame before one after it, and nothing in the gap is scored.
    names
        `"flywire"`: regions as FlyWire names them, or `"ito"`: as the atlas does.

    Raises
    ------
    NotAvailableError
        If the archive is not here and cannot be downloaded.
    ConfigError
        If there is no such recording.
    DataError
        If a file is damaged.
    """
    files = find_turner_files()
    one_of("recording", uid, files.responses)
    labels = read_labels(files.labels, files.where / LABELS)
    source = files.responses[uid]
    path = source if isinstance(source, Path) else files.where / f"ito_{uid}.pkl"
    content = source if isinstance(source, bytes) else source.read_bytes()
    recording = _recording(content, labels, uid, path, trim=trim, names=names)
    checked = "not checked: a folder" if isinstance(source, Path) else "that of the archive is right"
    return replace(recording, notes={**recording.notes, "checksum": checked})


def read_turner(
    responses: str | Path, labels: str | Path, uid: str, *, trim: bool = True, names: str = "flywire"
) -> Recording:
    """Read files anywhere as `load_turner_recording` does.

    Parameters
    ----------
    responses
        `ito_<uid>.pkl`, a pickled DataFrame: rows are labels of the atlas, columns frames. It is read without
        running anything in it.
    labels
        `Original_Index_panda_full.csv`, a table with the columns `name` and `num`.
    uid
        Name of the recording, which decides on the frames to keep.
    trim, names
        As there.
    """
    values, words = require_file(responses), require_file(labels)
    return _recording(values.read_bytes(), read_labels(words, words), uid, values, trim=trim, names=names)


def kept_frames(uid: str, frames: int, path: str | Path) -> tuple[tuple[int, int], ...]:
    """List the frames to keep of a recording with `frames` frames: half-open stretches, from 0.

    Raises
    ------
    DataError
        If the recording is too short for them.
    """
    kept = KEPT_FRAMES.get(uid, ((FIRST_KEPT, frames),))
    needed = max(kept[-1][1], FIRST_KEPT + 2)
    if frames < needed:
        raise DataError(
            f"recording {uid} has {frames} frames, but the frames to keep need at least {needed}",
            path=path,
            fix="Copy or download the file again, or read it with trim=False",
        )
    return kept


def _recording(content: bytes, labels: Labels, uid: str, path: Path, *, trim: bool, names: str) -> Recording:
    one_of("names", names, ("flywire", "ito"))
    values, units, notes = _signals(content, labels, path)
    notes = {"dataset": DATASET, "uid": uid, "file": path.name, "indicator": "GCaMP6s", **notes}
    if names == "flywire":
        renamed = {name: others[0] for name, others in map_regions("ito", "flywire").items() if len(others) == 1}
        notes["regions_without_flywire_name"] = [unit for unit in units if unit not in renamed]
        if not renamed.keys() & set(units):
            raise DataError("no region has a name in FlyWire", path=path, fix="Read it with names='ito'")
        values = values[:, [k for k, unit in enumerate(units) if unit in renamed]]
        units = tuple(renamed[unit] for unit in units if unit in renamed)
    mask = np.ones(values.shape, bool)
    notes["frames_in_source"] = len(values)
    if trim:
        kept = kept_frames(uid, len(values), path)
        first, last = kept[0][0], kept[-1][1]
        mask[:] = False
        for start, stop in kept:
            mask[start:stop] = True
        # What is trimmed keeps its values, for they were measured; only the mask says that they are not to be used.
        values, mask = values[first:last].astype(np.float32), mask[first:last]
        notes |= {
            "kept_frames": [list(stretch) for stretch in kept],
            "first_frame_in_source": first,
            "frames_not_observed_in_gaps": int((~mask[:, 0]).sum()),
        }
    return Recording(
        name=f"{DATASET}/{uid}",
        values=values,
        units=units,
        frame_rate=FRAME_RATE_HZ,
        kind="fluorescence",
        value_units="arbitrary units",
        mask=mask,
        notes=notes,
    )


def _signals(
    content: bytes, labels: Labels, path: Path
) -> tuple[Float[np.ndarray, "T P"], tuple[str, ...], dict[str, JSON]]:
    """Signals [frame, region] of all frames, the regions' names, and notes on what was left out."""
    table = read_pickled_frame(content, path)
    numbers = np.asarray(table.index)
    if numbers.dtype.kind not in "iu" or len(np.unique(numbers)) != len(numbers):
        raise DataError(
            f"the rows are {first_ten(numbers)}", path=path, fix="They must be label numbers, each at most once"
        )
    if table.shape[1] == 0 or not np.array_equal(np.asarray(table.columns), np.arange(table.shape[1])):
        raise DataError("the columns are not the frames 0, 1, 2, ...", path=path, fix="Copy or download it again")
    values = table.to_numpy()
    if values.dtype.kind not in "fiu":
        raise DataError(f"the values are {values.dtype}", path=path, fix="They must be numbers")
    values = values.astype(np.float64).T
    known = [int(label) for label in numbers]
    foreign = [label for label in known if label != OUTSIDE and label not in labels.names]
    if foreign:
        raise DataError(
            f"the labels {first_ten(foreign)} are not in the table of labels",
            path=path,
            fix="Use the table of its atlas",
        )
    nameless = [label for label in known if label != OUTSIDE and not labels.names[label]]
    columns = [k for k, label in enumerate(known) if label != OUTSIDE and labels.names[label]]
    units = tuple(labels.names[known[k]] for k in columns)
    if not units:
        raise DataError("no row has a label with a name", path=path, fix="Use the table of its atlas")
    values = values[:, columns]
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        raise DataError(
            f"{len(bad)} values are not finite, the first at frame {bad[0][0]}, region {units[bad[0][1]]}",
            path=path,
            fix="Copy or download it again",
        )
    notes: dict[str, JSON] = {
        "label_outside_atlas_dropped": OUTSIDE in known,
        "labels_without_name_dropped": nameless,
        "labels_corrected": {old: new for old, new in labels.corrected.items() if new in units},
        "regions_of_the_atlas_absent": sorted(
            name for label, name in labels.names.items() if name and label != OUTSIDE and label not in known
        ),
    }
    return values, units, notes


DATASETS.register(
    Dataset(
        name=DATASET,
        label="Regional calcium signals of 20 resting flies, one per region of the Ito atlas (raw fluorescence)",
        place=11,
        organism=ORGANISM,
        licence="MIT",
        citation="Turner, Mann and Clandinin 2021, Current Biology",
        doi=("10.1016/j.cub.2021.03.004", "10.6084/m9.figshare.13349282"),
        source="https://doi.org/10.6084/m9.figshare.13349282",
        sizes=MappingProxyType({"flies": 20, "regions": "72-75", "frames": "2000-4000", "frame rate (Hz)": 1.2}),
        recording=load_turner_recording,
        recordings=TURNER_RECORDINGS,
        files=(
            DataFile(
                ARCHIVE, None, "b6b0ea42da2d728e76ff3c646b56e7d32ecf0fcabb63eba585725cf1f0835f77",
                "https://ndownloader.figshare.com/files/26356327",
            ),
        ),
        # A window of 120 s, about one period of the authors' 0.01 Hz filter, follows bleaching and shifts of the
        # baseline without looking ahead. 0.8 s is the decay of a fast GCaMP6; estimating it would take the slowness
        # of the activity for that of the indicator.
        preprocess=(
            MappingProxyType({"step": "delta_f_over_f", "percentile": 20.0, "window_s": 120.0}),
            MappingProxyType({"step": "deconvolve", "tau_s": 0.8}),
            MappingProxyType({"step": "scale", "method": "std"}),
        ),
    )
)  # fmt: skip
