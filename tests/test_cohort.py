"""Recordings of several animals side by side: nothing is lost, made up or scored twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connfit.errors import ConfigError, DataError
from connfit.recordings import Parts, Recording
from connfit.recordings.cohort import Cohort, Window


def recording(name: str, units: str, frames: int = 30, *, seed: int = 0, missing: float = 0.0, **options) -> Recording:
    rng = np.random.default_rng(seed)
    values = rng.random((frames, len(units))).astype(np.float32)
    mask = rng.random(values.shape) >= missing
    return Recording(name, values, tuple(units), options.pop("frame_rate", 2.0), mask=mask, **options).split(
        train=0.6, validation=0.2
    )


def whole(cohort: Cohort, steps: int, blocks: list, members: list, weights: np.ndarray | None = None, **options):
    """All windows of a block, put together again."""
    if weights is None:
        weights = np.ones((len(cohort.units), len(cohort.recordings)))
    windows = list(cohort.windows(steps, blocks, members, weights, **options))
    assert all(array.shape == (steps, len(cohort.units), len(members)) for window in windows for array in window[:4])
    return Window(*(np.concatenate(arrays) for arrays in zip(*(window[:4] for window in windows), strict=True)))


def test_units_are_the_union_in_order_of_appearance() -> None:
    cohort = Cohort.from_recordings([recording("a", "xyz"), recording("b", "zwx")])
    assert cohort.units == ("x", "y", "z", "w")
    assert [columns.tolist() for columns in cohort.columns] == [[0, 1, 2], [2, 3, 0]]
    assert cohort.index("b") == 1
    with pytest.raises(ConfigError, match="no recording 'c'"):
        cohort.index("c")


@given(
    steps=st.integers(1, 12),
    lengths=st.lists(st.integers(4, 25), min_size=1, max_size=3),
    start=st.integers(0, 5),
    missing=st.sampled_from([0.0, 0.4]),
    warmup=st.integers(0, 4),
    substeps=st.integers(1, 3),
)
@settings(max_examples=60, deadline=None)
def test_windows_put_together_are_the_recordings(
    steps: int, lengths: list[int], start: int, missing: float, warmup: int, substeps: int
) -> None:
    units = ["abc", "cbd", "e"]
    movies = [
        recording(f"movie {k}", units[k], start + frames, seed=k, missing=missing) for k, frames in enumerate(lengths)
    ]
    cohort = Cohort.from_recordings(movies, substeps=substeps)
    rng = np.random.default_rng(9)
    weights = rng.random((len(cohort.units), len(movies)))
    blocks = [(start, start + frames) for frames in lengths]
    members = list(rng.permutation(len(movies)))
    got = whole(cohort, steps, [blocks[m] for m in members], members, weights, warmup_frames=warmup)
    assert len(got.inputs) % steps == 0

    first = max(start, 1)
    used = max(blocks[m][1] for m in members) - first
    assert len(got.inputs) - used * substeps < steps
    for column, member in enumerate(members):
        movie, (_, stop) = movies[member], blocks[member]
        seen = np.zeros((len(got.inputs), len(cohort.units)), bool)
        for u, unit in enumerate(cohort.units):
            weight, target, forced, given_ = (
                a[:, u, column] for a in (got.weights, got.targets, got.forced, got.inputs)
            )
            if unit not in movie.units:
                assert not weight.any() and not forced.any() and not target.any() and not given_.any()
                continue
            k = movie.units.index(unit)
            shown = movie.values[: movie.require_parts().train[1], k][movie.mask[: movie.require_parts().train[1], k]]
            low, high = (shown.min(), shown.max()) if len(shown) else (0, np.inf)
            for frame in range(first, stop):
                # The last step before frame t + 1 predicts frame t; its inputs are frame t - 1 and nothing later.
                block = slice((frame - first) * substeps, (frame - first + 1) * substeps)
                scored = movie.mask[frame, k] and frame - first >= warmup
                assert weight[block][:-1].tolist() == [0] * (substeps - 1)
                assert weight[block][-1] == np.float32(scored * weights[u, member])
                # What the last value before the frame lies beyond the range of training is left out of its target.
                before = movie.values[:frame, k][movie.mask[:frame, k]][-1:].astype(np.float64)
                beyond = (before - np.clip(before, low, high)).sum()
                assert target[block][-1] == (np.float32(movie.values[frame, k] - beyond) if scored else 0)
                assert (forced[block] == movie.mask[frame - 1, k]).all()
                inside = np.clip(movie.values[frame - 1, k], low, high)
                assert (given_[block] == (inside if movie.mask[frame - 1, k] else 0)).all()
            seen[: (stop - first) * substeps, u] = True
        for array in got[:4]:
            assert not array[:, :, column][~seen].any(), "something after the end of a block, or for an absent unit"


def test_a_value_under_the_mask_is_never_used_even_if_it_is_there() -> None:
    movie = recording("a", "xy", missing=0.3)
    assert np.isfinite(movie.values).all() and not movie.mask.all()
    absurd = replace(movie, values=np.where(movie.mask, movie.values, 1e6).astype(np.float32))
    empty = replace(movie, values=np.where(movie.mask, movie.values, np.nan))
    for substeps in (1, 2):
        windows = [
            whole(Cohort.from_recordings([one], substeps=substeps), 7, [(0, 18)], [0]) for one in (absurd, empty)
        ]
        for one, other in zip(*(window[:4] for window in windows), strict=True):
            np.testing.assert_array_equal(one, other)
        assert max(array.max() for array in windows[0][:4]) <= 1


def test_statistics_of_the_training_part_only() -> None:
    a, b = recording("a", "xy", seed=1, missing=0.2), recording("b", "yz", frames=40, seed=2)
    cohort = Cohort.from_recordings([a, b])
    assert cohort.observations("train") == a.mask[:18].sum() + b.mask[:24].sum()
    assert cohort.observations("test") == a.mask[24:].sum() + b.mask[32:].sum()
    y = np.r_[a.values[:18, 1][a.mask[:18, 1]], b.values[:24, 0]]
    np.testing.assert_allclose(cohort.mean_activity()[1], y.mean(), rtol=1e-6)
    variance = cohort.change_variance()
    assert np.isnan(variance[[0, 2], [1, 0]]).all() and np.isfinite(variance[1]).all()
    np.testing.assert_allclose(variance[2, 1], (np.diff(b.values[:24, 1]) ** 2).mean(), rtol=1e-6)
    later = replace(b, values=np.where(np.arange(40)[:, None] < 24, b.values, 77).astype(np.float32))
    np.testing.assert_array_equal(Cohort.from_recordings([a, later]).change_variance(), variance)
    np.testing.assert_array_equal(Cohort.from_recordings([a, later]).mean_activity(), cohort.mean_activity())


def test_steps_and_frame_rates() -> None:
    cohort = Cohort.from_recordings(
        [recording("a", "x", frame_rate=2.0), recording("b", "x", frame_rate=2.01)], substeps=3
    )
    assert cohort.frame_rate == pytest.approx(2.005)
    assert cohort.step_s == pytest.approx(1 / (3 * 2.005))


@pytest.mark.parametrize(
    ("movies", "message"),
    [
        ([], "no recording to fit"),
        ([recording("a", "x"), recording("a", "y")], "different names, got a, a"),
        ([recording("a", "x"), recording("b", "x", frame_rate=2.1)], "'b' has 2.1 frames/s, 'a' 2.*rate_hz = 2.0"),
        ([recording("a", "x"), recording("b", "x", kind="rate")], "'b' holds rate, 'a' dff"),
    ],
)
def test_recordings_that_do_not_go_together(movies: list, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Cohort.from_recordings(movies)


def test_substeps_must_be_whole() -> None:
    with pytest.raises(ConfigError, match="substeps = 0"):
        Cohort.from_recordings([recording("a", "x")], substeps=0)


def test_a_unit_that_does_not_change_in_training_is_named() -> None:
    movie = recording("a", "xy")
    values = movie.values.copy()
    values[:18, 1] = 0.5
    with pytest.raises(DataError, match=r"'a': unit 'y' does not change over its 18 observed training frames"):
        Cohort.from_recordings([replace(movie, values=values)]).change_variance()
    unseen = replace(movie, mask=movie.mask & [True, False])
    with pytest.raises(DataError, match="unit 'y' is not observed in the training part"):
        Cohort.from_recordings([unseen]).change_variance()


def test_a_recording_without_parts_says_how_to_cut_it() -> None:
    with pytest.raises(ConfigError, match="split"):
        Cohort.from_recordings([replace(recording("a", "x"), parts=None)]).observations("train")
    assert (
        Cohort.from_recordings([replace(recording("a", "x"), parts=Parts((0, 20), (20, 20), (20, 30)))]).observations(
            "validation"
        )
        == 0
    )
