"""Units that cannot be fitted: all of them are named, and the suggested line leaves them out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small import write_files
from test_silent_errors import altered

from connfit import config as configuration
from connfit.config import DataConfig, FileRecordings
from connfit.datasets.loading import recordings_from_config
from connfit.errors import ConnfitError, DataError
from connfit.recordings.cohort import Cohort
from connfit.training.problem import prepare


def own_files(folder: Path, arrays: dict[str, np.ndarray], **options: object) -> DataConfig:
    paths = []
    for name, values in arrays.items():
        units = [f"n{k}" for k in range(values.shape[1])] if name != "other" else ["n0", "n1", "n9"]
        np.savez(folder / f"{name}.npz", values=values, units=np.array(units), frame_rate=2.0)
        paths.append(str(folder / f"{name}.npz"))
    missing = options.pop("missing", "error")
    return DataConfig(recording_files=FileRecordings(files=tuple(paths), missing=missing), **options)  # pyright: ignore[reportArgumentType]


def pasted(folder: Path, error: ConnfitError) -> tuple[dict[str, object], ...]:
    """The steps of the line that an error suggests, read back from a configuration that it was pasted into."""
    path = folder / "pasted.toml"
    path.write_text("[data]\n" + str(error).partition("under [data]: ")[2] + "\n", encoding="utf-8")
    steps = configuration.read(path).data.preprocess
    assert steps is not None
    return steps


def test_flat_units_of_all_recordings_are_named_at_once_and_the_suggested_line_leaves_them_out(tmp_path: Path) -> None:
    first, other = altered(slice(None), 1, 0.5), altered(slice(None), 2, 0.0)[:, :3]
    first[:200, 3:5] = 7, np.nan
    config = own_files(tmp_path, {"first": first, "other": other}, missing="mask")
    with pytest.raises(DataError, match=r"'first': .*: n1, n3, n4 \(3 of 6\); .*'other': .*: n9 \(1 of 3\)") as caught:
        recordings_from_config(config)
    steps = pasted(tmp_path, caught.value)
    assert steps[0] == {"step": "select", "drop": ["n1", "n3", "n4", "n9"], "absent": "skip"}
    got = recordings_from_config(own_files(tmp_path, {"first": first, "other": other}, preprocess=steps))
    assert [one.units for one in got] == [("n0", "n2", "n5"), ("n0",)]
    with pytest.raises(DataError, match=r"'n1' does not change.*; .*'n4' is not observed.*drop = \[.n1., .n3., .n4.\]"):
        Cohort.from_recordings(
            recordings_from_config(own_files(tmp_path, {"first": first}, preprocess=(), missing="mask"))
        ).change_variance()


@pytest.mark.filterwarnings("error")
def test_a_unit_without_values_is_left_out_by_select_or_by_missing(tmp_path: Path) -> None:
    values = altered(slice(None), 2, np.nan)
    with pytest.raises(DataError, match=r"without any observed value: n2 \(1 of 6\).*missing='mask'.*'select'"):
        recordings_from_config(own_files(tmp_path, {"a": values}))
    (masked,) = recordings_from_config(own_files(tmp_path, {"a": values}, missing="mask"))
    assert masked.notes["cautions"] == ["1 units without any observed value are left out: n2"]
    steps = ({"step": "select", "drop": ["n2"]}, {"step": "scale"})
    (chosen,) = recordings_from_config(own_files(tmp_path, {"a": values}, preprocess=steps))
    assert masked.units == chosen.units == ("n0", "n1", "n3", "n4", "n5") and "cautions" not in chosen.notes
    values[5, 0] = np.nan
    with pytest.raises(DataError, match="the first at frame 0, unit 'n2'"):
        recordings_from_config(own_files(tmp_path, {"a": values}, preprocess=steps))


def test_the_suggested_line_fits_and_cautions_are_kept_with_the_run(tmp_path: Path) -> None:
    path = write_files(tmp_path)
    for name, column, value in (("movie1", 2, 0.5), ("movie2", 5, np.nan)):
        with np.load(tmp_path / f"{name}.npz") as archive:
            arrays = dict(archive)
        arrays["values"][:, column] = value
        np.savez(tmp_path / f"{name}.npz", **arrays, scale=1.0)
    text = path.read_text().replace("epochs = 4\nfree_run_epochs = 2", "epochs = 1\nfree_run_epochs = 0")
    path.write_text(text.replace('"movie2.npz"]', '"movie2.npz"]\nmissing = "mask"'))
    with pytest.raises(DataError, match=r"'movie1': units .*: n2 \(1 of 8\)\. Leave them out") as caught:
        prepare(configuration.read(path))
    line = str(caught.value).partition("under [data]: ")[2]
    path.write_text(path.read_text().replace("[data]\n", f"[data]\n{line}\n"))
    job = prepare(configuration.read(path))
    assert job.cohort.units == ("n0", "n1", "n3", "n4", "n5", "n6", "n7") and "n5" not in job.cohort.recordings[1].units
    assert job.fit().history
    copy = replace(job.cohort.recordings[0], name="copy")
    twins = replace(job, cohort=replace(job.cohort, recordings=(*job.cohort.recordings, copy)))
    assert any("movie1 and copy have the same values" in caution for caution in twins.cautions())
    left_out = "movie2: 1 units without any observed value are left out: n5"
    assert {"movie1: arrays that are not read: scale", left_out} <= set(job.cautions())
